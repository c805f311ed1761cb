'use strict'
// address: canonical forms, JSON, reasons.

const assert = require('assert')
const { scenario, identity, assertComplaint, command } = require('../world')

const { key } = identity()
const { seed } = identity()

async function address(world, ...args) {
  const proc = await world.run(['address', ...args])
  return { proc, status: proc.status, out: proc.stdout().toString() }
}

scenario('the canonical form is printed', async (world) => {
  const cases = [
    [`net:[::1]:08008~shs:@${key}.ed25519`, `net:::1:8008~shs:${key}`],
    [`net:h:1~shs:${key}:${seed}`, `net:h:1~shs:${key}:${seed}`],
    ['unix:/run/a b~noauth', 'unix:/run/a b~noauth'],
    [`;net:h:bad;net:h:1~shs:${key};`, `net:h:1~shs:${key}`],
  ]
  for (const [input, canonical] of cases) {
    const { proc, status, out } = await address(world, input)
    assert.deepStrictEqual([status, out, proc.err], [0, canonical + '\n', ''])
  }
})

scenario('what no stack understands is exit 1 and the reason', async (world) => {
  const cases = [
    [[`onion:h.onion:1~shs:${key}`], /no stack understands it/],
    [['--stacks', 'unix~noauth', `net:h:1~shs:${key}`], /net:h:1~shs:[^ ]*: no stack understands it/],
    [[`net:h:1~foo:${seed}`], /there is no protocol "foo" here/],
    [['net:h:x~noauth'], /net:h:x~noauth: at byte 6: /],
    [[''], /^multiserver: address: /],
    [[`net:h:1~shs:${key}:${seed}x`], /shs:[^ ]*: at byte \d+: /],
    [[`@${key}.ed25519`], /this is a key, not an address/],
  ]
  for (const [args, why] of cases) {
    const { proc, status, out } = await address(world, ...args)
    assert.deepStrictEqual([status, out], [1, ''], args.join(' '))
    assertComplaint(proc, why)
    assert.ok(!proc.err.includes(seed.slice(0, 20)), 'a seed is shown')
  }
})

// What is wrong with a chain, and where, from everybody who reads it; null: it can be dialled.
scenario('a chain that is none is told with the section that is out of place', async (world) => {
  const first = 'a stack begins with a transport, this is a transform'
  const second = 'a transport stands first in a stack, nowhere else'
  const cases = [
    [`unix:/x~noauth~shs:${key}`, 'section 3, shs: nothing can follow noauth'],
    ['net:h:1~noauth~noauth', 'section 3, noauth: nothing can follow noauth'],
    ['unix:/x~noauth~ws', 'section 3, ws: nothing can follow noauth'],
    ['net:h:1~noauth~tls', 'section 3, tls: nothing can follow noauth'],
    [`ws://h~noauth~shs:${key}`, 'section 3, shs: nothing can follow noauth'],
    ['net:h:1~net:h:1', `section 2, net: ${second}`],
    ['unix:/x~unix:/y', `section 2, unix: ${second}`],
    ['ws://h~net:h:1', `section 2, net: ${second}`],
    [`shs:${key}`, `section 1, shs: ${first}`],
    ['noauth', `section 1, noauth: ${first}`],
    ['tls:h', `section 1, tls: ${first}`],
    ['net:h:1~tls~tls', 'section 3, tls: it stands once in a stack'],
    ['ws://h~ws', 'section 2, ws: it stands on unix, or on tls over unix, nowhere else'],
    [`unix:/x~shs:${key}~ws`, 'section 3, ws: it stands on unix, or on tls over unix, nowhere else'],
    ['ws://h~tls', 'none is ws~tls'],
    [`wss://h~tls~shs:${key}`, 'none is ws~tls~shs'],
    [`net:h:1~shs:${key}~noauth`, 'none is net~shs~noauth'],
    [`net:h:1~noauth${'~noauth'.repeat(8)}`, 'it has too many sections'],
    ['net:h:1~tls~onion:h:1', 'there is no protocol "onion" here'],
    ['net:127.0.0.1:1~tls~noauth', null],
    ['unix:/nowhere/x~tls:h~noauth', null],
    ['unix:/nowhere/x~tls:h~ws~noauth', null],
  ]
  for (const [at, why] of cases) {
    const args = { address: [at], connect: [at], check: [at], serve: ['--forward', at, 'net:127.0.0.1:0~noauth'] }
    if (why === null) delete args.serve
    for (const [command, rest] of Object.entries(args)) {
      const told = await world.run([command, ...rest])
      const all = told.err + told.stdout()
      assert.strictEqual(told.status !== 0, why !== null || command !== 'address', `${command} ${all}`)
      assert.strictEqual(all.includes('no stack understands it'), why !== null, all)
      assert.ok(why === null || all.includes(`: no stack understands it: ${why}`), all)
      if (command !== 'check' || why === null) continue
      const version = why.includes('no protocol')
      assert.match(all, version ? /-> use a version/ : why.includes('too many') ? /too many/ : /-> its protocols do not make a stack in this order: multiserver address --help lists/)
    }
  }
  const unnamed = await world.run(['check', 'unix:/nowhere/x~tls'])
  assert.match(unnamed.stdout().toString(), /tls:NAME\n$/, 'and no advice that does not fit')
})

scenario('--help lists the stacks that can be dialled', async (world) => {
  const refused = await world.run(['connect', '--prefer', 'nothing', 'net:h:1'])
  const all = /is one of (.*) \(/.exec(refused.err)[1].split(', ')
  assert.ok(all.length > 10)
  for (const [command, option] of [['address', '--stacks LIST'], ['connect', '--prefer STACK']]) {
    const help = (await world.run([command, '--help'])).stdout().toString().replace(/\n +(?!-)/g, ' ')
    const [, listed] = new RegExp(`${option} .*?too\\): ([^;\\n]*)`).exec(help)
    assert.deepStrictEqual(listed.trim().split(/, */), all)
  }
  for (const name of all) {
    const read = await world.run(['address', '--stacks', name, 'net:h:1'])
    assert.doesNotMatch(read.err, /--stacks/, name)
  }
})

scenario('--json takes every alternative apart', async (world) => {
  const input = `net:[::1]:8008~shs:${key}:${seed};onion:h.onion:1~shs:${key};unix:/s~noauth;net:h:x`
  const { status, out } = await address(world, '--json', input)
  assert.strictEqual(status, 0)
  assert.ok(out.endsWith('}\n') && out.indexOf('\n') === out.length - 1, 'one line')
  const json = JSON.parse(out)
  assert.deepStrictEqual(Object.keys(json), ['input', 'alternatives'])
  assert.strictEqual(json.input, input)
  const [net, onion, unix, bad] = json.alternatives
  assert.deepStrictEqual(net, {
    address: `net:::1:8008~shs:${key}:${seed}`,
    understood: true,
    stack: 'net~shs',
    sections: [{ name: 'net', host: '::1', port: 8008 }, { name: 'shs', key, seed }],
  })
  assert.deepStrictEqual(onion, {
    address: `onion:h.onion:1~shs:${key}`,
    understood: false,
    reason: 'no stack understands it: there is no protocol "onion" here',
  })
  assert.deepStrictEqual(unix, {
    address: 'unix:/s~noauth',
    understood: true,
    stack: 'unix~noauth',
    sections: [{ name: 'unix', path: '/s' }, { name: 'noauth' }],
  })
  assert.deepStrictEqual([bad.address, bad.understood, Object.keys(bad)],
    ['net:h:x', false, ['address', 'understood', 'reason']])
})

scenario('--stacks and --json tell of protocols to come', async (world) => {
  const { status, out } = await address(world, '--json', '--stacks', 'ws~shs,onion',
    `wss://h:8/p?q~shs:${key};onion:x.onion:80`)
  assert.strictEqual(status, 0)
  const [ws, onion] = JSON.parse(out).alternatives
  assert.deepStrictEqual(ws.sections, [
    { name: 'ws', host: 'h', port: 8, path: '/p?q', secure: true },
    { name: 'shs', key, seed: null },
  ])
  assert.deepStrictEqual(onion.sections, [{ name: 'onion', host: 'x.onion', port: 80 }])
})

scenario('--json with nothing understood is exit 1, with the reasons', async (world) => {
  const { proc, status, out } = await address(world, '--json', 'net:h:x;foo;ssb:x')
  assert.strictEqual(status, 1)
  const { alternatives } = JSON.parse(out)
  assert.deepStrictEqual(alternatives.map((a) => [a.address, a.understood]),
    [['net:h:x', false], ['foo', false], ['ssb:x', false]])
  for (const { reason } of alternatives) assert.match(reason, /\w/)
  assertComplaint(proc, /^multiserver: address: /)
})

scenario('--json: bytes that are no UTF-8 become U+FFFD each, and all others stay', async (world) => {
  const rows = [ // bytes, as Latin-1; what they read as
    ['\xff:1', '\ufffd:1'],
    ['a\xc0\xafb', 'a\ufffd\ufffdb'], // an overlong slash
    ['\xe2\x82\xac \xe2\x82', '\u20ac \ufffd\ufffd'], // cut at the end
    ['\xed\xa0\x80', '\ufffd\ufffd\ufffd'], // half a surrogate
    ['\xf0\x9f\x98\x80\xf4\x90\x80\x80', '\u{1f600}\ufffd\ufffd\ufffd\ufffd'], // beyond U+10FFFF
    ['\x80\xbf\xfe"\\\x01', '\ufffd\ufffd\ufffd"\\\x01'],
    ['\xc3\xa9\xc3', '\u00e9\ufffd']
  ]
  for (const [bytes, text] of rows) {
    const proc = world.start('address', command, ['address', '--json', '-'])
    proc.child.stdin.end(Buffer.from(`${bytes};${bytes}`, 'latin1'))
    assert.strictEqual(await proc.exit(), 1, bytes)
    assert.ok(/^[\x20-\x7e]*\n$/.test(proc.stdout().toString('latin1')), 'one line of ASCII')
    const { input, alternatives } = JSON.parse(proc.stdout())
    assert.strictEqual(input, `${text};${text}`)
    assert.deepStrictEqual(alternatives.map((a) => [a.address, a.understood]), [[text, false], [text, false]])
  }
})

scenario('wrong usage is told and exits with 2', async (world) => {
  const cases = [
    [[], /an address is missing/],
    [['a', 'b'], /address: b: one address is enough/],
    [['--stacks', '', 'net:h:1'], /--stacks: /],
    [['--stacks', 'foo', 'net:h:1'], /--stacks: names a protocol that is not known/],
    [['--stacks', 'shs~net', 'net:h:1'], /--stacks: a stack is one transport/],
    [['--stacks', 'net:a:2~shs', 'net:h:1'], /--stacks: names only/],
    [['--nosuch', 'net:h:1'], /--nosuch: there is no such option/],
  ]
  for (const [args, why] of cases) {
    const { proc, status } = await address(world, ...args)
    assert.strictEqual(status, 2, args.join(' '))
    assertComplaint(proc, why)
  }
})
