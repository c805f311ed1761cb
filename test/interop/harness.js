'use strict'
// What the interop tests share beside ../world.js: npm peers. Without the npm packages a test is
// skipped (status 77), or fails where MS_NO_SKIP=1 is set.

const path = require('path')
const { World, ...shared } = require('../world')

try {
  require('multiserver/package.json')
  require('chloride/package.json')
} catch (err) {
  console.log('The npm packages are missing: run `npm ci` in test/interop.')
  process.exit(process.env.MS_NO_SKIP === '1' ? 1 : 77)
}

const MAIN_NETWORK = '1KHLiKZvAvjbY1ziZEHMXawbCEIM6qwjCDm3VYRan/s='

class NpmWorld extends World {
  npm(args) {
    const script = path.join(__dirname, 'peer.js')
    return this.start(`npm ${args[0]}`, process.execPath, ['--no-deprecation', script, ...args])
  }
}

const scenario = (name, body) => shared.scenario(name, body, NpmWorld)

module.exports = { ...shared, scenario, MAIN_NETWORK }
