'use strict'
// WebSocket over a unix socket, unix:PATH~ws: all that a stack of ws has.

const assert = require('assert')
const { execFileSync } = require('child_process')
const fs = require('fs')
const http = require('http')
const net = require('net')
const { scenario, assertComplaint } = require('../world')

const UPGRADE = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' }

async function serves(world, args = [], stack = '~ws') {
  const at = `${world.socketDir(`s${world.procs.length}`)}/socket`
  const proc = world.ours(['serve', '--echo', '--json', '--allow-any', ...args, `unix:${at}${stack}`])
  const { address } = await proc.event('listening')
  return { proc, at, address }
}

// What is answered: [status, body], or [101, socket].
function ask(world, at, path, headers = {}, agent = false) {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath: at, path, headers, agent })
    request.on('upgrade', (answer, socket) => {
      world.atEnd(() => socket.destroy())
      resolve([answer.statusCode, socket])
    })
    request.on('response', (answer) => {
      let body = ''
      answer.on('data', (data) => (body += data)).on('end', () => resolve([answer.statusCode, body]))
    })
    request.on('error', reject).end()
  })
}

const status = async (...args) => (await ask(...args))[0]

async function stats(proc) {
  proc.kill('SIGUSR1')
  return proc.event('stats', proc.events('stats').length)
}

scenario('it is served, dialled and checked', async (world) => {
  for (const [stack, wanted] of [['~ws', '~ws'], ['~ws:/room?a=b', '~ws'], ['~ws~noauth', '~ws~noauth'], ['~ws~shs', '~ws~shs'], ['~ws:/a!~b~shs', '~ws~shs']]) {
    const { proc, at, address } = await serves(world, [], stack)
    assert.ok(address.startsWith(`unix:${at}${stack}`), address)
    const client = world.ours(['connect', address])
    client.child.stdin.end('hello')
    assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'hello'], `${client}`)
    const { address: peer, stack: names } = await proc.event('connection')
    assert.ok(peer.startsWith(`unix:${at}~ws${stack.endsWith('~shs') ? '~shs:' : ''}`), peer)
    assert.strictEqual(names, `unix${wanted}`)
    const check = world.ours(['check', address])
    assert.strictEqual(await check.exit(), 0)
    assert.match(check.stdout().toString(), /^ {2}connect .*\n {2}http .*\n {2}ws .*\n/m)
  }
})

scenario('TLS below it, with a name', async (world) => {
  const pem = world.path('tls.pem')
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
    '-subj', '/CN=pub.example', '-addext', 'subjectAltName=DNS:pub.example', '-keyout', pem, '-out', `${pem}.cert`], { stdio: 'ignore' })
  for (const stack of ['~ws', '~ws:/a~shs']) {
    const { address } = await serves(world, ['--tls-cert', `${pem}.cert`, '--tls-key', pem], `~tls${stack}`)
    const client = world.ours(['connect', '--tls-ca', `${pem}.cert`, address.replace('~tls', '~tls:pub.example')])
    client.child.stdin.end('hello')
    assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'hello'], `${client}`)
  }
})

scenario('what connect asks for', async (world) => {
  for (const [address, line] of [['~ws', 'GET / HTTP/1.1'], ['~ws:/', 'GET / HTTP/1.1'], ['~ws:/a b?c', 'GET /a%20b?c HTTP/1.1']]) {
    const at = `${world.socketDir(`s${world.procs.length}`)}/socket`
    const asked = new Promise((resolve) => {
      const server = net.createServer((socket) => socket.once('data', (data) => {
        resolve(data.toString().split('\r\n'))
        socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
        server.close()
      })).listen(at, () => world.start('connect', process.env.MULTISERVER, ['connect', `unix:${at}${address}`]))
    })
    const [first, host] = await asked
    assert.deepStrictEqual([first, host], [line, 'Host: localhost'])
    await world.procs.at(-1).exit()
    assertComplaint(world.procs.at(-1), /http handshake: .*404/)
  }
})

scenario('what check waits for when nothing is answered', async (world) => {
  const at = `${world.socketDir('s')}/socket`
  const server = net.createServer(() => {})
  await new Promise((resolve) => server.listen(at, resolve))
  const proc = world.ours(['check', '--timeout', '200', `unix:${at}~ws`])
  assert.strictEqual(await proc.exit(), 1)
  assert.match(proc.stdout().toString(), /^ {2}http +failed after /m)
  server.close()
})

scenario('pages, /healthz, and the path of the WebSocket', async (world) => {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/page`, 'page')
  const { proc, at } = await serves(world, ['--http-root', root], '~ws:/room')
  assert.deepStrictEqual(await ask(world, at, '/page'), [200, 'page'])
  assert.deepStrictEqual(await ask(world, at, '/healthz'), [200, 'ok\n'])
  assert.strictEqual(await status(world, at, '/other', UPGRADE), 404)
  assert.strictEqual(await status(world, at, '/room', UPGRADE), 101)
  assert.deepStrictEqual((({ answered, requests, entered, failed }) => [answered, requests, entered, failed])(await stats(proc)), [2, 2, 1, 1])
  const plain = await serves(world)
  assert.strictEqual(await status(world, plain.at, '/page'), 426)
  assert.deepStrictEqual(await ask(world, plain.at, '/healthz'), [200, 'ok\n'])
})

scenario('pages of foreign origins are kept out where nothing authenticates', async (world) => {
  const from = (origin, host = 'localhost') => ({ ...UPGRADE, Origin: origin, Host: host })
  const { at } = await serves(world)
  assert.strictEqual(await status(world, at, '/', from('https://app.example')), 403)
  assert.strictEqual(await status(world, at, '/', from('https://app.example', 'app.example')), 403)
  assert.strictEqual(await status(world, at, '/', from('http://localhost')), 101)
  const listed = await serves(world, ['--origin', 'https://app.example'])
  assert.strictEqual(await status(world, listed.at, '/', from('https://app.example', 'app.example')), 101)
  const keyed = await serves(world, [], '~ws~shs')
  assert.strictEqual(await status(world, keyed.at, '/', from('https://app.example')), 101)
})

scenario('a ping is answered', async (world) => {
  const { at } = await serves(world)
  const [, socket] = await ask(world, at, '/', UPGRADE)
  const end = new Promise((resolve) => socket.on('close', resolve))
  socket.write(Buffer.from([0x89, 0x80, 0, 0, 0, 0]))
  const [pong] = await new Promise((resolve) => socket.once('data', resolve))
  assert.strictEqual(pong, 0x8a)
  socket.destroy()
  await end
})

scenario('those whom a front tells of are counted, and named; it itself is not', async (world) => {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/page`, 'page')
  for (const [how, field] of [['x-forwarded-for', (who) => ({ 'X-Forwarded-For': who })], ['forwarded', (who) => ({ Forwarded: `for=${who}` })]]) {
    const { proc, at } = await serves(world, ['--http-root', root, '--trusted-proxy', `unix=${how}`, '--limit', 'per-address=1', '--limit', 'pages-per-second=2'])
    const socket = (who) => status(world, at, '/', { ...UPGRADE, ...field(who) })
    assert.deepStrictEqual([await socket('192.0.2.1'), await socket('192.0.2.1'), await socket('192.0.2.2')], [101, 503, 101])
    assert.strictEqual((await proc.event('connection')).address, 'ws://192.0.2.1')
    const pages = []
    for (const who of ['192.0.2.3', '192.0.2.3', '192.0.2.3', '192.0.2.4']) pages.push(await status(world, at, '/page', field(who)))
    assert.deepStrictEqual(pages, [200, 200, 503, 200])
    // without the field: a page is the front's own, a WebSocket is nobody's
    assert.strictEqual(await status(world, at, '/page'), 200)
    assert.strictEqual(await status(world, at, '/', UPGRADE), 400)
    assert.strictEqual(await status(world, at, '/', { ...UPGRADE, ...field('unknown') }), 101)
    assert.strictEqual((await proc.event('connection', 2)).address, `unix:${at}~ws`)
    assert.strictEqual((await stats(proc)).over_address, 1)
  }
})

scenario('a header of PROXY names the peer of any stack at a unix socket', async (world) => {
  for (const [stack, address] of [['', 'net:192.0.2.1:5678'], ['~noauth', 'net:192.0.2.1:5678~noauth'], ['~ws', 'ws://192.0.2.1:5678'], ['~ws~noauth', 'ws://192.0.2.1:5678~noauth']]) {
    const { proc, at } = await serves(world, ['--trusted-proxy', 'unix=proxy', '--limit', 'per-address=1'], stack)
    const head = stack.startsWith('~ws') ? `GET / HTTP/1.1\r\nHost: h\r\n${Object.entries(UPGRADE).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n` : 'hello'
    const say = (line) => new Promise((resolve) => {
      const socket = net.connect(at, () => socket.write(line + head))
      world.atEnd(() => socket.destroy())
      socket.on('error', () => {}).on('close', () => resolve('')).once('data', (data) => resolve(data.toString()))
    })
    assert.match(await say('PROXY TCP4 192.0.2.1 198.51.100.1 5678 443\r\n'), /^(hello|HTTP\/1.1 101 )/)
    assert.strictEqual((await proc.event('connection')).address, address)
    assert.doesNotMatch(await say('PROXY TCP4 192.0.2.1 198.51.100.1 5679 443\r\n'), /^(hello|HTTP\/1.1 101 )/)
    assert.match(await say('PROXY UNKNOWN\r\n'), /^(hello|HTTP\/1.1 101 )/)
    assert.strictEqual((await proc.event('connection', 1)).address, `unix:${at}${stack}`)
    assert.strictEqual((await stats(proc)).over_address, 1)
  }
})

scenario('one WebSocket too many of a peer may still be a page', async (world) => {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/page`, 'page')
  const { at } = await serves(world, ['--http-root', root, '--trusted-proxy', 'unix=proxy', '--limit', 'per-address=1'])
  const say = (path, fields) => new Promise((resolve) => {
    const lines = Object.entries({ Host: 'h', ...fields }).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const socket = net.connect(at, () => socket.write(`PROXY TCP4 192.0.2.1 198.51.100.1 5678 443\r\nGET ${path} HTTP/1.1\r\n${lines}\r\n`))
    world.atEnd(() => socket.destroy())
    socket.on('error', () => {}).on('close', () => resolve('closed')).once('data', (data) => resolve(data.toString().split(' ')[1]))
  })
  assert.deepStrictEqual([await say('/', UPGRADE), await say('/page'), await say('/', UPGRADE)], ['101', '200', '503'])
})

scenario('what peers are told to come to', async (world) => {
  const printed = async (args, stack) => {
    const { proc, at } = await serves(world, [...args, '--print-addresses', 'public'], stack)
    const { address } = await proc.event('listening')
    return [address && address.replace(/~shs:.*/, '~shs'), at]
  }
  const WSS = ['--external', 'wss://pub.example/path']
  assert.strictEqual((await printed(WSS, '~ws:/a~shs'))[0], 'wss://pub.example/path~shs')
  assert.strictEqual((await printed(['--external', 'ws://a.example', '--external', 'wss://b.example:8443'], '~ws~shs'))[0], 'ws://a.example~shs')
  assert.strictEqual((await printed(['--external', 'net:pub.example:443'], '~shs'))[0], 'net:pub.example:443~shs')
  assert.strictEqual((await printed(WSS, '~ws'))[0], null) // nobody is invited where nothing authenticates
  const device = await serves(world, WSS, '~ws~shs')
  assert.ok(device.address.startsWith(`unix:${device.at}~ws~shs:`), device.address)
  for (const [args, why] of [
    [[...WSS, `unix:${device.at}2~shs`], /wss:\/\/pub\.example\/path: is external to nothing/],
    [['--external', 'net:pub.example:443', `unix:${device.at}2~ws~shs`], /is external to nothing/],
    [['--external', 'net:pub.example:0', `unix:${device.at}2~shs`], /serve: unix:.*: what peers find in front of a unix socket has a port/],
    [['--external', 'unix:/x', `unix:${device.at}2~shs`], /is external to nothing/],
    [['--external', 'pub.example', `unix:${device.at}2~shs`], /nothing here can use it/],
  ]) {
    const proc = world.ours(['serve', '--echo', ...args])
    assert.strictEqual(await proc.exit(), 2, `${args}`)
    assertComplaint(proc, why)
  }
})

scenario('what cannot be says what can', async (world) => {
  for (const [address, why] of [
    ['net:h:1~ws', /over TCP it is a transport, ws:\/\/HOST:PORT\/PATH, with TLS wss:\/\//],
    ['net:127.0.0.1:0~ws~shs', /over TCP it is a transport/],
    ['net:h:1~tls~ws', /over TCP it is a transport/],
    ['unix:/x~ws://h:1/', /it is ws, or ws:\/path/],
    ['unix:/x~ws:h:1', /it is ws, or ws:\/path/],
    ['unix:/x~wss', /TLS is a section of its own below: tls:NAME~ws/],
    ['unix:/x~shs~ws', /it stands on unix, or on tls over unix, nowhere else/],
    ['unix:/x~ws~ws', /it stands on unix, or on tls over unix, nowhere else/],
  ]) {
    const serve = world.ours(['serve', '--echo', address])
    assert.strictEqual(await serve.exit(), 2, address)
    assertComplaint(serve, why)
    if (/shs~ws|ws~ws/.test(address)) continue
    const connect = await world.run(['connect', address.replace(':0', ':1')])
    assert.strictEqual(connect.status, 2, address)
    assertComplaint(connect, why)
  }
})
