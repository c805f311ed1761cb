'use strict'
// Slow readers and slow writers on both sides:  node slow_test.js net~shs
//
// A reader is slow because it is told to wait, and goes on when the writer has come to a stop.

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const { scenario, sha256, complaint, MIB } = require('./harness')
const { atRest, eventually, peak, resident, LEAN } = require('./proc_fs')

const SIZE = 64 * MIB
// Our process holds a few blocks of 64 KiB for a connection, whatever waits on either side of it.
const GROWTH = 4 * MIB

// How much of its stdin, a file, our process has read.
const position = (proc) =>
  Number(fs.readFileSync(`/proc/${proc.child.pid}/fdinfo/0`, 'utf8').match(/^pos:\s+(\d+)/m)[1])

function counter(npm) {
  let asked = 0
  return async () => {
    npm.say('count')
    return npm.event('count', asked++)
  }
}

// `before` was taken when the first bytes had moved.
function assertBounded(proc, before, what) {
  const grown = peak(proc) - before
  assert.ok(grown < GROWTH, `${grown} bytes more than ${before}: ${what}`)
}

// Starts our connect to `at` with a file of random bytes as its stdin.
function sender(world, at, data, opts = {}) {
  const stdin = fs.openSync(world.write('in', data), 'r')
  const ours = world.ours(['connect', at], { stdin, env: LEAN, ...opts })
  fs.closeSync(stdin)
  return ours
}

scenario('64 MiB wait for an npm reader that does not read', async (world) => {
  const npm = await world.npmServer(['--paced'])
  const data = crypto.randomBytes(SIZE)
  const ours = sender(world, npm.at, data)
  await eventually(() => position(ours), (n) => n > 0, 'what is read of stdin')
  const before = resident(ours)
  const taken = await atRest(() => position(ours))
  assert.ok(taken < SIZE / 2, `${taken} bytes were taken from stdin, and nobody reads`)
  assertBounded(ours, before, 'the peer does not read')
  npm.proc.say(`read ${SIZE * 2}`)
  const end = await npm.proc.event('end')
  assert.deepStrictEqual([end.sha256, end.error], [sha256(data), null])
  assert.strictEqual(await ours.exit(), 0)
})

scenario('8 MiB reach an npm reader that takes a little at a time', async (world) => {
  const npm = await world.npmServer(['--paced'])
  const count = counter(npm.proc)
  const data = crypto.randomBytes(8 * MIB)
  const ours = sender(world, npm.at, data)
  for (let wanted = 0; wanted < data.length; wanted += MIB / 4) {
    npm.proc.say(`read ${MIB / 4}`)
    await eventually(async () => (await count()).received, (n) => n >= wanted, 'bytes read by npm')
  }
  npm.proc.say('read 1000000') // the end
  const end = await npm.proc.event('end')
  assert.deepStrictEqual([end.sha256, end.error], [sha256(data), null])
  assert.strictEqual(await ours.exit(), 0)
})

scenario('64 MiB from an npm server wait for our stdout to be read', async (world) => {
  const npm = await world.npmServer(['--send', String(SIZE)])
  const ours = world.ours(['connect', npm.at], { stdin: 'ignore', env: LEAN })
  ours.child.stdout.pause()
  await npm.proc.event('connection')
  const before = resident(ours)
  const { sent } = await stalled(npm.proc)
  assert.ok(sent < SIZE / 2, `npm got rid of ${sent} bytes, and nobody reads`)
  assertBounded(ours, before, 'stdout is not read')
  ours.child.stdout.resume()
  assert.strictEqual(await ours.exit(), 0)
  assert.strictEqual(sha256(ours.stdout()), (await npm.proc.event('sent')).sha256)
})

scenario('64 MiB from an npm client wait for our server, which is stopped', async (world) => {
  const ours = await world.oursServer(['--stdio', '--allow-any'], { env: LEAN })
  const npm = world.npmClient(ours.at, ['--send', String(SIZE)])
  await ours.proc.until(() => ours.proc.received > 0, 'first bytes')
  const before = resident(ours.proc)
  ours.proc.kill('SIGSTOP')
  const { sent } = await stalled(npm)
  assert.ok(sent < SIZE, 'npm got rid of everything, and nobody reads')
  ours.proc.kill('SIGCONT')
  await ours.proc.until(() => ours.proc.received === SIZE, 'all bytes')
  assertBounded(ours.proc, before, 'it was stopped')
  assert.strictEqual(await ours.proc.finish(), 0)
  assert.strictEqual(complaint(ours).err, '')
  assert.strictEqual(sha256(ours.proc.stdout()), (await npm.event('sent')).sha256)
})

scenario('an npm writer that drips, byte by byte', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const npm = world.npmClient(ours.at, ['--send', '3000', '--drip'])
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [3000, null])
  assert.strictEqual(end.sha256, (await npm.event('sent')).sha256)
})

scenario('our stdin drips, byte by byte', async (world) => {
  const npm = await world.npmServer()
  const ours = world.ours(['connect', npm.at])
  const data = crypto.randomBytes(3000)
  for (const byte of data) {
    await new Promise((resolve) => ours.child.stdin.write(Buffer.of(byte), resolve))
  }
  assert.strictEqual(await ours.finish(), 0)
  const end = await npm.proc.event('end')
  assert.deepStrictEqual([end.sha256, end.error], [sha256(data), null])
})

// What an npm sender has counted when it has come to a stop.
async function stalled(npm) {
  const count = counter(npm)
  let last
  await atRest(async () => (last = await count()).sent)
  return last
}
