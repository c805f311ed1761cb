'use strict'
// 3,500 connections one after another, some of them at a time, in both directions, leave nothing behind in our process:
//   node sequence_test.js net~shs

const assert = require('assert')
const { scenario, MIB } = require('./harness')
const { descriptors, descriptorsAtRest, eventually, resident, LEAN } = require('./proc_fs')

const WARM_UP = 1000
const MORE = 2500
// npm writes header and body of a box one by one with Nagle's algorithm on: each connection waits
// for delayed acknowledgements most of the time.
const PARALLEL = '32'

// What is kept for ever is there after the warm-up: the pool's blocks, malloc's arenas, libuv's
// tables. What is seen to grow afterwards is noise of some 100 KiB. A leak of 1 KiB a connection
// would be 2.5 MiB; smaller ones are found at the exit by the leak check of an ASan build.
const GROWTH = 2 * MIB

async function leavesNothing(world, ours, at, args) {
  const run = async (total) => {
    const crowd = world.crowd(at, ['--total', String(total), '--parallel', PARALLEL, '--bytes', '3000', ...args])
    const { done, errors, first } = await crowd.event('done')
    assert.deepStrictEqual({ done, errors, first }, { done: total, errors: 0, first: [] })
    await eventually(() => descriptors(ours), (n) => n === before, 'the descriptors')
    return resident(ours)
  }
  const before = await descriptorsAtRest(world, ours, at, args)
  const warm = await run(WARM_UP)
  const grown = (await run(MORE)) - warm
  console.log(`# warm ${warm / MIB} MiB, then ${grown / MIB} MiB more`)
  assert.ok(grown < GROWTH, `${grown} bytes more after ${MORE} connections, ${warm} before`)
  assert.strictEqual(ours.err, '')
}

scenario('npm clients at our echo', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'], { env: LEAN })
  await leavesNothing(world, ours.proc, ours.at, [])
  ours.proc.kill('SIGTERM')
  assert.strictEqual(await ours.proc.exit(), 0)
})

scenario('ours at an npm echo', async (world) => {
  const npm = await world.npmServer(['--echo', '--quiet'])
  const ours = world.ours(['serve', '--forward', npm.at, 'net:127.0.0.1:0'], { env: LEAN })
  await leavesNothing(world, ours, await ours.line(), ['--stack', 'net'])
  npm.proc.say('count')
  const { connections, ended, failed } = await npm.proc.event('count')
  assert.deepStrictEqual([connections, ended, failed], [1 + WARM_UP + MORE, 1 + WARM_UP + MORE, 0])
})
