'use strict'
// What serve advertises while interfaces come, go and change.

const assert = require('assert')
const fs = require('fs')
const { identity } = require('../world')
const { scenario } = require('./hosts')

const me = identity()
const pause = (msec) => new Promise((resolve) => setTimeout(resolve, msec))
const addresses = (line) => (line || '').split(';').filter(Boolean).map((address) => {
  assert.ok(address.endsWith(`~shs:${me.key}`), address)
  return address.slice(0, -`~shs:${me.key}`.length)
}).sort()

// Two hosts, so that the wire has a carrier.
async function wired(world) {
  const [here, there] = [await world.host('here'), await world.host('there')]
  world.join(here, there)
  return [here, there]
}

function serve(host, scope, ...args) {
  return host.ours(['serve', '--json', '--echo', '--print-addresses', scope, ...args], { as: me })
}

scenario('public addresses: as the interfaces come and go', async (world) => {
  const [here, there] = await wired(world)
  const server = serve(here, 'public', 'net::::8008~shs', 'ws://[::]:8009~shs')
  await server.event('listening', 1)
  let n = 0
  const after = async (change) => {
    here.run(change)
    return addresses((await server.event('addresses', n++)).address)
  }
  assert.deepStrictEqual(await after('ip addr add 203.0.113.7/24 dev wire0'), ['net:203.0.113.7:8008', 'ws://203.0.113.7:8009'])
  assert.deepStrictEqual(await after('ip addr add 2001:db8::7/64 dev wire0 nodad'),
    ['net:2001:db8::7:8008', 'net:203.0.113.7:8008', 'ws://203.0.113.7:8009', 'ws://[2001:db8::7]:8009'])
  assert.deepStrictEqual(await after('ip addr del 203.0.113.7/24 dev wire0'), ['net:2001:db8::7:8008', 'ws://[2001:db8::7]:8009'])
  assert.deepStrictEqual(await after('ip link set wire0 down'), [])
  // several changes at once are one piece of news; what is gone and back is none
  assert.deepStrictEqual(await after('ip link set wire0 up; ip addr add 203.0.113.8/24 dev wire0; ip addr add 203.0.113.9/24 dev wire0').then((all) => all.filter((a) => a.startsWith('net:203'))),
    ['net:203.0.113.8:8008', 'net:203.0.113.9:8008'])
  here.run('ip addr del 203.0.113.9/24 dev wire0; ip addr add 203.0.113.9/24 dev wire0') // each beside the first of its net
  assert.deepStrictEqual((await after('ip addr del 203.0.113.9/24 dev wire0')).filter((a) => a.startsWith('net:203')), ['net:203.0.113.8:8008'])
  assert.strictEqual(server.events('addresses').length, n)
  there.run('ip addr add 203.0.113.2/24 dev wire0')
  const client = there.ours(['connect', `net:203.0.113.8:8008~shs:${me.key}`], { as: me })
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0, `${client}`)
})

scenario('local addresses: those a neighbour can dial, without zones', async (world) => {
  const [here, there] = await wired(world)
  here.run('ip addr add 203.0.113.7/24 dev wire0; ip addr add 2001:db8::7/64 dev wire0 nodad')
  const server = serve(here, 'local', 'net::::8008~shs')
  const { address } = await server.event('listening')
  assert.deepStrictEqual(addresses(address), ['net:10.9.0.1:8008', 'net:fd09::1:8008'])
  for (const at of address.split(';')) {
    const client = there.ours(['connect', at], { as: me })
    client.child.stdin.end('hello')
    assert.strictEqual(await client.exit(), 0, `${client}`)
  }
  // one that is asked for by its zone listens there, and is told without it
  here.run('ip addr add fe80::7/64 dev wire0 nodad')
  const zoned = serve(here, 'local', 'net:fe80::7%wire0:8009~shs')
  assert.deepStrictEqual(addresses((await zoned.event('listening')).address), ['net:fe80::7:8009'])
  there.run('ip addr add fe80::8/64 dev wire0 nodad')
  const client = there.ours(['connect', `net:fe80::7%wire0:8009~shs:${me.key}`], { as: me })
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0, `${client}`)
})

scenario('a change while the stacks still report: told when all have', async (world) => {
  const [here, there] = await wired(world)
  there.filter('udp dport 53 drop')
  const server = here.ours(['serve', '--json', '--echo', '--print-addresses', 'public', 'net::::8008~shs', 'net:slow.example:8009~shs'],
    { as: me, dns: '10.9.0.2' })
  assert.strictEqual((await server.event('listening')).address, null)
  here.run('ip addr add 203.0.113.7/24 dev wire0')
  assert.strictEqual(server.events('error').length, 0, 'the name is still looked up')
  assert.deepStrictEqual(addresses((await server.event('addresses')).address), ['net:203.0.113.7:8008'])
  assert.strictEqual(server.events('error').length, 1)
})

scenario('more news than the kernel keeps: none of it is missed in the end', async (world) => {
  const [here] = await wired(world)
  const server = serve(here, 'public', 'net::::8008~shs')
  await server.event('listening')
  const { pid } = server.child
  process.kill(pid, 'SIGSTOP')
  here.run('for i in $(seq 1 600); do echo "addr add 203.0.113.7/24 dev wire0"; echo "addr del 203.0.113.7/24 dev wire0"; done | ip -batch -')
  here.run('ip addr add 203.0.113.8/24 dev wire0')
  process.kill(pid, 'SIGCONT')
  assert.deepStrictEqual(addresses((await server.event('addresses')).address), ['net:203.0.113.8:8008'])
  here.run('ip addr add 203.0.113.9/24 dev wire0')
  assert.deepStrictEqual(addresses((await server.event('addresses', 1)).address), ['net:203.0.113.8:8008', 'net:203.0.113.9:8008'])
})

scenario('addresses that nobody shall dial are not told, and none twice', async (world) => {
  const [here, there] = await wired(world)
  there.run('ip addr add 2001:db8::9/64 dev wire0 nodad')
  here.run(`ip link add twin0 type veth peer name twin1; ip link set twin0 up; ip link set twin1 up
    ip addr add 203.0.113.7/24 dev wire0; ip addr add 203.0.113.7/32 dev twin0
    ip addr add 198.51.100.9/32 dev lo
    ip addr add 2001:db8::7/64 dev wire0 nodad; ip addr add 2001:db8::8/64 dev wire0 nodad preferred_lft 0
    ip addr add 2001:db8::9/64 dev wire0`) // which is found to be another's
  const server = serve(here, 'public', 'net::::8008~shs')
  const told = ['net:198.51.100.9:8008', 'net:2001:db8::7:8008', 'net:203.0.113.7:8008']
  assert.deepStrictEqual(addresses((await server.event('listening')).address), told)
  while (!here.run('ip -6 addr show dev wire0').includes('dadfailed')) await pause(50)
  here.run('ip addr add 203.0.113.8/24 dev wire0')
  assert.deepStrictEqual(addresses((await server.event('addresses')).address), [...told, 'net:203.0.113.8:8008'])
})

scenario('news that does not end is told all the same', async (world) => {
  const [here] = await wired(world)
  const server = serve(here, 'public', 'net::::8008~shs')
  await server.event('listening')
  here.run('ip link add other0 type veth peer name other1; ip link set other0 up; ip link set other1 up')
  const churn = here.start('churn', 'sh', ['-c', 'echo begun; while ip addr add 10.7.7.7/24 dev other0; ip addr del 10.7.7.7/24 dev other0; do sleep 0.05; done'])
  await churn.line()
  here.run('ip addr add 203.0.113.7/24 dev wire0')
  assert.deepStrictEqual(addresses((await server.event('addresses')).address), ['net:203.0.113.7:8008'])
  assert.strictEqual(churn.done, null)
})

scenario('without descriptors to ask with nothing is taken back', async (world) => {
  const [here] = await wired(world)
  here.run('ip addr add 203.0.113.7/24 dev wire0')
  const server = serve(here, 'public', 'net::::8008~shs')
  await server.event('listening')
  const { pid } = server.child
  const limit = (n) => here.run(`prlimit --pid ${pid} --nofile=${n}:`)
  await pause(500) // it looks at the interfaces once more when all listen
  const open = new Set(fs.readdirSync(`/proc/${pid}/fd`).map(Number))
  limit([...Array(open.size + 1).keys()].find((fd) => !open.has(fd)))
  here.run('ip addr add 203.0.113.8/24 dev wire0')
  for (let n = 0; n < 20; n++) { // it lives on for a while, and finds nothing
    server.kill('SIGUSR1')
    await server.event('stats', n)
    await pause(50)
  }
  assert.strictEqual(server.events('addresses').length, 0)
  limit(1024)
  assert.deepStrictEqual(addresses((await server.event('addresses')).address), ['net:203.0.113.7:8008', 'net:203.0.113.8:8008'])
})

scenario('without --json a change is one line on standard error', async (world) => {
  const [here] = await wired(world)
  const server = here.ours(['serve', '--echo', '--print-addresses', 'public', 'net::::8008~shs'], { as: me })
  assert.strictEqual(await server.line(), '')
  here.run('ip addr add 203.0.113.7/24 dev wire0')
  await server.until(() => server.err.includes('now reached at'), 'the news')
  assert.ok(server.err.endsWith(`multiserver: now reached at: net:203.0.113.7:8008~shs:${me.key}\n`), server.err)
  assert.strictEqual(server.stdout().toString(), '\n')
})
