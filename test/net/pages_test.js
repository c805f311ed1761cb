'use strict'
// Pages of --http-root for readers that are slow, where the system keeps next to nothing for them.

const assert = require('assert')
const fs = require('fs')
const { scenario } = require('./hosts')

const PORT = 8008

// A process that asks for a page, takes so many bytes of it in a second, and says when it is cut.
const READER = `
  const [port, rate, most] = process.argv.slice(1).map(Number)
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
  }, 50)
  setTimeout(say, most, 'late')
  socket.on('error', () => say('cut')).on('end', () => say('end'))`

scenario('who takes next to nothing of a page is cut, though it takes something', async (world) => {
  const host = await world.host('here')
  host.run('ip link set lo mtu 600; for way in rmem wmem; do echo 2048 2048 2048 > /proc/sys/net/ipv4/tcp_$way; done')
  fs.writeFileSync(`${world.socketDir('root')}/page`, Buffer.alloc(10 << 20))
  const server = host.ours(['serve', '--echo', '--http-root', world.path('root'), '--limit', 'buffered-each=6144', `ws://127.0.0.1:${PORT}`])
  await server.line()
  const reader = host.start('reader', process.execPath, ['-e', READER, PORT, 650, 45000])
  const { msec, taken } = await reader.event('cut')
  assert.ok(Math.abs(msec - 30000) < 2000, `${msec} ms`)
  assert.ok(taken > 15000, `${taken} bytes`)
})
