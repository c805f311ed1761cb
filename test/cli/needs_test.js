'use strict'
// Options that nothing can use are wrong usage, each in every place where nothing can; and none
// where something can.

const assert = require('assert')
const { scenario, identity, secretFile, assertComplaint } = require('../world')

const KEY = identity().key
const SHS = `net:127.0.0.1:1~shs:${KEY}`

// Every option that needs something of the addresses: how it is given, what can use it and what
// cannot. `serve` are addresses to listen on, `forward` and `dial` one to dial.
const OPTIONS = [
  { args: ['--allow', KEY], serve: ['net::0~shs', 'unix:S~shs', 'ws://127.0.0.1:0~shs'], not: ['net::0', 'unix:S~noauth', 'ws://127.0.0.1:0', 'net::0~noauth'] },
  { args: ['--allow-file', 'FILE'], serve: ['net::0~shs'], not: ['net::0', 'unix:S'] },
  { args: ['--allow-any'], serve: ['net::0~shs'], not: ['net::0', 'unix:S~noauth'] },
  { args: ['--insecure-noauth'], serve: ['net::0', 'ws://127.0.0.1:0', 'unix:S'], not: ['net::0~shs', 'unix:S~shs'] },
  { args: ['--origin', 'https://app.example'], serve: ['ws://127.0.0.1:0', 'ws://127.0.0.1:0~shs', 'unix:S~ws', 'unix:S~ws~shs'], not: ['net::0', 'unix:S', 'net::0~shs'] },
  { args: ['--http-root', '.'], serve: ['ws://127.0.0.1:0', 'unix:S~ws'], not: ['net::0~shs', 'unix:S~shs'] },
  { args: ['--tls-cert', '/nonexistent'], not: ['net::0~shs', 'ws://127.0.0.1:0', 'unix:S'] },
  { args: ['--tls-key', '/nonexistent'], not: ['net::0~shs', 'ws://127.0.0.1:0', 'unix:S'] },
  { args: ['--trusted-proxy', '127.0.0.1'], serve: ['net::0'], not: ['unix:S', 'unix:S~shs'] },
  { args: ['--trusted-proxy', '127.0.0.1=proxy'], serve: ['net::0', 'ws://127.0.0.1:0'], not: ['unix:S', 'unix:S~shs'] },
  { args: ['--trusted-proxy', '127.0.0.1=x-forwarded-for'], serve: ['ws://127.0.0.1:0~shs'], not: ['net::0', 'unix:S'] },
  { args: ['--trusted-proxy', '127.0.0.1=forwarded'], serve: ['ws://127.0.0.1:0'], not: ['net::0', 'unix:S', 'unix:S~ws'] },
  { args: ['--trusted-proxy', 'unix'], serve: ['unix:S', 'unix:S~shs'], not: ['net::0', 'net::0~shs'] },
  { args: ['--trusted-proxy', 'unix=proxy'], serve: ['unix:S', 'unix:S~ws', 'unix:@S-ms-needs~shs'], not: ['net::0', 'ws://127.0.0.1:0'] },
  { args: ['--trusted-proxy', 'unix=x-forwarded-for'], serve: ['unix:S~ws', 'unix:S~ws~shs'], not: ['net::0', 'ws://127.0.0.1:0', 'unix:S~shs'] },
  { args: ['--trusted-proxy', '127.0.0.1=forwarded', '--trusted-proxy', 'unix=forwarded'], serve: ['unix:S~ws'], not: ['unix:S~shs'] },
  { args: ['--scope', 'public'], serve: ['net::0~shs'], not: ['unix:S~shs', 'unix:S~ws~shs'] },
  { args: ['--scope', 'public', '--external', 'wss://pub.example/path'], serve: ['unix:S~ws~shs'], not: [] },
  { args: ['--external', 'pub.example'], serve: ['net::0~shs'], not: ['unix:S~shs', 'unix:S~ws~shs'] },
  { args: ['--unix-mode', '0660'], serve: ['unix:S~shs', 'unix:S'], not: ['net::0~shs', 'ws://127.0.0.1:0'] },
  { args: ['--unix-group', 'root'], serve: ['unix:S~shs'], not: ['net::0~shs', 'unix:@S~shs', 'unix:@S'] },
  { args: ['--reuse-port'], serve: ['net::0~shs'], not: ['unix:S~shs'] },
  { args: ['--limit', 'per-address=3'], serve: ['net::0~shs'], not: ['unix:S~shs'] },
  { args: ['--limit', 'per-second=3'], serve: ['net::0~shs'], not: ['unix:S~shs'] },
  { args: ['--limit', 'per-address=3', '--trusted-proxy', 'unix=proxy'], serve: ['unix:S~shs'], not: [] },
  { args: ['--limit', 'pages-per-address=3'], serve: ['ws://127.0.0.1:0'], not: ['net::0~shs', 'unix:S~ws'] },
  { args: ['--limit', 'pages-per-second=3', '--trusted-proxy', 'unix=forwarded'], serve: ['unix:S~ws'], not: [] },
  { args: ['--limit', 'connections=3'], serve: ['net::0~shs', 'unix:S~shs'], not: [] },
  { args: ['--key', 'SECRET'], serve: ['net::0~shs'], not: ['net::0'], dial: [SHS, `net:127.0.0.1:1;${SHS}`],
    notDial: ['net:127.0.0.1:1', 'unix:S~noauth'] },
  { args: ['--network-key', KEY], serve: ['net::0~shs'], not: ['net::0'], dial: [SHS, `${SHS}:${identity().seed}`], notDial: ['ws://127.0.0.1:1'] },
  { args: ['--tls-ca', 'CA'], not: ['net::0~shs'], dial: ['wss://127.0.0.1:1', 'net:127.0.0.1:1~tls'], notDial: [SHS, 'ws://127.0.0.1:1'] },
  { args: ['--tls-insecure'], not: ['net::0~shs'], dial: ['wss://127.0.0.1:1', 'net:127.0.0.1:1~tls'], notDial: [SHS, 'ws://127.0.0.1:1'] },
]

// The placeholders, as files of this world.
function filler(world) {
  const there = {
    S: `${world.socketDir('s')}/socket`,
    FILE: world.write('friends', `${KEY}\n`),
    SECRET: world.write('secret', secretFile(identity())),
  }
  return (args) => args.map((arg) => there[arg] || arg.replace('unix:S', `unix:${there.S}`))
}

const isUsage = (proc, option) => {
  assert.strictEqual(proc.status, 2, `${proc}`)
  assertComplaint(proc, new RegExp(`: ${option}[^:]*: nothing here can use it: it needs an? `))
  assert.strictEqual(proc.stdout().toString(), '')
}

scenario('what no stack can use is wrong usage, and names what it needs', async (world) => {
  const fill = filler(world)
  for (const { args, not, notDial = [] } of OPTIONS) {
    for (const address of not) isUsage(await world.run(fill(['serve', '--echo', ...args, address])), args[0])
    for (const address of notDial) {
      for (const subcommand of ['connect', 'check']) isUsage(await world.run(fill([subcommand, ...args, address])), args[0])
      isUsage(await world.run(fill(['serve', '--forward', address, ...args, 'unix:S'])), args[0])
    }
  }
})

scenario('what one of several stacks can use is good', async (world) => {
  const fill = filler(world)
  for (const { args, serve = [], not, dial = [] } of OPTIONS) {
    for (const address of serve) {
      for (const more of [[], not.slice(0, 1)]) {
        const proc = world.start('serve', process.env.MULTISERVER, fill(['serve', '--echo', ...args, address, ...more]))
        await proc.line().catch(() => assert.fail(`${args} ${address} ${more}`))
        proc.kill('SIGTERM')
        await proc.exit()
      }
    }
    for (const address of args.includes('CA') ? [] : dial) { // nobody is there
      for (const subcommand of ['connect', 'check']) assert.strictEqual((await world.run(fill([subcommand, ...args, address]))).status, 1)
    }
  }
})

scenario('what cannot be read says so, whatever the options', async (world) => {
  for (const [address, why] of [['net:h:x', /byte 6/], ['net::0~foo', /foo/], ['onion:h.onion:1', /onion/]]) {
    const proc = await world.run(['serve', '--echo', '--origin', 'https://app.example', address])
    assert.strictEqual(proc.status, 2)
    assertComplaint(proc, why)
  }
})

scenario('what makes no sense together is wrong usage', async (world) => {
  const cases = [
    [['serve', '--echo', '--allow', KEY, '--allow-any', 'net::0~shs'], /--allow: makes no sense beside --allow-any/],
    [['serve', '--echo', '--allow-file', 'none', '--allow-any', 'net::0~shs'], /--allow-file: makes no sense beside --allow-any/],
    [['connect', '--tls-ca', 'none', '--tls-insecure', 'wss://h'], /--tls-ca: makes no sense beside --tls-insecure/],
    [['check', '--tls-ca', 'none', '--tls-insecure', 'wss://h'], /--tls-ca: makes no sense beside --tls-insecure/],
    [['serve', '--forward', 'wss://h', '--tls-ca', 'none', '--tls-insecure', 'net::0'], /--tls-ca: makes no sense beside --tls-insecure/],
    [['connect', '--prefer', 'ws~noauth', '--prefer', 'unix', 'net:h:1~noauth'], /--prefer: the address has no alternative of such a stack/],
  ]
  for (const [args, why] of cases) {
    const proc = await world.run(args)
    assert.strictEqual(proc.status, 2, args.join(' '))
    assertComplaint(proc, why)
  }
})

scenario('--trusted-proxy says what is trusted, where it can be more than one thing', async (world) => {
  const cases = [
    [['127.0.0.1'], 'ws://127.0.0.1:0', /does not say what tells of its peers: =proxy, =x-forwarded-for or =forwarded/],
    [['127.0.0.1=x-real-ip'], 'ws://127.0.0.1:0', /unknown way/],
    [['127.0.0.1/8=proxy'], 'net::0', /neither an address nor a network/],
    [['127.0.0.0/8=x-forwarded-for', '127.0.0.1=forwarded'], 'ws://127.0.0.1:0', /the other is its clients'/],
  ]
  for (const [all, address, why] of cases) {
    const proc = await world.run(['serve', '--echo', ...all.flatMap((one) => ['--trusted-proxy', one]), address])
    assert.strictEqual(proc.status, 2, `${proc}`)
    assertComplaint(proc, why)
  }
})

scenario('--origin is one, or wrong usage', async (world) => {
  for (const [origin, why] of [['app.example', /'app\.example' is no origin, as https:/], ['*', /is no origin/], ['https://app.example/room', /has a path/]]) {
    const proc = await world.run(['serve', '--echo', '--origin', origin, 'ws://127.0.0.1:0'])
    assert.strictEqual(proc.status, 2, `${proc}`)
    assertComplaint(proc, why)
  }
})
