'use strict'
// serve --exec: a command hears no end of its input that nobody has said, whoever is killed.

const assert = require('assert')
const fs = require('fs')
const net = require('net')
const { scenario } = require('../world')
const { children, isGone, named, descriptors, become } = require('./processes')

const ROUNDS = Number(process.env.ROUNDS || 40)

// A command that writes what it reads to a file, and gives that its name when the input has ended.
const commit = (file) => `cat > ${file}.tmp && mv ${file}.tmp ${file}`
const begun = (file) => fs.existsSync(`${file}.tmp`) && fs.statSync(`${file}.tmp`).size > 0

async function exec(world, what, listen = 'net:127.0.0.1:0~shs') {
  const serve = world.ours(['serve', '--exec', what, '--allow-any', listen])
  return { serve, at: await serve.line() }
}

const keepers = (world) => named('exec-keeper', world)

async function keeperOf(world) {
  await become(() => keepers(world).length === 1)
  return keepers(world)[0]
}

// serve is killed at any time from before the command is started on.
scenario(`serve is killed ${ROUNDS} times, and no command takes that for an end`, async (world) => {
  const folder = world.socketDir('s')
  const seed = Number(process.env.SEED || Date.now() % 1000000)
  let random = seed
  const below = (n) => (random = (random * 1103515245 + 12345) % 2147483648) % n
  console.log(`SEED=${seed}`)
  for (let round = 0; round < ROUNDS; round++) {
    const file = world.path(`file-${round}`)
    const { serve } = await exec(world, `trap '' TERM HUP PIPE; ${commit(file)}`, `unix:${folder}/${round}~noauth`)
    const socket = net.connect(`${folder}/${round}`)
    socket.on('error', () => {})
    let n = 0
    const records = setInterval(() => socket.write(`record ${n++}\n`), 0)
    // every other time while the command is started
    if (round % 2) await become(() => begun(file))
    else await new Promise((resolve) => setTimeout(resolve, below(20)))
    const commands = children(serve.child.pid)
    serve.kill('SIGKILL')
    await serve.exit()
    clearInterval(records)
    socket.destroy()
    await become(() => commands.every(isGone) && keepers(world).length === 0)
    assert.ok(!fs.existsSync(file), `round ${round}: half a file`)
  }
})

scenario('who has left the group of its command is gone, too, if it has its input', async (world) => {
  const file = world.path('file')
  const { serve, at } = await exec(world, `setsid sh -c '${commit(file)}'; echo over`)
  world.ours(['connect', at]).say('a record')
  await become(() => begun(file))
  const [shell] = children(serve.child.pid)
  const [grandchild] = children(shell).map(children).flat()
  serve.kill('SIGKILL')
  await become(() => isGone(shell) && isGone(grandchild) && keepers(world).length === 0)
  assert.ok(!fs.existsSync(file))
  await serve.until(() => /serve is gone without a word: 1 command was killed\n/.test(serve.err) || serve.done, 'a line')
})

scenario('who is left behind with the input of a command does not take the end of all for its own', async (world) => {
  const file = world.path('file')
  const go = world.path('go')
  const { serve, at } = await exec(world,
    `exec 3<&0; (exec <&3 >/dev/null; ${commit(file)}) & while [ ! -e ${go} ]; do sleep 0.02; done`)
  const client = world.ours(['connect', at])
  client.say('a record')
  await become(() => begun(file))
  client.kill('SIGSTOP') // it says no end
  world.write('go', '')
  await become(() => children(serve.child.pid).length === 0)
  client.kill('SIGKILL')
  await become(() => keepers(world).every((pid) => descriptors(pid).length === 4))
  assert.ok(!fs.existsSync(file))
})

scenario('a keeper that is killed has a successor, and serve ends as ever', async (world) => {
  const { serve, at } = await exec(world, 'cat')
  const first = await keeperOf(world)
  process.kill(Number(first), 'SIGKILL')
  await become(() => keepers(world).some((pid) => pid !== first))
  const client = await world.ours(['connect', at])
  client.child.stdin.end('hello')
  assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'hello'])
  serve.kill('SIGTERM')
  assert.strictEqual(await serve.exit(), 0)
  await become(() => keepers(world).length === 0)
})

scenario('a keeper that is killed has a successor, who knows the commands', async (world) => {
  const file = world.path('file')
  const { serve, at } = await exec(world, commit(file))
  const client = world.ours(['connect', at])
  client.say('a record')
  await become(() => begun(file))
  const first = await keeperOf(world)
  process.kill(Number(first), 'SIGKILL')
  await become(() => keepers(world).some((pid) => pid !== first && descriptors(pid).length === 6)) // an input and its leader
  assert.match(await serve.line('stderr'), /keeper of the commands' input is gone: there will be another$/)
  client.say('another record')
  const commands = children(serve.child.pid)
  serve.kill('SIGKILL')
  await become(() => commands.every(isGone) && keepers(world).length === 0)
  assert.ok(!fs.existsSync(file))
})

scenario('a keeper has nothing but inputs, and stays when others are told to go', async (world) => {
  const { serve, at } = await exec(world, 'cat')
  const keeper = await keeperOf(world)
  const links = () => descriptors(keeper).map((fd) => fs.readlinkSync(`/proc/${keeper}/fd/${fd}`))
  assert.deepStrictEqual(children(serve.child.pid), [])
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGTSTP', 'SIGUSR1', 'SIGPIPE']) process.kill(Number(keeper), signal)
  const clients = Array.from({ length: 5 }, () => world.ours(['connect', at]))
  for (const client of clients) client.say('hello')
  for (const client of clients) await client.until(() => client.received === 6, 'hello')
  await become(() => links().length === 4 + 2 * clients.length)
  const connections = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`)
  for (const link of links()) assert.ok(!connections.includes(link), `it has a connection: ${link}`)
  for (const client of clients) assert.strictEqual(await client.finish(), 0)
  await become(() => links().length === 4) // what is over is let go
  serve.kill('SIGTERM')
  assert.strictEqual(await serve.exit(), 0)
  assert.strictEqual(serve.err, '')
  await become(() => isGone(keeper))
})

scenario('a keeper that does not answer holds nobody up', async (world) => {
  const { at, serve } = await exec(world, 'tr a-z A-Z')
  const keeper = await keeperOf(world)
  process.kill(Number(keeper), 'SIGSTOP')
  world.atEnd(() => isGone(keeper) || process.kill(Number(keeper), 'SIGCONT'))
  for (let i = 0; i < 5; i++) { // an end of input goes past it
    const client = world.ours(['connect', at])
    client.child.stdin.end('hello')
    assert.strictEqual(await client.exit(), 0)
    assert.strictEqual(client.stdout().toString(), 'HELLO')
  }
  assert.strictEqual(serve.err, '')
})

scenario('serve that cannot have a keeper does not start', async (world, t) => {
  const serve = world.start('serve', 'bash', ['-c', 'ulimit -u 1; exec setpriv --reuid 65534 --clear-groups "$@"', 'sh',
    process.env.MULTISERVER, 'serve', '--exec', 'cat', 'net:127.0.0.1:0'])
  const status = await serve.exit()
  if (/setpriv/.test(serve.err)) return t.skip('only root can become somebody else')
  assert.strictEqual(status, 1)
  assert.match(serve.err, /^multiserver: exec: no keeper of the commands' input: [^\n]+$/m)
})
