'use strict'
// serve --exec: what a peer is told of how its command has ended. All that the command has said
// arrives, and the end is a clean one only where the command has succeeded.

const assert = require('assert')
const fs = require('fs')
const { scenario, assertComplaint } = require('../world')
const { certificate } = require('../interop/certificate')
const { children, become, isGone } = require('./processes')

const { cert, key } = certificate()
const TLS = ['--tls-cert', cert, '--tls-key', key]
const RECORDS = 60000 // more than the buffers of a stack
const numbered = Array.from({ length: RECORDS }, (_, i) => i + 1).join('\n') + '\n'

// Each with what `serve` and `connect` need, and whether it can show that an end is none.
const STACKS = [
  { listen: 'net:127.0.0.1:0~shs', shows: true },
  { listen: 'unix:SOCKET~shs', shows: true },
  { listen: 'ws://127.0.0.1:0~shs', shows: true },
  { listen: 'wss://localhost:0', serve: TLS, connect: ['--tls-ca', cert], shows: true },
  { listen: 'net:localhost:0~tls', serve: TLS, connect: ['--tls-ca', cert], shows: true },
  { listen: 'ws://127.0.0.1:0', shows: true },
  { listen: 'net:127.0.0.1:0', shows: true },
  { listen: 'unix:SOCKET~noauth', shows: false },
]

const say = `seq 1 ${RECORDS}`
const FAILING = [
  [`${say}; exit 3`, /exited with 3$/],
  [`${say}; exec no-such-command-anywhere 2>/dev/null`, /exited with 127$/],
  [`${say}; kill -9 $$`, /killed by signal 9$/],
  [`${say}; sh -c 'kill -9 $$' 2>/dev/null`, /exited with 137$/], // a child of the leader's
  [`${say}; tar -cf - /nonexistent/file 2>/dev/null >&2`, /exited with 2$/],
]

let sockets = 0
async function exec(world, what, stack = STACKS[0], ...args) {
  const listen = stack.listen.replace('SOCKET', `${world.socketDir(`s${sockets++}`)}/s`)
  const serve = world.ours(['serve', '--exec', what, '--allow-any', ...(stack.serve || []), ...args, listen])
  let at = await serve.until(() => /^[^{].*$/m.exec(serve.stdout()) || serve.stdout().includes('"listening"'), 'an address')
  if (at === true) at = [JSON.parse(serve.stdout().toString().split('\n')[0]).address]
  return { serve, at: at[0] }
}

async function peer(world, at, stack = STACKS[0]) {
  const client = world.ours(['connect', ...(stack.connect || []), at])
  client.child.stdin.end()
  client.status = await client.exit()
  return client
}

const line = (serve) => serve.until(() => /^multiserver: exec: .*$/m.exec(serve.err), 'a line').then(([text]) => text)

for (const stack of STACKS) {
  scenario(`${stack.listen}: a command that fails is heard, and has no clean end`, async (world) => {
    for (const [what, ending] of FAILING) {
      const { serve, at } = await exec(world, what, stack)
      const client = await peer(world, at, stack)
      assert.ok(client.stdout().equals(Buffer.from(numbered)), `${what}: ${client.received} of ${numbered.length} bytes`)
      assert.strictEqual(client.status, stack.shows ? 1 : 0, what)
      assert.match(await line(serve), ending)
    }
    const { serve, at } = await exec(world, say, stack)
    const client = await peer(world, at, stack)
    assert.deepStrictEqual([client.status, client.err, client.received], [0, '', numbered.length])
    assert.strictEqual(serve.err, '')
  })
}

scenario('a reader that takes its time hears all of a command that fails', async (world) => {
  for (const stack of STACKS.filter(({ listen }) => /^net/.test(listen))) {
    const { at } = await exec(world, `${say}; exit 3`, stack)
    const client = world.ours(['connect', ...(stack.connect || []), at], { stdin: 'ignore', stdout: 'pipe' })
    for (let i = 0; i < 20; i++) { // it stops again and again
      await client.until(() => client.done || client.received > i * 10000, 'some more')
      if (client.done) break
      client.kill('SIGSTOP')
      await new Promise((resolve) => setTimeout(resolve, 20))
      client.kill('SIGCONT')
    }
    assert.strictEqual(await client.exit(), 1)
    assert.ok(client.stdout().equals(Buffer.from(numbered)), `${stack.listen}: ${client.received} of ${numbered.length} bytes`)
  }
})

scenario('a WebSocket is told the status', async (world) => {
  const { at } = await exec(world, 'echo half; exit 3', { listen: 'ws://127.0.0.1:0' })
  const client = await peer(world, at)
  assert.deepStrictEqual([client.status, client.stdout().toString()], [1, 'half\n'])
  assertComplaint(client, /close code 1011: the command has exited with 3$/m)
})

scenario('--exec-clean says which statuses are clean', async (world) => {
  const statuses = async (clean, what) => {
    const { serve, at } = await exec(world, what, STACKS[0], '--exec-clean', clean)
    const { status } = await peer(world, at)
    return [status, serve.err]
  }
  assert.deepStrictEqual(await statuses('0,1', 'exit 1'), [0, '']) // as grep without a match
  assert.deepStrictEqual(await statuses('0,1', 'exit 0'), [0, ''])
  assert.deepStrictEqual(await statuses('any', 'exit 255'), [0, ''])
  assert.strictEqual((await statuses('0,1', 'exit 2'))[0], 1)
  assert.strictEqual((await statuses('1', 'exit 0'))[0], 1)
  assert.strictEqual((await statuses('any', 'kill -9 $$'))[0], 1) // no status at all
  for (const wrong of ['', '0,', ',1', '256', '1000', '-1', '1 2', 'all', 'any,1']) {
    const serve = await world.run(['serve', '--exec', 'true', '--exec-clean', wrong, 'net:127.0.0.1:0'])
    assert.strictEqual(serve.status, 2, wrong)
    assertComplaint(serve, /is no list of exit statuses/)
  }
  const serve = await world.run(['serve', '--echo', '--exec-clean', '0', 'net:127.0.0.1:0'])
  assert.strictEqual(serve.status, 2)
  assertComplaint(serve, /--exec-clean/)
})

scenario('the event names the status', async (world) => {
  for (const [what, expected] of [
    ['exit 3', { reason: 'failed', status: 3, message: 'the command has exited with 3' }],
    ['kill -9 $$', { reason: 'failed', signal: 9, message: 'the command was killed by signal 9' }],
    ['true', { reason: 'end', status: 0 }],
  ]) {
    const { serve, at } = await exec(world, what, STACKS[0], '--json')
    await peer(world, at)
    const { event, time, id, in: read, out, remote, ...rest } = await serve.event('closed')
    assert.strictEqual(Buffer.from(remote, 'base64').length, 32)
    assert.deepStrictEqual(rest, expected)
    assert.deepStrictEqual(serve.events('error').map(({ message }) => message), expected.message ? [expected.message] : [])
  }
})

scenario('what somebody left behind may still say is not waited for, and makes the end no clean one', async (world) => {
  await Promise.all(STACKS.filter(({ listen }) => /shs|^net/.test(listen)).map(async (stack) => {
    const { serve, at } = await exec(world, '(sleep 3; echo late) & echo early', stack)
    const client = await peer(world, at, stack)
    assert.deepStrictEqual([client.status, client.stdout().toString()], [1, 'early\n'])
    assert.match(await line(serve), /left behind holds its output$/)
  }))
  // as long as it speaks it is heard, and its end is one
  const { at } = await exec(world, '(for i in 1 2 3 4; do sleep 0.5; echo $i; done) & echo 0')
  const client = await peer(world, at)
  assert.deepStrictEqual([client.status, client.stdout().toString()], [0, '0\n1\n2\n3\n4\n'])
})

scenario('a peer that reads nothing for a while is not taken for silence', async (world) => {
  const lines = 1000000
  const { at, serve } = await exec(world, `seq 1 ${lines}`)
  const client = world.ours(['connect', at], { stdin: 'ignore' })
  await client.until(() => client.received > 0, 'a byte')
  client.kill('SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, 2500)) // more than a second after the exit
  client.kill('SIGCONT')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.stdout().toString().trim().split('\n').length, lines)
  assert.strictEqual(serve.err, '')
})

// What it has said fills every buffer on the way when it exits.
scenario('a command that exits while its peer reads nothing is not taken for silence', async (world) => {
  const { at, serve } = await exec(world, 'read go; timeout 1 yes; exit 0')
  const client = world.ours(['connect', at])
  client.say('go')
  await client.until(() => client.received > 0, 'a byte')
  client.kill('SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, 3500)) // more than a second after the exit
  client.kill('SIGCONT')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(serve.err, '')
})

// What it has said fits into the least that lies on the way, or fills it when it exits.
scenario('a peer that reads nothing any more is cut from a command that has failed', async (world) => {
  await Promise.all(['head -c 150000 /dev/zero', 'timeout 1 yes'].flatMap((say) =>
    ['net:127.0.0.1:0~shs', 'unix:SOCKET~shs'].map(async (listen) => {
      const { at, serve } = await exec(world, `read go; ${say}; exit 3`, { listen })
      const client = world.ours(['connect', at])
      client.say('go')
      await client.until(() => client.received > 0, 'a byte')
      client.kill('SIGSTOP')
      assert.match(await line(serve), /exited with 3$/)
    })))
})

scenario('a command that cannot be started is a failure, and told', async (world) => {
  for (const stack of [STACKS[0], STACKS[5], STACKS[6]]) {
    const serve = world.start('serve', 'bash', ['-c', 'ulimit -n $0; shift 0; exec "$@"', '26', process.env.MULTISERVER,
      ...world.arguments(['serve', '--exec', 'cat', '--allow-any', '--limit', 'connections=6', stack.listen])])
    const at = await serve.line()
    const clients = []
    for (let i = 0; i < 6 && !serve.err.includes('could not be started'); i++) {
      const client = world.ours(['connect', at])
      clients.push(client)
      client.say('hello')
      await Promise.race([
        client.until(() => client.done || client.received >= 6, 'an answer'),
        serve.until(() => serve.err.includes('could not be started'), 'a line')])
    }
    assert.match(await line(serve), /the command could not be started: too many open files$/)
    assert.strictEqual(await clients.pop().exit(), 1)
  }
})

// The command's own end of input is one only where the peer has ended.
scenario('a command whose peer is lost is gone before it hears an end', async (world) => {
  await Promise.all(STACKS.filter(({ listen }) => /shs|tls|wss/.test(listen)).map(async (stack, i) => {
    const file = world.path(`file-${i}`)
    const commit = `trap '' TERM; echo ready; cat > ${file}.tmp && mv ${file}.tmp ${file}`
    const { serve, at } = await exec(world, commit, stack)
    const client = world.ours(['connect', ...(stack.connect || []), at])
    await client.until(() => client.received > 0, 'ready')
    client.say('half a file')
    await become(() => fs.existsSync(`${file}.tmp`) && fs.statSync(`${file}.tmp`).size)
    client.kill('SIGKILL')
    await line(serve)
    await become(() => children(serve.child.pid).length === 0)
    assert.ok(!fs.existsSync(file), stack.listen)
  }))
})

scenario('who ignores the end of a command whose peer is lost is killed, though its leader has gone', async (world) => {
  const file = world.path('pid')
  const { at } = await exec(world, `sh -c 'trap "" TERM; echo $$ > ${file}; echo ready; exec sleep 777' & exec sleep 777`)
  const client = world.ours(['connect', at])
  await client.until(() => client.received > 0, 'ready')
  const pid = Number(fs.readFileSync(file, 'utf8'))
  client.kill('SIGKILL')
  await become(() => isGone(pid))
})

// A WebSocket ends both directions at once.
scenario('a command that has had all its input may still do something with it', async (world) => {
  const file = world.path('file')
  const { at, serve } = await exec(world, `cat > ${file}.tmp && sleep 1 && mv ${file}.tmp ${file}`, { listen: 'ws://127.0.0.1:0' })
  const client = world.ours(['connect', at])
  client.child.stdin.end('a file')
  await client.exit()
  await become(() => children(serve.child.pid).length === 0)
  assert.strictEqual(fs.readFileSync(file, 'utf8'), 'a file')
})
