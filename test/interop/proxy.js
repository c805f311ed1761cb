'use strict'
// What stands between two peers and stops or slows their handshake at a byte of the test's choice.

const net = require('net')

// What net.connect takes for the first alternative of an address, and the rest of it.
function place(address) {
  const [where, ...rest] = address.split(';')[0].split('~')
  const [protocol, ...parts] = where.split(':')
  if (protocol === 'unix') return { opts: { path: parts.join(':') }, rest }
  const port = parseInt(parts.pop())
  const host = parts.join(':')
  if (protocol === 'ws') return { opts: { host: host.slice(2), port }, rest, head: true }
  return { opts: { host, port }, rest }
}

// One direction: hands on `limit` bytes, after an HTTP head if there is to be one, each after `gapMsec`
// if there is a gap; keeps the others to itself. It reads on, so that it sees the end of either side,
// which takes the other along.
function lane(from, to, { limit, gapMsec, full, head }) {
  let left = limit
  let before = head ? Buffer.alloc(0) : null
  const drips = []
  const timer = gapMsec && setInterval(() => drips.length && to.write(drips.shift()), gapMsec)
  if (left === 0) full()
  from.on('data', (data) => {
    if (before && !gapMsec) {
      before = Buffer.concat([before, data])
      const end = before.indexOf('\r\n\r\n')
      if (end < 0) return
      to.write(before.subarray(0, end + 4))
      data = before.subarray(end + 4)
      before = null
    }
    const piece = data.subarray(0, left)
    if (piece.length === 0) return
    left -= piece.length
    if (gapMsec) for (const byte of piece) drips.push(Buffer.of(byte))
    else to.write(piece)
    if (left === 0) full()
  })
  from.on('error', () => {}) // 'close' follows
  from.on('close', () => {
    clearInterval(timer)
    to.destroy()
  })
}

class Proxy {
  sockets = new Set()
  server = net.createServer()

  // Listens at `at`, in the folder `where` or on a port, and dials `target` for its one client.
  // `held` resolves when both have said as much as they may; `reached` when `target` is, with the time at
  // which it was dialled; `cut.client` and `cut.server` with the time at which that side has left.
  async listen(target, where, { fromClient = Infinity, fromServer = Infinity, gapMsec = 0 } = {}) {
    const { opts, rest, head } = place(target)
    const at = opts.path ? { path: `${where}/socket` } : { host: '127.0.0.1', port: 0 }
    await new Promise((resolve) => this.server.listen(at, resolve))
    const listens = opts.path ? `unix:${at.path}` : `${head ? 'ws://' : 'net:'}127.0.0.1:${this.server.address().port}`
    this.at = [listens, ...rest].join('~')

    let missing = [fromClient, fromServer].filter(Number.isFinite).length
    const promise = () => {
      let resolve
      return [new Promise((fn) => (resolve = fn)), resolve]
    }
    const [held, hold] = promise()
    const [client, clientLeft] = promise()
    const [server, serverLeft] = promise()
    const [reached, reach] = promise()
    this.held = held
    this.reached = reached
    this.cut = { client, server }
    const full = () => --missing === 0 && hold()
    this.server.once('connection', (near) => {
      const since = Date.now()
      const far = net.connect(opts)
      this.sockets.add(near).add(far)
      near.on('close', () => clientLeft(Date.now()))
      far.on('connect', () => {
        reach(since)
        far.on('close', () => serverLeft(Date.now()))
      })
      lane(near, far, { limit: fromClient, gapMsec, full, head })
      lane(far, near, { limit: fromServer, gapMsec, full, head })
    })
  }

  close() {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

module.exports = { Proxy, place }
