'use strict'
// An application of npm's secret-stack with its default net and shs, driven by a test:
//
//   node ssb_app.js server --seed BASE64             listens on loopback, says where
//   node ssb_app.js client --seed BASE64 ADDRESS     dials, asks whoami, says goodbye
//
// What happens is told as one JSON object a line on stdout. At the end of stdin it leaves.

const net = require('net')
const { parseArgs } = require('util')
const sodium = require('chloride')
const SecretStack = require('secret-stack')
const { tell } = require('./npm_stack')

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, caps: { type: 'string' } },
})
const [mode, address] = positionals

// The call of that name of ssb-server.
const whoami = {
  manifest: { whoami: 'sync' },
  permissions: { anonymous: { allow: ['whoami'] } },
  init: (api) => ({ whoami: () => ({ id: api.id }) }),
}

function start(port) {
  const pair = sodium.crypto_sign_seed_keypair(Buffer.from(options.seed, 'base64'))
  const text = (key) => `${key.toString('base64')}.ed25519`
  const keys = {
    curve: 'ed25519',
    public: text(pair.publicKey),
    private: text(pair.secretKey),
    id: `@${text(pair.publicKey)}`,
  }
  const global = { caps: { shs: options.caps }, keys, host: '127.0.0.1', port }
  return SecretStack({ global }).use(whoami)()
}

// secret-stack tells nobody of a port that is taken; this one is free.
const probe = net.createServer().listen(0, '127.0.0.1', () => {
  const { port } = probe.address()
  probe.close(() => {
    const app = start(port)
    app.on('rpc:connect', (rpc, isClient) => {
      tell('connection', { id: rpc.id, isClient })
      rpc.once('closed', () => tell('closed', {}))
    })
    app.on('multiserver:listening', () => {
      if (mode === 'server') return tell('listening', { address: app.getAddress('device') })
      app.connect(address, (err, rpc) => {
        if (err) return tell('failed', { error: err.message })
        rpc.whoami((failure, value) => {
          tell('answer', { error: failure && failure.message, value })
          rpc.close((bad) => tell('goodbye', { error: bad && bad !== true ? bad.message : null }))
        })
      })
    })
    process.stdin.on('end', () => process.exit(0)).resume()
  })
})
