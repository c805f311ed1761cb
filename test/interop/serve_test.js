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

// Our server of `stack`, and of `more` after it. `at` is what it prints.
async function server(world, args, { more = [], ...opts } = {}) {
  const me = identity()
  const place = transport === 'net' ? 'net:127.0.0.1:0' : `unix:${world.socketDir('ours')}/socket`
  const addresses = [`${place}~${security}`, ...more]
  const proc = world.ours(['serve', ...args, ...addresses], { as: me, ...opts })
  const at = await proc.line(args.includes('--stdio') ? 'stderr' : 'stdout')
  const first = at.split(';')[0]
  const shape = transport === 'net' ? /^net:127\.0\.0\.1:[1-9]\d*~/ : /^unix:\/.+\/socket~/
  assert.match(first, shape)
  assert.strictEqual(first.split('~')[1], security === 'shs' ? `shs:${me.key}` : security)
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

scenario('a file of 16 MiB reaches an npm client that ends first', async (world) => {
  const data = crypto.randomBytes(SIZE)
  const stdin = fs.openSync(world.write('in', data), 'r')
  const ours = await server(world, ['--stdio', '--allow-any'], { stdin })
  fs.closeSync(stdin)
  const npm = client(world, ours.at)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, sha256(data))
  assert.strictEqual(await ours.proc.exit(), 0)
  assert.strictEqual(await npm.finish(), 0)
})

scenario('16 MiB from an npm client into a file', async (world) => {
  const stdout = fs.openSync(world.path('out'), 'w')
  const ours = await server(world, ['--stdio', '--allow-any'], { stdout })
  fs.closeSync(stdout)
  const npm = client(world, ours.at, ['--send', String(SIZE)])
  const sent = await npm.event('sent')
  assert.strictEqual(await ours.proc.finish(), 0)
  assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), sent.sha256)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [0, null])
  assert.strictEqual(await npm.finish(), 0)
})

scenario('twenty npm clients at once', async (world) => {
  const ours = await server(world, ['--echo', '--allow-any'])
  const size = 100000
  const clients = Array.from({ length: 20 }, () => client(world, ours.at, ['--send', String(size)]))
  for (const npm of clients) {
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [size, null])
    assert.strictEqual(end.sha256, (await npm.event('sent')).sha256)
  }
})

scenario('the list our server prints for two stacks is dialled', async (world) => {
  const more =
    transport === 'net' ? `unix:${world.socketDir('other')}/socket~noauth` : 'net:127.0.0.1:0~noauth'
  const ours = await server(world, ['--echo', '--allow-any'], { more: [more] })
  assert.strictEqual(ours.at.split(';').length, 2)
  const npm = client(world, ours.at, ['--send', '10'])
  const { address } = await npm.event('connection')
  assert.ok(address.startsWith(transport + ':') && address.includes('~' + security), address)
  assert.strictEqual((await npm.event('end')).error, null)
})

if (security === 'shs') {
  // Without shs an npm client loses what it still has to send when we end first.
  scenario('16 MiB each way between files', async (world) => {
    const data = crypto.randomBytes(SIZE)
    const stdin = fs.openSync(world.write('in', data), 'r')
    const stdout = fs.openSync(world.path('out'), 'w')
    const ours = await server(world, ['--stdio', '--allow-any'], { stdin, stdout })
    fs.closeSync(stdin)
    fs.closeSync(stdout)
    const npm = client(world, ours.at, ['--send', String(SIZE)])
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
    assert.strictEqual(end.sha256, sha256(data))
    assert.strictEqual(await ours.proc.exit(), 0)
    const sent = await npm.event('sent')
    assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), sent.sha256)
  })

  scenario('an npm client with our own key enters without --allow', async (world) => {
    const ours = await server(world, ['--echo'])
    const npm = client(world, ours.at, ['--send', '10'], { as: ours.me })
    assert.strictEqual((await npm.event('end')).error, null)
    const stranger = client(world, ours.at, ['--send', '10'])
    assert.match((await stranger.event('failed')).error, /server hung up/)
  })

  scenario('a refused npm client hears it, an allowed one enters afterwards', async (world) => {
    const friend = identity()
    const ours = await server(world, ['--echo', '--allow', friend.key])
    const stranger = identity()
    const refused = client(world, ours.at, ['--send', '10'], { as: stranger })
    assert.match((await refused.event('failed')).error, /server hung up/)
    const admitted = client(world, ours.at, ['--send', '10'], { as: friend })
    const end = await admitted.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [10, null])
  })

  scenario('an npm client with a seed address has the key of the seed', async (world) => {
    const invited = identity()
    const ours = await server(world, ['--echo', '--allow', invited.key])
    const npm = client(world, `${ours.at}:${invited.seed}`, ['--send', '10'])
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [10, null])
  })

  scenario('another network key', async (world) => {
    const ours = await server(world, ['--echo', '--allow-any', '--network-key', OTHER_NETWORK])
    const wrong = client(world, ours.at)
    assert.match((await wrong.event('failed')).error, /hung up|did not respond|challenge/)
    const right = client(world, ours.at, ['--send', '10'], { network: OTHER_NETWORK })
    assert.strictEqual((await right.event('end')).error, null)
  })

  scenario('another server key', async (world) => {
    const ours = await server(world, ['--echo', '--allow-any'])
    const npm = client(world, ours.at.replace(ours.me.key, identity().key))
    assert.match((await npm.event('failed')).error, /server hung up/)
  })

  scenario('we end first; what the npm client sends afterwards arrives', async (world) => {
    const ours = await server(world, ['--stdio', '--allow-any'], { stdin: 'ignore' })
    const npm = client(world, ours.at, ['--send', '100000', '--hold'])
    assert.strictEqual((await npm.event('end')).error, null)
    await ours.proc.until(() => ours.proc.stdout().length === 100000, 'all bytes')
    assert.strictEqual(ours.proc.done, null, 'it waits for the end of the peer')
    npm.say('end')
    assert.strictEqual(await ours.proc.exit(), 0)
    assert.strictEqual(sha256(ours.proc.stdout()), (await npm.event('sent')).sha256)
  })

  scenario("the npm client's socket ends without a goodbye", async (world) => {
    const ours = await server(world, ['--stdio', '--allow-any'])
    const npm = client(world, ours.at, ['--send', '100000', '--hold'])
    await ours.proc.until(() => ours.proc.stdout().length === 100000, 'all bytes')
    npm.say('cut')
    assert.strictEqual(await ours.proc.exit(), 1)
    assertComplaint(complaint(ours), /truncated|before the stream/i)
  })

  scenario('an npm client does not take the end of our process for a goodbye', async (world) => {
    const ours = await server(world, ['--echo', '--allow-any'])
    const npm = client(world, ours.at, ['--send', '10', '--hold', '--watch', '10'])
    await npm.event('reached')
    ours.proc.kill('SIGKILL')
    assert.match((await npm.event('end')).error, /unexpected hangup|stream ended/)
  })
}
