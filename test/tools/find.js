'use strict'
// The programs of this folder as they are built: those of the build that $MULTISERVER is of, else of
// any other.

const fs = require('fs')
const path = require('path')

const root = path.join(__dirname, '..', '..')

// The command under test: the release's, if nobody has named one.
process.env.MULTISERVER = path.resolve(process.env.MULTISERVER || path.join(root, 'build/release/multiserver'))

function tool(name) {
  const builds = [path.dirname(process.env.MULTISERVER), ...['release', 'asan', 'debug'].map((one) => path.join(root, 'build', one))]
  const found = builds.map((dir) => path.join(dir, 'test', name)).find((file) => fs.existsSync(file))
  if (found) return found
  console.error(`${name} is not built: cmake --build build/asan --target ${name}`)
  process.exit(2)
}

module.exports = { root, tool }
