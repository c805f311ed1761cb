'use strict'
// Plays one round: starts the processes and relays of a plan, strikes, waits for the end, and tells
// what became of everybody. Judges nothing.

const fs = require('fs')
const { setTimeout: sleep } = require('timers/promises')
const { World, identity, command } = require('../world')
const { certificate } = require('../interop/certificate')
const { place } = require('../interop/proxy')
const { Relay } = require('./relay')
const { tool } = require('../tools/find')
const { RECORD_BYTES } = require('./plan')

const LATE_MSEC = Number(process.env.LEDGER_LATE_MSEC) || 30000 // for everybody to be over
const STRUCK_MSEC = 3000 // a moment that does not come until then is now
const REST_MSEC = 10000 // for those who live on to have let go of everything

// The records of a direction, all there can be; each round gives the first of them.
const MOST = 100000
const all = Object.fromEntries(['up', 'down'].map((direction) => {
  const lines = Array.from({ length: MOST }, (_, i) => `${direction} ${i}`.padEnd(RECORD_BYTES - 1, '.') + '\n')
  return [direction, Buffer.from(lines.join(''))]
}))
const given = (direction, stream) => all[direction].subarray(0, stream.records * RECORD_BYTES)

const me = { client: identity(), server: identity(), bridge0: identity(), bridge1: identity() }
const isTls = (stack) => /wss|tls/.test(stack)
const isShs = (stack) => stack.includes('shs')

const alive = (pid) => {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

// How many descriptors of which kind; a process that is gone has none.
function descriptors(pid) {
  const read = (what, of) => {
    try {
      return what(of)
    } catch {
      return [] // it went while we looked
    }
  }
  const dir = `/proc/${pid}/fd`
  const targets = read(fs.readdirSync, dir).map((fd) => read(fs.readlinkSync, `${dir}/${fd}`)).filter((one) => one.length)
  return { socket: targets.filter((one) => one.startsWith('socket:')).length, all: targets.length }
}

const children = (pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

class Round {
  constructor(plan) {
    this.plan = plan
    this.world = new World()
    this.relays = []
    this.procs = {} // by role
    this.exits = {} // by role
    this.given = { up: 0, down: 0 }
    this.refused = { up: false, down: false } // what was given was not taken
    this.ended = { up: 0, down: 0 } // when the source had ended
    this.struck = null
    this.watchers = []
  }

  // ---- Who is there ----

  #tls(listens, dials) {
    const { cert, key } = certificate()
    return [...(listens && isTls(listens) ? ['--tls-cert', cert, '--tls-key', key] : []),
      ...(dials && isTls(dials) ? ['--tls-ca', cert] : [])]
  }

  #key(role, ...stacks) {
    if (!stacks.some(isShs)) return []
    return ['--key', this.world.write(`secret-${role}`, secret(me[role]))]
  }

  #place(role, stack) {
    const [transport, ...rest] = stack.split('~')
    const at = { net: 'net:127.0.0.1:0', ws: 'ws://127.0.0.1:0', wss: 'wss://127.0.0.1:0',
      unix: transport === 'unix' ? `unix:${this.world.socketDir(`s-${role}`)}/socket` : '' }[transport]
    return [at, ...rest].join('~')
  }

  #start(role, args, opts) {
    const proc = this.world.start(role, command, args, opts)
    if (proc.child.stdout && opts.taken === 'slow') proc.child.stdout.pause()
    this.procs[role] = proc
    proc.until(() => proc.done, 'an exit').then(() => (this.exits[role] = { ...proc.done, at: Date.now() }))
    return proc
  }

  // Starts a server of `stack`; the address to dial it by, which leads over a relay if there is to be one.
  async #serve(role, { stack, relay }, action, { dials, ...opts } = {}) {
    const stdio = action[0] === '--stdio'
    const args = ['serve', ...this.#key(role, stack, dials || ''), ...this.#tls(stack, dials), ...action,
      ...(stdio ? [] : ['--json']), ...(isShs(stack) ? ['--allow-any'] : []), this.#place(role, stack)]
    const proc = this.#start(role, args, opts)
    const at = stdio ? await proc.line('stderr') : (await proc.event('listening')).address
    proc.said = stdio ? at : ''
    proc.before = descriptors(proc.child.pid)
    return this.#through(role, at, relay)
  }

  async #through(role, at, relayed) {
    const named = at.replace(/(^unix:[^~]*~tls)(?=~|$)/, '$1:localhost')
    if (!relayed) return this.relays.push(null), named
    const { opts } = place(named.replace('wss:', 'ws:'))
    const relay = new Relay()
    const port = await relay.listen(opts, opts.path && `${this.world.socketDir(`r-${role}`)}/socket`)
    this.relays.push(relay)
    return opts.path ? named.replace(opts.path, port) : named.replace(`:${opts.port}`, `:${port}`)
  }

  // ---- What is given and taken ----

  // Standard input as the plan has it.
  #source(direction, stream) {
    if (stream.source === 'null') return 'ignore'
    if (stream.source !== 'file') return 'pipe'
    return fs.openSync(this.world.write(`given-${direction}`, given(direction, stream)), 'r')
  }

  #sink(name, stream) {
    return stream.taken === 'file' ? fs.openSync(this.world.path(name), 'w') : 'pipe'
  }

  async #feed(proc, direction, stream) {
    const { source, pieces, gapMsec } = stream
    const data = given(direction, stream)
    const mark = () => (this.ended[direction] = Date.now())
    if (source === 'file' || source === 'null') return mark()
    if (source === 'silent') return
    proc.child.stdin.on('error', () => (this.refused[direction] = true))
    const piece = Math.max(1, Math.ceil(data.length / pieces))
    for (let i = 0; i < data.length && !this.refused[direction] && !proc.done; i += piece) {
      const one = data.subarray(i, i + piece)
      await new Promise((resolve) => {
        proc.child.stdin.write(one, resolve)
        proc.until(() => proc.done, '').then(resolve, resolve)
      })
      if (this.refused[direction] || proc.done) break
      this.given[direction] += one.length
      this.#look()
      if (gapMsec) await sleep(gapMsec)
    }
    proc.child.stdin.end()
    if (this.given[direction] < data.length) this.refused[direction] = true
    else mark()
    this.#look()
  }

  // What has arrived, as bytes.
  arrived(direction) {
    const { plan, world } = this
    const file = (name) => fs.existsSync(world.path(name)) ? fs.readFileSync(world.path(name)) : Buffer.alloc(0)
    if (direction === 'down') return plan.down.taken === 'file' ? file('taken-down') : this.procs.client.stdout()
    if (plan.endpoint === 'exec') return file('command/got')
    return plan.up.taken === 'file' ? file('taken-up') : this.procs.server.stdout()
  }

  #arrivedBytes(direction) {
    const { plan, world } = this
    const size = (name) => fs.statSync(world.path(name), { throwIfNoEntry: false })?.size || 0
    if (direction === 'down') return plan.down.taken === 'file' ? size('taken-down') : this.procs.client?.received || 0
    if (plan.endpoint === 'exec') return size('command/got')
    return plan.up.taken === 'file' ? size('taken-up') : this.procs.server.received
  }

  // ---- The moment ----

  #look() {
    for (const watch of [...this.watchers]) watch()
  }

  #until(holds) {
    return new Promise((resolve) => {
      const timer = setInterval(() => this.#look(), 4)
      const watch = () => {
        if (!holds()) return
        clearInterval(timer)
        this.watchers.splice(this.watchers.indexOf(watch), 1)
        resolve()
      }
      this.watchers.push(watch)
      this.cancel = () => clearInterval(timer)
      watch()
    })
  }

  // Strikes in the call that brings the moment, or later, as the plan has it.
  #arm(strike) {
    const { moment: m } = this.plan
    const bytes = (direction) => Math.ceil(m.part * this.plan[direction].records * RECORD_BYTES)
    const late = Date.now() + STRUCK_MSEC
    if (m.at === 'passed') {
      let done = false
      const once = () => done || ((done = true), strike())
      this.relays[m.hop].when(m.direction, bytes(m.direction), once)
      return void this.#until(() => done || Date.now() > late).then(once)
    }
    const holds = {
      time: () => true,
      given: () => this.given[m.direction] >= bytes(m.direction),
      arrived: () => this.#arrivedBytes(m.direction) >= bytes(m.direction),
      ended: () => this.ended[m.direction] > 0,
      exit: () => this.exits[m.who],
    }[m.at]
    this.#until(() => holds() || Date.now() > late).then(async () => {
      if (m.msec) await sleep(m.msec)
      strike()
    })
  }

  #signal(target, signal) {
    const proc = this.procs[target]
    if (target === 'command') {
      try {
        process.kill(Number(fs.readFileSync(this.world.path('command/pid'))), signal)
      } catch {
        return false // it is over, or has not begun
      }
      return true
    }
    if (!proc || proc.done) return false
    proc.kill(signal)
    return true
  }

  async #strike() {
    const { kind, target, hop, direction, msec } = this.plan.fault
    const relay = this.relays[hop]
    const over = this.exits.client && (this.exits.server || this.plan.endpoint === 'exec')
    this.struck = { at: Date.now(), late: Boolean(over), hit: true }
    const hit = (done) => (this.struck.hit = done)
    switch (kind) {
      case 'none': return
      case 'kill': return hit(this.#signal(target, 'SIGKILL'))
      case 'term': return hit(this.#signal(target, 'SIGTERM'))
      case 'stopkill':
      case 'pause':
        hit(this.#signal(target, 'SIGSTOP'))
        await sleep(msec) // it may begin meanwhile
        return hit(this.#signal(target, kind === 'pause' ? 'SIGCONT' : 'SIGKILL') || this.struck.hit)
      case 'deaf': {
        const { child } = this.procs[target]
        if (!child.stdout) return hit(false)
        return child.stdout.destroy()
      }
      case 'cut': return relay.cut()
      case 'reset': return relay.reset()
      case 'half': return relay.half(direction)
      case 'stall': return relay.stall(msec)
    }
  }

  // ---- The round ----

  async #begin() {
    const { plan, world } = this
    const hops = plan.hops
    const last = hops.length - 1
    let at
    if (plan.endpoint === 'exec') {
      const dir = world.socketDir('command')
      const file = world.write('given-down', given('down', plan.down))
      const line = `exec '${tool('ledger-peer')}' '${dir}' '${file}'${plan.answers ? ' answer' : ''}`
      at = await this.#serve('server', hops[last], ['--exec', line])
    } else {
      const stdin = this.#source('down', plan.down)
      const stdout = this.#sink('taken-up', plan.up)
      at = await this.#serve('server', hops[last], ['--stdio'], { stdin, stdout, taken: plan.up.taken })
      this.#shut(stdin, stdout)
    }
    for (let i = last - 1; i >= 0; i--)
      at = await this.#serve(`bridge${i}`, hops[i], ['--forward', at], { dials: hops[i + 1].stack })
    this.relays.reverse() // they were made from the far end
    const stdin = this.#source('up', plan.up)
    const stdout = this.#sink('taken-down', plan.down)
    const args = ['connect', ...this.#key('client', hops[0].stack), ...this.#tls(null, hops[0].stack), at]
    this.#start('client', args, { stdin, stdout, taken: plan.down.taken })
    this.#shut(stdin, stdout)
  }

  #shut(...fds) {
    for (const fd of fds) if (typeof fd === 'number') fs.closeSync(fd)
  }

  // The slow ones begin to read, at the latest.
  #quicken() {
    for (const { child } of Object.values(this.procs)) if (child.stdout && !child.stdout.destroyed) child.stdout.resume()
  }

  async play() {
    const { plan, world, procs } = this
    await this.#begin()
    const slow = setTimeout(() => this.#quicken(), 300)
    const feeds = [this.#feed(procs.client, 'up', plan.up)]
    if (plan.endpoint === 'stdio') feeds.push(this.#feed(procs.server, 'down', plan.down))
    this.#arm(() => (this.striking = this.#strike()))
    const ends = ['client', ...(plan.endpoint === 'stdio' ? ['server'] : [])]
    const deadline = Date.now() + LATE_MSEC
    while (Date.now() < deadline) {
      if (ends.every((role) => this.exits[role]) && this.struck) break
      if (this.exits.client && !this.exits.server && ends.includes('server') && await this.#nobodyCame()) break
      await sleep(5)
    }
    clearTimeout(slow)
    await this.striking
    const hung = ends.filter((role) => !this.exits[role] && !(role === 'server' && this.alone))
    const left = await this.#rest()
    for (const role of ends) if (!this.exits[role]) procs[role].kill()
    if (this.cancel) this.cancel()
    return this.#account(hung, left)
  }

  // Where the client was kept from the server, that waits for ever, and rightly so: asked now and then.
  async #nobodyCame() {
    if (Date.now() < Math.max(this.exits.client.at, this.asked || 0) + 1000) return false
    this.asked = Date.now()
    const { server } = this.procs
    server.kill('SIGUSR1')
    await sleep(200)
    const [, pending, entered] = server.err.match(/pending=(\d+) .*entered=(\d+) .*\n$/) || []
    server.err = server.err.replace(/^multiserver: open=.*\n/gm, '')
    return (this.alone = entered === '0' && pending === '0')
  }

  // What those who live on still hold, when they have had time to let go of it.
  async #rest() {
    const { plan, procs, exits } = this
    const serves = Object.keys(procs).filter((role) => role.startsWith('bridge') || (role === 'server' && plan.endpoint === 'exec'))
    const deadline = Date.now() + REST_MSEC
    const left = {}
    for (const role of serves) {
      const proc = procs[role]
      const pid = proc.child.pid
      for (;;) {
        left[role] = []
        if (exits[role]) break
        const stats = await this.#stats(proc)
        const fds = descriptors(pid)
        for (const name of ['open', 'pending', 'dials', 'buffered']) if (stats && stats[name]) left[role].push(`${name}=${stats[name]}`)
        if (fds.socket > proc.before.socket) left[role].push(`${fds.socket - proc.before.socket} more sockets`)
        // the loop opens some of its own once it has work for its threads, or a child
        if (fds.all > proc.before.all + 4) left[role].push(`${fds.all - proc.before.all} more descriptors`)
        if (children(pid).length) left[role].push(`children ${children(pid)}`)
        if (left[role].length === 0 || Date.now() > deadline) break
        await sleep(20)
      }
    }
    if (plan.endpoint === 'exec') await this.#restOfCommand(deadline, left)
    return left
  }

  async #restOfCommand(deadline, left) {
    const file = this.world.path('command/pid')
    if (!fs.existsSync(file)) return
    const pid = Number(fs.readFileSync(file))
    while (alive(pid)) {
      if (Date.now() > deadline) {
        process.kill(pid, 'SIGKILL')
        left.command = ['the command still runs']
        return
      }
      await sleep(20)
    }
  }

  async #stats(proc) {
    const n = proc.events('stats').length
    proc.kill('SIGUSR1')
    try {
      return await Promise.race([proc.event('stats', n), sleep(2000)])
    } catch {
      return null // it is over
    }
  }

  #account(hung, left) {
    const { plan, procs, exits, world } = this
    const events = (proc) => proc.stdout().toString().split('\n').slice(0, -1).map((line) => JSON.parse(line))
    const tell = (role) => ({
      exit: exits[role] || null,
      err: procs[role].err.replace(procs[role].said ? procs[role].said + '\n' : '', ''),
      events: role === 'client' || (role === 'server' && plan.endpoint === 'stdio') ? [] : events(procs[role]),
    })
    return {
      struck: this.struck || { late: true, hit: false },
      refused: this.refused,
      ended: this.ended,
      given: Object.fromEntries(['up', 'down'].map((way) => [way, given(way, plan[way])])),
      arrived: Object.fromEntries(['up', 'down'].map((way) => [way, this.arrived(way)])),
      committed: plan.endpoint === 'exec' && fs.existsSync(world.path('command/ended')),
      who: Object.fromEntries(Object.keys(procs).map((role) => [role, tell(role)])),
      hung,
      left,
    }
  }

  async end() {
    for (const relay of this.relays) if (relay) relay.close()
    for (const proc of this.world.procs) if (!proc.done) proc.kill('SIGCONT')
    await this.world.end()
  }
}

const { secretFile: secret } = require('../world')

async function play(plan) {
  const round = new Round(plan)
  try {
    return await round.play()
  } finally {
    await round.end()
  }
}

module.exports = { play }
