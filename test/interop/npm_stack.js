'use strict'
// Stacks made of npm's multiserver, and what its processes tell a test.

const crypto = require('crypto')
const sodium = require('chloride')
const MultiServer = require('multiserver')
const plugins = {
  net: require('multiserver/plugins/net'),
  unix: require('multiserver/plugins/unix-socket'),
  ws: require('multiserver/plugins/ws'),
  shs: require('multiserver/plugins/shs'),
  noauth: require('multiserver/plugins/noauth'),
}

// The command line options of a stack, for util.parseArgs.
const stackOptions = {
  stack: { type: 'string', default: 'net~shs' }, // stacks, joined by ';'
  host: { type: 'string', default: '127.0.0.1' }, // net listens here
  dir: { type: 'string' }, // the unix plugin's folder
  tls: { type: 'string' }, // a folder with cert.pem and key.pem
  seed: { type: 'string' }, // of our identity, base64
  'network-key': { type: 'string' }, // base64
  timeout: { type: 'string' }, // of a handshake, msec; the package's own default is 5000
  'half-open': { type: 'boolean', default: false }, // a client's socket outlives the peer's end
}

// An npm client closes its socket at the peer's FIN, and what it has still to send is lost. Node's
// option against that is the plugins' option of servers only; it reaches a client's socket through
// what the plugin makes of an address.
function halfOpen(plugin) {
  const parse = plugin.parse
  plugin.parse = (text) => {
    const opts = parse(text)
    if (!opts) return opts
    if (opts.path) return { ...opts, path: { path: opts.path, allowHalfOpen: true } }
    return { ...opts, allowHalfOpen: true }
  }
  return plugin
}

// `wrap` sees the stream of every socket.
function createStacks(options, { port, authorise, wrap }) {
  const seed = options.seed ? Buffer.from(options.seed, 'base64') : crypto.randomBytes(32)
  const keys = sodium.crypto_sign_seed_keypair(seed)
  const client = options['half-open'] ? halfOpen : (plugin) => plugin
  const made = {
    // Half-open: what a server still sends is not lost when the other side ends first.
    net: () => client(plugins.net({ scope: 'device', host: options.host, port, allowHalfOpen: true })),
    unix: () => client(plugins.unix({ path: options.dir, scope: 'device', allowHalfOpen: true })),
    ws: () => plugins.ws({ scope: 'device', host: options.host, port }),
    wss: () => plugins.ws({ scope: 'device', host: options.host, port, key: options.tls + '/key.pem', cert: options.tls + '/cert.pem' }),
    shs: () => plugins.shs({ keys, appKey: options['network-key'], auth: authorise, timeout: Number(options.timeout) || undefined }),
    noauth: () => plugins.noauth({ keys }),
  }
  const stacks = options.stack.split(';').map((s) => s.split('~').map((name) => made[name]()))
  return MultiServer(stacks, wrap)
}

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

module.exports = { stackOptions, createStacks, tell, digest }
