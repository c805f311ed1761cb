'use strict'
// What happens in one round of the ledger, chosen by its seed and nothing else.

const RECORD_BYTES = 32

// Where a stack can show that an end is a peer's own: a goodbye, a close_notify, a Close. A FIN is
// what a dead process's kernel says, too.
const shows = (stack) => /\bws|shs|tls/.test(stack)
// Whether one direction can end without the other.
const halfCloses = (stack) => !/\bws/.test(stack) || /shs/.test(stack)

const STACKS = [
  'net', 'net~noauth', 'net~shs', 'net~tls', 'net~tls~shs',
  'unix', 'unix~noauth', 'unix~shs', 'unix~tls', 'unix~tls~shs', 'unix~ws', 'unix~ws~shs', 'unix~tls~ws',
  'ws', 'ws~noauth', 'ws~shs', 'wss', 'wss~noauth', 'wss~shs',
]
const ACTIONS = ['stdio', 'exec', 'forward', 'chain']
const BRIDGES = { stdio: 0, exec: 0, forward: 1, chain: 2 }

// mulberry32
function random(seed) {
  let a = seed >>> 0
  const next = () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n) => Math.floor(next() * n)
  const pick = (list) => list[below(list.length)]
  return { next, below, pick, once: (n) => below(n) === 0 }
}

// The seed of round `i`: every stack comes first in turn, with one action after the other.
function roundSeed(seed, i) {
  const cases = STACKS.length * ACTIONS.length
  const turn = (i + Math.floor(i / STACKS.length)) % ACTIONS.length * STACKS.length + i % STACKS.length
  return Math.floor(random(seed ^ Math.imul(i + 1, 0x9e3779b1)).next() * 0x3ffffff) * cases + turn
}

function records(r) {
  return r.pick([0, 1, r.below(100), r.below(2000), 2000 + r.below(10000), 2000 + r.below(10000), r.below(100000)])
}

// One direction: what is given, how, and how it is taken at the other end.
function stream(r, sources) {
  const source = r.pick(sources)
  const none = source === 'null' || source === 'silent'
  return {
    source,
    records: none ? 0 : records(r),
    pieces: 1 + r.below(source === 'pipe' ? 20 : 1),
    gapMsec: r.pick([0, 0, 1, 5, 20]),
    taken: r.pick(['file', 'pipe', 'slow']), // the receiver's standard output
  }
}

// The fault, and who or what it strikes. `pause` and `stall` end by themselves: nothing may come of them.
function fault(r, plan) {
  const relays = plan.hops.flatMap((hop, i) => (hop.relay ? [i] : []))
  const processes = ['client', 'server', ...plan.hops.slice(1).map((_, i) => `bridge${i}`)]
  if (plan.endpoint === 'exec') processes.push('command')
  const kinds = ['none', 'kill', 'kill', 'kill', 'term', 'stopkill', 'pause', 'deaf']
  if (relays.length) kinds.push('cut', 'cut', 'reset', 'reset', 'half', 'half', 'stall')
  const kind = r.pick(kinds)
  const one = { kind, msec: 30 + r.below(300) }
  if (['kill', 'term', 'stopkill', 'pause'].includes(kind)) one.target = r.pick(processes)
  if (kind === 'deaf') one.target = plan.endpoint === 'stdio' ? r.pick(['client', 'server']) : 'client'
  if (['cut', 'reset', 'half', 'stall'].includes(kind)) {
    one.hop = r.pick(relays)
    one.direction = r.pick(['up', 'down'])
  }
  return one
}

function moment(r, plan) {
  const { fault: { kind, hop }, hops, up, down } = plan
  const relays = hops.flatMap(({ relay }, i) => (relay ? [i] : []))
  const kinds = ['time', 'arrived', 'arrived', 'ended', 'exit']
  if (relays.length) kinds.push('passed', 'passed')
  if (up.source === 'pipe' || down.source === 'pipe') kinds.push('given')
  const at = r.pick(kinds)
  const direction = r.pick(['up', 'down'])
  const msec = r.pick([0, 0, r.below(10), r.below(100), r.below(400)])
  const part = r.pick([r.next(), r.next(), 1])
  switch (at) {
    case 'passed': return { at, hop: kind === 'cut' || kind === 'reset' || kind === 'half' ? hop : r.pick(relays), direction, part, msec: 0 }
    case 'given': return { at, direction: (direction === 'up' ? up : down).source === 'pipe' ? direction : direction === 'up' ? 'down' : 'up', part, msec: 0 }
    case 'arrived': return { at, direction, part, msec }
    case 'exit': return { at, who: direction === 'up' ? 'client' : 'server', msec }
    default: return { at, direction, msec }
  }
}

// The whole plan; `only` may name the stacks of all hops and the actions to choose from.
function plan(seed, only = {}) {
  const r = random(seed)
  const stacks = only.stacks || STACKS
  const actions = only.actions || ACTIONS
  const action = actions[Math.floor(seed / STACKS.length) % actions.length]
  const hops = Array.from({ length: BRIDGES[action] + 1 }, (_, i) => {
    const stack = r.pick(stacks)
    return { stack: i ? stack : stacks[seed % STACKS.length % stacks.length], relay: !r.once(3) }
  })
  const endpoint = action === 'stdio' || action === 'exec' ? action : r.pick(['stdio', 'exec'])
  const it = { seed, action, endpoint, hops }
  it.up = stream(r, ['pipe', 'pipe', 'file', 'file', 'null', 'silent'])
  it.down = stream(r, endpoint === 'exec' ? ['file'] : ['pipe', 'pipe', 'file', 'file', 'null', 'null', 'silent'])
  if (endpoint === 'exec') it.answers = r.once(2) // it speaks when it has read everything
  // who says nothing, and whose input never ends, waits for the other's end: that must not wait for its
  if (it.up.source === 'silent' && (endpoint === 'exec' || it.down.records === 0)) it.up.source = 'null'
  it.fault = fault(r, it)
  it.moment = moment(r, it)
  return it
}

const describe = ({ action, endpoint, hops, answers, up, down, fault: f, moment: m }) => {
  const stacks = hops.map(({ stack, relay }) => stack + (relay ? '+relay' : '')).join(' > ')
  const way = (s) => `${s.records} records of ${s.source} (${s.pieces} pieces, ${s.gapMsec} ms) to ${s.taken}`
  return `${action}${endpoint === action ? '' : ` to ${endpoint}`}${answers ? ', which answers' : ''} over ${stacks}; ` +
    `up ${way(up)}; down ${way(down)}; ${JSON.stringify(f)} at ${JSON.stringify(m)}`
}

module.exports = { RECORD_BYTES, STACKS, ACTIONS, plan, roundSeed, describe, shows, halfCloses }
