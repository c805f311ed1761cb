'use strict'
// multiserver check: every alternative by itself, step by step.

const assert = require('assert')
const { execFileSync } = require('child_process')
const net = require('net')
const { scenario, identity, closedPort, command } = require('../world')

async function check(world, args) {
  const proc = world.ours(['check', ...args])
  proc.status = await proc.finish()
  return proc
}

// The port of one who takes connections and does this with them.
async function answering(world, answer) {
  const server = net.createServer((socket) => answer(socket.on('error', () => {}).resume()))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => server.close())
  return server.address().port
}

scenario('what works is taken apart', async (world) => {
  const me = identity()
  const server = world.ours(['serve', '--echo', 'net:127.0.0.1:0~shs', 'ws://127.0.0.1:0~shs', `unix:${world.socketDir('s')}/socket~noauth`], { as: me })
  const at = await server.line()
  const proc = world.ours(['check', at], { as: me })
  assert.strictEqual(await proc.finish(), 0)
  const parts = proc.stdout().toString().split('\n\n')
  assert.strictEqual(parts.length, 3)
  const layers = [['shs'], ['http', 'ws', 'shs'], ['noauth']]
  at.split(';').forEach((alternative, i) => {
    const lines = parts[i].trim().split('\n').map((line) => line.trim())
    assert.strictEqual(lines.shift(), alternative)
    const wanted = [/^parse +ok$/, ...(alternative.startsWith('unix') ? [] : [/^resolve +\d+ ms$/]), /^connect +\S+ \d+ ms$/, ...layers[i].map((l) => new RegExp(`^${l} +\\d+ ms$`)),
      alternative.includes('~shs') ? /^open +\d+ ms in all$/ : /^reachable, nobody proved \d+ ms in all$/]
    assert.strictEqual(lines.length, wanted.length, parts[i])
    wanted.forEach((line, k) => assert.match(lines[k], line))
  })
  assert.strictEqual(proc.err, '')
})

scenario('what does not work says where, why and what to do', async (world) => {
  const { key, seed } = identity()
  const port = await closedPort()
  const quiet = await answering(world, () => {})
  const cases = [
    [`net:127.0.0.1:${port}~shs:${key}`, /connect +failed after \d+ ms: .*refused\n +-> nobody listens there/],
    [`unix:${world.path('none')}~noauth`, /connect +failed after \d+ ms: .*No such file.*\n +-> there is no such socket/],
    [`unix:/${'x'.repeat(200)}~noauth`, /connect +failed after \d+ ms: the path has 201 bytes[^\n]*\n$/],
    ['net:nobody.invalid:1~noauth', /resolve +failed after \d+ ms: unknown host.*\n +-> check the spelling/],
    ['net:fe80::1%nope0:1~noauth', /resolve +failed after \d+ ms: unknown host.*\n +-> what stands after the '%' is an interface/],
    [`net:127.0.0.1:${quiet}~shs:${key}`, /connect +127\.0\.0\.1:\d+ \d+ ms\n +shs +failed after \d+ ms: timed out\n +-> something accepts there/],
    [`net:127.0.0.1:${await answering(world, (socket) => socket.once('data', () => socket.resetAndDestroy()))}~shs:${key}`,
      /net +failed after \d+ ms: the connection was lost.*\n +-> the server hung up on us: its limits, a ban/],
    [`net:127.0.0.1:${await answering(world, (socket) => socket.once('data', () => socket.end()))}~shs:${key}`,
      /shs +failed after \d+ ms: .*ended before.*\n +-> the server hung up on us: another --network-key/],
    ['onion:x.onion:1~shs:' + key, /match +failed: no stack understands.*\n +-> use a version/],
    [`net:127.0.0.1:${port}~shs:${key}:${seed}`, /refused/],
  ]
  for (const [address, wanted] of cases) {
    const proc = await check(world, ['--timeout', '500', address])
    assert.strictEqual(proc.status, 1, address)
    const out = proc.stdout().toString()
    assert.match(out, wanted)
    assert.ok(!out.includes(seed), out)
    assert.strictEqual(proc.err, '')
  }
})

scenario('a refusal names the key to be admitted', async (world) => {
  const [me, guest] = [identity(), identity()]
  const server = world.ours(['serve', '--echo', 'net:127.0.0.1:0~shs']) // it admits nobody else
  const refusing = await server.line()
  const advice = async (proc) => {
    assert.strictEqual(await proc.finish(), 1)
    const [, text] = /shs +failed after \d+ ms: refused.*\n +-> ([^\n]*)\n$/.exec(proc.stdout())
    return text
  }
  const known = (key) => `the server knows us as ${key}: have it admitted there, or check the KEY in the address`
  assert.strictEqual(await advice(world.ours(['check', refusing], { as: me })), known(me.key))
  assert.strictEqual(await advice(world.ours(['check', `${refusing}:${guest.seed}`], { as: me })), known(guest.key))
  assert.match(await advice(world.start('check', command, ['check', refusing])),
    /^the server knows us as [\w+/]{43}=, made for this once: run multiserver keygen first, and have that key admitted there, or check/)
})

// A unix socket whose queue is full.
async function stopped(world) {
  const socket = `${world.socketDir('full')}/socket`
  const listen = 'require("net").createServer().listen({ path: process.argv[1], backlog: 1 }, () => console.log("up"))'
  const server = world.start('server', process.execPath, ['-e', listen, socket])
  await server.line()
  server.kill('SIGSTOP')
  for (let full = false; !full;) {
    const guest = net.connect(socket)
    world.atEnd(() => guest.destroy())
    full = await new Promise((resolve) => guest.on('connect', () => resolve(false)).on('error', () => resolve(true)))
  }
  return `unix:${socket}~noauth`
}

scenario('a unix server that accepts nobody', async (world) => {
  const proc = await check(world, ['--timeout', '300', await stopped(world)])
  assert.strictEqual(proc.status, 1)
  assert.match(proc.stdout().toString(), /connect +failed after \d+ ms: the server does not accept: .*\n +-> the server is busy, or stopped\n$/)
})

scenario('TLS: none there, or a certificate that is not trusted', async (world) => {
  const pem = world.path('tls.pem')
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
    '-subj', '/CN=localhost', '-keyout', pem, '-out', `${pem}.cert`], { stdio: 'ignore' })
  const serve = world.ours(['serve', '--echo', '--tls-cert', `${pem}.cert`, '--tls-key', pem, 'wss://127.0.0.1:0~noauth'])
  const cases = [
    [await serve.line(), /tls +failed after \d+ ms: the certificate is not trusted: .*\n +-> check the name and the clock; --tls-ca/],
    [`wss://127.0.0.1:${await answering(world, (socket) => socket.end('HTTP/1.1 400 Bad\r\n\r\n'))}~noauth`,
      /tls +failed after \d+ ms: TLS failed: .*\n +-> the server does not agree with us: is it TLS on this port/],
    [`wss://127.0.0.1:${await answering(world, (socket) => socket.once('data', () => socket.end()))}~noauth`,
      /tls +failed after \d+ ms: .*ended before.*\n +-> the server hung up on our greeting: is it TLS/],
  ]
  for (const [address, wanted] of cases) assert.match((await check(world, [address])).stdout().toString(), wanted)
})

scenario('who has proved nothing is reachable, not open', async (world) => {
  const pem = world.path('tls.pem')
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', pem, '-out', `${pem}.cert`], { stdio: 'ignore' })
  const serve = world.ours(['serve', '--echo', '--allow-any', '--tls-cert', `${pem}.cert`, '--tls-key', pem,
    'net:localhost:0', 'net:localhost:0~noauth', 'ws://localhost:0', 'net:localhost:0~tls', 'wss://localhost:0', 'net:localhost:0~shs'])
  const [plain, noauth, ws, tls, wss, shs] = (await serve.line()).split(';')
  const nobody = [[plain], [noauth], [ws], ['--tls-insecure', tls], ['--tls-insecure', wss], [shs.replace(/~.*/, '')]]
  const somebody = [['--tls-ca', `${pem}.cert`, tls], ['--tls-ca', `${pem}.cert`, wss], [shs]]
  for (const args of [...nobody, ...somebody]) {
    const proc = await check(world, args)
    assert.strictEqual(proc.status, 0)
    const said = proc.stdout().toString()
    assert.strictEqual(/\n {2}reachable, nobody proved [^\n]*\d+ ms in all\n/.test(said), nobody.includes(args), said)
    assert.strictEqual(/\n {2}open [^\n]*\d+ ms in all\n/.test(said), somebody.includes(args), said)
  }
})

scenario('a link-local address without its interface', async (world, t) => {
  const stdout = (await check(world, ['net:fe80::1:1~noauth'])).stdout().toString()
  if (!/Invalid argument/.test(stdout)) return t.skip('there is no IPv6')
  assert.match(stdout, /connect +failed after .*\n +-> a link-local address needs its interface: fe80::1%eth0\n$/)
})

// A loop has some for itself; who is left with too few for that is told at once, and with too few for
// both addresses of a host with the second.
scenario('no descriptor is left', async (world) => {
  const deaf = net.createServer((socket) => socket.on('error', () => {})) // attempts wait for it side by side
  await new Promise((resolve) => deaf.listen(0, '::', resolve))
  world.atEnd(() => deaf.close())
  const address = `net:localhost:${deaf.address().port}~shs:${identity().key}`
  let told = ''
  for (let n = 4; n < 32 && !told; n++) {
    const proc = world.start('sh', 'sh', ['-c', `ulimit -n ${n}; exec "$0" check --timeout 1000 "$1"`, command, address])
    assert.strictEqual(await proc.finish(), 1)
    told = proc.stdout().toString()
    if (!told) assert.match(proc.err, /multiserver: check: no event loop: Too many open files \(ulimit -n\)\n$/)
  }
  assert.match(told, /connect +[0-9.:]+ failed [^\n]*Too many open files\n/)
})

scenario('one bad alternative does not hide the others', async (world) => {
  const me = identity()
  const server = world.ours(['serve', '--echo', 'net:127.0.0.1:0~shs'], { as: me })
  const at = await server.line()
  const proc = world.ours(['check', `unknown:x~y;net:127.0.0.1:${await closedPort()}~noauth;${at}`], { as: me })
  assert.strictEqual(await proc.finish(), 0)
  assert.match(proc.stdout().toString(), /alternative 1, at byte 0: [^\n]*\n +parse +a section begins[^\n]*\n +-> an alternative is as in net:HOST[^]*refused[^]*open +\d+ ms in all\n$/)
})

scenario('advice is for an alternative, not for each address of its host', async (world) => {
  const server = world.ours(['serve', '--echo', 'net:127.0.0.1:0~noauth']) // nobody listens at ::1
  const good = await check(world, [(await server.line()).replace('127.0.0.1', 'localhost')])
  assert.strictEqual(good.status, 0)
  assert.ok(!good.stdout().includes('->'), good.stdout())
  const bad = await check(world, [`net:localhost:${await closedPort()}~noauth`])
  assert.strictEqual(bad.status, 1)
  assert.match(bad.stdout().toString(), /127\.0\.0\.1: Connection refused\n +-> nobody listens[^\n]*\n$/)
  assert.strictEqual(bad.stdout().toString().split('->').length, 2, bad.stdout())
})

scenario('a host that is half broken is told as such', async (world, t) => {
  const me = identity()
  const server = world.ours(['serve', '--echo', 'net:127.0.0.1:0~shs', 'ws://127.0.0.1:0~shs'], { as: me })
  const [overNet, overWs] = (await server.line()).split(';').map((at) => at.replace('127.0.0.1', 'localhost'))
  for (const [at, layer] of [[overNet, 'shs'], [overWs, 'http']]) {
    const port = Number(/localhost:(\d+)/.exec(at)[1])
    const silent = net.createServer((socket) => socket.on('error', () => {}))
    const there = await new Promise((resolve) => silent.on('error', () => resolve(false)).listen(port, '::1', () => resolve(true)))
    if (!there) return t.skip('there is no IPv6')
    world.atEnd(() => silent.close())
    const proc = world.ours(['check', at], { as: me })
    assert.strictEqual(await proc.finish(), 0)
    assert.match(proc.stdout().toString(), new RegExp(
      `connect +\\[::1\\]:${port} \\d+ ms\n +connect +127[^]*shs +127\\.0\\.0\\.1:${port} \\d+ ms\n +open +127[^]*\n` +
      ` +${layer} +\\[::1\\]:${port} no answer yet after \\d+ ms\n$`))
  }
})

scenario('a pipe gets each step when it is', async (world) => {
  const proc = world.ours(['check', '--timeout', '3600000', `net:127.0.0.1:${await answering(world, () => {})}~shs:${identity().key}`])
  await proc.until(() => /connect +127/.test(proc.stdout()), 'the step before the one that hangs')
  assert.ok(!proc.done)
})

scenario('old addresses, and wrong usage', async (world) => {
  const { key } = identity()
  const old = await check(world, [`127.0.0.1:${await closedPort()}:@${key}.ed25519`])
  assert.strictEqual(old.status, 1)
  assert.match(old.stdout().toString(), /^net:127\.0\.0\.1:\d+~shs:/)
  for (const [args, why] of [[[], /an address is missing/], [['a', 'b'], /one address is enough/], [['=='], /check: /],
    [['--network-key', 'x', 'net:h:1'], /--network-key/]]) {
    const proc = await check(world, args)
    assert.strictEqual(proc.status, 2)
    assert.match(proc.err, why)
    assert.strictEqual(proc.stdout().toString(), '')
  }
})
