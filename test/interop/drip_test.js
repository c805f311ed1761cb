'use strict'
// Handshakes that stop, or go on too slowly:  node drip_test.js net~shs
//
// The deadlines are absolute: bytes that come meanwhile buy no time. Who stops or drips is cut before one
// that came later and says nothing, however slow the machine is.

const assert = require('assert')
const net = require('net')
const { setTimeout: sleep } = require('timers/promises')
const { scenario, assertComplaint, complaint, MIB } = require('./harness')
const { place } = require('./proxy')
const { descriptors, descriptorsAtRest, eventually } = require('./proc_fs')

const ACCEPT_MSEC = 5000 // of our server, from connect to an open connection
const DIAL_MSEC = 1500 // of our client, as told by --timeout
const LATER_MSEC = 500 // by which the silent one comes after the others
const EARLY_MSEC = 250 // a loop's clock is as old as its turn
const LATE_MSEC = 5000 // a loaded machine may cut the silent one so late

// What stops after k bytes of what a client (64 and 112 bytes) or a server (64 and 80) says.
const STOPS = [0, 1, 63, 64, 65, 175]
const GAPS = [50, 500, 2000]

// Each is { what, since, left }: the times at which it began and was cut.
function assertCutInTime(cuts, silent, limit) {
  for (const { what, since, left } of [...cuts, silent]) {
    const how = `${what}: cut after ${left - since} ms, ${left - silent.left} ms after the silent one`
    assert.ok(left - since >= limit - EARLY_MSEC && left <= silent.left, how)
  }
  assert.ok(silent.left - silent.since <= limit + LATE_MSEC, `silent for ${silent.left - silent.since} ms`)
}

// Connects to where a server is and says nothing until it is cut.
function silence(address) {
  return new Promise((resolve, reject) => {
    const since = Date.now()
    const socket = net.connect(place(address).opts)
    socket.on('error', reject)
    socket.on('close', () => resolve({ what: 'says nothing', since, left: Date.now() }))
    socket.resume()
  })
}

scenario('our server cuts a client that stops, or drips, at its deadline', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const before = await descriptorsAtRest(world, ours.proc, ours.at)
  const limits = [
    ...STOPS.map((k) => ({ what: `stops after ${k} bytes`, fromClient: k })),
    ...GAPS.map((gapMsec) => ({ what: `says a byte every ${gapMsec} ms`, gapMsec })),
  ]
  const proxies = await Promise.all(limits.map(async ({ what, ...opts }) => {
    const proxy = await world.proxy(ours.at, opts)
    world.npmClient(proxy.at, ['--timeout', '60000']) // its own deadline is the same, and might be first
    const since = await proxy.reached
    return { cut: proxy.cut.server.then((left) => ({ what, since, left })) }
  }))
  await sleep(LATER_MSEC)
  const silent = await silence(ours.at)
  assertCutInTime(await Promise.all(proxies.map(({ cut }) => cut)), silent, ACCEPT_MSEC)
  await eventually(() => descriptors(ours.proc), (n) => n === before, 'descriptors')
  const lines = complaint(ours).err.trim().split('\n')
  assert.strictEqual(lines.length, limits.length + 1, ours.proc.err)
  for (const line of lines) assert.match(line, /^multiserver: peer: .* (http|shs) handshake: .*(timed out|deadline)/)
  const npm = world.npmClient(ours.at, ['--send', String(MIB)])
  assert.strictEqual((await npm.event('end')).error, null)
})

scenario('our client gives up in time at a server that stops, or drips', async (world) => {
  const npm = await world.npmServer(['--echo'])
  const limits = [
    ...[0, 1, 63, 64, 65, 143].map((k) => ({ what: `stops after ${k} bytes`, fromServer: k })),
    ...GAPS.map((gapMsec) => ({ what: `says a byte every ${gapMsec} ms`, gapMsec })),
  ]
  const dial = async ({ what, ...opts }) => {
    const proxy = await world.proxy(npm.at, opts)
    const since = Date.now()
    const ours = world.ours(['connect', '--timeout', String(DIAL_MSEC), proxy.at])
    const gone = async () => {
      const left = await proxy.cut.client
      assert.strictEqual(await ours.exit(), 1, what)
      assertComplaint(ours, /timed out|deadline/)
      return { what, since, left }
    }
    await proxy.reached
    return { gone: gone() }
  }
  const clients = await Promise.all(limits.map(dial))
  await sleep(LATER_MSEC)
  const silent = await dial({ what: 'hears nothing', fromServer: 0 })
  const cuts = await Promise.all([...clients, silent].map(({ gone }) => gone))
  assertCutInTime(cuts, cuts.at(-1), DIAL_MSEC)
})
