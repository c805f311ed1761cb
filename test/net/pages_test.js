'use strict'
// Pages of --http-root for readers that are slow, where the system keeps next to nothing for them.

const assert = require('assert')
const fs = require('fs')
const { scenario } = require('./hosts')

const PORT = 8008

// A process that asks for a page, takes so many bytes of it in a second, and says when it is cut.
const READER = `
  const [port, rate, most, all = Infinity] = process.argv.slice(1).map(Number)
  const since = Date.now()
  const socket = require('net').connect({ port, host: '127.0.0.1', readableHighWaterMark: 1 })
  let taken = 0
  const say = (event) => {
    console.log(JSON.stringify({ event, msec: Date.now() - since, taken }))
    process.exit()
  }
  socket.write('GET /page HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')
  setInterval(() => {
    for (let piece; taken < rate * (Date.now() - since) / 1000 && (piece = socket.read(64) || socket.read());) taken += piece.length
    if (taken >= all) say('all')
  }, 50)
  setTimeout(say, most, 'late')
  socket.on('error', () => say('cut')).on('end', () => say('end'))`

// A host with a server that has a page of so many bytes.
async function keepsNothing(world, size, ...limits) {
  const host = await world.host('here')
  host.run('ip link set lo mtu 600; for way in rmem wmem; do echo 2048 2048 2048 > /proc/sys/net/ipv4/tcp_$way; done')
  fs.writeFileSync(`${world.socketDir('root')}/page`, Buffer.alloc(size))
  const server = host.ours(['serve', '--echo', '--http-root', world.path('root'), ...limits, `ws://127.0.0.1:${PORT}`])
  await server.line()
  return host
}

scenario('the end of a page has its time, too', async (world) => {
  const host = await keepsNothing(world, 60000) // all of which waits in the server
  const reader = host.start('reader', process.execPath, ['-e', READER, PORT, 7500, 20000, 60000])
  const { msec } = await reader.event('all')
  assert.ok(msec > 6000, `${msec} ms`)
})

scenario('who takes next to nothing of a page is cut, though it takes something', async (world) => {
  const host = await keepsNothing(world, 10 << 20, '--limit', 'buffered-each=6144')
  const reader = host.start('reader', process.execPath, ['-e', READER, PORT, 650, 45000])
  const { msec, taken } = await reader.event('cut')
  assert.ok(Math.abs(msec - 30000) < 2000, `${msec} ms`)
  assert.ok(taken > 15000, `${taken} bytes`)
})

// A browser that asks for so many files, each on a connection of its own or over a few that it
// keeps; says how many came, and what came in their place.
const BROWSER = `
  const [port, files, sockets] = process.argv.slice(1).map(Number)
  const http = require('http')
  const agent = sockets ? new http.Agent({ keepAlive: true, maxSockets: sockets }) : false
  let left = files
  const seen = {}
  const note = (what) => {
    seen[what] = (seen[what] ?? 0) + 1
    if (--left > 0) return
    console.log(JSON.stringify({ event: 'done', seen }))
    process.exit()
  }
  for (let i = 0; i < files; i++) {
    http.get({ host: '10.9.0.2', port, path: '/' + i, agent }, (answer) => {
      answer.on('data', () => {})
      answer.on('end', () => note(answer.statusCode + (answer.headers['retry-after'] ? ' later' : '')))
    }).on('error', ({ code }) => note(code))
  }`

async function browse(world, limits, ...asked) {
  const [here, there] = [await world.host('here'), await world.host('there')]
  world.join(here, there)
  const root = world.socketDir('root')
  for (let i = 0; i < 100; i++) fs.writeFileSync(`${root}/${i}`, 'x'.repeat(i * 100))
  const server = there.ours(['serve', '--echo', '--insecure-noauth', '--http-root', root, ...limits.flatMap((limit) => ['--limit', limit]), `ws://0.0.0.0:${PORT}`])
  await server.line()
  const seen = []
  for (const args of asked) seen.push((await here.start('browser', process.execPath, ['-e', BROWSER, PORT, ...args]).event('done')).seen)
  return { seen, here, server }
}

scenario('a page of 100 files from another machine, over 6 connections and over 100', async (world) => {
  const { seen } = await browse(world, [], [100, 6], [100, 0])
  assert.deepStrictEqual(seen, [{ 200: 100 }, { 200: 100 }])
})

scenario('more pages than an address may ask for are answered 503, not reset', async (world) => {
  const { seen } = await browse(world, ['pages-per-second=20', 'pages-per-address=50'], [100, 6])
  const [{ 200: pages, '503 later': later, ...others }] = seen
  assert.deepStrictEqual(others, {})
  assert.ok(pages >= 20 && later > 0 && pages + later === 100, JSON.stringify(seen))
})

scenario('who comes as one that may want a page gets no WebSocket beyond its limit', async (world) => {
  const { here, server } = await browse(world, ['per-second=1'], [1, 1])
  const socket = here.start('opener', process.execPath, ['-e', `
    const seen = []
    const say = (what) => seen.push(what) === 4 && console.log(JSON.stringify({ event: 'over', seen }))
    for (let i = 0; i < 4; i++) { // within one second, whenever that begins
      const request = require('http').request({ host: '10.9.0.2', port: ${PORT}, headers: { Upgrade: 'websocket', Connection: 'Upgrade',
        'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } })
      request.on('response', ({ statusCode, headers }) => say(statusCode + (headers['retry-after'] ? ' later' : '')))
      request.on('upgrade', () => say('open')).on('error', ({ code }) => say(code)).end()
    }`])
  const { seen } = await socket.event('over')
  assert.ok(seen.includes('503 later') && seen.every((what) => ['open', '503 later'].includes(what)), String(seen))
  await server.until(() => /turned away: \d+ peers?, .*for too many connections of one address in a second/.test(server.err), 'a line')
})
