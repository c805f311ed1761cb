'use strict'
// What serve tells: --json, --scope, --external, --print-addresses; and whom it lets in: --allow-file.

const assert = require('assert')
const { execFileSync } = require('child_process')
const fs = require('fs')
const net = require('net')
const os = require('os')
const path = require('path')
const { scenario, closedPort, identity, secretFile, assertComplaint, command } = require('../world')

async function connect(world, at, { as = identity(), input = 'hello' } = {}) {
  const client = world.ours(['connect', at], { as })
  client.child.stdin.end(input)
  client.status = await client.exit()
  return client
}

// ---- --json ----

async function events(world, args, as = identity()) {
  const serve = world.ours(['serve', '--json', ...args], { as })
  const { address } = await serve.event('listening')
  return { serve, at: address }
}

scenario('--json: each step of a connection is an event', async (world) => {
  const me = identity()
  const as = identity()
  const { serve, at } = await events(world, ['--echo', '--allow', as.key, 'net:127.0.0.1:0~shs',
    `unix:${world.socketDir('s')}/socket~noauth`], me)
  const unix = await serve.event('listening', 1)
  assert.deepStrictEqual([(await serve.event('listening')).id, unix.id], [0, 1])
  assert.strictEqual((await connect(world, at, { as })).status, 0)
  const closed = await serve.event('closed')
  const [one] = serve.events('connection')
  assert.match(one.address, /^net:127\.0\.0\.1:\d+~shs:/)
  assert.deepStrictEqual([one.id, one.remote, one.stack], [1, as.key, 'net~shs'])
  assert.deepStrictEqual([closed.id, closed.reason, closed.in, closed.out], [1, 'end', 5, 5])

  await connect(world, unix.address)
  const plain = await serve.event('connection', 1)
  assert.deepStrictEqual([plain.id, plain.remote, plain.stack], [2, null, 'unix~noauth'])

  assert.strictEqual((await connect(world, at)).status, 1) // a stranger
  const refused = await serve.event('closed', 2)
  const [error] = serve.events('error')
  assert.deepStrictEqual([refused.id, refused.reason, refused.in, refused.out], [3, 'refused', 0, 0])
  assert.deepStrictEqual([error.id, error.layer, error.phase, error.code], [3, 'shs', 'authorise', 'MS_EREFUSED'])
  assert.match(error.address, /^net:127\.0\.0\.1:\d+~shs:/)
  assert.deepStrictEqual([error.address.split('~shs:')[1], refused.remote], [error.remote, error.remote])
  const why = `refused: no --allow has its key, ${error.remote}`
  assert.deepStrictEqual([error.message, refused.message], [why, why])
  assert.ok(serve.err.includes(`: ${why}\n`), serve.err)
  assert.strictEqual(serve.events('connection').length, 2)

  const victim = world.ours(['connect', at], { as })
  victim.say('hello')
  await victim.line()
  victim.kill('SIGKILL')
  assert.strictEqual((await serve.event('closed', 3)).reason, 'truncated')

  for (const line of serve.stdout().toString().trim().split('\n')) {
    const event = JSON.parse(line)
    assert.deepStrictEqual(Object.keys(event).slice(0, 3), ['event', 'time', 'id'])
    assert.match(event.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.ok(Math.abs(new Date(event.time) - Date.now()) < 60000)
    assert.ok(Number.isInteger(event.id))
  }
})

scenario('--json: a silent peer is a timeout, a stack that fails an error', async (world) => {
  const busy = net.createServer()
  await new Promise((resolve) => busy.listen(0, '127.0.0.1', resolve))
  const { port } = busy.address()
  const { serve, at } = await events(world, ['--echo', '--allow-any', `net:127.0.0.1:${port}~shs`, 'net:127.0.0.1:0~shs'])
  const error = await serve.event('error')
  assert.deepStrictEqual([error.id, error.phase, error.code], [0, 'listen', 'MS_EADDRINUSE'])
  assert.strictEqual((await serve.event('listening')).id, 1)
  const silent = net.connect(Number(at.match(/:(\d+)~/)[1]), '127.0.0.1')
  silent.on('error', () => {})
  const closed = await serve.event('closed')
  assert.strictEqual(closed.reason, 'timeout')
  silent.destroy()
  busy.close()
})

scenario('--json: every action closes what it opens', async (world) => {
  const echo = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  const target = await echo.line()
  const dir = world.socketDir('s')
  for (const [i, action] of [['--chat'], ['--exec', 'cat'], ['--forward', target]].entries()) {
    const { serve, at } = await events(world, [...action, `unix:${dir}/${i}~noauth`])
    assert.strictEqual((await connect(world, at)).status, 0)
    const closed = await serve.event('closed')
    assert.deepStrictEqual([serve.events('connection').length, closed.reason, closed.in], [1, 'end', 5], action.join(' '))
    serve.kill('SIGTERM')
    assert.strictEqual(await serve.exit(), 0)
    assert.strictEqual(serve.events('closed').length, 1)
  }
})

// What is left of a server whose events nobody hears: it serves, and counts.
async function servesOn(world, serve, pid, at, why) {
  for (let i = 0; i < 3; i++) assert.strictEqual((await connect(world, at)).status, 0, serve.err)
  await serve.until(() => serve.err.includes('write failed'), 'a word of the failure')
  process.kill(pid, 'SIGUSR1')
  const [, lost] = await serve.until(() => / entered=\d+ .* events_lost=(\d+)\n/.exec(serve.err), 'the counters')
  assert.ok(Number(lost) > 0)
  process.kill(pid, 'SIGTERM')
  assert.strictEqual(await serve.exit(), 0)
  const lines = serve.err.split('\n').filter((line) => !/^\d*$/.test(line))
  assert.match(lines[0], new RegExp(`^multiserver: serve: stdout: write failed: ${why}: events are lost, and peers served$`))
  assert.match(lines[1], /^multiserver: open=/)
  assert.match(lines[2], /^multiserver: \d+ events were not written$/)
  assert.strictEqual(lines.length, 3, serve.err)
}

scenario('--json: a reader that leaves, or a full disk, stops nobody', async (world) => {
  const script = 'sh -c \'echo $$ >&2; exec "$@"\' sh "$@"'
  const rows = [[`${script} | head -n 1; exit \${PIPESTATUS[0]}`, 'Broken pipe'], [`${script} >/dev/full`, 'No space left on device'],
    [`${script} >&-`, 'Bad file descriptor']]
  for (const [line, why] of rows) {
    const at = `net:127.0.0.1:${await closedPort()}`
    const serve = world.start('serve', 'bash', ['-c', line, 'bash', command, 'serve', '--json', '--echo', at])
    const pid = Number(await serve.line('stderr'))
    world.atEnd(() => {
      try {
        process.kill(pid, 'SIGKILL')
      } catch { } // it is over
    })
    while ((await connect(world, at)).status !== 0); // it does not listen yet
    await servesOn(world, serve, pid, at, why)
  }
})

scenario('--json: the reader of a FIFO comes and goes', async (world) => {
  const fifo = world.path('fifo')
  execFileSync('mkfifo', [fifo])
  const at = `net:127.0.0.1:${await closedPort()}`
  const serve = world.start('serve', 'sh', ['-c', 'exec "$0" "$@" >fifo', command, 'serve', '--json', '--echo', at])
  const first = world.start('the first reader', 'cat', [fifo])
  await first.event('listening')
  assert.strictEqual((await connect(world, at)).status, 0)
  await first.event('closed')
  first.kill('SIGKILL')
  await first.exit()
  for (let i = 0; i < 5; i++) assert.strictEqual((await connect(world, at)).status, 0)
  await serve.until(() => serve.err.includes('write failed'), 'a word of the failure')
  const second = world.start('the second reader', 'cat', [fifo])
  const opened = () => fs.readdirSync(`/proc/${second.child.pid}/fd`).some((fd) => fs.readlinkSync(`/proc/${second.child.pid}/fd/${fd}`) === fifo)
  for (;;) {
    try {
      if (opened()) break
    } catch { } // a descriptor was closed meanwhile
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.strictEqual((await connect(world, at)).status, 0)
  const { count } = await second.event('lost')
  serve.kill('SIGTERM')
  assert.strictEqual(await serve.exit(), 0)
  await second.exit()
  const heard = second.stdout().toString().trim().split('\n').map((line) => JSON.parse(line))
  assert.strictEqual(heard[0].event, 'lost')
  assert.deepStrictEqual([heard.filter(({ event }) => event === 'lost').length, count + heard.length - 1], [1, 12])
  assert.ok(serve.err.endsWith(`multiserver: ${count} events were not written\n`), serve.err)
})

scenario('an address that nobody can read ends it', async (world) => {
  const serve = world.start('serve', 'sh', ['-c', 'exec "$0" serve --echo net:127.0.0.1:0 >/dev/full', command])
  assert.strictEqual(await serve.exit(), 1)
  assertComplaint(serve, /serve: stdout: write failed/)
})

// ---- addresses ----

const routable = () => Object.values(os.networkInterfaces()).flat().some(({ internal }) => !internal)

scenario('--print-addresses, --scope and --external say where it can be reached', async (world, t) => {
  const me = identity()
  const printed = async (...args) => {
    const serve = world.ours(['serve', '--echo', '--allow-any', ...args], { as: me })
    const line = await serve.line()
    serve.kill('SIGTERM')
    await serve.exit()
    return { line, err: serve.err }
  }
  const key = `~shs:${me.key}`
  const wildcard = 'net::::0~shs'
  assert.match((await printed(wildcard)).line, /^net:localhost:\d+~shs:/)
  assert.match((await printed('--external', 'pub.example', '--print-addresses', 'public', wildcard)).line,
    /^net:pub\.example:\d+~shs:[^;]+$/)
  assert.strictEqual((await printed('--external', 'net:pub.example:443', '--print-addresses', 'public', wildcard)).line,
    `net:pub.example:443${key}`)
  // a front is believed, a mere name does not take loopback off this machine
  assert.strictEqual((await printed('--external', 'net:pub.example:443', '--print-addresses', 'public', 'net:127.0.0.1:0~shs')).line,
    `net:pub.example:443${key}`)
  const loopback = await printed('--external', 'pub.example', '--print-addresses', 'public', 'net:127.0.0.1:0~shs')
  assert.strictEqual(loopback.line, '')
  assert.match(loopback.err, /nothing can be reached in the scope public/)
  const json = world.ours(['serve', '--echo', '--json', '--print-addresses', 'public', 'net:127.0.0.1:0~shs'])
  assert.strictEqual((await json.event('listening')).address, null)
  await json.until(() => json.err.includes('nothing can be reached in the scope public'), 'a note')
  assert.strictEqual((await printed('--scope', 'public', '--print-addresses', 'public', 'net:127.0.0.1:0~shs')).line, '')
  // one address for each, in their order; a section stands for the hosts where there is one
  assert.match((await printed('--external', 'a.example', '--external', '2001:db8::7', '--print-addresses', 'public',
    wildcard, 'ws://0.0.0.0:0/p~shs')).line,
  /^net:a\.example:\d+~shs:[^;]+;net:2001:db8::7:\d+~shs:[^;]+;ws:\/\/a\.example:\d+\/p~shs:[^;]+;ws:\/\/\[2001:db8::7\]:\d+\/p~shs:[^;]+$/)
  assert.strictEqual((await printed('--external', 'net:a.example:1', '--external', 'b.example', '--external', 'net:c.example:2',
    '--print-addresses', 'public', wildcard)).line, `net:a.example:1${key};net:c.example:2${key}`)
  // an IPv6 address may have brackets
  assert.match((await printed('--external', '[2001:db8::7]', '--external', 'net:[2001:db8::8]:443', '--print-addresses', 'public',
    wildcard, 'ws://0.0.0.0:0/p~shs')).line, /^net:2001:db8::8:443~shs:[^;]+;ws:\/\/\[2001:db8::7\]:\d+\/p~shs:[^;]+$/)
  assert.match((await printed('--external', '[2001:db8::7]', '--print-addresses', 'public', wildcard)).line, /^net:2001:db8::7:\d+~shs:/)
  // unix and unauthenticated stacks stay
  for (const stack of ['net::::0~noauth', 'net:127.0.0.1:0~noauth', 'ws://0.0.0.0:0']) {
    assert.strictEqual((await printed('--insecure-noauth', '--external', 'pub.example', '--scope', 'public', '--print-addresses',
      'public', stack)).line, '', stack)
  }
  assert.strictEqual((await printed('--external', 'pub.example', '--scope', 'public', '--print-addresses', 'public',
    `unix:${world.socketDir('s')}/socket~shs`, 'net:127.0.0.1:0~shs')).line, '')
  assert.strictEqual((await printed('--scope', 'device', '--print-addresses', 'local', wildcard)).line, '')
  // the scope told is one that the stacks have
  assert.match((await printed('--scope', 'public', '--scope', 'local', '--external', 'pub.example', wildcard)).line, /^net:pub\.example:/)
  assert.match((await printed('--scope', 'public', '--scope', 'device', '--external', 'pub.example', wildcard)).line, /^net:localhost:/)
  for (const scope of ['public', 'local']) {
    const { line, err } = await printed('--scope', scope, 'net:127.0.0.1:0~shs')
    assert.deepStrictEqual([line, err], ['', `multiserver: nothing can be reached in the scope ${scope}\n`])
  }
  if (routable()) {
    const { line } = await printed('--scope', 'local', '--scope', 'device', '--scope', 'public', '--print-addresses', 'local', wildcard)
    assert.ok(!/localhost|127\.0\.0\.1/.test(line), line)
  } else {
    t.diagnostic('no interface but loopback')
  }
})

scenario('--reuse-port: processes share a port, and each gets peers', async (world) => {
  const me = identity()
  const serve = (at, ...args) => world.ours(['serve', '--json', '--echo', '--allow-any', ...args, at], { as: me })
  const one = serve('net:127.0.0.1:0~shs', '--reuse-port')
  const at = (await one.event('listening')).address
  const alone = serve(at)
  assert.strictEqual(await alone.exit(), 1)
  assertComplaint(alone, /port \d+ of 127\.0\.0\.1 is in use/)
  const two = serve(at, '--reuse-port')
  await two.event('listening')
  for (let i = 0; i < 200 && !(one.events('connection').length && two.events('connection').length); i++) await connect(world, at, { as: me })
  assert.ok(one.events('connection').length && two.events('connection').length, 'one of them got all 200')
})

scenario('wrong scopes and external addresses are told', async (world) => {
  const cases = [
    [['--scope', 'everywhere', 'net::0~shs'], 2, /everywhere: is no scope/],
    [['--print-addresses', 'x', 'net::0~shs'], 2, /x: is no scope/],
    [['--json', '--stdio', 'net::0~shs'], 2, /--json: and --stdio/],
    [['--external', 'a b', 'net::0~shs'], 2, /no spaces/],
    [['--external', 'net:host:99999', 'net::0~shs'], 2, /port/],
    [['--external', 'wss://host', 'net::0~shs'], 2, /wss:\/\/host: is external to nothing/],
    [['--external', 'ws:8080', 'net::0~shs'], 2, /ws:8080: is external to nothing/],
    [['--external', '[::1', 'net::0~shs'], 2, /brackets hold an IPv6 address/],
    ...['pub.example:99', 'pub:99', 'cafe:99', '1.2.3.4:443', '[::1]:443'].map((external) =>
      [['--external', external, 'net::0~shs'], 2, /: is a host and a port: write net:HOST:PORT/]),
  ]
  for (const [args, status, why] of cases) {
    const action = args.includes('--stdio') ? [] : ['--echo']
    const serve = world.ours(['serve', ...action, '--allow-any', ...args])
    assert.strictEqual(await serve.exit(), status, args.join(' '))
    assertComplaint(serve, why)
  }
})

// ---- --allow-file ----

scenario('--allow-file is read, and read again on SIGHUP', async (world) => {
  const [alice, bob, carol] = [identity(), identity(), identity()]
  const file = world.write('friends', `# friends\n\n${alice.key} # alice\n@${bob.key}.ed25519\n`)
  const serve = world.ours(['serve', '--echo', '--allow', carol.key, '--allow-file', file, 'net:127.0.0.1:0~shs'])
  const at = await serve.line()
  const statuses = async () => {
    const all = []
    for (const as of [alice, bob, carol, identity()]) all.push((await connect(world, at, { as })).status)
    return all
  }
  const hangup = async (text, word) => {
    const before = serve.err.length
    world.write('friends', text)
    serve.kill('SIGHUP')
    await serve.until(() => word.test(serve.err.slice(before)), `${word}`)
  }
  assert.deepStrictEqual(await statuses(), [0, 0, 0, 1])
  await hangup(`${bob.key}`, /friends: 1 key\n/)
  assert.deepStrictEqual(await statuses(), [1, 0, 0, 1])
  await hangup(`${alice.key}\nnonsense\n`, /allow: .*friends: line 2 is not a public key/)
  assert.deepStrictEqual(await statuses(), [1, 0, 0, 1], 'the old list is kept')
  await hangup(`${alice.key} ${bob.key}\n`, /line 1 is not a public key/)
  await hangup(`${alice.key}\n${'#'.repeat(2000)}\n`, /line 2 is longer/)
  fs.unlinkSync(file)
  const before = serve.err.length
  serve.kill('SIGHUP')
  await serve.until(() => /friends: cannot be read: No such file/.test(serve.err.slice(before)), 'an error')
  assert.deepStrictEqual(await statuses(), [1, 0, 0, 1], 'the old list is kept')
  await hangup('# nobody\n', /friends: has no key: who may enter is as before\n/)
  assert.deepStrictEqual(await statuses(), [1, 0, 0, 1], 'the old list is kept')
})

// Who is connected, by name, and says something.
async function guests(world, at, all) {
  for (const [name, as] of Object.entries(all)) {
    const guest = world.ours(['connect', at], { as })
    guest.child.stdin.write('hello\n')
    assert.strictEqual(await guest.line(), 'hello', name)
    all[name] = guest
  }
  return all
}

scenario('a key that is taken out of --allow-file is put out on SIGHUP, with --no-evict it is not', async (world) => {
  const [alice, bob, carol] = [identity(), identity(), identity()]
  for (const keep of [[], ['--no-evict']]) {
    const file = world.write('friends', [alice, bob, carol].map(({ key }) => key).join('\n'))
    const serve = world.ours(['serve', '--echo', '--json', '--allow', carol.key, '--allow-file', file, ...keep, 'net:127.0.0.1:0~shs'])
    const { address: at } = await serve.event('listening')
    const all = await guests(world, at, { alice, bob, twice: bob, carol })
    const hangup = async (text, word) => {
      const before = serve.err.length
      world.write('friends', text)
      serve.kill('SIGHUP')
      await serve.until(() => word.test(serve.err.slice(before)), `${word}`)
    }
    // what is no list puts nobody out
    await hangup(`${alice.key}\nnonsense\n`, /line 2 is not a public key/)
    await hangup('', /has no key: who may enter is as before/)
    await hangup(`${alice.key}\n`, /friends: 1 key\n/)
    if (keep.length === 0) {
      await serve.until(() => /friends: 2 connections put out: their keys are gone\n/.test(serve.err), 'how many')
      for (const name of ['bob', 'twice']) assert.strictEqual(await all[name].exit(), 1)
      const closed = await serve.event('closed', 1)
      assert.deepStrictEqual([closed.reason, closed.remote, closed.message], ['failed', bob.key, 'its key is not allowed any more'])
    }
    for (const name of keep.length ? ['alice', 'bob', 'twice', 'carol'] : ['alice', 'carol']) {
      all[name].child.stdin.write('there\n')
      await all[name].until(() => all[name].stdout().toString() === 'hello\nthere\n', `${name} is still there`)
    }
    assert.strictEqual((await connect(world, at, { as: bob })).status, 1, 'and does not come in again')
    serve.kill('SIGTERM')
    await serve.exit()
  }
})

scenario('check looks at the files before a reload', async (world) => {
  const run = async (...args) => {
    const proc = await world.run(['check', ...args])
    return [proc.status, proc.err || proc.stdout().toString()]
  }
  const file = world.write('friends', `${identity().key}\n`)
  assert.deepStrictEqual(await run('--allow-file', file), [0, `${file}: 1 key\n`])
  for (const [text, word] of [['', /has no key/], ['x\n', /line 1 is not a public key/]]) {
    const [status, told] = await run('--allow-file', world.write('friends', text))
    assert.strictEqual(status, 1)
    assert.match(told, word)
  }
  assert.strictEqual((await run('--allow-file', world.path('nothing')))[0], 1)
  assert.strictEqual((await run('--tls-key', file))[0], 2)
  const [status, told] = await run('--tls-cert', file)
  assert.strictEqual(status, 1)
  assert.match(told, /friends/)
  assert.strictEqual((await run())[0], 2)
})

// ---- who is told of ----

scenario('the log names who is refused, and with --verbose who enters and leaves', async (world) => {
  const [me, friend, stranger] = [identity(), identity(), identity()]
  const said = async (...args) => {
    const serve = world.ours(['serve', '--echo', '--allow', friend.key, ...args, 'net:127.0.0.1:0~shs'], { as: me })
    const at = await serve.line()
    assert.strictEqual((await connect(world, at, { as: friend })).status, 0)
    assert.strictEqual((await connect(world, at, { as: stranger })).status, 1)
    serve.kill('SIGTERM')
    assert.strictEqual(await serve.exit(), 0)
    return serve.err.replace(/net:127\.0\.0\.1:\d+/g, 'net').replace(/after [\d.]+ s/, 'after T')
  }
  const refused = `multiserver: peer: net~shs:${stranger.key}: refused: no --allow has its key, ${stranger.key}\n`
  const came = `multiserver: peer: net~shs:${friend.key}: entered, as number 1\n`
  const left = `multiserver: peer: net~shs:${friend.key}: left, number 1, after T, 5 bytes in, 5 out\n`
  assert.strictEqual(await said(), refused)
  assert.strictEqual(await said('--log', 'warn'), refused)
  for (const info of [['-v'], ['--verbose'], ['--log', 'info']]) assert.strictEqual(await said(...info), came + left + refused)
  for (const error of [['-q'], ['--quiet'], ['--log=error']]) assert.strictEqual(await said(...error), '')
  for (const wrong of [['-v', '-q'], ['--log', 'loud'], ['-v', '--log', 'info']]) {
    assert.strictEqual((await world.run(['serve', '--echo', ...wrong, 'net:127.0.0.1:0~noauth'])).status, 2)
  }
  // with --log debug the steps of a dial
  const bridge = world.ours(['serve', '--forward', 'unix:/nowhere/at/all~noauth', '--retry-for', '1', '--log', 'debug', 'net:127.0.0.1:0~noauth'])
  await connect(world, await bridge.line())
  await bridge.until(() => / failed/.test(bridge.err), 'its end')
  assert.match(bridge.err, /dial: unix:\/nowhere\/at\/all~noauth: connects unix \/nowhere\/at\/all\n/)
  assert.match(bridge.err, /dial: unix:\/nowhere\/at\/all~noauth: failed unix \/nowhere\/at\/all: could not connect: No such file or directory\n/)
})

scenario('in the journal each line has its priority', async (world) => {
  const friend = identity()
  const log = world.write('journal', '')
  const secret = world.write('me', secretFile(identity()))
  const serve = world.start('serve', 'sh', ['-c', `exec 2>>"$1"; JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr) exec "$0" serve -v --echo --key "$2" --allow ${friend.key} net:127.0.0.1:0~shs`,
    command, log, secret])
  const at = await serve.line()
  await connect(world, at, { as: friend })
  await connect(world, at)
  serve.kill('SIGTERM')
  await serve.exit()
  const lines = fs.readFileSync(log, 'utf8').trim().split('\n').map((line) => line.replace(/^(<\d>multiserver: \w+): net:[^ ]*: (\w+).*$/, '$1 $2'))
  assert.deepStrictEqual(lines, ['<6>multiserver: peer entered', '<6>multiserver: peer left', '<4>multiserver: peer refused'])
})

scenario('--accept-timeout is what a handshake has', async (world) => {
  const { serve, at } = await events(world, ['--echo', '--allow-any', '--accept-timeout', '300', 'net:127.0.0.1:0~shs'])
  const from = Date.now()
  const silent = net.connect(Number(at.match(/:(\d+)~/)[1]), '127.0.0.1')
  silent.on('error', () => {})
  const closed = await serve.event('closed')
  assert.strictEqual(closed.reason, 'timeout')
  assert.ok(Date.now() - from >= 290 && Date.now() - from < 4000, `${Date.now() - from}`)
  silent.destroy()
})

scenario('--json: why a bridge has failed', async (world) => {
  const target = `${world.socketDir('t')}/socket`
  const { serve, at } = await events(world, ['--forward', `unix:${target}~noauth`, '--retry-for', '1', 'net:127.0.0.1:0~noauth'])
  await connect(world, at)
  const closed = await serve.event('closed')
  assert.deepStrictEqual([closed.reason, closed.message], ['failed', 'the other side of the bridge cannot be reached'])
  assert.match(closed.cause, /^unix:.*socket~noauth: could not connect: No such file or directory$/)
  // and of one that was open
  const far = net.createServer((socket) => setTimeout(() => socket.resetAndDestroy(), 100))
  await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
  const second = await events(world, ['--forward', `net:127.0.0.1:${far.address().port}~noauth`, 'net:127.0.0.1:0~noauth'])
  world.ours(['connect', second.at])
  const lost = await second.serve.event('closed')
  assert.match(lost.cause, /^net:127\.0\.0\.1:\d+~noauth: .*reset/)
  far.close()
})

scenario('--json: why a bridge has failed whose server ends meanwhile', async (world) => {
  const { serve, at } = await events(world, ['--forward', 'unix:/nowhere/at/all~noauth', '--retry-for', '60000', 'net:127.0.0.1:0~noauth'])
  world.ours(['connect', at])
  await serve.until(() => serve.err.includes('again in'), 'a failure')
  serve.kill('SIGTERM')
  const closed = await serve.event('closed')
  assert.match(closed.cause, /^unix:.*all~noauth: could not connect: No such file or directory$/)
  await serve.exit()
  assert.ok(!serve.err.includes('the context is closing'), serve.err)
})

// ---- dialling again ----

// A server that comes late.
async function late(world, path, msec) {
  await new Promise((resolve) => setTimeout(resolve, msec))
  return world.ours(['serve', '--echo', `unix:${path}~noauth`])
}

scenario('connect --retry waits for a server that comes late, and resumes nothing', async (world) => {
  const path = `${world.socketDir('s')}/socket`
  const client = world.ours(['connect', '--retry', `unix:${path}~noauth`])
  client.child.stdin.write('hello\n')
  await client.until(() => /(.*again in \d\.\d s\n){2}/.test(client.err), 'two failures')
  const serve = await late(world, path, 0)
  assert.strictEqual(await client.line(), 'hello')
  const waits = [...client.err.matchAll(/: could not connect: No such file or directory; again in ([\d.]+) s\n/g)].map((m) => Number(m[1]))
  assert.ok(waits.length >= 2 && waits.length === client.err.split('\n').length - 1, client.err)
  waits.forEach((wait, i) => assert.ok(wait >= 0.1 * 2 ** i && wait <= 0.3 * 2 ** i, `${waits}`))
  serve.kill('SIGKILL')
  const status = await client.exit()
  assert.ok(status === 0 || status === 1) // a unix socket alone cannot tell
  assert.strictEqual(client.err.split('again in').length, waits.length + 1, 'it is not dialled again')
})

scenario('connect --retry repeats a refusal, too, until it is let in', async (world) => {
  const [friend, stranger] = [identity(), identity()]
  const file = world.write('friends', `${friend.key}\n`)
  const serve = world.ours(['serve', '--echo', '--allow-file', file, 'net:127.0.0.1:0~shs'])
  const client = world.ours(['connect', '--retry', await serve.line()], { as: stranger })
  client.child.stdin.end('hello\n')
  await client.until(() => /(.*: refused.*; again in \d\.\d s\n){2}/.test(client.err), 'two refusals')
  world.write('friends', `${friend.key}\n${stranger.key}\n`)
  serve.kill('SIGHUP')
  assert.strictEqual(await client.exit(), 0, `${client}`)
  assert.strictEqual(client.stdout().toString(), 'hello\n')
})

scenario('--retry-for ends it', async (world) => {
  const from = Date.now()
  const client = await world.run(['connect', '--retry-for', '1000', 'unix:/nowhere/at/all~noauth'])
  assert.strictEqual(client.status, 1)
  assert.ok(Date.now() - from < 3000)
  assert.ok(client.err.split('again in').length > 2, client.err)
  assert.match(client.err, /No such file or directory \(multiserver check ADDRESS tells more\)\n$/)
  assert.strictEqual((await world.run(['serve', '--echo', '--retry-for', '10', 'net:127.0.0.1:0~noauth'])).status, 2)
})

scenario('a peer of --forward waits for a far side that comes late', async (world) => {
  const path = `${world.socketDir('s')}/socket`
  const bridge = world.ours(['serve', '--forward', `unix:${path}~noauth`, '--retry-for', '20000', 'net:127.0.0.1:0~noauth'])
  const at = await bridge.line()
  const [client, gone] = [world.ours(['connect', at]), world.ours(['connect', at])]
  client.child.stdin.write('hello\n')
  await bridge.until(() => bridge.err.split('again in').length > 4, 'failures')
  gone.kill('SIGKILL') // whose dial is given up with it
  await late(world, path, 0)
  assert.strictEqual(await client.line(), 'hello')
  assert.strictEqual(await client.finish(), 0)
  bridge.kill('SIGTERM')
  assert.strictEqual(await bridge.exit(), 0)
})

scenario('--allow-file with an error does not start', async (world) => {
  const cases = [
    [world.write('bad', 'x\n'), /bad: line 1 is not a public key/],
    [world.path('missing'), /missing: cannot be read: No such file/],
    [world.dir, /cannot be read: Is a directory/],
  ]
  for (const [file, why] of cases) {
    const serve = world.ours(['serve', '--echo', '--allow-file', file, 'net:127.0.0.1:0~shs'])
    assert.strictEqual(await serve.exit(), 1)
    assertComplaint(serve, why)
  }
  const both = world.ours(['serve', '--echo', '--allow-any', '--allow-file', cases[0][0], 'net:127.0.0.1:0~shs'])
  assert.strictEqual(await both.exit(), 2)
})

// ---- connect ----

scenario('connect shows on a terminal how far a file has gone', async (world) => {
  const serve = world.ours(['serve', '--exec', 'cat >/dev/null', '--allow-any', 'net:127.0.0.1:0~shs'])
  const at = await serve.line()
  const file = world.write('data', Buffer.alloc(20 << 20))
  const secret = world.write('me', secretFile(identity()))
  const line = `'${command}' connect --key '${secret}' '${at}' < '${file}'`
  const terminal = world.start('terminal', 'script', ['-qec', line, '/dev/null'])
  assert.strictEqual(await terminal.exit(), 0, terminal.toString())
  assert.match(terminal.stdout().toString(), /21\.0 MB of 21\.0 MB \(100 %\), [\d.]+ .?B\/s\r?\n/)
  const piped = world.start('piped', 'sh', ['-c', line])
  assert.strictEqual(await piped.exit(), 0)
  assert.strictEqual(piped.err, '')
})

scenario('connect --linger is how long a silent pipe is waited for', async (world) => {
  const serve = world.ours(['serve', '--exec', 'exit 0', '--allow-any', 'net:127.0.0.1:0~shs'])
  const at = await serve.line()
  const took = async (...args) => {
    const client = world.ours(['connect', ...args, at])
    const from = process.hrtime.bigint()
    assert.strictEqual(await client.exit(), 0)
    return Number(process.hrtime.bigint() - from) / 1e6
  }
  assert.ok(await took('--linger', '1') < 900)
  assert.ok(await took('--linger', '1500') > 1450)
})

// ---- address ----

scenario('address --legacy translates', async (world) => {
  const { key } = identity()
  const { seed } = identity()
  const cases = [
    [`pub.example:8009:@${key}.ed25519`, `net:pub.example:8009~shs:${key}\n`],
    [`pub.example:8008:@${key}.ed25519~${seed}`, `net:pub.example:8008~shs:${key}:${seed}\n`],
  ]
  for (const [legacy, address] of cases) {
    const told = await world.run(['address', '--legacy', legacy])
    assert.deepStrictEqual([told.status, told.stdout().toString(), told.err], [0, address, ''])
    const hint = await world.run(['address', legacy])
    assert.strictEqual(hint.status, 1)
    assertComplaint(hint, /--legacy/)
  }
  const onion = await world.run(['address', '--legacy', '--stacks', 'onion~shs', `x.onion:8008:@${key}.ed25519`])
  assert.strictEqual(onion.stdout().toString(), `onion:x.onion:8008~shs:${key}\n`)
  const bad = await world.run(['address', '--legacy', 'net:h:1~noauth'])
  assert.strictEqual(bad.status, 1)
  assertComplaint(bad, /no key/)
  const json = await world.run(['address', '--legacy', '--json', 'net:h:1~noauth'])
  assert.match(JSON.parse(json.stdout()).alternatives[0].reason, /no key/)
})

scenario('the manual has every event and every reason', async () => {
  const source = (name) => fs.readFileSync(path.join(__dirname, '../..', name), 'utf8')
  const [report, manual] = [source('cli/serve/report.c'), source('docs/multiserver.1.in')]
  const events = [...report.matchAll(/(?:write|make)_event\((?:r, )?"(\w+)"/g)].map((m) => m[1])
  const reasons = [...report.match(/const char \*reason\([^]*?\n}/)[0].matchAll(/(?:return|:) "(\w+)"/g)].map((m) => m[1])
  assert.ok(events.length >= 7 && reasons.length >= 8, `${events} ${reasons}`)
  for (const word of [...events, ...reasons]) assert.match(manual, new RegExp(`^${word}\\t`, 'm'), word)
})
