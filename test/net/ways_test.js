'use strict'
// Ways that lose, delay, reorder and repeat packets, or are narrow: what arrives is what was sent,
// and ways that end are noticed.

const assert = require('assert')
const crypto = require('crypto')
const { identity, sha256 } = require('../world')
const { scenario } = require('./hosts')

const STACKS = [['net:', '~shs'], ['ws://', '~shs'], ['net:', '~noauth']]
const MIB = 1 << 20
const HANDSHAKE = 5000 // the server's deadline
const PORT = 8008

const seed = Number(process.env.SEED) || crypto.randomInt(1, 1 << 30)
console.log(`SEED=${seed}`)

async function hosts(world) {
  return [await world.host('here'), await world.host('there')]
}

async function serve(host, [transport, above], args = []) {
  const as = identity()
  const wildcard = transport === 'net:' ? '::' : '[::]'
  const anybody = above === '~shs' ? '--allow-any' : '--insecure-noauth'
  const server = host.ours(['serve', '--echo', anybody, '--json', ...args, `${transport}${wildcard}:${PORT}${above}`], { as })
  await server.event('listening')
  return { server, at: (ip) => `${transport}${ip}:${PORT}${above}${above === '~shs' ? `:${as.key}` : ''}` }
}

async function echo(host, at, size) {
  const data = crypto.randomBytes(size)
  const client = host.ours(['connect', '--timeout', '30000', at])
  client.child.stdin.end(data)
  assert.strictEqual(await client.exit(), 0, `${client}`)
  assert.strictEqual(client.received, size)
  assert.strictEqual(sha256(client.stdout()), sha256(data))
}

// What the server tells when it is asked, once `is` says so of it.
async function stats(server, is) {
  for (let n = 0; ; n++) {
    server.kill('SIGUSR1')
    const told = await server.event('stats', n)
    if (is(told)) return told
  }
}

for (const stack of STACKS) {
  const name = stack.join('')

  scenario(`${name}: one packet in twenty is lost, in both directions`, async (world) => {
    const [here, there] = await hosts(world)
    world.join(here, there)
    const { at } = await serve(there, stack)
    for (const host of [here, there]) host.filter('numgen random mod 100 < 5 drop')
    for (const ip of ['10.9.0.2', stack[0] === 'net:' ? 'fd09::2' : '[fd09::2]']) await echo(here, at(ip), MIB)
  })

  scenario(`${name}: a long way that delays, reorders, repeats and loses`, async (world) => {
    const [here, there] = await hosts(world)
    await world.joinFar(here, there, 'delay=20', 'jitter=20', 'reorder=100', 'duplicate=50', 'loss=5', `seed=${seed}`)
    const { server, at } = await serve(there, stack)
    await echo(here, at('10.8.0.2'), 0)
    await echo(here, at('10.8.0.2'), MIB)
    await Promise.all(Array.from({ length: 8 }, () => echo(here, at('10.8.0.2'), MIB / 16)))
    const { open, pending, failed } = await stats(server, ({ open }) => open === 0)
    assert.deepStrictEqual([open, pending, failed], [0, 0, 0])
  })

  scenario(`${name}: a narrow way is filled, and little waits in memory`, async (world) => {
    const [here, there] = await hosts(world)
    world.join(here, there)
    for (const host of [here, there]) host.run('tc qdisc add dev wire0 root tbf rate 40mbit burst 32kb latency 50ms')
    const { server, at } = await serve(there, stack)
    await echo(here, at('10.9.0.2'), 4 * MIB)
    const { buffer_peak: peak } = await stats(server, ({ open }) => open === 0)
    assert.ok(peak <= 512 << 10, `${peak} bytes of buffers`)
  })
}

scenario('a way that ends: the deadline of a handshake holds, 5 s after the connection', async (world) => {
  const [here, there] = await hosts(world)
  world.join(here, there)
  const { server } = await serve(there, ['net:', '~shs'])
  const silent = here.start('silent', process.execPath, ['-e', `require('net').connect(${PORT}, '10.9.0.2', () => console.log('open')).on('error', () => {})`])
  await silent.line()
  const begun = Date.now()
  there.filter('drop')
  const { reason } = await server.event('closed')
  const took = Date.now() - begun
  assert.strictEqual(reason, 'timeout')
  assert.ok(Math.abs(took - HANDSHAKE) <= 500, `${took} ms`)
  silent.kill()
})

scenario('a way that ends under open connections: who idles is closed, and both sides can stop', async (world) => {
  const [here, there] = await hosts(world)
  world.join(here, there)
  const { server, at } = await serve(there, ['net:', '~shs'], ['--limit', 'idle-msec=1000'])
  const client = here.ours(['connect', at('10.9.0.2')])
  client.child.stdin.write('hello')
  await client.until(() => client.stdout().toString() === 'hello', 'the echo')
  for (const host of [here, there]) host.filter('drop')
  assert.strictEqual((await server.event('closed')).reason, 'timeout')
  const { open, idled } = await stats(server, ({ open }) => open === 0)
  assert.deepStrictEqual([open, idled], [0, 1])
  server.kill('SIGTERM')
  assert.strictEqual(await server.exit(), 0)
  client.kill('SIGTERM')
  await client.exit()
})
