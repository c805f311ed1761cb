'use strict'
// Debian's haproxy and nginx, each started in front of one server, and a client's way to them that
// begins at an address of its own.

const { execFileSync } = require('child_process')
const fs = require('fs')
const net = require('net')

// Where the proxies connect from, and the clients.
const PROXY = '127.0.0.1'
const CLIENT = '127.0.0.2'
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

function has(name) {
  try {
    return execFileSync(name, ['-v'], { stdio: 'pipe' }) && (name !== 'nginx' || fs.existsSync(STREAM_MODULE))
  } catch {
    return false
  }
}

// A port that listens, for a process that is to inherit it: fd 3 there. `start` gets the port and
// the descriptor; afterwards it is that process' alone.
async function inherited(start) {
  const server = net.createServer()
  await new Promise((resolve) => server.listen(0, PROXY, resolve))
  const { port } = server.address()
  start(port, server._handle.fd)
  server.close()
  return port
}

// Where a front's server is, a port or the path of a unix socket, as haproxy writes it, and nginx.
const inHaproxy = (to) => (typeof to === 'string' ? `unix@${to}` : `${PROXY}:${to}`)
const inNginx = (to) => (typeof to === 'string' ? `unix:${to}` : `${PROXY}:${to}`)

// What one gets who connects to the front: its port. `how` is behind its server, `check` what else is
// in its backend.
function haproxy(world, to, how, check = '') {
  return inherited((port, fd) => {
    const config = world.write(`haproxy-${port}.cfg`, `
      defaults
        mode tcp
        timeout connect 5s
        timeout client 60s
        timeout server 60s
      frontend front
        bind fd@3
        default_backend back
      backend back
        ${check}
        server ours ${inHaproxy(to)} ${how}
      `.replace(/^ {6}/gm, ''))
    world.start('haproxy', 'haproxy', ['-db', '-q', '-f', config], { fds: [fd] })
  })
}

// `blocks` makes, of the port, what stands in nginx.conf beside the general. Its workers are of `user`.
function nginx(world, blocks, user = 'root') {
  return inherited((port, fd) => {
    const dir = world.socketDir(`nginx-${port}`)
    const config = world.write(`nginx-${port}.conf`, `
      load_module ${STREAM_MODULE};
      daemon off;
      ${process.getuid() === 0 ? `user ${user} ${user};` : ''}
      worker_processes 1;
      pid ${dir}/pid;
      error_log stderr;
      events {}
      ${blocks(`${PROXY}:${port}`, dir)}
      `)
    const proc = world.start('nginx', 'nginx', ['-e', 'stderr', '-p', dir, '-c', config], { fds: [fd], env: { NGINX: '3;' } })
    world.atEnd(() => { // its worker outlives it otherwise
      proc.kill('SIGTERM')
      return proc.exit()
    })
  })
}

const nginxStream = (world, to) => nginx(world, (listen) => `
  stream { server { listen ${listen}; proxy_pass ${inNginx(to)}; proxy_protocol on; proxy_half_close on; } }`)

// A reverse proxy for WebSocket that ends TLS.
const nginxHttp = (world, to, { cert, key }, user) => nginx(world, (listen, dir) => `
  http {
    access_log off;
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    upstream ours { server ${inNginx(to)}; keepalive 8; keepalive_timeout 8s; }
    client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir}; uwsgi_temp_path ${dir}; scgi_temp_path ${dir};
    server {
      listen ${listen} ssl;
      ssl_certificate ${cert};
      ssl_certificate_key ${key};
      location / {
        proxy_pass http://ours;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      }
      location /path {
        proxy_pass http://${inNginx(to)};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      }
    }
  }`, user)

// A port from which one gets to the port `to`, and seems to come from CLIENT. `ports` are those that
// were used.
async function fromClient(world, to) {
  const way = { to, ports: [] }
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const on = net.connect({ port: way.to, host: PROXY, localAddress: CLIENT, allowHalfOpen: true }, () => way.ports.push(on.localPort))
    for (const [a, b] of [[socket, on], [on, socket]]) {
      a.on('error', () => b.destroy())
      a.pipe(b)
    }
  })
  await new Promise((resolve) => server.listen(0, PROXY, resolve))
  world.atEnd(() => server.close())
  way.port = server.address().port
  return way
}

module.exports = { has, haproxy, nginxStream, nginxHttp, fromClient, CLIENT, PROXY }
