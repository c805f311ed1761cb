'use strict'
// The whole command while the system fails it: each call of a kind fails once, in a run of its own,
// until a run meets none (faulty.c). The command recovers or says why; it is never killed by a signal,
// never hangs, and never exits with 0 without what it was to give.
//
//   node test/faults/run.js [--most N] [--seconds N] [--seed N] [--scenario NAME...] [--fault KIND...]
//     [--at N] [--jobs N]
//
// $MULTISERVER is the command, a build without sanitizers (default: build/release/multiserver). Of each
// scenario and kind --most calls fail (default: all of them), chosen by the seed, which is printed.
// Where a library aborts or crashes by itself the run is told apart. Exits 1 when a run has failed.

const fs = require('fs')
const { parseArgs } = require('util')
const { setTimeout: sleep } = require('timers/promises')
const { tool } = require('../tools/find')
const { World } = require('../world')
const { scenarios } = require('./scenarios')

const KINDS = ['alloc', 'emfile', 'enfile', 'accept-emfile', 'accept-aborted', 'accept-nomem', 'enospc', 'eio', 'read-eio',
  'again', 'intr', 'short', 'random', 'fork', 'thread', 'resolve']
// What goes on once it has begun.
const LASTING = { short: '1000000', intr: '3', again: '3' }
const LIBRARIES = /\/(libuv|libsodium|libcrypto|libssl|libjansson|libhttp_parser)[^/]*\.so/
const LATE_MSEC = 20000

const { values: options } = parseArgs({
  options: {
    most: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '0' },
    seed: { type: 'string', default: String(Date.now() % 1000000) },
    scenario: { type: 'string', multiple: true },
    fault: { type: 'string', multiple: true },
    at: { type: 'string' },
    jobs: { type: 'string', default: '3' },
  },
})
const until = Number(options.seconds) ? Date.now() + 1000 * Number(options.seconds) : Infinity

// What the shim has noted: how many calls there were, whether one has failed, and where an abort came from.
function read(log) {
  const text = fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : ''
  const callers = (mark) => {
    const [, after = ''] = text.split(`${mark}\n`)
    return after.split(/^(?:abort|calls)/m)[0].split('\n').filter((line) => line && !/\/lib(faulty|c)\.so/.test(line))
  }
  return { calls: Number(/calls (\d+)/.exec(text)?.[1] || 0), hit: text.includes('hit\n'), hitters: callers('hit'), aborters: callers('abort') }
}

async function run(name, kind, at) {
  const world = new World()
  const log = world.path('faulty.log')
  const env = { LD_PRELOAD: tool('libfaulty.so'), FAULTY: kind, FAULTY_AT: String(at), FAULTY_LOG: log, FAULTY_TIMES: LASTING[kind] || '1' }
  const story = { world, env, victim: null }
  let late
  const timer = new Promise((resolve) => (late = setTimeout(() => resolve('it hangs'), LATE_MSEC)))
  try {
    const found = await Promise.race([scenarios[name](story).catch((err) => err.message), timer])
    const { victim } = story
    if (victim && !victim.done && found) victim.kill('SIGKILL')
    await sleep(0)
    return { found: found || '', victim: story.world.procs.join('\n'), signal: victim?.done?.signal, ...read(log) }
  } finally {
    clearTimeout(late)
    await world.end()
  }
}

// mulberry32
function random(seed) {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function choose(calls, most, next) {
  const all = Array.from({ length: calls }, (_, i) => i + 1)
  if (calls <= most) return all
  for (let i = 0; i < most; i++) {
    const j = i + Math.floor(next() * (calls - i))
    ;[all[i], all[j]] = [all[j], all[i]]
  }
  return all.slice(0, most).sort((a, b) => a - b)
}

async function main() {
  const seed = Number(options.seed)
  const next = random(seed)
  const apart = new Map()
  const failed = []
  let runs = 0
  console.log(`faults: --seed ${seed}`)
  const jobs = []
  const pairs = (options.scenario || Object.keys(scenarios)).flatMap((name) => (options.fault || KINDS).map((kind) => [name, kind]))
  const counts = new Map()

  const one = async (name, kind, at) => {
    const { found, victim, hit, hitters, aborters } = await run(name, kind, at)
    runs++
    const row = counts.get(`${name} ${kind}`)
    if (hit) row.hit++
    const named = aborters.map((line) => /\((\w+)\+/.exec(line)?.[1]).find(Boolean)
    const library = aborters.length && LIBRARIES.test(aborters[0]) && `${LIBRARIES.exec(aborters[0])[1]}, ${named}, at ${kind}`
    if (library) apart.set(library, [...(apart.get(library) || []), `${name} ${kind} ${at}`])
    else if (found) {
      failed.push(`--scenario ${name} --fault ${kind} --at ${at}`)
      console.log(`\n--scenario ${name} --fault ${kind} --at ${at}: ${found}\n${victim}failed for:\n${hitters.slice(0, 8).join('\n')}`)
    }
  }
  const workers = async (list, work) => {
    const queue = [...list]
    await Promise.all(Array.from({ length: Number(options.jobs) }, async () => {
      while (queue.length && Date.now() < until) await work(...queue.shift())
    }))
  }

  // how many calls there are, and that all is well where none fails
  await workers(pairs, async (name, kind) => {
    const { found, calls, victim } = await run(name, kind, 0)
    if (found) throw new Error(`${name} without a fault: ${found}\n${victim}`)
    counts.set(`${name} ${kind}`, { calls, hit: 0 })
  })
  for (const [name, kind] of pairs) {
    const calls = counts.get(`${name} ${kind}`)?.calls || 0
    // times vary a little from run to run: some more, until one meets none
    const list = options.at ? [Number(options.at)] : choose(calls + (calls && 2), Number(options.most), next)
    for (const at of list) jobs.push([name, kind, at])
  }
  for (let i = jobs.length - 1; i > 0; i--) { // where time runs out, it does for no kind alone
    const j = Math.floor(next() * (i + 1))
    ;[jobs[i], jobs[j]] = [jobs[j], jobs[i]]
  }
  await workers(jobs, one)
  const names = [...new Set(pairs.map(([name]) => name))]
  for (const name of names) {
    const cells = [...counts].filter(([key, { calls }]) => key.startsWith(`${name} `) && calls)
    console.log(`${name.padEnd(18)} ${cells.map(([key, { calls, hit }]) => `${key.split(' ')[1]} ${hit}/${calls}`).join(', ')}`)
  }
  for (const [where, list] of apart) console.log(`dies by itself: ${where} (${list.length}, as ${list[0]})`)
  console.log(`${runs} runs, ${failed.length} failed`)
  process.exit(failed.length ? 1 : 0)
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
