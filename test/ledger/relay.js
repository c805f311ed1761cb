'use strict'
// What stands between two peers of a round: it counts, and it cuts, resets, halves or stalls.

const net = require('net')

class Relay {
  passed = { up: 0, down: 0 }
  ended = { up: false, down: false } // a FIN has come through
  #server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
  #pairs = new Set()
  #limits = []
  #halved = { up: false, down: false }
  #stalled = false
  #over = false

  // Listens at `path` or on a port of 127.0.0.1, for whoever is to reach `target`, both as
  // net.connect takes them.
  async listen(target, path) {
    this.#server.on('connection', (near) => this.#join(near, net.connect({ ...target, allowHalfOpen: true })))
    await new Promise((resolve) => this.#server.listen(path ? { path } : { host: '127.0.0.1', port: 0 }, resolve))
    return path || this.#server.address().port
  }

  #join(near, far) {
    if (this.#over) return near.destroy(), far.destroy()
    const pair = { near, far }
    this.#pairs.add(pair)
    this.#lane(near, far, 'up')
    this.#lane(far, near, 'down')
    if (this.#halved.up) far.end()
    if (this.#halved.down) near.end()
  }

  #lane(from, to, direction) {
    from.on('data', (data) => {
      const limit = this.#limits.find((one) => one.direction === direction && this.passed[direction] + data.length >= one.bytes)
      const before = limit ? Math.max(0, limit.bytes - this.passed[direction]) : data.length
      this.#hand(from, to, direction, data.subarray(0, before))
      if (limit) {
        this.#limits.splice(this.#limits.indexOf(limit), 1)
        limit.then()
        this.#hand(from, to, direction, data.subarray(before))
      }
    })
    from.on('end', () => {
      this.ended[direction] = true
      if (!this.#halved[direction] && !to.destroyed) to.end()
    })
    // One that is reset or closed by half takes the other along, as it was itself.
    from.on('error', () => {
      if (!to.destroyed) reset(to)
    })
    from.on('close', (failed) => {
      if (failed && !to.destroyed) reset(to)
    })
    to.on('drain', () => this.#stalled || from.resume())
    from.resume()
  }

  #hand(from, to, direction, data) {
    this.passed[direction] += data.length
    if (data.length === 0 || this.#halved[direction] || to.destroyed || to.writableEnded) return
    if (!to.write(data)) from.pause()
  }

  // Calls back when so many bytes have gone in that direction, before the next one goes.
  when(direction, bytes, then) {
    if (this.passed[direction] >= bytes) then()
    else this.#limits.push({ direction, bytes, then })
  }

  cut() {
    this.#end((socket) => socket.destroy())
  }

  reset() {
    this.#end(reset)
  }

  #end(how) {
    this.#over = true
    for (const { near, far } of this.#pairs) {
      for (const socket of [near, far]) if (!socket.destroyed) how(socket)
    }
  }

  // An end that no peer has said, of one direction; the other goes on.
  half(direction) {
    this.#halved[direction] = true
    for (const { near, far } of this.#pairs) (direction === 'up' ? far : near).end()
  }

  // Nothing goes either way for so long.
  stall(msec) {
    this.#stalled = true
    const each = (what) => {
      for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket[what]()
    }
    each('pause')
    setTimeout(() => {
      this.#stalled = false
      each('resume')
    }, msec)
  }

  close() {
    this.#server.close()
    this.#end((socket) => socket.destroy())
  }
}

// TCP has resets, a Unix socket has none.
function reset(socket) {
  if (socket.remoteFamily) socket.resetAndDestroy()
  else socket.destroy()
}

module.exports = { Relay }
