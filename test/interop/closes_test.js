'use strict'
// How a WebSocket with nothing on it ends: with npm's ws and raw sockets on either side.

const assert = require('assert')
const crypto = require('crypto')
const net = require('net')
const { scenario } = require('./harness')
const WebSocket = require('ws')

const LINES = Array.from({ length: 1000 }, (_, i) => `${i + 1}\n`)
const SORTED = LINES.join('')
const SHUFFLED = [...LINES].sort((a, b) => (a.length - b.length) || (a < b ? 1 : -1)).join('')
assert.notStrictEqual(SHUFFLED, SORTED)

const HEAD = 'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'

// A frame; a client's is masked.
function frame(first, payload, masked) {
  const body = Buffer.from(payload)
  const mask = masked ? crypto.randomBytes(4) : Buffer.alloc(0)
  const length = body.length < 126 ? [body.length] : [126, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([first, length[0] | (masked ? 128 : 0), ...length.slice(1)]), mask,
    masked ? body.map((b, i) => b ^ mask[i & 3]) : body])
}

const close = (code, reason, masked) =>
  frame(0x88, code ? [code >> 8, code & 255, ...Buffer.from(reason || '')] : [], masked)

// The frames of a server that are in `bytes`, behind its head: [opcode, payload as text].
function frames(bytes) {
  const found = []
  let at = bytes.indexOf('\r\n\r\n') + 4
  while (at < bytes.length) {
    const short = bytes[at + 1]
    const head = short < 126 ? 2 : 4
    const length = short < 126 ? short : bytes.readUInt16BE(at + 2)
    found.push([bytes[at] & 15, bytes.toString('latin1', at + head, at + head + length)])
    at += head + length
  }
  return found
}

const codeOf = ([opcode, payload]) => {
  assert.strictEqual(opcode, 8)
  return payload.length ? Buffer.from(payload, 'latin1').readUInt16BE(0) : 1005
}

const event = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)))

// Says `bytes` whole or one by one, and hears the server's frames until it is over.
function raw(world, at, bytes, dripping) {
  const { port } = new URL(at)
  return new Promise((resolve, reject) => {
    const got = []
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, async () => {
      socket.write(HEAD)
      await event(socket, 'data').then(([head]) => got.unshift(head))
      socket.on('data', (data) => got.push(data))
      if (!dripping) return socket.write(bytes)
      for (const byte of bytes) await new Promise((next) => socket.write(Buffer.from([byte]), () => setImmediate(next)))
    })
    world.atEnd(() => socket.destroy())
    socket.on('error', reject)
    socket.on('close', () => resolve(frames(Buffer.concat(got))))
    socket.on('end', () => socket.end())
  })
}

async function serve(world, ...args) {
  const proc = world.ours(['serve', '--json', ...args, 'ws://127.0.0.1:0'])
  return { proc, at: (await proc.event('listening')).address }
}

// A server of npm's ws that does this with each socket.
async function npmServer(world, serves) {
  const server = new WebSocket.Server({ port: 0, host: '127.0.0.1' })
  await event(server, 'listening')
  server.on('connection', serves)
  world.atEnd(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  return `ws://127.0.0.1:${server.address().port}`
}

// A server of nothing that does this with each socket once it is a WebSocket.
async function rawServer(world, serves) {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (head) => {
      const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(head)[1]
      const accept = crypto.createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
      serves(socket)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => server.close())
  return `ws://127.0.0.1:${server.address().port}`
}

// ---- Whoever ends, at our server ----

const partial = frame(0x02, 'part', true)
for (const dripping of [false, true]) {
  scenario(`what a client's Close means${dripping ? ', byte by byte' : ''}`, async (world) => {
    const ours = await serve(world, '--echo')
    const cases = [
      // what is said; the code of our Close; the event's reason; what is told of the error
      [[close(1000, 'bye', true)], 1000, 'end'],
      [[close(0, '', true)], 1005, 'end'],
      [[close(1001, 'tab closed', true)], 1001, 'gone'],
      [[partial, close(1001, '', true)], 1001, 'gone'],
      [[partial, close(1000, '', true)], 1002, 'truncated', /closed inside a message/],
      [[partial, frame(0x00, [], true), close(0, '', true)], 1002, 'truncated', /closed inside a message/],
      [[close(3000, 'had\u001b[2Jenough', true)], 3000, 'truncated', /close code 3000: had\?\[2Jenough$/],
      [[close(1011, '', true)], 1011, 'truncated', /close code 1011$/],
    ]
    let errors = 0
    for (const [i, [said, code, reason, why]] of cases.entries()) {
      const heard = await raw(world, ours.at, Buffer.concat(said), dripping)
      assert.strictEqual(codeOf(heard.at(-1)), code, `${i}: ${heard}`)
      assert.strictEqual((await ours.proc.event('closed', i)).reason, reason, String(i))
      if (why) assert.match((await ours.proc.event('error', errors++)).message, why)
      assert.strictEqual(ours.proc.events('error').length, errors, String(i))
    }
    assert.strictEqual(ours.proc.err.split('\n').length - 1, errors, ours.proc.err)
  })

  scenario(`what comes with a client's Close is answered before ours${dripping ? ', byte by byte' : ''}`, async (world) => {
    const said = Buffer.concat([frame(0x81, 'one', true), frame(0x82, 'two', true), close(1000, '', true)])
    const echo = await serve(world, '--echo')
    const heard = await raw(world, echo.at, said, dripping)
    assert.strictEqual(heard.slice(0, -1).map(([, text]) => text).join(''), 'onetwo') // whatever the fragments
    assert.strictEqual(codeOf(heard.at(-1)), 1000)
    const exec = await serve(world, '--exec', 'tr a-z A-Z; echo over')
    const told = await raw(world, exec.at, said, dripping)
    assert.strictEqual(told.slice(0, -1).map(([, text]) => text).join(''), 'ONETWOover\n')
    assert.strictEqual(codeOf(told.at(-1)), 1000)
  })
}

scenario('an npm client that closes with its question has all of the answer', async (world) => {
  const ours = await serve(world, '--exec', 'sort -n')
  for (const code of [undefined, 1000]) {
    const socket = new WebSocket(ours.at)
    const got = []
    socket.on('message', (data) => got.push(data))
    await event(socket, 'open')
    socket.send(SHUFFLED)
    socket.close(code)
    assert.strictEqual((await event(socket, 'close'))[0], code || 1005)
    assert.strictEqual(Buffer.concat(got).toString(), SORTED)
  }
})

scenario('an answer that does not end is cut after a while, and not as a clean one', async (world) => {
  const ours = await serve(world, '--exec', 'echo begun; sleep 300')
  const socket = new WebSocket(ours.at)
  await event(socket, 'message')
  socket.close()
  const [code, reason] = await event(socket, 'close')
  assert.deepStrictEqual([code, String(reason)], [1011, 'the peer has closed, and no end of ours has come'])
  assert.strictEqual((await ours.proc.event('closed')).reason, 'timeout')
})

// ---- Whoever ends, at our client ----

scenario('connect tells how a server has closed', async (world) => {
  const cases = [
    [(socket) => socket.close(), 0, /^$/],
    [(socket) => socket.close(1000, 'bye'), 0, /^$/],
    [(socket) => socket.close(1001), 1, /the peer went away: close code 1001\n$/],
    [(socket) => socket.close(1011, 'exit 3'), 1, /close code 1011: exit 3\n$/],
    [(socket) => socket.close(4000), 1, /close code 4000\n$/],
    [(socket) => (socket.send('part', { fin: false }), socket.close()), 1, /closed inside a message\n$/],
    [(socket) => socket.terminate(), 1, /lost|ended before/],
  ]
  for (const [ends, status, why] of cases) {
    const at = await npmServer(world, (socket) => (socket.send('hello'), ends(socket)))
    const ours = world.ours(['connect', at]) // standard input stays open
    assert.strictEqual(await ours.exit(), status, `${ours}`)
    assert.match(ours.err, why)
    if (!/inside|lost/.test(ours.err)) assert.strictEqual(String(ours.stdout()), 'hello')
  }
})

scenario('a frame that a server leaves unfinished is no end', async (world) => {
  const at = await rawServer(world, (socket) => socket.end(frame(0x82, Buffer.concat([Buffer.from('part'), close(1000)])).subarray(0, -1)))
  const ours = world.ours(['connect', at], { stdin: 'ignore' })
  assert.strictEqual(await ours.exit(), 1)
  assert.match(ours.err, /ended before the stream/)
})

scenario('connect has the late answer of an npm server, and all of it', async (world) => {
  const at = await npmServer(world, (socket) => socket.on('message', () => {
    setTimeout(() => socket.send('be'), 2000) // longer than a silence in between may be
    setTimeout(() => socket.send('gun'), 2500)
  }))
  const ours = world.ours(['connect', at])
  ours.child.stdin.end('question')
  assert.strictEqual(await ours.exit(), 0, `${ours}`)
  assert.strictEqual(String(ours.stdout()), 'begun')
})

scenario('without a Close of the peer there is no success', async (world) => {
  const said = []
  const at = await rawServer(world, (socket) => {
    socket.write(frame(0x82, 'hello'))
    socket.on('data', (data) => said.push(data))
  })
  const ours = world.ours(['connect', '--linger', '50', at], { stdin: 'ignore' })
  assert.strictEqual(await ours.exit(), 1)
  assert.match(ours.err, /^multiserver: connection: [^\n]*: the peer has not closed[^\n]*\n$/)
  assert.strictEqual(String(ours.stdout()), 'hello')
  assert.strictEqual(Buffer.concat(said)[0], 0x88) // ours was said

  const leaving = await rawServer(world, (socket) => socket.end(frame(0x82, 'hello')))
  const other = world.ours(['connect', leaving], { stdin: 'ignore' })
  assert.strictEqual(await other.exit(), 1)
  assert.match(other.err, /ended before the stream/)
})

scenario('what a slow standard output has not taken is no silence', async (world) => {
  const data = crypto.randomBytes(4 << 20)
  const at = await npmServer(world, (socket) => socket.send(data))
  const ours = world.start('slow', 'sh', ['-c', `"$0" connect --linger 200 '${at}' </dev/null | (sleep 2; cat)`, process.env.MULTISERVER])
  await ours.exit()
  assert.ok(ours.stdout().equals(data), `${ours.received} bytes`)
  assert.strictEqual(ours.err, '')
})
