'use strict'
// What Linux tells of a process, and how to wait for it: nothing announces a change there.

const fs = require('fs')
const { setTimeout: sleep } = require('timers/promises')

const memory = (proc, field) => {
  const status = fs.readFileSync(`/proc/${proc.child.pid}/status`, 'utf8')
  return Number(status.match(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'))[1]) * 1024
}

// Bytes of memory that a process has now, and has had at the most.
const resident = (proc) => memory(proc, 'VmRSS')
const peak = (proc) => memory(proc, 'VmHWM')

const descriptors = (proc) => fs.readdirSync(`/proc/${proc.child.pid}/fd`).length

// The ports of IPv4 that a process listens on.
function listeningPorts(proc) {
  const dir = `/proc/${proc.child.pid}/fd`
  const sockets = fs.readdirSync(dir).map((fd) => fs.readlinkSync(`${dir}/${fd}`))
  const lines = fs.readFileSync(`/proc/${proc.child.pid}/net/tcp`, 'utf8').split('\n').slice(1, -1)
  return lines.map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.includes(`socket:[${inode}]`))
    .map(([, local]) => parseInt(local.split(':')[1], 16))
}

// Looks until `get` returns what is wanted; fails with the last value seen.
async function eventually(get, wanted, what, msec = 20000) {
  const deadline = Date.now() + msec
  for (;;) {
    const value = await get()
    if (wanted(value)) return value
    if (Date.now() > deadline) throw new Error(`${what}: still ${value} after ${msec} ms`)
    await sleep(20)
  }
}

// The value of a counter once it has stood still for a while: whoever moves it is waiting.
async function atRest(get, msec = 700) {
  let value = await get()
  let since = Date.now()
  while (Date.now() - since < msec) {
    await sleep(20)
    const now = await get()
    if (now !== value) since = Date.now()
    value = now
  }
  return value
}

// The descriptors of our process, which serves the echo at `at`, when a first connection has come
// and gone: the event loop opens some of its own on the way.
async function descriptorsAtRest(world, ours, at, args = []) {
  const { errors } = await world.crowd(at, args).event('done')
  if (errors) throw new Error('the first connection failed')
  return atRest(() => descriptors(ours), 300)
}

// An ASan build keeps freed memory aside, up to 256 MiB, and since gcc 13 stacks, which would drown what
// is measured. Nothing is read where there is no ASan.
const LEAN = {
  ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'quarantine_size_mb=1', 'detect_stack_use_after_return=0'].filter(Boolean).join(':'),
}

module.exports = { resident, peak, descriptors, descriptorsAtRest, listeningPorts, eventually, atRest, LEAN }
