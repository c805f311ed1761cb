'use strict'
// serve --http-root: pages beside a WebSocket.

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const net = require('net')
const { scenario } = require('../world')

async function pages(world, args = [], name = 'root') {
  const root = world.socketDir(name)
  fs.writeFileSync(`${root}/index.html`, '<p>hello</p>')
  fs.mkdirSync(`${root}/sub`)
  fs.writeFileSync(`${root}/sub/index.html`, 'sub')
  fs.writeFileSync(`${root}/sub/a b.js`, 'js')
  fs.writeFileSync(`${root}/.secret`, 'secret')
  fs.mkdirSync(`${root}/.well-known`)
  fs.writeFileSync(`${root}/.well-known/x`, 'well known')
  fs.mkdirSync(`${root}/empty`)
  world.write('outside', 'outside')
  fs.symlinkSync('../outside', `${root}/out`)
  fs.symlinkSync('/etc/passwd', `${root}/absolute`)
  fs.symlinkSync('sub/index.html', `${root}/within`)
  const proc = world.ours(['serve', '--echo', '--http-root', root, ...args, 'ws://127.0.0.1:0/ws'])
  const { address } = args.includes('--json') ? await proc.event('listening') : { address: await proc.line('stdout') }
  const port = Number(new URL(address).port)
  return { proc, root, port }
}

function ask(port, path, { method = 'GET', headers = {}, agent = false } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', path, method, headers, agent }, (answer) => {
      const body = []
      answer.on('data', (data) => body.push(data))
      answer.on('error', reject)
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(body) }))
    })
    request.on('error', reject)
    request.end()
  })
}

scenario('files, with type, length and ETag', async (world) => {
  const { port } = await pages(world)
  const index = await ask(port, '/')
  assert.deepStrictEqual([index.status, String(index.body)], [200, '<p>hello</p>'])
  assert.strictEqual(index.headers['content-type'], 'text/html; charset=utf-8')
  assert.strictEqual(index.headers['content-length'], '12')
  assert.strictEqual(index.headers['x-content-type-options'], 'nosniff')
  const { etag } = index.headers
  const known = await ask(port, '/', { headers: { 'if-none-match': `"other", ${etag}` } })
  assert.deepStrictEqual([known.status, known.body.length, known.headers.etag], [304, 0, etag])
  const head = await ask(port, '/index.html?v=1', { method: 'HEAD' })
  assert.deepStrictEqual([head.status, head.body.length, head.headers['content-length']], [200, 0, '12'])
  const rows = [['/sub/', 200, 'sub'], ['/sub/a%20b.js?x', 200, 'js'], ['/within', 200, 'sub'], ['/.well-known/x', 200, 'well known']]
  for (const [path, status, body] of rows) {
    const answer = await ask(port, path)
    assert.deepStrictEqual([answer.status, String(answer.body)], [status, body], path)
  }
  const moved = await ask(port, '/sub?a')
  assert.deepStrictEqual([moved.status, moved.headers.location], [301, '/sub/'])
})

scenario('parts of a file, and what of it is the same', async (world) => {
  const { port, root } = await pages(world)
  fs.writeFileSync(`${root}/digits`, '0123456789')
  fs.writeFileSync(`${root}/nothing`, '')
  const { headers: { etag, 'last-modified': modified, 'accept-ranges': accepts } } = await ask(port, '/digits')
  assert.strictEqual(accepts, 'bytes')
  assert.ok(Math.abs(Date.parse(modified) - fs.statSync(`${root}/digits`).mtimeMs) < 1000, modified)
  const rows = [ // Range, other fields; status, Content-Range, body
    ['bytes=2-4', {}, 206, 'bytes 2-4/10', '234'],
    ['bytes=0-0', {}, 206, 'bytes 0-0/10', '0'],
    ['BYTES=7-', {}, 206, 'bytes 7-9/10', '789'],
    ['bytes=8-99999999999999999999999', {}, 206, 'bytes 8-9/10', '89'],
    ['bytes=-3', {}, 206, 'bytes 7-9/10', '789'],
    ['bytes=-99', {}, 206, 'bytes 0-9/10', '0123456789'],
    ['bytes=10-', {}, 416, 'bytes */10', ''],
    ['bytes=99999999999999999999999-', {}, 416, 'bytes */10', ''],
    ['bytes=-0', {}, 416, 'bytes */10', ''],
    ['bytes=4-2', {}, 200, undefined, '0123456789'],
    ['bytes=0-1,3-4', {}, 200, undefined, '0123456789'],
    ['bytes=', {}, 200, undefined, '0123456789'],
    ['bytes=1', {}, 200, undefined, '0123456789'],
    ['bytes=1-2x', {}, 200, undefined, '0123456789'],
    ['lines=1-2', {}, 200, undefined, '0123456789'],
    ['bytes=2-4', { 'if-range': etag }, 206, 'bytes 2-4/10', '234'],
    ['bytes=2-4', { 'if-range': modified }, 206, 'bytes 2-4/10', '234'],
    ['bytes=2-4', { 'if-range': '"other"' }, 200, undefined, '0123456789'],
    ['bytes=2-4', { 'if-range': `W/${etag}` }, 200, undefined, '0123456789'],
    ['bytes=99-', { 'if-none-match': etag }, 304, undefined, ''],
    [undefined, { 'if-modified-since': modified }, 304, undefined, ''],
    [undefined, { 'if-modified-since': modified, 'if-none-match': '"other"' }, 200, undefined, '0123456789'],
    [undefined, { 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' }, 200, undefined, '0123456789'],
    [undefined, { 'if-none-match': `W/${etag}` }, 304, undefined, ''],
    ['bytes=2-4', { 'if-match': etag }, 206, 'bytes 2-4/10', '234'],
    [undefined, { 'if-match': '*' }, 200, undefined, '0123456789'],
    [undefined, { 'if-match': `"other", W/${etag}` }, 412, undefined, '']
  ]
  for (const [range, fields, status, part, body] of rows) {
    const answer = await ask(port, '/digits', { headers: { ...(range && { range }), ...fields } })
    assert.deepStrictEqual([answer.status, answer.headers['content-range'], String(answer.body)], [status, part, body], `${range} ${JSON.stringify(fields)}`)
  }
  const head = await ask(port, '/digits', { method: 'HEAD', headers: { range: 'bytes=2-4' } })
  assert.deepStrictEqual([head.status, head.headers['content-length']], [200, '10'])
  for (const [range, status] of [['bytes=0-', 416], ['bytes=-1', 200], [undefined, 200]]) {
    assert.strictEqual((await ask(port, '/nothing', { headers: range ? { range } : {} })).status, status, range)
  }
})

scenario('one connection, many requests: files of every size, and what is none', async (world) => {
  const { port, root, proc } = await pages(world, ['--json'])
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  world.atEnd(() => agent.destroy())
  const sizes = [0, 1, 65535, 65536, 65537, 300000, 3 << 20]
  const data = sizes.map((size) => crypto.randomBytes(size))
  sizes.forEach((size, i) => fs.writeFileSync(`${root}/${size}`, data[i]))
  const sockets = new Set()
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all([...sizes, 'none', 'sub'].map((name) => ask(port, `/${name}`, { agent })))
    answers.forEach(({ status, body }, i) => {
      assert.strictEqual(status, [404, 301][i - sizes.length] ?? 200)
      if (i < sizes.length) assert.ok(body.equals(data[i]), `${sizes[i]}`)
    })
    for (const socket of [...Object.values(agent.sockets), ...Object.values(agent.freeSockets)].flat()) sockets.add(socket)
  }
  assert.strictEqual(sockets.size, 1)
  proc.kill('SIGUSR1')
  const { answered, requests, open } = await proc.event('stats')
  assert.deepStrictEqual([answered, requests, open], [1, 27, 1])
  proc.child.kill('SIGTERM') // nobody waits for who rests
  const since = Date.now()
  assert.strictEqual(await proc.exit(), 0)
  assert.ok(Date.now() - since < 3000)
})

scenario('who waits for its next request makes room, who is being answered does not', async (world) => {
  const { port, proc, root } = await pages(world, ['--json', '--limit', 'connections=2'])
  fs.writeFileSync(`${root}/large`, Buffer.alloc(20 << 20))
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  world.atEnd(() => agent.destroy())
  const slow = net.connect(port, '127.0.0.1', () => slow.write('GET /large HTTP/1.1\r\nHost: h\r\n\r\n'))
  world.atEnd(() => slow.destroy())
  await new Promise((resolve) => slow.once('data', () => resolve(slow.pause())))
  assert.strictEqual((await ask(port, '/', { agent })).status, 200)
  const [rests] = Object.values(agent.freeSockets).flat()
  const ended = new Promise((resolve) => rests.on('end', resolve))
  const another = net.connect(port, '127.0.0.1', () => another.write('GET /large HTTP/1.1\r\nHost: h\r\n\r\n'))
  world.atEnd(() => another.destroy())
  await ended // with an end, not with a reset
  await new Promise((resolve) => another.once('data', () => resolve(another.pause())))
  await assert.rejects(ask(port, '/'), { code: 'ECONNRESET' })
  proc.kill('SIGUSR1')
  const { handshakes_evicted: gaveWay, failed, over_connections: turnedAway } = await proc.event('stats')
  assert.deepStrictEqual([gaveWay, failed, turnedAway], [0, 0, 1])
})

scenario('a file that shrinks cuts the answer, and whatever would have followed it', async (world) => {
  const { port, root } = await pages(world)
  fs.writeFileSync(`${root}/large`, Buffer.alloc(20 << 20, 'x'))
  const socket = net.connect(port, '127.0.0.1', () => socket.write('GET /large HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(2)))
  let received = 0
  const over = new Promise((resolve) => socket.on('error', resolve).on('close', resolve))
  await new Promise((resolve) => socket.once('data', (data) => {
    received += data.length
    socket.pause()
    fs.truncateSync(`${root}/large`, 10)
    socket.on('data', ({ length }) => { received += length })
    resolve()
  }))
  socket.resume()
  await over
  assert.ok(received < 20 << 20, `${received}`)
})

scenario('/healthz: 200 and not a line, with or without pages', async (world) => {
  const { port, proc } = await pages(world)
  const bare = world.ours(['serve', '--echo', 'ws://127.0.0.1:0~shs'])
  const barePort = Number(new URL((await bare.line('stdout')).split('~')[0]).port)
  for (const [at, server] of [[port, proc], [barePort, bare]]) {
    for (let i = 0; i < 3; i++) {
      const { status, body, headers } = await ask(at, '/healthz')
      assert.deepStrictEqual([status, String(body), headers['cache-control']], [200, 'ok\n', 'no-store'])
      const head = await ask(at, '/healthz?x', { method: 'HEAD' })
      assert.deepStrictEqual([head.status, head.body.length], [200, 0])
    }
    server.kill('SIGUSR1')
    const line = await server.until(() => server.err.split('\n').find((text) => text.includes('open=')), 'the counters')
    assert.match(line, / answered=6 requests=6 refused=0 failed=0 /)
  }
  assert.strictEqual((await ask(barePort, '/healthzz')).status, 426)
  assert.strictEqual(bare.err.split('\n').filter((text) => text && !/open=|only this identity/.test(text)).join(), '')
})

scenario('who looks whether a port is open leaves one line, and a count', async (world) => {
  const server = world.ours(['serve', '--echo', '--json', '--allow-any', 'net:127.0.0.1:0~shs', 'ws://127.0.0.1:0'])
  const ports = []
  for (let i = 0; i < 2; i++) ports.push(Number(/127\.0\.0\.1:(\d+)/.exec((await server.event('listening', i)).address)[1]))
  for (let i = 0; i < 20; i++) {
    const socket = net.connect(ports[i % 2], '127.0.0.1')
    socket.on('error', () => {})
    await new Promise((resolve) => socket.once('connect', resolve))
    if (i % 4 < 2) socket.end()
    else socket.resetAndDestroy()
    await new Promise((resolve) => socket.once('close', resolve))
  }
  for (let n = 0; ; n++) {
    server.kill('SIGUSR1')
    const { probed, failed, pending } = await server.event('stats', n)
    if (pending) continue
    assert.deepStrictEqual([probed, failed], [20, 0])
    break
  }
  assert.deepStrictEqual(server.err.split('\n').map((line) => line.replace(/:\d+~/, '~')),
    ['multiserver: probe: net:127.0.0.1~shs:: it connected and left without a byte', ''])
})

scenario('what is not there, hidden or outside is not found', async (world) => {
  const { port } = await pages(world)
  for (const path of ['/none', '/.secret', '/sub/../.secret', '/../outside', '/%2e%2e/outside', '/sub/%2e%2e/%2e%2e/outside', '/out', '/absolute',
    '/empty/', '/%00', '/%zz', '//etc/passwd', '/index.html/', '/' + 'x'.repeat(5000), '*']) {
    const answer = await ask(port, path)
    assert.deepStrictEqual([answer.status, answer.body.length], [404, 0], path)
  }
  const post = await ask(port, '/', { method: 'POST' })
  assert.deepStrictEqual([post.status, post.headers.allow], [405, 'GET, HEAD'])
})

scenario('a large file, to a slow reader and to one that leaves', async (world) => {
  const { port, root, proc } = await pages(world)
  const data = crypto.randomBytes(20 << 20)
  fs.writeFileSync(`${root}/large`, data)
  const leaver = net.connect(port, '127.0.0.1', () => leaver.write('GET /large HTTP/1.1\r\nHost: h\r\n\r\n'))
  await new Promise((resolve) => leaver.once('data', resolve))
  leaver.destroy()
  const parts = []
  await new Promise((resolve, reject) => {
    http.get({ port, host: '127.0.0.1', path: '/large', agent: false }, (answer) => {
      answer.on('data', (part) => {
        parts.push(part)
        answer.pause()
        setTimeout(() => answer.resume(), 1)
      })
      answer.on('end', resolve)
      answer.on('error', reject)
    })
  })
  assert.ok(Buffer.concat(parts).equals(data))
  const client = world.ours(['connect', `ws://127.0.0.1:${port}/ws`]) // the WebSocket is there as well
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(String(client.stdout()), 'hello')
  assert.strictEqual(proc.err, '')
  proc.child.kill('SIGTERM')
  assert.strictEqual(await proc.exit(), 0)
})

scenario('signals that come until it is over end it no other way', async (world) => {
  for (let i = 0; i < 5; i++) {
    const { port, proc } = await pages(world, [], `root${i}`)
    assert.strictEqual((await ask(port, '/')).status, 200) // a thread has read it
    const timer = setInterval(() => proc.done || proc.kill('SIGTERM'), 1)
    world.atEnd(() => clearInterval(timer))
    await proc.exit()
    clearInterval(timer)
    assert.deepStrictEqual(proc.done, { code: 0, signal: null })
  }
})

scenario('a folder that is none', async (world) => {
  const proc = world.ours(['serve', '--echo', '--http-root', world.path('none'), 'ws://127.0.0.1:0'])
  assert.strictEqual(await proc.exit(), 1)
  assert.match(proc.err, /http-root: .*none: No such file/)
})
