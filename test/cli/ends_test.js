'use strict'
// What an end and an exit status say: that all has arrived, and no more than that.

const assert = require('assert')
const { execFileSync } = require('child_process')
const crypto = require('crypto')
const fs = require('fs')
const net = require('net')
const { scenario, sha256 } = require('../world')

const STACKS = ['net~shs', 'ws~shs', 'unix~shs', 'net', 'unix']

const place = (world, stack) => {
  const [transport, ...above] = stack.split('~')
  const at = {
    net: () => 'net:127.0.0.1:0',
    ws: () => 'ws://127.0.0.1:0',
    unix: () => `unix:${world.socketDir(`s${world.procs.length}`)}/socket`,
  }[transport]()
  return [at, ...above].join('~')
}

// Until it has done all it can, and waits.
async function taken(proc) {
  for (let same = 0, before; same < 5;) {
    const now = fs.readFileSync(`/proc/${proc.child.pid}/stat`, 'utf8').split(' ').slice(13, 15).join()
    same = now === before ? same + 1 : 0
    before = now
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

// More than a system keeps for somebody who does not read, less than it takes of who writes.
const data = crypto.randomBytes(1 << 20)

for (const stack of STACKS) {
  scenario(`${stack}: a peer that has ended and dies before it has read all is no success`, async (world) => {
    const serve = world.ours(['serve', '--stdio', '--allow-any', place(world, stack)])
    const client = world.ours(['connect', '--linger', '60000', await serve.line('stderr')])
    serve.child.stdin.end('that is all from here\n')
    await client.until(() => client.stdout().toString().includes('here\n'), 'the end of the other side')
    serve.kill('SIGSTOP')
    client.child.stdin.write(data) // the system takes it
    await taken(client)
    serve.kill('SIGKILL')
    assert.strictEqual(await client.exit(), 1, `${client}`)
  })

  scenario(`${stack}: a peer that has ended and dies does not have our end`, async (world) => {
    const serve = world.ours(['serve', '--stdio', '--allow-any', place(world, stack)])
    const client = world.ours(['connect', '--linger', '60000', await serve.line('stderr')])
    serve.child.stdin.end('that is all from here\n')
    await client.until(() => client.stdout().toString().includes('here\n'), 'the end of the other side')
    serve.kill('SIGSTOP')
    client.child.stdin.end(data)
    await taken(client)
    assert.strictEqual(client.done, null, 'it has left before it was heard')
    serve.kill('SIGKILL')
    assert.strictEqual(await client.exit(), 1, `${client}`)
  })
}

// ---- Exit status 0 of a sender ----

for (const stack of STACKS) {
  scenario(`${stack}: a sender leaves when all is written out, not before`, async (world) => {
    // where the system says the end of a dead process, it looks like one
    for (const survives of stack.includes('~') ? [true, false] : [true]) {
      const [read, write] = pipe(world)
      const serve = world.ours(['serve', '--stdio', '--allow-any', place(world, stack)], { stdin: 'ignore', stdout: write })
      fs.closeSync(write)
      const client = world.ours(['connect', await serve.line('stderr')])
      client.child.stdin.end(data.subarray(0, 200000)) // a pipe has 65,536 bytes
      await taken(client)
      assert.strictEqual(client.done, null, 'nobody has read that')
      if (survives) {
        const got = await readAll(read)
        assert.strictEqual(sha256(got), sha256(data.subarray(0, 200000)))
        assert.deepStrictEqual([await client.exit(), await serve.exit()], [0, 0], `${client}`)
      } else {
        serve.kill('SIGKILL')
        assert.strictEqual(await client.exit(), 1, `${client}`)
        fs.closeSync(read)
      }
    }
  })

  scenario(`${stack}: connect --receive says its end when all is written out`, async (world) => {
    const [read, write] = pipe(world)
    const serve = world.ours(['serve', '--stdio', '--allow-any', place(world, stack)])
    const client = world.ours(['connect', '--receive', await serve.line('stderr')], { stdin: 'ignore', stdout: write })
    fs.closeSync(write)
    serve.child.stdin.end(data.subarray(0, 200000))
    await taken(serve)
    assert.strictEqual(serve.done, null, 'nobody has read that')
    assert.strictEqual(sha256(await readAll(read)), sha256(data.subarray(0, 200000)))
    assert.deepStrictEqual([await client.exit(), await serve.exit()], [0, 0], `${serve}`)
  })
}

scenario('connect that has nothing to say and does not --receive ends at once', async (world) => {
  const serve = world.ours(['serve', '--exec', 'sort', '--allow-any', 'net:127.0.0.1:0~shs'])
  const client = world.ours(['connect', await serve.line()], { stdin: 'ignore' })
  assert.strictEqual(await client.exit(), 0, `${client}`)
})

// ---- What came before a failure ----

for (const stack of ['net~shs', 'ws~shs', 'unix~shs', 'net']) {
  scenario(`${stack}: what came before a failure is written out`, async (world) => {
    const [read, write] = pipe(world)
    const serve = world.ours(['serve', '--exec', 'seq 1 40000; exit 3', '--allow-any', place(world, stack)])
    const client = world.ours(['connect', await serve.line()], { stdin: 'ignore', stdout: write })
    fs.closeSync(write)
    await taken(client) // and has heard of the failure, or cannot read on to it
    const lines = (await readAll(read)).toString().split('\n').slice(0, -1)
    assert.strictEqual(lines.length, 40000)
    assert.strictEqual(lines.at(-1), '40000')
    assert.strictEqual(await client.exit(), 1, `${client}`)
  })
}

// ---- A peer that our end asks for its own ----

// A WebSocket's server that reads nothing until it is told to, then all, and answers our Close.
function sink() {
  const server = net.createServer((socket) => {
    socket.once('data', (head) => {
      const key = /sec-websocket-key: (.*)\r/i.exec(head)[1]
      const accept = crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      socket.write(`HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
      socket.pause()
      server.read = () => socket.on('data', (piece) => {
        server.got += piece.length
        if (server.got > server.expected) socket.write(Buffer.from('880203e8', 'hex'))
      }).resume()
    })
    socket.on('error', () => {})
    socket.on('close', () => { server.closed = true })
  })
  server.got = 0
  return server
}

scenario('ws: a peer that has not had all cannot answer, and is waited for', async (world) => {
  const server = sink()
  server.expected = 2 << 20
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => server.close())
  const file = fs.openSync(world.write('in', crypto.randomBytes(2 << 20)), 'r')
  const client = world.ours(['connect', '--linger', '50', `ws://127.0.0.1:${server.address().port}`], { stdin: file })
  fs.closeSync(file)
  await new Promise((resolve) => setTimeout(resolve, 2500)) // more than 5 and 10 times as long
  assert.ok(!server.closed && client.done === null, `${client}`)
  server.read()
  assert.strictEqual(await client.exit(), 0, `${client}`)
})

scenario('ws: an answer that begins only after the end of the request', async (world) => {
  const serve = world.ours(['serve', '--exec', 'sort -rn', place(world, 'ws')])
  const client = world.ours(['connect', '--linger', '50', await serve.line()])
  client.child.stdin.end(Array.from({ length: 20000 }, (_, i) => `${i}\n`).join(''))
  assert.strictEqual(await client.exit(), 0, `${client}`)
  const lines = client.stdout().toString().split('\n').slice(0, -1)
  assert.deepStrictEqual([lines.length, lines[0], lines.at(-1)], [20000, '19999', '0'])
})

// ---- Who has ended and dies ----

for (const stack of ['unix~shs', 'unix~noauth', 'unix']) {
  scenario(`${stack}: who has ended and dies is noticed`, async (world) => {
    const serve = world.ours(['serve', '--json', '--exec', 'exec sleep 300', '--allow-any', place(world, stack)])
    const client = world.ours(['connect', (await serve.event('listening')).address], { stdin: 'ignore' })
    await serve.event('connection')
    await taken(client)
    client.kill('SIGKILL')
    await serve.event('closed')
    await childless(serve)
  })
}

// ---- Bridges ----

scenario('a bridge ends the far side when the near one has left', async (world) => {
  const far = world.ours(['serve', '--json', '--exec', 'cat; while echo more; do sleep 0.1; done', '--allow-any', 'net:127.0.0.1:0~shs'])
  const { address } = await far.event('listening')
  const proc = world.ours(['serve', '--json', '--insecure-noauth', '--forward', address, 'ws://127.0.0.1:0'])
  const near = world.ours(['connect', (await proc.event('listening')).address])
  near.say('hello')
  await near.until(() => near.stdout().toString() === 'hello\n', 'an echo')
  near.child.stdin.end()
  near.kill('SIGTERM')
  await far.event('closed')
  await proc.event('closed')
  await childless(far)
  proc.kill('SIGUSR1')
  const stats = await proc.event('stats')
  assert.deepStrictEqual([stats.open, stats.buffered_bytes ?? stats.buffered], [0, 0])
})

for (const [near, farther] of [['net~shs', 'ws'], ['ws', 'net~shs'], ['ws', 'ws'], ['unix', 'ws~shs']]) {
  scenario(`a bridge from ${near} to ${farther}: a request and its answer`, async (world) => {
    const far = world.ours(['serve', '--exec', 'sort -rn', '--allow-any', place(world, farther)])
    const proc = world.ours(['serve', '--allow-any', '--forward', await far.line(), place(world, near)])
    const client = world.ours(['connect', await proc.line()])
    client.child.stdin.end(Array.from({ length: 20000 }, (_, i) => `${i}\n`).join(''))
    assert.strictEqual(await client.exit(), 0, `${client}`)
    const lines = client.stdout().toString().split('\n').slice(0, -1)
    assert.deepStrictEqual([lines.length, lines[0], lines.at(-1)], [20000, '19999', '0'])
  })
}

// The two ends of a pipe that nobody reads yet.
function pipe(world) {
  const name = world.path(`pipe-${world.procs.length}`)
  execFileSync('mkfifo', [name])
  const read = fs.openSync(name, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  return [read, fs.openSync(name, 'w')]
}

// From the reading end of a pipe, to its end.
async function readAll(fd) {
  const parts = []
  for (const piece = Buffer.alloc(65536); ;) {
    try {
      const n = fs.readSync(fd, piece)
      if (n === 0) break
      parts.push(Buffer.from(piece.subarray(0, n)))
    } catch (err) {
      if (err.code !== 'EAGAIN') throw err
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  fs.closeSync(fd)
  return Buffer.concat(parts)
}

// Until a process has none of the commands that it has started.
async function childless({ child }) {
  const list = `/proc/${child.pid}/task/${child.pid}/children`
  const commands = () => fs.readFileSync(list, 'utf8').split(' ').filter((pid) => /sleep|cat|sh/.test(comm(pid)))
  while (commands().length) await new Promise((resolve) => setTimeout(resolve, 20))
}

function comm(pid) {
  try {
    return pid && fs.readFileSync(`/proc/${pid}/comm`, 'utf8')
  } catch {
    return ''
  }
}

for (const stack of STACKS) {
  scenario(`${stack}: an echo that is stopped says no goodbye before all has come back`, async (world) => {
    const serve = world.ours(['serve', '--echo', '--allow-any', place(world, stack)])
    const client = world.ours(['connect', await serve.line()])
    client.say('hello')
    await client.until(() => client.received === 6, 'an echo')
    serve.kill('SIGSTOP')
    client.child.stdin.end(data.subarray(0, 1 << 18))
    await taken(client)
    serve.kill('SIGTERM')
    serve.kill('SIGCONT')
    assert.deepStrictEqual([await client.exit(), client.received], [0, 6 + (1 << 18)], `${client}`)
    assert.strictEqual(await serve.exit(), 0)
  })
}

scenario('a bridge to a WebSocket that ends first fails when nobody answers it for a while', async (world) => {
  const far = world.ours(['serve', '--exec', 'echo hello', 'ws://127.0.0.1:0'])
  const bridge = world.ours(['serve', '--json', '--forward', await far.line(), 'net:127.0.0.1:0~noauth'])
  const { address } = await bridge.event('listening')
  const socket = net.connect({ port: Number(address.match(/:(\d+)~/)[1]), host: '127.0.0.1', allowHalfOpen: true })
  let heard = ''
  socket.on('data', (bytes) => (heard += bytes)).on('error', () => {})
  world.atEnd(() => socket.destroy())
  const { reason, message } = await bridge.event('closed')
  assert.deepStrictEqual([heard, reason], ['hello\n', 'failed'])
  assert.match(message, /the other side of the bridge has failed/)
})
