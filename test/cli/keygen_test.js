'use strict'
// keygen and id: identities in files.

const assert = require('assert')
const fs = require('fs')
const { scenario, identity, secretFile, assertComplaint, command } = require('../world')

const KEY = /^[A-Za-z0-9+/]{43}=\n$/

scenario('keygen makes an identity that id reads', async (world) => {
  const file = world.path('me.secret')
  const made = await world.run(['keygen', file])
  assert.strictEqual(made.status, 0)
  assert.strictEqual(made.err, '')
  const key = made.stdout().toString()
  assert.match(key, KEY)
  assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
  const text = fs.readFileSync(file, 'utf8')
  const json = JSON.parse(text.split('\n').filter((line) => !line.startsWith('#')).join('\n'))
  assert.deepStrictEqual(Object.keys(json), ['curve', 'public', 'private', 'id'])
  assert.strictEqual(json.curve, 'ed25519')
  assert.strictEqual(json.public, `${key.trim()}.ed25519`)
  assert.strictEqual(json.id, `@${key.trim()}.ed25519`)
  assert.match(json.private, /^[A-Za-z0-9+/]{86}==\.ed25519$/)
  // the private key is the seed and the public key, as libsodium has them
  const secret = Buffer.from(json.private, 'base64')
  assert.strictEqual(identity(secret.subarray(0, 32)).key, key.trim())
  const told = await world.run(['id', '--key', file])
  assert.deepStrictEqual([told.status, told.stdout().toString()], [0, key])
})

scenario('no two identities are alike, and none is overwritten', async (world) => {
  const file = world.path('me.secret')
  await world.run(['keygen', file])
  const before = fs.readFileSync(file, 'utf8')
  const again = await world.run(['keygen', file])
  assert.strictEqual(again.status, 1)
  assertComplaint(again, /me\.secret: is not overwritten: File exists/)
  assert.strictEqual(again.stdout().toString(), '')
  assert.strictEqual(fs.readFileSync(file, 'utf8'), before)
  assert.deepStrictEqual(fs.readdirSync(world.dir), ['me.secret']) // and nothing is left beside it
  const other = await world.run(['keygen', world.path('other')])
  assert.strictEqual(other.status, 0)
  assert.notStrictEqual(fs.readFileSync(world.path('other'), 'utf8'), before)
})

scenario('the default file is below XDG_CONFIG_HOME', async (world) => {
  const made = await world.run(['keygen'])
  assert.strictEqual(made.status, 0)
  assert.strictEqual(fs.statSync(world.path('config/multiserver/secret')).mode & 0o777, 0o600)
  assert.strictEqual(fs.statSync(world.path('config/multiserver')).mode & 0o777, 0o700)
  const told = await world.run(['id'])
  assert.strictEqual(told.stdout().toString(), made.stdout().toString())
})

scenario('without XDG_CONFIG_HOME the default file is below HOME, and without both there is none', async (world) => {
  for (const env of [{ XDG_CONFIG_HOME: '' }, { XDG_CONFIG_HOME: 'relative' }]) {
    const made = await world.run(['keygen'], { env })
    assert.strictEqual(made.status, 0, `${made}`)
    assert.strictEqual(fs.statSync(world.path('.config/multiserver/secret')).mode & 0o777, 0o600)
    fs.unlinkSync(world.path('.config/multiserver/secret'))
  }
  for (const args of [['keygen'], ['id'], ['serve', '--echo', 'net:127.0.0.1:0~shs']]) {
    const none = await world.run(args, { env: { XDG_CONFIG_HOME: '', HOME: '' } })
    assert.strictEqual(none.status, 1, `${none}`)
    assert.match(none.err, /^multiserver: key: no place for an identity: set HOME, or use --key FILE\n$/)
  }
})

scenario('a default file that is a link to nowhere is told, and stays', async (world) => {
  fs.mkdirSync(world.path('config/multiserver'), { recursive: true })
  fs.symlinkSync('nowhere', world.path('config/multiserver/secret'))
  const serve = await world.run(['serve', '--echo', 'net:127.0.0.1:0~shs'])
  assert.strictEqual(serve.status, 1, `${serve}`)
  assert.match(serve.err, /^multiserver: key: .*multiserver\/secret: .*No such file.*\n$/)
  assert.strictEqual(fs.readlinkSync(world.path('config/multiserver/secret')), 'nowhere')
})

// Nobody in particular: root may write everywhere.
function somebody(world) {
  const file = world.everybodysCommand()
  const who = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {}
  return async (args, env) => {
    const proc = world.start(args[0], file, args, { ...who, env: { XDG_CONFIG_HOME: '', ...env } })
    proc.child.stdin.end()
    proc.status = await proc.exit()
    return proc
  }
}

scenario('what keeps the default identity from being made is told, with its place', async (world) => {
  const run = somebody(world)
  const folder = (name, mode) => {
    fs.mkdirSync(world.path(name))
    fs.chmodSync(world.path(name), mode)
    return world.path(name)
  }
  const closed = folder('closed', 0o555)
  fs.mkdirSync(world.path('open'), 0o755)
  fs.mkdirSync(world.path('open/.config'), 0o555)
  fs.mkdirSync(world.path('done/.config/multiserver'), { recursive: true })
  fs.chmodSync(world.path('done/.config/multiserver'), 0o555)
  fs.mkdirSync(world.path('tied'), 0o755)
  fs.symlinkSync('/nowhere/at/all', world.path('tied/.config'))
  fs.mkdirSync(world.path('filed'), 0o755)
  world.write('filed/.config', 'x')
  const hidden = folder('hidden', 0o700)
  if (process.getuid() !== 0) fs.chmodSync(hidden, 0)
  world.atEnd(() => [hidden, closed, world.path('open/.config'), world.path('done/.config/multiserver')].forEach((one) => fs.chmodSync(one, 0o700)))
  const rows = [
    [{ HOME: closed }, `${closed}/.config: this folder cannot be made: Permission denied`],
    [{ XDG_CONFIG_HOME: closed }, `${closed}/multiserver: this folder cannot be made: Permission denied`],
    [{ XDG_CONFIG_HOME: `${closed}/a/b` }, `${closed}/a: this folder cannot be made: Permission denied`],
    [{ HOME: world.path('open') }, `${world.path('open')}/.config/multiserver: this folder cannot be made: Permission denied`],
    [{ HOME: world.path('done') }, `${world.path('done')}/.config/multiserver/secret: cannot be written: Permission denied`],
    [{ HOME: world.write('file', 'x') }, `${world.path('file')}: this folder cannot be made: Not a directory`],
    [{ HOME: world.path('filed') }, `${world.path('filed')}/.config: this folder cannot be made: Not a directory`],
    [{ HOME: `${closed}/nobody` }, `${closed}/nobody: this folder cannot be made: Permission denied`],
    [{ HOME: world.path('tied') }, `${world.path('tied')}/.config: this folder cannot be made: it is a symbolic link to what is not there`],
    [{ HOME: `${world.path('tied')}/.config` }, `${world.path('tied')}/.config: this folder cannot be made: it is a symbolic link to what is not there`],
    [{ HOME: '/proc' }, '/proc/.config: this folder cannot be made: No such file or directory'],
    [{ HOME: closed, XDG_CONFIG_HOME: 'relative' }, `${closed}/.config: this folder cannot be made: Permission denied`],
  ]
  for (const [env, why] of rows) {
    for (const args of [['keygen'], ['serve', '--echo', 'net:127.0.0.1:0~shs']]) {
      const told = await run(args, env)
      assert.deepStrictEqual([told.status, told.err], [1, `multiserver: key: ${why}\n`])
    }
  }
  // one that may be there is not made anew; to connect it is not needed
  const place = `${hidden}/.config/multiserver/secret`
  const serve = await run(['serve', '--echo', 'net:127.0.0.1:0~shs'], { HOME: hidden })
  assert.deepStrictEqual([serve.status, serve.err], [1, `multiserver: key: ${place}: cannot be read: Permission denied\n`])
  const connect = await run(['connect', `net:127.0.0.1:1~shs:${identity().key}`], { HOME: hidden })
  assert.match(connect.err, new RegExp(`^multiserver: ${place} cannot be read: Permission denied; using an identity for this connection only\n`))
  const homeless = await run(['connect', `net:127.0.0.1:1~shs:${identity().key}`], { HOME: '' })
  assert.match(homeless.err, /^multiserver: no identity yet, using one for this connection only/)
})

scenario('a file system that is read only is called that', async (world, t) => {
  fs.mkdirSync(world.path('still'))
  const told = await world.start('keygen', 'unshare', ['--mount', ...process.getuid() === 0 ? [] : ['--map-root-user'], 'sh', '-ec',
    'mount -t tmpfs -o ro none "$HOME"; exec "$@"', 'sh', command, 'keygen'], { env: { HOME: world.path('still'), XDG_CONFIG_HOME: '' } })
  const status = await told.exit()
  if (/unshare|mount:/.test(told.err)) return t.skip('nothing can be mounted here')
  assert.deepStrictEqual([status, told.err],
    [1, `multiserver: key: ${world.path('still')}/.config: this folder cannot be made: Read-only file system\n`])
})

scenario('id reads what npm has written, comments and all', async (world) => {
  const me = identity()
  const told = await world.run(['id', '--key', world.write('secret', secretFile(me))])
  assert.deepStrictEqual([told.status, told.stdout().toString(), told.err], [0, me.key + '\n', ''])
})

scenario('a bad file is one error without a word of the secret', async (world) => {
  const me = identity()
  const good = secretFile(me)
  const secret = me.secretKey.toString('base64')
  const cases = [
    ['missing', null, /missing: cannot be read: No such file or directory; multiserver keygen [^ ]+missing makes an identity there\n/],
    ["not it's", null, /; multiserver keygen '[^ ]+not it'\\''s' makes an identity there\n/],
    ['empty', '', /line 1, column 1: this is not a JSON object; move it away, and multiserver keygen [^ ]+empty makes an identity there\n/],
    ['nul', good.replace('"id"', '\0'), /line 8 has a NUL byte; move it away/],
    ['text', `${secret}\n`, /line 1, column 1: this is not a JSON object/],
    ['line', good.replace('"id"', 'id'), /line 8, column \d+: this is not a JSON object/],
    ['curve', good.replace('"ed25519"', '"k256"'), /the curve is not ed25519/],
    ['short', good.replace(secret, secret.slice(4)), /"private" is not 64 bytes of base64/],
    ['none', good.replace('"private"', '"x"'), /"private" is not 64 bytes/],
    ['public', good.replace(/"public": "..../, '"public": "'), /"public" is not 32 bytes/],
    ['pair', good.replaceAll(me.key, identity().key), /do not belong together/],
    ['long', good + '#'.repeat(100000), /is too large: \d+ bytes, where 65535 are the most/],
    ['array', '[]', /line 1, column 1: this is not a JSON object/],
    ['more', good + '{}', /line \d+, column 1: this is not a JSON object/],
  ]
  for (const [name, text, why] of cases) {
    const file = text === null ? world.path(name) : world.write(name, text)
    const told = await world.run(['id', '--key', file])
    assert.strictEqual(told.status, 1, name)
    assert.strictEqual(told.stdout().toString(), '')
    assertComplaint(told, why)
    assert.ok(!told.err.includes(secret.slice(10, 30)), `${name}: the secret is shown`)
  }
  const folder = await world.run(['id', '--key', world.dir])
  assert.strictEqual(folder.status, 1)
  assertComplaint(folder, /Is a directory\n/)
})

scenario('what is said to make an identity where there is none does', async (world) => {
  const key = `${'A'.repeat(43)}=`
  for (const [args, missing] of [[['id'], 'config/multiserver/secret'], [['id', '--key', 'x y'], 'x y'], [['id', '--key=-z'], '-z'],
    [['connect', '--key', 'one', `net:127.0.0.1:1~shs:${key}`], 'one'], [['check', '--key', 'two', `net:127.0.0.1:1~shs:${key}`], 'two'],
    [['serve', '--echo', '--key', 'three', 'net:127.0.0.1:0~shs'], 'three']]) {
    const told = await world.run(args)
    assert.strictEqual(told.status, 1, told.err)
    assertComplaint(told, /No such file or directory; multiserver keygen.* makes an identity there\n/)
    const [, line] = /; multiserver (keygen.*) makes/.exec(told.err)
    assert.strictEqual(line === 'keygen', missing.startsWith('config'), line)
    const made = world.start('keygen', 'sh', ['-c', `exec "$0" ${line}`, command])
    assert.strictEqual(await made.exit(), 0, made.err)
    assert.ok(fs.existsSync(world.path(missing)), missing)
  }
  // a link to nowhere would be in its way
  fs.symlinkSync('nowhere', world.path('link'))
  assertComplaint(await world.run(['id', '--key', 'link']), /: No such file or directory\n/)
})

scenario('a place that cannot be written is an error', async (world) => {
  const made = await world.run(['keygen', world.path('secret/below/a/file')])
  assert.strictEqual(made.status, 0) // folders are made
  const refused = await world.run(['keygen', '/proc/secret'])
  assert.strictEqual(refused.status, 1)
  assertComplaint(refused, /^multiserver: key: \/proc\/secret: /)
})

scenario('wrong usage is told and exits with 2', async (world) => {
  const cases = [
    [[], /a command is missing/],
    [['frobnicate'], /frobnicate: there is no such command/],
    [['keygen', 'a', 'b'], /keygen: b: one file is enough/],
    [['keygen', '--force'], /--force: there is no such option/],
    [['id', 'x'], /takes no arguments/],
    [['id', '--key'], /--key: a value is missing/],
  ]
  for (const [args, why] of cases) {
    const told = await world.run(args)
    assert.strictEqual(told.status, 2, args.join(' '))
    assertComplaint(told, why)
  }
  assert.deepStrictEqual(fs.readdirSync(world.dir), [])
})

scenario('every command has a help with examples', async (world) => {
  const all = await world.run(['--help'])
  assert.strictEqual(all.status, 0)
  const commands = all.stdout().toString().match(/^ {2}(\w+) {2,}\S/gm).map((s) => s.trim().split(' ')[0])
  assert.deepStrictEqual(commands, ['serve', 'connect', 'check', 'address', 'keygen', 'id'])
  for (const name of commands) {
    const help = await world.run([name, '--help'])
    assert.strictEqual(help.status, 0)
    assert.match(help.stdout().toString(), new RegExp(`^usage: multiserver ${name}`))
    assert.match(help.stdout().toString(), /\nexamples?:\n {2}/)
    assert.strictEqual((await world.run(['help', name])).stdout().toString(), help.stdout().toString())
    for (const line of help.stdout().toString().split('\n')) assert.ok(line.length <= 90, line)
  }
  const version = await world.run(['--version'])
  assert.match(version.stdout().toString(), /^multiserver \d+\.\d+\.\d+ \(libuv .*libsodium .*jansson .*\)\n$/)
})
