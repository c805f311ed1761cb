'use strict'
// Started as systemd starts a service: descriptors that listen already, and a socket to be told on.

const assert = require('assert')
const { execFileSync } = require('child_process')
const dgram = require('dgram')
const fs = require('fs')
const net = require('net')
const path = require('path')
const { scenario, closedPort, identity, command } = require('../world')

const NOTIFY = path.join(path.dirname(command), 'test', 'notify-listen')

// A server that listens, for a process that is to inherit it.
async function listening(where) {
  const server = net.createServer()
  await new Promise((resolve, reject) => server.on('error', reject).listen(where, resolve))
  return server
}

// Perl binds an abstract socket, which Node 18 cannot, and leaves it as that descriptor. The name may
// have escapes of Perl's.
const bind = (name, fd = 5) => ['perl', '-MSocket', '-MPOSIX=dup2', '-e', `$^F = 9; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
  bind($s, pack_sockaddr_un("\\0${name}")) && listen($s, 1) && dup2(fileno($s), ${fd}) or die; exec @ARGV`]

// Our serve with these as descriptors 3 and so on; systemd names the process that they are for.
function activated(world, servers, args, env = {}, before = []) {
  const [program, ...rest] = [...before, 'sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', command, 'serve', ...args]
  const proc = world.start('multiserver serve', program, rest,
    { fds: servers.map((server) => server._handle.fd), env: { LISTEN_FDS: String(servers.length), ...env } })
  return { proc }
}

scenario('it takes over what systemd has opened', async (world) => {
  const dir = world.socketDir('s')
  const tcp = await listening({ port: 0, host: '127.0.0.1' })
  const unix = await listening({ path: `${dir}/socket` })
  const other = await listening({ port: 0, host: '127.0.0.1' })
  const { port } = tcp.address()
  const { proc } = activated(world, [tcp, unix, other], ['--exec', 'echo hello; env', `net:127.0.0.1:${port}`, `unix:${dir}/socket`])
  fs.linkSync(`${dir}/socket`, `${dir}/kept`) // Node removes the file when it closes
  const left = `net:127.0.0.1:${other.address().port}`
  for (const server of [tcp, unix, other]) server.close()
  fs.renameSync(`${dir}/kept`, `${dir}/socket`)
  assert.strictEqual(await proc.line(), `net:127.0.0.1:${port};unix:${dir}/socket`)
  assert.strictEqual(`${await proc.line('stderr')}\n`, `multiserver: systemd listens on ${left}, which no ADDRESS is: nobody is served there\n`)
  assert.strictEqual(proc.err.split('\n').length, 2)
  for (const where of [{ port, host: '127.0.0.1' }, { path: `${dir}/socket` }]) {
    const text = await new Promise((resolve) => {
      let got = ''
      net.connect(where).on('data', (data) => (got += data)).on('end', () => resolve(got)).resume()
    })
    assert.match(text, /^hello\n/)
    assert.ok(!/LISTEN_/.test(text), text)
  }
  proc.kill('SIGTERM')
  assert.strictEqual(await proc.exit(), 0)
  assert.ok(fs.existsSync(`${dir}/socket`)) // it is systemd's
})

scenario('fewer sockets than it is told of are a note, and nothing of its own passes for one', async (world) => {
  const tcp = await listening({ port: 0, host: '127.0.0.1' })
  const { port } = tcp.address()
  const other = await closedPort()
  const { proc } = activated(world, [tcp], ['--echo', `net:127.0.0.1:${port}`, `net:127.0.0.1:${other}`, `net:127.0.0.1:${other}`],
    { LISTEN_FDS: '40' })
  tcp.close()
  assert.strictEqual(await proc.line(), `net:127.0.0.1:${port};net:127.0.0.1:${other}`)
  assert.match(proc.err, /^multiserver: LISTEN_FDS promises 40 sockets, but descriptor 4 is not open: those before are used\n[^\n]* in use by this process' own [^\n]*\n$/)
  proc.kill('SIGTERM')
  assert.strictEqual(await proc.exit(), 0)
})

scenario('an abstract socket is taken over by its name, also where nothing authenticates', async (world) => {
  const name = `multiserver-test-${process.pid}`
  for (const stack of ['', '~noauth', '~shs']) {
    const { proc } = activated(world, [], ['--echo', `unix:@${name}${stack}`], { LISTEN_FDS: '1' }, bind(name, 3))
    const address = await proc.line()
    assert.ok(address.startsWith(`unix:@${name}${stack}`), address)
    if (stack !== '~shs') assert.strictEqual(proc.err, '')
    const client = world.start('connect', command, ['connect', address])
    client.child.stdin.end('hello')
    if (stack !== '~shs') assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'hello'], `${client}`)
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0)
  }
})

scenario('a longer name, and a file of that name, are others', async (world) => {
  const name = `multiserver-test-${process.pid}`
  for (const [given, bound, told] of [[`unix:@${name}`, `${name}x`, `unix:@${name}x`], [`unix:@${name}x`, name, `unix:@${name}`],
    [`unix:./@${name}`, name, `unix:@${name}`], [`unix:@${name}`, `${name}\\0`, `the abstract socket @${name}?`],
    [`unix:@${name}`, `~!${name}`, `unix:@!~!!${name}`], [`unix:@${name}`, `${name};`, `the abstract socket @${name};`],
    [`unix:@${name}`, `${name}\\xff`, `the abstract socket @${name}?`]]) {
    const { proc } = activated(world, [], ['--echo', given], { LISTEN_FDS: '1' }, bind(bound, 3))
    assert.strictEqual(await proc.line(), given)
    assert.strictEqual(await proc.line('stderr'), `multiserver: systemd listens on ${told}, which no ADDRESS is: nobody is served there`)
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0)
  }
})

scenario('a socket that no ADDRESS can be is told as what it is', async (world) => {
  const name = `multiserver-test-${process.pid}`
  const tcp = await listening({ port: 0, host: '127.0.0.1' })
  const udp = dgram.createSocket('udp4')
  await new Promise((resolve) => udp.bind(0, '127.0.0.1', resolve))
  const [{ port }, other] = [tcp.address(), udp.address().port]
  const { proc } = activated(world, [tcp, udp], ['--echo', `net:127.0.0.1:${port}`], { LISTEN_FDS: '3' }, bind(name))
  for (const socket of [tcp, udp]) socket.close()
  await proc.until(() => proc.err.split('\n').length === 3, 'two notes')
  const told = [`UDP, 127.0.0.1:${other}`, `unix:@${name}`]
  assert.strictEqual(proc.err, told.map((what) => `multiserver: systemd listens on ${what}, which no ADDRESS is: nobody is served there\n`).join(''))
})

scenario('a hundred sockets are as good as one', async (world) => {
  const all = []
  for (let i = 0; i < 100; i++) all.push(await listening({ port: 0, host: '127.0.0.1' }))
  const ports = all.map((server) => server.address().port)
  const { proc } = activated(world, all, ['--echo', `net:127.0.0.1:${ports[99]}`])
  for (const server of all) server.close()
  assert.strictEqual(await proc.line(), `net:127.0.0.1:${ports[99]}`)
  await proc.until(() => proc.err.split('\n').length === 100, '99 notes')
  ports.slice(0, 99).forEach((port) => assert.ok(proc.err.includes(`systemd listens on net:127.0.0.1:${port},`), port))
})

// A manager, where it listens, what it was told so far, and how to wait for n lines of that.
async function managed(world) {
  const at = `${world.socketDir('n')}/notify`
  const manager = world.start('notify-listen', NOTIFY, [at])
  assert.strictEqual(await manager.line(), 'bound')
  const lines = () => manager.stdout().toString().split('\n').slice(1, -1)
  return { env: { NOTIFY_SOCKET: at }, lines, told: (n) => manager.until(() => lines().length >= n && lines(), `${n} lines`) }
}

scenario('ready, reloading, stopping', async (world) => {
  const { env, told } = await managed(world)
  const { key } = identity()
  const allow = world.write('allow', `${key}\n`)
  const proc = world.ours(['serve', '--echo', '--allow-file', allow, 'net:127.0.0.1:0~shs'], { env })
  assert.deepStrictEqual(await told(1), ['READY=1'])
  proc.kill('SIGHUP')
  const lines = await told(4)
  assert.strictEqual(lines[1], 'RELOADING=1')
  assert.match(lines[2], /^MONOTONIC_USEC=\d+$/)
  assert.strictEqual(lines[3], 'READY=1')
  proc.kill('SIGTERM')
  assert.strictEqual((await told(5))[4], 'STOPPING=1')
  assert.strictEqual(await proc.exit(), 0)
})

scenario('a reload with nothing to read again is told, too; without systemd SIGHUP ends it', async (world) => {
  const { env, told } = await managed(world)
  const proc = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'], { env })
  await told(1)
  for (let n = 4; n <= 7; n += 3) {
    proc.kill('SIGHUP')
    assert.deepStrictEqual((await told(n)).slice(n - 3).map((line) => line.replace(/\d+$/, '')), ['RELOADING=', 'MONOTONIC_USEC=', 'READY='])
  }
  proc.kill('SIGTERM')
  assert.strictEqual(await proc.exit(), 0)
  for (const nobody of ['', 'nonsense']) {
    const alone = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'], { env: { NOTIFY_SOCKET: nobody } })
    await alone.line()
    alone.kill('SIGHUP')
    await alone.exit()
    assert.strictEqual(alone.done.signal, 'SIGHUP')
  }
})

// A name in "net:NAME:0" that is looked up until release(): the resolver reads the file of aliases.
async function slowName(world) {
  const file = world.path('aliases')
  execFileSync('mkfifo', [file])
  const open = () => {
    try {
      return fs.openSync(file, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)
    } catch (err) {
      assert.strictEqual(err.code, 'ENXIO') // nobody reads yet
      return null
    }
  }
  return {
    env: { HOSTALIASES: file, RES_OPTIONS: 'timeout:1 attempts:1' },
    async release(proc) {
      let fd
      while ((fd = open()) === null) {
        assert.ok(!proc.done, `${proc}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      fs.unlinkSync(file)
      fs.closeSync(fd)
    },
  }
}

scenario('SIGHUP before it is ready, and while it drains, tells nothing', async (world) => {
  const { env, lines, told } = await managed(world)
  const slow = await slowName(world)
  const friends = world.write('friends', `${identity().key}\n`)
  const at = `unix:${world.socketDir('s')}/socket~noauth`
  const proc = world.ours(['serve', '--json', '--echo', '--allow-file', friends, at, 'net:slow:0~shs'], { env: { ...env, ...slow.env } })
  await proc.event('listening')
  const read = () => proc.err.split('friends: 1 key\n').length - 1
  proc.kill('SIGHUP')
  await proc.until(() => read() === 1, 'the keys read again')
  assert.strictEqual(proc.events('error').length, 0, 'the name is still looked up')
  await slow.release(proc)
  assert.deepStrictEqual(await told(1), ['READY=1'])

  // a peer that never says goodbye holds the drain
  const client = world.ours(['connect', at])
  client.child.stdin.write('hello\n')
  await client.until(() => client.stdout().length === 6, 'an echo')
  client.kill('SIGSTOP')
  proc.kill('SIGTERM')
  assert.deepStrictEqual(await told(2), ['READY=1', 'STOPPING=1'])
  proc.kill('SIGHUP')
  proc.kill('SIGTERM')
  assert.strictEqual(await proc.exit(), 0)
  assert.deepStrictEqual([lines().length, read()], [2, 1])
  client.kill('SIGCONT')
})

// ---- The units of contrib/ ----

// A unit's settings, "KEY=VALUE", by name; a line that ends in a backslash goes on.
function unit(name) {
  const text = fs.readFileSync(path.join(__dirname, '../../contrib', name), 'utf8').replace(/\\\n/g, ' ')
  return Object.fromEntries(text.split('\n').map((line) => line.match(/^(\w+)=(.*)$/)).filter(Boolean).map(([, key, value]) => [key, value]))
}

scenario('the units are the same port, and start with nothing but the keys of who may enter', async (world) => {
  const [service, socket] = [unit('multiserver.service'), unit('multiserver.socket')]
  const friend = identity()
  const folder = world.socketDir('state') // both of /var/lib and of /run
  fs.mkdirSync(`${folder}/${service.StateDirectory}`, { mode: 0o700 })
  const there = { '%S': folder, '${RUNTIME_DIRECTORY}': folder, '/etc/multiserver/allow': world.write('allow', `${friend.key}\n`) }
  const run = async () => {
    const tcp = await listening({ port: 0, host: '::' })
    const { port } = tcp.address()
    const [, ...args] = service.ExecStart.split(/ +/).map((word) => Object.entries({ ...there, [`:${socket.ListenStream}~`]: `:${port}~` })
      .reduce((all, [name, value]) => all.replace(name, value), word))
    assert.ok(args.at(-1).endsWith(`:${port}~shs`), args)
    const [name, value] = service.Environment.split('=')
    const proc = world.start('multiserver.service', 'sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', command, ...args],
      { fds: [tcp._handle.fd], env: { HOME: '/', [name]: value.replace('%S', folder), LISTEN_FDS: '1' } })
    tcp.close()
    await proc.line()
    const secret = `${folder}/${service.StateDirectory}/secret`
    assert.strictEqual(fs.statSync(secret).mode & 0o777, 0o600)
    const key = (await world.run(['id', '--key', secret])).stdout().toString().trim()
    const client = world.ours(['connect', `net:::1:${port}~shs:${key}`], { as: friend })
    client.child.stdin.end('hello')
    assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'hello'], `${client}`)
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0)
    return [key, proc.err]
  }
  const [first, said] = await run()
  assert.match(said, /^multiserver: made a new identity, /)
  const [second, again] = await run()
  assert.strictEqual(second, first)
  assert.ok(!/identity/.test(again), again)
})

scenario('what is for another process is left alone', async (world) => {
  const server = await listening({ port: 0, host: '127.0.0.1' })
  const proc = world.ours(['serve', '--echo', `net:127.0.0.1:${server.address().port}`],
    { fds: [server._handle.fd], env: { LISTEN_PID: '1', LISTEN_FDS: '1' } })
  assert.strictEqual(await proc.exit(), 1)
  assert.match(proc.err, /in use/)
  server.close()
})
