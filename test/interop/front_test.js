'use strict'
// Our server behind Debian's haproxy and nginx: who its peers are, and that every byte arrives.
//   node front_test.js net~shs

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const https = require('https')
const net = require('net')
const WebSocket = require('ws')
const { scenario, identity, sha256, stack, transport, holds, released, MIB } = require('./harness')
const { certificate } = require('./certificate')
const { listeningPorts } = require('./proc_fs')
const { has, haproxy, nginxStream, nginxHttp, fromClient, CLIENT, PROXY } = require('./fronts')

for (const program of ['haproxy', 'nginx']) {
  if (has(program)) continue
  console.log(`${program} is missing (see scripts/install-deps)`)
  process.exit(process.env.MS_NO_SKIP === '1' ? 1 : 77)
}

const SIZE = 16 * MIB
const portOf = (at) => Number(/:(\d+)(~|\/|$)/.exec(at)[1])

// The address with another port in it.
const through = (at, port) => at.replace(String(portOf(at)), String(port))

// Our echo, its address, and the events that it tells.
async function echo(world, trusted) {
  const me = identity()
  const { cert, key } = certificate()
  const tls = transport === 'wss' ? ['--tls-cert', cert, '--tls-key', key] : []
  const place = { net: 'net:127.0.0.1:0', ws: 'ws://127.0.0.1:0', wss: 'wss://localhost:0' }[transport]
  const proc = world.ours(['serve', '--echo', '--json', '--allow-any', ...trusted.flatMap((t) => ['--trusted-proxy', t]), ...tls,
    `${place}~shs`], { as: me })
  const { address } = await proc.event('listening')
  return { proc, at: address.replace('localhost', PROXY), port: portOf(address) }
}

const FRONTS = {
  'haproxy, PROXY version 2': (world, to) => haproxy(world, to, 'send-proxy-v2'),
  'haproxy, PROXY version 1': (world, to) => haproxy(world, to, 'send-proxy'),
  'nginx, PROXY version 1': nginxStream,
}

for (const [name, start] of Object.entries(FRONTS)) {
  scenario(`behind ${name}: our client and npm's`, async (world) => {
    const server = await echo(world, [`${PROXY}=proxy`])
    const client = await fromClient(world, await start(world, server.port))
    const data = crypto.randomBytes(SIZE)
    const ours = world.ours(['connect', through(server.at, client.port)], { stdin: fs.openSync(world.write('in', data), 'r') })
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(sha256(ours.stdout()), sha256(data))

    const npm = world.npmClient(through(server.at, client.port), ['--send', '100000', ...holds(100000)])
    await released(npm)
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [100000, null])

    for (let i = 0; i < 2; i++) {
      const { address } = await server.proc.event('connection', i)
      const where = `${transport}:${transport === 'net' ? '' : '//'}${CLIENT}:${client.ports[i]}~shs:`
      assert.ok(address.startsWith(where), `${address} is not ${where}...`)
    }
  })
}

// What haproxy asks of a server to know that it is there, and what the server counts it as.
const CHECKS = {
  'asks for /healthz': ['option httpchk\n        http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host multiserver', 'requests'],
  'connects, and leaves': ['', 'probed'],
}

for (const [name, [check, counted]] of Object.entries(CHECKS)) {
  if (transport === 'net' && check) continue // shs has no such question
  scenario(`haproxy ${name}, behind a PROXY header: no peer has failed`, async (world) => {
    const server = await echo(world, [`${PROXY}=proxy`])
    const ssl = transport === 'wss' ? 'ssl verify none check-ssl' : ''
    await haproxy(world, server.port, `${ssl} send-proxy-v2 check check-send-proxy inter 100ms`, check)
    for (let n = 0, seen = 0; seen < 5; n++) {
      server.proc.kill('SIGUSR1')
      const stats = await server.proc.event('stats', n)
      assert.strictEqual(stats.failed, 0)
      seen = stats[counted]
    }
    const lines = server.proc.err.split('\n').filter((line) => line && !/ only this identity /.test(line))
    assert.deepStrictEqual(lines.map((line) => /^multiserver: probe: /.test(line)), check ? [] : [true])
  })
}

scenario('a header from what is not trusted is none', async (world) => {
  const server = await echo(world, ['192.0.2.0/24=proxy', '127.0.0.3=proxy'])
  const client = await fromClient(world, await haproxy(world, server.port, 'send-proxy'))
  const ours = world.ours(['connect', through(server.at, client.port)])
  assert.notStrictEqual(await ours.finish(), 0)
  const { address, layer } = await server.proc.event('error')
  assert.ok(address.includes(`${PROXY}:`), address)
  assert.strictEqual(layer, { net: 'shs', ws: 'http', wss: 'tls' }[transport])
})

scenario('from a front that sends no header nobody enters, so that it does not go unnoticed', async (world) => {
  const server = await echo(world, ['127.0.0.0/8=proxy'])
  for (const at of [server.at, through(server.at, await haproxy(world, server.port, ''))]) {
    const ours = world.ours(['connect', at])
    ours.child.stdin.end('hello')
    assert.strictEqual(await ours.exit(), 1)
  }
  for (let i = 0; i < 2; i++) {
    const { layer, message } = await server.proc.event('error', i)
    assert.deepStrictEqual([layer, message], ['proxy', 'the PROXY header is missing'])
  }
})

scenario('a bad header is an error that says so', async (world) => {
  const server = await echo(world, [`${PROXY}=proxy`])
  const socket = net.connect(server.port, PROXY, () => socket.write('PROXY TCP4 nowhere 127.0.0.1 1 2\r\n'))
  socket.on('error', () => {})
  const { layer, message } = await server.proc.event('error')
  assert.strictEqual(layer, 'proxy')
  assert.match(message, /the line of PROXY is malformed/)
})

if (stack === 'net~shs') {
  scenario('where clients do not speak first the header has to come', async (world) => {
    const server = world.ours(['serve', '--exec', 'echo $MULTISERVER_ADDRESS', '--trusted-proxy', PROXY, 'net:127.0.0.1:0'])
    const to = portOf(await server.line())
    const client = await fromClient(world, await haproxy(world, to, 'send-proxy-v2'))
    const ours = world.ours(['connect', `net:127.0.0.1:${client.port}`])
    assert.strictEqual(await ours.line(), `net:${CLIENT}:${client.ports[0]}`)
    const bare = net.connect(to, PROXY, () => bare.write('hello, this is no header'))
    bare.on('error', () => {})
    await server.until(() => /the PROXY header is missing/.test(server.err), 'a complaint')
  })
}

if (stack === 'ws~shs') {
  scenario('nginx ends TLS for a path: what the server advertises is dialled', async (world) => {
    const me = identity()
    const client = await fromClient(world)
    const proc = world.ours(['serve', '--echo', '--json', '--allow-any', '--trusted-proxy', `${PROXY}=x-forwarded-for`,
      '--external', `wss://pub.example:${client.port}/path`, '--print-addresses', 'public', 'ws://127.0.0.1:0~shs'], { as: me })
    const told = (await proc.event('listening')).address
    assert.strictEqual(told, `wss://pub.example:${client.port}/path~shs:${me.key}`)
    const address = told.replace('pub.example', 'localhost') // which stands for it here
    client.to = await nginxHttp(world, listeningPorts(proc)[0], certificate())

    const data = crypto.randomBytes(SIZE)
    const ours = world.ours(['connect', '--tls-ca', certificate().cert, address], { stdin: fs.openSync(world.write('in', data), 'r') })
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(sha256(ours.stdout()), sha256(data))
    const { address: peer } = await proc.event('connection')
    assert.ok(peer.startsWith(`ws://${CLIENT}~shs:`), peer)
  })

  scenario('nginx keeps its connections for pages, of whoever asks, and for WebSockets', async (world) => {
    const root = world.socketDir('root')
    fs.writeFileSync(`${root}/page`, 'page')
    const server = world.ours(['serve', '--echo', '--json', '--http-root', root, '--trusted-proxy', `${PROXY}=x-forwarded-for`, 'ws://127.0.0.1:0'])
    const { address } = await server.event('listening')
    const front = await nginxHttp(world, portOf(address), certificate())
    for (const localAddress of ['127.0.0.7', '127.0.0.8']) {
      for (let i = 0; i < 10; i++) {
        const status = await new Promise((resolve, reject) => {
          https.get({ host: PROXY, port: front, path: '/page', agent: false, localAddress, ca: fs.readFileSync(certificate().cert) }, (answer) => {
            answer.resume().on('end', () => resolve(answer.statusCode))
          }).on('error', reject)
        })
        assert.strictEqual(status, 200)
      }
    }
    const socket = new WebSocket(`wss://${PROXY}:${front}/`, { ca: fs.readFileSync(certificate().cert), localAddress: '127.0.0.9' })
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
    assert.strictEqual((await server.event('connection')).address, 'ws://127.0.0.9')
    server.kill('SIGUSR1')
    const { accepted, answered, requests, entered } = await server.event('stats')
    assert.deepStrictEqual([accepted, answered, requests, entered], [1, 1, 20, 1])
    socket.close()
  })

  scenario('what a client says in X-Forwarded-For and Forwarded is not believed', async (world) => {
    const server = world.ours(['serve', '--echo', '--json', '--trusted-proxy', `${PROXY}=x-forwarded-for`, 'ws://127.0.0.1:0'])
    const { address } = await server.event('listening')
    const client = await fromClient(world, await nginxHttp(world, portOf(address), certificate()))
    const socket = new WebSocket(`wss://localhost:${client.port}/path`, {
      ca: fs.readFileSync(certificate().cert), headers: { 'X-Forwarded-For': '6.6.6.6', Forwarded: 'for=7.7.7.7' },
    })
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
    assert.strictEqual((await server.event('connection')).address, `ws://${CLIENT}`)
    socket.close()
  })

  // nginx sets X-Forwarded-For here: what is believed by mistake is the client's
  scenario('where the field that is trusted is not the front\'s, nobody enters without a word', async (world) => {
    const server = world.ours(['serve', '--echo', '--json', '--trusted-proxy', `${PROXY}=forwarded`, 'ws://127.0.0.1:0'])
    const { address } = await server.event('listening')
    const client = await fromClient(world, await nginxHttp(world, portOf(address), certificate()))
    const socket = new WebSocket(`wss://localhost:${client.port}/path`, { ca: fs.readFileSync(certificate().cert) })
    const status = await new Promise((resolve) => socket.on('unexpected-response', (_, response) => resolve(response.statusCode)).on('error', () => {}))
    assert.strictEqual(status, 400)
    assert.match((await server.event('error')).message, /Forwarded, which a trusted proxy has to set, tells of nobody/)
  })
}
