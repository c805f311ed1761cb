'use strict'
// Readers that do not read, and connections that both sides close, on WebSockets of npm's ws:
//   node pressure_test.js wss

const assert = require('assert')
const fs = require('fs')
const http = require('http')
const https = require('https')
const WebSocket = require('ws')
const { scenario, stack, MIB } = require('./harness')
const { certificate } = require('./certificate')
const { atRest, descriptors, eventually, peak, resident, LEAN } = require('./proc_fs')

const TOTAL = 64 * MIB
const MESSAGE = Buffer.alloc(MIB / 4, 'x')
// Our process holds a few blocks of 64 KiB for a connection.
const GROWTH = 4 * MIB
const PARALLEL = 20
const RACES = 400

const opened = (socket) => new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
const closed = (socket) => new Promise((resolve) => socket.on('close', resolve))

const sendAll = (socket) => {
  for (let sent = 0; sent < TOTAL; sent += MESSAGE.length) socket.send(MESSAGE)
}

// Counts what arrives; resolves when it is all of it.
function received(socket) {
  let got = 0
  return new Promise((resolve) => socket.on('message', (data) => (got += data.length) === TOTAL && resolve()))
}

const trusting = () => (stack === 'wss' ? { ca: fs.readFileSync(certificate().cert) } : {})
const dial = (at) => new WebSocket(at, trusting())
const echo = (world) => world.oursServer(['--echo'], { env: LEAN })

async function npmServer() {
  const { cert, key } = certificate()
  const server = stack === 'wss' ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : http.createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new WebSocket.Server({ server })
  return { server, at: `${stack}://127.0.0.1:${server.address().port}`, connection: new Promise((resolve) => sockets.on('connection', resolve)) }
}

scenario('our echo waits for a reader that does not read', async (world) => {
  const { proc, at } = await echo(world)
  const socket = dial(at)
  await opened(socket)
  const all = received(socket)
  const before = resident(proc)
  socket._socket.pause()
  sendAll(socket)
  const waiting = await atRest(() => socket.bufferedAmount)
  assert.ok(waiting > TOTAL / 2, `only ${waiting} bytes wait at the sender, and nobody reads`)
  const grown = peak(proc) - before
  assert.ok(grown < GROWTH, `${grown} bytes more`)
  socket._socket.resume()
  await all
  socket.close()
  await closed(socket)
})

scenario('an npm server waits for our stdout to be read', async (world) => {
  const { server, at, connection } = await npmServer()
  const ours = world.ours(['connect', at], { env: LEAN })
  ours.child.stdout.pause()
  const socket = await connection
  const before = resident(ours)
  sendAll(socket)
  const waiting = await atRest(() => socket.bufferedAmount)
  assert.ok(waiting > TOTAL / 2, `only ${waiting} bytes wait at the sender, and nobody reads`)
  const grown = peak(ours) - before
  assert.ok(grown < GROWTH, `${grown} bytes more`)
  ours.child.stdout.resume()
  await ours.until(() => ours.received === TOTAL, 'all of it')
  socket.close()
  assert.strictEqual(await ours.exit(), 0)
  server.close()
})

// What a client does to a connection that is in the middle of things.
const ENDINGS = [
  (socket) => socket.close(),
  (socket) => socket.close(1000, 'bye'),
  (socket) => socket.terminate(),
  (socket) => socket._socket.end(), // a FIN without a Close
  (socket) => {
    socket.close()
    socket._socket.destroy()
  },
  (socket) => {
    socket.close()
    socket.ping() // after a Close nothing may follow: it is not sent
    socket._socket.pause()
    setImmediate(() => socket._socket.resume())
  },
]

scenario('connections that end in the middle of things', async (world) => {
  const { proc, at } = await echo(world)
  const first = dial(at)
  await opened(first)
  first.close()
  await closed(first)
  const before = await atRest(() => descriptors(proc), 300)
  const race = async (i) => {
    const socket = dial(at)
    const over = closed(socket)
    socket.on('error', () => {})
    await opened(socket)
    socket.send(MESSAGE.subarray(0, 1 + (i * 7919) % MESSAGE.length))
    if (i % 2) await new Promise((resolve) => socket.once('message', resolve))
    if (i % 3 === 0) socket.send(MESSAGE)
    ENDINGS[i % ENDINGS.length](socket)
    await over
  }
  for (let i = 0; i < RACES; i += PARALLEL)
    await Promise.all(Array.from({ length: PARALLEL }, (_, k) => race(i + k)))
  await eventually(() => descriptors(proc), (n) => n === before, 'descriptors')
  proc.kill('SIGTERM')
  assert.strictEqual(await proc.exit(), 0)
  for (const line of proc.err.split('\n').filter(Boolean))
    assert.match(line, /^multiserver: (echo: .*(before the stream|reset|lost|cannot reach|closed)|\d+ more lines? about peers$)/)
})

scenario('a server that drains while clients leave', async (world) => {
  for (let i = 0; i < 10; i++) {
    const { proc, at } = await echo(world)
    const sockets = Array.from({ length: PARALLEL }, () => dial(at))
    for (const socket of sockets) socket.on('error', () => {})
    await Promise.all(sockets.map(opened))
    const over = sockets.map(closed)
    sockets.forEach((socket) => socket.send(MESSAGE))
    sockets.forEach((socket, k) => k % 2 && socket.close())
    proc.kill('SIGTERM')
    await Promise.all(over)
    assert.strictEqual(await proc.exit(), 0)
  }
})
