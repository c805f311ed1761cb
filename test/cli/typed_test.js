'use strict'
// Addresses as people type them: an error shows them as they were typed, without a secret, and asks
// whether another was meant where there is one that can be used.

const assert = require('assert')
const { scenario, identity } = require('../world')

const KEY = identity().key
const SEED = identity().seed

// Typed, and what the error asks: "did you mean"; null: nothing.
const dialled = [
  ['tcp:localhost:1~shs:KEY', 'net:localhost:1~shs:KEY'],
  ['tcp4:h:1', 'net:h:1'],
  ['nett:localhost:1', 'net:localhost:1'],
  ['nte:localhost:1', 'net:localhost:1'],
  ['NET:localhost:1', 'net:localhost:1'],
  ['net://localhost:1/~shs:KEY', 'net:localhost:1~shs:KEY'],
  ['tcp://localhost:1', 'net:localhost:1'],
  ['net:h:1:KEY', 'net:h:1~shs:KEY'],
  ['net:h:1~KEY', 'net:h:1~shs:KEY'],
  ['net:h:1~@KEY.ed25519', 'net:h:1~shs:@KEY.ed25519'],
  ['localhost:1~noauth', 'net:localhost:1~noauth'],
  ['[::1]:8008', 'net:[::1]:8008'],
  ['net:8008', 'net::8008'],
  ['http://localhost:1/p', 'ws://localhost:1/p'],
  ['https://h~shs:KEY', 'wss://h~shs:KEY'],
  ['ws:h:8989', 'ws://h:8989'],
  ['wsss://h', 'wss://h'],
  ['/run/x', 'unix:/run/x'],
  ['./x~noauth', 'unix:./x~noauth'],
  ['@x', null], // names a file that has an address
  ['@/run/x', null],
  ['@net:h:1', 'net:h:1'], // a file of that name is not there
  ['@unix:/nowhere/x', 'unix:/nowhere/x'],
  ['@wss://h/p~shs:KEY', 'wss://h/p~shs:KEY'],
  ['@tcp:h:1', 'net:h:1'],
  ['@net:h:1~shs:KEY:SEED', null],
  ['@KEY.ed25519', null],
  // without a colon
  ['wss//host', 'wss://host'],
  ['ws//host:1', 'ws://host:1'],
  ['https//h~shs:KEY', 'wss://h~shs:KEY'],
  ['unix//tmp/x', 'unix:/tmp/x'],
  ['unix/tmp/x~noauth', 'unix:/tmp/x~noauth'],
  ['net//h:1', 'net:h:1'],
  ['tcp//h:1/', 'net:h:1'],
  ['net/h:1', 'net:h:1'],
  ['wss:/h/p', 'wss://h/p'],
  ['ws///h', 'ws://h'],
  ['foo//h', null],
  ['unxi:/run/x', 'unix:/run/x'],
  ['net:h:1~sha:KEY', 'net:h:1~shs:KEY'],
  ['net:h:1~SHS:KEY', 'net:h:1~shs:KEY'],
  ['net:h:1~no-auth', 'net:h:1~noauth'],
  ["'net:h:1 ~shs:KEY'", 'net:h:1~shs:KEY'],
  ['net:h:1~shs:KEY,tcp:h:2~shs:KEY', 'net:h:1~shs:KEY;net:h:2~shs:KEY'],
  // what cannot be used, or has a secret in it, is not suggested
  ['tcp:h:1~shs:KEY:SEED', null],
  ['http://user:password@h', null],
  ['tor:x.onion:80~shs:KEY', null],
  ['onion:x.onion:80~shs:KEY', null],
  ['ssh://h', null],
  ['net:h:80080', null],
  ['net:h:1~shs:', null],
  ['wss//h/?token=secret', null],
]

// Several, and what stands between them.
const several = [
  ['net:h:1 net:h:2', 'net:h:1;net:h:2'],
  ['net:h:1~shs:KEY \tunix:/x~noauth', 'net:h:1~shs:KEY;unix:/x~noauth'],
  ['net:h:1, ws://h', 'net:h:1;ws://h'],
  ['ws://h ws://i', 'ws://h;ws://i'],
  ['h:1 [::1]:2', 'net:h:1;net:[::1]:2'],
  ['net:h:1~shs:KEY:SEED net:h:2', null],
]
// One, with a blank in it.
const single = [
  ['net:h:1 shs:KEY', 'net:h:1~shs:KEY'],
  ['net:h:1 noauth', 'net:h:1~noauth'],
  ['net: h:1', 'net:h:1'],
  ['net:h:1~shs: KEY', 'net:h:1~shs:KEY'],
]

const filled = (text) => text.replace(/KEY/g, KEY).replace(/SEED/g, SEED)

scenario('dialled', async (world) => {
  for (const [typed, meant] of dialled) {
    const client = await world.run(['connect', '--timeout', '1', filled(typed)])
    assert.notStrictEqual(client.done.code, 0, typed)
    const line = client.err.split('\n').find((l) => l.startsWith('multiserver: connect: '))
    const asked = / did you mean (.*)\?$/.exec(line)
    assert.strictEqual(asked && asked[1], meant && filled(meant), line)
    if (typed[0] === '@') continue
    if (typed.includes(',')) continue // the second key may be a seed
    const shown = filled(typed.replace('KEY:SEED', '...:...').replace('user:password', '...').replace('token=secret', 'token=...'))
    assert.ok(line.startsWith(`multiserver: connect: ${shown}: `), line)
    assert.ok(!line.includes(SEED) && !line.includes('password'), line)
  }
})

scenario('several where one is meant are joined by a ;', async (world) => {
  for (const [typed, meant] of [...several, ...single]) {
    const told = await world.run(['address', filled(typed)])
    assert.notStrictEqual(told.status, 0, typed)
    const joined = told.err.includes("; alternatives are joined by ';'")
    assert.strictEqual(joined, several.some(([text]) => text === typed), told.err)
    const asked = / did you mean (.*)\?\n$/.exec(told.err)
    assert.strictEqual(asked && asked[1], meant && filled(meant), told.err)
    assert.ok(!told.err.includes(SEED), told.err)
  }
})

// What is right and dialled is told without a password, wherever that stands.
scenario('no password is in the steps of a dial', async (world) => {
  for (const at of ['net:user:password@localhost:1', 'net:password@localhost:1~noauth', 'ws://user:password@localhost:1', 'onion:user:password@h:1'])
    for (const args of [['connect', '-v', at], ['connect', at], ['check', at], ['connect', '-v', `${at};unix:/nowhere/x`]]) {
      const told = await world.run(args)
      assert.strictEqual(told.status, 1, told.err)
      const all = told.err + told.stdout()
      assert.ok(all.includes('localhost') || at.startsWith('onion'), all)
      assert.ok(!all.includes('password'), all)
    }
  const serve = world.ours(['serve', '--forward', 'net:user:password@localhost:1', '--retry-for', '1', '--log', 'debug', 'net:127.0.0.1:0~noauth'])
  await world.run(['connect', await serve.line()])
  await serve.until(() => / failed/.test(serve.err), 'its end')
  assert.ok(!serve.err.includes('password'), serve.err)
})

// A seed is one, too, where it or its key is not whole, or written in another form.
scenario('a secret that is mistyped is none the less hidden', async (world) => {
  const url = 'q_7-uT0b9_Zk3-Xw5_RvYh-1c_Jd8e-Fg2_Hi4-Kl6M=', cut = SEED.slice(0, 30)
  const escaped = encodeURIComponent(SEED)
  for (const [typed, shown] of [
    [`net:h:1~shs:KEY:${url}`, 'net:h:1~shs:...:...'],
    [`net:h:1~shs:KEY:${cut}`, 'net:h:1~shs:...:...'],
    [`net:h:1~shs:KEY:${escaped}`, 'net:h:1~shs:...:...'],
    ['net:h:1~shs::SEED', 'net:h:1~shs:...:...'],
    [`net:h:1~shs:${KEY.slice(0, 30)}:SEED`, 'net:h:1~shs:...:...'],
    [`net:h:1~KEY:${cut}`, 'net:h:1~...:...'],
    [`net:h:1:KEY:${cut}`, 'net:h:1:...:...'],
    [`net:h:1~later:${cut}`, 'net:h:1~later:...'],
    [`h:1:@KEY.ed25519~${url}`, 'h:1:@....ed25519~...'],
    [`h:1:@KEY.ed25519~${cut}`, 'h:1:@KEY.ed25519~...'],
    [`h:1:@${KEY.slice(0, 30)}.ed25519~SEED`, `h:1:@${KEY.slice(0, 30)}.ed25519~...`],
    ['h:1:KEY~SEED', 'h:1:...~...'],
    ['tcp:h:1~shs:KEY~SEED', 'tcp:h:1~shs:...~...'],
    ['net:h:1~KEY~SEED', 'net:h:1~...~...'],
    ['net:h:1~shs:KEYSEED', 'net:h:1~shs:...'],
    ['net:h:1~shs:KEY.SEED', 'net:h:1~shs:.......'],
    ['nett:h:1~shs:KEY;SEED', 'nett:h:1~shs:KEY;...'],
    ['wss:user:password@h/~shs:KEY', 'wss:...@h/~shs:KEY'],
    ['ws:/user:password@h/', 'ws:/...@h/'],
    ['ws://user:password/x@h', 'ws://...@h'],
    ['ws://us/er:password@h', 'ws://...@h'],
    ['wss:u:password@h:1', 'wss:...@h:1'],
    ['user:password@127.0.0.1:1', '...@127.0.0.1:1'],
    ['ws://h/?token=password~sha:KEY', 'ws://h/?token=...~sha:KEY'],
    ['ws://h?a=password&password&c=~nope', 'ws://h?a=...&...&c=...~nope'],
    ['wsss://h/p?token=password;tcp:h:1', 'wsss://h/p?token=...;tcp:h:1'],
    ['wss//h/?token=password', 'wss//h/?token=...'],
    ['ws://h/#token=password', 'ws://h/#token=...'],
    ['ws://user:pass!~password@h~sha', 'ws://...@h~sha'],
    ['wss:user:pass!~password@h~sha', 'wss:...@h~sha'],
    ['net:user:pass!~password@h:1~sha', 'net:...@h:1~sha'],
    ['ws://h/?token=a!~password~sha', 'ws://h/?token=...~sha'],
    ['unix:/a!~b~sha', 'unix:/a!~b~sha'],
    ['unix:/x~ws:/?token=password~nope', 'unix:/x~ws:/?token=...~nope'],
    ['net:user:password@h:1~noauth', 'net:...@h:1~noauth'],
    ['tcp:h:1~nope;http:user:password@h', 'tcp:h:1~nope;http:...@h'],
    // and what is none is shown
    ['tcp:h:1~tls:h~shs:KEY', 'tcp:h:1~tls:h~shs:KEY'],
    ['tcp:h:1~tls:h;nett:h:1~shs:KEY', 'tcp:h:1~tls:h;nett:h:1~shs:KEY'],
    [`tor:${'a2'.repeat(28)}:80~shs`, `tor:${'a2'.repeat(28)}:80~shs`],
  ]) {
    const client = await world.run(['connect', '--timeout', '1', filled(typed)])
    assert.notStrictEqual(client.done.code, 0, typed)
    const line = client.err.split('\n').find((l) => l.startsWith('multiserver: connect: '))
    assert.ok(line.startsWith(`multiserver: connect: ${filled(shown)}: `), line)
    for (const secret of [SEED, url, cut, escaped, 'password'])
      if (filled(typed).includes(secret)) assert.ok(!client.err.includes(secret), client.err)
  }
})

scenario('nor is it shown by what an option or a stack is refused with', async (world) => {
  const [seed, url] = [filled('net:h:1~shs:KEY:SEED'), 'http://user:password@h/p']
  for (const [args, shown] of [
    [['--metrics', seed, 'net:127.0.0.1:0~noauth'], 'net:h:1~shs:...:...: metrics'],
    [['--metrics', filled('net:h:1:KEY:SEED'), 'net:127.0.0.1:0~noauth'], 'net:h:1:...:...: '],
    [['--external', filled('tcp:h:1~shs:KEY:SEED'), 'net:127.0.0.1:0~noauth'], 'tcp:h:1~shs:...:...: is external'],
    [['--external', url, 'net:127.0.0.1:0~noauth'], 'http://...@h/p: is external'],
    [['--external', 'ws://user:password@h', 'unix:/nowhere/x~noauth'], 'ws://...@h: '],
    [['wss://user:password@h'], 'wss://...@h: a server of TLS'],
    [['ws://user:password@192.0.2.1:1'], 'ws://...@192.0.2.1:1: without auth'],
  ]) {
    const serve = await world.run(['serve', '--echo', ...args])
    assert.notStrictEqual(serve.status, 0)
    assert.ok(serve.err.includes(`: ${shown}`), `${args} ${serve.err}`)
    assert.ok(!serve.err.includes(SEED) && !serve.err.includes('password'), serve.err)
  }
})

scenario('served', async (world) => {
  for (const [typed, meant] of [
    ['tcp:127.0.0.1:0~shs', 'net:127.0.0.1:0~shs'],
    ['net://127.0.0.1:0~shs', 'net:127.0.0.1:0~shs'],
    ['http://127.0.0.1:0~shs', 'ws://127.0.0.1:0~shs'],
    ['127.0.0.1:8008~shs', 'net:127.0.0.1:8008~shs'],
    ['net:127.0.0.1:0~ssh', 'net:127.0.0.1:0~shs'],
    ['8008', 'net::8008'],
    ['*:8008~shs', 'net::::8008~shs'],
    ['net:127.0.0.1~shs', null],
    ['ftp:x~shs', null],
  ]) {
    const serve = await world.run(['serve', '--echo', typed])
    assert.strictEqual(serve.done.code, 2, typed)
    assert.ok(serve.err.includes(`multiserver: serve: ${typed}: `), serve.err)
    const asked = / did you mean (.*)\?\n$/.exec(serve.err)
    assert.strictEqual(asked && asked[1], meant, serve.err)
  }
  const forward = await world.run(['serve', '--forward', 'tcp:h:1', 'net:127.0.0.1:0~noauth'])
  assert.strictEqual(forward.done.code, 2)
  assert.match(forward.err, /^multiserver: serve: --forward: tcp:h:1: .*; did you mean net:h:1\?\n$/)
})

scenario('in check, and in address', async (world) => {
  const checked = await world.run(['check', filled('tcp:h:1~shs:KEY;nett:h:1~shs:KEY:SEED;h:80')])
  assert.deepStrictEqual(checked.stdout().toString().split('\n'), filled(`tcp:h:1~shs:KEY
  match     failed: no stack understands it: there is no protocol "tcp" here
            -> did you mean net:h:1~shs:KEY?

nett:h:1~shs:...:...
  match     failed: no stack understands it: there is no protocol "nett" here
            -> use a version of multiserver that has this protocol, or another address

alternative 3, at byte ${filled('tcp:h:1~shs:KEY;nett:h:1~shs:KEY:SEED;').length}: h:80
  parse     a section begins with a name: two or more of a-z, 0-9 and -, a-z first
            -> did you mean net:h:80?
`).split('\n'))
  const read = await world.run(['address', filled('tcp:h:1~shs:KEY')])
  assert.ok(read.err.startsWith(filled('multiserver: address: tcp:h:1~shs:KEY: ')) && read.err.endsWith(filled('did you mean net:h:1~shs:KEY?\n')), read.err)
})

scenario('a key is one with its = or without, wherever it is read', async (world) => {
  const as = identity()
  for (const key of [as.key, as.key.slice(0, -1), `@${as.key}.ed25519`, `@${as.key.slice(0, -1)}.ed25519`]) {
    const file = world.write('allow', `${key} # a friend\n`)
    for (const allow of [['--allow', key], ['--allow-file', file]]) {
      const serve = world.ours(['serve', '--echo', ...allow, 'net:127.0.0.1:0~shs'])
      const client = world.ours(['connect', (await serve.line()).replace(/=$/, '')], { as })
      assert.strictEqual(await client.finish(), 0, `${key} ${client.err}`)
      serve.kill('SIGTERM')
      assert.strictEqual(await serve.exit(), 0)
    }
  }
})

scenario('connect points to check where that says what to do', async (world) => {
  const refused = await world.run(['connect', 'unix:/nowhere/at/all~noauth'])
  assert.match(refused.err, /No such file or directory \(multiserver check ADDRESS tells more\)\n$/)
  const check = await world.run(['check', 'unix:/nowhere/at/all~noauth'])
  assert.match(check.stdout().toString(), /-> there is no such socket/)
})
