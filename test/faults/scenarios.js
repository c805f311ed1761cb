'use strict'
// Short scenarios, in each of which one process, the victim, has the system against it. Each returns ''
// or what is wrong.

const fs = require('fs')
const http = require('http')
const net = require('net')
const { setTimeout: sleep } = require('timers/promises')
const { identity, secretFile, command } = require('../world')
const { certificate } = require('../interop/certificate')

const me = identity()
const ASKED = 2
const HELLO = 'hello, world\n'.repeat(1000)

const secret = (world) => world.write('secret', secretFile(me))
const keyed = (world, stack) => (stack.includes('~shs') ? ['--key', secret(world), '--allow-any'] : [])
const tls = () => ['--tls-cert', certificate().cert, '--tls-key', certificate().key]

function start(story, label, args, opts = {}) {
  const proc = story.world.start(label, command, args, opts)
  return proc
}

const victim = (story, args, opts = {}) => (story.victim = start(story, `multiserver ${args[0]}`, args, { ...opts, env: story.env }))

// What may never be said of a process that is over; '' when it has failed in words.
function judge(proc) {
  const { code, signal } = proc.done
  if (signal) return `killed by ${signal}`
  if (code !== 0 && !/^multiserver: [^\n]+$/m.test(proc.err) && !/failed|out of memory/.test(proc.stdout())) return `it exits with ${code} and does not say why`
  return ''
}

async function over(proc) {
  await proc.until(() => proc.done, 'an exit')
  return judge(proc)
}

// One who asks, in peace: "" or what is wrong with an exit status of 0.
async function ask(story, at, { input = HELLO, wanted = HELLO, trust } = {}) {
  const client = start(story, 'client', ['connect', ...(at.includes('~shs') ? ['--key', secret(story.world)] : []), ...(trust ? ['--tls-ca', certificate().cert] : []), at])
  client.child.stdin.end(input)
  await client.until(() => client.done, 'an exit')
  client.right = client.done.code === 0 && client.stdout().toString() === wanted
  client.wrong = client.done.code === 0 && !client.right ? `a client exits with 0, and has ${client.received} bytes, not ${wanted.length}` : ''
  return client
}

// The line of addresses, or null: it is over, and has said why.
async function address(proc, stream = 'stdout') {
  return Promise.race([proc.line(stream).catch(() => null), proc.until(() => proc.done && proc.done, '').then(() => null, () => null)])
}

async function terminate(proc) {
  proc.kill('SIGTERM')
  return over(proc)
}

// serve with one fault: some ask it; where it meets the last, one more is served as ever.
function serving(action, { stack = 'net:127.0.0.1:0~shs', args = [], wanted = HELLO, trust = false } = {}) {
  return async (story) => {
    const more = typeof args === 'function' ? await args(story) : args
    const proc = victim(story, ['serve', ...keyed(story.world, stack), ...action, ...more, stack])
    const at = await address(proc)
    if (!at) return over(proc)
    for (let i = 0; i <= ASKED; i++) {
      const client = await ask(story, at, { wanted, trust })
      if (client.wrong) return client.wrong
      if (proc.done) return judge(proc)
      if (i >= ASKED - 1 && client.right) break
      if (i === ASKED) return `after the fault nobody is served: ${client.err}`
    }
    return terminate(proc)
  }
}

// The victim is the client; the echo is well.
function asking(args, { stack = 'net:127.0.0.1:0~shs', more = [], right, input = HELLO } = {}) {
  return async (story) => {
    const { world } = story
    const server = start(story, 'server', ['serve', ...keyed(world, stack), '--echo', ...more, stack])
    const at = await server.line()
    const proc = victim(story, [...args(world), at])
    proc.child.stdin.end(input)
    const wrong = await over(proc)
    if (wrong) return wrong
    if (proc.done.code === 0 && !right(proc.stdout().toString())) return `it exits with 0 and says ${proc.stdout().toString().slice(0, 200)}`
    return ''
  }
}

async function echo(story, stack = 'net:127.0.0.1:0') {
  return (await start(story, 'echo', ['serve', '--echo', stack])).line()
}

async function get(port, path) {
  return new Promise((resolve) => {
    const request = http.get({ port, host: '127.0.0.1', path, agent: false, timeout: 5000 }, (answer) => {
      let body = ''
      answer.on('data', (data) => (body += data))
      answer.on('error', () => resolve({ broken: true }))
      answer.on('end', () => resolve({ status: answer.statusCode, body, complete: answer.complete }))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve({ broken: true }))
  })
}

// Pages and metrics: what is answered as whole is.
function answering(args, path, isRight, where) {
  return async (story) => {
    const proc = victim(story, ['serve', '--echo', ...args(story)])
    const at = await address(proc)
    if (!at) return over(proc)
    const line = await where(proc, at)
    if (!line) return proc.done ? judge(proc) : terminate(proc)
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(line)[1])
    for (let i = 0; i <= ASKED; i++) {
      const answer = await get(port, path)
      if (answer.status === 200 && answer.complete && !isRight(answer.body)) return `200, and ${answer.body.length} bytes: ${answer.body.slice(0, 100)}`
      if (i >= ASKED - 1 && answer.status === 200) break
      if (i === ASKED && !proc.done && answer.status !== 200) return `after the fault there is no page: ${JSON.stringify(answer)}`
    }
    return proc.done ? judge(proc) : terminate(proc)
  }
}

const page = '<p>hello</p>'
function folder({ world }) {
  const root = world.socketDir('root')
  fs.writeFileSync(`${root}/index.html`, page)
  return ['--http-root', root, 'ws://127.0.0.1:0']
}

// The one peer of serve --stdio.
async function stdio(story) {
  const proc = victim(story, ['serve', '--key', secret(story.world), '--stdio', '--allow-any', 'net:127.0.0.1:0~shs'])
  const at = await proc.until(() => /^net:.*$/m.exec(proc.err)?.[0], 'an address').catch(() => null)
  if (!at) return over(proc)
  proc.child.stdin.end(HELLO)
  const client = await ask(story, at)
  if (client.wrong) return client.wrong
  // one that could not come in is no peer
  if (!proc.done) await Promise.race([proc.until(() => proc.done, ''), sleep(1500)])
  if (!proc.done) {
    const second = await ask(story, at)
    if (!second.right && !proc.done) return `after the fault nobody is served: ${second.err}`
  }
  const wrong = await over(proc)
  if (wrong) return wrong
  if (proc.done.code === 0 && proc.stdout().toString() !== HELLO) return `it exits with 0, and has ${proc.received} bytes`
  return ''
}

// Events of --json: each line is one, and none that was promised is missing in silence.
async function events(story) {
  const proc = victim(story, ['serve', '--json', '--echo', '--allow-any', '--key', secret(story.world), 'net:127.0.0.1:0~shs', `unix:${story.world.socketDir('s')}/socket~noauth`])
  const lines = () => proc.stdout().toString().split('\n').slice(0, -1).map((line) => JSON.parse(line))
  const at = await proc.until(() => lines().find(({ event, address }) => event === 'listening' && address)?.address, 'an address').catch(() => null)
  if (!at) return over(proc)
  for (let i = 0; i <= ASKED; i++) {
    const client = await ask(story, at)
    // whoever reads the events has gone: it closes, and says goodbye
    if (client.wrong && !/stdout/.test(proc.err)) return client.wrong
    if (i >= ASKED - 1 && client.right) break
    if (i === ASKED && !proc.done && !/stdout/.test(proc.err)) return `after the fault nobody is served: ${client.err}`
  }
  const wrong = proc.done ? judge(proc) : await terminate(proc)
  if (wrong) return wrong
  for (const line of lines()) if (!line.event || !line.time || line.id === undefined) return `an event lacks something: ${JSON.stringify(line)}`
  return ''
}

async function room(story) {
  const proc = victim(story, ['serve', '--chat', `unix:${story.world.socketDir('s')}/socket~noauth`])
  const at = await address(proc)
  if (!at) return over(proc)
  for (let i = 0; i <= ASKED; i++) {
    const guest = start(story, 'guest', ['connect', at])
    guest.child.stdin.end('hello\n')
    await guest.until(() => guest.done, 'an exit')
    if (i >= ASKED - 1 && guest.done.code === 0) break
    if (i === ASKED && !proc.done) return `after the fault nobody is let in: ${guest.err}`
  }
  return proc.done ? judge(proc) : terminate(proc)
}

async function keygen(story) {
  const proc = victim(story, ['keygen', 'made'])
  const wrong = await over(proc)
  if (wrong) return wrong
  if (proc.done.code !== 0) return ''
  const id = await story.world.run(['id', '--key', 'made'])
  return id.status === 0 && id.stdout().equals(proc.stdout()) ? '' : `it exits with 0, and the file has another key: ${id.err}`
}

const whole = async (story, args, input = '') => {
  const proc = victim(story, args)
  proc.child.stdin.end(input)
  const wrong = await over(proc)
  if (wrong || proc.done.code !== 0) return wrong
  const peace = await story.world.run(args, { input })
  return peace.stdout().equals(proc.stdout()) ? '' : `it exits with 0 and says ${proc.stdout()}, not ${peace.stdout()}`
}

const openly = (text) => /^ {2}open/m.test(text)
const key = (world) => ['--key', secret(world)]

const scenarios = {
  'serve-echo': serving(['--echo']),
  'serve-exec': serving(['--exec', 'cat']),
  'serve-forward': serving([], { args: async (story) => ['--forward', await echo(story)] }),
  'serve-echo-wss': serving(['--echo'], { stack: 'wss://127.0.0.1:0~shs', args: tls, trust: true }),
  'serve-echo-ws': serving(['--echo'], { stack: 'ws://127.0.0.1:0' }),
  'serve-localhost': serving(['--echo'], { stack: 'net:localhost:0~shs' }),
  'serve-allow-file': serving(['--echo'], {
    stack: 'net:127.0.0.1:0',
    args: async ({ world }) => ['--limit', 'connections=10', '--limit', 'per-second=none'],
  }),
  'serve-stdio': stdio,
  'serve-json': events,
  'serve-chat': room,
  'serve-page': answering(folder, '/', (body) => body === page, async (proc, at) => at),
  'serve-metrics': answering(() => ['--metrics', 'net:127.0.0.1:0', 'net:127.0.0.1:0'], '/metrics',
    (body) => /^multiserver_open 0$/m.test(body) && /pauses_total 0\n$/.test(body),
    async (proc) => {
      // peers are served without
      const told = await proc.until(() => /^multiserver: metrics(?: at|:) .*$/m.exec(proc.err), 'metrics').catch(() => null)
      return told && told[0].includes('metrics at') ? told[0] : null
    }),
  connect: asking((world) => ['connect', ...key(world)], { right: (text) => text === HELLO }),
  'connect-wss': asking((world) => ['connect', ...key(world), '--tls-ca', certificate().cert],
    { stack: 'wss://127.0.0.1:0~shs', more: tls(), right: (text) => text === HELLO }),
  'connect-ws': asking(() => ['connect'], { stack: 'ws://127.0.0.1:0', right: (text) => text === HELLO }),
  'connect-verbose': asking((world) => ['connect', '-v', ...key(world)], { stack: 'net:localhost:0~shs', right: (text) => text === HELLO }),
  check: asking((world) => ['check', ...key(world)], { right: openly }),
  'check-wss': asking((world) => ['check', ...key(world), '--tls-ca', certificate().cert], { stack: 'wss://127.0.0.1:0~shs', more: tls(), right: openly }),
  keygen,
  id: (story) => whole(story, ['id', '--key', secret(story.world)]),
  address: (story) => whole(story, ['address', 'net:localhost:8008~shs:' + me.key]),
  'address-json': (story) => whole(story, ['address', '--json', '-'],
    Buffer.concat([Buffer.from(`net:localhost:8008~shs:${me.key};wss://a.example/x~shs:${me.key};`), Buffer.from('\u00ffnet:h\xff:1~noauth', 'latin1')])),
}

module.exports = { scenarios }
