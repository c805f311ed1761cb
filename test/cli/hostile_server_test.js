'use strict'
// Servers that mean no good, against connect, check and serve --forward: each is over in bounded time,
// says one clear thing, and never passes for a clean end.

const assert = require('assert')
const crypto = require('crypto')
const net = require('net')
const { scenario, identity } = require('../world')

const KEY = identity().key

const accepted = (head) => {
  const key = /sec-websocket-key: (.*)\r/i.exec(head)?.[1]
  const accept = crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}

// Writes the same again and again, as fast as it is taken.
function flood(socket, piece) {
  const more = () => { while (!socket.destroyed && socket.write(piece)); }
  socket.on('drain', more)
  more()
}

// After the opening handshake of WebSocket.
const opened = (then) => (socket) => socket.once('data', (head) => {
  socket.write(accepted(head))
  then(socket)
})
const answers = (bytes) => (socket) => socket.once('data', () => socket.write(bytes))
const frame = (...bytes) => opened((socket) => socket.write(Buffer.from(bytes)))

const ANY = ['net~shs', 'ws', 'net~tls']
const SERVERS = [
  { name: 'says nothing', on: ANY, does: () => {} },
  { name: 'leaves at once', on: ANY, does: (socket) => socket.end() },
  { name: 'resets at once', on: ANY, does: (socket) => socket.resetAndDestroy() },
  { name: 'leaves after the first words', on: ANY, does: (socket) => socket.once('data', () => socket.end()) },
  { name: 'resets after the first words', on: ANY, does: (socket) => socket.once('data', () => socket.resetAndDestroy()) },
  { name: 'floods with noise', on: ANY, does: (socket) => flood(socket, crypto.randomBytes(65536)) },
  { name: 'drips', on: ANY, does: (socket) => {
    const timer = setInterval(() => socket.write('H'), 50)
    socket.on('close', () => clearInterval(timer))
  } },
  { name: 'answers with 64 wrong bytes', on: ['net~shs'], does: answers(crypto.randomBytes(64)) },
  { name: 'announces a giant record', on: ['net~tls'], does: answers(Buffer.from('1603037fff', 'hex')) },
  { name: 'has a head without end', on: ['ws'], does: answers('HTTP/1.1 101 X\r\n' + 'X-A: b\r\n'.repeat(9000)) },
  { name: 'floods with 103', on: ['ws'], does: (socket) => socket.once('data', () => flood(socket, 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(500))) },
  { name: 'accepts another key', on: ['ws'], does: answers(accepted('sec-websocket-key: x\r')) },
  { name: 'sends somewhere else', on: ['ws'], does: answers('HTTP/1.1 302 Found\r\nLocation: http://\u001b[2J/\r\nContent-Length: 0\r\n\r\n') },
  { name: 'has a page', on: ['ws'], does: answers('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello') },
  { name: 'sends a masked frame', on: ['ws'], opens: true, does: frame(0x82, 0x81, 1, 2, 3, 4, 5) },
  { name: 'sends reserved bits', on: ['ws'], opens: true, does: frame(0xf2, 0x01, 1) },
  { name: 'sends a frame that is too long', on: ['ws'], opens: true, does: frame(0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) },
  { name: 'continues nothing', on: ['ws'], opens: true, does: frame(0x80, 0x01, 1) },
  { name: 'closes inside a message', on: ['ws'], opens: true, does: frame(0x02, 0x01, 1, 0x88, 0x02, 3, 232) },
  { name: 'closes with a reason that is none', on: ['ws'], opens: true, does: frame(0x88, 0x04, 3, 234, 0xff, 0xfe) },
  { name: 'floods with fragments', on: ['ws'], opens: true, does: opened((socket) => {
    socket.write(Buffer.from([0x02, 0x00]))
    flood(socket, Buffer.alloc(65536))
  }) },
]

// Listens as that server does: its address with this stack.
async function hostile(world, { does }, stack) {
  const sockets = new Set()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.resume()
    does(socket)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address()
  return { 'net~shs': `net:127.0.0.1:${port}~shs:${KEY}`, ws: `ws://127.0.0.1:${port}`, 'net~tls': `net:127.0.0.1:${port}~tls:localhost` }[stack]
}

const clear = /^multiserver: [^\n]{10,}\n/

for (const server of SERVERS) {
  scenario(`a server that ${server.name}`, async (world) => {
    await Promise.all(server.on.map(async (stack) => {
      const at = await hostile(world, server, stack)
      // connect
      const client = world.ours(['connect', '--timeout', '1500', at])
      assert.strictEqual(await client.exit(), 1, `${client}`)
      assert.match(client.err, clear)
      assert.doesNotMatch(client.err, /[\0-\x08\x0b-\x1f\x7f]|Sanitizer/)
      // check
      const check = world.ours(['check', '--timeout', '1500', at])
      const status = await check.exit()
      if (!server.opens) assert.strictEqual(status, 1, `${check}`)
      assert.doesNotMatch(check.err, /Sanitizer/)
    }))
  })
}

scenario('a bridge to any of them gives its peer no clean end, and is at rest afterwards', async (world) => {
  const fast = SERVERS.filter(({ name }) => !['says nothing', 'drips'].includes(name))
  await Promise.all(fast.flatMap((server) => server.on.map(async (stack) => {
    const at = await hostile(world, server, stack)
    const keyed = stack === 'net~shs' ? ['--key', world.secretOf()] : []
    const proc = world.start('bridge', process.env.MULTISERVER, ['serve', ...keyed, '--json', '--forward', at, 'net:127.0.0.1:0~noauth'])
    const near = world.ours(['connect', (await proc.event('listening')).address])
    near.say('hello')
    assert.strictEqual(await near.exit(), 1, `${server.name}: ${near}\n${proc}`)
    await proc.event('closed')
    assert.notStrictEqual((await proc.event('closed')).reason, 'end')
    for (let n = 0; ; n++) {
      proc.kill('SIGUSR1')
      const { open, pending, buffered } = await proc.event('stats', n)
      if (!open && !pending && !buffered) break
      assert.ok(n < 600, `${server.name}: ${JSON.stringify({ open, pending, buffered })}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.doesNotMatch(proc.err, /Sanitizer/)
  })))
})
