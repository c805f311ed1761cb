'use strict'
// Our `multiserver serve`, and npm clients:  node serve_test.js net~shs

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const {
  scenario, identity, sha256, assertComplaint, complaint, isOfStack, transport, security, npmClosesBoth, holds, released, POLITE,
  halfCloses, MIB,
} = require('./harness')

const SIZE = 64 * MIB
const OTHER_NETWORK = Buffer.alloc(32, 7).toString('base64')

scenario('64 MiB through our echo', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const npm = world.npmClient(ours.at, ['--send', String(SIZE), ...holds(SIZE)])
  const connection = await npm.event('connection')
  if (security === 'shs') assert.strictEqual(connection.remote, ours.me.key)
  if (transport === 'net') assert.ok(connection.address.startsWith(ours.at), connection.address)
  await released(npm)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, (await npm.event('sent')).sha256)
  assert.strictEqual(await npm.finish(), 0)
})

scenario('a file of 64 MiB reaches an npm client that ends first', async (world) => {
  const data = crypto.randomBytes(SIZE)
  const stdin = fs.openSync(world.write('in', data), 'r')
  const ours = await world.oursServer(['--stdio', '--allow-any'], { stdin })
  fs.closeSync(stdin)
  const npm = world.npmClient(ours.at, POLITE)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, sha256(data))
  assert.strictEqual(await ours.proc.exit(), 0)
  assert.strictEqual(await npm.finish(), 0)
})

scenario('64 MiB from an npm client into a file', async (world) => {
  const stdout = fs.openSync(world.path('out'), 'w')
  const ours = await world.oursServer(['--stdio', '--allow-any'], { stdout })
  fs.closeSync(stdout)
  const npm = world.npmClient(ours.at, ['--send', String(SIZE)])
  const sent = await npm.event('sent')
  assert.strictEqual(await ours.proc.finish(), 0)
  assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), sent.sha256)
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [0, null])
  assert.strictEqual(await npm.finish(), 0)
})

scenario('twenty npm clients at once', async (world) => {
  const ours = await world.oursServer(['--echo', '--allow-any'])
  const size = 100000
  const clients = Array.from({ length: 20 }, () => world.npmClient(ours.at, ['--send', String(size), ...holds(size)]))
  for (const npm of clients) {
    await released(npm)
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [size, null])
    assert.strictEqual(end.sha256, (await npm.event('sent')).sha256)
  }
})

scenario('the list our server prints for two stacks is dialled', async (world) => {
  const more =
    transport === 'net' ? `unix:${world.socketDir('other')}/socket~noauth` : 'net:127.0.0.1:0~noauth'
  const ours = await world.oursServer(['--echo', '--allow-any'], { more: [more] })
  assert.strictEqual(ours.at.split(';').length, 2)
  const npm = world.npmClient(ours.at, ['--send', '10'])
  const { address } = await npm.event('connection')
  assert.ok(isOfStack(address), address)
  assert.strictEqual((await npm.event('end')).error, null)
})

// Node closes an npm client's socket at our FIN, and what the client has still to send is lost.
// With shs our FIN waits for the client's goodbye; without it the client needs this.
const OUTLIVES = security === 'shs' ? [] : ['--half-open']

scenario('64 MiB each way between files', async (world) => {
  const data = crypto.randomBytes(SIZE)
  const stdin = fs.openSync(world.write('in', data), 'r')
  const stdout = fs.openSync(world.path('out'), 'w')
  const ours = await world.oursServer(['--stdio', '--allow-any'], { stdin, stdout })
  fs.closeSync(stdin)
  fs.closeSync(stdout)
  const npm = world.npmClient(ours.at, ['--send', String(SIZE), ...OUTLIVES, ...POLITE])
  const end = await npm.event('end')
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, sha256(data))
  assert.strictEqual(await ours.proc.exit(), 0)
  const sent = await npm.event('sent')
  assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), sent.sha256)
  assert.strictEqual(await npm.finish(), 0)
})

if (halfCloses) {
  scenario('we end first; what the npm client sends only then arrives', async (world) => {
    const ours = await world.oursServer(['--stdio', '--allow-any'])
    const npm = world.npmClient(ours.at, ['--send', String(MIB), '--late', '--hold', ...OUTLIVES])
    ours.proc.child.stdin.end('now') // who has nothing to say does not end first
    assert.strictEqual((await npm.event('end')).error, null)
    await ours.proc.until(() => ours.proc.received === MIB, 'all bytes')
    assert.strictEqual(ours.proc.done, null, 'it waits for the end of the peer')
    npm.say('end')
    assert.strictEqual(await ours.proc.exit(), 0)
    assert.strictEqual(sha256(ours.proc.stdout()), (await npm.event('sent')).sha256)
  })
}

if (!npmClosesBoth) {
  scenario('the npm client ends first; what we send then arrives', async (world) => {
    const ours = await world.oursServer(['--stdio', '--allow-any'])
    const npm = world.npmClient(ours.at, ['--send', '10'])
    await ours.proc.until(() => ours.proc.received === 10, 'ten bytes')
    const data = crypto.randomBytes(100000)
    ours.proc.child.stdin.write(data)
    assert.strictEqual(await ours.proc.finish(), 0)
    const end = await npm.event('end')
    assert.deepStrictEqual([end.sha256, end.error], [sha256(data), null])
    assert.strictEqual(complaint(ours).err, '')
  })
}

if (security === 'shs') {
  scenario('an npm client with our own key enters without --allow', async (world) => {
    const ours = await world.oursServer(['--echo'])
    const npm = world.npmClient(ours.at, ['--send', '10'], { as: ours.me })
    assert.strictEqual((await npm.event('end')).error, null)
    const stranger = world.npmClient(ours.at, ['--send', '10'])
    assert.match((await stranger.event('failed')).error, /server hung up/)
  })

  scenario('a refused npm client hears it, an allowed one enters afterwards', async (world) => {
    const friend = identity()
    const ours = await world.oursServer(['--echo', '--allow', friend.key])
    const stranger = identity()
    const refused = world.npmClient(ours.at, ['--send', '10'], { as: stranger })
    assert.match((await refused.event('failed')).error, /server hung up/)
    const admitted = world.npmClient(ours.at, ['--send', '10', ...holds(10)], { as: friend })
    await released(admitted)
    const end = await admitted.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [10, null])
  })

  scenario('an npm client with a seed address has the key of the seed', async (world) => {
    const invited = identity()
    const ours = await world.oursServer(['--echo', '--allow', invited.key])
    const npm = world.npmClient(`${ours.at}:${invited.seed}`, ['--send', '10', ...holds(10)])
    await released(npm)
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [10, null])
  })

  scenario('another network key', async (world) => {
    const ours = await world.oursServer(['--echo', '--allow-any', '--network-key', OTHER_NETWORK])
    const wrong = world.npmClient(ours.at)
    assert.match((await wrong.event('failed')).error, /hung up|did not respond|challenge/)
    const right = world.npmClient(ours.at, ['--send', '10'], { network: OTHER_NETWORK })
    assert.strictEqual((await right.event('end')).error, null)
  })

  scenario('another server key', async (world) => {
    const ours = await world.oursServer(['--echo', '--allow-any'])
    const npm = world.npmClient(ours.at.replace(ours.me.key, identity().key))
    assert.match((await npm.event('failed')).error, /server hung up/)
  })

  scenario("the npm client's socket ends without a goodbye", async (world) => {
    const ours = await world.oursServer(['--stdio', '--allow-any'])
    const npm = world.npmClient(ours.at, ['--send', '100000', '--hold'])
    await ours.proc.until(() => ours.proc.stdout().length === 100000, 'all bytes')
    npm.say('cut')
    assert.strictEqual(await ours.proc.exit(), 1)
    assertComplaint(complaint(ours), /truncated|before the stream/i)
  })

  scenario('an npm client does not take the end of our process for a goodbye', async (world) => {
    const ours = await world.oursServer(['--echo', '--allow-any'])
    const npm = world.npmClient(ours.at, ['--send', '10', '--hold', '--watch', '10'])
    await npm.event('reached')
    ours.proc.kill('SIGKILL')
    assert.match((await npm.event('end')).error, /unexpected hangup|stream ended/)
  })
}
