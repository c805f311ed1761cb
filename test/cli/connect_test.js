'use strict'
// connect: bytes, ends, refusals, identities.

const assert = require('assert')
const { execFileSync } = require('child_process')
const crypto = require('crypto')
const fs = require('fs')
const net = require('net')
const { scenario, identity, secretFile, sha256, assertComplaint, command, closedPort } = require('../world')

const WORDLESS = 'multiserver: the peer has ended without a word, and no section of the address proves its key: is one missing, as ~shs:KEY?\n'
const STACKS = ['net~shs', 'net~noauth', 'net', 'unix~shs', 'unix~noauth', 'unix']

async function server(world, stack, args = ['--echo', '--allow-any'], opts) {
  const [transport, ...above] = stack.split('~')
  const dir = transport === 'unix' && world.socketDir(`s${world.procs.length}`)
  const place = dir ? `unix:${dir}/socket` : 'net:127.0.0.1:0'
  const proc = world.ours(['serve', ...args, [place, ...above].join('~')], opts)
  return { proc, at: await proc.line() }
}

for (const stack of STACKS) {
  scenario(`${stack}: nothing, a line, 8 MiB`, async (world) => {
    const { proc, at } = await server(world, stack)
    for (const input of [Buffer.alloc(0), Buffer.from('hello\n'), crypto.randomBytes(8 << 20)]) {
      const client = world.ours(['connect', at])
      client.child.stdin.end(input)
      assert.strictEqual(await client.exit(), 0)
      assert.strictEqual(client.stdout().length, input.length)
      assert.strictEqual(sha256(client.stdout()), sha256(input))
      assert.strictEqual(client.err, input.length || stack.endsWith('shs') ? '' : WORDLESS)
    }
    assert.strictEqual(proc.err, '')
  })

  scenario(`${stack}: the end layer may come long after ours`, async (world) => {
    const [transport, ...above] = stack.split('~')
    const place = transport === 'unix' ? `unix:${world.socketDir('s')}/socket` : 'net:127.0.0.1:0'
    const serve = world.ours(['serve', '--stdio', '--allow-any', [place, ...above].join('~')])
    const at = await serve.line('stderr')
    const client = world.ours(['connect', at])
    client.child.stdin.end('question')
    await serve.until(() => serve.stdout().toString() === 'question', 'the question')
    assert.ok(!client.done)
    serve.child.stdin.end('answer')
    assert.deepStrictEqual([await client.exit(), await serve.exit()], [0, 0])
    assert.strictEqual(client.stdout().toString(), 'answer')
  })
}

scenario('a section that is missing is asked for', async (world) => {
  const { at } = await server(world, 'net~shs')
  const bare = world.ours(['connect', at.replace(/~shs.*/, '')])
  bare.child.stdin.end('hello\n') // too little for a greeting
  await bare.exit()
  assert.ok(bare.err.endsWith(WORDLESS), bare.err)
  const whole = world.ours(['connect', at])
  assert.deepStrictEqual([await whole.finish(), whole.err], [0, ''])
})

scenario('after the peer has ended, stdin still goes out', async (world) => {
  const data = crypto.randomBytes(4 << 20)
  for (const from of ['pipe', 'file']) {
    const stdout = fs.openSync(world.path('out'), 'w')
    const serve = world.ours(['serve', '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'], { stdin: 'ignore', stdout })
    fs.closeSync(stdout)
    const at = await serve.line('stderr')
    const stdin = from === 'file' && fs.openSync(world.write('in', data), 'r')
    const client = world.ours(['connect', at], stdin ? { stdin } : {})
    if (stdin) fs.closeSync(stdin)
    else client.child.stdin.end(data)
    assert.deepStrictEqual([await client.exit(), await serve.exit()], [0, 0])
    assert.strictEqual(sha256(fs.readFileSync(world.path('out'))), sha256(data))
  }
})

scenario('a pipe that says nothing is not waited for', async (world) => {
  const serve = world.ours(['serve', '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'])
  const client = world.ours(['connect', await serve.line('stderr')])
  serve.child.stdin.end('that is all')
  assert.deepStrictEqual([await client.exit(), await serve.exit()], [0, 0])
  assert.strictEqual(client.stdout().toString(), 'that is all')
})

scenario('a server killed in mid-stream is no success', async (world) => {
  for (const stack of ['net~shs', 'unix~shs']) {
    const { proc, at } = await server(world, stack)
    const client = world.ours(['connect', at])
    client.child.stdin.write('hello\n')
    await client.until(() => client.stdout().length === 6, 'an echo')
    proc.kill('SIGKILL')
    assert.strictEqual(await client.exit(), 1, stack)
    assertComplaint(client, /^multiserver: connection: (net|unix):.*(ended before|lost)/)
  }
})

scenario('a refusal says so', async (world) => {
  const { proc, at } = await server(world, 'net~shs', ['--echo'])
  const [me, guest] = [identity(), identity()]
  for (const [address, key] of [[at, me.key], [`${at}:${guest.seed}`, guest.key], [`unix:${world.path('none')}~noauth;${at}`, me.key]]) {
    const client = world.ours(['connect', address], { as: me })
    assert.strictEqual(await client.exit(), 1)
    assert.match(client.err.split('\n')[0], /^multiserver: connect: net:.*: shs authorise: refused: /)
    assert.ok(client.err.split('\n')[0].endsWith(`; it knows us as ${key}`), client.err)
  }
  await proc.until(() => proc.err.includes('refused'), 'its own word')
})

scenario('another network, another server', async (world) => {
  const { at } = await server(world, 'net~shs')
  const network = crypto.randomBytes(32).toString('base64')
  const cases = [
    [['--network-key', network, at], /shs handshake: /],
    [[at.replace(/shs:.*/, `shs:${identity().key}`)], /refused: .* or has another key itself; /],
  ]
  for (const [args, why] of cases) {
    const client = world.ours(['connect', ...args])
    assert.strictEqual(await client.exit(), 1)
    assertComplaint(client, why)
  }
  const both = await server(world, 'net~shs', ['--echo', '--allow-any', '--network-key', network])
  const friend = world.ours(['connect', '--network-key', network, both.at])
  assert.strictEqual(await friend.finish(), 0)
})

scenario('a seed is who we are', async (world) => {
  const guest = identity()
  const { at } = await server(world, 'net~shs', ['--echo', '--allow', guest.key])
  const client = world.ours(['connect', `${at}:${guest.seed}`])
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.stdout().toString(), 'hello')
  const stranger = world.ours(['connect', `${at}:${identity().seed}`])
  assert.strictEqual(await stranger.exit(), 1)
  assertComplaint(stranger, /refused/)
})

scenario('what Scuttlebutt had before such addresses: old ones, invites', async (world) => {
  const guest = identity()
  const { at } = await server(world, 'net~shs', ['--echo', '--allow', guest.key])
  const [, port, key] = /^net:127\.0\.0\.1:(\d+)~shs:(.*)$/.exec(at)
  const old = `127.0.0.1:${port}:@${key}.ed25519`
  for (const [address, as] of [[old, guest], [`${old}~${guest.seed}`, identity()]]) {
    const client = world.ours(['connect', '-v', address], { as })
    client.child.stdin.end('hello')
    assert.strictEqual(await client.exit(), 0)
    assert.strictEqual(client.stdout().toString(), 'hello')
    assert.ok(client.err.includes(`connected to ${at}\n`))
    assert.ok(!client.err.includes(guest.seed))
  }
  const bad = world.ours(['connect', `127.0.0.1:${port}:@${key.slice(2)}.ed25519`])
  assert.strictEqual(await bad.exit(), 2)
  assertComplaint(bad, /connect: .*: at byte \d+: the key is not 32 bytes of base64/)
})

scenario('no seed is ever shown', async (world) => {
  const { seed, key } = identity()
  const port = await closedPort()
  for (const [address, status] of [[`net:127.0.0.1:${port}~shs:${key}:${seed}`, 1], [`net:h:x~shs:${key}:${seed}`, 2],
    [`127.0.0.1:${port}:@${key}.ed25519~${seed}`, 1], [`h:1:@${key}.ed25519~${seed}x`, 2], [`net:h:1~foo:${seed}`, 1], [`net:h:1~shs:${seed}:${seed}x`, 2]]) {
    const client = world.ours(['connect', '-v', address])
    assert.strictEqual(await client.exit(), status)
    assert.match(client.err, /^multiserver: connect: /m)
    assert.ok(!client.err.includes(seed.slice(5, 25)), client.err)
  }
})

scenario('alternatives are tried in their order', async (world) => {
  const { at } = await server(world, 'net~shs')
  const port = await closedPort()
  const dead = `net:127.0.0.1:${port}~shs:${identity().key}`
  const client = world.ours(['connect', '-v', `onion:x.onion:1~shs:${identity().key};${dead};unix:${world.path('none')}~noauth;${at}`])
  client.child.stdin.end('hello')
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.stdout().toString(), 'hello')
  const lines = client.err.trim().split('\n')
  const steps = [
    /alternative 1 is passed over: onion:.*: no stack understands/,
    new RegExp(`ms  attempt 1 looks up: net:127.0.0.1:${port}`), /attempt 1 connects: .* net 127\.0\.0\.1:/,
    /attempt 1 failed: .* net connect: .*refused/, /attempt 2 looks up: unix:/, /attempt 2 connects/,
    /attempt 2 failed: .*No such file/, /attempt 3 looks up: net:127/, /attempt 3 connects/, /attempt 3 connected/,
    /attempt 3 up: .*: shs 127\.0\.0\.1:/, /attempt 3 open/, /^multiserver: connected to net:127/,
  ]
  assert.strictEqual(lines.length, steps.length, client.err)
  steps.forEach((step, i) => assert.match(lines[i], step))
})

scenario('a long address does not hide why an attempt has failed', async (world) => {
  const port = await closedPort()
  const client = world.ours(['connect', '-v', `ws://127.0.0.1:${port}/${'%C3%A9'.repeat(200)}${'é'.repeat(300)}~noauth`])
  assert.strictEqual(await client.exit(), 1)
  assert.match(client.err, /ms {2}attempt 1 connects: ws:[^\n]*: ws 127\.0\.0\.1:\d+\n/)
  assert.match(client.err, /ms {2}attempt 1 failed: ws:[^\n]*: ws connect: [^\n]*refused\n/)
})

scenario('who is preferred is a stack, and wss is not ws', async (world) => {
  const port = await closedPort()
  const wrong = { nonsense: /is no stack that can be dialled/, 'wss~shs~shs': /is no stack that can be dialled/,
    net: /no alternative of such a stack/, 'ws~noauth': /no alternative of such a stack/ }
  for (const [prefer, why] of Object.entries(wrong)) {
    const client = world.ours(['connect', '--prefer', prefer, `net:127.0.0.1:${port}~noauth`])
    assert.strictEqual(await client.exit(), 2, prefer)
    assertComplaint(client, why)
  }
  const client = world.ours(['connect', '-v', '--prefer', 'wss~noauth', `ws://127.0.0.1:${port}~noauth;wss://127.0.0.1:${port}~noauth`])
  assert.strictEqual(await client.exit(), 1)
  assert.match(client.err, /attempt 1 connects: wss:/)
})

scenario('who is preferred is dialled first, who proves too little is not', async (world) => {
  const { at } = await server(world, 'net~shs')
  const plain = `unix:${world.path('none')}~noauth`
  const client = world.ours(['connect', '-v', '--prefer', 'ws~shs', '--prefer', 'net~shs', `${plain};${at}`])
  client.child.stdin.end()
  assert.strictEqual(await client.exit(), 0)
  assert.ok(!client.err.includes('unix:'), client.err)
  const picky = world.ours(['connect', '--security', 'key', plain])
  assert.strictEqual(await picky.finish(), 1)
  assertComplaint(picky, /no alternative proves who the peer is/)
  const wrong = world.ours(['connect', '--security', 'much', plain])
  assert.strictEqual(await wrong.finish(), 2)
  assertComplaint(wrong, /--security/)
})

scenario('nobody there, nobody known, nothing understood', async (world) => {
  const port = await closedPort()
  const { key } = identity()
  const cases = [
    [`net:127.0.0.1:${port}~shs:${key}`, /connect: net:127\.0\.0\.1:.*refused/],
    [`unix:${world.path('none')}~noauth`, /No such file/],
    [`net:no.such.host.invalid:1~shs:${key}`, /unknown host/],
    [`onion:h.onion:1~shs:${key}`, /no stack understands/],
    [`ws://127.0.0.1:${port}/p~shs:${key}`, /connect: ws:\/\/127\.0\.0\.1:.*refused/],
    [`unix:${world.path('none')}~tls`, /tls:NAME/],
  ]
  for (const [address, why] of cases) {
    const client = world.ours(['connect', address])
    assert.strictEqual(await client.exit(), 1, address)
    assertComplaint(client, why)
  }
})

scenario('--timeout covers the whole attempt', async (world) => {
  const silent = net.createServer((socket) => socket.on('error', () => {}))
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => silent.close())
  const address = `net:127.0.0.1:${silent.address().port}~shs:${identity().key}`
  const from = Date.now()
  const client = world.ours(['connect', '--timeout', '300', `${address};${address}`])
  assert.strictEqual(await client.exit(), 1)
  assert.match(client.err, /^multiserver: connect: .*: shs handshake: timed out \(the furthest of 2 attempts\) \(multiserver check ADDRESS tells more\)\n/)
  assert.match(client.err, /\nmultiserver: attempt 1 \(\d+-\d+ ms\) failed: net:[^\n]*timed out\nmultiserver: attempt 2 \(\d+-\d+ ms\) failed: net:[^\n]*timed out\n$/)
  const took = Date.now() - from
  assert.ok(took >= 250 && took < 5000, `it took ${took} msec`)
})

scenario('who we are: --key, else the default, else somebody for once', async (world) => {
  const me = identity()
  const { at } = await server(world, 'net~shs', ['--echo', '--allow', me.key])
  const plain = () => {
    const proc = world.start('connect', command, ['connect', at])
    proc.child.stdin.end()
    return proc
  }
  const nobody = plain()
  assert.strictEqual(await nobody.exit(), 1)
  assert.match(nobody.err, /^multiserver: no identity yet, using one for this connection only .*\n.*: refused: .*; it knows us as [\w+/]{43}=, made for this once: run multiserver keygen first\n$/)
  assert.ok(!fs.existsSync(world.path('config')))
  fs.mkdirSync(world.path('config/multiserver'), { recursive: true })
  world.write('config/multiserver/secret', secretFile(me))
  const byDefault = plain()
  assert.deepStrictEqual([await byDefault.exit(), byDefault.err], [0, ''])
  const missing = world.start('connect', command, ['connect', '--key', world.path('none'), at])
  assert.strictEqual(await missing.exit(), 1)
  assertComplaint(missing, /key: .*none: cannot be read: No such file/)
})

scenario('a closed stdout is an error, not a crash', async (world) => {
  const { at } = await server(world, 'net~shs')
  const client = world.ours(['connect', at])
  client.child.stdout.destroy()
  client.child.stdin.end(Buffer.alloc(1 << 20))
  assert.strictEqual(await client.exit(), 1)
  assertComplaint(client, /stdio: stdout: /)
})

scenario('non-blocking standard streams are waited for', async (world) => {
  const { at } = await server(world, 'net~shs')
  const data = crypto.randomBytes(4 << 20)
  const [from, to] = ['from', 'to'].map((name) => world.path(name))
  execFileSync('mkfifo', [from, to])
  const stdin = fs.openSync(from, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  const writer = fs.openSync(from, fs.constants.O_WRONLY)
  const stdout = fs.openSync(to, fs.constants.O_RDWR)
  const client = world.ours(['connect', at], { stdin, stdout })
  // Node makes what it spawns blocking, and what it opens non-blocking: for all who share it.
  const shared = [stdin, stdout].map((fd) => new net.Socket({ fd, readable: false, writable: false }))
  const reader = world.start('cat', 'cat', [to])
  const { stdin: source } = world.start('cat', 'cat', [], { stdout: writer }).child
  fs.closeSync(writer)
  source.write(data.subarray(0, 5))
  await reader.until(() => reader.received === 5, 'the first bytes')
  for (const socket of shared) socket.destroy()
  source.end(data.subarray(5))
  assert.strictEqual(await client.exit(), 0)
  assert.strictEqual(client.err, '')
  assert.strictEqual(await reader.exit(), 0)
  assert.strictEqual(sha256(reader.stdout()), sha256(data))
})

scenario('what standard output has not taken is an error', async (world) => {
  const key = world.write('me', secretFile(identity()))
  const commands = [['--help'], ['--version'], ['help', 'serve'], ['connect', '--help'],
    ['address', 'net:h:1~noauth'], ['id', '--key', key],
    ['serve', '--echo', `unix:${world.socketDir('s')}/socket~noauth`]]
  for (const args of commands) {
    const stdout = fs.openSync('/dev/full', 'w')
    const proc = world.start(args.join(' '), command, args, { stdout })
    fs.closeSync(stdout)
    assert.strictEqual(await proc.exit(), 1, args.join(' '))
    assertComplaint(proc, /: stdout: write failed/)
  }
})

scenario('closed standard streams do no harm', async (world) => {
  const { at } = await server(world, 'net~shs')
  const secret = world.write('me', secretFile(identity()))
  const closed = (how) => {
    const proc = world.start('sh', 'sh', ['-c', `"$0" connect --key "$1" "$2" ${how}`, command, secret, at])
    proc.child.stdin.end('hello')
    return proc
  }
  const noInput = closed('<&-')
  assert.deepStrictEqual([await noInput.exit(), noInput.err], [0, ''])
  const noOutput = closed('>&-')
  assert.strictEqual(await noOutput.exit(), 1)
  assertComplaint(noOutput, /stdio: stdout: /)
  const noErrors = closed('2>&-')
  assert.deepStrictEqual([await noErrors.exit(), noErrors.stdout().toString()], [0, 'hello'])
})

scenario('wrong usage is told and exits with 2', async (world) => {
  const cases = [
    [[], /an address is missing/],
    [['net:foo'], /connect: net:foo: at byte \d+: /],
    [['net:h:1~shs'], /byte 8: the peer's public key is missing/],
    [[''], /connect: /],
    [['a', 'b'], /connect: b: one address is enough/],
    [['--timeout', '0', 'a'], /milliseconds/],
    [['--timeout', '1s', 'a'], /milliseconds/],
    [['--network-key', 'x', 'a'], /--network-key/],
    [['-x', 'a'], /-x: there is no such option/],
    [['--verbose=1', 'a'], /takes no value/],
  ]
  for (const [args, why] of cases) {
    const client = await world.run(['connect', ...args])
    assert.strictEqual(client.status, 2, args.join(' '))
    assertComplaint(client, why)
  }
})
