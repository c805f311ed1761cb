'use strict'
// serve's actions: --chat, --stdio, --forward.

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const tcp = require('net')
const { scenario, identity, sha256, assertComplaint, closedPort } = require('../world')

// ---- --chat ----

async function room(world, ...more) {
  const serve = world.ours(['serve', '--chat', '--allow-any', 'net:127.0.0.1:0~shs',
    `unix:${world.socketDir('s')}/socket~noauth`, ...more])
  const [net, unix] = (await serve.line()).split(';')
  return { serve, net, unix }
}

// Two that are in. Joining is told to the others only: one of them hears the other.
async function pair(world, address, other = address) {
  const guests = [world.ours(['connect', address]), world.ours(['connect', other])]
  await Promise.race(guests.map((guest) => heard(guest, ' joined\n')))
  return guests
}

const heard = (guest, text) =>
  guest.until(() => guest.stdout().toString().includes(text), JSON.stringify(text))

scenario('a room: names, joining, leaving, lines', async (world) => {
  const { net, unix } = await room(world)
  const as = identity()
  const name = as.key.slice(0, 8)
  const [one, two] = await pair(world, unix)
  const alice = world.ours(['connect', net], { as })
  await heard(one, `* ${name} joined\n`)
  await heard(two, `* ${name} joined\n`)
  alice.say('hello, room')
  await heard(one, `${name}: hello, room\n`)
  await heard(two, `${name}: hello, room\n`)
  one.child.stdin.write(Buffer.from('hello, \x1b[1m\tal\u00ed\u009bce \u2019\n', 'utf8'))
  await heard(alice, 'hello, ?[1m\tal\u00ed??ce \u2019\n')
  one.child.stdin.write(Buffer.from('9bff41e28041f09080800a', 'hex'))
  await heard(alice, ': ??A??A\u{10000}\n')
  alice.child.stdin.write('a long')
  alice.child.stdin.write(' line\r\nand a last')
  alice.child.stdin.end()
  assert.strictEqual(await alice.exit(), 0)
  await heard(two, `${name}: a long line\n${name}: and a last\n* ${name} left\n`)
  assert.ok(!alice.stdout().toString().includes('alice:'), 'nobody hears oneself')
  assert.ok(!alice.stdout().toString().includes(`${name}:`), 'nobody hears oneself')
  two.kill()
  await one.until(() => /\* guest-\d left\n/.test(one.stdout().toString()), 'a guest leaving')
})

// A connection of net that can be reset, and has said something: who has not is nobody yet.
async function plain(at) {
  const socket = tcp.connect(Number(at.match(/:(\d+)~/)[1]), '127.0.0.1')
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write('hello\n')
  return socket
}

scenario('a guest whose connection is reset has a line, as with every action, and none with --quiet', async (world) => {
  const far = tcp.createServer((socket) => socket.on('error', () => {}).resume())
  await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => far.close())
  for (const [what, ...action] of [['chat', '--chat'], ['echo', '--echo'], ['exec', '--exec', 'cat'],
    ['forward', '--forward', `net:127.0.0.1:${far.address().port}~noauth`]]) {
    for (const quiet of [false, true]) {
      const serve = world.ours(['serve', '--json', ...action, ...quiet ? ['-q'] : [], 'net:127.0.0.1:0~noauth'])
      const { address } = await serve.event('listening')
      const socket = await plain(address)
      const { address: peer } = await serve.event('connection')
      socket.resetAndDestroy()
      await serve.event('closed')
      const line = `multiserver: ${what}: ${peer}: `
      if (quiet) {
        serve.kill('SIGTERM')
        await serve.exit()
        assert.strictEqual(serve.err, '', what)
      } else {
        await serve.until(() => new RegExp(`^${line.replace(/[.[\]]/g, '\\$&')}.*(reset|lost)`, 'm').test(serve.err), 'a line')
      }
    }
  }
})

scenario('one of anything is counted as one', async (world) => {
  const { serve, unix } = await room(world, '--verbose')
  const one = world.ours(['connect', unix])
  one.child.stdin.end('\n')
  await serve.until(() => /, 1 byte in, \d+ out\n/.test(serve.err), 'one byte')
  await one.exit()
  for (let others = 0; others <= 12; others++) {
    const guest = world.ours(['connect', unix])
    await heard(guest, 'leaves.\n')
    const more = others - 10 // ten are named
    const said = guest.stdout().toString()
    assert.ok(more > 0 ? said.includes(` and ${more} more ${more === 1 ? 'is' : 'are'} here`) : !said.includes('more'), said)
  }
})

scenario('a room: 4 KiB a line and no more', async (world) => {
  const { unix } = await room(world)
  const [one, two] = await pair(world, unix)
  two.say('x'.repeat(4096))
  await heard(one, ': ' + 'x'.repeat(4096) + '\n')
  two.say('#'.repeat(4097))
  await heard(two, '* a line has at most 4096 bytes: yours was not passed on\n')
  two.say('after')
  await heard(one, ': after\n')
  assert.ok(!one.stdout().toString().includes('#'))
})

scenario('a room: those who leave at once all leave in peace', async (world) => {
  const { serve, net } = await room(world)
  const guests = await pair(world, net)
  for (let i = 2; i < 6; i++) {
    guests.push(world.ours(['connect', net]))
    await guests[0].until(() => guests[0].stdout().toString().split(' joined').length >= i, 'joining')
  }
  serve.kill('SIGSTOP')
  for (const guest of guests) guest.child.stdin.end('goodbye, all\n')
  // no more is to come from them once they wait for the room
  await Promise.all(guests.map(({ child }) => idle(child.pid)))
  serve.kill('SIGCONT')
  for (const guest of guests) assert.strictEqual(await guest.exit(), 0, guest.err)
})

scenario('a room that is closed says goodbye to everybody, however slow', async (world) => {
  const { serve, net } = await room(world)
  const [quick, slow] = await pair(world, net)
  const as = identity()
  const deaf = world.ours(['connect', net], { as })
  await Promise.all([quick, slow].map((guest) => heard(guest, `* ${as.key.slice(0, 8)} joined\n`)))
  deaf.kill('SIGSTOP')
  slow.kill('SIGSTOP')
  serve.kill('SIGTERM')
  assert.strictEqual(await quick.exit(), 0, quick.err)
  slow.kill('SIGCONT')
  assert.strictEqual(await slow.exit(), 0, slow.err)
  deaf.kill()
  assert.strictEqual(await serve.exit(), 0)
  assert.ok(serve.err.startsWith('multiserver: chat: net:'), serve.err)
  assertComplaint(serve, new RegExp(`~shs:${as.key.replaceAll('+', '\\+')}: .*(lost|reset|ended before)`))
})

// Until the process has read all its standard input and sleeps.
async function idle(pid) {
  const ticks = () => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ').slice(13, 15).join()
  for (let before, same = 0; same < 5; before = ticks()) {
    same = before === ticks() ? same + 1 : 0
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

scenario('a room: who reads too slowly is dropped, the others stay', async (world) => {
  const { net, unix } = await room(world)
  const [slow, fast] = await pair(world, net, unix)
  const talker = world.ours(['connect', unix])
  await heard(fast, 'guest-2 joined\n')
  slow.kill('SIGSTOP')
  let left = false
  fast.until(() => /\* [^ ]{8} left\n/.test(fast.out.slice(-2).join('')), 'the slow one leaving')
    .then(() => { left = true }, () => {})
  for (let i = 0; i < 100000 && !left; i++) {
    talker.say('z'.repeat(4000))
    // only as fast as the fast one reads, or it would be dropped, too
    await fast.until(() => fast.received > (i - 10) * 4000, 'keeping up')
  }
  assert.ok(left, 'the slow one is never dropped')
  assert.ok(!fast.done && !talker.done)
  slow.kill('SIGCONT')
  assert.strictEqual(await slow.exit(), 1)
})

// ---- --stdio ----

scenario('--stdio takes one peer and no more', async (world) => {
  const serve = world.ours(['serve', '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'])
  const at = await serve.line('stderr')
  const first = world.ours(['connect', at])
  first.say('hello')
  await serve.until(() => serve.stdout().toString() === 'hello\n', 'hello')
  const second = world.ours(['connect', at])
  assert.strictEqual(await second.exit(), 1)
  assertComplaint(second, /could not connect/)
  serve.say('goodbye')
  serve.child.stdin.end()
  first.child.stdin.end()
  assert.deepStrictEqual([await first.exit(), await serve.exit()], [0, 0])
  assert.strictEqual(first.stdout().toString(), 'goodbye\n')
})

scenario('--stdio: the peer\'s fate is the exit status', async (world) => {
  const serve = world.ours(['serve', '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'])
  const client = world.ours(['connect', await serve.line('stderr')])
  client.say('hello')
  await serve.until(() => serve.stdout().toString() === 'hello\n', 'hello')
  client.kill('SIGKILL')
  assert.strictEqual(await serve.exit(), 1)
  assert.match(serve.err, /\nmultiserver: connection: net:.*(ended before|lost)[^\n]*\n$/)
})

scenario('--stdio: who is refused does not take the place', async (world) => {
  const friend = identity()
  const serve = world.ours(['serve', '--stdio', '--allow', friend.key, 'net:127.0.0.1:0~shs'])
  const at = await serve.line('stderr')
  const stranger = world.ours(['connect', at])
  assert.strictEqual(await stranger.exit(), 1)
  const client = world.ours(['connect', at], { as: friend })
  client.child.stdin.end('in')
  serve.child.stdin.end('out')
  assert.deepStrictEqual([await client.exit(), await serve.exit()], [0, 0])
  assert.deepStrictEqual([client.stdout().toString(), serve.stdout().toString()], ['out', 'in'])
})

// ---- --forward ----

async function bridge(world, target, listen, args = ['--allow-any']) {
  const proc = world.ours(['serve', '--forward', target, ...args, listen])
  return { proc, at: await proc.line() }
}

scenario('--forward joins any two stacks, both ways', async (world) => {
  const echo = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs', `unix:${world.socketDir('e')}/socket~noauth`])
  const [net, unix] = (await echo.line()).split(';')
  const cases = [
    [net, `unix:${world.socketDir('b')}/socket~noauth`],
    [unix, 'net:127.0.0.1:0~shs'],
    [`onion:x.onion:1~shs:${identity().key};${unix}`, 'net:127.0.0.1:0~noauth'],
    [net, `unix:${world.socketDir('c')}/socket~shs`],
  ]
  const data = crypto.randomBytes(4 << 20)
  for (const [target, listen] of cases) {
    const { proc, at } = await bridge(world, target, listen)
    const client = world.ours(['connect', at])
    client.child.stdin.end(data)
    assert.strictEqual(await client.exit(), 0, client.toString())
    assert.strictEqual(sha256(client.stdout()), sha256(data), `${at} to ${target}`)
    assert.strictEqual(proc.err, '')
    proc.kill()
  }
})

scenario('--forward carries half-closes', async (world) => {
  const target = world.ours(['serve', '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'])
  const { at } = await bridge(world, await target.line('stderr'), `unix:${world.socketDir('b')}/socket~noauth`)
  const client = world.ours(['connect', at])
  client.child.stdin.end('question')
  await target.until(() => target.stdout().toString() === 'question', 'the question')
  target.child.stdin.end('answer')
  assert.deepStrictEqual([await client.exit(), await target.exit()], [0, 0])
  assert.strictEqual(client.stdout().toString(), 'answer')
})

scenario('--forward: a broken end is no clean end', async (world) => {
  const target = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  const { proc, at } = await bridge(world, await target.line(), 'net:127.0.0.1:0~shs')
  const client = world.ours(['connect', at])
  client.say('hello')
  await client.until(() => client.stdout().toString() === 'hello\n', 'an echo')
  target.kill('SIGKILL')
  assert.strictEqual(await client.exit(), 1)
  assertComplaint(client, /lost|ended before/)
  await proc.until(() => /forward: net:[^ ]+: net:[^ ]+: .*(lost|ended before)/.test(proc.err), 'its own word')

  // and the other way round: the client is killed, the target hears of it
  const other = world.ours(['serve', '--echo', '--allow-any', 'net:127.0.0.1:0~shs'])
  const second = await bridge(world, await other.line(), 'net:127.0.0.1:0~shs')
  const victim = world.ours(['connect', second.at])
  victim.say('hello')
  await victim.until(() => victim.stdout().toString() === 'hello\n', 'an echo')
  victim.kill('SIGKILL')
  await other.until(() => /echo: .*(lost|ended before)/.test(other.err), 'an error')
})

scenario('--forward: a bridge that ends lets streams end first, and no part of one pass for all of it', async (world) => {
  const target = world.ours(['serve', '--echo', '--json', '--allow-any', 'net:127.0.0.1:0~shs'])
  const { proc, at } = await bridge(world, (await target.event('listening')).address, 'net:127.0.0.1:0~shs')
  const [done, open] = [world.ours(['connect', at]), world.ours(['connect', at])]
  for (const client of [done, open]) client.say('hello')
  await Promise.all([done, open].map((client) => heard(client, 'hello\n')))
  proc.kill('SIGTERM')
  for (let refused; !refused;) { // it listens no more
    const late = world.ours(['connect', at])
    late.child.stdin.end()
    refused = (await late.exit()) === 1
  }
  done.child.stdin.end('and more\n')
  assert.strictEqual(await done.exit(), 0, done.err)
  assert.strictEqual(done.stdout().toString(), 'hello\nand more\n')
  assert.strictEqual(open.done, null)
  proc.kill('SIGTERM')
  assert.strictEqual(await open.exit(), 1, `${open}`)
  await target.event('closed', 1)
  assert.deepStrictEqual(target.events('closed').map(({ reason }) => reason), ['end', 'truncated'])
  assert.strictEqual(await proc.exit(), 0)
})

scenario('--stdio: what is sent is all of it or an error, also when the server is stopped', async (world) => {
  const data = crypto.randomBytes(64 << 20)
  for (const kills of [1, 2]) {
    const proc = world.ours(['serve', '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'], { stdin: fs.openSync(world.write('in', data), 'r') })
    const at = (await proc.until(() => /^net:.*$/m.exec(proc.err), 'an address'))[0]
    const client = world.ours(['connect', at])
    await client.until(() => client.received > 0, 'the beginning')
    client.kill('SIGSTOP')
    for (let i = 0; i < kills; i++) proc.kill(['SIGTERM', 'SIGINT'][i])
    if (kills === 2) assert.strictEqual(await proc.exit(), 1)
    client.kill('SIGCONT')
    assert.strictEqual(await client.exit(), kills - 1, `${client}`)
    if (kills === 1) assert.ok(client.stdout().equals(data))
    assert.strictEqual(await proc.exit(), kills - 1)
  }
})

scenario('--forward: a target that is down is an error for that peer only', async (world) => {
  const dir = world.socketDir('t')
  const { proc, at } = await bridge(world, `unix:${dir}/socket~noauth`, 'net:127.0.0.1:0~shs')
  const refused = world.ours(['connect', at])
  assert.strictEqual(await refused.exit(), 1)
  await proc.until(() => /forward: net:[^ ]+: unix:.*No such file/.test(proc.err), 'its own word')
  const target = world.ours(['serve', '--echo', `unix:${dir}/socket~noauth`])
  await target.line()
  const client = world.ours(['connect', at])
  client.child.stdin.end('now')
  assert.deepStrictEqual([await client.exit(), client.stdout().toString()], [0, 'now'])
  assert.ok(!fs.existsSync(world.path('config')))
})

// A far side that answers once, as an echo does, and never again: it says nothing, or is not there.
async function answersOnce(world, as) {
  const echo = world.ours(['serve', '--echo', '--allow-any', `net:127.0.0.1:0~${as}`])
  const at = await echo.line()
  const held = []
  const far = tcp.createServer({ allowHalfOpen: true }, (socket) => {
    held.push(socket.on('error', () => {}))
    if (held.length > 1) return
    const through = tcp.connect({ port: Number(at.match(/:(\d+)~/)[1]), host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
    socket.pipe(through).pipe(socket)
  })
  await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => {
    far.close()
    for (const socket of held) socket.destroy()
  })
  return { address: at.replace(/:\d+~/, `:${far.address().port}~`), leave: () => far.close() }
}

for (const near of ['net:127.0.0.1:0~noauth', 'net:127.0.0.1:0~shs', 'ws://127.0.0.1:0~noauth', 'unix:DIR/socket~shs', 'unix:DIR/socket~ws~noauth']) {
  for (const [how, as] of [['says nothing', 'shs'], ['is not there', 'noauth']]) {
    scenario(`--forward: who waits for a far side that ${how} is cut when serve is stopped, ${near}`, async (world) => {
      const far = await answersOnce(world, as)
      const serve = world.ours(['serve', '--json', '--forward', far.address, '--retry-for', '60000',
        ...near.endsWith('shs') ? ['--allow-any'] : [], near.replace('DIR', world.socketDir('n'))])
      const { address: at } = await serve.event('listening')
      const open = world.ours(['connect', at])
      open.say('hello')
      await heard(open, 'hello\n')
      if (how === 'is not there') far.leave()
      const [waits, ended] = [world.ours(['connect', at]), world.ours(['connect', at])]
      waits.say('anybody there?')
      ended.child.stdin.end('nobody, then\n')
      await serve.event('connection', 2)
      if (how === 'is not there') await serve.until(() => (serve.err.match(/; again in /g) || []).length >= 2, 'a dial that has failed, twice')
      serve.kill('SIGTERM')
      for (const client of [waits, ended]) {
        assert.strictEqual(await client.exit(), 1, `${client}`)
        assert.strictEqual(client.stdout().toString(), '')
      }
      for (let i = 0; i < 2; i++) assert.strictEqual((await serve.event('closed', i)).reason, 'aborted')
      // the drain of the others goes on meanwhile, and theirs is a clean end
      open.child.stdin.end('goodbye\n')
      assert.strictEqual(await open.exit(), 0, `${open}`)
      assert.strictEqual(open.stdout().toString(), 'hello\ngoodbye\n')
      assert.strictEqual(await serve.exit(), 0)
    })
  }
}

// A listener that takes connections and says nothing.
async function silent(world) {
  const held = []
  const far = tcp.createServer((socket) => held.push(socket.on('error', () => {})))
  await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => {
    far.close()
    for (const socket of held) socket.destroy()
  })
  return { address: `net:127.0.0.1:${far.address().port}~shs:${identity().key}` }
}

scenario('--forward: who is cut while it waits sees a reset', async (world) => {
  for (const far of [`net:127.0.0.1:${await closedPort()}~noauth`, (await silent(world)).address]) {
    const serve = world.ours(['serve', '--json', '--forward', far, '--retry-for', '60000', 'net:127.0.0.1:0~noauth'])
    const socket = await plain((await serve.event('listening')).address)
    const seen = new Promise((resolve) => socket.once('end', () => resolve('end')).once('error', (err) => resolve(err.code)).resume())
    await serve.event('connection')
    serve.kill('SIGTERM')
    assert.strictEqual(await seen, 'ECONNRESET', far)
    assert.strictEqual(await serve.exit(), 0)
  }
})

scenario('--forward: a line about a far side names the peer that it has failed for, once', async (world) => {
  // one that never opens
  const dead = `net:127.0.0.1:${await closedPort()}~noauth`
  const serve = world.ours(['serve', '--json', '--forward', dead, '--retry-for', '400', 'net:127.0.0.1:0~noauth'])
  await plain((await serve.event('listening')).address)
  const { address: peer } = await serve.event('connection')
  await serve.event('closed')
  const lines = serve.err.trim().split('\n')
  assert.ok(lines.length >= 2, serve.err)
  for (const line of lines) assert.ok(line.startsWith(`multiserver: forward: ${peer}: ${dead}: could not connect`), serve.err)
  assert.ok(lines.slice(0, -1).every((line) => / again in [\d.]+ s$/.test(line)) && !/ again in /.test(lines.at(-1)), serve.err)
  // one that was open
  const far = tcp.createServer((socket) => socket.once('data', () => socket.resetAndDestroy()).on('error', () => {}))
  await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => far.close())
  const target = `net:127.0.0.1:${far.address().port}~noauth`
  const open = world.ours(['serve', '--json', '--forward', target, 'net:127.0.0.1:0~noauth'])
  await plain((await open.event('listening')).address)
  const { address: other } = await open.event('connection')
  await open.event('closed')
  assert.match(open.err, /^[^\n]*\n$/)
  assert.ok(open.err.startsWith(`multiserver: forward: ${other}: ${target}: `), open.err)
})

scenario('--forward: a peer that the far side has left is told of', async (world) => {
  const far = tcp.createServer((socket) => socket.once('data', () => socket.end('bye')).on('error', () => {}))
  await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => far.close())
  const serve = world.ours(['serve', '--json', '--forward', `ws://127.0.0.1:${far.address().port}`, 'net:127.0.0.1:0~noauth'])
  await plain((await serve.event('listening')).address)
  const { address: peer } = await serve.event('connection')
  await serve.event('closed')
  assert.match(serve.err, new RegExp(`^multiserver: forward: ${peer}: ws://`))
})

scenario('--forward: each way to a target that is down is told', async (world) => {
  const { proc, at } = await bridge(world, `unix:${world.path('none')}~noauth;net:127.0.0.1:${await closedPort()}~noauth`, 'net:127.0.0.1:0~shs')
  assert.strictEqual(await world.ours(['connect', at]).exit(), 1)
  await proc.until(() => /forward: .*\(the furthest of 2 attempts\)\n.*attempt 1 .*No such file.*\n.*attempt 2 .*refused\n/.test(proc.err), 'both')
})
