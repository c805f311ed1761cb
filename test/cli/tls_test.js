'use strict'
// TLS: whom a client trusts and by which name, what is agreed on, and what is said of files of
// certificates and keys that are not right.

const assert = require('assert')
const { execFileSync } = require('child_process')
const fs = require('fs')
const tls = require('tls')
const { shownBy } = require('../interop/certificate')
const { scenario, assertComplaint, identity } = require('../world')

const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })

// NAME.pem and NAME.key in the world's folder. `issuer` is another one; `names` its subjectAltName.
function certificate(world, name, { issuer, names = 'DNS:localhost', from = -1, days = 2, ca = false, cn = name,
  key = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], digest = '-sha256', usage } = {}) {
  const [cert, keyFile, config] = ['pem', 'key', 'cnf'].map((suffix) => world.path(`${name}.${suffix}`))
  const day = (n) => new Date(Date.now() + n * 86400000).toISOString().replace(/[-:T]|\.\d+/g, '')
  const extensions = [`basicConstraints=CA:${ca ? 'TRUE' : 'FALSE'}`]
  if (names) extensions.push(`subjectAltName=${names}`)
  if (usage) extensions.push(`extendedKeyUsage=${usage}`)
  fs.writeFileSync(world.path(`${name}.txt`), '')
  fs.writeFileSync(config, `[ca]\ndefault_ca=d\n[d]\ndatabase=${world.path(`${name}.txt`)}\nnew_certs_dir=${world.dir}\n` +
    `rand_serial=yes\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n[req]\ndistinguished_name=n\n[n]\n[e]\n${extensions.join('\n')}\n`)
  openssl('req', '-new', '-newkey', ...key, '-nodes', '-keyout', keyFile, '-out', world.path(`${name}.csr`), '-subj', `/CN=${cn}`, '-config', config)
  const by = issuer ? ['-cert', issuer.cert, '-keyfile', issuer.key] : ['-selfsign', '-keyfile', keyFile]
  openssl('ca', '-batch', '-notext', '-config', config, '-extensions', 'e', '-md', digest.slice(1), '-startdate', day(from), '-enddate', day(days),
    ...by, '-in', world.path(`${name}.csr`), '-out', cert)
  return { cert, key: keyFile }
}

// `serve --echo` over TLS: its port.
async function server(world, { cert, key }, ...more) {
  const proc = world.ours(['serve', '--echo', '--tls-cert', cert, '--tls-key', key, ...more, 'net:localhost:0~tls'])
  const port = (await proc.line()).split(':')[2].split('~')[0]
  return { proc, port }
}

const chain = (world, name, ...files) => world.write(name, files.map((file) => fs.readFileSync(file)).join(''))

// connect: [status, what it says].
async function connects(world, address, ...options) {
  const proc = await world.run(['connect', ...options, address], { input: 'hello' })
  if (proc.status === 0) assert.strictEqual(proc.stdout().toString(), 'hello')
  return [proc.status, proc.err]
}

scenario('a certificate is taken by its subjectAltName, and by nothing else', async (world) => {
  const cases = [
    [null, 'localhost', /not trusted: hostname mismatch: it has no subjectAltName/],
    ['IP:127.0.0.1', 'localhost', /not trusted: hostname mismatch: it is for others/], // its common name is localhost
    ['IP:127.0.0.1', '127.0.0.1', null],
    ['DNS:localhost', '127.0.0.1', /not trusted: IP address mismatch: it is for localhost/],
    ['DNS:127.0.0.1', '127.0.0.1', /not trusted: IP address mismatch: it is for 127\.0\.0\.1/], // an address is no name
    ['DNS:localhost', 'localhost', null],
    ['DNS:LocalHost', 'localhost.', null],
    ['DNS:other.example', 'localhost', /not trusted: hostname mismatch: it is for other\.example/],
    ['DNS:*.localhost', 'a.localhost', /not trusted: hostname mismatch: it is for/], // a wildcard of a whole top domain
    ['DNS:*.a.localhost', 'x.a.localhost.', null],
    ['DNS:*.a.localhost', 'x.y.a.localhost', /not trusted: hostname mismatch: it is for/],
    ['DNS:*.a.localhost', 'a.localhost', /not trusted: hostname mismatch: it is for/],
    ['DNS:x*.a.localhost', 'xy.a.localhost', /not trusted: hostname mismatch: it is for/],
    ['DNS:a.*.localhost', 'a.b.localhost', /not trusted: hostname mismatch: it is for/],
  ]
  const made = new Map()
  for (const [names] of cases) {
    if (made.has(names)) continue
    const own = certificate(world, `cert${made.size}`, { names, cn: 'localhost' })
    made.set(names, { ...own, ...await server(world, own) })
  }
  for (const [names, host, why] of cases) {
    const { port, cert } = made.get(names)
    const [status, said] = await connects(world, `net:${host}:${port}~tls`, '--tls-ca', cert)
    assert.strictEqual(status, why ? 1 : 0, `${names} for ${host}: ${said}`)
    if (why) assert.match(said, why)
  }
})

scenario('localhost. is localhost, and its dot is in no server name', async (world) => {
  const own = certificate(world, 'cert')
  const asked = []
  const server = tls.createServer({ cert: fs.readFileSync(own.cert), key: fs.readFileSync(own.key), SNICallback: (name, cb) => { asked.push(name); cb() } })
  server.on('secureConnection', (socket) => socket.end('hi'))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => server.close())
  const { port } = server.address()
  for (const host of ['localhost.', 'localhost', '127.0.0.1']) {
    const proc = await world.run(['connect', '--tls-insecure', `net:${host}:${port}~tls`])
    assert.strictEqual(proc.stdout().toString(), 'hi', proc.err)
  }
  assert.deepStrictEqual(asked, ['localhost', 'localhost'], 'an address is no server name')
  const web = world.ours(['serve', '--echo', '--allow-any', '--tls-cert', own.cert, '--tls-key', own.key, 'wss://localhost.:0~shs'])
  const [, at] = (await web.line()).match(/(\d+\/?~shs:.*)/)
  const proc = await world.run(['connect', '--tls-ca', own.cert, `wss://localhost.:${at}`, '--key', world.secretOf()], { input: 'x' })
  assert.deepStrictEqual([proc.status, proc.stdout().toString()], [0, 'x'], proc.err)
})

scenario('an address that is told names what the certificate is for', async (world) => {
  const own = certificate(world, 'cert', { names: 'DNS:pub.example' })
  const proc = world.ours(['serve', '--echo', '--tls-cert', own.cert, '--tls-key', own.key, 'net:127.0.0.1:0~tls:pub.example'])
  const address = await proc.line()
  assert.match(address, /^net:127\.0\.0\.1:\d+~tls:pub\.example$/)
  const [status, said] = await connects(world, address, '--tls-ca', own.cert)
  assert.strictEqual(status, 0, said)
})

scenario('what --tls-ca names is trusted: a root, one below it, the server\'s own', async (world) => {
  const root = certificate(world, 'root', { ca: true, names: null })
  const middle = certificate(world, 'middle', { ca: true, names: null, issuer: root })
  const leaf = certificate(world, 'leaf', { issuer: middle })
  const stranger = certificate(world, 'stranger', { ca: true, names: null })
  const whole = await server(world, { cert: chain(world, 'chain', leaf.cert, middle.cert), key: leaf.key })
  const alone = await server(world, leaf)
  const self = certificate(world, 'self')
  const own = await server(world, self)
  const cases = [
    [whole, root.cert, null],
    [whole, middle.cert, null],
    [whole, leaf.cert, null],
    [alone, leaf.cert, null],
    [alone, middle.cert, null],
    [alone, root.cert, /not trusted: (unable to get local issuer certificate|self-signed certificate in certificate chain|unable to get issuer certificate): nobody trusted here has issued it/], // the one between is missing
    [whole, stranger.cert, /not trusted: (unable to get local issuer certificate|self-signed certificate in certificate chain|unable to get issuer certificate): nobody trusted here has issued it/],
    [own, self.cert, null],
    [own, root.cert, /the certificate is not trusted: self-signed certificate/],
  ]
  for (const [{ port }, ca, why] of cases) {
    const [status, said] = await connects(world, `net:localhost:${port}~tls`, '--tls-ca', ca)
    assert.strictEqual(status, why ? 1 : 0, `${ca}: ${said}`)
    if (why) assert.match(said, why)
    const checked = await world.run(['check', '--tls-ca', ca, `net:localhost:${port}~tls`])
    assert.strictEqual(checked.status, why ? 1 : 0)
    if (why) assert.match(checked.stdout().toString(), why)
  }
  const [status, said] = await connects(world, `net:localhost:${own.port}~tls`)
  assert.strictEqual(status, 1)
  assert.match(said, /self-signed/)
})

scenario('a server whose certificate no client will take says so', async (world) => {
  const cases = [
    [{ days: -1, from: -3 }, /it has expired/, /not trusted: certificate has expired: on 20\d\d-/],
    [{ from: 1, days: 3 }, /it is not valid yet/, /not trusted: certificate is not yet valid: but from 20\d\d-/],
    [{ names: null }, /it has no subjectAltName/, /it has no subjectAltName/],
    [{ usage: 'clientAuth' }, /it is not for servers/, /not trusted: unsuitable certificate purpose/],
  ]
  for (const [i, [how, noted, why]] of cases.entries()) {
    const own = certificate(world, `cert${i}`, { ...how, cn: 'localhost' })
    const { proc, port } = await server(world, own)
    assert.match(proc.err, noted)
    const [status, said] = await connects(world, `net:localhost:${port}~tls`, '--tls-ca', own.cert)
    assert.strictEqual(status, 1)
    assert.match(said, why)
  }
})

scenario('TLS 1.2 has authenticated ciphers with keys of elliptic curves only', async (world) => {
  const rsa = certificate(world, 'rsa', { key: ['rsa:2048'] })
  const ec = certificate(world, 'ec')
  for (const own of [rsa, ec]) {
    const { port } = await server(world, own)
    const offers = (ciphers, more = {}) => new Promise((resolve) => {
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2', ciphers, ...more }, () => {
        resolve(socket.getCipher().name)
        socket.destroy()
      }).on('error', () => resolve(null))
    })
    const kind = own === rsa ? 'RSA' : 'ECDSA'
    for (const bad of [`ECDHE-${kind}-AES128-SHA`, `ECDHE-${kind}-AES256-SHA384`, 'AES128-GCM-SHA256', 'AES256-SHA', 'DHE-RSA-AES128-GCM-SHA256',
      `ECDHE-${kind}-AES128-CCM`]) {
      if (/CCM|DHE-RSA-AES128-GCM/.test(bad) && kind === 'RSA' && /CCM/.test(bad)) continue // there is none
      assert.strictEqual(await offers(`${bad}:@SECLEVEL=0`), null, bad)
    }
    for (const good of [`ECDHE-${kind}-AES128-GCM-SHA256`, `ECDHE-${kind}-AES256-GCM-SHA384`, `ECDHE-${kind}-CHACHA20-POLY1305`]) {
      assert.strictEqual(await offers(good), good)
    }
    assert.strictEqual(await offers('ALL:@SECLEVEL=0', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }), null)
  }
  // As a client, it offers nothing else, and no key exchange of another kind.
  let hello = Buffer.alloc(0)
  const listener = require('net').createServer((socket) => socket.on('data', (data) => { hello = Buffer.concat([hello, data]); socket.destroy() }))
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => listener.close())
  await world.run(['connect', `net:127.0.0.1:${listener.address().port}~tls`])
  const at = 5 + 4 + 2 + 32
  let p = at + 1 + hello[at]
  const suites = []
  for (let n = hello.readUInt16BE(p), i = p + 2; i < p + 2 + n; i += 2) suites.push(hello.readUInt16BE(i).toString(16))
  const known = new Set(['1301', '1302', '1303', 'c02b', 'c02c', 'c02f', 'c030', 'cca8', 'cca9', 'ff'])
  assert.deepStrictEqual(suites.filter((suite) => !known.has(suite)), [])
  assert.ok(suites.length >= 9, suites.join())
  p += 2 + hello.readUInt16BE(p)
  p += 1 + hello[p] + 2
  let groups = null
  for (; p < hello.length; p += 4 + hello.readUInt16BE(p + 2)) if (hello.readUInt16BE(p) === 10) groups = hello.subarray(p + 6, p + 4 + hello.readUInt16BE(p + 2))
  const ids = Array.from({ length: groups.length / 2 }, (_, i) => groups.readUInt16BE(2 * i))
  assert.ok(ids.every((id) => [23, 24, 25, 29, 30].includes(id)), ids.join())
})

scenario('what is wrong with a file of certificates or keys is said in words, at start and on SIGHUP', async (world) => {
  const root = certificate(world, 'root', { ca: true, names: null })
  const middle = certificate(world, 'middle', { ca: true, names: null, issuer: root })
  const leaf = certificate(world, 'leaf', { issuer: middle })
  const other = certificate(world, 'other')
  const short = certificate(world, 'short', { key: ['rsa:1024'] })
  const weak = certificate(world, 'weak', { issuer: root, digest: '-sha1', key: ['rsa:2048'], ca: true })
  const below = certificate(world, 'below', { issuer: weak })
  const text = (file) => fs.readFileSync(file, 'utf8')
  const bytes = (...args) => openssl(...args)
  const w = (name, data) => world.write(name, data)
  const good = { cert: leaf.cert, key: leaf.key, ca: root.cert }
  const secondBroken = text(root.cert) + text(middle.cert).replace(/\n..../, '\n!!!!')
  const cut = text(root.cert) + text(middle.cert).slice(0, 300)
  const lines = text(root.cert).split('\n').length
  const cases = [
    // of both
    [{ cert: w('empty', '') }, /the certificate .*empty: is empty/],
    [{ key: w('empty', '') }, /the private key .*empty: is empty/],
    [{ ca: w('empty', '') }, /the certificates to be trusted .*empty: is empty/],
    [{ cert: w('words', 'nonsense\n') }, /words: has no certificate in it: PEM begins with -----BEGIN CERTIFICATE-----/],
    [{ key: w('words', 'nonsense\n') }, /words: has no private key in it: PEM begins with -----BEGIN PRIVATE KEY-----/],
    [{ ca: w('words', 'nonsense\n') }, /words: has no certificate in it/],
    [{ cert: w('der', bytes('x509', '-in', leaf.cert, '-outform', 'DER')) }, /der: is in DER: openssl x509/],
    [{ ca: w('der', bytes('x509', '-in', leaf.cert, '-outform', 'DER')) }, /der: is in DER: openssl x509/],
    [{ key: w('kder', bytes('pkey', '-in', leaf.key, '-outform', 'DER')) }, /kder: is in DER: openssl pkey/],
    [{ cert: w('p12', bytes('pkcs12', '-export', '-in', leaf.cert, '-inkey', leaf.key, '-passout', 'pass:x')) }, /p12: is PKCS#12/],
    [{ key: w('p12', bytes('pkcs12', '-export', '-in', leaf.cert, '-inkey', leaf.key, '-passout', 'pass:x')) }, /p12: is PKCS#12/],
    // the one for the other
    [{ cert: leaf.key }, /the certificate .*leaf\.key: has no certificate in it, only: PRIVATE KEY/],
    [{ key: w('certkey', text(leaf.cert)) }, /the private key .*certkey: has no private key in it, only: CERTIFICATE/],
    [{ ca: leaf.key }, /leaf\.key: has no certificate in it, only: PRIVATE KEY/],
    [{ cert: world.path('leaf.csr') }, /leaf\.csr: has no certificate in it, only: CERTIFICATE REQUEST, which is yet to be signed/],
    [{ key: w('public', bytes('pkey', '-in', leaf.key, '-pubout')) }, /public: has no private key in it, only: PUBLIC KEY/],
    [{ key: other.key }, /the private key .*other\.key: it is the key of another certificate than that in .*leaf\.pem/],
    [{ key: short.key }, /the key of another certificate/], // of another kind, too
    // keys
    [{ key: w('locked', bytes('pkey', '-in', leaf.key, '-aes256', '-passout', 'pass:x')) }, /locked: is under a password, which nobody is asked for/],
    [{ key: w('locked1', bytes('ec', '-in', leaf.key, '-aes256', '-passout', 'pass:x')) }, /locked1: is under a password/],
    [{ key: w('ssh', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n') }, /ssh: is in OpenSSH's own form/],
    [{ key: w('bad', text(leaf.key).replace(/\n..../, '\n!!!!')) }, /bad: block 1 \(PRIVATE KEY, line 1\) is broken/],
    [{ key: w('asn1', '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n') }, /asn1: block 1 \(PRIVATE KEY, line 1\) is broken/],
    [{ key: w('cutkey', text(leaf.key).slice(0, 100)) }, /cutkey: block 1 \(PRIVATE KEY, line 1\) is broken: its -----END line is missing/],
    // certificates
    [{ cert: w('second', text(leaf.cert) + secondBroken.slice(text(root.cert).length)) }, /second: block 2 \(CERTIFICATE, line \d+\) is broken: bad base64 decode/],
    [{ ca: w('second-ca', secondBroken) }, new RegExp(`second-ca: block 2 \\(CERTIFICATE, line ${lines}\\) is broken: bad base64 decode`)],
    [{ ca: w('cut', cut) }, /cut: block 2 \(CERTIFICATE, line \d+\) is broken: its -----END line is missing/],
    [{ cert: chain(world, 'first', middle.cert, leaf.cert) }, /first: the private key is that of certificate 2 in it, which has to be the first/],
    [{ cert: chain(world, 'order', leaf.cert, root.cert, middle.cert) }, /order: certificate 2 in it has not issued certificate 1/],
    [{ cert: short.cert, key: short.key }, /short\.pem: a key of 1024 bits is too short/],
    [{ cert: chain(world, 'below', below.cert, weak.cert), key: below.key }, /below: it is signed with \S*SHA1\S*, which is broken/],
    [{ cert: weak.cert, key: weak.key }, /weak\.pem: it is signed with \S*SHA1\S*, which is broken/],
  ]
  const args = ({ cert, key, ca }) => ['--tls-cert', cert, '--tls-key', key, '--tls-ca', ca]
  const to = `wss://127.0.0.1:1~shs:${identity().key}`
  // WHAT and REASON of "WHAT PATH: REASON".
  const reason = (err) => err.match(/(the [a-z ]+) \/[^:]+: ([^\n]*?)( than that in .*)?\n/).slice(1, 3).join(' ')
  const reasons = []
  for (const [fault, why] of cases) {
    const serve = world.ours(['serve', '--forward', to, '--allow-any', ...args({ ...good, ...fault }), 'wss://localhost:0~shs'])
    assert.strictEqual(await serve.exit(), 1)
    assertComplaint(serve, why)
    reasons.push(reason(serve.err))
    if (!fault.ca) continue
    for (const command of ['connect', 'check']) {
      const client = world.ours([command, '--tls-ca', fault.ca, `wss://localhost:1~shs:${identity().key}`])
      assert.strictEqual(await client.exit(), 1)
      assertComplaint(client, why)
    }
  }
  // On SIGHUP the same is said, and what there was is kept.
  const paths = { cert: world.path('now.pem'), key: world.path('now.key'), ca: world.path('now.ca') }
  const put = (files) => { for (const what in paths) { w(`now.${{ cert: 'pem', key: 'key', ca: 'ca' }[what]}`, fs.readFileSync(files[what])) } }
  put(good)
  const serve = world.ours(['serve', '--forward', to, '--allow-any', ...args(paths), 'wss://localhost:0~shs'])
  const port = (await serve.line()).match(/:(\d+)/)[1]
  const before = await shownBy(port)
  for (const [i, [fault]] of cases.entries()) {
    put({ ...good, ...fault })
    const from = serve.err.length
    serve.kill('SIGHUP')
    const said = await serve.until(() => serve.err.slice(from).match(/multiserver: reload: [^\n]*\n/), 'an error line')
    assert.strictEqual(reason(said[0]), reasons[i])
    assert.strictEqual(await shownBy(port), before)
  }
  put({ ...good, cert: other.cert, key: other.key })
  serve.kill('SIGHUP')
  await serve.until(() => /certificates read again/.test(serve.err), 'a note')
  assert.notStrictEqual(await shownBy(port), before)
})

scenario('those that are open and idle keep nobody out, and hold no buffers', async (world) => {
  const own = certificate(world, 'own')
  const { proc, port } = await server(world, own, '--limit', 'buffered=1048576')
  const idle = []
  world.atEnd(() => idle.forEach((socket) => socket.destroy()))
  for (let i = 0; i < 100; i++) {
    await new Promise((resolve, reject) => {
      idle.push(tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, resolve).on('error', reject))
    })
  }
  assert.deepStrictEqual(await connects(world, `net:localhost:${port}~tls`, '--tls-ca', own.cert), [0, ''])
  proc.kill('SIGUSR1')
  assert.match(await proc.until(() => /.*\bopen=.*\n/.exec(proc.err)?.[0], 'the counters'), /\bopen=100 .*\bbuffered=0 /)
})

scenario('whose certificates they are that cannot be used is said, not which stack', async (world) => {
  const file = world.write('ca', 'garbage')
  for (const args of [['connect'], ['check'], ['serve', '--forward']]) {
    const proc = await world.run([...args, 'net:localhost:1~tls', '--tls-ca', file, ...(args[1] ? ['net:127.0.0.1:0'] : [])])
    assert.strictEqual(proc.status, 1, `${proc}`)
    assert.match(proc.err, new RegExp(`^multiserver: ${args[0]}: the certificates to be trusted ${file}: has no certificate`))
  }
})
