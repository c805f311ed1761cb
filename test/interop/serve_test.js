'use strict'
// Our `multiserver serve`, and npm clients:  node serve_test.js net~shs

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const { scenario, identity, sha256, assertComplaint, MAIN_NETWORK } = require('./harness')

const stack = process.argv[2]
const [transport, security] = stack.split('~')
const SIZE = 16 * 1024 * 1024
const OTHER_NETWORK = Buffer.alloc(32, 7).toString('base64')

// Our server of `stack`. `at` is the address it prints.
async function server(world, args, opts = {}) {
  const me = identity()
  const place = transport === 'net' ? 'net:127.0.0.1:0' : `unix:${world.socketDir('ours')}/socket`
  const proc = world.ours(['serve', ...args, `${place}~${security}`], { as: me, ...opts })
  const at = await proc.line(args.includes('--stdio') ? 'stderr' : 'stdout')
  const shape = transport === 'net' ? /^net:[^:]+:[1-9]\d*~[^;]+$/ : /^unix:\/[^;]+\/socket~[^;]+$/
  assert.match(at, shape)
  if (security === 'shs') assert.ok(at.endsWith(`~shs:${me.key}`), at)
  return { proc, me, at }
}

function client(world, address, args = [], { as = identity(), network = MAIN_NETWORK } = {}) {
  const dir = world.socketDir(`npm-${world.procs.length}`)
  const common = ['--stack', stack, '--seed', as.seed, '--network-key', network, '--dir', dir]
  return world.npm(['client', ...common, ...args, address])
}

// What our server says on stderr besides its address.
function complaint({ proc, at }) {
  return { err: proc.err.replace(at + '\n', '') }
}

scenario('16 MiB through our echo', async (world) => {
  const ours = await server(world, ['--echo', '--allow-any'])
  const npm = client(world, ours.at, ['--send', String(SIZE)])
  const connection = await npm.event('connection')
  if (security === 'shs') assert.strictEqual(connection.remote, ours.me.key)
  if (transport === 'net') assert.ok(connection.address.startsWith(ours.at), connection.address)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, (await npm.event('sent')).sha256)
  assert.strictEqual(await npm.finish(), 0)
})

scenario('16 MiB each way between files', async (world) => {
  const data = crypto.randomBytes(SIZE)
  const stdout = fs.openSync(world.path('out'), 'w')
  const ours = await server(world, ['--stdio', '--allow-any'], { stdout })
  const npm = client(world, ours.at, ['--send', String(SIZE)])
  // A pipe that stays open: without shs the npm client loses what it still sends when we end first.
  ours.proc.child.stdin.write(data)
  await npm.event('sent')
  await ours.proc.until(() => fs.statSync(world.path('out')).size === SIZE || wait(), 'all bytes')
  assert.strictEqual(await ours.proc.finish(), 0)
  fs.closeSync(stdout)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, sha256(data))
  assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), (await npm.event('sent')).sha256)
})
