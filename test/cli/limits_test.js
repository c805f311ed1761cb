'use strict'
// What peers may take of a server, and what is told of it.

const assert = require('assert')
const { once } = require('events')
const fs = require('fs')
const http = require('http')
const net = require('net')
const path = require('path')
const { scenario, identity, assertComplaint, command } = require('../world')

const SILENT = 10000
const LIMIT = 1000
const HONEST = 50
const ACCEPTS = 16 // of one turn: those that give way are cut in the next
const portOf = (at) => Number(at.split(':')[2].split('~')[0])

// What a server tells on SIGUSR1. What became of each that was accepted is counted once.
async function stats(server, n = 0) {
  server.kill('SIGUSR1')
  const seen = await server.event('stats', n)
  const { entered, answered, refused, failed, over_connections: full, over_address: many, over_rate: fast, handshakes_evicted: slow, probed, pending } = seen
  assert.strictEqual(seen.accepted, entered + answered + refused + failed + full + many + fast + slow + probed + pending, JSON.stringify(seen))
  return seen
}

function get(options) {
  return new Promise((resolve, reject) => {
    http.get(options, (response) => {
      let body = ''
      response.on('data', (data) => (body += data))
      response.on('end', () => resolve({ status: response.statusCode, type: response.headers['content-type'], headers: response.headers, body }))
    }).on('error', reject)
  })
}

scenario(`${SILENT} silent clients on a limit of ${LIMIT}, and ${HONEST} honest ones`, async (world) => {
  const me = identity()
  const server = world.ours(['serve', '--echo', '--json', '--limit', `connections=${LIMIT}`, 'net:127.0.0.1:0~shs'], { as: me })
  const { address } = await server.event('listening')
  const port = portOf(address)
  const silent = new Set()
  world.atEnd(() => silent.forEach((socket) => socket.destroy()))
  let opened = 0
  const open = () => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(++opened))
    silent.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => silent.delete(socket))
    socket.resume()
  })
  const honest = []
  for (let i = 0; i < SILENT; i += 100) {
    await Promise.all(Array.from({ length: 100 }, open))
    if (honest.length < HONEST && i >= LIMIT) {
      const client = world.ours(['connect', address], { as: me })
      client.child.stdin.end('hello')
      honest.push(client)
    }
  }
  assert.strictEqual(opened, SILENT)
  for (const client of honest) {
    assert.strictEqual(await client.exit(), 0)
    assert.strictEqual(client.stdout().toString(), 'hello')
  }
  assert.strictEqual(honest.length, HONEST)
  let seen = await stats(server)
  for (let n = 1; seen.accepted < SILENT + HONEST; n++) seen = await stats(server, n) // the kernel's queue
  assert.ok(seen.open + seen.pending <= LIMIT + ACCEPTS, JSON.stringify(seen))
  assert.strictEqual(seen.entered, HONEST)
  assert.ok(seen.handshakes_evicted >= SILENT - LIMIT, JSON.stringify(seen))
  const lines = server.err.split('\n').length
  assert.ok(lines < 500, `${lines} lines on stderr`)
})

scenario('when all are in, one more is turned away', async (world) => {
  const server = world.ours(['serve', '--echo', '--json', '--limit', 'connections=2', 'net:127.0.0.1:0'])
  const { address } = await server.event('listening')
  const dial = () => world.ours(['connect', address])
  const inside = [dial(), dial()]
  await server.event('connection', 1)
  const third = dial()
  assert.strictEqual(await third.exit(), 1) // a bare stack has no other word for it than a reset
  assert.match(third.err, /reset/)
  assert.strictEqual((await stats(server)).over_connections, 1)
  inside[0].child.stdin.end()
  assert.strictEqual(await inside[0].exit(), 0)
  await server.event('closed')
  const fourth = dial()
  fourth.child.stdin.end('hello')
  assert.strictEqual(await fourth.exit(), 0)
  assert.strictEqual(fourth.stdout().toString(), 'hello')
})

scenario('who is behind a trusted proxy is counted, and not the proxy', async (world) => {
  const server = world.ours(['serve', '--echo', '--json', '--trusted-proxy', '127.0.0.1=proxy', '--trusted-proxy', '127.0.0.1=x-forwarded-for',
    '--limit', 'per-address=2', 'net:127.0.0.1:0', 'ws://127.0.0.1:0'])
  const port = portOf((await server.event('listening')).address)
  const wsPort = portOf((await server.event('listening', 1)).address)
  // What comes back of a line, or null where the connection is closed instead.
  const say = (to, head, wanted) => new Promise((resolve) => {
    const socket = net.connect(to, '127.0.0.1', () => socket.write(head))
    world.atEnd(() => socket.destroy())
    socket.on('error', () => resolve(null))
    socket.on('close', () => resolve(null))
    socket.on('data', (data) => String(data).includes(wanted) && resolve(socket))
  })
  const proxied = (address) => say(port, `PROXY TCP4 ${address} 127.0.0.1 1 2\r\nhello`, 'hello')
  const forwarded = (address) => say(wsPort, 'PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Forwarded-For: ${address}\r\n\r\n`, ' 101 ')
  const first = await proxied('192.0.2.1')
  assert.ok(first)
  assert.ok(await forwarded('192.0.2.1'))
  assert.strictEqual(await proxied('192.0.2.1'), null)
  assert.strictEqual(await forwarded('192.0.2.1'), null)
  assert.ok(await proxied('192.0.2.2'))
  assert.strictEqual((await stats(server)).over_address, 2)
  first.destroy()
  await server.event('closed')
  assert.ok(await proxied('192.0.2.1'))
})

scenario('one WebSocket too many behind a front is answered 503, and counted once', async (world) => {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/page`, 'hello')
  const upgrade = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  const fields = { 'x-forwarded-for': (from) => ({ 'X-Forwarded-For': from }), forwarded: (from) => ({ Forwarded: `for=${from}` }) }
  const rows = [['x-forwarded-for', 'per-address=2', 'over_address'], ['forwarded', 'per-address=2', 'over_address'], ['x-forwarded-for', 'per-second=2', 'over_rate']]
  for (const [how, limit, counter] of rows) {
    const server = world.ours(['serve', '--echo', '--json', '--trusted-proxy', `127.0.0.1=${how}`, '--limit', limit, '--http-root', root, 'ws://127.0.0.1:0'])
    const { port } = new URL((await server.event('listening')).address)
    // What is answered: its status, and when to come again.
    const ask = (headers, agent = false, path = '/') => new Promise((resolve, reject) => {
      const request = http.request({ port, host: '127.0.0.1', path, agent, headers })
      request.on('upgrade', (answer, socket) => {
        world.atEnd(() => socket.destroy())
        resolve([answer.statusCode])
      })
      request.on('response', (answer) => answer.resume().on('end', () => resolve([answer.statusCode, answer.headers['retry-after'], answer.headers.connection])))
      request.on('error', reject).end()
    })
    const websocket = (from, agent) => ask({ ...upgrade, ...fields[how](from) }, agent)
    // at once: tokens of a second come back
    const same = (await Promise.all([1, 2, 3].map(() => websocket('192.0.2.1')))).sort(([a], [b]) => a - b)
    assert.deepStrictEqual(same, [[101], [101], [503, '1', 'close']], `${how}, ${limit}`)
    assert.deepStrictEqual(await websocket('192.0.2.2'), [101])
    const { entered, failed, [counter]: over, over_pages: pages, open, pending } = await stats(server)
    assert.deepStrictEqual([entered, failed, over, pages, open, pending], [3, 0, 1, 0, 3, 0], `${how}, ${limit}`)
    if (counter === 'over_rate') continue
    // a connection that has had a page is answered, too
    const kept = new http.Agent({ keepAlive: true, maxSockets: 1 })
    world.atEnd(() => kept.destroy())
    assert.deepStrictEqual(await ask(fields[how]('192.0.2.1'), kept, '/page'), [200, undefined, 'keep-alive'])
    assert.deepStrictEqual(await websocket('192.0.2.1', kept), [503, '1', 'close'])
    server.kill('SIGUSR1')
    const after = await server.event('stats', 1)
    assert.deepStrictEqual([after.accepted, after.answered, after.over_address, after.open, after.pending], [5, 1, 2, 3, 0], JSON.stringify(after))
  }
})

scenario('who asks a trusted proxy for pages is counted, too', async (world) => {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/large`, Buffer.alloc(20 << 20))
  const server = world.ours(['serve', '--echo', '--json', '--trusted-proxy', '127.0.0.1=x-forwarded-for', '--limit', 'pages-per-address=2', '--http-root', root, 'ws://127.0.0.1:0'])
  const { port } = new URL((await server.event('listening')).address)
  const page = (address) => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(`GET /large HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: ${address}\r\n\r\n`))
    world.atEnd(() => socket.destroy())
    socket.on('error', () => resolve('reset'))
    socket.once('data', (data) => {
      socket.pause()
      resolve(String(data).match(/ (\d+) /)[1])
    })
  })
  const admitted = []
  for (const from of ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2']) admitted.push(await page(from))
  assert.deepStrictEqual(admitted, ['200', '200', '503', '200'])
  const { answered, requests, over_pages: over } = await stats(server)
  assert.deepStrictEqual([answered, requests, over], [4, 3, 1])
})

scenario('who is idle is closed, who is not is not', async (world) => {
  const me = identity()
  const server = world.ours(['serve', '--echo', '--json', '--limit', 'idle-msec=300', 'net:127.0.0.1:0~shs'], { as: me })
  const { address } = await server.event('listening')
  const idle = world.ours(['connect', address], { as: me })
  const busy = world.ours(['connect', address], { as: me })
  const timer = setInterval(() => busy.child.stdin.write('x'), 50)
  world.atEnd(() => clearInterval(timer))
  const { code } = await server.event('error')
  assert.strictEqual(code, 'MS_ETIMEDOUT')
  assert.strictEqual(await idle.exit(), 0) // it heard a goodbye
  await busy.until(() => busy.received > 20, 'twenty bytes')
  assert.strictEqual(busy.done, null)
  assert.strictEqual((await stats(server)).idled, 1)
})

scenario('an echo that is idle while its peer does not read ends unclean', async (world) => {
  const me = identity()
  const server = world.ours(['serve', '--echo', '--json', '--limit', 'idle-msec=300', 'net:127.0.0.1:0~shs'], { as: me })
  const { address } = await server.event('listening')
  const client = world.ours(['connect', address], { as: me })
  client.child.stdout.pause()
  client.child.stdin.on('error', () => {}).end(Buffer.alloc(64 * 1024 * 1024))
  for (let n = 0; (await stats(server, n)).idled === 0; n++) await new Promise((resolve) => setTimeout(resolve, 20))
  client.child.stdout.resume()
  assert.strictEqual(await client.exit(), 1) // it did not hear a goodbye
})

// A WebSocket that is up and says nothing more has spoken.
scenario('who has only just come to a full door is not the first to go', async (world) => {
  const server = world.ours(['serve', '--echo', '--json', '--allow-any', '--limit', 'handshakes=8', 'ws://127.0.0.1:0~shs'])
  const { port } = new URL((await server.event('listening')).address.split('~')[0])
  const head = 'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  const come = async () => {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    world.atEnd(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  const upgrade = async (socket) => {
    socket.write(head)
    const [data] = await Promise.race([once(socket, 'data'), once(socket, 'close')])
    return /^HTTP\/1.1 101/.test(String(data))
  }
  const spoke = []
  for (let i = 0; i < 8; i++) {
    spoke.push(await come())
    assert.ok(await upgrade(spoke[i]))
  }
  await new Promise((resolve) => setTimeout(resolve, 700)) // of their second
  for (let i = 0; i < 3; i++) {
    const [honest] = await Promise.all([come(), come()]) // the door is full when the other comes, at once
    assert.ok(await upgrade(honest), `newcomer ${i}`)
  }
})

scenario('those whose handshake has failed make room first, whatever they still have to hear', async (world) => {
  const server = world.ours(['serve', '--echo', '--json', '--limit', 'handshakes=10', '--limit', 'connections=20', 'ws://127.0.0.1:0'])
  const { port } = new URL((await server.event('listening')).address)
  const fds = () => fs.readdirSync(`/proc/${server.child.pid}/fd`).length
  const before = fds()
  for (let i = 0; i < 200; i++) {
    await new Promise((resolve) => {
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write('GARBAGE\r\n\r\n'))
      world.atEnd(() => socket.destroy())
      socket.on('error', resolve).once('data', resolve) // the 400; it stays
    })
    assert.ok(fds() <= before + 20 + ACCEPTS, `${fds() - before} descriptors after ${i + 1} peers`)
  }
  const { handshakes_evicted: gaveWay, failed } = await stats(server)
  assert.deepStrictEqual([gaveWay, failed], [0, 200])
})

scenario('a page is no handshake, and is sent to its end when the server stops', async (world) => {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/large`, Buffer.alloc(20 << 20, 'x'))
  const server = world.ours(['serve', '--echo', '--json', '--http-root', root, '--limit', 'handshakes=1', 'ws://127.0.0.1:0'])
  const { address } = await server.event('listening')
  const page = net.connect(new URL(address).port, '127.0.0.1', () => page.write('GET /large HTTP/1.1\r\nHost: h\r\n\r\n'))
  world.atEnd(() => page.destroy())
  let got = (await new Promise((resolve) => page.once('data', resolve))).length
  page.pause()
  const client = world.ours(['connect', address])
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0, `${client}`)
  const { answered, open } = await stats(server)
  assert.deepStrictEqual([answered, open], [1, 1])
  server.kill('SIGTERM')
  const over = new Promise((resolve) => page.on('data', (data) => (got += data.length)).on('close', resolve))
  page.resume()
  await over
  assert.ok(got > 20 << 20, `${got} bytes`)
  assert.strictEqual(await server.exit(), 0)
})

scenario('the least memory that can be asked for carries a connection', async (world) => {
  const me = identity()
  const data = Buffer.alloc(4 << 20, 'x')
  for (const limit of ['buffered=1048576', 'buffered-each=6144']) {
    const server = world.ours(['serve', '--echo', '--limit', limit, 'ws://127.0.0.1:0~shs'], { as: me })
    const client = world.ours(['connect', await server.line()], { as: me })
    client.child.stdin.end(data)
    assert.strictEqual(await client.exit(), 0, limit)
    assert.ok(client.stdout().equals(data))
  }
})

// They wait before an honest one, for the few descriptors there are: each goes long before its deadline.
scenario('without descriptors, those who say nothing make room', async (world) => {
  const SILENT = 200
  const args = ['-c', 'ulimit -n 40; exec "$0" "$@"', command, 'serve', '--echo', '--json', 'ws://127.0.0.1:0~noauth']
  const server = world.start('serve', 'sh', args)
  const { address } = await server.event('listening')
  const port = Number(/:(\d+)/.exec(address)[1])
  const silent = []
  for (let i = 0; i < SILENT; i++) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    await new Promise((resolve) => socket.on('connect', resolve))
    silent.push(socket)
  }
  const honest = world.ours(['connect', address])
  honest.child.stdin.end('hello')
  assert.strictEqual(await honest.exit(), 0, honest.err)
  assert.strictEqual(honest.stdout().toString(), 'hello')
  const { handshakes_evicted: slow, failed } = await stats(server)
  assert.strictEqual(failed, 0)
  assert.ok(slow > SILENT / 2, `${slow} made room`)
  for (const socket of silent) socket.destroy()
})

// A way to `port` on which every byte takes so long.
function longWay(port, msec) {
  const late = (from, to) => {
    from.on('data', (bytes) => setTimeout(() => to.write(bytes), msec))
    from.on('end', () => setTimeout(() => to.end(), msec))
    from.on('error', () => to.destroy())
  }
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    late(near, far)
    late(far, near)
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

// Whoever makes room comes again at once.
function silentCrowd(port, count) {
  let over = false
  const sockets = new Set()
  const come = () => {
    if (over) return
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    sockets.add(socket)
    socket.on('close', () => { sockets.delete(socket); come() })
  }
  for (let i = 0; i < count; i++) come()
  return () => { over = true; for (const socket of sockets) socket.destroy() }
}

scenario('without descriptors, those who say nothing go before one who is far away', async (world) => {
  const me = identity()
  const args = ['-c', 'ulimit -n 40; exec "$0" "$@"', command, 'serve', '--echo', '--json', '--key', world.secretOf(me), 'net:127.0.0.1:0~shs']
  const server = world.start('serve', 'sh', args)
  const { address } = await server.event('listening')
  const port = Number(/:(\d+)~/.exec(address)[1])
  const way = await longWay(port, 100)
  world.atEnd(() => way.close())
  world.atEnd(silentCrowd(port, 100))
  const far = world.ours(['connect', address.replace(`:${port}~`, `:${way.address().port}~`)], { as: me })
  far.child.stdin.end('hello')
  assert.strictEqual(await far.exit(), 0, far.err)
  assert.strictEqual(far.stdout().toString(), 'hello')
})

scenario('metrics, over TCP and over a unix socket', async (world) => {
  const socketPath = `${world.socketDir('metrics')}/socket`
  const server = world.ours(['serve', '--echo', '--metrics', `unix:${socketPath}`, 'net:127.0.0.1:0'])
  const at = await server.line()
  const client = world.ours(['connect', at])
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0)
  const { status, type, body } = await get({ socketPath, path: '/metrics' })
  assert.strictEqual(status, 200)
  assert.match(type, /^text\/plain; version=0\.0\.4/)
  assert.match(body, /\n# TYPE multiserver_entered_total counter\nmultiserver_entered_total 1\n/)
  assert.match(body, /\n# TYPE multiserver_in_bytes_total counter\nmultiserver_in_bytes_total 5\n/)
  for (const name of ['out_bytes_total', 'wire_in_bytes_total', 'wire_out_bytes_total', 'buffered_bytes', 'buffer_peak_bytes']) {
    assert.match(body, new RegExp(`\\nmultiserver_${name} \\d+\\n`))
  }
  for (const line of body.trim().split('\n')) assert.match(line, /^(# (HELP|TYPE) multiserver_\w+ .+|multiserver_\w+ (\d+|\+Inf))$/)
  for (const path of ['/', '/metrics?x=1', 'http://127.0.0.1:9101/metrics', `http://${'h'.repeat(100)}/metrics?x#y`]) {
    assert.strictEqual((await get({ socketPath, path })).status, 200, path)
  }
  for (const path of ['/other', '/metrics/', '/metricsx', '/other?/metrics', 'http://h/other', '*']) {
    assert.strictEqual((await get({ socketPath, path })).status, 404, path)
  }
  const head = await get({ socketPath, path: '/metrics', method: 'HEAD' })
  assert.deepStrictEqual([head.status, head.body], [200, ''])
  assert.ok(Number(head.headers['content-length']) > 1000)
  const post = await get({ socketPath, path: '/metrics', method: 'POST' })
  assert.deepStrictEqual([post.status, post.headers.allow], [405, 'GET, HEAD'])

  const tcp = world.ours(['serve', '--echo', '--metrics', 'net:127.0.0.1:0', '--limit', 'connections=none', '--limit', 'buffered=none',
    '--limit', 'per-second=7', '--limit', 'idle-msec=1500', 'net:127.0.0.1:0'])
  await tcp.line()
  const where = await tcp.until(() => /metrics at net:127\.0\.0\.1:(\d+)\n/.exec(tcp.err), 'where the metrics are')
  const others = await get({ host: '127.0.0.1', port: where[1], path: '/metrics' })
  assert.strictEqual(others.status, 200)
  const limits = (text) => Object.fromEntries([...text.matchAll(/^multiserver_limit_(\w+) (.*)$/mg)].map((match) => match.slice(1)))
  assert.deepStrictEqual(limits(body), { connections: '4096', handshakes: '1024', per_address: '64', per_second: '32', pages_per_address: '128', pages_per_second: '256',
    idle_seconds: '+Inf', buffered_bytes: '268435456', buffered_each_bytes: '417792' })
  // whoever writes them down writes down these
  const defaults = Object.values(limits(body)).filter((value) => value !== '+Inf').map(Number)
  const help = (await world.run(['serve', '--help'])).stdout().toString().match(/ {2}--limit NAME=NUMBER[^]*?\n {2}-/)[0]
  assert.deepStrictEqual([...help.matchAll(/\(([^)]*)\)/g)].flatMap(([, text]) => (text.match(/\b\d+\b/g) || []).map(Number)), defaults)
  const table = fs.readFileSync(path.join(__dirname, '../../docs/operating.md'), 'utf8').match(/^\| `[a-z-]+=N` \| (\d+)( [MK]iB)? \|/gm)
  const units = { undefined: 1, ' KiB': 1024, ' MiB': 1 << 20 }
  assert.deepStrictEqual(table.map((row) => row.match(/\| (\d+)( [MK]iB)? \|$/)).map(([, n, unit]) => n * units[unit]), defaults)
  assert.deepStrictEqual(limits(others.body), { ...limits(body), connections: '+Inf', buffered_bytes: '+Inf', per_second: '7', idle_seconds: '1.5' })
  const bad = net.connect(Number(where[1]), '127.0.0.1', () => bad.write('nonsense\r\n\r\n'))
  const answer = await new Promise((resolve) => bad.once('data', resolve))
  assert.match(String(answer), /^HTTP\/1\.1 400 /)
  for (const proc of [server, tcp]) {
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0)
  }
})

scenario('who stops to read the events stops nobody else', async (world) => {
  const metrics = `${world.socketDir('m')}/socket`
  // a reader that is stopped: the pipe fills up
  const script = 'sh -c \'echo $$ >&2; exec "$@"\' sh "$@" | sh -c \'echo reader $$ >&2; exec cat\''
  const proc = world.start('serve into a pipe', 'sh', ['-c', script, 'sh', command, 'serve', '--echo', '--json', '--metrics', `unix:${metrics}`, 'net:127.0.0.1:0'])
  const pid = Number((await proc.until(() => /^(\d+)$/m.exec(proc.err), 'the server'))[1])
  const port = portOf((await proc.event('listening')).address)
  const reader = Number((await proc.until(() => /^reader (\d+)$/m.exec(proc.err), 'the reader'))[1])
  world.atEnd(() => [pid, reader].forEach((one) => {
    try {
      process.kill(one, 'SIGKILL')
    } catch { } // it is over
  }))
  const one = () => new Promise((resolve) => {
    net.connect(port, '127.0.0.1', function () { this.end() }).on('error', () => {}).on('close', resolve).resume()
  })
  const crowd = async (n) => {
    for (let i = 0; i < n; i += 50) await Promise.all(Array.from({ length: 50 }, one))
  }
  process.kill(reader, 'SIGSTOP')
  await crowd(6000)
  await proc.until(() => proc.err.includes('nobody reads the events: from now on some are lost'), 'a word of the lost events')
  assert.match((await get({ socketPath: metrics, path: '/metrics' })).body, /\nmultiserver_entered_total 6000\n/)
  process.kill(reader, 'SIGCONT')
  const lost = await proc.event('lost')
  assert.ok(lost.count > 0 && lost.time && lost.id === 0, JSON.stringify(lost))
  process.kill(reader, 'SIGSTOP')
  await crowd(600)
  process.kill(pid, 'SIGTERM')
  await proc.until(() => /nobody reads the last \d+ bytes of events/.test(proc.err), 'the end')
})

scenario('SIGUSR1 without --json: the counters are a line', async (world) => {
  const server = world.ours(['serve', '--echo', 'net:127.0.0.1:0'])
  const client = world.ours(['connect', await server.line()])
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0)
  server.kill('SIGUSR1')
  assert.match(await server.line('stderr'), /^multiserver: open=\d+ pending=0( [a-z_]+=\d+)* entered=1( [a-z_]+=\d+)* in=5 out=5( [a-z_]+=\d+)*$/)
  assert.strictEqual((await server.line('stderr')).split('=').length, 27)
})

scenario('metrics that cannot be served are an error, and peers are served', async (world) => {
  const taken = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  world.atEnd(() => taken.close())
  const server = world.ours(['serve', '--echo', '--metrics', `net:127.0.0.1:${taken.address().port}`, 'net:127.0.0.1:0'])
  const client = world.ours(['connect', await server.line()])
  client.child.stdin.end('hello')
  assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'hello'])
  await server.line('stderr')
  assertComplaint(server, /metrics: net:127\.0\.0\.1:.*in use/)
})

// With few descriptors they would be the peers', too.
for (const descriptors of [40, 1024]) {
  scenario(`metrics: those who ask for nothing make room, with ${descriptors} descriptors`, async (world) => {
    const args = ['-c', `ulimit -n ${descriptors}; exec "$0" "$@"`, command, 'serve', '--echo', '--metrics', 'net:127.0.0.1:0', 'net:127.0.0.1:0']
    const server = world.start('serve', 'sh', args)
    const at = await server.line()
    const [, port] = await server.until(() => /metrics at net:127\.0\.0\.1:(\d+)\n/.exec(server.err), 'where the metrics are')
    let held = 0
    for (let i = 0; i < 300; i++) {
      const socket = net.connect(port, '127.0.0.1').on('error', () => {})
      await new Promise((resolve) => socket.on('connect', resolve))
      held++
      socket.on('close', () => held--)
      world.atEnd(() => socket.destroy())
    }
    assert.strictEqual((await get({ port, path: '/metrics' })).status, 200)
    assert.ok(held > 0, 'all had gone before')
    const client = world.ours(['connect', at])
    client.child.stdin.end('hello')
    assert.strictEqual(await client.exit(), 0, client.err)
    assert.ok(held > 0, 'all had gone before')
  })
}

scenario('metrics: who drips a request, or asks for nothing, is cut after 5 s', async (world) => {
  const server = world.ours(['serve', '--echo', '--metrics', 'net:127.0.0.1:0', 'net:127.0.0.1:0'])
  const where = await server.until(() => /metrics at net:127\.0\.0\.1:(\d+)\n/.exec(server.err), 'where the metrics are')
  const cut = (drips) => new Promise((resolve) => {
    const socket = net.connect(where[1], '127.0.0.1')
    const since = Date.now()
    const timer = drips && setInterval(() => socket.write('G'), 500)
    socket.on('error', () => {}).resume()
    socket.on('close', () => {
      clearInterval(timer)
      resolve(Date.now() - since)
    })
    if (drips) socket.write('GET / HTTP/1.1\r\nX: ')
  })
  for (const msec of await Promise.all([cut(true), cut(false)])) assert.ok(Math.abs(msec - 5000) < 1000, `${msec} ms`)
})

scenario('what is no limit, and where no metrics are', async (world) => {
  for (const limit of ['connections', 'connections=', 'connections=0', 'connections=-1', 'many=1', 'idle-msec=1s', '=1']) {
    const proc = world.ours(['serve', '--echo', '--limit', limit, 'net:127.0.0.1:0'])
    assert.strictEqual(await proc.exit(), 2, limit)
    assertComplaint(proc, /is no limit: NAME=NUMBER/)
  }
  const ranges = { 'buffered=1048575': /at least 1048576/, 'buffered-each=6143': /6144 to 417792/, 'buffered-each=417793': /417792/, 'buffered-each=none': /417792/ }
  for (const [limit, why] of Object.entries(ranges)) {
    const proc = world.ours(['serve', '--echo', '--limit', limit, 'net:127.0.0.1:0'])
    assert.strictEqual(await proc.exit(), 2, limit)
    assertComplaint(proc, why)
  }
  for (const at of ['ws://127.0.0.1:0', 'net:127.0.0.1:0~shs', 'nonsense']) {
    const proc = world.ours(['serve', '--echo', '--metrics', at, 'net:127.0.0.1:0'])
    assert.strictEqual(await proc.exit(), 2, at)
    assertComplaint(proc, /metrics are served at/)
  }
})

scenario('metrics are for this machine unless somebody says otherwise', async (world) => {
  for (const at of ['net:0.0.0.0:0', 'net::::0', 'net:192.0.2.1:0']) {
    const proc = await world.run(['serve', '--echo', '--metrics', at, 'net:127.0.0.1:0'])
    assert.deepStrictEqual([proc.status, proc.stdout().toString()], [1, ''], at)
    assertComplaint(proc, /metrics: net:.*: without authentication it listens on loopback and unix sockets only; --insecure-noauth/)
  }
  const proc = world.ours(['serve', '--echo', '--metrics', 'net:0.0.0.0:0', '--insecure-noauth', 'net:127.0.0.1:0~shs'])
  await proc.until(() => /metrics at net:localhost:\d+\n/.test(proc.err), 'where the metrics are')
})
