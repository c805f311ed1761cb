'use strict'
// Unix sockets on which nothing authenticates: who connects is this user or root, or is turned away,
// whatever the mode of the socket. Who is somebody else has to be root to become so.

const assert = require('assert')
const { execFile, execFileSync, spawnSync } = require('child_process')
const fs = require('fs')
const net = require('net')
const os = require('os')
const path = require('path')
const { scenario, assertComplaint, command } = require('../world')

const OTHERS = [65534, 12345]
const certificate = (world) => {
  const pem = world.path('tls.pem')
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', pem, '-out', `${pem}.cert`], { stdio: 'ignore' })
  return ['--tls-cert', `${pem}.cert`, '--tls-key', pem]
}

// A folder that anybody may enter.
function openFolder(world) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ms-open-'))
  fs.chmodSync(dir, 0o755)
  world.atEnd(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

const isRoot = process.getuid() === 0
const isOpen = (dir) => spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'test', '-x', dir]).status === 0

// Why there is nobody else to be, or nothing.
function nobodyElse() {
  if (!isRoot) return 'not root: there is no other user to be'
  return isOpen(os.tmpdir()) ? '' : `${os.tmpdir()} is closed to other users`
}

// What Perl sends over a unix socket, and gets. Node becomes nobody else where its io_uring is on.
const EXCHANGE = `my ($at, $said) = @ARGV; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
  connect($s, pack_sockaddr_un($at)) && syswrite($s, $said) or die; shutdown($s, 1);
  while (my $n = sysread($s, my $got, 65536) // die) { print $got }`

// What this user gets for `said`, to the end: all of it, or null for an error. `groups`: its own, and
// those that it has besides.
function ask(at, said, user = process.geteuid(), groups) {
  const as = groups ? [`--regid=${groups[0]}`, groups[1] === undefined ? '--clear-groups' : `--groups=${groups.slice(1)}`] : ['--keep-groups']
  const become = user === process.geteuid() && !groups ? [] : ['setpriv', `--reuid=${user}`, ...as]
  const [program, ...args] = [...become, 'perl', '-MSocket', '-e', EXCHANGE, at, said]
  return new Promise((resolve) => execFile(program, args, { cwd: '/' }, (err, got) => resolve(err ? null : got)))
}

// Our serve with a socket of this mode as what systemd has opened.
async function inherits(world, dir, mode, args) {
  const at = `${dir}/socket-${world.procs.length}`
  const server = net.createServer()
  await new Promise((resolve, reject) => server.on('error', reject).listen(at, resolve))
  fs.chmodSync(at, mode)
  const proc = world.start('multiserver serve', 'sh', ['-c', 'read go; LISTEN_PID=$$ exec "$@"', 'sh', command, 'serve', '--echo', ...args.map((arg) => arg.replace('AT', at))],
    { fds: [server._handle.fd], env: { LISTEN_FDS: '1' } })
  fs.linkSync(at, `${at}-kept`) // Node removes the file when it closes
  server.close()
  fs.renameSync(`${at}-kept`, at)
  proc.say('go')
  return { proc, at }
}

scenario('a socket that is handed over open to others is not served without authentication', async (world, t) => {
  const dir = openFolder(world)
  if (!isOpen(os.tmpdir()) && isRoot) return t.skip(`${os.tmpdir()} is closed to other users`)
  const tls = certificate(world)
  for (const mode of [0o666, 0o660, 0o602]) {
    for (const [stack, args] of [['unix:AT', []], ['unix:AT~noauth', []], ['unix:AT~tls', tls]]) {
      const { proc } = await inherits(world, dir, mode, [...args, stack])
      assert.strictEqual(await proc.exit(), 1, `${stack}, ${mode}`)
      assertComplaint(proc, /listen: unix:.*the mode of the socket and its folder let other users in: .*; --insecure-noauth lets anybody in/)
      assert.strictEqual(proc.stdout().toString(), '')
    }
  }
  const closed = `${dir}/closed`
  fs.mkdirSync(`${closed}/below`, { recursive: true })
  fs.chmodSync(closed, 0o700)
  const good = [[dir, 0o600, ['unix:AT~noauth']], [dir, 0o644, ['unix:AT']], [world.socketDir('s'), 0o666, ['unix:AT']], [`${closed}/below`, 0o666, ['unix:AT']],
    [dir, 0o666, ['unix:AT~shs']], [dir, 0o666, ['--insecure-noauth', 'unix:AT']], [dir, 0o666, ['--insecure-noauth', 'unix:AT~noauth']]]
  for (const [where, mode, args] of good) {
    const { proc, at } = await inherits(world, where, mode, args)
    assert.match(await proc.line(), /^unix:/, `${args}`)
    if (!args[0].endsWith('shs')) assert.strictEqual(await ask(at, 'hello'), 'hello')
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0)
  }
})

scenario('who connects counts: another user is turned away, and told of', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const dir = openFolder(world)
  for (const stack of ['', '~noauth']) {
    const at = `${dir}/socket${stack.slice(1)}`
    const proc = world.start('serve', command, ['serve', '--echo', `unix:${at}${stack}`])
    await proc.line()
    fs.chmodSync(at, 0o666) // somebody means well
    for (const user of OTHERS) assert.ok(!(await ask(at, 'hello', user)), `${user} is in`)
    assert.strictEqual(await ask(at, 'hello'), 'hello')
    assert.match(await proc.line('stderr'), /turned away: 1 peer, for another user at a unix socket, where nothing proves who it is/)
    proc.kill('SIGUSR1')
    await proc.until(() => / entered=1 .* refused=2 failed=0 /.test(proc.err), 'the counters')
    proc.kill('SIGTERM')
    assert.strictEqual(await proc.exit(), 0)
  }
})

scenario('another user is let in where that is said, and by shs', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const dir = openFolder(world)
  const own = world.start('serve', command, ['serve', '--echo', '--insecure-noauth', `unix:${dir}/any`])
  await own.line()
  fs.chmodSync(`${dir}/any`, 0o666)
  assert.strictEqual(await ask(`${dir}/any`, 'hello', 65534), 'hello')
  const shs = world.ours(['serve', '--echo', '--allow-any', `unix:${dir}/shs~shs`])
  await shs.line()
  fs.chmodSync(`${dir}/shs`, 0o666)
  await ask(`${dir}/shs`, 'no handshake', 65534)
  assert.match(await shs.line('stderr'), /peer: unix:.*: shs handshake/) // it was let so far
})

scenario('a service of another user lets itself and root in, no third', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const dir = openFolder(world)
  fs.chmodSync(dir, 0o777)
  const proc = world.start('serve', 'sh', ['-c', 'exec 3<"$0"; cd /; exec setpriv --reuid=12345 --regid=12345 --clear-groups /proc/self/fd/3 serve --echo "unix:$1"', command, `${dir}/socket`],
    { env: { ASAN_OPTIONS: 'detect_leaks=0' } })
  await proc.line()
  fs.chmodSync(`${dir}/socket`, 0o666)
  assert.strictEqual(await ask(`${dir}/socket`, 'hello', 12345), 'hello')
  assert.strictEqual(await ask(`${dir}/socket`, 'hello', 0), 'hello')
  assert.ok(!(await ask(`${dir}/socket`, 'hello', 65534)))
})

scenario('metrics at a unix socket are as closed', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const dir = openFolder(world)
  const request = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'
  for (const [args, wanted] of [[[], false], [['--insecure-noauth'], true]]) {
    const at = `${dir}/metrics-${wanted}`
    const proc = world.start('serve', command, ['serve', '--echo', '--metrics', `unix:${at}`, ...args, 'net:127.0.0.1:0'])
    await proc.line()
    fs.chmodSync(at, 0o666)
    assert.match(await ask(at, request), /multiserver_open/)
    assert.strictEqual(/multiserver_open/.test(await ask(at, request, 65534)), wanted)
    assert.strictEqual(/metrics: turned away/.test(proc.err), !wanted)
  }
})

// ---- --unix-mode, --unix-group ----

const modeOf = (at) => {
  const { mode, gid } = fs.statSync(at)
  return `${(mode & 0o7777).toString(8)} ${gid}`
}
const others = { member: [12345, 7], besides: [65534, 7, 12345], stranger: [65534, 7] }

scenario('a group that is named is let in, and nobody else, whatever the mode is later', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const dir = openFolder(world)
  const own = process.getegid()
  const cases = [[['--unix-group', '12345'], '660 12345'], [['--unix-mode', '0660', '--unix-group', '12345'], '660 12345'],
    [['--unix-mode', '620', '--unix-group=12345'], '620 12345'], [['--unix-mode', '0660'], `660 ${own}`],
    [['--unix-mode', '0640'], `640 ${own}`], [[], `600 ${own}`]]
  for (const stack of ['', '~noauth', '~tls']) {
    for (const [args, wanted] of stack === '' ? cases : cases.slice(0, 1)) {
      const at = `${dir}/socket-${world.procs.length}`
      const tls = stack === '~tls' ? certificate(world) : []
      const proc = world.start('serve', 'sh', ['-c', 'umask 077; exec "$0" "$@"', command, 'serve', '--echo', ...args, ...tls, `unix:${at}${stack}`])
      await proc.line()
      assert.strictEqual(modeOf(at), wanted, `${args}`)
      if (tls.length) continue // who may connect is the same for every stack
      const lets = wanted.endsWith(' 12345')
      assert.strictEqual(await ask(at, 'hello'), 'hello')
      for (const mode of [null, 0o666]) { // as it is, and when somebody means well
        if (mode) fs.chmodSync(at, mode)
        assert.strictEqual(await ask(at, 'hello', 65534, others.member) === 'hello', lets, `${args}`)
        assert.strictEqual(await ask(at, 'hello', 65534, others.besides) === 'hello', lets, `${args}`)
        assert.ok(!(await ask(at, 'hello', 65534, others.stranger)), `${args}: a stranger is in`)
      }
      if (wanted.startsWith('660') && !lets) assert.strictEqual(await ask(at, 'hello', 65534, [own]), 'hello')
      proc.kill('SIGTERM')
      assert.strictEqual(await proc.exit(), 0)
      assert.ok(!fs.existsSync(at))
    }
  }
})

scenario('everybody is let in by the mode where a key is proved, or that is said', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const dir = openFolder(world)
  const refused = await world.run(['serve', '--echo', '--unix-mode', '0666', `unix:${dir}/socket`])
  assert.strictEqual(refused.status, 2)
  assertComplaint(refused, /serve: unix:.*: nothing authenticates who comes, and the mode 0666 lets every user in; --insecure-noauth lets anybody in\n/)
  for (const [name, args, said] of [['shs', ['--allow-any'], null], ['socket', ['--insecure-noauth'], 'hello']]) {
    const at = `${dir}/${name}`
    const proc = world.ours(['serve', '--echo', '--unix-mode', '0666', ...args, `unix:${at}${said ? '' : '~shs'}`])
    await proc.line()
    assert.strictEqual(modeOf(at).split(' ')[0], '666')
    const got = await ask(at, 'hello', 65534)
    if (said) assert.strictEqual(got, said)
    else assert.match(await proc.line('stderr'), /peer: unix:.*: shs handshake/)
  }
})

scenario('a mode or a group that cannot be is wrong usage; one that may not be given an error', async (world, t) => {
  const dir = openFolder(world)
  const at = `${dir}/socket`
  for (const [args, complaint] of [
    [['--unix-mode', '0888'], /--unix-mode: is the mode of a file in octal, as 0660/],
    [['--unix-mode', 'u=rw'], /--unix-mode: is the mode of a file in octal/],
    [['--unix-mode', '1660'], /--unix-mode: is the mode of a file in octal/],
    [['--unix-mode', '0000'], /--unix-mode: is the mode of a file in octal/],
    [['--unix-mode', '0060'], /serve: unix:.*: the mode 0060 is none of a socket: those are 0600 to 0777/],
    [['--unix-mode', '0600', '--unix-group', 'root'], /the mode 0600 does not let the group in: to connect is to write/],
    [['--unix-group', 'no-such-group'], /serve: unix:.*: there is no group 'no-such-group'/],
    [['--unix-group', ''], /there is no group ''/],
    [['--unix-group', '4294967295'], /there is no group '4294967295'/],
  ]) {
    for (const place of [[`unix:${at}`], ['--metrics', `unix:${at}`, 'net:127.0.0.1:0']]) {
      const proc = await world.run(['serve', '--echo', ...args, ...place])
      assert.strictEqual(proc.status, 2, `${proc}`)
      assertComplaint(proc, place.length > 1 ? new RegExp(complaint.source.replace('serve: ', '(serve|metrics): ')) : complaint)
      assert.ok(!fs.existsSync(at))
    }
  }
  const why = nobodyElse()
  if (why) return t.skip(why)
  fs.chmodSync(dir, 0o777)
  const proc = world.start('serve', world.everybodysCommand(), ['serve', '--echo', '--unix-group', 'root', `unix:${at}`],
    { uid: 12345, gid: 12345, cwd: '/', env: { ASAN_OPTIONS: 'detect_leaks=0' } })
  assert.strictEqual(await proc.exit(), 1)
  assertComplaint(proc, /listen: unix:\S+: the file cannot be given to the group 0: Operation not permitted\n/)
  assert.ok(!fs.existsSync(at))
})

scenario('metrics have the same mode and group', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  const at = `${openFolder(world)}/metrics`
  const proc = world.start('serve', command, ['serve', '--echo', '--unix-group', '12345', '--metrics', `unix:${at}`, 'net:127.0.0.1:0'])
  await proc.line()
  await proc.until(() => /metrics at/.test(proc.err), 'where the metrics are')
  assert.strictEqual(modeOf(at), '660 12345')
  const request = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'
  assert.match(await ask(at, request, 65534, others.besides), /multiserver_open/)
  assert.ok(!(await ask(at, request, 65534, others.stranger)))
})

scenario('a socket that is handed over keeps its mode, and serve says so', async (world) => {
  const { proc, at } = await inherits(world, world.socketDir('s'), 0o600, ['--unix-mode', '0660', 'unix:AT'])
  await proc.line()
  assert.match(proc.err, /^multiserver: listen: unix:\S+: who handed the socket over has set its mode and group \(SocketMode, SocketGroup\): they stay as they are\n$/)
  assert.strictEqual(modeOf(at).split(' ')[0], '600')
})

scenario('users whom a namespace has no number for are others, whoever serves', async (world, t) => {
  const why = nobodyElse()
  if (why) return t.skip(why)
  if (spawnSync('unshare', ['--user', 'true']).status !== 0) return t.skip('there are no user namespaces')
  const dir = openFolder(world)
  fs.chmodSync(dir, 0o777)
  const proc = world.start('serve', 'unshare', ['--user', command, 'serve', '--echo', `unix:${dir}/socket`])
  await proc.line()
  assert.strictEqual(execFileSync('stat', ['-c', '%u', `/proc/${proc.child.pid}`]).toString(), '0\n')
  fs.chmodSync(`${dir}/socket`, 0o666)
  for (const user of OTHERS) assert.ok(!(await ask(`${dir}/socket`, 'hello', user)), `${user} passes for the server's own`)
})
