'use strict'
// A hostile load on one server, one kind after the other, with honest peers beside it:
//
//   node test/hostile/run.js [--short] [--seconds N] [--only KIND...] [--buffered BYTES]
//
// $MULTISERVER is the command (default: build/release/multiserver). Prints a table: what honest peers
// wait for their 64 bytes to come back while it is quiet and under the load, the longest that one waited
// to come in, also while the load was coming, how many of them were cut or kept out, what memory the
// server has taken beside its bound, its descriptors before and after, and how soon all is as it was. Exits 1 when an honest peer was cut, kept out or left waiting, a bound did
// not hold, or something stayed behind; without --short also when that took more than a second. Times
// of round trips are for people to read.

const fs = require('fs')
const { parseArgs } = require('util')
const { setTimeout: sleep } = require('timers/promises')
const { tool } = require('../tools/find')
const { World } = require('../world')
const { certificate } = require('../interop/certificate')
const { peak, resident, descriptors, LEAN } = require('../interop/proc_fs')

const MIB = 1 << 20
const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    seconds: { type: 'string' }, // of each load
    only: { type: 'string', multiple: true },
    buffered: { type: 'string' },
  },
})
const short = options.short
const seconds = Number(options.seconds || (short ? 1.5 : 6))
const buffered = Number(options.buffered || (short ? 16 * MIB : 256 * MIB))
const HONEST = 5 // of each address
const RECOVERY_MSEC = short ? 10000 : 1000 // a machine that runs other tests has time
const sanitized = fs.readFileSync(process.env.MULTISERVER).includes('__asan_init')

// Who comes to which stack, how many, and what one of them may take beside the buffers: a connection
// and, of TLS, what OpenSSL keeps.
const KIB = 1024
const LOADS = [
  { kind: 'silent', at: 'shs', count: [500, 4000], each: 4 * KIB },
  { kind: 'drip', at: 'ws', count: [200, 1000], each: 4 * KIB },
  { kind: 'hello', at: 'shs', count: [100, 500], each: 4 * KIB },
  { kind: 'head', at: 'ws', count: [200, 1000], each: 4 * KIB },
  { kind: 'client-hello', at: 'wss', count: [200, 1000], each: 64 * KIB },
  { kind: 'pings', at: 'ws', count: [10, 40], each: 4 * KIB },
  { kind: 'frames', at: 'ws', count: [10, 40], each: 4 * KIB },
  { kind: 'bytes', at: 'net', count: [10, 40], each: 4 * KIB },
  { kind: 'slow', at: 'net', count: [200, 800], each: 4 * KIB },
  { kind: 'unfinished', at: 'shs', count: [1000, 4000], each: 4 * KIB },
  { kind: 'page', at: 'ws', count: [200, 800], each: 4 * KIB },
]

const world = new World()

async function startServer() {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/large`, Buffer.alloc(8 * MIB))
  const { cert, key } = certificate()
  const server = world.ours(['serve', '--echo', '--json', '--allow-any', '--limit', `buffered=${buffered}`,
    '--limit', 'handshakes=1024', '--http-root', root, '--tls-cert', cert, '--tls-key', key,
    'net:127.0.0.1:0~shs', 'net:127.0.0.1:0', 'ws://127.0.0.1:0', 'wss://127.0.0.1:0'], { env: LEAN })
  const at = {}
  for (let i = 0; i < 4; i++) {
    const { address } = await server.event('listening', i)
    at[address.startsWith('net') ? (address.includes('shs') ? 'shs' : 'net') : address.split(':')[0]] = address
  }
  return { server, at }
}

const portOf = (address) => /127\.0\.0\.1:(\d+)/.exec(address)[1]

let asked = 0
async function stats(server) {
  const n = asked++
  server.kill('SIGUSR1')
  return server.event('stats', n)
}

let told = 0
async function honestly(honest) {
  honest.say('')
  return honest.event('honest', told++)
}

// The peak of resident memory from now on.
const forget = (proc) => fs.writeFileSync(`/proc/${proc.child.pid}/clear_refs`, '5')

async function load(server, honest, at, { kind, at: where, count: counts, each }) {
  const count = counts[short ? 0 : 1]
  const found = []
  await honestly(honest)
  await sleep(short ? 500 : 2000)
  const quiet = await honestly(honest)
  const before = { fds: descriptors(server), rss: resident(server) }
  forget(server)
  const hostile = world.start('hostile', tool('hostile-peers'), [kind, portOf(at[where]), String(count), at.shs.split(':').pop()])
  // whoever is turned away may never be up
  await Promise.race([hostile.line(), sleep(10000)])
  const arriving = await honestly(honest)
  const samples = []
  for (let i = 0; i < seconds * 2; i++) {
    await sleep(500)
    samples.push(await stats(server))
  }
  const loaded = await honestly(honest)
  const grown = peak(server) - before.rss
  hostile.child.stdin.end()
  await hostile.exit()
  const over = Date.now()
  const recovered = await recovery(server, before.fds)
  const took = Date.now() - over
  await honestly(honest)
  await sleep(500)
  let after = await honestly(honest)
  for (let i = 0; short && i < 10 && after.late; i++) { // a machine that runs other tests is slow, but not for ever
    await sleep(500)
    after = await honestly(honest)
  }

  const bound = (buffered + count * each + 8 * MIB) * (sanitized ? 2 : 1)
  const most = Math.max(...samples.map((one) => one.buffered))
  const entry = Math.max(arriving.entry, loaded.entry)
  if (entry > 1000 && !short) found.push(`a newcomer waits for ${entry} ms until it is in`)
  if (most > buffered) found.push(`${most} bytes are buffered, more than ${buffered}`)
  if (grown > bound) found.push(`${mib(grown)} MiB more memory than before, more than ${mib(bound)}`)
  for (const [when, one] of [['under the load', loaded], ['after it', after]]) {
    if (one.cut || one.refused) found.push(`${when} ${one.cut} honest peers were cut, ${one.refused} kept out: ${one.why}`)
    if (one.late && (one === after || !short)) found.push(`${when} ${one.late} honest peers wait for more than a second`)
    if (one.trips === 0) found.push(`${when} no honest peer was served`)
  }
  if (recovered) found.push(recovered)
  else if (took > RECOVERY_MSEC) found.push(`it is as it was only after ${took} ms`)
  const row = [kind, count, `${quiet.p50.toFixed(2)}/${quiet.p99.toFixed(2)}`, `${loaded.p50.toFixed(2)}/${loaded.p99.toFixed(2)}`,
    entry.toFixed(0), loaded.trips, loaded.cut + loaded.refused, mib(most), `${mib(grown)}/${mib(bound)}`, `${before.fds}/${descriptors(server)}`, took]
  console.log(row.map((cell, i) => String(cell).padEnd(WIDTHS[i])).join(' '))
  for (const what of found) console.log(`  ${what}`)
  return found.length
}

const mib = (bytes) => (bytes / MIB).toFixed(1)
const TITLES = ['load', 'peers', 'quiet p50/p99', 'loaded p50/p99', 'entry', 'trips', 'cut', 'buffered', 'grown/bound', 'fds', 'recovered, ms']
const WIDTHS = [13, 6, 14, 15, 6, 7, 5, 9, 14, 9, 9]

// '' as soon as all is as it was; honest peers come and go.
async function recovery(server, fds) {
  const most = HONEST * 4
  const deadline = Date.now() + 10000
  for (;;) {
    const { open, pending, buffered: held } = await stats(server)
    const now = descriptors(server)
    if (open <= most && pending <= most && held < MIB && now <= fds + most) return ''
    if (Date.now() > deadline) return `10 s later there are open=${open} pending=${pending} buffered=${held}, ${now - fds} more descriptors`
    await sleep(20)
  }
}

async function main() {
  const { server, at } = await startServer()
  const honest = world.start('honest', tool('honest-peers'), [String(HONEST), ...Object.values(at)])
  honest.until(() => honest.done, 'an exit').then(() => server.done || console.log(`honest: ${honest.err}`))
  for (let i = 0; ; i++) {
    await sleep(100)
    if ((await honestly(honest)).trips) break
    if (i > 100) throw new Error(`no honest peer comes in\n${honest}\n${server}`)
  }
  console.log(`buffered=${buffered}; milliseconds, MiB${sanitized ? '; a build with ASan: memory is counted double' : ''}`)
  console.log(TITLES.map((cell, i) => cell.padEnd(WIDTHS[i])).join(' '))
  let wrong = 0
  for (const one of LOADS) if (!options.only || options.only.includes(one.kind)) wrong += await load(server, honest, at, one)
  server.kill('SIGTERM')
  const status = await server.exit()
  if (status !== 0) console.log(`the server exits with ${status}: ${server.err.slice(-2000)}`)
  if (/Sanitizer/.test(server.err)) console.log(server.err)
  await world.end()
  process.exit(wrong || status ? 1 : 0)
}

main().catch(async (err) => {
  console.error(err)
  await world.end()
  process.exit(1)
})
