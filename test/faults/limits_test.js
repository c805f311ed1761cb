'use strict'
// serve where the system gives little: ulimit -n and ulimit -v. It says why it cannot, or it serves; it
// is never killed by a signal. A build without sanitizers, which take address space of their own.

const assert = require('assert')
const fs = require('fs')
const net = require('net')
const { scenario, command } = require('../world')
const { eventually } = require('../interop/proc_fs')

const portOf = (at) => Number(at.split(':')[2])

// serve --echo with a limit of the shell's; the address, or null when it is over.
async function serve(world, limit) {
  const proc = world.start(`serve with ${limit}`, 'sh', ['-c', `${limit}; exec "$0" serve --echo net:127.0.0.1:0`, command])
  return { proc, at: await proc.line().catch(() => null) }
}

async function isServed(world, at) {
  const client = world.start('connect', command, ['connect', at])
  client.child.stdin.end('hello')
  const late = setTimeout(() => client.kill(), 5000)
  await client.until(() => client.done, 'an exit')
  clearTimeout(late)
  assert.ok(client.done.code !== 0 || client.stdout().toString() === 'hello', 'exit 0, and another answer')
  return client.done.code === 0
}

function assertSaysWhy({ done, err, label }) {
  assert.strictEqual(done.signal, null, label)
  assert.notStrictEqual(done.code, 0, label)
  assert.match(err, /^(multiserver|\S+): [^\n]+\n/, label)
}

// Peers that write and do not read, as many as there may be.
function crowd(world, at, count) {
  const sockets = Array.from({ length: count }, () => {
    const socket = net.connect(portOf(at), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(Buffer.alloc(200000))
    return socket.pause()
  })
  const leave = () => sockets.forEach((socket) => socket.destroy())
  world.atEnd(leave)
  return leave
}

scenario('few descriptors', async (world) => {
  let served = 0
  for (const n of [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 20, 40]) {
    const { proc, at } = await serve(world, `ulimit -n ${n}`)
    if (!at) {
      assertSaysWhy(proc)
      continue
    }
    const leave = crowd(world, at, 60)
    leave()
    // where there is none left for a peer it waits for one, and has said so
    if (n > 13) {
      await eventually(() => isServed(world, at), (yes) => yes, `served with ${n}`)
      served++
    }
    await proc.until(() => /descriptors are not enough/.test(proc.err), 'what it says')
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0, String(proc))
  }
  assert.strictEqual(served, 4)
})

scenario('little memory', async (world) => {
  const { proc: free } = await serve(world, 'true')
  const [, peak] = fs.readFileSync(`/proc/${free.child.pid}/status`, 'utf8').match(/^VmPeak:\s+(\d+) kB/m)
  free.kill()
  let served = 0
  for (const more of [-2000, -1000, -200, 0, 100, 400, 1000, 4000, 16000, 64000]) {
    const { proc, at } = await serve(world, `ulimit -v ${Number(peak) + more}`)
    if (!at) {
      assertSaysWhy(proc)
      continue
    }
    const could = await isServed(world, at)
    if (!could) await proc.until(() => /: out of memory\n/.test(proc.err), 'what it says')
    const leave = crowd(world, at, 300)
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.strictEqual(proc.done, null, String(proc))
    leave()
    if (could) {
      await eventually(() => isServed(world, at), (yes) => yes, `served with ${more} kB more`)
      served++
    }
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0, String(proc))
  }
  assert.ok(served >= 4, `served ${served} times`)
})
