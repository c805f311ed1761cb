'use strict'
// A real application at the other end: secret-stack and muxrpc of npm. Our command carries the
// bytes; the frames of packet-stream are made and read here, by hand.

const assert = require('assert')
const { scenario, identity, complaint, MAIN_NETWORK } = require('./harness')

// A frame: flags, the body's length, the request's number; a body. Replies have the negative number.
const JSON_BODY = 2
const END = 4 // of a stream, or an error for an answer
const HEADER = 9
const GOODBYE = Buffer.alloc(HEADER)

function frame(req, value, flags = JSON_BODY) {
  const body = Buffer.from(JSON.stringify(value))
  const header = Buffer.alloc(HEADER)
  header.writeUInt8(flags, 0)
  header.writeUInt32BE(body.length, 1)
  header.writeInt32BE(req, 5)
  return Buffer.concat([header, body])
}

// All whole frames; a goodbye is told as one without a body.
function frames(bytes) {
  const all = []
  for (let at = 0; bytes.length - at >= HEADER; ) {
    const flags = bytes.readUInt8(at)
    const end = at + HEADER + bytes.readUInt32BE(at + 1)
    if (end > bytes.length) break
    const body = bytes.subarray(at + HEADER, end)
    const value = (flags & 3) === JSON_BODY ? JSON.parse(body) : body.toString()
    all.push({ flags, req: bytes.readInt32BE(at + 5), value, goodbye: body.length === 0 })
    at = end
  }
  return all
}

const nth = (proc, n) => proc.until(() => frames(proc.stdout())[n], `frame ${n}`)

const app = (world, mode, me, ...args) =>
  world.npm([mode, '--seed', me.seed, '--caps', MAIN_NETWORK, ...args], 'ssb_app.js')

scenario('connect carries calls to a secret-stack application', async (world) => {
  const me = identity()
  const server = app(world, 'server', me)
  const { address } = await server.event('listening')
  assert.ok(address.endsWith(`~shs:${me.key}`), address)

  const us = identity()
  const ours = world.ours(['connect', address], { as: us })
  ours.child.stdin.write(frame(1, { name: ['manifest'], args: [], type: 'async' }))
  const manifest = await nth(ours, 0)
  assert.deepStrictEqual([manifest.req, manifest.flags & END], [-1, 0], JSON.stringify(manifest))
  assert.strictEqual(manifest.value.whoami, 'sync')
  assert.strictEqual(manifest.value.manifest, 'sync')

  ours.child.stdin.write(frame(2, { name: ['whoami'], args: [], type: 'async' }))
  const whoami = await nth(ours, 1)
  assert.deepStrictEqual([whoami.req, whoami.flags & END], [-2, 0], JSON.stringify(whoami))
  assert.deepStrictEqual(whoami.value, { id: `@${me.key}.ed25519` })

  ours.child.stdin.write(frame(3, { name: ['auth'], args: [], type: 'async' }))
  const refused = await nth(ours, 2)
  assert.deepStrictEqual([refused.req, refused.flags & END], [-3, END], JSON.stringify(refused))

  ours.child.stdin.write(GOODBYE)
  assert.ok((await nth(ours, 3)).goodbye)
  assert.strictEqual(await ours.finish(), 0)
  assert.strictEqual(ours.err, '')
  assert.strictEqual((await server.event('connection')).id, `@${us.key}.ed25519`)
  await server.event('closed')
  assert.strictEqual(await server.finish(), 0)
})

scenario('a secret-stack client calls through serve --stdio', async (world) => {
  const me = identity()
  const place = 'net:127.0.0.1:0~shs'
  const ours = world.ours(['serve', '--stdio', '--allow', me.key, place])
  const at = await ours.line('stderr')
  const client = app(world, 'client', me, at)
  const call = await nth(ours, 0)
  assert.deepStrictEqual([call.value.name, call.value.args], [['whoami'], []])
  ours.child.stdin.write(frame(-call.req, { id: '@somebody.ed25519' }))
  const { error, value } = await client.event('answer')
  assert.deepStrictEqual({ error, value }, { error: null, value: { id: '@somebody.ed25519' } })

  assert.ok((await nth(ours, 1)).goodbye)
  ours.child.stdin.write(GOODBYE)
  assert.strictEqual((await client.event('goodbye')).error, null)
  // Whoever of muxrpc said goodbye first ends its stream when secret-stack finds it idle, after 5 s.
  assert.strictEqual(await ours.finish(), 0)
  assert.strictEqual(complaint({ proc: ours, at }).err, '')
  assert.strictEqual(await client.finish(), 0)
})
