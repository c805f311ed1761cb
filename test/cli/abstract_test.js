'use strict'
// Linux' abstract sockets: a name, no file, and nobody's mode.

const assert = require('assert')
const { execFileSync, spawnSync } = require('child_process')
const fs = require('fs')
const { scenario, assertComplaint } = require('../world')

// A name that only this process uses.
let count = 0
const aName = () => `ms-test-${process.pid}-${count++}`
const escaped = (name) => name.replace(/[!~]/g, '!$&')

async function echo(world, address, args = []) {
  const proc = world.ours(['serve', '--echo', '--allow-any', ...args, address])
  proc.address = await proc.line()
  return proc
}

async function says(world, address, as = {}) {
  const client = world.ours(['connect', address], as)
  client.child.stdin.end('hello')
  return [await client.exit(), client.stdout().toString()]
}

scenario('it is served, dialled, checked and told by its name', async (world) => {
  for (const stack of ['', '~noauth', '~shs']) {
    const name = aName()
    const proc = await echo(world, `unix:@${name}${stack}`)
    assert.ok(proc.address.startsWith(`unix:@${name}${stack}`), proc.address)
    assert.match(fs.readFileSync('/proc/net/unix', 'utf8'), new RegExp(` @${name}$`, 'm'))
    assert.deepStrictEqual(await says(world, proc.address), [0, 'hello'])
    const check = await world.run(['check', proc.address])
    assert.match(check.stdout().toString(), new RegExp(`^ +connect +@${name} \\d+ ms$`, 'm'))
    assert.strictEqual(check.status, 0)
    assert.ok(!fs.existsSync(world.path(`@${name}`)))
  }
})

scenario('any name of an address, up to 107 bytes', async (world) => {
  for (const name of [`a!b~c:d @/é-${aName()}`, `${aName()}-`.padEnd(107, 'x'), `@${aName()}`]) {
    const proc = await echo(world, `unix:@${escaped(name)}~noauth`, ['--json'])
    const { address } = await proc.event('listening')
    assert.strictEqual(address, `unix:@${escaped(name)}~noauth`)
    assert.deepStrictEqual(await says(world, address), [0, 'hello'])
    assert.strictEqual((await proc.event('connection')).address, address)
  }
  const long = 'x'.repeat(108)
  for (const args of [['serve', '--echo', `unix:@${long}`], ['connect', `unix:@${long}`]]) {
    const proc = await world.run(args)
    assert.strictEqual(proc.status, 1)
    assertComplaint(proc, /unix:@x+: .*the name has 108 bytes, an abstract socket's may have 107/)
  }
  const none = await world.run(['serve', '--echo', 'unix:@'])
  assert.strictEqual(none.status, 2)
  assertComplaint(none, /an abstract socket has a name, as in unix:@x; a file is unix:\.\/@/)
})

scenario('a name has one listener, and is free when that is gone, however it went', async (world) => {
  const address = `unix:@${aName()}~noauth`
  const proc = await echo(world, address)
  const second = await world.run(['serve', '--echo', address])
  assert.strictEqual(second.status, 1)
  assertComplaint(second, /listen: unix:@.*: @ms-test-[\d-]+ is in use by a running process\n/)
  proc.kill()
  await proc.exit()
  const refused = await world.run(['connect', address])
  assert.strictEqual(refused.status, 1)
  assertComplaint(refused, /could not connect: Connection refused/)
  assert.deepStrictEqual(await says(world, (await echo(world, address)).address), [0, 'hello'])
})

scenario('a file of that name is another', async (world) => {
  const name = aName()
  const [file, abstract] = [await echo(world, `unix:./@${name}`), await echo(world, `unix:@${name}`)]
  assert.ok(fs.statSync(world.path(`@${name}`)).isSocket())
  abstract.kill('SIGTERM')
  await abstract.exit()
  assert.deepStrictEqual(await says(world, file.address), [0, 'hello'])
  assert.deepStrictEqual((await says(world, `unix:@${name}`))[0], 1)
})

scenario('where nothing authenticates, another user is turned away; it has no mode to let one in', async (world, t) => {
  const address = `unix:@${aName()}`
  for (const option of [['--unix-mode', '0660'], ['--unix-group', 'root']]) {
    const proc = await world.run(['serve', '--echo', ...option, address, `unix:${world.path('file')}`])
    assert.strictEqual(proc.status, 2)
    assertComplaint(proc, /unix:@.*: an abstract socket is no file: it has neither a mode nor a group/)
  }
  if (process.getuid() !== 0) return t.skip('not root: there is no other user to be')
  const other = { uid: 65534, gid: 65534, cwd: '/', env: { ASAN_OPTIONS: 'detect_leaks=0' } }
  const asOther = async (at) => {
    const client = world.start('connect', world.everybodysCommand(), ['connect', at], other)
    client.child.stdin.end('hello')
    await client.exit()
    return client.stdout().toString()
  }
  const own = await echo(world, address)
  assert.strictEqual(await asOther(address), '')
  assert.match(await own.line('stderr'), /turned away: 1 peer, for another user at a unix socket/)
  assert.deepStrictEqual(await says(world, address), [0, 'hello'])
  const open = await echo(world, `unix:@${aName()}~noauth`, ['--insecure-noauth'])
  assert.strictEqual(await asOther(open.address), 'hello')
  const shs = await echo(world, `unix:@${aName()}~shs`)
  assert.strictEqual(await asOther(shs.address), 'hello')
})

scenario('metrics at one', async (world) => {
  const name = aName()
  const proc = world.ours(['serve', '--echo', '--allow-any', '--metrics', `unix:@${name}`, 'net:127.0.0.1:0~shs'])
  await proc.until(() => proc.err.includes(`metrics at unix:@${name}\n`), 'where the metrics are')
  const client = world.ours(['connect', `unix:@${name}`])
  client.child.stdin.end('GET /metrics HTTP/1.0\r\n\r\n')
  await client.exit()
  assert.match(client.stdout().toString(), /multiserver_open_connections|multiserver_open/)
})

scenario('another network namespace has other names', async (world, t) => {
  if (process.getuid() !== 0 || spawnSync('unshare', ['--net', 'true']).status !== 0) return t.skip('there are no network namespaces to be made')
  const proc = await echo(world, `unix:@${aName()}~noauth`)
  assert.throws(() => execFileSync('unshare', ['--net', process.env.MULTISERVER, 'connect', proc.address], { input: 'hello', stdio: 'pipe' }), /Connection refused/)
})
