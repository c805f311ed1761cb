'use strict'
// 500 connections at the same time, in both directions:  node many_test.js net~shs

const assert = require('assert')
const { scenario } = require('./harness')
const { descriptors, descriptorsAtRest, eventually } = require('./proc_fs')

const MANY = 500
// Each side's handshake has five seconds; all at once the one thread of npm would need them.
const CROWD = ['--total', String(MANY), '--parallel', '50', '--bytes', '5000', '--together']

// Lets a crowd open all its connections and holds them together; returns what lets them end. `ours`
// is our process, which has `each` descriptors for one of them.
async function hold(world, ours, each, at, args = []) {
  const before = await descriptorsAtRest(world, ours, at, args)
  const crowd = world.crowd(at, [...CROWD, ...args])
  const { open, errors } = await crowd.event('open')
  assert.deepStrictEqual({ open, errors }, { open: MANY, errors: [] })
  assert.strictEqual(descriptors(ours), before + MANY * each)
  return async () => {
    crowd.say('go')
    const { done, errors: failed, first } = await crowd.event('done')
    assert.deepStrictEqual({ done, failed, first }, { done: MANY, failed: 0, first: [] })
    await eventually(() => descriptors(ours), (n) => n === before, 'the descriptors')
    assert.strictEqual(ours.err, '')
  }
}

scenario(`${MANY} npm clients at our echo`, async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const end = await hold(world, ours.proc, 1, ours.at)
  await end()
  ours.proc.kill('SIGTERM')
  assert.strictEqual(await ours.proc.exit(), 0)
})

scenario(`${MANY} of ours at an npm echo`, async (world) => {
  const npm = await world.npmServer(['--echo', '--quiet'])
  const ours = world.ours(['serve', '--forward', npm.at, 'net:127.0.0.1:0'])
  const end = await hold(world, ours, 2, await ours.line(), ['--stack', 'net'])
  const counted = async (n) => {
    npm.proc.say('count')
    return npm.proc.event('count', n)
  }
  const held = await counted(0)
  assert.deepStrictEqual([held.connections, held.ended], [MANY + 1, 1])
  await end()
  const over = await counted(1)
  assert.deepStrictEqual([over.connections, over.ended, over.failed], [MANY + 1, MANY + 1, 0])
  assert.strictEqual(over.received - held.received, MANY * 5000)
})
