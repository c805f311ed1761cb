'use strict'
// What --help says, and that the command line agrees with it.

const assert = require('assert')
const { scenario, assertComplaint } = require('../world')

async function help(world, ...args) {
  const proc = await world.run([...args, '--help'])
  assert.strictEqual(proc.status, 0, `${proc}`)
  return proc.stdout().toString()
}

// The rows below a heading: what is typed, as ['--exec', 'COMMAND'].
function rows(text, heading) {
  const list = text.split(`\n${heading}:\n`)[1].split('\n\n')[0]
  return [...list.matchAll(/^ {2}(--[a-z-]+)(?: ([A-Z]+))?(?: |$)/gm)].map(([, name, argument]) => [name, argument].filter(Boolean))
}

scenario('no line of a help text is longer than 90 characters', async (world) => {
  for (const command of [[], ['serve'], ['connect'], ['check'], ['address'], ['keygen'], ['id']]) {
    for (const line of (await help(world, ...command)).split('\n')) assert.ok(line.length <= 90, line)
  }
})

scenario('--help and a line about wrong usage have the same actions, of which one is to be given', async (world) => {
  const actions = rows(await help(world, 'serve'), 'actions, one of')
  assert.ok(actions.length >= 5, `${actions}`)
  const given = actions.map(([name, argument]) => argument ? [name, argument === 'ADDRESS' ? 'net:h:1' : 'true'] : [name])
  const usage = `one of ${actions.map((action) => action.join(' ')).join(', ')} (`
  for (const one of [[], ...given]) {
    for (const other of one.length ? given.filter((it) => it !== one) : [[]]) {
      const proc = await world.run(['serve', ...one, ...other, 'net:127.0.0.1:0~noauth'])
      assert.strictEqual(proc.status, 2, `${proc}`)
      assert.ok(proc.err.includes(usage), proc.err)
    }
  }
})

scenario('an option of one action is wrong usage beside another', async (world) => {
  const options = { '--exec-clean': ['0', '--exec COMMAND'], '--retry-for': ['5', '--forward ADDRESS'] }
  for (const action of rows(await help(world, 'serve'), 'actions, one of')) {
    for (const [option, [value, needs]] of Object.entries(options)) {
      if (needs === action.join(' ')) continue
      const given = action.length > 1 ? [action[0], action[1] === 'ADDRESS' ? 'net:h:1' : 'true'] : action
      const proc = await world.run(['serve', ...given, option, value, 'net:127.0.0.1:0~noauth'])
      assert.strictEqual(proc.status, 2, `${proc}`)
      assertComplaint(proc, new RegExp(`: ${option}: is about \\w+: it needs ${needs} `))
    }
  }
})
