'use strict'
// Processes, as /proc shows them.

const fs = require('fs')

// Those whose parent is this one.
function children(pid) {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
}

// The letter of its state, or 'X': it is not there.
function stateOf(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0]
  } catch {
    return 'X'
  }
}

const isGone = (pid) => 'ZX'.includes(stateOf(pid))

// Those of this name that live, and were started from this world.
function named(name, world) {
  return fs.readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name && !isGone(pid) &&
        fs.readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`HOME=${world.dir}\0`)
    } catch {
      return false // it has just gone
    }
  })
}

const descriptors = (pid) => fs.readdirSync(`/proc/${pid}/fd`)

// Looks every few milliseconds, for 20 s.
async function become(what) {
  const deadline = Date.now() + 20000
  while (!what()) {
    if (Date.now() > deadline) throw new Error(`it did not become so: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

module.exports = { children, stateOf, isGone, named, descriptors, become }
