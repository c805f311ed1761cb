'use strict'
// A peer's words on a terminal: nothing in them is obeyed, and nothing reorders or hides what stands
// there.

const assert = require('assert')
const net = require('net')
const { scenario } = require('../world')

// What is replaced, byte by byte, and what is not.
const hidden = [
  '\x00', '\x07', '\x1b', '\x7f', '\x80', '\x85', '\x9b', '\x9f', // controls
  '\u061c', '\u200e', '\u200f', '\u202a', '\u202b', '\u202c', '\u202d', '\u202e', '\u2066', '\u2067', '\u2068', '\u2069', // directions
  '\u2028', '\u2029', // separators
  '\xad', '\u034f', '\u180e', '\u200b', '\u200c', '\u200d', '\u2060', '\u2064', '\u206a', '\u206f', '\ufeff', // no width
  '\u115f', '\u1160', '\u17b4', '\u3164', '\uffa0', // fillers
  '\ufff9', '\ufffa', '\ufffb', '\u{e0001}', '\u{e0041}', '\u{e007f}', '\u{e0100}', '\u{1d173}', '\u{1bca0}', // annotations, tags
  '\ufdd0', '\uffff',
]
const shown = ['\t', ' ', '~', '\xa0', '\xac', '\xae', 'é', 'ß', 'ω', 'я', 'א', 'ع', '\u05b0', '\u0300', '世', '界', '\u2010', '\u2019', '\u2027', '\u202f', '\u2070',
  '\u2e00', '\ufe0f', '\ufb50', '\ufffc', '\ufffd', '\u{10000}', '\u{1f600}', '\u{1d172}', '❤\ufe0f']
const invalid = [[0xff], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf],
  [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80], [0xbf], [0xe2, 0x80], [0xe2], [0xf0, 0x9f, 0x98], [0xc2]]

scenario('in a line of a chat', async (world) => {
  const room = world.ours(['serve', '--chat', '--allow-any', 'net:127.0.0.1:0~shs'])
  const at = await room.line()
  const [one, two] = [world.ours(['connect', at]), world.ours(['connect', at])]
  await Promise.race([one, two].map((guest) => guest.until(() => /joined/.test(guest.stdout()), 'the other')))
  const heard = async (bytes) => {
    const from = two.received
    one.child.stdin.write(Buffer.concat([Buffer.from('<'), bytes, Buffer.from('>\n')]))
    await two.until(() => two.stdout().subarray(from).includes('>\n'), 'a line')
    return two.stdout().subarray(from).toString().match(/<([^]*)>\n/)[1]
  }
  for (const c of hidden) assert.strictEqual(await heard(Buffer.from(c)), '?'.repeat(Buffer.byteLength(c)), `U+${c.codePointAt(0).toString(16)}`)
  for (const c of shown) assert.strictEqual(await heard(Buffer.from(c)), c, `U+${c && c.codePointAt(0).toString(16)}`)
  for (const bytes of invalid) assert.strictEqual(await heard(Buffer.from(bytes)), '?'.repeat(bytes.length), bytes.join())
})

// A browser's page whose origin is this asks, and is told of; what check shows of such a server.
const word = 'evil\u202e\u2066\u009b\u200b\u{e0041}\u00ad'
const cleaned = 'evil' + '?'.repeat(Buffer.byteLength(word) - 4)

scenario('in a line of the journal, and in an event', async (world) => {
  const serve = world.ours(['serve', '--echo', '--json', 'ws://127.0.0.1:0~noauth'])
  const { address } = await serve.event('listening')
  const socket = net.connect(Number(address.match(/:(\d+)/)[1]), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(Buffer.from(`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://${word}\r\n\r\n`))
  const event = await serve.event('error')
  assert.ok(event.message.includes(word), 'an event loses nothing')
  assert.ok(/^[\x20-\x7e\n]*$/.test(serve.stdout().toString()), 'and has no byte but ASCII')
  await serve.until(() => serve.err.includes(cleaned), 'the line, cleaned')
  assert.doesNotMatch(serve.err, /[\u202e\u2066\u009b\u200b\u00ad]/)
})

scenario('in what check and connect say', async (world) => {
  const server = net.createServer((socket) => socket.once('data', () => socket.end(`HTTP/1.1 403 ${word}\r\nLocation: http://${word}/\r\nContent-Length: 0\r\n\r\n`)))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  world.atEnd(() => server.close())
  const { port } = server.address()
  for (const args of [['check', `ws://127.0.0.1:${port}/${word}`], ['connect', '-v', `ws://127.0.0.1:${port}/${word}`], ['connect', `net:${word}:1`], ['check', `${word}:1`],
    ['connect', '--key', word, `ws://127.0.0.1:${port}~shs:${'A'.repeat(43)}=`]]) {
    const proc = await world.run(args)
    assert.notStrictEqual(proc.status, 0)
    assert.doesNotMatch(proc.err + proc.stdout(), /[\u202e\u2066\u009b\u200b\u00ad]/, args.join(' '))
  }
  const json = await world.run(['address', '--json', `ws://127.0.0.1:1/${word}`])
  assert.match(json.stdout().toString(), /^[\x20-\x7e]*\n$/)
})
