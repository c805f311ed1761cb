'use strict'
// Hosts for tests: network namespaces, and the ways between them. They end with the process that
// each stands on, and everything in them does.

const { execFileSync } = require('child_process')
const { World, scenario: anyScenario, command } = require('../world')

// What is missing here for it, or ''.
function missing() {
  if (process.platform !== 'linux') return 'this is not Linux'
  if (process.getuid() !== 0) return 'this is not root'
  for (const tool of ['ip', 'nft', 'tc', 'unshare', 'nsenter']) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`])
    } catch {
      return `${tool} is missing`
    }
  }
  try {
    execFileSync('unshare', ['--net', 'ip', 'tuntap', 'add', 'far0', 'mode', 'tun'], { stdio: 'pipe' })
  } catch (err) {
    return `network namespaces with a TUN device cannot be had: ${err.stderr}`.trim()
  }
  return ''
}

class Host {
  constructor(world, name) {
    this.world = world
    this.name = name
    this.proc = world.start(`host ${name}`, 'unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo up && exec cat'])
  }

  inside(args) {
    return [`--net=/proc/${this.proc.child.pid}/ns/net`, '--', ...args]
  }

  // A command in there, to its end; what it prints.
  run(text) {
    return execFileSync('nsenter', this.inside(['sh', '-ec', text]), { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  }

  // A process in there.
  start(label, file, args, opts) {
    return this.world.start(`${label} at ${this.name}`, 'nsenter', this.inside([file, ...args]), opts)
  }

  // Our command in there; `dns`: whom it asks for the names that `hosts`, an object, does not have.
  ours(args, { as, dns, hosts = {}, ...opts } = {}) {
    const [subcommand] = args
    const ours = [command, ...this.world.arguments(args, as)]
    if (!dns) return this.start(`multiserver ${subcommand}`, ours[0], ours.slice(1), opts)
    const conf = this.world.write('resolv.conf', `nameserver ${dns}\noptions timeout:5 attempts:2\n`)
    const file = this.world.write('hosts', Object.entries(hosts).map(([name, at]) => `${at} ${name}\n`).join(''))
    return this.start(`multiserver ${subcommand}`, 'unshare', ['--mount', 'sh', '-ec',
      'mount --bind "$1" /etc/resolv.conf; mount --bind "$2" /etc/hosts; shift 2; exec "$@"', 'sh', conf, file, ...ours], opts)
  }

  // What comes to a port of this host by TCP: "drop", "reject with tcp reset", "numgen random mod
  // 100 < 5 drop".
  filter(...rules) {
    this.run(['nft flush ruleset', 'nft add table inet t',
      "nft 'add chain inet t c { type filter hook input priority 0; }'",
      ...rules.map((rule) => `nft 'add rule inet t c ${rule}'`)].join('\n'))
  }
}

class Net extends World {
  async host(name) {
    const host = new Host(this, name)
    await host.proc.line()
    return host
  }

  // A wire between two hosts: 10.9.0.1 and fd09::1 at the one, .2 and ::2 at the other.
  join(a, b) {
    const mac = (i) => `02:00:00:00:00:0${i}`
    a.run(`ip link add wire0 address ${mac(1)} type veth peer name wire0 address ${mac(2)} netns ${b.proc.child.pid}`)
    this.#address([a, b], 'wire0', '10.9.0', 'fd09')
    // no second is lost to finding the neighbour
    a.run(`ip neigh add fd09::2 lladdr ${mac(2)} dev wire0`)
    b.run(`ip neigh add fd09::1 lladdr ${mac(1)} dev wire0`)
  }

  // A long way, 10.8.0.1 to .2 and fd08::1 to ::2; see test/tools/tun-forward.c.
  async joinFar(a, b, ...options) {
    const far = this.start('tun-forward', process.env.TUN_FORWARD, [`${a.proc.child.pid}`, `${b.proc.child.pid}`, 'far0', ...options])
    await far.line()
    this.#address([a, b], 'far0', '10.8.0', 'fd08')
    return far
  }

  #address(hosts, device, v4, v6) {
    hosts.forEach((host, i) => host.run(`ip addr add ${v4}.${i + 1}/24 dev ${device}
      ip addr add ${v6}::${i + 1}/64 dev ${device} nodad
      ip link set ${device} up`))
  }
}

// As test/world.js has it, on hosts; skipped by name where there can be none.
function scenario(name, body) {
  anyScenario(name, body, Net)
}

const why = missing()
if (why) {
  console.log(`skipped: ${why}`)
  process.exit(process.env.MS_NO_SKIP === '1' ? 1 : 77)
}

module.exports = { scenario }
