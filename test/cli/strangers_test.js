'use strict'
// What strangers send that is unusual and means no harm: servers with interim answers, clients with
// queries, whole URLs and giant heads.

const assert = require('assert')
const crypto = require('crypto')
const net = require('net')
const os = require('os')
const { scenario } = require('../world')

// All that a server says to these bytes, and how the connection ended: 'end', or the code of an error.
function say(port, ...pieces) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    let got = ''
    let ended
    socket.on('data', (data) => (got += data.toString('latin1')))
    socket.on('end', () => (ended = 'end'))
    socket.on('error', (err) => (ended ??= err.code))
    socket.on('close', () => resolve({ got, ended, status: Number(/^HTTP\/1\.1 (\d+) /.exec(got)?.[1]) }))
    for (const piece of pieces) socket.write(piece)
  })
}

const HI = Buffer.from([0x82, 2, 104, 105, 0x88, 2, 3, 232]) // "hi", and a Close

// A server of ws that says `first` before its 101 and `then` after it.
function wsServer(world, first, chunk, then = HI) {
  const server = net.createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.once('data', (head) => {
      const key = /sec-websocket-key: (.*)\r/i.exec(head)[1]
      const accept = crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      const answer = Buffer.concat([
        Buffer.from(`${first}HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`),
        then])
      let at = 0
      const more = () => {
        if (at >= answer.length) return
        socket.write(answer.subarray(at, at += chunk), () => setImmediate(more))
      }
      more()
    })
  })
  world.atEnd(() => server.close())
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n'

for (const chunk of [1, 7, 4096]) {
  scenario(`a dial passes interim answers over, ${chunk} bytes at a time`, async (world) => {
    for (const first of ['HTTP/1.1 100 Continue\r\n\r\n', HINTS, `HTTP/1.1 102 Processing\r\n\r\n${HINTS}${HINTS}`]) {
      const port = await wsServer(world, first, chunk)
      const client = await world.run(['connect', `ws://127.0.0.1:${port}/`])
      assert.strictEqual(client.stdout().toString(), 'hi', client.err)
      assert.strictEqual(client.status, 0, client.err)
    }
  })
}

const close = (code, reason) => {
  const text = Buffer.from(reason)
  return Buffer.concat([Buffer.from([0x88, 2 + text.length, code >> 8, code & 255]), text])
}

scenario('the reason of a Close is told as it is, but for what could do harm', async (world) => {
  const rows = [
    [1011, 'перегружен ✗', /: close code 1011: перегружен ✗\n$/],
    [1001, '再起動', /went away: close code 1001: 再起動\n$/],
    [4001, 'é'.repeat(61), /close code 4001: é{61}\n$/],
    [1008, 'a\u001b[31m\u009b\u202eb\n\u200bc', /close code 1008: a\?\[31m\?\?\?\?b\?\?\?\?c\n$/],
  ]
  for (const [code, reason, told] of rows) {
    const port = await wsServer(world, '', 4096, close(code, reason))
    const client = await world.run(['connect', `ws://127.0.0.1:${port}/`])
    assert.strictEqual(client.status, 1)
    assert.match(client.err, told)
    assert.match(client.err, /^[^\n]+\n$/)
  }
})

const upgrade = (target, more = '') =>
  `GET ${target} HTTP/1.1\r\nHost: pub.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`

async function serve(world, path, args = []) {
  const proc = world.ours(['serve', '--echo', ...args, `ws://127.0.0.1:0${path}`])
  return { proc, port: Number(new URL(await proc.line()).port) }
}

scenario('a client says more than the path', async (world) => {
  const { port } = await serve(world, '/room')
  for (const target of ['/room', '/room?', '/room?token=x', '/%72oom?token=x']) {
    const client = await world.run(['connect', `ws://127.0.0.1:${port}${target}`], { input: 'hello' })
    assert.deepStrictEqual([client.status, client.stdout().toString()], [0, 'hello'], `${target}: ${client.err}`)
  }
  for (const target of ['/Room', '//room', '/room/', '/', '/room%3Ftoken']) {
    const client = await world.run(['connect', `ws://127.0.0.1:${port}${target}`], { input: 'hello' })
    assert.strictEqual(client.status, 1, target)
    assert.match(client.err, /the server answers 404 Not Found/, target)
  }
})

scenario('a target is a whole URL', async (world) => {
  const root = world.socketDir('root')
  world.write('root/page.html', 'page')
  world.socketDir('root/sub')
  const { port } = await serve(world, '/room', ['--http-root', root])
  for (const target of ['http://pub.example/room', 'wss://127.0.0.1:80/room?token=x']) {
    const socket = net.connect(port, '127.0.0.1')
    socket.write(upgrade(target))
    const head = await new Promise((resolve) => socket.once('data', resolve))
    assert.match(String(head), /^HTTP\/1\.1 101 /, target)
    socket.destroy()
  }
  const page = async (target) => say(port, `GET ${target} HTTP/1.1\r\nHost: pub.example\r\nConnection: close\r\n\r\n`)
  const { status, got } = await page('https://pub.example/page.html?v=1')
  assert.deepStrictEqual([status, got.slice(-4)], [200, 'page'])
  assert.match((await page('http://pub.example/sub')).got, /^HTTP\/1\.1 301 [^]*\r\nLocation: \/sub\/\r\n/)
  assert.match((await page('http://pub.example/healthz')).got, /^HTTP\/1\.1 200 [^]*ok\n$/)
  assert.strictEqual((await page('http://pub.example')).status, 404) // of its index.html
  // the host of the URL is the one that a page's origin has to be
  assert.strictEqual((await say(port, upgrade('http://evil.example/room', 'Origin: http://127.0.0.1\r\n'))).status, 403)
  for (const target of ['/page\t.html', '\t/page.html', '/page.html\x01', '/page.html\x7f', '/\x0bpage.html', '/page.html#x', 'gopher://x/'])
    assert.strictEqual((await page(target)).status, 400, JSON.stringify(target))
})

// The answer is heard to its end, however much more is sent before it is.
scenario('a head that is too large hears why', async (world) => {
  const { port } = await serve(world, '/room')
  const begin = 'GET /room HTTP/1.1\r\nHost: h\r\n'
  const rows = [
    [431, begin + 'A: b\r\n'.repeat(100) + '\r\n'],
    [431, begin + `A: ${'b'.repeat(17000)}\r\n\r\n`],
    [431, begin + 'A: b\r\n'.repeat(4000) + '\r\n'],
    [431, begin, `A: ${'b'.repeat(1 << 20)}\r\n\r\n`],
    [414, `GET /${'x'.repeat(17000)} HTTP/1.1\r\nHost: h\r\n\r\n`],
    [414, `GET /${'x'.repeat(1 << 20)} HTTP/1.1\r\nHost: h\r\n\r\n`],
    [400, begin + 'a bad line\r\n\r\n', 'x'.repeat(1 << 20)],
    [426, begin + 'A: b\r\n'.repeat(99) + '\r\n'],
  ]
  for (const [status, ...pieces] of rows) {
    const heard = await say(port, ...pieces)
    assert.deepStrictEqual([heard.status, heard.ended], [status, 'end'], `${pieces[0].slice(0, 60)}: ${heard.got}`)
    assert.match(heard.got, /\r\n\r\n[A-Z][A-Za-z ]+\n$/)
  }
})

// RFC 6874: a zone in a URL stands behind %25. Nobody else has a use for it: it is not in the field Host.
scenario('a URL with a zone', async (world, t) => {
  const found = Object.entries(os.networkInterfaces()).flatMap(([name, all]) => all.map((one) => [name, one.address]))
    .find(([, address]) => address.startsWith('fe80::'))
  if (!found) return t.skip('no interface has a link-local address')
  const [zone, host] = found
  const server = world.ours(['serve', '--echo', '--json', '--insecure-noauth', `ws://[${host}%25${zone}]:0/a`])
  const { address } = await server.event('listening')
  assert.match(address, new RegExp(`^ws://\\[${host}%25${zone}\\]:\\d+/a$`))
  const client = await world.run(['connect', '-v', address], { input: 'hello' })
  assert.deepStrictEqual([client.status, client.stdout().toString()], [0, 'hello'], client.err)
  assert.ok((await server.event('connection')).address.startsWith(`ws://[${host}%25${zone}]:`))
  const plain = address.replace('%25', '%')
  assert.strictEqual((await world.run(['connect', plain])).status, 2)
  const bare = world.ours(['serve', '--echo', '--json', '--insecure-noauth', `net:${host}%${zone}:0`])
  assert.match((await bare.event('listening')).address, new RegExp(`^net:${host}%${zone}:\\d+$`))

  const heads = net.createServer((socket) => socket.once('data', (data) => socket.end(heads.head = String(data))))
  await new Promise((resolve) => heads.listen(0, `${host}%${zone}`, resolve))
  world.atEnd(() => heads.close())
  const { port } = heads.address()
  await world.run(['connect', `ws://[${host}%25${zone}]:${port}/`])
  assert.ok(heads.head.includes(`\r\nHost: [${host}]:${port}\r\n`), heads.head)
})
