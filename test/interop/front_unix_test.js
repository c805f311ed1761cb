'use strict'
// Our server at a unix socket, behind Debian's haproxy and nginx: the stack is what peers speak.
//   node front_unix_test.js net~shs

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const https = require('https')
const WebSocket = require('ws')
const { scenario, identity, sha256, transport, holds, released, MIB } = require('./harness')
const { certificate } = require('./certificate')
const { has, haproxy, nginxStream, nginxHttp, fromClient, CLIENT, PROXY } = require('./fronts')

for (const program of ['haproxy', 'nginx']) {
  if (has(program)) continue
  console.log(`${program} is missing (see scripts/install-deps)`)
  process.exit(process.env.MS_NO_SKIP === '1' ? 1 : 77)
}

const SIZE = 16 * MIB
const above = transport === 'ws' ? '~ws' : ''

// Our echo at a socket, and the events that it tells.
async function echo(world, args, stack = `${above}~shs`) {
  const me = identity()
  const path = `${world.socketDir(`s${world.procs.length}`)}/socket`
  const proc = world.ours(['serve', '--echo', '--json', '--allow-any', ...args, `unix:${path}${stack}`], { as: me })
  const { address } = await proc.event('listening')
  return { proc, path, address, key: me.key }
}

// As what peers reach the front at this port.
const through = (port, key) => (transport === 'ws' ? `ws://${PROXY}:${port}~shs:${key}` : `net:${PROXY}:${port}~shs:${key}`)

const FRONTS = {
  'haproxy, PROXY version 2': (world, to) => haproxy(world, to, 'send-proxy-v2'),
  'haproxy, PROXY version 1': (world, to) => haproxy(world, to, 'send-proxy'),
  'nginx, PROXY version 1': nginxStream,
}

for (const [name, start] of Object.entries(FRONTS)) {
  scenario(`behind ${name}: our client and npm's`, async (world) => {
    const server = await echo(world, ['--trusted-proxy', 'unix=proxy'])
    assert.strictEqual(server.address, `unix:${server.path}${above}~shs:${server.key}`)
    const client = await fromClient(world, await start(world, server.path))
    const at = through(client.port, server.key)
    const data = crypto.randomBytes(SIZE)
    const ours = world.ours(['connect', at], { stdin: fs.openSync(world.write('in', data), 'r') })
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(sha256(ours.stdout()), sha256(data))

    const npm = world.npmClient(at, ['--send', '100000', ...holds(100000)])
    await released(npm)
    const end = await npm.event('end')
    assert.deepStrictEqual([end.bytes, end.error], [100000, null])

    for (let i = 0; i < 2; i++) {
      const { address } = await server.proc.event('connection', i)
      const where = `${transport === 'ws' ? 'ws://' : 'net:'}${CLIENT}:${client.ports[i]}~shs:`
      assert.ok(address.startsWith(where), `${address} is not ${where}...`)
    }
  })
}

scenario('what comes without a header has none that counts', async (world) => {
  const server = await echo(world, ['--trusted-proxy', 'unix=proxy'])
  const bare = await haproxy(world, server.path, '')
  for (const at of [through(bare, server.key), server.address]) {
    const ours = world.ours(['connect', at])
    ours.child.stdin.end('hello')
    assert.strictEqual(await ours.exit(), 1)
  }
  for (let i = 0; i < 2; i++) {
    const { address, layer, message } = await server.proc.event('error', i)
    assert.deepStrictEqual([address, layer, message], [`unix:${server.path}${above}~shs:`, 'proxy', 'the PROXY header is missing'])
  }
})

scenario('a front that nobody trusts is a peer at the socket', async (world) => {
  const server = await echo(world, [])
  const plain = world.ours(['connect', through(await haproxy(world, server.path, ''), server.key)])
  plain.child.stdin.end('hello')
  assert.strictEqual(await plain.exit(), 0)
  assert.ok((await server.proc.event('connection')).address.startsWith(`unix:${server.path}${above}~shs:`))
  const ours = world.ours(['connect', through(await haproxy(world, server.path, 'send-proxy'), server.key)])
  assert.notStrictEqual(await ours.finish(), 0)
  const { address, layer } = await server.proc.event('error')
  assert.deepStrictEqual([address, layer], [`unix:${server.path}${above}~shs:`, transport === 'ws' ? 'http' : 'shs'])
})

if (transport === 'net') {
  scenario('what it advertises is what stands in front', async (world) => {
    const client = await fromClient(world)
    const server = await echo(world, ['--trusted-proxy', 'unix=proxy', '--external', `net:pub.example:${client.port}`, '--print-addresses', 'public'])
    assert.strictEqual(server.address, `net:pub.example:${client.port}~shs:${server.key}`)
    client.to = await haproxy(world, server.path, 'send-proxy-v2')
    const ours = world.ours(['connect', server.address.replace('pub.example', PROXY)])
    ours.child.stdin.end('hello')
    assert.strictEqual(await ours.exit(), 0)
  })
}

if (transport === 'ws') {
  scenario('nginx ends TLS for a path: what the server advertises is dialled', async (world) => {
    const client = await fromClient(world)
    const server = await echo(world, ['--trusted-proxy', 'unix=x-forwarded-for', '--external', `wss://pub.example:${client.port}/path`, '--print-addresses', 'public'])
    assert.strictEqual(server.address, `wss://pub.example:${client.port}/path~shs:${server.key}`)
    const address = server.address.replace('pub.example', 'localhost') // which stands for it here
    client.to = await nginxHttp(world, server.path, certificate())
    const data = crypto.randomBytes(SIZE)
    const ours = world.ours(['connect', '--tls-ca', certificate().cert, address], { stdin: fs.openSync(world.write('in', data), 'r') })
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(sha256(ours.stdout()), sha256(data))
    const { address: peer } = await server.proc.event('connection')
    assert.ok(peer.startsWith(`ws://${CLIENT}~shs:`), peer)
  })

  const get = (port, path, localAddress) => new Promise((resolve, reject) => {
    https.get({ host: PROXY, port, path, agent: false, localAddress, ca: fs.readFileSync(certificate().cert) }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode))
    }).on('error', reject)
  })

  const opens = (url, opts) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url, opts)
    socket.on('open', () => resolve(socket)).on('error', reject)
      .on('unexpected-response', (_, answer) => resolve(answer.statusCode))
  })

  scenario('nginx keeps its connections for pages, of whoever asks, and for WebSockets', async (world) => {
    const root = world.socketDir('root')
    fs.writeFileSync(`${root}/page`, 'page')
    const server = await echo(world, ['--http-root', root, '--trusted-proxy', 'unix=x-forwarded-for'], '~ws')
    const front = await nginxHttp(world, server.path, certificate())
    for (const localAddress of ['127.0.0.7', '127.0.0.8']) {
      for (let i = 0; i < 10; i++) assert.strictEqual(await get(front, '/page', localAddress), 200)
    }
    const ca = fs.readFileSync(certificate().cert)
    const socket = await opens(`wss://${PROXY}:${front}/`, { ca, localAddress: '127.0.0.9' })
    assert.strictEqual((await server.proc.event('connection')).address, 'ws://127.0.0.9')
    const message = new Promise((resolve) => socket.on('message', resolve))
    socket.send('hello')
    assert.strictEqual((await message).toString(), 'hello')
    server.proc.kill('SIGUSR1')
    const { accepted, answered, requests, entered } = await server.proc.event('stats')
    assert.deepStrictEqual([accepted, answered, requests, entered], [1, 1, 20, 1])
    socket.close()
  })

  scenario('what a client says in X-Forwarded-For and Forwarded is not believed', async (world) => {
    const server = await echo(world, ['--trusted-proxy', 'unix=x-forwarded-for'], '~ws')
    const client = await fromClient(world, await nginxHttp(world, server.path, certificate()))
    const socket = await opens(`wss://localhost:${client.port}/path`, {
      ca: fs.readFileSync(certificate().cert), headers: { 'X-Forwarded-For': '6.6.6.6', Forwarded: 'for=7.7.7.7' },
    })
    assert.strictEqual((await server.proc.event('connection')).address, `ws://${CLIENT}`)
    socket.close()
  })

  scenario('a front that says it in PROXY, and one behind that in a field', async (world) => {
    const server = await echo(world, ['--trusted-proxy', 'unix=proxy', '--trusted-proxy', `${PROXY}=x-forwarded-for`], '~ws')
    const balancer = await haproxy(world, server.path, 'send-proxy-v2')
    const client = await fromClient(world, await nginxHttp(world, balancer, certificate()))
    const socket = await opens(`wss://localhost:${client.port}/path`, { ca: fs.readFileSync(certificate().cert) })
    assert.strictEqual((await server.proc.event('connection')).address, `ws://${CLIENT}`)
    socket.close()
  })

  scenario('haproxy asks for /healthz at the socket', async (world) => {
    const server = await echo(world, ['--trusted-proxy', 'unix=proxy'], '~ws')
    await haproxy(world, server.path, 'send-proxy-v2 check check-send-proxy inter 100ms',
      'option httpchk\n        http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host multiserver')
    for (let n = 0, seen = 0; seen < 5; n++) {
      server.proc.kill('SIGUSR1')
      const stats = await server.proc.event('stats', n)
      assert.strictEqual(stats.failed, 0)
      seen = stats.requests
    }
  })

  scenario('nginx of another user gets in by the group that is named, and no other way', async (world, t) => {
    if (process.getuid() !== 0) return t.skip('not root: there is no other user to be')
    fs.chmodSync(world.dir, 0o755)
    for (const [args, wanted] of [[['--unix-group', 'www-data'], 101], [[], 502], [['--unix-mode', '0660'], 502]]) {
      const server = await echo(world, ['--trusted-proxy', 'unix=x-forwarded-for', ...args], '~ws')
      fs.chmodSync(server.path.replace(/\/socket$/, ''), 0o755)
      const front = await nginxHttp(world, server.path, certificate(), 'www-data')
      const got = await opens(`wss://${PROXY}:${front}/`, { ca: fs.readFileSync(certificate().cert) })
      assert.strictEqual(typeof got === 'number' ? got : 101, wanted, `${args}`)
      if (wanted === 101) got.close()
    }
  })

  // npm's ws speaks WebSocket over unix sockets as well.
  scenario("npm's ws, as our client and as our server", async (world) => {
    const server = await echo(world, [], '~ws:/room?a=b')
    assert.strictEqual(server.address, `unix:${server.path}~ws:/room?a=b`)
    assert.strictEqual(await opens(`ws+unix://${server.path}:/other`), 404)
    const socket = await opens(`ws+unix://${server.path}:/room?a=b`)
    const message = new Promise((resolve) => socket.on('message', resolve))
    socket.send('hello')
    assert.strictEqual((await message).toString(), 'hello')
    socket.close()

    const path = `${world.socketDir('npm')}/socket`
    const listener = http.createServer()
    const peers = new WebSocket.Server({ server: listener })
    const asked = new Promise((resolve) => peers.on('connection', (peer, request) => {
      peer.on('message', (data) => peer.send(data))
      resolve([request.headers.host, request.url])
    }))
    await new Promise((resolve) => listener.listen(path, resolve))
    const ours = world.ours(['connect', `unix:${path}~ws:/a/b?c=d`])
    ours.child.stdin.end('hello')
    assert.strictEqual(await ours.exit(), 0)
    assert.strictEqual(ours.stdout().toString(), 'hello')
    assert.deepStrictEqual(await asked, ['localhost', '/a/b?c=d'])
    await new Promise((resolve) => peers.close(() => listener.close(resolve)))
  })
}
