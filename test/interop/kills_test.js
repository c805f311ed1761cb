'use strict'
// One side is killed, without a last word, at every stage:  node kills_test.js net~shs
//
// With shs only a goodbye is a clean end. Without it a FIN is all there is: the kernel says one for
// a process that has been killed, or a reset where it had not read everything.

const assert = require('assert')
const fs = require('fs')
const { scenario, scenarioOfStreams, isWebSocket, assertComplaint, complaint, transport, security, clientBytes, serverBytes, holds, released, POLITE, MIB } = require('./harness')
const { atRest, descriptors, descriptorsAtRest, eventually } = require('./proc_fs')

const LOST = /truncated|before the stream|reset|cannot reach the peer/
const encrypted = security === 'shs'

// shs: the client says 64 and 112 bytes, the server 64 and 80.
const STAGES = encrypted
  ? [
      ['connected', { fromClient: 0 }],
      ['said hello', { fromClient: clientBytes(64) }],
      ['proved its key', { fromClient: clientBytes(64, 112), fromServer: serverBytes(64) }],
    ]
  : []

const lines = (proc) => proc.err.split('\n').length - 1

scenario('npm clients killed at our echo; it serves others as before', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const before = await descriptorsAtRest(world, ours.proc, ours.at)
  let expected = 0

  const kill = async (npm, complains, what) => {
    npm.kill()
    if (complains) {
      expected++
      await ours.proc.until(() => lines(ours.proc) === expected, `a line about one that ${what}`)
    }
    await eventually(() => descriptors(ours.proc), (n) => n === before, `descriptors after ${what}`)
    const other = world.npmClient(ours.at, ['--send', '1000', ...holds(1000)])
    await released(other)
    const end = await other.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [1000, null], what)
    assert.strictEqual(await other.finish(), 0)
    await eventually(() => descriptors(ours.proc), (n) => n === before, 'descriptors')
    assert.strictEqual(lines(ours.proc), expected, ours.proc.err)
  }

  for (const [what, limits] of STAGES) {
    const proxy = await world.proxy(ours.at, limits)
    const npm = world.npmClient(proxy.at)
    await proxy.held
    await kill(npm, true, what)
  }

  const idle = world.npmClient(ours.at, ['--send', '10', '--hold', '--watch', '10'])
  await idle.event('reached')
  await kill(idle, encrypted, 'was idle')

  if (isWebSocket) return // npm reads whatever comes

  // It reads nothing, so that its socket is full of what it has not read: a reset for every stack.
  const busy = world.npmClient(ours.at, ['--send', String(1024 * MIB), '--paced'])
  const sent = async (n) => {
    busy.say('count')
    return (await busy.event('count', n)).sent
  }
  let asked = 0
  await atRest(() => sent(asked++), 300)
  await kill(busy, true, 'was sending')

  // Our own end has arrived as well: whatever is killed now was over.
  const over = world.npmClient(ours.at, ['--send', '10'])
  await over.event('end')
  await kill(over, false, 'had ended')
  const all = ours.proc.err.trim().split('\n').filter(Boolean)
  for (const line of all) assert.match(line, /^multiserver: ((peer|echo): .*(before the stream|reset|cannot reach)|probe: .*without a byte)/)
})

// A Unix socket tells at once that nobody is there, so that a goodbye is known to be lost as well.
for (const [what, input, status] of [
  ['nothing', '', encrypted && transport === 'unix' ? 1 : 0],
  ['8 MiB', Buffer.alloc(8 * MIB), 1],
]) {
  scenarioOfStreams(`an npm client is killed after its end, with ${what} to send to it`, async (world) => {
    const ours = await world.oursServer(['--stdio', '--allow-any'])
    const npm = world.npmClient(ours.at, ['--send', '10'])
    await npm.event('sent')
    await ours.proc.until(() => ours.proc.received === 10, 'ten bytes')
    npm.kill()
    await npm.exit()
    ours.proc.child.stdin.end(input)
    assert.strictEqual(await ours.proc.exit(), status)
    if (status) assertComplaint(complaint(ours), LOST)
    else assert.strictEqual(complaint(ours).err, '')
  })

  scenarioOfStreams(`an npm server is killed after its end, with ${what} to send to it`, async (world) => {
    const npm = await world.npmServer(['--send', '10'])
    const ours = world.ours(['connect', npm.at])
    await ours.until(() => ours.received === 10, 'ten bytes')
    await npm.proc.event('sent')
    npm.proc.kill()
    await npm.proc.exit()
    ours.child.stdin.end(input)
    assert.strictEqual(await ours.exit(), status)
    if (status) assertComplaint(ours, LOST)
    else assert.strictEqual(ours.err, '')
  })
}

// The stages of an npm server: a client's byte count says how far it has come.
const SERVER_STAGES = encrypted
  ? [
      ['has said nothing', { fromClient: 0, fromServer: 0 }],
      ['has heard our hello', { fromClient: clientBytes(64), fromServer: 0 }],
      ['has heard our proof', { fromClient: clientBytes(64, 112), fromServer: serverBytes(64) }],
    ]
  : []
for (const [what, limits] of SERVER_STAGES) {
  // Whoever leaves when we have proved who we are has refused us. Where our hello was not read, the
  // kernel may tell the transport of a reset.
  const expected = limits.fromServer ? /shs authorise: refused/ : /handshake: (.*before the stream|the connection was lost)/
  scenario(`an npm server is killed when it ${what}`, async (world) => {
    const npm = await world.npmServer(['--echo'])
    const proxy = await world.proxy(npm.at, limits)
    const ours = world.ours(['connect', proxy.at])
    await proxy.held
    npm.proc.kill()
    assert.strictEqual(await ours.exit(), 1)
    assertComplaint(ours, expected)
  })
}

scenario('an npm server is killed while the connection is idle', async (world) => {
  const npm = await world.npmServer(['--send', '10', '--hold'])
  const ours = world.ours(['connect', npm.at])
  await ours.until(() => ours.received === 10, 'ten bytes')
  npm.proc.kill()
  assert.strictEqual(await ours.exit(), encrypted ? 1 : 0)
  if (encrypted) assertComplaint(ours, LOST)
  else assert.strictEqual(ours.err, '')
})

scenarioOfStreams('an npm server is killed while both sides send', async (world) => {
  const npm = await world.npmServer(['--send', String(1024 * MIB), '--paced'])
  const zeros = fs.openSync('/dev/zero', 'r')
  const ours = world.ours(['connect', npm.at], { stdin: zeros })
  fs.closeSync(zeros)
  await ours.until(() => ours.received > 8 * MIB, '8 MiB')
  npm.proc.kill()
  assert.strictEqual(await ours.exit(), 1)
  assertComplaint(ours, LOST)
})

// What an npm peer hears of a process that has been killed: a reset where that had still to read.
const assertHeard = ({ error }) =>
  encrypted ? assert.match(error, /unexpected hangup|stream ended|ECONNRESET/) : assert.strictEqual(error, null)

scenario('our server is killed while the connection is idle', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const npm = world.npmClient(ours.at, ['--send', '10', '--hold', '--watch', '10'])
  await npm.event('reached')
  ours.proc.kill()
  assertHeard(await npm.event('end'))
})

scenario('our client is killed while it sends; the npm server serves others', async (world) => {
  const npm = await world.npmServer(['--watch', String(4 * MIB), ...POLITE])
  const zeros = fs.openSync('/dev/zero', 'r')
  const ours = world.ours(['connect', npm.at], { stdin: zeros })
  fs.closeSync(zeros)
  await npm.proc.event('reached')
  ours.kill()
  assertHeard(await npm.proc.event('end'))
  const other = world.ours(['connect', npm.at])
  assert.strictEqual(await other.finish(), 0)
  assert.strictEqual((await npm.proc.event('end', 1)).error, null)
})

scenario('our client is killed after its end, which stays a clean one', async (world) => {
  const npm = await world.npmServer(['--send', '10', '--hold'])
  const ours = world.ours(['connect', npm.at], { stdin: 'ignore' })
  assert.strictEqual((await npm.proc.event('end')).error, null)
  await ours.until(() => ours.received === 10, 'ten bytes')
  ours.kill()
  await ours.exit()
  npm.proc.say('end')
  assert.strictEqual(await npm.proc.finish(), 0)
})

scenarioOfStreams('our server is killed after the end of its npm client, before its own', async (world) => {
  const ours = await world.oursServer(['--stdio', '--allow-any'])
  const npm = world.npmClient(ours.at, ['--send', '10'])
  await ours.proc.until(() => ours.proc.received === 10, 'ten bytes')
  await npm.event('sent')
  ours.proc.kill()
  assertHeard(await npm.event('end'))
  assert.strictEqual(await npm.finish(), 0)
})
