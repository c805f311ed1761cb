'use strict'
// What the interop tests share beside ../world.js: npm peers, and a server and a client of either
// side. Without the npm packages a test is skipped (status 77), or fails where MS_NO_SKIP=1 is set.

const assert = require('assert')
const path = require('path')
const { World, identity, ...shared } = require('../world')
const { certificate } = require('./certificate')
const { Proxy } = require('./proxy')

try {
  require('multiserver/package.json')
  require('chloride/package.json')
  require.resolve('secret-stack')
} catch (err) {
  console.log('The npm packages are missing: run `npm ci` in test/interop.')
  process.exit(process.env.MS_NO_SKIP === '1' ? 1 : 77)
}

const MAIN_NETWORK = '1KHLiKZvAvjbY1ziZEHMXawbCEIM6qwjCDm3VYRan/s='
const MIB = 1024 * 1024

// The stack to test, `net~shs` or `net`, and its parts.
const stack = process.argv[2] || 'net~shs'
const [transport, security = ''] = stack.split('~')

const PLACES = {
  net: /^net:127\.0\.0\.1:[1-9]\d*$/,
  ws: /^ws:\/\/127\.0\.0\.1:[1-9]\d*$/,
  wss: /^wss:\/\/127\.0\.0\.1:[1-9]\d*$/,
  unix: /^unix:\/.+\/socket$/,
}

// npm closes a WebSocket, both directions of it, when its own direction ends.
const isWebSocket = transport === 'ws' || transport === 'wss'
const npmClosesBoth = isWebSocket
// Where it must not, as something is still on its way to it.
const POLITE = npmClosesBoth ? ['--polite'] : []
// The bytes on the wire of messages of so many bytes each, up to 125.
const wireBytes = (overhead, sizes) => sizes.reduce((sum, size) => sum + size + overhead, 0)
const clientBytes = (...sizes) => wireBytes(isWebSocket ? 6 : 0, sizes)
const serverBytes = (...sizes) => wireBytes(isWebSocket ? 2 : 0, sizes)
// Our end leaves the peer's direction open.
const halfCloses = !(isWebSocket && security !== 'shs')
const isTls = transport === 'wss'

class NpmWorld extends World {
  proxies = []

  npm(args, script = 'peer.js') {
    const all = ['--no-deprecation', path.join(__dirname, script), ...args]
    const env = isTls ? { NODE_EXTRA_CA_CERTS: certificate().cert } : {}
    return this.start(`npm ${script === 'peer.js' ? args[0] : script}`, process.execPath, all, { env })
  }

  #npmStack(as, network) {
    const dir = this.socketDir(`npm-${this.procs.length}`)
    const tls = isTls ? ['--tls', path.dirname(certificate().cert)] : []
    return ['--stack', stack, '--seed', as.seed, '--network-key', network, '--dir', dir, ...tls]
  }

  // An npm server of the stack with an identity; `at` is where it listens, as it says itself.
  async npmServer(args = [], { as: me = identity(), network = MAIN_NETWORK } = {}) {
    const proc = this.npm(['server', ...this.#npmStack(me, network), ...args])
    return { proc, me, at: (await proc.event('listening')).address }
  }

  npmClient(address, args = [], { as = identity(), network = MAIN_NETWORK } = {}) {
    return this.npm(['client', ...this.#npmStack(as, network), ...args, address])
  }

  // Our command; it trusts the certificate of the test.
  ours([subcommand, ...args], opts) {
    const dials = subcommand !== 'serve' || args.includes('--forward')
    const trust = isTls && dials ? ['--tls-ca', certificate().cert] : []
    return super.ours([subcommand, ...trust, ...args], opts)
  }

  // Many npm clients in one process.
  crowd(address, args = []) {
    return this.npm([...this.#npmStack(identity(), MAIN_NETWORK), ...args, address], 'crowd.js')
  }

  // Our server of the stack, and of `more` after it. `at` is what it prints.
  async oursServer(args, { more = [], ...opts } = {}) {
    const me = identity()
    const socket = `ours-${this.procs.length}`
    const place = { net: 'net:127.0.0.1:0', ws: 'ws://127.0.0.1:0', wss: 'wss://127.0.0.1:0', unix: `unix:${this.socketDir(socket)}/socket` }[transport]
    const addresses = [security ? `${place}~${security}` : place, ...more]
    const tls = isTls ? ['--tls-cert', certificate().cert, '--tls-key', certificate().key] : []
    const proc = this.ours(['serve', ...tls, ...args, ...addresses], { as: me, ...opts })
    const at = await proc.line(args.includes('--stdio') ? 'stderr' : 'stdout')
    const [where, how = ''] = at.split(';')[0].split('~')
    assert.match(where, PLACES[transport])
    assert.strictEqual(how, security === 'shs' ? `shs:${me.key}` : security)
    return { proc, me, at }
  }

  async proxy(target, opts) {
    const proxy = new Proxy()
    const where = this.socketDir(`proxy-${this.proxies.push(proxy)}`)
    await proxy.listen(target, where, opts)
    return proxy
  }

  async end() {
    for (const proxy of this.proxies) proxy.close()
    return super.end()
  }
}

// What our server says on stderr besides its address.
const complaint = ({ proc, at }) => ({ err: proc.err.replace(at + '\n', '') })

// Whether an address is one of the stack.
const isOfStack = (address) =>
  address.startsWith(transport + ':') && (address.split('~')[1] || '').split(':')[0] === security

// An npm client whose end would close both directions ends when it has `size` bytes: what it is told,
// and what lets it end then.
const holds = (size) => (npmClosesBoth ? ['--hold', '--watch', String(size)] : [])
async function released(npm) {
  if (!npmClosesBoth) return
  await npm.event('reached')
  npm.say('end')
}

const scenario = (name, body) => shared.scenario(name, body, NpmWorld)

// One that needs an npm peer which does not read what it is not asked for, and whose direction stays
// open when ours ends: over WebSocket it reads into its memory, and closes both.
const scenarioOfStreams = (name, body) => isWebSocket || scenario(name, body)

module.exports = {
  ...shared,
  identity,
  scenario,
  scenarioOfStreams,
  complaint,
  isOfStack,
  stack,
  transport,
  security,
  isWebSocket,
  clientBytes,
  serverBytes,
  npmClosesBoth,
  holds,
  released,
  POLITE,
  halfCloses,
  MAIN_NETWORK,
  MIB,
}
