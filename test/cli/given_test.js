'use strict'
// Addresses that are not on the command line: @FILE, and the first line of standard input.

const assert = require('assert')
const { execFileSync } = require('child_process')
const fs = require('fs')
const { scenario, assertComplaint, identity } = require('../world')

// An echo for whoever has the seed: its address.
async function server(world, guest) {
  const serve = world.ours(['serve', '--echo', '--allow', `@${guest.key}.ed25519`, 'net:127.0.0.1:0~shs'])
  return `${await serve.line()}:${guest.seed}`
}

scenario('connect and check take an address with a seed from a file', async (world) => {
  const at = await server(world, identity())
  for (const [i, text] of [at, `${at}\n`, `\n  ${at}\r\n\n`].entries()) {
    const file = world.write(`invite${i}`, text)
    const told = await world.run(['connect', `@${file}`], { input: 'hello' })
    assert.deepStrictEqual([told.status, told.stdout().toString()], [0, 'hello'], told.err)
    const tried = await world.run(['check', `@${file}`])
    assert.strictEqual(tried.status, 0, tried.err)
  }
  const relative = await world.run(['connect', '@invite0'], { input: 'hello' })
  assert.strictEqual(relative.status, 0)
  const canonical = await world.run(['address', '@invite0'])
  assert.strictEqual(canonical.stdout().toString(), `${at}\n`)
  const bridge = world.ours(['serve', '--forward', '@invite0', '--allow-any', 'net:127.0.0.1:0~shs'])
  const over = world.ours(['connect', await bridge.line()])
  over.child.stdin.end('hello')
  assert.strictEqual(await over.exit(), 0)
  assert.strictEqual(over.stdout().toString(), 'hello')
})

scenario('connect takes the first line of standard input, and not a byte more', async (world) => {
  const at = await server(world, identity())
  const rest = 'one\ntwo\n' + 'x'.repeat(300000)
  const piped = await world.run(['connect', '-'], { input: `${at}\n${rest}` })
  assert.deepStrictEqual([piped.status, piped.stdout().toString() === rest], [0, true], piped.err)
  const file = fs.openSync(world.write('all', `${at}\n${rest}`), 'r')
  const read = world.start('connect -', process.env.MULTISERVER, ['connect', '-'], { stdin: file })
  assert.strictEqual(await read.exit(), 0)
  assert.ok(read.stdout().toString() === rest)
  const slow = world.start('connect -', process.env.MULTISERVER, ['connect', '-'])
  for (const part of [at.slice(0, 10), at.slice(10), '\nhel', 'lo']) {
    slow.child.stdin.write(part)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await slow.until(() => slow.stdout().toString() === 'hello', 'the echo')
  assert.strictEqual(fs.readFileSync(`/proc/${slow.child.pid}/cmdline`, 'utf8').split('\0').slice(1).join(' '), 'connect - ')
  assert.strictEqual(await slow.finish(), 0)
  for (const args of [['check', '-'], ['address', '-']]) {
    const told = await world.run(args, { input: `${at}\nmore\n` })
    assert.strictEqual(told.status, 0, told.err)
  }
  const bare = await world.run(['check', '-'], { input: at })
  assert.strictEqual(bare.status, 0)
})

scenario('what is no address there is one error line', async (world) => {
  const guest = identity()
  const at = `net:127.0.0.1:1~shs:${identity().key}`
  execFileSync('mkfifo', [world.path('fifo')])
  const open = (mode, text) => {
    const file = world.write(`mode${mode}`, text)
    fs.chmodSync(file, Number(mode))
    return file
  }
  const cases = [
    [`@${world.path('missing')}`, 1, /@.*missing: cannot be read: No such file or directory: what follows @ is a file with the address in it\n/],
    [`@${world.write('file', '')}/x`, 1, /x: cannot be read: Not a directory: what follows @ is a file/],
    [`@${Array(3).fill(at).join(';')}`, 1, /: cannot be read: .*: what follows @ is a file with the address in it; did you mean net:/],
    [`@${at}:${guest.seed}`, 1, /: connect: |: check: |: address: /],
    ['@', 2, /names no file/],
    [`@${world.path('fifo')}`, 1, /fifo: is a pipe: it has to be a file/],
    [`@${world.dir}`, 1, /cannot be read: Is a directory/],
    ['@/dev/zero', 1, /is a device/],
    [`@${world.write('huge', 'x'.repeat(70000))}`, 1, /is too large/],
    [`@${world.write('empty', '\n \n')}`, 2, /has no address in it/],
    [`@${world.write('two', `${at}\n${at}\n`)}`, 2, /has more than one line/],
    [`@${world.write('nul', `${at}\0`)}`, 2, /nul: line 1 has a NUL byte/],
    [`@${open(0o644, `${at}:${guest.seed}`)}`, 1, /is no secret: everybody may open it/],
    [`@${open(0o640, `host:1:@${guest.key}.ed25519~${guest.seed}`)}`, 1, /is no secret: its group may open it/],
    ['-', 2, /standard input: has no address in it/],
  ]
  for (const command of ['connect', 'check', 'address']) {
    for (const [arg, status, why] of cases) {
      const told = await world.run([command, arg])
      assert.strictEqual(told.status, status, `${command} ${arg}: ${told.err}`)
      assertComplaint(told, why)
      assert.ok(!told.err.includes(guest.seed))
    }
  }
  // Without a seed it is no secret.
  const known = await world.run(['address', `@${open(0o644, at)}`])
  assert.strictEqual(known.status, 0)
})
