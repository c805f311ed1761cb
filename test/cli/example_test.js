'use strict'
// The programs in examples/ run as their comments say.

const assert = require('assert')
const crypto = require('crypto')
const path = require('path')
const { scenario, identity, sha256 } = require('../world')

const example = (world, name, args, opts) =>
  world.start(`example-${name}`, path.join(process.env.EXAMPLES, `example-${name}`), args, opts)

async function stop(proc) {
  proc.kill('SIGINT')
  assert.strictEqual(await proc.exit(), 0, proc.toString())
}

async function connect(world, address, { as = identity(), input } = {}) {
  const client = world.ours(['connect', address], { as })
  if (input !== undefined) client.child.stdin.end(input)
  return client
}

scenario('echo', async (world) => {
  const server = example(world, 'echo', [`unix:${world.socketDir('s')}/socket~noauth`])
  const addresses = (await server.line()).split(';')
  assert.strictEqual(addresses.length, 2)
  for (const address of addresses) {
    const client = await connect(world, address, { input: 'hello\n' })
    assert.strictEqual(await client.exit(), 0)
    assert.strictEqual(client.stdout().toString(), 'hello\n')
  }
  await stop(server)
  const said = server.stdout().toString()
  assert.strictEqual(said.match(/ came\n/g).length, 2)
  assert.strictEqual(said.match(/ left\n/g).length, 2)
})

scenario('chat', async (world) => {
  const server = example(world, 'chat', [`${world.socketDir('s')}/socket`])
  const [net, unix] = (await server.line()).split(';')
  const guests = [await connect(world, net), await connect(world, unix), await connect(world, net)]
  // All are in once each has heard a line of the first, who repeats it until then.
  const heard = (guest) => guest.stdout().toString().includes('hello\n')
  while (!guests.slice(1).every(heard)) {
    guests[0].say('hello')
    await Promise.any(guests.slice(1).filter((g) => !heard(g)).map((g) => {
      const before = g.received
      return g.until(() => g.received > before, 'a line')
    }).concat(new Promise((resolve) => setTimeout(resolve, 50))))
  }
  guests[1].say('and hello to you')
  await guests[0].until(() => guests[0].stdout().toString() === 'and hello to you\n', 'the answer, and no echo')
  for (const guest of guests) assert.strictEqual(await guest.finish(), 0)
  await stop(server)
})

scenario('authorise', async (world) => {
  const friend = identity()
  const keys = world.write('keys', `${identity().key} somebody\n${friend.key} alice\n`)
  const server = example(world, 'authorise', [keys])
  const address = await server.line()
  const client = await connect(world, address, { as: friend, input: '' })
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.stdout().toString(), 'welcome, alice\n')
  const stranger = await connect(world, address, { input: '' })
  assert.strictEqual(await stranger.exit(), 1)
  await server.until(() => /refused\n/.test(server.stdout().toString()), 'a word of the stranger')
  await stop(server)
})

scenario('clock', async (world) => {
  const server = example(world, 'clock', [`${world.socketDir('s')}/socket`, '20'])
  const address = await server.line()
  const clients = [await connect(world, address), await connect(world, address)]
  for (const client of clients) await client.until(() => /(tick \d+\n){3}/.test(client.stdout().toString()), 'three ticks')
  assert.strictEqual(await clients[0].finish(), 0)
  await stop(server)
  assert.strictEqual(await clients[1].exit(), 0)
})

scenario('poll', async (world) => {
  const server = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs', `unix:${world.socketDir('s')}/socket~noauth`])
  const data = crypto.randomBytes(3 << 20)
  for (const address of (await server.line()).split(';')) {
    const client = example(world, 'poll', [address])
    client.child.stdin.write('hello\n')
    assert.strictEqual(await client.line(), 'hello')
    client.child.stdin.end(data)
    assert.strictEqual(await client.exit(), 0, client.toString())
    assert.strictEqual(sha256(client.stdout()), sha256(Buffer.concat([Buffer.from('hello\n'), data])))
  }
  const refused = example(world, 'poll', ['unix:/nowhere/at/all~noauth'])
  assert.strictEqual(await refused.exit(), 1)
  assert.match(refused.err, /No such file/)
})
