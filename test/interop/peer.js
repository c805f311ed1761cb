'use strict'
// A peer made of npm's multiserver, driven by a test.
//
//   node peer.js server [options]            listens, says where, serves every connection
//   node peer.js client [options] ADDRESS    dials
//
// What happens is told as one JSON object a line on stdout. Commands are lines on stdin:
//   end      ends our direction of every connection that --hold keeps open
//   cut      destroys the sockets of all connections, without a goodbye
//   read N   reads N bytes more, where --paced waits for that
//   count    tells how many connections there have been, and what has gone through them
// The end of stdin stops listening; the process leaves when its sockets are closed.

const crypto = require('crypto')
const net = require('net')
const readline = require('readline')
const { parseArgs } = require('util')
const pull = require('pull-stream')
const { stackOptions, createStacks, tell, digest } = require('./npm_stack')

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...stackOptions,
    authorise: { type: 'string', default: 'yes' }, // yes, no, or the one key that may enter
    echo: { type: 'boolean', default: false }, // send back what comes
    send: { type: 'string', default: '0' }, // otherwise: send so many random bytes
    drip: { type: 'boolean', default: false }, // one by one, a turn of the event loop each
    late: { type: 'boolean', default: false }, // not before the other side has ended
    hold: { type: 'boolean', default: false }, // and do not end before `end` is commanded
    polite: { type: 'boolean', default: false }, // end only after the other side
    paced: { type: 'boolean', default: false }, // read only what `read` commands allow
    watch: { type: 'string' }, // tell once so many bytes have come
    quiet: { type: 'boolean', default: false }, // tell of connections only by `count`
  },
})
const [mode, address] = positionals
const CHUNK = options.drip ? 1 : 65536
const raws = new Set() // the sockets' streams, for `cut`
const held = new Set() // what ends the held directions, for `end`
const waiting = new Set() // what goes on reading, for `read`
const counts = { connections: 0, ended: 0, failed: 0, sent: 0, received: 0 }
let allowed = options.paced ? 0 : Infinity // bytes that may be read
let ended = false // `end` has been commanded

function tellOfOne(event, fields) {
  if (!options.quiet) tell(event, fields)
}

// Calls back once, when the other side has ended.
function gate() {
  const calls = []
  let open = false
  return {
    open() {
      open = true
      for (const call of calls.splice(0)) call()
    },
    when: (call) => (open ? call() : calls.push(call)),
  }
}

// Calls back when what was written in this turn of the loop, an end included, is the kernel's.
function afterWrites(call) {
  setImmediate(() => setImmediate(call))
}

// A source of `size` random bytes; tells their hash when all were asked for, and its end passed on.
function randomBytes(size, peerEnd) {
  const sum = digest()
  let left = size
  let told = false
  function give(cb) {
    if (left > 0) {
      const data = crypto.randomBytes(Math.min(left, CHUNK))
      left -= data.length
      counts.sent += data.length
      sum.add(data)
      return cb(null, data)
    }
    if (!told) {
      told = true
      afterWrites(() => tellOfOne('sent', sum.result()))
    }
    if (options.polite) return peerEnd.when(() => cb(true))
    if (!options.hold || ended) return cb(true)
    const release = () => {
      held.delete(release)
      cb(true)
    }
    held.add(release)
  }
  return function read(abort, cb) {
    if (abort) return cb(abort)
    if (options.late) return peerEnd.when(() => give(cb))
    if (options.drip) return setImmediate(give, cb)
    give(cb)
  }
}

// Passes bytes on, counts them, tells when `watch` have come and how it ended.
function meter(peerEnd) {
  const sum = digest()
  const watch = options.watch === undefined ? Infinity : Number(options.watch)
  let reached = false
  return (source) =>
    function read(abort, cb) {
      if (!abort && allowed <= 0) return waiting.add(() => read(abort, cb))
      source(abort, (end, data) => {
        if (!end) {
          const bytes = sum.add(data)
          allowed -= data.length
          counts.received += data.length
          if (bytes >= watch && !reached) {
            reached = true
            tell('reached', { bytes })
          }
          return cb(null, data)
        }
        if (!abort) {
          counts.ended++
          if (end !== true) counts.failed++
          tellOfOne('end', { ...sum.result(), error: end === true ? null : end.message })
          peerEnd.open()
        }
        cb(end)
      })
    }
}

function serve(stream) {
  const peerEnd = gate()
  counts.connections++
  tellOfOne('connection', {
    address: stream.address,
    remote: stream.remote ? stream.remote.toString('base64') : null, // a bare transport has none
    auth: stream.auth || null,
  })
  if (options.echo) return pull(stream.source, meter(peerEnd), stream.sink)
  pull(randomBytes(Number(options.send), peerEnd), stream.sink)
  pull(
    stream.source,
    meter(peerEnd),
    pull.drain(null, () => {})
  )
}

function authorise(key, cb) {
  const entry = options.authorise
  if (entry === 'yes' || entry === key.toString('base64')) return cb(null, { entered: true })
  cb(null, false)
}

function create(port) {
  return createStacks(options, {
    port,
    authorise,
    // The `meta` of a socket's stream is handed on to the stream that the stack makes of it.
    wrap(raw) {
      if (!options.quiet) raws.add(raw)
      raw.meta = { raw }
      return raw
    },
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
    if (line === 'count') tell('count', counts)
    if (line.startsWith('read ')) {
      allowed += Number(line.slice(5))
      const reads = [...waiting]
      waiting.clear()
      for (const read of reads) read()
    }
  })
  .on('close', () => {
    if (close) close()
  })
