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
  const port = Number(new URL(await proc.line('stdout')).port)
  return { proc, root, port }
}

function ask(port, path, { method = 'GET', headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (answer) => {
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
