'use strict'
// Limits by address: many addresses, of both families, and what counts as one.

const assert = require('assert')
const { identity } = require('../world')
const { scenario } = require('./hosts')

const PORT = 8008

// A process that opens connections from addresses it is told, and says what becomes of each.
const KNOCKER = `
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const [n, from, to] = line.split(' ')
    const say = (event) => console.log(JSON.stringify({ event, n: Number(n) }))
    const socket = require('net').connect({ port: ${PORT}, host: to, localAddress: from }, () => say('connected'))
    socket.on('error', () => {}).on('close', () => say('closed')).resume()
  })`

// A server with these limits, and one who knocks at it from the addresses that `here` has.
async function scene(world, limits, more) {
  const [here, there] = [await world.host('here'), await world.host('there')]
  world.join(here, there)
  here.run(more)
  there.run('ip -6 route add fd09::/48 dev wire0')
  const server = there.ours(['serve', '--echo', '--json', ...limits.flatMap((limit) => ['--limit', limit]), `net::::${PORT}~shs`], { as: identity() })
  await server.event('listening')
  const knocker = here.start('knocker', process.execPath, ['-e', KNOCKER])
  let n = 0
  // Is one more from there let in? Who is not is closed at once, who is waits for its handshake.
  const knock = async (from) => {
    const me = n++
    const before = await counts()
    knocker.say(`${me} ${from} ${from.includes(':') ? 'fd09::2' : '10.9.0.2'}`)
    await knocker.until(() => [...knocker.events('connected'), ...knocker.events('closed')].some(({ n }) => n === me), 'a connection')
    for (;;) {
      const now = await counts()
      if (now.pending > before.pending) return true
      if (now.turned > before.turned) return false
    }
  }
  let asked = 0
  const counts = async () => {
    server.kill('SIGUSR1')
    const stats = await server.event('stats', asked++)
    return { ...stats, turned: stats.over_address + stats.over_rate }
  }
  return { knock, counts, server, here }
}

scenario('so many connections of one address', async (world) => {
  const { knock, counts } = await scene(world, ['per-address=2', 'per-second=none'], 'ip addr add 10.9.0.3/24 dev wire0')
  const admitted = []
  for (const from of ['10.9.0.1', '10.9.0.1', '10.9.0.1', '10.9.0.3', '10.9.0.3', '10.9.0.3']) admitted.push(await knock(from))
  assert.deepStrictEqual(admitted, [true, true, false, true, true, false])
  assert.strictEqual((await counts()).over_address, 2)
})

scenario('one IPv6 /56 is one address', async (world) => {
  const { knock, counts } = await scene(world, ['per-address=2', 'per-second=none'], `
    ip addr add fd09:0:0:1::1/64 dev wire0 nodad
    ip addr add fd09:0:0:2::1/64 dev wire0 nodad
    ip addr add fd09:0:0:100::1/64 dev wire0 nodad`)
  const admitted = []
  for (const from of ['fd09::1', 'fd09:0:0:1::1', 'fd09:0:0:2::1', 'fd09:0:0:100::1']) admitted.push(await knock(from))
  assert.deepStrictEqual(admitted, [true, true, false, true])
  assert.strictEqual((await counts()).over_address, 1)
})

scenario('so many new ones in a second', async (world) => {
  const { knock, counts } = await scene(world, ['per-address=none', 'per-second=1'], 'ip addr add 10.9.0.3/24 dev wire0')
  assert.deepStrictEqual([await knock('10.9.0.1'), await knock('10.9.0.1'), await knock('10.9.0.3')], [true, false, true])
  assert.strictEqual((await counts()).over_rate, 1)
  while (!(await knock('10.9.0.1')));
})
