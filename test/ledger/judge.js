'use strict'
// What a round may not have: compares what everybody said with what really arrived. Pure.

const { shows, halfCloses } = require('./plan')

const HARMLESS = ['none', 'pause', 'stall']
const isComplete = (account, way) => account.arrived[way].equals(account.given[way])
const isPrefix = (account, way) => account.arrived[way].equals(account.given[way].subarray(0, account.arrived[way].length))

// Whether nothing was done to the round that could have kept anything from arriving.
const unharmed = (plan, { struck }) => HARMLESS.includes(plan.fault.kind) || !struck.hit || struck.late

const missing = (account, way) => `${account.given[way].length - account.arrived[way].length} of ${account.given[way].length} bytes ${way} are missing`

// Clean ends of processes that are told apart by how far their stacks can show an end.
function falseEnds(plan, account) {
  const found = []
  const { who, refused } = account
  const allShow = plan.hops.every(({ stack }) => shows(stack))
  const allHalf = plan.hops.every(({ stack }) => halfCloses(stack))
  const kind = allShow ? 'false end' : 'unshown'
  const add = (what) => found.push({ kind, what })
  const clean = (role) => who[role] && who[role].exit && who[role].exit.code === 0 && !who[role].exit.signal
  const termed = (role) => plan.fault.kind === 'term' && plan.fault.target === role
  // what waits in a pipe that nobody reads any more was taken
  const deaf = (role) => plan.fault.kind === 'deaf' && plan.fault.target === role
  // exit 0: the peer ended cleanly, so that all of its stream is there
  if (clean('client') && !deaf('client') && !isComplete(account, 'down')) add(`the client exits with 0, and ${missing(account, 'down')}`)
  if (plan.endpoint === 'stdio' && clean('server') && !termed('server') && !deaf('server') && !isComplete(account, 'up')) add(`the server exits with 0, and ${missing(account, 'up')}`)
  // and all that we had to say was said
  if (clean('client') && refused.up) add('the client exits with 0 before it has read its input')
  if (plan.endpoint === 'stdio' && clean('server') && !termed('server') && refused.down) add('the server exits with 0 before it has read its input')
  // a command commits what it was given when its input ends
  if (account.committed && !isComplete(account, 'up')) add(`the input of the command has ended, and ${missing(account, 'up')}`)
  const ends = plan.endpoint === 'exec' ? who.server.events.filter(({ event, reason }) => event === 'closed' && reason === 'end') : []
  if (ends.length && !isComplete(account, 'up')) add(`closed by "end" at the server, and ${missing(account, 'up')}`)
  // an end that follows the whole stream of the other side proves that it arrived
  const proves = allHalf && !deaf('server') && (plan.endpoint === 'exec' || plan.down.source === 'null' || plan.down.source === 'silent')
  if (clean('client') && !isComplete(account, 'up')) {
    if (proves) add(`the client exits with 0, and ${missing(account, 'up')}`)
    else found.push({ kind: 'unproven', what: `the client exits with 0, and ${missing(account, 'up')}` })
  }
  return found
}

// What connect asks of who dials a stack that proves no key, when the peer says nothing.
const NOTE = /^multiserver: the peer has ended without a word[^\n]*\n$/

function alarms(plan, account) {
  const found = []
  const add = (what) => found.push({ kind: 'false alarm', what })
  for (const [role, { exit, err, events }] of Object.entries(account.who)) {
    if (exit && (exit.code !== 0 || exit.signal) && !killed(plan, account, role)) add(`${role} exits with ${exit.code ?? exit.signal}: ${err.trim()}`)
    else if (err && !(role === 'client' && NOTE.test(err) && account.arrived.down.length === 0)) add(`${role} says: ${err.trim()}`)
    for (const one of events) if (one.event === 'error' || (one.event === 'closed' && one.reason !== 'end')) add(`${role} tells ${JSON.stringify(one)}`)
  }
  for (const way of ['up', 'down']) if (!isComplete(account, way)) found.push({ kind: 'lost', what: `nothing was done to it, and ${missing(account, way)}` })
  return found
}

const killed = (plan, { struck }, role) => struck.hit && plan.fault.target === role && ['kill', 'stopkill', 'term'].includes(plan.fault.kind)

// What is wrong whatever the plan was.
function always(plan, account) {
  const found = []
  const add = (kind, what) => found.push({ kind, what })
  for (const way of ['up', 'down']) if (!isPrefix(account, way)) add('garbled', `what arrives ${way} is not the beginning of what was given`)
  for (const role of account.hung) add('hangs', `${role} is not over`)
  for (const [role, what] of Object.entries(account.left)) if (what.length) add('left behind', `${role}: ${what.join(', ')}`)
  for (const [role, { exit, err }] of Object.entries(account.who)) {
    if (/Sanitizer|runtime error|[Aa]ssert/.test(err)) add('broken', `${role}: ${err.trim()}`)
    if (exit && exit.signal && !account.hung.includes(role) && !killed(plan, account, role)) add('broken', `${role} is killed by ${exit.signal}`)
    if (exit && exit.code && !/^multiserver: ./m.test(err)) add('silent', `${role} exits with ${exit.code} and does not say why`)
  }
  return found
}

function judge(plan, account) {
  const found = [...always(plan, account), ...falseEnds(plan, account)]
  if (unharmed(plan, account)) found.push(...alarms(plan, account))
  return found
}

// What stands apart: no stack could have shown it, or nobody promised it.
const APART = ['unshown', 'unproven']

module.exports = { judge, APART }
