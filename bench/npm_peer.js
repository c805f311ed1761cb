'use strict'
// npm multiserver's side of the benchmark: the same commands as bench.c, the same answers.
// MS_NODELAY=1 sets TCP_NODELAY on every socket, which the package itself does not.

const net = require('net')
const pull = require('pull-stream')
const sodium = require('chloride')

if (process.env.MS_NODELAY === '1') {
  const { connect, createServer } = net
  net.connect = (...args) => connect(...args).setNoDelay(true)
  net.createServer = (...args) => createServer(...args).on('connection', (socket) => socket.setNoDelay(true))
}
const MultiServer = require('multiserver')
const transport = process.env.MS_TRANSPORT || 'net'
const plugins = { net: require('multiserver/plugins/net'), ws: require('multiserver/plugins/ws'), shs: require('multiserver/plugins/shs') }

const NETWORK = '1KHLiKZvAvjbY1ziZEHMXawbCEIM6qwjCDm3VYRan/s='
const PATTERN = 65536
const PING = 64

const pattern = Buffer.alloc(2 * PATTERN)
for (let i = 0; i < pattern.length; i++) pattern[i] = (i % PATTERN) * 7 + ((i % PATTERN) >> 8)
pattern[0] = pattern[PATTERN] = 98 // 'b'

const [what, address, ...numbers] = process.argv.slice(2)
const [n, third = 1] = numbers.map(Number)

const cpu = () => Object.values(process.cpuUsage()).reduce((a, b) => a + b) / 1e6
const tell = (o) => process.stdout.write(JSON.stringify(o) + '\n')

function die(why) {
  console.error(`npm_peer: ${what}: ${why && why.message ? why.message : why}`)
  process.exit(1)
}

function create(port) {
  const seed = Buffer.alloc(32)
  seed[0] = what === 'serve' ? 1 : 2
  const keys = sodium.crypto_sign_seed_keypair(seed)
  return MultiServer([[
    plugins[transport]({ scope: 'device', host: '127.0.0.1', port, allowHalfOpen: true }),
    plugins.shs({ keys, appKey: NETWORK, auth: (key, cb) => cb(null, true), timeout: 60000 }),
  ]])
}

// ---- The server ----

// npm closes a WebSocket when its own direction ends: there the server answers when it has so much.
const EXPECTED = transport === 'ws' ? Number(process.env.MS_BYTES) : 0
let served = 0

function serve(stream) {
  let got = 0
  let echo = false
  let answer = null // what waits for something to send
  let over = false
  const queue = []
  const push = () => {
    if (!answer) return
    const cb = answer
    if (queue.length) {
      answer = null
      cb(null, queue.shift())
    } else if (over) {
      answer = null
      cb(true)
    }
  }
  served++
  pull((abort, cb) => {
    if (abort) return cb(abort)
    answer = cb
    push()
  }, stream.sink)
  pull(stream.source, pull.drain((data) => {
    if (got === 0) echo = data[0] === 112 // 'p'
    if (echo) queue.push(data)
    else if (data[0] !== pattern[got % PATTERN]) die('the bytes are not those that were sent')
    got += data.length
    if (!echo && got === EXPECTED) queue.push(Buffer.from(`${got}\n`))
    push()
  }, () => {
    if (!echo && got && !EXPECTED) queue.push(Buffer.from(`${got}\n`))
    over = true
    push()
  }))
}

function startServer() {
  const probe = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => {
      const server = create(port)
      server.server(serve, () => {}, (err) => (err ? die(err) : console.log(server.stringify('device'))))
    })
  })
  process.stdin.on('data', () => {
    if (global.gc) global.gc()
    tell({ cpu: cpu(), rss: process.memoryUsage().rss, served })
  })
  process.stdin.on('end', () => process.exit(0))
}

// ---- The clients ----

const client = what === 'serve' ? null : create(1)
const dial = () => new Promise((resolve) => client.client(address, (err, stream) => (err ? die(err) : resolve(stream))))
const seconds = (from) => Number(process.hrtime.bigint() - from) / 1e9

async function bulk() {
  const stream = await dial()
  const from = process.hrtime.bigint()
  const before = cpu()
  let sent = 0
  pull((abort, cb) => {
    if (abort) return cb(abort)
    if (sent >= n) return EXPECTED ? undefined : cb(true)
    const size = Math.min(third, n - sent)
    const at = sent % PATTERN
    sent += size
    cb(null, pattern.subarray(at, at + size))
  }, stream.sink)
  let answer = ''
  const over = () => {
    if (Number(answer) !== n) die('not all of it has arrived')
    tell({ wall: seconds(from), cpu: cpu() - before })
    process.exit(0)
  }
  pull(stream.source, pull.drain((data) => {
    answer += data
    if (EXPECTED && answer.endsWith('\n')) over()
  }, (err) => (err ? die(err) : over())))
}

async function handshakes() {
  const from = process.hrtime.bigint()
  const before = cpu()
  let left = n
  await Promise.all(Array.from({ length: third }, async () => {
    while (left-- > 0) {
      const stream = await dial()
      pull(pull.empty(), stream.sink)
      await new Promise((resolve) => pull(stream.source, pull.onEnd(resolve)))
    }
  }))
  tell({ wall: seconds(from), cpu: cpu() - before })
  process.exit(0)
}

async function ping() {
  const stream = await dial()
  const text = Buffer.alloc(PING)
  text[0] = 112
  const warm = Math.floor(n / 4)
  const times = []
  let send = null
  let from
  let got = 0
  let done = 0
  const go = () => {
    const cb = send
    send = null
    got = 0
    from = process.hrtime.bigint()
    cb(null, text)
  }
  let wants = true
  pull((abort, cb) => {
    if (abort) return
    send = cb
    if (wants) {
      wants = false
      go()
    }
  }, stream.sink)
  pull(stream.source, pull.drain((data) => {
    got += data.length
    if (got < PING) return
    if (done >= warm) times.push(seconds(from) * 1e6)
    if (++done === n + warm) {
      times.sort((a, b) => a - b)
      tell({ p50: times[n >> 1], p99: times[Math.floor(n * 0.99)] })
      process.exit(0)
    }
    if (send) go()
    else wants = true
  }, die))
}

async function idle() {
  const held = []
  let left = n
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (left-- > 0) {
      const stream = await dial()
      held.push(stream)
      pull(stream.source, pull.onEnd(() => {}))
    }
  }))
  tell({ ready: true })
  process.stdin.on('data', () => {}).on('end', () => process.exit(0))
}

const commands = { serve: startServer, bulk, handshakes, ping, idle }
if (!commands[what]) die('serve, bulk, handshakes, ping or idle')
commands[what]()
