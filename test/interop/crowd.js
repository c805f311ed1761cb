'use strict'
// Many clients made of npm's multiserver in one process, all to one echo:
//
//   node crowd.js [options] ADDRESS
//
// Each sends random bytes, twice, and compares what comes back; then it ends and waits for the
// peer's end. With --together the second round begins, for all at once, on the line `go` on stdin,
// when every connection has been told open. The last line told is `done`, with what went wrong.

const crypto = require('crypto')
const readline = require('readline')
const { parseArgs } = require('util')
const { stackOptions, createStacks, tell } = require('./npm_stack')

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...stackOptions,
    total: { type: 'string', default: '1' }, // connections
    parallel: { type: 'string', default: '8' }, // of them in work at a time
    bytes: { type: 'string', default: '1000' }, // a round
    together: { type: 'boolean', default: false },
  },
})
const total = Number(options.total)
const bytes = Number(options.bytes)
const npm = createStacks(options, { port: 1, authorise: (key, cb) => cb(null, true) })

const dial = () =>
  new Promise((resolve, reject) => {
    npm.client(positionals[0], (err, stream) => (err ? reject(err) : resolve(stream)))
  })

// What is written to the sink, one piece after the other; null ends it.
function writer(sink) {
  const pieces = []
  let wanted = null
  const give = () => {
    if (!wanted || pieces.length === 0) return
    const cb = wanted
    const piece = pieces.shift()
    wanted = null
    if (piece === null) cb(true)
    else cb(null, piece)
  }
  sink((abort, cb) => {
    if (abort) return cb(abort)
    wanted = cb
    give()
  })
  return (piece) => {
    pieces.push(piece)
    give()
  }
}

const read = (source) =>
  new Promise((resolve, reject) => {
    source(null, (end, data) => {
      if (end && end !== true) reject(end)
      else resolve(end ? null : data)
    })
  })

async function round(stream, write) {
  const sent = crypto.randomBytes(bytes)
  const back = []
  let left = bytes
  write(sent)
  while (left > 0) {
    const data = await read(stream.source)
    if (!data) throw new Error(`ended, ${left} bytes before the echo was complete`)
    back.push(data)
    left -= data.length
  }
  if (!Buffer.concat(back).equals(sent)) throw new Error('the echo is not what was sent')
}

async function end(stream, write) {
  write(null)
  if (await read(stream.source)) throw new Error('more came than was sent')
}

// Runs `work` on each of `list`, `parallel` at a time.
async function each(list, work) {
  const queue = [...list]
  const worker = async () => {
    while (queue.length) await work(queue.shift())
  }
  await Promise.all(Array.from({ length: Number(options.parallel) }, worker))
}

async function main() {
  const numbers = Array.from({ length: total }, (_, i) => i)
  const errors = []
  const open = []
  let done = 0
  const attempt = (steps) => async (it) => {
    try {
      await steps(it)
    } catch (err) {
      errors.push(err.message)
    }
  }
  const opening = async () => {
    const stream = await dial()
    const write = writer(stream.sink)
    await round(stream, write)
    return { stream, write }
  }
  const rest = async ({ stream, write }) => {
    await round(stream, write)
    await end(stream, write)
    done++
  }
  if (options.together) {
    const go = new Promise((resolve) => {
      readline.createInterface({ input: process.stdin }).once('line', resolve)
    })
    await each(numbers, attempt(async () => open.push(await opening())))
    tell('open', { open: open.length, errors: errors.slice(0, 5) })
    await go
    await Promise.all(open.map(attempt(rest)))
  } else {
    await each(numbers, attempt(async () => rest(await opening())))
  }
  tell('done', { done, errors: errors.length, first: errors.slice(0, 5) })
  process.stdin.destroy()
}

main()
