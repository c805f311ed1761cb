'use strict'
// serve: listening, who may enter, signals.

const assert = require('assert')
const fs = require('fs')
const net = require('net')
const os = require('os')
const { scenario, identity, secretFile, assertComplaint, command } = require('../world')

// A connect that sends `input` and has ended.
async function connect(world, address, { as = identity(), input = 'hello\n', args = [] } = {}) {
  const proc = world.ours(['connect', ...args, address], { as })
  proc.child.stdin.end(input)
  proc.status = await proc.exit()
  return proc
}

const isOneLine = (text) => assert.match(text, /^multiserver: [^\n]+\n$/)

scenario('one line tells all that listen, with real ports', async (world) => {
  const me = identity()
  const dir = world.socketDir('s')
  const serve = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs', `unix:${dir}/a~noauth`,
    'net::0~shs:', `net:127.0.0.1:0~shs:${me.key}`], { as: me })
  const line = await serve.line()
  const addresses = line.split(';')
  const port = (i) => Number(addresses[i].match(/:(\d+)~/)[1])
  assert.strictEqual(addresses[0], `net:127.0.0.1:${port(0)}~shs:${me.key}`)
  assert.strictEqual(addresses[1], `unix:${dir}/a~noauth`)
  assert.match(addresses[2], /^net:[^~]*:\d+~shs:/)
  assert.strictEqual(new Set([port(0), port(2), port(3)]).size, 3)
  assert.strictEqual(fs.statSync(`${dir}/a`).mode & 0o777, 0o600)
  for (const address of addresses) {
    const client = await connect(world, address)
    assert.deepStrictEqual([client.status, client.stdout().toString()], [0, 'hello\n'], address)
  }
  assert.strictEqual(serve.stdout().toString(), line + '\n')
  assert.strictEqual(serve.err, '')
})

scenario('one that fails is an error line, the others go on', async (world) => {
  const busy = net.createServer()
  await new Promise((resolve) => busy.listen(0, '127.0.0.1', resolve))
  const { port } = busy.address()
  const serve = world.ours(['serve', '--echo', '--allow-any', `net:127.0.0.1:${port}~shs`, 'net:127.0.0.1:0~shs'])
  const line = await serve.line()
  assert.strictEqual(line.split(';').length, 1)
  await serve.until(() => serve.err.includes('\n'), 'its error')
  isOneLine(serve.err)
  assert.match(serve.err, new RegExp(`net:127.0.0.1:${port}.*in use`))
  assert.strictEqual((await connect(world, line)).status, 0)

  const alone = world.ours(['serve', '--echo', '--allow-any', `net:127.0.0.1:${port}~shs`])
  assert.strictEqual(await alone.exit(), 1)
  isOneLine(alone.err)
  assert.strictEqual(alone.stdout().toString(), '')
  busy.close()
})

scenario('a socket that nobody listens on is taken over, another is not', async (world) => {
  const address = `unix:${world.socketDir('s')}/socket~noauth`
  const first = world.ours(['serve', '--echo', address])
  await first.line()
  const second = world.ours(['serve', '--echo', address])
  assert.strictEqual(await second.exit(), 1)
  isOneLine(second.err)
  assert.match(second.err, /in use/)
  assert.strictEqual((await connect(world, address)).status, 0)
  first.kill('SIGKILL')
  await first.exit()
  assert.ok(fs.existsSync(world.path('s/socket')))
  const third = world.ours(['serve', '--echo', address])
  await third.line()
  assert.strictEqual((await connect(world, address)).status, 0)
  third.kill('SIGTERM')
  assert.strictEqual(await third.exit(), 0)
  assert.ok(!fs.existsSync(world.path('s/socket')), 'the socket is removed')
})

scenario('a file that is no socket is left alone', async (world) => {
  const file = world.write('precious', 'data')
  const serve = world.ours(['serve', '--echo', `unix:${file}~noauth`])
  assert.strictEqual(await serve.exit(), 1)
  isOneLine(serve.err)
  assert.strictEqual(fs.readFileSync(file, 'utf8'), 'data')
})

scenario('a socket may be named from the folder one is in, and a folder that is not there is told', async (world) => {
  const serve = world.ours(['serve', '--echo', 'unix:here~noauth'])
  assert.strictEqual(await serve.line(), 'unix:here~noauth')
  assert.strictEqual((await connect(world, 'unix:here~noauth')).status, 0)
  const nowhere = world.ours(['serve', '--echo', 'unix:none/socket~noauth'])
  assert.strictEqual(await nowhere.exit(), 1)
  assert.match(nowhere.err, /^multiserver: listen: unix:none\/socket~noauth: cannot listen on none\/socket: No such file or directory\n$/i)
})

scenario('only its own key enters unless more is said', async (world) => {
  const me = identity()
  const friend = identity()
  const stranger = identity()
  const cases = [
    [[], { me: 0, friend: 1, stranger: 1 }],
    [['--allow', friend.key], { me: 1, friend: 0, stranger: 1 }],
    [['--allow', `@${friend.key}.ed25519`, '--allow', me.key], { me: 0, friend: 0, stranger: 1 }],
    [['--allow-any'], { me: 0, friend: 0, stranger: 0 }],
  ]
  for (const [args, expected] of cases) {
    const serve = world.ours(['serve', '--echo', ...args, 'net:127.0.0.1:0~shs'], { as: me })
    const line = await serve.line()
    const got = {}
    for (const [name, as] of Object.entries({ me, friend, stranger })) {
      const client = await connect(world, line, { as })
      got[name] = client.status
      if (client.status) assertComplaint(client, /shs authorise: refused/)
    }
    assert.deepStrictEqual(got, expected, args.join(' '))
    if (args.length === 0) assert.match(serve.err, /--allow KEY admits another/)
    serve.kill()
  }
})

scenario('without authentication it stays on this machine', async (world) => {
  for (const address of ['net:0.0.0.0:0~noauth', 'net::::0', 'net:0.0.0.0:0']) {
    const serve = world.ours(['serve', '--echo', address])
    assert.strictEqual(await serve.exit(), 2, address)
    isOneLine(serve.err)
    assert.match(serve.err, /--insecure-noauth/)
  }
  const serve = world.ours(['serve', '--echo', '--insecure-noauth', 'net:0.0.0.0:0~noauth'])
  assert.strictEqual((await connect(world, await serve.line())).status, 0)
})

scenario('the default identity is made on first use', async (world) => {
  const first = world.start('serve', command, ['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  const key = (await first.line()).split('~shs:')[1]
  await first.until(() => first.err.endsWith('\n'), 'a word of the identity') // on another pipe
  assert.match(first.err, /^multiserver: made a new identity, .* in .*config\/multiserver\/secret\n$/)
  assert.strictEqual((await world.run(['id'])).stdout().toString(), key + '\n')
  const second = world.start('serve', command, ['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  assert.strictEqual((await second.line()).split('~shs:')[1], key)
  assert.strictEqual(second.err, '')
})

scenario('SIGTERM drains, a second one cuts', async (world) => {
  const address = `unix:${world.socketDir('s')}/socket~shs`
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const serve = world.ours(['serve', '--echo', '--allow-any', address])
    const line = await serve.line()
    const client = world.ours(['connect', line])
    client.child.stdin.write('hello\n')
    await client.until(() => client.stdout().length === 6, 'an echo')
    serve.kill(signal)
    assert.strictEqual(await client.exit(), 0, client.toString()) // it heard a goodbye
    assert.strictEqual(await serve.exit(), 0)
  }
  // A peer that never says goodbye holds the drain until the second signal.
  const serve = world.ours(['serve', '--echo', '--allow-any', address])
  const client = world.ours(['connect', await serve.line()])
  client.child.stdin.write('hello\n')
  await client.until(() => client.stdout().length === 6, 'an echo')
  client.kill('SIGSTOP')
  const from = Date.now()
  serve.kill('SIGTERM')
  await new Promise((resolve) => { // it listens no more: the first signal has come
    const look = () => (fs.existsSync(world.path('s/socket')) ? setTimeout(look, 5) : resolve())
    look()
  })
  assert.ok(!serve.done)
  serve.kill('SIGTERM')
  assert.strictEqual(await serve.exit(), 0)
  assert.ok(Date.now() - from < 4000, 'it waited for the deadline')
  client.kill('SIGCONT')
  assert.strictEqual(await client.exit(), 1)
  assertComplaint(client, /cannot reach the peer|ended before the stream did/) // it may have a goodbye that it cannot answer
})

scenario('a peer killed in mid-stream does not touch the others', async (world) => {
  const serve = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  const line = await serve.line()
  const victim = world.ours(['connect', line])
  const other = world.ours(['connect', line])
  for (const client of [victim, other]) {
    client.child.stdin.write('hello\n')
    await client.until(() => client.stdout().length === 6, 'an echo')
  }
  victim.kill('SIGKILL')
  await serve.until(() => serve.err.includes('\n'), 'an error line')
  isOneLine(serve.err)
  assert.match(serve.err, /echo: net:127\.0\.0\.1:\d+~shs:.*(ended before|lost)/)
  other.child.stdin.end('again\n')
  assert.strictEqual(await other.exit(), 0)
  assert.strictEqual(other.stdout().toString(), 'hello\nagain\n')
})

scenario('an address off this machine is told as it can be dialled here', async (world) => {
  for (const [name, all] of Object.entries(os.networkInterfaces())) {
    for (const { address, scopeid } of all) {
      const host = scopeid ? `${address}%${name}` : address
      const serve = world.ours(['serve', '--echo', '--allow-any', `net:${host}:0~shs`])
      const line = await serve.line()
      assert.ok(line.startsWith(`net:${host}:`), line)
      assert.strictEqual((await connect(world, line)).status, 0)
    }
  }
})

scenario('without descriptors, peers wait their turn', async (world) => {
  const PEERS = 60
  const serve = world.start('serve', 'sh', ['-c', 'ulimit -n 40; exec "$0" "$@"', command, 'serve', '--echo', 'net:127.0.0.1:0~noauth'])
  const port = Number((await serve.line()).match(/:(\d+)~/)[1])
  const served = new Set()
  let look = () => {}
  const sockets = Array.from({ length: PEERS }, (_, i) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('data', () => { served.add(i); look() })
    socket.write('x')
    return socket
  })
  const until = (n) => new Promise((resolve) => {
    look = () => { if (served.size >= n) resolve() }
    look()
  })
  await until(20)
  assert.ok(served.size < PEERS, `${served.size} are served with 40 descriptors`)
  for (let n = 20; n <= PEERS; n += 10) { // those that leave make room
    await until(n)
    for (const i of served) sockets[i].end()
  }
  await until(PEERS)
  assert.match(serve.err, /^multiserver: 40 descriptors are not enough for 4096 connections: .*\nmultiserver: cannot accept, and waits: too many open files\n$/)
})

scenario('a folder that another process has locked is not waited for', async (world) => {
  const dir = world.socketDir('s')
  const holder = world.start('flock', 'flock', [dir, 'sh', '-c', 'echo held; exec cat'])
  assert.strictEqual(await holder.line(), 'held')
  const serve = world.ours(['serve', '--echo', `unix:${dir}/socket~noauth`])
  assert.strictEqual(await serve.line(), `unix:${dir}/socket~noauth`)
})

scenario('rubbish and silence are refused without harm', async (world) => {
  const serve = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  const line = await serve.line()
  const port = Number(line.match(/:(\d+)~/)[1])
  for (const bytes of [Buffer.alloc(64), Buffer.alloc(200, 'GET / HTTP/1.1\r\n'), Buffer.alloc(10)]) {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await new Promise((resolve) => {
      socket.on('close', resolve)
      socket.end(bytes)
      socket.resume()
    })
  }
  assert.strictEqual((await connect(world, line)).status, 0)
  await serve.until(() => serve.err.split('\n').length === 4, 'three error lines')
  for (const told of serve.err.trim().split('\n')) assert.match(told, /^multiserver: peer: net:.*shs handshake/)
})

scenario('wrong usage is told and exits with 2', async (world) => {
  const cases = [
    [['--echo'], 2, /an address to listen on is missing/],
    [['net::0~shs'], 2, /say what to do with peers/],
    [['--echo', '--chat', 'net::0~shs'], 2, /say what to do with peers/],
    [['--echo', '--allow', 'abc', 'net::0~shs'], 2, /abc: is not a public key/],
    [['--echo', '--allow', identity().key, '--allow-any', 'net::0~shs'], 2, /makes no sense/],
    [['--echo', '--network-key', 'x', 'net::0~shs'], 2, /--network-key: is not 32 bytes/],
    [['--forward', 'net:h:x', 'net::0~shs'], 2, /--forward: .*byte 6/],
    [['--forward', `onion:h.onion:1~shs:${identity().key}`, 'net::0~shs'], 2, /--forward: .*: no stack understands it: there is no protocol "onion" here/],
    [['--forward', 'net:h:1~shs2:x;quic:h:1', 'net::0~shs'], 2, /--forward: .*: no stack understands it: there is no protocol "shs2" here/],
    [['--forward', 'unix:/nowhere~tls', 'net::0~shs'], 2, /--forward: .*tls:NAME/],
    [['--echo', '--frob', 'net::0~shs'], 2, /--frob: there is no such option/],
    [['--echo', 'net:h:x~shs'], 2, /byte 6/],
    [['--echo', 'ws:~shs'], 2, /URL/],
    [['--echo', 'wss://h:1~shs'], 2, /--tls-cert FILE/],
    [['--echo', '--tls-cert', '/dev/null', 'wss://h:1~shs'], 1, /the certificate \/dev\/null: /],
    [['--echo', 'net::0~foo'], 2, /foo/],
    [['--echo', 'shs~net'], 2, /shs/],
    [['--echo', 'net~shs'], 2, /listen/],
    [['--echo', '--allow-any', 'net:no.such.host.invalid:0~shs'], 1, /unknown host|no address/],
    [['--echo', `net::0~shs:${identity().key}`], 2, /key/],
  ]
  for (const [args, status, why] of cases) {
    const serve = world.ours(['serve', ...args])
    assert.strictEqual(await serve.exit(), status, args.join(' ') + serve.err)
    isOneLine(serve.err)
    assert.match(serve.err, why)
    assert.strictEqual(serve.stdout().toString(), '')
  }
  const bad = await world.run(['serve', '--echo', '--key', world.write('bad', secretFile(identity()).slice(0, 200)), 'net::0~shs'])
  assert.strictEqual(bad.status, 1)
  isOneLine(bad.err)
})

scenario('a reset right behind bytes is no end', async (world) => {
  const serve = world.ours(['serve', '--stdio', 'net:127.0.0.1:0'])
  const at = await serve.line('stderr')
  serve.kill('SIGSTOP') // so that it finds both
  const socket = net.connect(Number(at.split(':')[2]), '127.0.0.1', () => socket.write('half a file', () => socket.resetAndDestroy()))
  await new Promise((resolve) => socket.on('close', resolve))
  serve.kill('SIGCONT')
  assert.strictEqual(await serve.exit(), 1, `${serve}`)
  assert.match(serve.err, /reset/)
})

scenario('a peer that reads nothing of the echo and resets is let go', async (world) => {
  const serve = world.ours(['serve', '--echo', 'net:127.0.0.1:0~noauth'])
  const port = Number((await serve.line()).match(/:(\d+)~/)[1])
  const socket = net.connect(port, '127.0.0.1')
  socket.pause()
  await new Promise((resolve) => socket.once('connect', resolve))
  let taken = 0
  const fill = () => {
    do taken++
    while (socket.write(Buffer.alloc(65536)))
  }
  socket.on('drain', fill)
  fill()
  for (let still = 0, last = 0; still < 30; last = taken) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    still = taken === last ? still + 1 : 0
  }
  socket.resetAndDestroy() // the echo holds what it could not send
  await serve.line('stderr')
  isOneLine(serve.err)
  assert.match(serve.err, /reset|cannot reach/)
  serve.kill('SIGTERM')
  assert.strictEqual(await serve.exit(), 0)
})
