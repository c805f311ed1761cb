'use strict'
// A ledger: numbered records through every stack and action, while somebody is killed, stopped, cut,
// reset or half-closed; afterwards what everybody said is compared with what really arrived.
//
//   node test/ledger/run.js [--rounds N] [--seconds N] [--seed N] [--stack STACK...] [--action ACTION...]
//     [--jobs N] [--round SEED] [--verbose]
//
// $MULTISERVER is the command (default: build/release/multiserver). Prints the seed; the same seed has the same plans.
// A round that fails is told with its own seed: --round SEED plays it alone, as often as --rounds
// says. Exits 1 when a round has failed. What no stack could have shown is counted apart.

const { parseArgs } = require('util')
require('../tools/find') // names MULTISERVER
const { plan: planOf, roundSeed, describe, shows, STACKS, ACTIONS } = require('./plan')
const { judge, APART } = require('./judge')
const { play } = require('./cast')

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '600' },
    seconds: { type: 'string', default: '0' }, // no more rounds begin then
    seed: { type: 'string', default: String(Date.now() % 1000000) },
    round: { type: 'string' },
    stack: { type: 'string', multiple: true },
    action: { type: 'string', multiple: true },
    jobs: { type: 'string', default: '4' },
    verbose: { type: 'boolean', default: false },
  },
})

function wrong(text) {
  console.error(`ledger: ${text}`)
  process.exit(2)
}
if (options.stack?.some((one) => !STACKS.includes(one))) wrong(`--stack is one of ${STACKS.join(', ')}`)
if (options.action?.some((one) => !ACTIONS.includes(one))) wrong(`--action is one of ${ACTIONS.join(', ')}`)
const seed = Number(options.seed)
const rounds = Number(options.rounds)
const until = Number(options.seconds) ? Date.now() + 1000 * Number(options.seconds) : Infinity
const table = new Map() // by the first hop's stack
const counts = {}

const only = { stacks: options.stack, actions: options.action }
const given = [...(options.stack || []).map((one) => ` --stack ${one}`), ...(options.action || []).map((one) => ` --action ${one}`)].join('')
const planFor = (i) => planOf(options.round === undefined ? roundSeed(seed, i) : Number(options.round), only)

function count(plan, account, found) {
  const name = plan.hops[0].stack
  const row = table.get(name) || { rounds: 0, whole: 0, failed: 0, apart: 0 }
  const { client } = account.who
  row.rounds++
  if (client.exit && client.exit.code === 0) row.whole++
  if (found.some(({ kind }) => !APART.includes(kind))) row.failed++
  else if (found.length) row.apart++
  table.set(name, row)
  for (const kind of new Set(found.map(({ kind }) => kind))) counts[kind] = (counts[kind] || 0) + 1
}

function tell(plan, account, found) {
  console.log(`\n--round ${plan.seed}${given}: ${describe(plan)}`)
  for (const { kind, what } of found) console.log(`  ${kind}: ${what}`)
  if (!account) return
  for (const [role, { exit, err, events }] of Object.entries(account.who)) {
    const closed = events.filter(({ event }) => event === 'closed').map(({ reason }) => reason)
    console.log(`  ${role}: ${exit ? exit.code ?? exit.signal : 'runs'}${closed.length ? `, closed by ${closed}` : ''}${err ? `; ${err.trim().replace(/\n/g, '\n    ')}` : ''}`)
  }
}

async function one(i) {
  const plan = planFor(i)
  let account = null
  let found
  try {
    account = await play(plan)
    found = judge(plan, account)
    count(plan, account, found)
  } catch (err) {
    found = [{ kind: 'broken', what: err.stack }]
    counts.broken = (counts.broken || 0) + 1
  }
  if (options.verbose || found.some(({ kind }) => !APART.includes(kind))) tell(plan, account, found)
}

async function main() {
  console.log(`ledger: --seed ${seed}`)
  let next = 0
  let played = 0
  const worker = async () => {
    while (next < rounds && Date.now() < until) {
      await one(next++)
      played++
    }
  }
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker))
  console.log(`\n${'first stack'.padEnd(16)} rounds  exit 0  failed  apart`)
  for (const [name, row] of [...table].sort()) {
    console.log(`${(name + (shows(name) ? '' : ' *')).padEnd(16)} ${[row.rounds, row.whole, row.failed, row.apart].map((n) => String(n).padStart(6)).join('  ')}`)
  }
  console.log('* has no end of its own: what a dead peer\'s kernel says looks like one')
  const failed = Object.entries(counts).filter(([kind]) => !APART.includes(kind))
  console.log(`\n${played} rounds; ${Object.entries(counts).map(([kind, n]) => `${kind}: ${n}`).join(', ') || 'nothing found'}`)
  process.exit(failed.length ? 1 : 0)
}

main()
