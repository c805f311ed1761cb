'use strict'
// Handshakes that stop, or go on too slowly:  node drip_test.js net~shs
//
// The deadlines are absolute: bytes that come meanwhile buy no time.

const assert = require('assert')
const net = require('net')
const { scenario, assertComplaint, complaint, MIB } = require('./harness')
const { place } = require('./proxy')
const { descriptors, descriptorsAtRest, eventually } = require('./proc_fs')

const ACCEPT_MSEC = 5000 // of our server, from connect to an open connection
const DIAL_MSEC = 1500 // of our client, as told by --timeout

// What stops after k bytes of what a client (64 and 112 bytes) or a server (64 and 80) says.
const STOPS = [0, 1, 63, 64, 65, 175]
const GAPS = [50, 500, 2000]

function assertCutInTime(msec, limit, what) {
  assert.ok(Math.abs(msec - limit) <= 500, `${what}: cut after ${msec} ms`)
}

// Connects to where a server is and says nothing; resolves with the time until it is cut.
function silent(address) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(place(address).opts)
    let since
    socket.on('connect', () => (since = Date.now()))
    socket.on('error', reject)
    socket.on('close', () => resolve(Date.now() - since))
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
  const cuts = [silent(ours.at).then((msec) => assertCutInTime(msec, ACCEPT_MSEC, 'says nothing'))]
  for (const { what, ...opts } of limits) {
    const proxy = await world.proxy(ours.at, opts)
    world.npmClient(proxy.at, ['--timeout', '60000']) // its own deadline is the same, and might be first
    cuts.push(proxy.cut.server.then((msec) => assertCutInTime(msec, ACCEPT_MSEC, what)))
  }
  await Promise.all(cuts)
  await eventually(() => descriptors(ours.proc), (n) => n === before, 'descriptors')
  const lines = complaint(ours).err.trim().split('\n')
  assert.strictEqual(lines.length, cuts.length, ours.proc.err)
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
  await Promise.all(
    limits.map(async ({ what, ...opts }) => {
      const proxy = await world.proxy(npm.at, opts)
      const ours = world.ours(['connect', '--timeout', String(DIAL_MSEC), proxy.at])
      assert.strictEqual(await ours.exit(), 1, what)
      assertComplaint(ours, /timed out|deadline/)
      assertCutInTime(await proxy.cut.client, DIAL_MSEC, what)
    })
  )
})
