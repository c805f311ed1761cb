'use strict'
// serve --exec: a command for each peer.

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const net = require('net')
const { scenario, identity, secretFile, sha256, command, closedPort } = require('../world')
const { children, isGone, become } = require('./processes')

async function exec(world, what, listen = 'net:127.0.0.1:0~shs', ...args) {
  const serve = world.ours(['serve', '--exec', what, '--allow-any', ...args, listen])
  return { serve, at: await serve.line() }
}

async function connect(world, at, { input, as = identity() } = {}) {
  const client = world.ours(['connect', at], { as })
  client.child.stdin.end(input)
  client.status = await client.exit()
  return client
}

scenario("a command's input and output are the peer", async (world) => {
  const { at, serve } = await exec(world, 'tr a-z A-Z')
  const data = crypto.randomBytes(4 << 20).toString('base64')
  const client = await connect(world, at, { input: data })
  assert.strictEqual(client.status, 0)
  assert.strictEqual(sha256(client.stdout()), sha256(data.toUpperCase()))
  await become(() => children(serve.child.pid).length === 0) // not even a zombie
  assert.strictEqual(serve.err, '')
})

scenario('the environment is clean but for who the peer is', async (world) => {
  const as = identity()
  const { at } = await exec(world, 'env')
  const lines = (await connect(world, at, { as, input: '' })).stdout().toString().trim().split('\n')
  const env = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)))
  assert.strictEqual(env.MULTISERVER_KEY, as.key)
  assert.match(env.MULTISERVER_ADDRESS, /^net:127\.0\.0\.1:\d+~shs:/)
  assert.ok(env.MULTISERVER_ADDRESS.endsWith(as.key))
  assert.strictEqual(env.PATH, process.env.PATH)
  const others = Object.keys(env).filter((name) => !/^(MULTISERVER_\w+|PATH|PWD|SHLVL|_|OLDPWD)$/.test(name))
  assert.deepStrictEqual(others, [])
  const plain = await exec(world, 'env', `unix:${world.socketDir('s')}/socket~noauth`)
  assert.ok(!(await connect(world, plain.at, { input: '' })).stdout().toString().includes('MULTISERVER_KEY'))
})

scenario('no other descriptor is inherited', async (world) => {
  const secret = world.write('me', secretFile(identity()))
  // one that the shell leaves open beyond all gaps, and one right behind the standard ones
  const serve = world.start('serve', 'bash', ['-c',
    'exec 3</etc/passwd 210</etc/passwd; exec "$0" serve --key "$1" --exec "ls /proc/self/fd" --allow-any net:127.0.0.1:0~shs',
    command, secret])
  const client = await connect(world, await serve.line(), { input: '' })
  // 3 is the folder that ls reads
  assert.deepStrictEqual(client.stdout().toString().trim().split('\n'), ['0', '1', '2', '3'])
})

scenario("the peer's end closes the command's input only", async (world) => {
  const { at } = await exec(world, 'cat >/dev/null; echo all read')
  const client = await connect(world, at, { input: 'x'.repeat(1000000) })
  assert.deepStrictEqual([client.status, client.stdout().toString()], [0, 'all read\n'])
})

scenario("the command's exit is our end", async (world) => {
  const { at, serve } = await exec(world, 'echo bye')
  const client = world.ours(['connect', at]) // its input stays open
  await client.until(() => client.stdout().toString() === 'bye\n', 'bye')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(serve.err, '')
})

scenario('a command that reads nothing still speaks', async (world) => {
  const { at } = await exec(world, 'exec <&-; sleep 0.1; echo done')
  const client = await connect(world, at, { input: crypto.randomBytes(3 << 20) })
  assert.deepStrictEqual([client.status, client.stdout().toString()], [0, 'done\n'])
})

scenario('a peer that is gone takes its command with it', async (world) => {
  // the shell and what it has started
  const { at, serve } = await exec(world, 'sleep 1000; echo never')
  const client = world.ours(['connect', at])
  await become(() => children(serve.child.pid).length === 1)
  const [shell] = children(serve.child.pid)
  await become(() => children(shell).length === 1)
  const [sleep] = children(shell)
  client.kill('SIGKILL')
  await become(() => children(serve.child.pid).length === 0)
  await become(() => isGone(sleep))
})

scenario('a peer that floods a command which does not read, and is gone unseen, ends as one that is idle', async (world) => {
  const { at, serve } = await exec(world, 'sleep 1000', 'net:127.0.0.1:0', '--limit', 'idle-msec=1000')
  const socket = net.connect(Number(at.split(':')[2]), '127.0.0.1')
  socket.on('error', () => {})
  await become(() => children(serve.child.pid).length === 1)
  for (let stuck = false; !stuck;) {
    stuck = await new Promise((resolve) => {
      const timer = setTimeout(resolve, 100, true)
      socket.write(Buffer.alloc(1 << 20), () => resolve(clearTimeout(timer)))
    })
  }
  socket.resetAndDestroy()
  await become(() => children(serve.child.pid).length === 0)
  assert.match(await serve.line('stderr'), /exec: net:.*: it carried nothing for too long$/)
})

scenario('a command that ignores SIGTERM is killed in the end', async (world) => {
  const { at, serve } = await exec(world, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
  const client = world.ours(['connect', at])
  await client.until(() => client.stdout().toString() === 'ready\n', 'ready')
  const from = Date.now()
  client.kill('SIGKILL')
  await become(() => children(serve.child.pid).length === 0)
  assert.ok(Date.now() - from > 3000, 'it was not asked first')
})

scenario('a second interrupt kills what ignores the first, and no third one leaves an orphan', async (world) => {
  for (const deaf of [false, true]) {
    const { at, serve } = await exec(world, "trap '' INT TERM; echo ready; for i in $(seq 200); do sleep 0.1; done")
    const client = world.ours(['connect', at])
    await client.until(() => client.stdout().toString() === 'ready\n', 'ready')
    const [shell] = children(serve.child.pid)
    if (deaf) client.kill('SIGSTOP')
    serve.kill('SIGTERM')
    const from = Date.now()
    serve.kill('SIGTERM')
    serve.kill('SIGINT')
    await serve.exit()
    assert.deepStrictEqual(serve.done, { code: 0, signal: null })
    assert.ok(!fs.existsSync(`/proc/${shell}`), 'an orphan')
    assert.ok(Date.now() - from < 3000, 'it was waited for')
    if (!deaf) assert.strictEqual(await client.exit(), 1)
  }
})

scenario('commands have the descriptors that serve began with', async (world) => {
  const serve = world.start('serve', 'bash', ['-c', 'ulimit -Sn 300; exec "$0" serve --exec "ulimit -Sn" net:127.0.0.1:0', command])
  const client = world.ours(['connect', await serve.line()])
  client.child.stdin.end()
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.stdout().toString(), '300\n')
})

scenario('nobody reads the events: serve ends all the same, and no command is left', async (world) => {
  const port = await closedPort()
  // the pipe is full before the first event, and stays so
  const script = 'sh -c \'echo $$ >&2; head -c 65536 /dev/zero; exec "$@"\' sh "$@" | sh -c \'echo reader $$ >&2; exec sleep 1000\''
  const proc = world.start('serve into a full pipe', 'sh', ['-c', script, 'sh', command, 'serve', '--json', '--exec',
    "trap '' TERM; while :; do sleep 0.1; done", `net:127.0.0.1:${port}`])
  const [, reader] = await proc.until(() => /^reader (\d+)$/m.exec(proc.err), 'the reader')
  const [, server] = await proc.until(() => /^(\d+)$/m.exec(proc.err), 'the server')
  const left = [server, reader]
  world.atEnd(() => left.forEach((pid) => {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch { } // it is over
  }))
  const peers = Array.from({ length: 3 }, () => world.ours(['connect', `net:127.0.0.1:${port}`]))
  await become(() => {
    peers.forEach((peer, i) => peer.done && (peers[i] = world.ours(['connect', `net:127.0.0.1:${port}`]))) // it did not listen yet
    return children(server).length === 3
  })
  const shells = children(server)
  left.push(...shells)
  process.kill(Number(server), 'SIGTERM')
  await proc.until(() => /nobody reads the last \d+ bytes of events/.test(proc.err), 'the end')
  await become(() => shells.every(isGone))
})

scenario('an interrupt leaves commands the time to end', async (world) => {
  const { at, serve } = await exec(world, 'cat; echo all')
  const clients = [world.ours(['connect', at]), world.ours(['connect', at])]
  await become(() => children(serve.child.pid).length === 2)
  serve.kill('SIGINT')
  for (const client of clients) client.child.stdin.end('some\n')
  for (const client of clients) {
    assert.strictEqual(await client.exit(), 0, client.toString())
    assert.strictEqual(client.stdout().toString(), 'some\nall\n')
  }
  assert.strictEqual(await serve.exit(), 0)
  assert.strictEqual(serve.err, '')
})

scenario('a command that outlasts an interrupt has no clean end', async (world) => {
  for (const listen of ['net:127.0.0.1:0~shs', `unix:${world.socketDir('s')}/socket~noauth`]) {
    const { at, serve } = await exec(world, 'echo part; exec cat', listen)
    const client = world.ours(['connect', at])
    await client.until(() => client.stdout().toString() === 'part\n', 'part')
    serve.kill('SIGTERM')
    assert.strictEqual(await serve.exit(), 0)
    assert.match(serve.err, /exec: .*: cut: the command had not ended when it had to\n/)
    const status = await client.exit()
    if (listen.startsWith('net')) assert.strictEqual(status, 1) // a unix socket alone shows nothing
  }
})

scenario('many at once, and no zombie is left', async (world) => {
  const { at, serve } = await exec(world, 'cat')
  const fds = () => fs.readdirSync(`/proc/${serve.child.pid}/fd`).length
  await connect(world, at, { input: 'x' })
  await become(() => children(serve.child.pid).length === 0)
  const before = fds()
  const data = crypto.randomBytes(200000)
  for (let round = 0; round < 3; round++) {
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect(world, at, { input: data })))
    for (const client of clients) assert.deepStrictEqual([client.status, sha256(client.stdout())], [0, sha256(data)])
  }
  await become(() => children(serve.child.pid).length === 0 && fds() <= before)
})

scenario('a command that floods a slow peer waits', async (world) => {
  const { at, serve } = await exec(world, 'head -c 30000000 /dev/zero')
  const client = world.ours(['connect', at], { stdin: 'ignore' })
  await client.until(() => client.received > 0, 'a byte')
  client.kill('SIGSTOP')
  const rss = () => Number(fs.readFileSync(`/proc/${serve.child.pid}/statm`, 'utf8').split(' ')[1]) * 4096
  const before = rss()
  await new Promise((resolve) => setTimeout(resolve, 300)) // what it could take meanwhile is not its to take
  assert.ok(rss() - before < 8 << 20, 'it keeps what the peer does not read')
  client.kill('SIGCONT')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.received, 30000000)
})

scenario('a shell that is not there is one error, and the next may come', async (world) => {
  const { at, serve } = await exec(world, 'no-such-command-anywhere')
  const client = await connect(world, at, { input: '' })
  assert.strictEqual(client.stdout().toString(), '')
  assert.match(serve.err, /exited with 127/)
})
