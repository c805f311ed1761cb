'use strict'
// An npm server, and our `multiserver connect`:  node dial_test.js net~shs

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const net = require('net')
const {
  scenario, identity, sha256, assertComplaint, isOfStack, stack, transport, security, npmClosesBoth, isWebSocket,
  POLITE, halfCloses, MIB,
} = require('./harness')

const SIZE = 64 * MIB
const OTHER_NETWORK = Buffer.alloc(32, 7).toString('base64')

scenario('a line comes back from an npm echo', async (world) => {
  const npm = await world.npmServer(['--echo'])
  const ours = world.ours(['connect', npm.at])
  ours.child.stdin.write('hello\n')
  assert.strictEqual(await ours.line(), 'hello')
  assert.strictEqual(await ours.finish(), 0)
  assert.strictEqual(ours.stdout().toString(), 'hello\n')
  assert.strictEqual(ours.err, '')
  const { bytes, error } = await npm.proc.event('end')
  assert.deepStrictEqual({ bytes, error }, { bytes: 6, error: null })
})

scenario('64 MiB each way at the same time', async (world) => {
  const npm = await world.npmServer(['--send', String(SIZE), ...POLITE])
  const data = crypto.randomBytes(SIZE)
  const stdin = fs.openSync(world.write('in', data), 'r')
  const stdout = fs.openSync(world.path('out'), 'w')
  const ours = world.ours(['connect', npm.at], { stdin, stdout })
  fs.closeSync(stdin)
  fs.closeSync(stdout)
  assert.strictEqual(await ours.exit(), 0)
  assert.strictEqual(ours.err, '')
  const sent = await npm.proc.event('sent')
  const end = await npm.proc.event('end')
  assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), sent.sha256)
  assert.deepStrictEqual([end.bytes, end.error], [SIZE, null])
  assert.strictEqual(end.sha256, sha256(data))
  assert.strictEqual(await npm.proc.finish(), 0)
})

if (npmClosesBoth) {
  scenario('the npm server closes before it has all of our file, which is an error', async (world) => {
    const npm = await world.npmServer(['--send', '10'])
    const stdin = fs.openSync(world.write('in', crypto.randomBytes(SIZE)), 'r')
    const ours = world.ours(['connect', npm.at], { stdin })
    fs.closeSync(stdin)
    assert.strictEqual(await ours.exit(), 1)
    assert.strictEqual(ours.stdout().length, 10)
    assertComplaint(ours, /closed before it had all of standard input/)
  })
} else {
  scenario('the npm server ends first; the file that we send arrives', async (world) => {
    const npm = await world.npmServer(['--send', '10'])
    const data = crypto.randomBytes(16 * MIB)
    const stdin = fs.openSync(world.write('in', data), 'r')
    const ours = world.ours(['connect', npm.at], { stdin })
    fs.closeSync(stdin)
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(ours.stdout().length, 10)
    const end = await npm.proc.event('end')
    assert.deepStrictEqual([end.sha256, end.error], [sha256(data), null])
  })

  scenario('the npm server ends while our input is still open; what we send then arrives', async (world) => {
    const npm = await world.npmServer(['--send', '10'])
    const ours = world.ours(['connect', npm.at])
    await ours.until(() => ours.received === 10, 'ten bytes')
    const data = crypto.randomBytes(100000)
    ours.child.stdin.write(data)
    assert.strictEqual(await ours.finish(), 0)
    const end = await npm.proc.event('end')
    assert.deepStrictEqual([end.sha256, end.error], [sha256(data), null])
  })
}

if (halfCloses) {
  scenario('we end first; what the npm server sends only then arrives', async (world) => {
    const npm = await world.npmServer(['--send', String(MIB), '--late', '--hold'])
    const ours = world.ours(['connect', npm.at], { stdin: 'ignore' })
    assert.strictEqual((await npm.proc.event('end')).error, null)
    await ours.until(() => ours.received === MIB, 'all bytes')
    assert.strictEqual(ours.done, null, 'it waits for the end of the peer')
    npm.proc.say('end')
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(sha256(ours.stdout()), (await npm.proc.event('sent')).sha256)
  })
}

scenario('both end at once, and nothing was said', async (world) => {
  const npm = await world.npmServer()
  const ours = world.ours(['connect', npm.at], { stdin: 'ignore' })
  assert.strictEqual(await ours.exit(), 0)
  assert.strictEqual(ours.received, 0)
  assert.match(ours.err, security === 'shs' ? /^$/ : /^multiserver: the peer has ended without a word[^\n]*\n$/)
  const { bytes, error } = await npm.proc.event('end')
  assert.deepStrictEqual({ bytes, error }, { bytes: 0, error: null })
})

scenario('the npm server sees our address', async (world) => {
  const npm = await world.npmServer(['--echo'])
  const me = identity()
  const ours = world.ours(['connect', npm.at], { as: me })
  assert.strictEqual(await ours.finish(), 0)
  const { address, remote } = await npm.proc.event('connection')
  if (transport === 'net') assert.match(address, /^net:127\.0\.0\.1:\d+(~|$)/)
  if (security === 'shs') {
    assert.ok(address.endsWith(`~shs:${me.key}`), address)
    assert.strictEqual(remote, me.key)
  }
})

scenario('a list of alternatives as an npm server prints it is dialled', async (world) => {
  const other = transport === 'unix' ? 'net~noauth' : 'unix~noauth'
  const npm = await world.npmServer(['--stack', `${stack};${other}`, '--echo'])
  assert.strictEqual(npm.at.split(';').length, 2)
  const ours = world.ours(['connect', npm.at])
  assert.strictEqual(await ours.finish(), 0)
  const { address } = await npm.proc.event('connection')
  assert.ok(isOfStack(address.replace(/^ws:/, `${transport}:`)), address) // npm tells no wss
})

scenario('a socket path and a host of an unusual shape', async (world, t) => {
  if (transport !== 'unix') {
    if (!hasIPv6()) return t.skip('no IPv6 loopback here')
    const npm = await world.npmServer(['--echo', '--host', '::1'])
    assert.match(npm.at, isWebSocket ? /^wss?:\/\/\[::1\]:\d+(~|$)/ : /^net:::1:\d+(~|$)/)
    assert.strictEqual(await world.ours(['connect', npm.at]).finish(), 0)
    const { address } = await npm.proc.event('connection')
    assert.match(address, isWebSocket ? /^ws:::1(~|$)/ : /^net:::1:\d+(~|$)/)
  } else {
    const npm = await world.npmServer(['--echo', '--dir', world.socketDir('a ~b!c:d')])
    assert.ok(npm.at.includes('a !~b!!c:d/socket'), npm.at)
    assert.strictEqual(await world.ours(['connect', npm.at]).finish(), 0)
  }
})

if (security === 'shs') {
  scenario('a seed address makes us the key of the seed', async (world) => {
    const invited = identity()
    const npm = await world.npmServer(['--echo', '--authorise', invited.key])
    const ours = world.ours(['connect', `${npm.at}:${invited.seed}`])
    assert.strictEqual(await ours.finish(), 0)
    const { address, remote } = await npm.proc.event('connection')
    assert.strictEqual(remote, invited.key)
    assert.ok(address.endsWith(`~shs:${invited.key}`))
  })

  scenario('an npm server that does not admit us', async (world) => {
    const npm = await world.npmServer(['--authorise', 'no'])
    const ours = world.ours(['connect', npm.at])
    assert.strictEqual(await ours.exit(), 1)
    assertComplaint(ours, /refused|admit/i)
    assert.match((await npm.proc.event('failed')).error, /did not authorize/)
  })

  scenario('another network key', async (world) => {
    const npm = await world.npmServer(['--echo'], { network: OTHER_NETWORK })
    const wrong = world.ours(['connect', npm.at])
    assert.strictEqual(await wrong.exit(), 1)
    assertComplaint(wrong, /shs/)
    assert.match((await npm.proc.event('failed')).error, /invalid challenge/)
    const right = world.ours(['connect', '--network-key', OTHER_NETWORK, npm.at])
    assert.strictEqual(await right.finish(), 0)
  })

  scenario('another server key', async (world) => {
    const npm = await world.npmServer(['--echo'])
    const ours = world.ours(['connect', npm.at.replace(npm.me.key, identity().key)])
    assert.strictEqual(await ours.exit(), 1)
    assertComplaint(ours, /shs/)
    assert.match((await npm.proc.event('failed')).error, /client hello invalid/)
  })

  scenario('the socket ends without a goodbye', async (world) => {
    const npm = await world.npmServer(['--send', '100000', '--hold'])
    const ours = world.ours(['connect', npm.at])
    await ours.until(() => ours.stdout().length === 100000, 'all bytes')
    npm.proc.say('cut')
    assert.strictEqual(await ours.exit(), 1)
    assertComplaint(ours, /truncated|before the stream/i)
  })
}

// npm closes the WebSocket behind its own goodbye, and ours with it.
if (npmClosesBoth && security === 'shs') {
  scenario('who is left over on a bridge has a while to end, and is cut then', async (world) => {
    const npm = await world.npmServer(['--send', '1000'])
    const bridge = world.ours(['serve', '--json', '--forward', npm.at, 'net:127.0.0.1:0'])
    const port = Number((await bridge.event('listening')).address.split(':')[2])
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
    world.atEnd(() => socket.destroy())
    let heard = 0
    socket.on('data', (bytes) => (heard += bytes.length))
    const { reason, message } = await bridge.event('closed')
    assert.deepStrictEqual([heard, reason], [1000, 'failed'])
    assert.match(message, /has left before it had all/)
  })
}

function hasIPv6() {
  const all = Object.values(require('os').networkInterfaces()).flat()
  return all.some(({ address }) => address === '::1')
}
