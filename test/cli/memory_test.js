'use strict'
// What a core of the command would have in it: neither its identity nor its TLS key.

const assert = require('assert')
const { execFileSync } = require('child_process')
const crypto = require('crypto')
const fs = require('fs')
const { scenario, identity, secretFile } = require('../world')

const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })

// Of a process: where bytes are that a core has (MADV_DONTDUMP is "dd"), and whether others are.
function find(pid, needles) {
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r')
  const found = []
  // Of a core's kinds of memory, that of the process alone is bit 0 (core(5)).
  const filtered = !(Number(`0x${fs.readFileSync(`/proc/${pid}/coredump_filter`, 'utf8').trim()}`) & 1)
  let at = null
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const map = line.match(/^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/)
    if (map) at = { from: BigInt(`0x${map[1]}`), to: BigInt(`0x${map[2]}`), name: map[4] }
    if (!line.startsWith('VmFlags:') || at.to - at.from > 1n << 30n) continue
    const bytes = Buffer.alloc(Number(at.to - at.from))
    try {
      fs.readSync(memory, bytes, 0, bytes.length, at.from)
    } catch {
      continue // a guard page
    }
    const dumped = !/\bdd\b/.test(line)
    for (const [name, needle] of Object.entries(needles)) if (bytes.includes(needle)) found.push({ name, dumped: dumped && !filtered, plain: dumped, where: at.name })
  }
  fs.closeSync(memory)
  return found
}

for (const [kind, key] of Object.entries({ RSA: ['rsa:2048'], ECDSA: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], Ed25519: ['ed25519'] })) {
  scenario(`neither the identity nor a key of ${kind} would be in a core`, async (world, t) => {
    if (process.getuid() !== 0) {
      if (process.env.MS_NO_SKIP === '1') throw new Error('this takes root')
      t.skip('this takes root')
      return
    }
    const me = identity()
    const [cert, file] = [world.path('cert.pem'), world.write('key.pem', '')]
    openssl('req', '-x509', '-newkey', ...key, '-nodes', '-days', '2', '-keyout', file, '-out', cert, '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=DNS:localhost')
    const serve = world.start('serve', process.env.MULTISERVER, ['serve', '--echo', '--allow-any', '--key', world.write('me', secretFile(me)),
      '--tls-cert', cert, '--tls-key', file, 'wss://localhost:0~shs'])
    const at = await serve.line()
    const talk = async () => {
      const client = world.ours(['connect', '--tls-ca', cert, at])
      client.child.stdin.end('hello')
      assert.strictEqual(await client.exit(), 0, client.err)
      assert.strictEqual(client.stdout().toString(), 'hello')
    }
    await talk()
    serve.kill('SIGHUP')
    await serve.until(() => /certificates read again/.test(serve.err), 'a note')
    await talk()
    const text = fs.readFileSync(file, 'utf8')
    const jwk = crypto.createPrivateKey(text).export({ format: 'jwk' })
    const needles = { seed: Buffer.from(me.seed, 'base64'), text: Buffer.from(text.split('\n')[1].slice(0, 60)) }
    for (const part of ['d', 'p', 'q', 'dp', 'dq']) {
      if (!jwk[part]) continue
      needles[part] = Buffer.from(jwk[part], 'base64url')
      needles[`${part}, limbs`] = Buffer.from(needles[part]).reverse()
    }
    const found = find(serve.child.pid, needles)
    assert.ok(found.some(({ name, dumped }) => name === 'seed' && !dumped), 'the identity is found at all')
    assert.ok(found.some(({ name, dumped }) => /^d/.test(name) && !dumped), 'the key is found at all')
    assert.deepStrictEqual(found.filter(({ dumped }) => dumped), [])
    // Not even in memory that is not guarded, but for what the arithmetic of RSA keeps.
    assert.deepStrictEqual(found.filter(({ name, plain }) => plain && !/^[pq],/.test(name)), [])
  })
}

scenario('the system makes no core, and no other process of its user looks into it', async (world) => {
  if (process.getuid() !== 0) return // as root, both are allowed to root
  const ours = world.everybodysCommand()
  const user = { uid: 65534, gid: 65534 }
  const serve = world.start('serve', ours, ['serve', '--echo', 'net:127.0.0.1:0~noauth'], user)
  await serve.line()
  const { pid } = serve.child
  assert.strictEqual(fs.statSync(`/proc/${pid}/mem`).uid, 0, 'a process that can be dumped is its user\'s')
  const look = world.start('look', 'cat', [`/proc/${pid}/maps`], user)
  assert.notStrictEqual(await look.exit(), 0)
  // A command that it starts is no secret's.
  const exec = world.start('serve', ours, ['serve', '--exec', 'stat -c %u /proc/$$/mem; cat /proc/$$/coredump_filter', 'net:127.0.0.1:0~noauth'], user)
  const client = await world.run(['connect', await exec.line()])
  assert.strictEqual(client.stdout().toString(), '65534\n00000033\n', client.err)
})
