'use strict'
// Files that an operator names: whatever is no file is refused at once, and what is no secret is not
// taken for one.

const assert = require('assert')
const { execFileSync } = require('child_process')
const fs = require('fs')
const net = require('net')
const { scenario, assertComplaint, identity, secretFile, command } = require('../world')

const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })

function certificate(world, name = 'own') {
  const [cert, key] = [world.path(`${name}.pem`), world.path(`${name}.key`)]
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', cert,
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost')
  return { cert, key }
}

// Every option that reads a file, as a command line with `file` in its place.
const readers = (world, { cert, key }, me) => ({
  'id --key': (file) => ['id', '--key', file],
  'serve --key': (file) => ['serve', '--echo', '--key', file, 'net:127.0.0.1:0~shs'],
  'connect --key': (file) => ['connect', '--key', file, `net:127.0.0.1:1~shs:${me.key}`],
  'check --key': (file) => ['check', '--key', file, `net:127.0.0.1:1~shs:${me.key}`],
  '--allow-file': (file) => ['serve', '--echo', '--key', world.path('me'), '--allow-file', file, 'net:127.0.0.1:0~shs'],
  '--tls-cert': (file) => ['serve', '--echo', '--tls-cert', file, '--tls-key', key, 'net:127.0.0.1:0~tls'],
  '--tls-key': (file) => ['serve', '--echo', '--tls-cert', cert, '--tls-key', file, 'net:127.0.0.1:0~tls'],
  'connect --tls-ca': (file) => ['connect', '--tls-ca', file, 'net:localhost:1~tls'],
  'check --tls-ca': (file) => ['check', '--tls-ca', file, 'net:localhost:1~tls'],
})

// What is there in the place of a file, and what is said of it.
async function faults(world) {
  execFileSync('mkfifo', [world.path('fifo')])
  const listener = net.createServer()
  await new Promise((resolve) => listener.listen(world.path('socket'), resolve))
  world.atEnd(() => listener.close())
  fs.symlinkSync('loop', world.path('loop'))
  fs.truncateSync(world.write('huge', 'x'), 1 << 30)
  return [
    ['missing', /cannot be read: No such file/],
    ['', /cannot be read: Is a directory/],
    ['fifo', /is a pipe: it has to be a file/],
    ['socket', /is a socket: it has to be a file/],
    ['/dev/null', /is a device: it has to be a file/],
    ['/dev/zero', /is a device: it has to be a file/],
    ['huge', /is too large: 1073741824 bytes, where \d+ are the most/],
    ['loop', /cannot be read: Too many levels of symbolic links/],
    ['me/x', /cannot be read: Not a directory/],
  ].map(([name, why]) => [name[0] === '/' ? name : name ? world.path(name) : world.dir, why])
}

scenario('what is no file is refused at once, wherever one is named', async (world) => {
  const me = identity()
  world.write('me', secretFile(me))
  const cases = await faults(world)
  for (const [option, line] of Object.entries(readers(world, certificate(world), me))) {
    for (const [file, why] of cases) {
      const proc = await world.run(line(file))
      assert.strictEqual(proc.status, 1, `${option} ${file}`)
      assertComplaint(proc, why)
      assert.ok(proc.err.includes(file), `${option} does not name ${file}`)
    }
  }
})

scenario('on SIGHUP, too, and what there was is kept', async (world) => {
  const own = certificate(world)
  const friends = world.write('friends', `${identity().key}\n`)
  world.write('me', secretFile(identity()))
  const options = { '--tls-cert': own.cert, '--tls-key': own.key, '--tls-ca': world.write('ca', fs.readFileSync(own.cert)), '--allow-file': friends }
  const serve = world.ours(['serve', '--forward', `wss://127.0.0.1:1~shs:${identity().key}`, ...Object.entries(options).flat(), 'wss://localhost:0~shs'])
  await serve.line()
  const cases = await faults(world)
  for (const file of Object.values(options)) {
    const kept = fs.readFileSync(file)
    for (const [fault, why] of cases) {
      fs.unlinkSync(file)
      fs.symlinkSync(fault, file)
      const from = serve.err.length
      serve.kill('SIGHUP')
      await serve.until(() => why.test(serve.err.slice(from)), `${why} of ${file}`)
    }
    fs.unlinkSync(file)
    fs.writeFileSync(file, kept, { mode: 0o600 })
  }
  const from = serve.err.length
  serve.kill('SIGHUP')
  await serve.until(() => /certificates read again\n.*friends: 1 key\n/.test(serve.err.slice(from)), 'all is well again')
})

scenario('what others may open is no secret', async (world) => {
  const me = identity()
  world.write('me', secretFile(me))
  const own = certificate(world)
  const both = world.write('both.pem', fs.readFileSync(own.cert, 'utf8') + fs.readFileSync(own.key, 'utf8'))
  const secrets = {
    identity: [world.path('me'), ['id', '--key', world.path('me')]],
    'TLS key': [own.key, ['serve', '--echo', '--tls-cert', own.cert, '--tls-key', own.key, 'net:127.0.0.1:0~tls']],
    'certificate and key': [both, ['serve', '--echo', '--tls-cert', both, 'net:127.0.0.1:0~tls']],
  }
  fs.chmodSync(own.cert, 0o644) // a certificate is for everybody
  const taken = async (args, opts) => {
    const proc = world.start(args[0], opts ? world.everybodysCommand() : command, args, opts)
    const line = await proc.line().catch(() => null)
    proc.kill('SIGTERM')
    await proc.exit()
    return line === null ? proc : null
  }
  for (const [what, [file, args]] of Object.entries(secrets)) {
    for (const mode of [0o600, 0o400, 0o700]) {
      fs.chmodSync(file, mode)
      assert.strictEqual(await taken(args), null, `${what}, ${mode.toString(8)}`)
    }
    for (const [mode, who] of [[0o640, 'its group'], [0o660, 'its group'], [0o620, 'its group'], [0o610, 'its group'], [0o604, 'everybody'], [0o644, 'everybody'],
      [0o602, 'everybody'], [0o601, 'everybody']]) {
      fs.chmodSync(file, mode)
      const refused = await taken(args)
      assert.ok(refused, `${what}, ${mode.toString(8)} is taken`)
      assertComplaint(refused, new RegExp(`is no secret: ${who} may open it \\(its mode is 0${mode.toString(8)}; chmod 600 makes it one\\)`))
    }
  }
  if (process.getuid() !== 0) return
  // Another's file is judged by what everybody may do with it; root's, given to a group, is a secret.
  const user = { uid: 65534, gid: 4242 }
  for (const [what, [file, args]] of Object.entries(secrets)) {
    fs.chownSync(file, 0, 4242)
    for (const [mode, as, fine] of [[0o640, {}, true], [0o640, user, true], [0o440, user, true], [0o660, {}, false], [0o660, user, true], [0o644, user, false],
      [0o641, user, false], [0o644, {}, false], [0o604, user, false]]) {
      fs.chmodSync(file, mode)
      const refused = await taken(args, as)
      assert.strictEqual(refused === null, fine, `${what} of root's, ${mode.toString(8)}, as ${as.uid || 0}: ${refused}`)
      if (refused && as.uid) assertComplaint(refused, mode === 0o604 ? /cannot be read: Permission denied|chmod o=/ : /everybody may open it .*chmod o= makes/)
    }
    fs.chmodSync(file, 0o600)
    const unreadable = await taken(args, user)
    assertComplaint(unreadable, /cannot be read: Permission denied/)
    fs.chownSync(file, 65534, 4242)
    fs.chmodSync(file, 0o640)
    assertComplaint(await taken(args, user), /its group may open it/)
    fs.chownSync(file, 0, 0)
    fs.chmodSync(file, 0o600)
  }
})

// As Windows' editors write them.
const marked = (text) => `\ufeff${text.replace(/\r?\n/g, '\r\n')}`

scenario('a text may begin with the mark of UTF-8, and its lines end in CRLF', async (world) => {
  const me = identity()
  const file = world.write('marked', marked(secretFile(me)))
  const shown = await world.run(['id', '--key', file])
  assert.strictEqual(shown.stdout().toString().trim(), me.key, shown.err)
  const guest = identity()
  const allow = world.write('allow', marked(`${guest.key}\n# a comment\n\n`))
  const server = world.ours(['serve', '--echo', '--allow-file', allow, 'net:127.0.0.1:0~shs'])
  const at = world.write('at', marked(`${await server.line()}\n`))
  const key = world.write('guest', marked(secretFile(guest)))
  const client = await world.run(['connect', '--key', key, `@${at}`], { input: 'hello' })
  assert.deepStrictEqual([client.status, client.stdout().toString()], [0, 'hello'], client.err)
  const line = await world.run(['connect', '--key', key, '-'], { input: `${fs.readFileSync(at)}hello` })
  assert.deepStrictEqual([line.status, line.stdout().toString()], [0, 'hello'], line.err)
  const own = certificate(world)
  for (const one of [own.cert, own.key]) fs.writeFileSync(one, marked(fs.readFileSync(one, 'utf8')))
  const tls = world.ours(['serve', '--echo', '--insecure-noauth', '--tls-cert', own.cert, '--tls-key', own.key, 'net:127.0.0.1:0~tls'])
  const trusting = await world.run(['connect', '--tls-ca', own.cert, `${await tls.line()}:localhost`], { input: 'hello' })
  assert.deepStrictEqual([trusting.status, trusting.stdout().toString()], [0, 'hello'], trusting.err)
})

// It would hide what stands behind it.
scenario('a NUL byte is called that, with its line', async (world) => {
  const me = identity()
  world.write('me', secretFile(me))
  const own = certificate(world)
  const kinds = { ...readers(world, own, me), '@FILE': (file) => ['connect', `@${file}`] }
  const texts = { '--allow-file': `${me.key}\n`, '--tls-cert': fs.readFileSync(own.cert, 'utf8'), '--tls-ca': fs.readFileSync(own.cert, 'utf8'),
    '--tls-key': fs.readFileSync(own.key, 'utf8'), '@FILE': 'net:127.0.0.1:1\n' }
  for (const [option, line] of Object.entries(kinds)) {
    const text = texts[option] ?? secretFile(me)
    const lines = text.split('\n').length - 1
    for (const [bad, where] of [[`${text}\0`, lines + 1], [text.replace(/.$/m, '\0'), 1], [`${text}\0\n`, lines + 1], [`${text}${'#'.repeat(20)}\0`, lines + 1]]) {
      const proc = await world.run(line(world.write('nul', bad)))
      assert.ok(proc.status > 0, `${option} ${where}`)
      assertComplaint(proc, new RegExp(`nul: line ${where} has a NUL byte`))
    }
  }
  const given = await world.run(['address', '-'], { input: 'net:127.0.0.1:1\0' })
  assertComplaint(given, /standard input: line 1 has a NUL byte/)
})

scenario('a text in UTF-16 or UTF-32 is called that', async (world) => {
  const me = identity()
  world.write('me', secretFile(me))
  const own = certificate(world)
  const kinds = { ...readers(world, own, me), '@FILE': (file) => ['connect', `@${file}`] }
  const texts = { '--allow-file': `${me.key}\n`, '--tls-cert': fs.readFileSync(own.cert, 'utf8'), '@FILE': 'net:127.0.0.1:1\n' }
  const utf16 = (text) => Buffer.from(text, 'utf16le')
  const utf32 = (text) => Buffer.concat([...text].map((c) => Buffer.from([c.codePointAt(0) & 255, c.codePointAt(0) >> 8, 0, 0])))
  const encodings = [utf16, (text) => utf16(`\ufeff${text}`), (text) => utf16(text).swap16(), (text) => utf16(`\ufeff${text}`).swap16(),
    (text) => utf32(text), (text) => utf32(`\ufeff${text}`), (text) => utf32(`\ufeff${text}`).swap32()]
  for (const [option, line] of Object.entries(kinds)) {
    for (const [i, encode] of encodings.entries()) {
      const proc = await world.run(line(world.write('wide', encode(texts[option] ?? secretFile(me)))))
      assert.ok(proc.status > 0, `${option} ${i}`)
      assertComplaint(proc, /wide: is UTF-16 or UTF-32: it has to be UTF-8/)
    }
  }
  const given = await world.run(['address', '-'], { input: utf16('net:127.0.0.1:1\r\n') })
  assertComplaint(given, /standard input: is UTF-16 or UTF-32/)
})
