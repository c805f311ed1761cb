'use strict'
// The race of a dial on real networks: places that drop, refuse, or are far away, beside a good one.

const assert = require('assert')
const { identity } = require('../world')
const { scenario } = require('./hosts')

const STAGGER = 250
const SLACK = 1500 // of a loaded machine

// A server on every interface of a host, on this port.
async function serve(host, port, as) {
  const server = host.ours(['serve', '--echo', '--allow-any', '--json', `net::::${port}~shs`], { as })
  await server.event('listening')
  return server
}

// Dials with `connect -v`; when the steps were, in milliseconds.
async function race(host, alternatives, { as, status = 0, timeout = 15000, ...more } = {}) {
  const client = host.ours(['connect', '-v', '--timeout', `${timeout}`, alternatives.join(';')], { as, ...more })
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), status, `${client}`)
  if (status === 0) assert.strictEqual(client.stdout().toString(), 'hello')
  const steps = [...client.err.matchAll(/^multiserver: +(\d+) ms {2}attempt (\d+) ([a-z ]+): ([^ ]+): (.*)$/gm)]
    .map(([, msec, attempt, step, address]) => ({ msec: Number(msec), attempt: Number(attempt), step, address }))
  const at = (step, attempt) => steps.find((s) => s.step === step && (!attempt || s.attempt === attempt))
  return { client, steps, at }
}

async function twoHosts(world) {
  const [here, there] = [await world.host('here'), await world.host('there')]
  world.join(here, there)
  return [here, there]
}

scenario('one that drops, and a good one', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  there.filter('tcp dport 1 drop')
  await serve(there, 8008, me)
  const good = `net:10.9.0.2:8008~shs:${me.key}`
  const { at } = await race(here, [`net:10.9.0.2:1~shs:${me.key}`, good], { as: me })
  assert.strictEqual(at('open').address, good)
  assert.ok(at('connects', 2).msec >= STAGGER && at('open').msec < STAGGER + SLACK, JSON.stringify(at('open')))
  assert.ok(at('dropped', 1))
})

scenario('three that drop, of both families, and a good one', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  there.filter('tcp dport 1-3 drop')
  await serve(there, 8008, me)
  const good = `net:fd09::2:8008~shs:${me.key}`
  const { at } = await race(here, ['10.9.0.2:1', 'fd09::2:2', '10.9.0.2:3'].map((place) => `net:${place}~shs:${me.key}`).concat(good), { as: me })
  assert.strictEqual(at('open').address, good)
  assert.ok(at('connects', 4).msec >= 3 * STAGGER && at('open').msec < 3 * STAGGER + SLACK, JSON.stringify(at('open')))
})

scenario('those that refuse, by RST, by ICMP and without a way, cost no time', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  there.filter('tcp dport 1 reject with tcp reset', 'tcp dport 2 reject', 'tcp dport 3 reject with tcp reset')
  await serve(there, 8008, me)
  const bad = ['10.9.0.2:1', '10.9.0.2:2', 'fd09::2:3', '203.0.113.1:8008'].map((place) => `net:${place}~shs:${me.key}`)
  const { at, steps } = await race(here, [...bad, `net:10.9.0.2:8008~shs:${me.key}`], { as: me })
  assert.strictEqual(at('open').attempt, 5)
  assert.deepStrictEqual(steps.filter(({ step }) => step === 'failed').map(({ attempt }) => attempt), [1, 2, 3, 4])
  assert.ok(at('open').msec < 4 * STAGGER, JSON.stringify(at('open')))
})

scenario('a far one and a near one: the first whole stack wins, wherever it stands', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  await world.joinFar(here, there, 'delay=200')
  const server = await serve(there, 8008, me)
  const far = `net:10.8.0.2:8008~shs:${me.key}`
  const near = `net:10.9.0.2:8008~shs:${me.key}`
  assert.strictEqual((await race(here, [far, near], { as: me })).at('open').address, near)
  assert.strictEqual((await race(here, [near, far], { as: me })).at('open').address, near)
  // slow ones are kept: three round trips of 400 ms, while another has begun and drops everything
  there.filter('tcp dport 1 drop')
  const { at } = await race(here, [far, `net:10.9.0.2:1~shs:${me.key}`], { as: me })
  assert.strictEqual(at('open').address, far)
  assert.ok(at('open').msec >= 1200, JSON.stringify(at('open')))
  // who lost is gone, at the server too
  server.kill('SIGUSR1')
  const stats = await server.event('stats')
  assert.deepStrictEqual([stats.pending, stats.entered], [0, 3])
})

scenario('names that nobody answers for: they hold up neither others nor the end', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  there.filter('udp dport 53 drop')
  await serve(there, 8008, me)
  const asking = { as: me, dns: '10.9.0.2', hosts: { 'good.example': '10.9.0.2' } }
  const silent = Array.from({ length: 6 }, (_, i) => `net:silent${i}.example:8008~shs:${me.key}`)
  let begun = Date.now()
  const { at } = await race(here, [...silent, `net:good.example:8008~shs:${me.key}`], asking)
  assert.ok(at('open').msec < 6 * STAGGER + SLACK, JSON.stringify(at('open')))
  assert.ok(Date.now() - begun < 6 * STAGGER + 2 * SLACK, `${Date.now() - begun} ms to the end`)
  begun = Date.now()
  const { client } = await race(here, silent, { ...asking, status: 1, timeout: 2000 })
  assert.match(client.err, / net resolve: timed out\n/)
  assert.ok(Date.now() - begun < 2000 + SLACK, `${Date.now() - begun} ms to the end`)
})

scenario('none that is good: every attempt is named, by the deadline', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  there.filter('tcp dport 1 drop', 'tcp dport 2 reject with tcp reset')
  const begun = Date.now()
  const { client, at } = await race(here, [`net:10.9.0.2:1~shs:${me.key}`, `net:10.9.0.2:2~shs:${me.key}`], { as: me, status: 1, timeout: 2000 })
  const took = Date.now() - begun
  assert.ok(took >= 2000 && took < 2000 + SLACK, `${took} ms`)
  assert.ok(at('failed', 1).msec >= 1990 && at('failed', 2).msec < 2000)
  assert.match(client.err, /\(the furthest of 2 attempts\) \(multiserver check ADDRESS tells more\)\n$/)
})

scenario('the way is lost in the middle of a handshake: the next alternative has its turn', async (world) => {
  const [here, there] = await twoHosts(world)
  const me = identity()
  await serve(there, 8008, me)
  await serve(there, 8009, me)
  there.filter('tcp dport 8008 ct state established ct packets > 1 drop') // its SYN is heard, its hello is not
  const { at } = await race(here, [`net:10.9.0.2:8008~shs:${me.key}`, `net:10.9.0.2:8009~shs:${me.key}`], { as: me })
  assert.ok(at('connected', 1), 'it connects')
  assert.strictEqual(at('open').attempt, 2)
})
