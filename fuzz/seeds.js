'use strict'
// Makes the corpora that the fuzzers begin with, from the test vectors:  node fuzz/seeds.js
// What is there already stays.

const fs = require('fs')
const path = require('path')
const crypto = require('crypto')

const vectors = (name) => JSON.parse(fs.readFileSync(path.join(__dirname, '../test/vectors', name)))
const hex = (text) => Buffer.from(text, 'hex')

function keep(fuzzer, data) {
  const dir = path.join(__dirname, 'corpus', fuzzer)
  fs.mkdirSync(dir, { recursive: true })
  const name = crypto.createHash('sha1').update(data).digest('hex').slice(0, 16)
  fs.writeFileSync(path.join(dir, name), data)
}

// ---- address ----

const ADDRESS_KEY = 'blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0='
for (const { input } of vectors('address.json').rows) keep('address', Buffer.from(input))
for (const input of [`unix:@na!~me~shs:${ADDRESS_KEY}`, 'unix:!@x.ed25519~noauth', 'unix:@', 'unix:./@x', `unix:/p~ws:/a b?c!~d~shs:${ADDRESS_KEY}`,
  'unix:@x~tls:h~ws', 'unix:/p~ws://h:1', 'net:h:1~ws', 'foo:x~ws:/']) keep('address', Buffer.from(input))

// ---- typed ----

const KEYS = ['blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0=', `${'A'.repeat(43)}=`]
for (const text of ['tcp:host:1~shs:K', 'nett:host:1', 'http://u:password@host/p~shs:K:S', 'net://host:1/~SHS:K', 'host:8008:K:S', '/run/x', '@x',
  '[::1]:8008~K', "'net:h:1 ~shs:K',ws:h:2~sha:K:S", '*:8008', '8008', 'wss://u@h~shs:@K.ed25519:S;tcp:h:1', 'unix:///x~noath', 'host:8008:@K.ed25519~S',
  'net:host:8008~shs:K:S']) keep('typed', Buffer.from(text.replaceAll('K', KEYS[0]).replaceAll('S', (_, at) => text[at + 1] === 'H' ? 'S' : KEYS[1])))

// ---- legacy ----

const FEED = `@${'blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0='}.ed25519`
for (const text of [`host:8008:${FEED}`, `host:${FEED}`, `::1:8008:${FEED}`, `[fe80::1%eth0]:1:${FEED}`, `x.onion:8008:${FEED}`,
  `host:8008:${FEED}~${'A'.repeat(43)}=`, `h~o!st:0:${FEED}`, FEED, `:1:${FEED}`]) keep('legacy', Buffer.from(text))

// ---- secret ----

// RFC 8032, section 7.1, test 1.
const PUBLIC = '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='
const PRIVATE = 'nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=='
const secret = (members) => JSON.stringify({ curve: 'ed25519', public: PUBLIC, private: PRIVATE, ...members }, null, 2)
for (const text of [
  secret({}),
  `# comment\n${secret({ public: `${PUBLIC}.ed25519`, private: `${PRIVATE}.ed25519`, id: `@${PUBLIC}.ed25519` })}\n# end\n`,
  secret({ curve: 'k256' }),
  secret({ public: PUBLIC.replace('1', '2') }),
  secret({ nested: [{ a: [1, true, null, '\\"'] }] }),
  secret({}).replaceAll('/', '\\/'),
  '{}',
]) keep('secret', Buffer.from(text))

// ---- box ----

const { streams, decode_only: rest } = vectors('boxstream.json')
for (const { key, nonce, ciphertext } of [...streams, ...rest]) {
  keep('box', Buffer.concat([Buffer.from([0, 3]), hex(key), hex(nonce), hex(ciphertext)]))
}

// Packets under a known key (packets.c): an honest one, a long one, one that lies, noise, a goodbye.
const PACKETS = [[0, 10, 65], [1, 0x10, 0, 66], [1, 0, 0, 0], [3, ...Array(18).fill(1), 4, 1, 2, 3, 4],
  [4, 5, 1, 2, 3, 4, 5], [2], [0, 255, 67]]
const scripts = [[0, 1], [0, 1, 5], [0, 2, 0, 5, 6], [1, 3], [0, 4], [5], [6, 6, 6, 5]]
  .map((list) => list.flatMap((i) => PACKETS[i]))
for (const script of scripts) {
  keep('box', Buffer.concat([Buffer.from([1, 2]), Buffer.alloc(32, 7), Buffer.alloc(24, 255), Buffer.from(script)]))
}

// ---- shs ----

// libsodium's box key of a seed.
function ephemeral(seed) {
  const secret = crypto.createHash('sha512').update(hex(seed)).digest().subarray(0, 32)
  secret[0] &= 248
  secret[31] = (secret[31] & 127) | 64
  return secret
}

const { handshakes, negative } = vectors('shs1.json')
for (const row of handshakes) {
  const app = row.app || {}
  const stream = (name) => (typeof app[name] === 'string' ? app[name] : '')
  const key = row.network_key
  const client = row.client_override_seed || row.client_static_seed
  const world = (seed, ephemeral) => [hex(key), hex(seed), hex(ephemeral), hex(row.server_static_public)]
  keep('shs_server', Buffer.concat([Buffer.from([0, 255]), ...world(row.server_static_seed, row.server_ephemeral_secret),
    hex(row.msg1), hex(row.msg3), hex(stream('client_to_server_stream'))]))
  keep('shs_client', Buffer.concat([Buffer.from([0, 255]), ...world(client, row.client_ephemeral_secret),
    hex(row.msg2), hex(row.msg4), hex(stream('server_to_client_stream'))]))
}
for (const row of negative.filter(({ wire_client_to_server: wire }) => wire)) {
  const world = [hex(row.network_key_server || row.network_key), hex(row.server_static_seed),
    ephemeral(row.server_ephemeral_seed), Buffer.alloc(32)]
  keep('shs_server', Buffer.concat([Buffer.from([0, 255]), ...world, hex(row.wire_client_to_server)]))
}
for (const role of ['shs_server', 'shs_client']) {
  for (const script of scripts) {
    keep(role, Buffer.from([1, 9, 0, 0, ...script]))
    keep(role, Buffer.from([1, 0, 0, 0, ...script]))
  }
  keep(role, Buffer.from([1, 255, 1, 3, 128]))
  keep(role, Buffer.from([1, 255, 0, 2, 3, 128, 40, 1]))
  keep(role, Buffer.from([3, 255, 0, 0])) // refused
}

// ---- head ----

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
const REQUEST = ['GET /chat?a=b HTTP/1.1', 'Host: h.example', 'Upgrade: websocket', 'Connection: keep-alive, Upgrade', KEY,
  'Sec-WebSocket-Version: 13']
const RESPONSE = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=']
const head = (lines) => Buffer.from(lines.join('\r\n') + '\r\n\r\n')
for (const chunk of [0, 6, 255]) {
  for (const lines of [REQUEST, [...REQUEST, 'Origin: http://h.example'], [...REQUEST, 'Content-Length: 3'], REQUEST.slice(0, 2),
    REQUEST.slice(0, 5), [...REQUEST, 'X: a\r\n b'], ['HEAD / HTTP/1.0']]) keep('head', Buffer.concat([Buffer.from([1, chunk]), head(lines)]))
  for (const lines of [RESPONSE, RESPONSE.slice(0, 3), ['HTTP/1.1 302 Found', 'Location: /x'], ['HTTP/1.1 200 OK', 'Content-Length: 1'],
    [...RESPONSE, 'Sec-WebSocket-Extensions: permessage-deflate']]) keep('head', Buffer.concat([Buffer.from([0, chunk]), head(lines)]))
}

// ---- proxy ----

const V2 = [13, 10, 13, 10, 0, 13, 10, ...Buffer.from('QUIT\n')]
const HEADERS = ['PROXY TCP4 192.0.2.1 198.51.100.1 5678 443\r\n', 'PROXY TCP6 2001:db8::1 ::1 1 0\r\n', 'PROXY UNKNOWN\r\n',
  'PROXY TCP4 192.0.2.1\r\n', 'GET / HTTP/1.1\r\n', [...V2, 0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 1, 22, 46, 1, 187],
  [...V2, 0x21, 0x21, 0, 38, 32, 1, 13, 184, ...Array(32).fill(1), 1, 2], [...V2, 0x20, 0, 0, 0], [...V2, 0x21, 0, 0, 3, 1, 2, 3],
  [...V2, 0x21, 0x12, 0, 12]]
for (const header of HEADERS) {
  for (const [flags, chunk] of [[0, 0], [1, 6]]) keep('proxy', Buffer.concat([Buffer.from([flags, chunk]), Buffer.from(header), Buffer.from('next')]))
}
for (const field of ['X-Forwarded-For: 6.6.6.6, 192.0.2.1', 'X-Forwarded-For: [2001:db8::1]:99', 'Forwarded: for=192.0.2.1;by=_x, for="[2001:db8::1]:9"',
  'Forwarded: for="6.6.6.6\\", for=192.0.2.1', 'Forwarded: ;,for=1.2.3.4']) {
  for (const flags of [2, 6]) keep('proxy', Buffer.concat([Buffer.from([flags, 0]), head(['GET / HTTP/1.1', field])]))
}

// ---- tls ----

// Lines of tls.c's script: [side, what, ...]. Twice both sides take all there is: the handshake is over.
const both = [0, 6, 1, 6, 0, 6, 1, 6, 0, 6]
for (const version of [0, 1]) {
  for (const play of [[], [0, 2, 1, 0, 0, 1, 2, 0, 1, 0, 1, 0, 0, 50, 255, 255], [0, 2, 200, 0, 1, 2, 0, 9, 0, 3, 0, 1, 0, 0, 1, 6],
    [0, 2, 0, 99, 0, 1, 1, 0, 1, 4, 0, 30, 3, 1, 6], [1, 5, 3, 1, 2, 3, 1, 6], [1, 3, 1, 1, 0, 0, 0, 6, 0, 3, 0, 1, 0, 0]]) {
    keep('tls', Buffer.from([version, ...both, ...play]))
    keep('tls', Buffer.from([version, 0, 0, 0, 0, 0, 0, 1, 0, 0, 100, 0, 0, ...both, ...play]))
  }
}

// ---- frames ----

// FIN and opcode, payload; masked for a server with a mask of no zeros.
function frame(server, first, payload, announced = payload.length) {
  const data = Buffer.from(payload)
  const length = announced < 126 ? [announced] : [126, announced >> 8, announced & 255]
  const mask = [1, 2, 3, 4]
  if (!server) return Buffer.concat([Buffer.from([first, ...length]), data])
  return Buffer.concat([Buffer.from([first, length[0] | 128, ...length.slice(1), ...mask]), data.map((b, i) => b ^ mask[i & 3])])
}
const FRAMES = [
  [[0x81, 'hello']], [[0x82, 'x'.repeat(200)]], [[0x01, 'h\u00e9'], [0x89, 'ping'], [0x80, 'llo']], [[0x82, ''], [0x88, '']],
  [[0x88, '\x03\xe8bye']], [[0x88, '\x03\xf3']], [[0x81, '\xff']], [[0x80, 'x']], [[0x01, 'a'], [0x81, 'b']], [[0x8a, '']],
  [[0x02, 'a'], [0x00, ''], [0x80, 'b']], [[0x82, 'x'.repeat(5001)]], [[0x83, '']], [[0x09, '']],
]
for (const flags of [0, 1, 2, 3]) {
  for (const list of FRAMES) {
    const frames = list.map(([first, text]) => frame(flags & 1, first, Buffer.from(text, 'latin1')))
    for (const chunk of [0, 3]) keep('frames', Buffer.concat([Buffer.from([flags, chunk]), ...frames]))
  }
}

// ---- stack ----

// Scripts of stack.c, one of each kind for every stack and role.
const OPS = ['PEER_BYTES', 'PEER_FRAME', 'PEER_FIN', 'PEER_RST', 'RUN', 'DELIVER', 'FINISH', 'STUCK', 'WAIT', 'ANSWER',
  'READING', 'NEED', 'CONSUME', 'WRITE', 'RESERVE', 'MESSAGE', 'END', 'CLOSE', 'ABORT']
const op = (name, ...args) => [OPS.indexOf(name), ...args]
const run = op('RUN')
const plays = [
  [...op('PEER_FRAME', 5, 1, 2, 3, 4, 5), ...run, ...op('CONSUME', 0, 3), ...op('WRITE', 1, 0), ...run, ...op('END'),
    ...run, ...op('PEER_FIN'), ...run],
  [...op('READING'), ...op('PEER_BYTES', 3, 0, 1, 9), ...op('DELIVER', 0), ...run, ...op('STUCK'), ...op('WRITE', 255, 255),
    ...run, ...op('STUCK'), ...op('FINISH', 9), ...run, ...op('CLOSE'), ...op('WAIT', 100)],
  [...op('NEED', 1, 0), ...op('RESERVE', 0, 9), ...op('MESSAGE', 5, 0, 9), ...run, ...op('PEER_RST'), ...run],
  [...op('PEER_BYTES', 40, ...Array(40).fill(10)), ...run, ...op('ANSWER', 1), ...op('WRITE', 0, 5), ...run, ...op('ABORT')],
  [...op('WAIT', 255), ...op('WAIT', 255)],
]
for (let stack = 0; stack < 20; stack++) {
  for (const flags of [0, 1, 0x1e, 0x1f]) {
    // What makes the toy that is like WebSocket open.
    const hello = [...op('PEER_BYTES', 8, ...Buffer.from(flags & 1 ? 'two+try?' : 'two+yes!')), ...run]
    const upgrade = [...op('PEER_BYTES', 0), ...run]
    upgrade.splice(1, 1, head(flags & 1 ? REQUEST : RESPONSE).length, ...head(flags & 1 ? REQUEST : RESPONSE))
    for (const play of plays) {
      keep('stack', Buffer.from([stack, flags, ...play]))
      keep('stack', Buffer.from([stack, flags, ...hello, ...play]))
      if (stack > 17) keep('stack', Buffer.from([stack, flags, ...upgrade, ...play]))
    }
  }
}

// ---- The command: options, the file of --allow-file, requests for metrics and for pages ----

for (const list of [['-v', 'net::0'], ['--key', 'file', '--timeout=100', 'a', '--', '-b'], ['-kfile', '-t', '5'], ['--limit', 'connections=10', '--limit=idle-msec=none'],
  ['--external', 'pub.example', '-e', 'net:[::1]:443', 'net:::1:8008~shs', 'ws://h'], ['--help'], ['--limit', 'buffered=1', 'x'], ['--verbose=1'], ['-x'], ['--timeout', '99999999999']]) {
  keep('options', Buffer.from(list.join('\0')))
}
const ALLOWED = 'blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0='
for (const text of [`${ALLOWED}\n`, `# friends\n\n@${ALLOWED}.ed25519 # Ann\n${ALLOWED}`, `${ALLOWED} ${ALLOWED}\n`, 'no key\n', 'a'.repeat(600), `\r\n\t${ALLOWED}\r\n`, `${ALLOWED}\0\n`]) keep('allow', Buffer.from(text))
for (const text of ['GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n', 'HEAD / HTTP/1.0\r\n\r\n', 'POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx', 'GET http://h:1/metrics?x HTTP/1.1\r\n\r\n',
  'GET /other HTTP/1.1\r\n\r\n', '\r\n\r\nGET / HTTP/1.1\r\n\r\n', 'nonsense\r\n\r\n', 'OPTIONS * HTTP/1.1\r\n\r\n', 'CONNECT h:1 HTTP/1.1\r\n\r\n']) keep('metrics', Buffer.from(text))
for (const lines of [['/', 'bytes=0-9', '"5f"'], ['/sub/a%20b.js?x', 'bytes=-5', 'W/"5f", "60"'], ['/../etc/passwd', 'bytes=5-', '*'], ['/%2e%2e/x', 'bytes=9-5', ''], ['/.well-known/x', 'bytes=0-0,5-6', ''],
  ['/%00', 'bytes=99999999999999999999-', ''], ['*', 'items=0-1', ''], ['/' + 'a'.repeat(900), 'bytes= 0 - 1', '']]) keep('pages', Buffer.from(lines.join('\n')))
