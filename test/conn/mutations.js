'use strict'
// Shows that the matrix sees each rule of the pump: takes one out at a time, and expects a seed to
// fail.
//
//   node test/conn/mutations.js [SEEDS]      4000, unless told; CC is the compiler, cc by default

const fs = require('fs')
const os = require('os')
const path = require('path')
const { spawnSync } = require('child_process')

const root = path.join(__dirname, '..', '..')
const seeds = process.argv[2] || '4000'

// What is taken out, where, and how: the text must stand in the file once.
const mutations = [
  ['compaction on FULL', 'pump.c', 'bool compact = s->last_in == MS__FULL && room > s->in_left;',
    'bool compact = false;'],
  ['the capacity sum', 'pump.c', 'below + above > block ? below + above : block',
    'below > block ? below : above > block ? above : block'],
  ['end(err) above a', 'pump.c', '(int)i >= lowest :', '(int)i == c->failed_at :'],
  ['RST instead of FIN', 'pump.c', 'if (c->end_layer == -1 && ((c->failed && !c->said) || c->broken)) {', 'if (false) {'],
  ['ends of layers above a', 'pump.c', 'if (c->in_end && (int)i <= c->end_layer) return;', 'if (c->in_end) return;'],
  ['held ends', 'pump.c', 'return i >= c->end_layer ||', 'return i >= -1 ||'],
  ['the unstepped question', 'pump.c', 'if (s->asked) return;', '']
]

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ms-mutations-'))
process.on('exit', () => fs.rmSync(dir, { recursive: true }))

function run (command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (error) throw error
  return { status, out: stdout + stderr }
}

function compile (args) {
  const flags = ['-std=c11', '-D_POSIX_C_SOURCE=200809L', '-O1', '-Iinclude', '-Isrc', '-Itest', '-Itest/conn']
  const { status, out } = run(process.env.CC || 'cc', [...flags, ...args])
  if (status !== 0) throw new Error(out)
}

function sources (folder, wanted) {
  return fs.readdirSync(path.join(root, folder)).filter(name => name.endsWith('.c') && wanted(name))
    .map(name => path.join(folder, name))
}

const all = [
  ...sources('test/conn', name => /^toy_|^(fake_wire|app|world|matrix_test)\.c$/.test(name)),
  ...sources('src/conn', name => /^(alarms|pool|edge|conn|pump|ends|heard|keep|eviction|turns)\.c$/.test(name)),
  ...sources('src/base', () => true),
  ...sources('src/addr', name => /^(host|cidr|inet|front|origin)\.c$/.test(name)),
  ...sources('src/layer', () => true)
]
const object = source => path.join(dir, source.replace(/\W/g, '_') + '.o')
for (const source of all) compile(['-c', source, '-o', object(source)])

// The matrix with one source file replaced; the first line it prints.
function matrix (replaced, text) {
  const program = path.join(dir, 'matrix')
  const objects = all.filter(source => source !== replaced).map(object)
  if (replaced) {
    const copy = path.join(dir, path.basename(replaced))
    fs.writeFileSync(copy, text)
    compile(['-c', copy, '-o', copy + '.o'])
    objects.push(copy + '.o')
  }
  compile([...objects, '-lsodium', '-lssl', '-lcrypto', '-lhttp_parser', '-o', program])
  return run(program, ['--seeds', seeds, '--first', '1', '--jobs', '1'])
}

let failures = 0
function report (good, what, out) {
  if (!good) failures++
  console.log(`${good ? 'ok    ' : 'NOT OK'} ${what}: ${out.trim().split('\n')[0]}`)
}

const untouched = matrix()
report(untouched.status === 0, 'untouched', untouched.out)
for (const [rule, file, from, to] of mutations) {
  const source = path.join('src/conn', file)
  const text = fs.readFileSync(path.join(root, source), 'utf8')
  if (text.split(from).length !== 2) throw new Error(`${rule}: not once in ${source}: ${from}`)
  const { status, out } = matrix(source, text.replace(from, to))
  report(status !== 0, `without ${rule}`, out)
}
process.exit(failures ? 1 : 0)
