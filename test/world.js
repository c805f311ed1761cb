'use strict'
// What the tests of whole programs share: scenarios, the processes in them, identities. Needs
// nothing but Node. The command under test is $MULTISERVER.

const assert = require('assert')
const { spawn } = require('child_process')
const crypto = require('crypto')
const dns = require('dns')
const fs = require('fs')
const net = require('net')
const os = require('os')
const path = require('path')
const test = require('node:test')

const command = process.env.MULTISERVER
if (!command) {
  console.error('MULTISERVER names the command to test; it is not set.')
  process.exit(2)
}

// Before 20, Node tries the first address of a name only, and where nobody names one that is localhost.
dns.setDefaultResultOrder('ipv4first')

// An address, or an old one, that has to do with keys.
const KEYED = /~shs|(?<!unix):@/

// An address to listen on where peers prove a key.
const SERVED = /^(net|ws|wss|unix)\b[^;]*~shs/

const DEADLINE_MSEC = 100000 // of one scenario, on a loaded machine
const STOP_MSEC = 500 // between two signals that tell our command to end
const STOPS = 20 // of them

// An identity from a seed, as base64, and as the raw secret key.
function identity(seed = crypto.randomBytes(32)) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]) // RFC 8410
  const pair = crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = Buffer.from(crypto.createPublicKey(pair).export({ format: 'jwk' }).x, 'base64url')
  const secretKey = Buffer.concat([seed, publicKey])
  return { seed: seed.toString('base64'), key: publicKey.toString('base64'), secretKey }
}

// The text of ~/.ssb/secret as npm's ssb-keys writes it.
function secretFile({ key, secretKey }) {
  const json = {
    curve: 'ed25519',
    public: `${key}.ed25519`,
    private: `${secretKey.toString('base64')}.ed25519`,
    id: `@${key}.ed25519`,
  }
  return [
    '# this is your SECRET name.',
    '# this name gives you magical powers.',
    '',
    JSON.stringify(json, null, 2),
    '',
    '# WARNING! It\'s vital that you DO NOT edit OR share your secret name',
    `# instead, share your public name: ${json.id}`,
    '',
  ].join('\n')
}

const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex')

// A process, what it has said, and how to wait for what it says.
class Proc {
  constructor(label, file, args, { cwd, stdin = 'pipe', stdout = 'pipe', fds = [], env = {}, uid, gid } = {}) {
    this.label = label
    this.isOurs = [file, ...args].includes(command)
    this.out = []
    this.received = 0 // bytes on stdout
    this.err = ''
    this.done = null // { code, signal } when it is over
    this.waiting = new Set()
    this.child = spawn(file, args, {
      cwd,
      uid,
      gid,
      stdio: [stdin, stdout, 'pipe', ...fds],
      env: { ...process.env, HOME: cwd, XDG_CONFIG_HOME: path.join(cwd, 'config'), ...env },
    })
    if (this.child.stdin) this.child.stdin.on('error', () => {}) // it may have left: its status tells
    if (this.child.stdout) this.child.stdout.on('data', (data) => this.#heard(() => {
      this.out.push(data)
      this.received += data.length
    }))
    this.child.stderr.on('data', (data) => this.#heard(() => (this.err += data)))
    this.child.on('error', (err) => this.#heard(() => (this.err += err.stack)))
    this.child.on('close', (code, signal) => this.#heard(() => (this.done = { code, signal })))
  }

  #heard(note) {
    note()
    for (const look of [...this.waiting]) look()
  }

  // Resolves with what `find` returns as soon as that is neither undefined nor false; fails when
  // the process is over before.
  until(find, what) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = find()
        if (found === undefined || found === false || found === null) {
          if (!this.done) return
          this.waiting.delete(look)
          return reject(new Error(`${this.label} is over, without ${what}`))
        }
        this.waiting.delete(look)
        resolve(found)
      }
      this.waiting.add(look)
      look()
    })
  }

  stdout() {
    return Buffer.concat(this.out)
  }

  // The first line said on stdout (or stderr).
  line(stream = 'stdout') {
    return this.until(() => {
      const text = stream === 'stdout' ? this.stdout().toString() : this.err
      return text.includes('\n') && text.slice(0, text.indexOf('\n'))
    }, `a line on ${stream}`)
  }

  // The n-th event of that name told by peer.js.
  event(name, n = 0) {
    return this.until(() => this.events(name)[n], `event "${name}"`)
  }

  events(name) {
    const lines = this.stdout().toString().split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line)).filter(({ event }) => event === name)
  }

  say(line) {
    this.child.stdin.write(line + '\n')
  }

  // Ends stdin and waits for the exit status.
  async finish() {
    if (this.child.stdin) this.child.stdin.end()
    await this.until(() => this.done, 'an exit')
    return this.done.code
  }

  // Waits for the exit status, leaving stdin as it is.
  async exit() {
    await this.until(() => this.done, 'an exit')
    return this.done.code
  }

  kill(signal = 'SIGKILL') {
    this.child.kill(signal)
  }

  // Has somebody stopped it (SIGSTOP)?
  isStopped() {
    try {
      return /^State:\s+T \(stopped\)/m.test(fs.readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))
    } catch {
      return false
    }
  }

  // Ends it, our command as its operator would: it is to leave by itself, and a sanitizer sees what it
  // leaves behind. The second signal cuts what the first one lets end.
  async stop() {
    if (this.done) return
    if (this.isOurs) {
      if (this.isStopped()) this.kill('SIGCONT') // on a process that a sanitizer stops to look at, it would be in the way
      for (let left = STOPS; left > 0 && !this.done; left--) {
        this.kill('SIGTERM')
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, STOP_MSEC)
          this.exit().then(() => resolve(clearTimeout(timer)))
        })
      }
      this.stuck = !this.done
    }
    this.kill()
    await this.exit()
  }

  // What its end shows to be wrong with it.
  get fault() {
    if (this.stuck) return 'does not end when it is told to'
    return /\b(\w+Sanitizer|runtime error): .*/.exec(this.err)?.[0]
  }

  toString() {
    const how = this.done ? `over, ${JSON.stringify(this.done)}` : 'running'
    const out = this.stdout()
    const shown = out.length > 2000 ? `(${out.length} bytes)` : out.toString()
    return `--- ${this.label}: ${how}\nstdout: ${shown}\nstderr: ${this.err}`
  }
}

// A folder and the processes that a scenario starts.
class World {
  constructor() {
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ms-test-'))
    this.procs = []
    this.ends = []
  }

  path(name) {
    return path.join(this.dir, name)
  }

  write(name, data) {
    fs.writeFileSync(this.path(name), data, { mode: 0o600 })
    return this.path(name)
  }

  // A folder for the socket of a unix listener.
  socketDir(name) {
    fs.mkdirSync(this.path(name), { mode: 0o700 })
    return this.path(name)
  }

  start(label, file, args, opts) {
    const proc = new Proc(label, file, args, { cwd: this.dir, ...opts })
    this.procs.push(proc)
    return proc
  }

  // Our command where every user may run it, whatever folder it was built in.
  everybodysCommand() {
    const copy = this.path('multiserver')
    fs.chmodSync(this.dir, 0o755)
    if (!fs.existsSync(copy)) fs.copyFileSync(command, copy)
    fs.chmodSync(copy, 0o755)
    return copy
  }

  // A file of this identity, or of a new one.
  secretOf(as = identity()) {
    return this.write(`secret-${this.procs.length}`, secretFile(as))
  }

  // What our command is given: with an identity where one is asked for. Tests that go through many
  // stacks say --allow-any for each: it, too, is left out where nothing could use it, which is wrong
  // usage.
  arguments([subcommand, ...args], as) {
    const key = args.some((arg) => KEYED.test(arg)) ? ['--key', this.secretOf(as)] : []
    const asked = args.some((arg, i) => SERVED.test(arg) && args[i - 1] !== '--forward')
    const rest = subcommand !== 'serve' || asked ? args : args.filter((arg) => arg !== '--allow-any')
    return [subcommand, ...key, ...rest]
  }

  ours(args, { as, ...opts } = {}) {
    return this.start(`multiserver ${args[0]}`, command, this.arguments(args, as), opts)
  }

  // Our command as it is, to its end.
  async run(args, { input = '', ...opts } = {}) {
    const proc = this.start(`multiserver ${args[0]}`, command, args, opts)
    proc.child.stdin.end(input)
    proc.status = await proc.exit()
    return proc
  }

  // Something to be done at the end.
  atEnd(what) {
    this.ends.push(what)
  }

  // Resolves with what is wrong with how they ended.
  async end() {
    for (const what of this.ends) await what()
    await Promise.all(this.procs.map((proc) => proc.stop()))
    fs.rmSync(this.dir, { recursive: true, force: true })
    return this.procs.filter((proc) => proc.fault).map((proc) => `${proc.fault}\n${proc}`)
  }
}

// One test: runs `body` with a world of its own and ends every process of it, whatever happens.
function scenario(name, body, Kind = World) {
  test(name, async (t) => {
    const world = new Kind()
    let timer
    let passed = false
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('the scenario is late')), DEADLINE_MSEC)
    })
    try {
      await Promise.race([body(world, t), late])
      passed = true
    } catch (err) {
      err.message += '\n' + world.procs.join('\n')
      throw err
    } finally {
      clearTimeout(timer)
      const faults = await world.end()
      if (passed) assert.deepStrictEqual(faults, [])
    }
  })
}

// The one line our command says when it fails.
function assertComplaint(proc, pattern) {
  assert.match(proc.err, /^multiserver: [^\n]+\n$/, 'one line on stderr')
  assert.match(proc.err, pattern)
}

// A port of 127.0.0.1 where nobody listens.
async function closedPort() {
  const closed = net.createServer()
  await new Promise((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const { port } = closed.address()
  await new Promise((resolve) => closed.close(resolve))
  return port
}

module.exports = { scenario, closedPort, World, identity, secretFile, sha256, assertComplaint, command }
