'use strict'
// Our client's race with npm servers as the slow, the refusing and the vanishing ones:
//   node race_test.js net~shs

const assert = require('assert')
const { scenario, identity, assertComplaint, closedPort } = require('./harness')

const STAGGER = 250
const HELLO = { stopped: 63, answered: 64 } // bytes of a server's first word

// Dials these alternatives with `connect -v`; the number of the attempt that won, or 0.
async function race(world, alternatives, { echo = true } = {}) {
  const client = world.ours(['connect', '-v', alternatives.join(';')])
  client.child.stdin.end('hello')
  const status = await client.exit()
  const open = /^multiserver: +(\d+) ms {2}attempt (\d+) open/m.exec(client.err)
  if (echo) assert.strictEqual(status === 0, !!open, `${client}`)
  if (open && echo) assert.strictEqual(client.stdout().toString(), 'hello')
  return { client, winner: open ? Number(open[2]) : 0, msec: open && Number(open[1]), attempts: (client.err.match(/attempt \d+ connects/g) || []).length }
}

scenario('one that is slow, and a good one', async (world) => {
  const as = identity()
  const [slow, good] = [await world.npmServer(['--echo', '--polite'], { as }), await world.npmServer(['--echo', '--polite'], { as })]
  for (const fromServer of [0, HELLO.stopped, HELLO.answered]) {
    const proxy = await world.proxy(slow.at, { fromServer })
    const { winner, msec, client } = await race(world, [proxy.at, good.at])
    assert.strictEqual(winner, 2)
    assert.ok(msec >= STAGGER, `${msec} ms`)
    assert.match(client.err, /attempt 1 dropped/)
    await proxy.cut.client // what was slow is let go
  }
  // nor is anything left at the server whose last word did not arrive
  await slow.proc.until(() => slow.proc.events('connection').length === slow.proc.events('end').length, 'an end of each connection')
})

scenario('one that refuses us: not asked again, but others are, under the same key and another', async (world) => {
  const [as, other] = [identity(), identity()]
  const refusing = await world.npmServer(['--echo', '--authorise', 'no'], { as })
  const same = await world.npmServer(['--echo', '--polite'], { as })
  const good = await world.npmServer(['--echo', '--polite'], { as: other })
  const lost = await race(world, [refusing.at, refusing.at])
  assert.deepStrictEqual([lost.winner, lost.attempts], [0, 1])
  assert.match(lost.client.err, /refused|not admitted|let us in/)
  for (const [name, server] of Object.entries({ same, good })) {
    const won = await race(world, [refusing.at, refusing.at, server.at])
    assert.deepStrictEqual([won.winner, won.attempts], [2, 2], name)
    assert.match(won.client.err, new RegExp(`attempt 2 open: ${server.at.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`))
  }
})

scenario('one that refuses while a good one is on its way', async (world) => {
  const as = identity()
  const refusing = await world.npmServer(['--echo', '--authorise', 'no'], { as })
  const good = await world.npmServer(['--echo', '--polite'], { as })
  const slowly = await world.proxy(good.at, { gapMsec: 5 }) // 64 and 80 bytes: some 700 ms
  const { winner } = await race(world, [slowly.at, refusing.at], { echo: false }) // the proxy keeps what it has not dripped
  assert.strictEqual(winner, 1)
})

scenario('one that vanishes in its handshake, and a good one', async (world) => {
  const as = identity()
  for (const [fromServer, why] of [[0, 'before its hello'], [HELLO.stopped, 'within it']]) {
    const [gone, good] = [await world.npmServer(['--echo'], { as }), await world.npmServer(['--echo', '--polite'], { as })]
    const proxy = await world.proxy(gone.at, { fromServer })
    proxy.held.then(() => gone.proc.kill()) // its process dies: the kernel closes
    const { winner, client } = await race(world, [proxy.at, good.at])
    assert.strictEqual(winner, 2, why)
    assert.match(client.err, /attempt 1 (failed|dropped)/)
  }
})

scenario('dead ones, unknown ones and a good one', async (world) => {
  const good = await world.npmServer(['--echo', '--polite'])
  const [port, key] = [await closedPort(), good.at.slice(good.at.indexOf('~'))]
  const scheme = good.at.startsWith('ws') ? 'ws://' : 'net:'
  const dead = `${scheme}127.0.0.1:${port}${key}`
  const { winner, msec } = await race(world, [dead, `quic:127.0.0.1:1${key}`, `net:127.0.0.1:1~shs2:abc`, dead, dead, good.at])
  assert.strictEqual(winner, 4)
  assert.ok(msec < 3 * STAGGER, `${msec} ms`)
  const lost = world.ours(['connect', [dead, `quic:127.0.0.1:1${key}`].join(';')])
  assert.strictEqual(await lost.exit(), 1)
  assertComplaint(lost, /Connection refused/)
})
