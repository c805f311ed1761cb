'use strict'
// examples/echo.c runs as its comment says.

const assert = require('assert')
const { scenario } = require('../world')

scenario('the echo example echoes', async (world) => {
  const example = world.start('example-echo', process.env.EXAMPLE_ECHO, [])
  const address = await example.line()
  for (const alternative of address.split(';')) {
    const client = world.ours(['connect', alternative])
    client.child.stdin.end('hello\n')
    assert.strictEqual(await client.exit(), 0)
    assert.strictEqual(client.stdout().toString(), 'hello\n')
  }
  example.kill('SIGINT')
  assert.strictEqual(await example.exit(), 0)
  const said = example.stdout().toString()
  assert.strictEqual(said.match(/ came\n/g).length, address.split(';').length)
  assert.strictEqual(said.match(/ left\n/g).length, address.split(';').length)
})
