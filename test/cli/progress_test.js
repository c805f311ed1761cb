'use strict'
// What connect shows on a terminal of a file on its standard input. script (util-linux) is the terminal.

const assert = require('assert')
const { execFileSync, spawnSync } = require('child_process')
const fs = require('fs')
const net = require('net')
const { scenario, command } = require('../world')

const missing = spawnSync('script', ['--version']).error
const shows = (name, body) => scenario(name, (world, t) => missing ? t.skip('script (util-linux) is missing') : body(world))

const MB = 1000000
const SIZE = 30 * MB // more than buffers between two processes take

// A peer that reads nothing before it is told to; where it is.
async function peer(world) {
  const sockets = []
  let told = false
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {}).on('end', () => socket.end())
    if (told) socket.resume()
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => (sockets.forEach((socket) => socket.destroy()), server.close()))
  return { at: `net:127.0.0.1:${server.address().port}`, reads: () => (told = true, sockets.forEach((socket) => socket.resume())) }
}

// connect on a terminal of so many columns, with this file as its standard input.
function terminal(world, at, file, { columns = 80, term = 'xterm', before = '' } = {}) {
  const line = `tty >${world.path('tty')}; stty cols ${columns}; ${before} exec ${command} connect ${at} <${file}`
  const proc = world.start('connect on a terminal', 'script', ['-qec', line, '/dev/null'],
    { env: { TERM: term, SHELL: '/bin/sh' } })
  proc.text = () => proc.stdout().toString()
  proc.lines = () => proc.text().split(/\r\u001b\[K|\r\n/).filter((shown) => /\d/.test(shown) && !shown.includes('multiserver'))
  proc.showing = (what) => proc.until(() => proc.lines().find((shown) => what.test(shown)), String(what))
  return proc
}

const percents = (proc) => proc.lines().map((shown) => Number(/(\d+) %/.exec(shown)?.[1] ?? 0))

shows('a file on a terminal shows how far it has gone', async (world) => {
  const { at, reads } = await peer(world)
  const file = world.path('file')
  fs.truncateSync(world.write('file', ''), SIZE)
  const proc = terminal(world, at, file)
  await proc.showing(/^\d.* of 30\.0 MB \(\d+ %\), .*\/s$/)
  reads()
  assert.strictEqual(await proc.exit(), 0)
  assert.match(proc.lines().at(-1), /^30\.0 MB of 30\.0 MB \(100 %\), .*\/s$/)
  assert.deepStrictEqual(percents(proc), percents(proc).sort((a, b) => a - b))
})

shows('a file that grows while it is sent has no whole', async (world) => {
  const slow = await peer(world)
  const file = world.path('file')
  fs.truncateSync(world.write('file', ''), SIZE)
  const growing = terminal(world, slow.at, file)
  await growing.showing(/ of 30\.0 MB \(\d+ %\)/)
  fs.truncateSync(file, 7 * SIZE)
  await growing.showing(/^[\d.]+ MB, .*\/s$/)
  slow.reads()
  assert.strictEqual(await growing.exit(), 0)
  assert.match(growing.lines().at(-1), /^210 MB, .*\/s$/)
  assert.ok(Math.max(...percents(growing)) <= 100)
})

shows('what was read of a file before does not count', async (world) => {
  const { at, reads } = await peer(world)
  fs.writeFileSync(world.path('file'), Buffer.concat([Buffer.from(`${at}\n`), Buffer.alloc(SIZE)]))
  const proc = terminal(world, '-', world.path('file'))
  await proc.showing(/ of 30\.0 MB /)
  reads()
  assert.strictEqual(await proc.exit(), 0)
  assert.match(proc.lines().at(-1), /^30\.0 MB of 30\.0 MB \(100 %\)/)
})

shows('a line is never wider than the terminal, which may change', async (world) => {
  const { at, reads } = await peer(world)
  fs.truncateSync(world.write('file', ''), SIZE)
  const proc = terminal(world, at, world.path('file'), { columns: 60 })
  await proc.showing(/ of 30\.0 MB /)
  const tty = fs.readFileSync(world.path('tty'), 'utf8').trim()
  const resize = (columns) => execFileSync('stty', ['-F', tty, 'cols', String(columns)])
  resize(20)
  await proc.showing(/^\d+ %$/)
  resize(3)
  let seen = proc.text().length
  await proc.until(() => proc.text().slice(seen).includes('\r\u001b[K\r\u001b[K'), 'nothing')
  resize(60)
  seen = proc.lines().length
  await proc.until(() => proc.lines().slice(seen).some((shown) => / of 30\.0 MB /.test(shown)), 'the whole line again')
  resize(10)
  seen = proc.text().length
  reads()
  assert.strictEqual(await proc.exit(), 0)
  assert.match(proc.text().slice(seen), /\r\u001b\[K100 %\r\n/)
  for (const shown of proc.lines()) assert.ok(shown.length < 60, shown)
})

// As long as another, that is begun now, needs for two lines.
async function twoLines(world, at) {
  const other = terminal(world, at, world.path('file'))
  await other.until(() => other.lines().length > 1, 'two lines')
}

shows('a terminal that knows no escapes gets one line, and what is none nothing', async (world) => {
  fs.truncateSync(world.write('file', ''), SIZE)
  for (const [term, before] of [['dumb', ''], ['', ''], ['', 'unset TERM;']]) {
    const { at, reads } = await peer(world)
    const proc = terminal(world, at, world.path('file'), { term, before })
    await twoLines(world, at)
    assert.strictEqual(proc.text(), '')
    reads()
    assert.strictEqual(await proc.exit(), 0)
    assert.match(proc.text(), /^30\.0 MB of 30\.0 MB \(100 %\), [^\r\n\u001b]*\/s\r\n(multiserver: [^\r\n]*\r\n)?$/)
  }
  const { at, reads } = await peer(world)
  const fd = fs.openSync(world.path('file'), 'r')
  const plain = world.ours(['connect', at], { stdin: fd, env: { TERM: 'xterm' } })
  fs.closeSync(fd)
  await twoLines(world, at)
  reads()
  assert.strictEqual(await plain.exit(), 0)
  assert.match(plain.err, /^(multiserver: [^\n]*\n)?$/)
})
