'use strict'
// A certificate of its own signature for this machine, made once a process by OpenSSL's command.

const { execFileSync } = require('child_process')
const fs = require('fs')
const os = require('os')
const path = require('path')
const tls = require('tls')

let made = null

// { cert, key }: paths of PEM files, gone when the process is.
function certificate() {
  if (made) return made
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ms-certificate-'))
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }))
  made = { cert: path.join(dir, 'cert.pem'), key: path.join(dir, 'key.pem') }
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', made.key, '-out', made.cert, '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'], { stdio: 'pipe' })
  return made
}

// The serial number of the certificate that a server of TLS shows.
const shownBy = (port) => new Promise((resolve, reject) => {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().serialNumber)
    socket.destroy()
  }).on('error', reject)
})

module.exports = { certificate, shownBy }
