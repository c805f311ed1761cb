'use strict'
// A peer made of npm's multiserver, driven by a test.
//
//   node peer.js server [options]            listens, says where, serves every connection
//   node peer.js client [options] ADDRESS    dials
//
// What happens is told as one JSON object a line on stdout. Commands are lines on stdin:
//   end   ends our direction of every connection that --hold keeps open
//   cut   destroys the sockets of all connections, without a goodbye
// The end of stdin stops listening; the process leaves when its sockets are closed.

const crypto = require('crypto')
const net = require('net')
const readline = require('readline')
const { parseArgs } = require('util')
const sodium = require('chloride')
const pull = require('pull-stream')
const MultiServer = require('multiserver')
const plugins = {
  net: require('multiserver/plugins/net'),
  unix: require('multiserver/plugins/unix-socket'),
  shs: require('multiserver/plugins/shs'),
  noauth: require('multiserver/plugins/noauth'),
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    stack: { type: 'string', default: 'net~shs' }, // stacks, joined by ';'
    host: { type: 'string', default: '127.0.0.1' }, // net listens here
    dir: { type: 'string' }, // the unix plugin's folder
    seed: { type: 'string' }, // of our identity, base64
    'network-key': { type: 'string' }, // base64
    authorise: { type: 'string', default: 'yes' }, // yes, no, or the one key that may enter
    echo: { type: 'boolean', default: false }, // send back what comes
    send: { type: 'string', default: '0' }, // otherwise: send so many random bytes
    hold: { type: 'boolean', default: false }, // and do not end before `end` is commanded
    watch: { type: 'string' }, // tell once so many bytes have come
  },
})
const [mode, address] = positionals
const CHUNK = 65536
const raws = new Set() // the sockets' streams, for `cut`
const held = new Set() // what ends the held directions, for `end`
let ended = false // `end` has been commanded

function tell(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
}

function digest() {
  const hash = crypto.createHash('sha256')
  let bytes = 0
  return {
    add(data) {
      hash.update(data)
      bytes += data.length
      return bytes
    },
    result: () => ({ bytes, sha256: hash.digest('hex') }),
  }
}

// A source of `size` random bytes; tells their hash when all were asked for.
function randomBytes(size) {
  const sum = digest()
  let left = size
  let told = false
  return function read(abort, cb) {
    if (abort) return cb(abort)
    if (left > 0) {
      const data = crypto.randomBytes(Math.min(left, CHUNK))
      left -= data.length
      sum.add(data)
      return cb(null, data)
    }
    if (!told) {
      told = true
      tell('sent', sum.result())
    }
    if (!options.hold || ended) return cb(true)
    const release = () => {
      held.delete(release)
      cb(true)
    }
    held.add(release)
  }
}

// Passes bytes on, counts them, tells when `watch` have come and how it ended.
function meter() {
  const sum = digest()
  const watch = options.watch === undefined ? Infinity : Number(options.watch)
  let reached = false
  return (source) => (abort, cb) =>
    source(abort, (end, data) => {
      if (!end) {
        const bytes = sum.add(data)
        if (bytes >= watch && !reached) {
          reached = true
          tell('reached', { bytes })
        }
        return cb(null, data)
      }
      if (!abort) tell('end', { ...sum.result(), error: end === true ? null : end.message })
      cb(end)
    })
}

function serve(stream) {
  tell('connection', {
    address: stream.address,
    remote: stream.remote.toString('base64'),
    auth: stream.auth || null,
  })
  if (options.echo) return pull(stream.source, meter(), stream.sink)
  pull(randomBytes(Number(options.send)), stream.sink)
  pull(
    stream.source,
    meter(),
    pull.drain(null, () => {})
  )
}

function authorise(key, cb) {
  const entry = options.authorise
  if (entry === 'yes' || entry === key.toString('base64')) return cb(null, { entered: true })
  cb(null, false)
}

function create(port) {
  const seed = options.seed ? Buffer.from(options.seed, 'base64') : crypto.randomBytes(32)
  const keys = sodium.crypto_sign_seed_keypair(seed)
  const made = {
    // Half-open: what we still send is not lost when the other side ends first.
    net: () => plugins.net({ scope: 'device', host: options.host, port, allowHalfOpen: true }),
    unix: () => plugins.unix({ path: options.dir, scope: 'device', allowHalfOpen: true }),
    shs: () => plugins.shs({ keys, appKey: options['network-key'], auth: authorise }),
    noauth: () => plugins.noauth({ keys }),
  }
  const stacks = options.stack.split(';').map((s) => s.split('~').map((name) => made[name]()))
  // The `meta` of a socket's stream is handed on to the stream that the stack makes of it.
  return MultiServer(stacks, (raw) => {
    raws.add(raw)
    raw.meta = { raw }
    return raw
  })
}

// A port nobody listens on. The plugin takes no port 0, so another process may come first.
function freePort(cb) {
  const probe = net.createServer()
  probe.listen(0, options.host, () => {
    const { port } = probe.address()
    probe.close(() => cb(port))
  })
}

function listen(attempts, started) {
  freePort((port) => {
    const server = create(port)
    const close = server.server(
      serve,
      (err) => tell('failed', { address: err.address, error: err.message }),
      (err) => {
        if (err && attempts > 1) return listen(attempts - 1, started)
        if (err) throw err
        tell('listening', { address: server.stringify('device') })
        started(close)
      }
    )
  })
}

let close = null
if (mode === 'server') {
  listen(5, (fn) => {
    close = fn
  })
} else {
  create(1).client(address, (err, stream) => {
    if (err) return tell('failed', { address: err.address || null, error: err.message })
    serve(stream)
  })
}

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line === 'cut') for (const raw of raws) raw.source(new Error('cut'), () => {})
    if (line === 'end') {
      ended = true
      for (const release of [...held]) release()
    }
  })
  .on('close', () => {
    if (close) close()
  })
