'use strict'
// Sessions of TLS that are resumed, by Node and by OpenSSL's command.

const assert = require('assert')
const { execFileSync } = require('child_process')
const fs = require('fs')
const tls = require('tls')
const { scenario } = require('../world')
const { certificate } = require('../interop/certificate')

const HEALTH = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a test\r\nConnection: close\r\n\r\n' // more than a hello of shs has

// One connection that asks for something: whether its session is an old one, and the last that it got.
function visit(port, { session, version = 'TLSv1.3' } = {}) {
  return new Promise((resolve, reject) => {
    const seen = { reused: false, session: null, text: '' }
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: fs.readFileSync(certificate().cert), session, maxVersion: version }, () => {
      seen.reused = socket.isSessionReused()
      socket.write(HEALTH)
    })
    socket.on('session', (got) => { seen.session = got })
    socket.on('data', (data) => { seen.text += data })
    socket.on('error', reject).on('close', () => resolve(seen))
  })
}

async function serve(world, ...addresses) {
  const { cert, key } = certificate()
  const server = world.ours(['serve', '--echo', '--json', '--allow-any', '--tls-cert', cert, '--tls-key', key, ...addresses])
  const ports = []
  for (let i = 0; i < addresses.length; i++) ports.push(Number(/127\.0\.0\.1:(\d+)/.exec((await server.event('listening', i)).address)[1]))
  return { server, ports }
}

scenario('who comes back resumes, until the certificate is read again', async (world) => {
  const { server, ports: [port, other] } = await serve(world, 'wss://127.0.0.1:0~shs', 'wss://127.0.0.1:0~shs')
  for (const version of ['TLSv1.3', 'TLSv1.2']) {
    const first = await visit(port, { version })
    assert.deepStrictEqual([first.reused, /ok\n$/.test(first.text)], [false, true])
    assert.ok(first.session)
    const second = await visit(port, { version, session: first.session })
    assert.deepStrictEqual([second.reused, /ok\n$/.test(second.text)], [true, true])
    if (version === 'TLSv1.3') assert.ok(second.session) // another ticket for the next time
    assert.strictEqual((await visit(other, { version, session: first.session })).reused, false)
    server.kill('SIGHUP')
    await server.until(() => server.err.split('certificates read again').length === (version === 'TLSv1.3' ? 2 : 3), 'the reload')
    const third = await visit(port, { version, session: first.session })
    assert.deepStrictEqual([third.reused, /ok\n$/.test(third.text)], [false, true])
  }
})

scenario('where no browser comes there are no tickets', async (world) => {
  const { server, ports: [port] } = await serve(world, 'net:127.0.0.1:0~tls~shs')
  for (const version of ['TLSv1.3', 'TLSv1.2']) {
    const { session, reused } = await visit(port, { version })
    if (version === 'TLSv1.3') assert.strictEqual(session, null)
    assert.strictEqual((await visit(port, { version, session: session ?? undefined })).reused, reused)
  }
  server.kill('SIGTERM')
  assert.strictEqual(await server.exit(), 0)
})

scenario('openssl s_client -reconnect', async (world) => {
  const { ports: [port] } = await serve(world, 'wss://127.0.0.1:0')
  const text = execFileSync('openssl', ['s_client', '-tls1_2', '-connect', `127.0.0.1:${port}`, '-reconnect'], { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  assert.deepStrictEqual([text.match(/^New, /mg).length, text.match(/^Reused, /mg).length], [1, 5])
})
