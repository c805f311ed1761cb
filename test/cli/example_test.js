'use strict'
// The programs in examples/ run as their comments say.

const assert = require('assert')
const crypto = require('crypto')
const path = require('path')
const { scenario, identity, secretFile, sha256 } = require('../world')

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

scenario('kick', async (world) => {
  const [wanted, unwanted] = [identity(), identity()]
  const server = example(world, 'kick', [])
  const address = await server.line()
  const guests = []
  for (const as of [wanted, unwanted, unwanted]) {
    const guest = await connect(world, address, { as })
    guest.child.stdin.write('here\n')
    assert.strictEqual(await guest.line(), 'here') // in this order
    guests.push(guest)
  }
  const said = (pattern, what) => server.until(() => pattern.test(server.stdout().toString()), what)
  server.say('list')
  await said(/^3 .*\n2 .*\n1 .*\n/m, 'a list, the newest first')
  const list = server.stdout().toString()
  assert.strictEqual(list.split(unwanted.key).length, 3, list)
  assert.match(list, new RegExp(`^1 ${wanted.key.replace(/[+]/g, '\\+')} at 127\\.0\\.0\\.1:\\d+ for \\d+ ms, 5 bytes in, 0 queued$`, 'm'))
  server.say('kick nobody')
  await said(/^nobody: a key is 32 bytes of base64$/m, 'an error')
  server.say(`kick @${unwanted.key}.ed25519`)
  await said(/^2 connections end$/m, 'that both end')
  for (const guest of guests.slice(1)) assert.strictEqual(await guest.exit(), 1)
  await said(/^2 left: the operator has ended it$/m, 'why')
  const again = await connect(world, address, { as: unwanted, input: '' })
  assert.strictEqual(await again.exit(), 1)
  assert.match(again.err, /refused/)
  guests[0].child.stdin.write('still here\n')
  await guests[0].until(() => guests[0].stdout().toString() === 'here\nstill here\n', 'an echo')
  assert.strictEqual(await guests[0].finish(), 0)
  assert.strictEqual(await server.finish(), 0)
})

scenario('worker', async (world) => {
  const server = example(world, 'worker', [])
  const address = await server.line()
  const guests = [await connect(world, address), await connect(world, address)]
  for (const guest of guests) guest.child.stdin.write('100\n10000\n')
  for (const guest of guests) await guest.until(() => guest.stdout().toString() === '25\n1229\n', 'both answers')
  for (let i = 0; i < 50; i++) guests[0].child.stdin.write('1000000\n')
  guests[1].child.stdin.write('10\n') // it waits behind the others
  guests[0].kill('SIGKILL') // whose answers find nobody
  await stop(server) // with most of them still to be worked out
})

scenario('identities', async (world) => {
  const [friend, stranger] = [identity(), identity()]
  const files = [friend, stranger, friend].map((as, i) => world.write(`person-${i}`, secretFile(as)))
  const server = world.ours(['serve', '--echo', '--allow', friend.key, 'net:127.0.0.1:0~shs'])
  const client = example(world, 'identities', [await server.line(), ...files])
  assert.strictEqual(await client.exit(), 1)
  const said = client.stdout().toString()
  assert.match(said, new RegExp(`^${files[0]}: admitted$`, 'm'))
  assert.match(said, new RegExp(`^${files[2]}: admitted$`, 'm'))
  assert.match(said, new RegExp(`^${files[1]}: refused: `, 'm'))
})
