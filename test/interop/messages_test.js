'use strict'
// WebSocket with nothing on it: messages, against npm's ws and raw sockets.

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const net = require('net')
const tls = require('tls')
const { execFileSync, spawn } = require('child_process')
const path = require('path')
const { scenario } = require('./harness')
const { certificate, shownBy } = require('./certificate')
const WebSocket = require('ws')

const ECHO_CLIENT = path.join(path.dirname(process.env.MULTISERVER), 'test', 'ws-echo-client')
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const text = (n) => 'h\u00e9\u{1f600}'.repeat(Math.ceil(n / 7)).slice(0, n)
const MESSAGES = [
  '', 'a', text(125), text(126), text(70000), Buffer.alloc(0), Buffer.from([0]), crypto.randomBytes(65535),
  crypto.randomBytes(65536), crypto.randomBytes(5 << 20),
]

async function echoServer(world, args = [], address = 'ws://127.0.0.1:0') {
  const proc = world.ours(['serve', '--echo', ...args, address])
  return { proc, at: await proc.line('stdout') }
}

const event = (emitter, name) => new Promise((resolve, reject) => {
  emitter.once(name, (...args) => resolve(args))
  if (name !== 'error') emitter.once('error', reject)
})

// Sends every message over a socket, whole and in fragments; all have to come back.
async function exchange(socket) {
  const got = []
  const all = [...MESSAGES, 'fragments', Buffer.from('of both')]
  const done = new Promise((resolve) => socket.on('message', (data) => got.push(data) === all.length && resolve()))
  for (const message of MESSAGES) socket.send(message)
  socket.ping('between')
  for (const part of ['frag', 'men', 'ts']) socket.send(part, { fin: part === 'ts' })
  for (const part of ['of ', 'both']) socket.send(Buffer.from(part), { fin: part === 'both' })
  const [pong] = await event(socket, 'pong')
  assert.strictEqual(String(pong), 'between')
  await done
  all.forEach((message, i) => {
    assert.strictEqual(typeof got[i], typeof message, `message ${i}`)
    assert.ok(Buffer.from(got[i]).equals(Buffer.from(message)), `message ${i}`)
  })
}

for (const deflate of [false, true]) {
  scenario(`npm ws at our echo${deflate ? ', offering to compress' : ''}`, async (world) => {
    const ours = await echoServer(world)
    const socket = new WebSocket(ours.at, { perMessageDeflate: deflate })
    await event(socket, 'open')
    assert.strictEqual(socket.extensions, '')
    await exchange(socket)
    socket.close(3000, 'done')
    const [code] = await event(socket, 'close')
    assert.strictEqual(code, 3000)
  })
}

scenario('our echo client at npm ws', async (world) => {
  const server = new WebSocket.Server({ port: 0, host: '127.0.0.1' })
  await event(server, 'listening')
  const ours = world.start('ws-echo-client', ECHO_CLIENT, [`ws://127.0.0.1:${server.address().port}/a?b=c`])
  const [socket, request] = await event(server, 'connection')
  assert.strictEqual(request.url, '/a?b=c')
  await exchange(socket)
  socket.close(1000)
  assert.strictEqual(await ours.exit(), 0)
  assert.strictEqual(ours.err, '')
  server.close()
})

scenario('our echo client tells of a server that leaves before it has everything back', async (world) => {
  const server = http.createServer()
  server.on('upgrade', (request, socket) => {
    const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64')
    socket.on('error', () => {})
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    socket.write(Buffer.from([0x82, 1, 7, 0x82, 1, 8, 0x88, 2, 3, 232]), () => socket.resetAndDestroy()) // a Close at last
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const ours = world.start('ws-echo-client', ECHO_CLIENT, [`ws://127.0.0.1:${server.address().port}/`])
  assert.strictEqual(await ours.exit(), 1)
  assert.match(ours.err, /^ws:[^\n]+\n$/)
  server.close()
})

scenario('npm ws at our echo by wss, and our client at npm ws', async (world) => {
  const { cert, key } = certificate()
  const ours = await echoServer(world, ['--tls-cert', cert, '--tls-key', key], 'wss://localhost:0')
  const socket = new WebSocket(ours.at, { ca: fs.readFileSync(cert) })
  await event(socket, 'open')
  await exchange(socket)
  socket.close()
  await event(socket, 'close')
})

scenario('a busy port is one error line, and the other stacks serve', async (world) => {
  const ours = await echoServer(world)
  const second = world.ours(['serve', '--echo', ours.at, 'ws://127.0.0.1:0'])
  const at = await second.line('stdout')
  assert.notStrictEqual(at, ours.at)
  assert.match(second.err, /^multiserver: .*in use[^\n]*\n$/)
  for (const one of [ours.at, at]) {
    const socket = new WebSocket(one)
    await event(socket, 'open')
    socket.terminate()
  }
})

// ---- What nobody should send ----

// All that comes after `bytes` were sent, until the end.
function raw(at, bytes) {
  const { port } = new URL(at)
  return new Promise((resolve, reject) => {
    const got = []
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('data', (data) => got.push(data))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(got)))
    socket.on('end', () => socket.end())
  })
}

const HEAD = 'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'

scenario('bad heads are answered, each with its status', async (world) => {
  const ours = await echoServer(world)
  const cases = [
    ['GET / HTTP/1.1\r\nHost: h\r\n\r\n', 426],
    ['GET / HTTP/1.0\r\n\r\n', 426],
    ['\x16\x03\x01\x00\xa5\x01', 400],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    [HEAD.replace('13', '12') + '\r\n', 426],
    [HEAD.replace('GET', 'POST') + '\r\n', 405],
    [HEAD + 'Origin: https://evil.example\r\n\r\n', 403],
    [HEAD + 'X: ' + 'x'.repeat(20000) + '\r\n\r\n', 431],
  ]
  for (const [head, status] of cases) {
    const answer = String(await raw(ours.at, Buffer.from(head, 'latin1')))
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${JSON.stringify(head.slice(0, 300))}: ${answer}`)
  }
  const socket = new WebSocket(ours.at) // it serves on
  await event(socket, 'open')
  socket.terminate()
})

scenario('bad frames are answered with a close code', async (world) => {
  const ours = await echoServer(world)
  const mask = Buffer.from([1, 2, 3, 4])
  const frame = (first, payload) => Buffer.concat([Buffer.from([first, 128 | payload.length]), mask,
    Buffer.from(payload).map((b, i) => b ^ mask[i & 3])])
  const cases = [
    [Buffer.from('8101', 'hex'), 1002], // not masked
    [frame(0xc1, [1]), 1002],
    [frame(0x83, [1]), 1002],
    [frame(0x80, [1]), 1002],
    [frame(0x09, []), 1002],
    [Buffer.concat([frame(0x01, [65]), frame(0x81, [65])]), 1002],
    [frame(0x81, [0xff]), 1007],
    [frame(0x88, [3]), 1002],
    [frame(0x88, [3, 0xed]), 1002],
    [Buffer.concat([Buffer.from([0x82, 255, 0, 0, 0, 1, 0, 0, 0, 0]), mask]), 1009],
  ]
  for (const [bytes, code] of cases) {
    const answer = await raw(ours.at, Buffer.concat([Buffer.from(HEAD + '\r\n'), bytes]))
    const close = answer.subarray(-4) // a good fragment before it is echoed
    assert.strictEqual(close.toString('hex'), Buffer.from([0x88, 2, code >> 8, code & 255]).toString('hex'), String(code))
  }
})

// ---- TLS ----

scenario('openssl s_client through tls, and certificates that change under load', async (world) => {
  const made = certificate()
  const cert = world.write('cert.pem', fs.readFileSync(made.cert))
  const key = world.write('key.pem', fs.readFileSync(made.key))
  const proc = world.ours(['serve', '--echo', '--tls-cert', cert, '--tls-key', key, 'net:127.0.0.1:0~tls'])
  const at = await proc.line('stdout')
  const port = at.split(':')[2].split('~')[0]
  const dial = (version) => world.start('s_client', 'openssl', ['s_client', '-quiet', '-connect', `127.0.0.1:${port}`, '-CAfile', cert,
    '-verify_return_error', version])
  const open = []
  for (const version of ['-tls1_2', '-tls1_3']) {
    const client = dial(version)
    client.child.stdin.write('hello\n')
    await client.until(() => client.received === 6, 'the echo')
    open.push(client)
  }
  const shown = () => execFileSync('sh', ['-c', `openssl s_client -connect 127.0.0.1:${port} </dev/null 2>/dev/null | openssl x509 -noout -serial`],
    { encoding: 'utf8' })
  const before = shown()
  fs.writeFileSync(cert, 'nonsense')
  proc.child.kill('SIGHUP')
  await proc.until(() => /the certificate .*cert\.pem/.test(proc.err), 'an error line')
  assert.strictEqual(shown(), before)
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key,
    '-out', cert, '-subj', '/CN=localhost'], { stdio: 'pipe' })
  proc.child.kill('SIGHUP')
  await proc.until(() => /certificates read again/.test(proc.err), 'a note')
  assert.notStrictEqual(shown(), before)
  for (const client of open) {
    client.child.stdin.write('again\n')
    await client.until(() => client.received === 12, 'the echo')
    client.child.stdin.end()
  }
})

scenario('a reload is whole or none', async (world) => {
  const made = certificate()
  const cert = world.write('cert.pem', fs.readFileSync(made.cert))
  const key = world.write('key.pem', fs.readFileSync(made.key))
  const ca = world.write('ca.pem', fs.readFileSync(made.cert))
  const proc = world.ours(['serve', '--tls-cert', cert, '--tls-key', key, '--tls-ca', ca, 'net:127.0.0.1:0~tls',
    '--forward', 'net:127.0.0.1:1~tls'])
  const port = Number((await proc.line('stdout')).split(':')[2].split('~')[0])
  const before = await shownBy(port)
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key,
    '-out', cert, '-subj', '/CN=localhost'], { stdio: 'pipe' })
  fs.writeFileSync(ca, 'nonsense')
  proc.child.kill('SIGHUP')
  await proc.until(() => /the certificates to be trusted .*ca\.pem/.test(proc.err), 'an error line')
  assert.strictEqual(await shownBy(port), before) // the good certificate has to wait for the rest
  fs.copyFileSync(cert, ca)
  proc.child.kill('SIGHUP')
  await proc.until(() => /certificates read again/.test(proc.err), 'a note')
  assert.notStrictEqual(await shownBy(port), before)
})

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  scenario(`a connection at rest answers a forged record with an alert, ${version}`, async (world) => {
    const { cert, key } = certificate()
    const proc = world.ours(['serve', '--echo', '--tls-cert', cert, '--tls-key', key, 'net:127.0.0.1:0~tls'])
    const port = Number((await proc.line('stdout')).split(':')[2].split('~')[0])
    const wire = net.connect(port, '127.0.0.1')
    world.atEnd(() => wire.destroy())
    const client = tls.connect({ socket: wire, rejectUnauthorized: false, minVersion: version, maxVersion: version })
    await event(client, 'secureConnect')
    client.write('hello')
    await event(client, 'data')
    const failed = new Promise((resolve) => client.once('error', resolve))
    wire.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), crypto.randomBytes(40)]))
    assert.match((await failed).message, /alert bad record mac/)
  })
}

const WORDLESS = /^multiserver: the peer has ended without a word[^\n]*\n$/ // and so have we

scenario('who is not the one, or not trusted, is not dialled', async (world) => {
  const { cert, key } = certificate()
  const proc = world.ours(['serve', '--echo', '--tls-cert', cert, '--tls-key', key, 'net:127.0.0.1:0~tls'])
  const at = await proc.line('stdout')
  const cases = [
    [['--tls-ca', cert, at], 0, WORDLESS],
    [['--tls-ca', cert, `${at}:localhost`], 0, WORDLESS],
    [['--tls-ca', cert, `${at}:other.example`], 1, /tls handshake: the certificate is not trusted: hostname mismatch/],
    [[at], 1, /the certificate is not trusted: self-signed certificate/],
    [['--tls-insecure', `${at}:other.example`], 0, /anybody can be in between/],
    [['--tls-ca', key, at], 1, /the certificates to be trusted .*key\.pem/],
  ]
  for (const [args, status, why] of cases) {
    const client = world.ours(['connect', ...args], { stdin: 'ignore' })
    assert.strictEqual(await client.exit(), status, `${args.slice(-1)}: ${client.err}`)
    assert.match(client.err, why)
  }
})
