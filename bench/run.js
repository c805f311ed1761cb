'use strict'
// The benchmark: ours beside npm multiserver, each measure in turns, so that what the machine does
// besides hits both.
//
//   node bench/run.js --help

const { spawn, execFileSync } = require('child_process')
const fs = require('fs')
const os = require('os')
const path = require('path')
const readline = require('readline')
const { parseArgs } = require('util')

const PARTS = ['bulk', 'small', 'handshakes', 'ping', 'idle']
const usage = `usage: node bench/run.js [--quick] [--over NAME] [--rounds N] [--only PART,...] [--json FILE] [--ours FILE]

  --quick       one short round: half a minute
  --over NAME   the transport below shs: net (default) or ws
  --rounds N    so many of each measure (default: 5)
  --only PARTS  of ${PARTS.join(', ')}
  --json FILE   write every figure to FILE as well
  --ours FILE   our side (default: build/release/bench/bench-ms, which make bench builds)`

function readOptions() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      quick: { type: 'boolean', default: false },
      over: { type: 'string', default: 'net' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', default: PARTS.join() },
      json: { type: 'string' },
      ours: { type: 'string', default: path.join(__dirname, '../build/release/bench/bench-ms') },
    },
  })
  if (values.help) return values
  if (!/^[1-9]\d{0,3}$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds}: is a number from 1 to 9999`)
  if (!['net', 'ws'].includes(values.over)) throw new Error(`--over ${values.over}: is neither net nor ws`)
  for (const part of values.only.split(',')) {
    if (!PARTS.includes(part)) throw new Error(`--only ${part}: is none of ${PARTS.join(', ')}`)
  }
  if (!fs.existsSync(values.ours)) throw new Error(`--ours ${values.ours}: is not there; make bench builds it`)
  return values
}

let options
try {
  options = readOptions()
} catch (err) {
  console.error(`bench: ${err.message} (--help tells more)`)
  process.exit(2)
}
if (options.help) {
  console.log(usage)
  process.exit(0)
}
const rounds = options.quick ? 1 : Number(options.rounds)
const size = (full, quick) => (options.quick ? quick : full)
const MIB = 1 << 20

const npm = [process.execPath, '--no-deprecation', '--expose-gc', path.join(__dirname, 'npm_peer.js')]
const SIDES = { ours: [options.ours], npm }

class Peer {
  constructor([file, ...before], args, env) {
    this.child = spawn(file, [...before, ...args.map(String)], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, MS_TRANSPORT: options.over, ...env } })
    this.lines = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
    this.name = `${path.basename(file)} ${args.join(' ')}`
    this.child.stdin.on('error', () => {})
  }

  async line() {
    const { value, done } = await this.lines.next()
    if (done) throw new Error(`${this.name}: it has ended without an answer`)
    return value
  }

  async stat() {
    this.child.stdin.write('stat\n')
    return JSON.parse(await this.line())
  }

  end() {
    this.child.stdin.end()
    return new Promise((resolve) => (this.child.exitCode === null && this.child.signalCode === null
      ? this.child.on('exit', resolve) : resolve()))
  }
}

// A server and one client of the given sides: what the client has told, and what it cost the server.
async function measure(server, client, args, env) {
  const s = new Peer(SIDES[server], ['serve'], env)
  const address = await s.line()
  const before = await s.stat()
  const c = new Peer(SIDES[client], [args[0], address, ...args.slice(1)], env)
  const told = JSON.parse(await c.line())
  const after = await s.stat()
  await Promise.all([c.end(), s.end()])
  return { ...told, server: after.cpu - before.cpu, served: after.served - before.served }
}

async function idleBytes(side, n) {
  const s = new Peer(SIDES[side], ['serve'])
  const address = await s.line()
  const warm = new Peer(SIDES[side], ['handshakes', address, 200, 8])
  await warm.line()
  await warm.end()
  const before = await s.stat()
  const c = new Peer(SIDES[side], ['idle', address, n])
  await c.line()
  const after = await s.stat()
  await Promise.all([c.end(), s.end()])
  return (after.rss - before.rss) / n
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
const number = (v) => (v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2))
const span = (list) => `${number(median(list))} (${number(Math.min(...list))}-${number(Math.max(...list))})`

const results = []
// `more`: more is better. `goal`: of the ratio, in our favour.
function row(name, unit, ours, other, { more = false, goal, otherName = 'npm' } = {}) {
  const ratio = more ? median(ours) / median(other) : median(other) / median(ours)
  results.push({ name, unit, ours, [otherName]: other, ratio, goal })
  const judged = goal ? `${goal}x ${ratio >= goal ? 'met' : 'missed'}` : ''
  const cells = [`${name}, ${unit}`.padEnd(48), span(ours).padEnd(24), span(other).padEnd(24), `${ratio.toFixed(1)}x`.padEnd(8), judged]
  console.log(cells.join(' ').trimEnd())
}

// One line on a terminal, replaced by the next.
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

async function turns(name, one) {
  const all = { ours: [], npm: [] }
  for (let i = 0; i < rounds; i++) {
    for (const side of ['ours', 'npm']) {
      progress(`${name}: round ${i + 1} of ${rounds}, ${side}`)
      all[side].push(await one(side))
    }
  }
  progress('')
  return all
}

async function bulk(name, write, bytes, goal) {
  const { ours, npm: other } = await turns(name, async (side) => {
    const n = bytes[side]
    const r = await measure(side, side, ['bulk', n, write], { MS_BYTES: String(n) })
    return { rate: n / 1e6 / r.wall, server: r.server / (n / 1e9), client: r.cpu / (n / 1e9) }
  })
  const of = (field) => [ours.map((r) => r[field]), other.map((r) => r[field])]
  row(name, 'MB/s', ...of('rate'), { more: true, goal })
  row(`${name}, server CPU`, 's/GB', ...of('server'))
  row(`${name}, client CPU`, 's/GB', ...of('client'))
}

const parts = {
  bulk: () => bulk(`${options.over}~shs, writes of 64 KiB`, 65536, { ours: size(1024, 128) * MIB, npm: size(256, 32) * MIB }, 3),
  small: () => bulk(`${options.over}~shs, writes of 1 KiB`, 1024, { ours: size(512, 64) * MIB, npm: size(64, 8) * MIB }, 3),
  async handshakes() {
    const n = { ours: size(3000, 300), npm: size(600, 100) }
    const { ours, npm: other } = await turns('handshakes', async (side) => {
      const r = await measure(side, side, ['handshakes', n[side], 8])
      if (r.served !== n[side]) throw new Error(`${r.served} of ${n[side]} handshakes were served`)
      return { rate: n[side] / r.wall, server: (r.server / n[side]) * 1e6 }
    })
    row('handshakes, 8 at a time', 'a second', ours.map((r) => r.rate), other.map((r) => r.rate), { more: true })
    row('handshake, server CPU', 'us', ours.map((r) => r.server), other.map((r) => r.server), { goal: 3 })
  },
  async ping() {
    const n = { ours: size(10000, 1000), npm: size(2000, 500) }
    const nodelay = await turns('round trips, TCP_NODELAY', (side) => measure(side, side, ['ping', n[side]], { MS_NODELAY: '1' }))
    const plain = await turns('round trips as npm is', (side) => measure('npm', side, ['ping', side === 'npm' ? size(40, 10) : n.npm]))
    const of = (r, field) => r.map((x) => x[field])
    row('64 bytes there and back, p50', 'us', of(nodelay.ours, 'p50'), of(nodelay.npm, 'p50'))
    row('64 bytes there and back, p99', 'us', of(nodelay.ours, 'p99'), of(nodelay.npm, 'p99'))
    row('the same, our client and an npm server, p50', 'us', of(plain.ours, 'p50'), of(plain.npm, 'p50'))
  },
  async idle() {
    const limit = Number(execFileSync('sh', ['-c', 'ulimit -Hn']).toString()) || Infinity
    const n = Math.min(size(10000, 1000), limit - 200)
    const { ours, npm: other } = await turns(`${n} idle connections`, (side) => idleBytes(side, n))
    row(`memory of one of ${n} idle connections`, 'bytes', ours, other)
  },
}

async function main() {
  const load = () => os.loadavg().map((v) => v.toFixed(2)).join(' ')
  const version = (name) => require(`${name}/package.json`).version
  console.log(`${new Date().toISOString()}, ${os.cpus()[0].model}, ${os.cpus().length} cores, ${os.type()} ${os.release()}`)
  console.log(`Node ${process.version}, npm multiserver ${version('multiserver')}, secret-handshake ${version('secret-handshake')}, sodium-native ${version('sodium-native')}`)
  console.log(`medians of ${rounds} rounds in turns (least-most); load ${load()}\n`)
  console.log([''.padEnd(48), 'ours'.padEnd(24), 'npm'.padEnd(24), 'ratio'.padEnd(8), 'goal'].join(' '))
  for (const part of options.only.split(',')) await parts[part]()
  console.log(`\nload ${load()}`)
  if (options.json) fs.writeFileSync(options.json, JSON.stringify(results, null, 2) + '\n')
}

main().catch((err) => {
  console.error(`\nbench: ${err.message}`)
  process.exit(1)
})
