'use strict'
// The language-independent shs1 test suite (npm shs1-test) against our codec, in both roles.
//
//   node shs1_suite.js SERVER CLIENT [SEEDS]
//
// SERVER and CLIENT are the built programs shs1-server and shs1-client. Each seed is 45 cases, the
// two roles together; the first failure ends the run and names its seed.
const { spawn } = require('child_process')
const path = require('path')

const [server, client, count = '20'] = process.argv.slice(2)
const LIMIT_MSEC = 60000

let suite
try {
  suite = path.dirname(require.resolve('shs1-test/package.json'))
} catch (err) {
  console.log('npm shs1-test is not installed (npm ci in test/interop)')
  process.exit(process.env.MS_NO_SKIP === '1' ? 1 : 77)
}

function run (role, program, seed) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(suite, `test-${role}.js`), program, seed])
    let output = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MSEC)
    child.stdout.on('data', (data) => { output += data })
    child.stderr.on('data', (data) => { output += data })
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      // the suite says in words that it has passed; its exit code alone does not
      if (code === 0 && output.includes(`Passed the ${role} test suite`)) resolve()
      else reject(new Error(`${role}, seed ${seed}, exit ${code}:\n${output}`))
    })
  })
}

async function main () {
  const seeds = Number(count)
  for (let i = 1; i <= seeds; i++) {
    await Promise.all([run('server', server, String(i)), run('client', client, String(i))])
  }
  console.log(`shs1-test: both roles, ${seeds} seeds passed`)
}

main().catch((err) => {
  console.error(err.message)
  process.exit(1)
})
