#define _GNU_SOURCE /* MSG_NOSIGNAL stands in POSIX; struct linger is the same everywhere */
#include "loop/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mem.h"
#include "loop/tcp.h"

struct ms__stream {
  struct ms__wire wire; /* first: the pump's pointer is ours */
  struct ms__loop *loop;
  ms_conn *conn;         /* NULL until attached and after close */
  struct flight *flight; /* NULL: none */
  int lost;        /* the errno that a write has taken from the socket, so that no read tells it */
  size_t room;     /* for what is being read */
  uint8_t hurried; /* reads in a row */
  bool short_read; /* the last, where more may be on its way */
  bool waits;      /* nothing is read, nor watched: its turn comes */
  bool finished;   /* our FIN is out */
  bool closed;
  union { /* last: no longer than it has to be */
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } io;
};

/* A block on its way. The request may outlive the connection: libuv lets go of it when the handle
 * is closed. The block does not. */
struct flight {
  uv_write_t request;
  struct ms__stream *wire;
  struct ms__edge edge;
};

struct connecting {
  uv_connect_t request;
  struct ms__loop *loop;
  struct ms__stream *wire;
  ms__stream_cb cb;
  void *user;
};

/* A read shorter than SEGMENT may be all that a peer's Nagle algorithm lets go before our
 * acknowledgement: the least segment of IPv6 (RFC 8200, section 5, less both headers). So
 * many in a row are hurried: an acknowledgement costs more than the byte that somebody drips. */
enum { SEGMENT = 1220, HURRIES = 4 };

static bool is_tcp(const struct ms__stream *w) {
  return w->io.handle.type == UV_TCP;
}

/* ---- Reading ---- */

/* Deployed peers write a packet's head and body apart, with Nagle's algorithm on: the body waits
 * for the acknowledgement of the head, which the kernel would delay by 40 ms. */
static void acknowledge(const struct ms__stream *w) {
#ifdef TCP_QUICKACK
  int on = 1;
  (void)setsockopt(ms__stream_fd(w), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#else
  (void)w;
#endif
}

/* So many bytes have been moved. What was told to a connection may have closed its wire: the
 * connection is the caller's to name. */
static void run(const struct ms__stream *w, ms_conn *conn, size_t bytes) {
  ms__conn_run(conn, uv_now(w->loop->uv), bytes);
}

/* libuv reads up to 32 times in a row while what it gets fills the room it was given: without room
 * it stops. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct ms__stream *w = handle->data;
  struct ms__dst d = {NULL, 0};
  size_t most = w->conn ? ms__conn_may_read(w->conn) : 0;
  (void)suggested;
  w->waits = most == 0;
  if (most) d = ms__conn_read_room(w->conn);
  w->room = ms__min(d.n, most);
  *buf = uv_buf_init((char *)d.p, (unsigned)w->room);
}

/* A reset is told once, to whoever asks first; then the socket only says that it has ended. EPIPE
 * is what a write gets after the peer's own end. */
static void note_loss(struct ms__stream *w, int error) {
  if (!w->lost && error != EPIPE) w->lost = error;
}

/* libuv tells a reset that follows bytes it has just read as an end. EPIPE is a reset after the
 * peer's own end, which stands. */
static int loss(struct ms__stream *w) {
  int error = 0;
  socklen_t n = sizeof error;
  (void)getsockopt(ms__stream_fd(w), SOL_SOCKET, SO_ERROR, &error, &n);
  if (!w->lost && error != EPIPE) w->lost = error;
  return w->lost;
}

/* What a read that had this result has come to: 0 for an end, or a negative errno. */
static ptrdiff_t result_of(struct ms__stream *w, ptrdiff_t n) {
  w->short_read = n > 0 && n < SEGMENT;
  if (n == 0) {
    uv_read_stop(&w->io.stream);
    return -loss(w);
  }
  if (n < 0 && n != -ENOMEM) note_loss(w, (int)-n);
  return n;
}

static void wire_seen(struct ms__wire *wire, bool inside) {
  struct ms__stream *w = (struct ms__stream *)wire;
  if (!is_tcp(w)) return;
  if (!w->short_read || !inside) {
    w->hurried = 0;
  } else if (w->hurried < HURRIES) {
    w->hurried++;
    acknowledge(w);
  }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct ms__stream *w = stream->data;
  ms_conn *conn = w->conn;
  (void)buf;
  if (conn && w->waits) uv_read_stop(stream); /* else every poll would tell it again */
  if (!conn || w->waits || n == 0) return;    /* 0: nothing there after all */
  n = result_of(w, n == UV_EOF ? 0 : n == UV_ENOBUFS ? -ENOMEM : n);
  if (n > 0 && (size_t)n == w->room) ms__conn_has_more(conn);
  ms__conn_read_done(conn, n);
  run(w, conn, n > 0 ? (size_t)n : 0);
}

static void wire_reading(struct ms__wire *wire, bool on) {
  struct ms__stream *w = (struct ms__stream *)wire;
  w->waits = false;
  if (on) {
    w->loop->armed++;
    (void)uv_read_start(&w->io.stream, on_alloc, on_read);
  } else {
    uv_read_stop(&w->io.stream);
  }
}

static ptrdiff_t wire_read(struct ms__wire *wire, uint8_t *p, size_t size) {
  struct ms__stream *w = (struct ms__stream *)wire;
  ssize_t n;
  if (w->waits) wire_reading(wire, true);
  do
    n = recv(ms__stream_fd(w), p, size, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return -EAGAIN;
  return result_of(w, n < 0 ? -errno : n);
}

/* ---- Writing ---- */

static int wire_fd(const struct ms__wire *wire) {
  return ms__stream_fd((const struct ms__stream *)wire);
}

int ms__stream_fd(const struct ms__stream *w) {
  uv_os_fd_t fd;
  return uv_fileno(&w->io.handle, &fd) == 0 ? fd : -1;
}

static ptrdiff_t wire_write(struct ms__wire *wire, const uint8_t *p, size_t n) {
  struct ms__stream *w = (struct ms__stream *)wire;
  ssize_t r;
  do
    r = send(ms__stream_fd(w), p, n, MSG_NOSIGNAL);
  while (r < 0 && errno == EINTR);
  if (r >= 0) return r;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return 0;
  note_loss(w, errno);
  return -errno;
}

/* Once the descriptor is closed libuv does not look at the bytes any more. */
static void land(struct ms__stream *w) {
  struct ms__edge *e;
  if (!w->flight) return;
  e = &w->flight->edge;
  ms__pool_give(&w->loop->env.pool, e->block, e->size, e->secret ? e->high : 0);
  w->flight = NULL;
}

static void on_written(uv_write_t *request, int status) {
  struct flight *f = (struct flight *)request;
  struct ms__stream *w = f->wire;
  ms_conn *conn = w->conn;
  size_t n = f->edge.len;
  land(w);
  ms__free(w->loop->env.allocator, f);
  if (!conn) return;
  if (status < 0) note_loss(w, -status);
  ms__conn_sent(conn, status);
  run(w, conn, n);
}

static int wire_send(struct ms__wire *wire, const struct ms__edge *e) {
  struct ms__stream *w = (struct ms__stream *)wire;
  const ms_allocator *a = w->loop->env.allocator;
  struct flight *f = ms__malloc(a, sizeof *f);
  uv_buf_t buf = uv_buf_init((char *)e->block + e->off, e->len);
  int r;
  if (!f) return -ENOMEM;
  f->wire = w;
  f->edge = *e;
  w->loop->armed++;
  r = uv_write(&f->request, &w->io.stream, &buf, 1, on_written);
  if (r < 0)
    ms__free(a, f);
  else
    w->flight = f;
  return r;
}

/* Nothing flies when the pump says this, so there is no queue of libuv's to wait for. */
static void wire_fin(struct ms__wire *wire) {
  struct ms__stream *w = (struct ms__stream *)wire;
  w->finished = shutdown(ms__stream_fd(w), SHUT_WR) == 0;
}

/* ---- What the other side has taken ---- */

/* tcp(7) and unix(7), SIOCOUTQ. A unix socket counts memory, which is more than the bytes in it,
 * and forgets it when its reader goes: only that error tells then that something was not read. */
static size_t wire_untaken(struct ms__wire *wire) {
  const struct ms__stream *w = (const struct ms__stream *)wire;
  bool tcp = is_tcp(w);
  size_t queued = uv_stream_get_write_queue_size(&w->io.stream);
  int n = 0;
  if (!tcp && w->lost == ECONNRESET) return SIZE_MAX;
  if (ioctl(ms__stream_fd(w), SIOCOUTQ, &n) < 0 || n <= 0) return queued;
  return queued + (size_t)n - (tcp && w->finished);
}

static int wire_lost(struct ms__wire *wire) {
  struct ms__stream *w = (struct ms__stream *)wire;
  struct pollfd p = {.fd = ms__stream_fd(w)};
  if (w->lost) return -w->lost;
  if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLERR | POLLHUP))) return 0;
  if (p.revents & POLLERR && loss(w)) return -w->lost;
  if (w->finished && !(p.revents & POLLERR)) return 0; /* both have ended */
  return -EPIPE;
}

/* ---- TCP ---- */

static int wire_keep(struct ms__wire *wire, uint32_t msec) {
  const struct ms__stream *w = (const struct ms__stream *)wire;
  return is_tcp(w) ? ms__tcp_keep(ms__stream_fd(w), msec) : -EOPNOTSUPP;
}

static uint32_t wire_rtt(const struct ms__wire *wire) {
  const struct ms__stream *w = (const struct ms__stream *)wire;
  return is_tcp(w) ? ms__tcp_rtt(ms__stream_fd(w)) : 0;
}

/* ---- Opening and closing ---- */

static void wire_attach(struct ms__wire *wire, ms_conn *conn) {
  ((struct ms__stream *)wire)->conn = conn;
}

static void on_closed(uv_handle_t *handle) {
  struct ms__stream *w = handle->data;
  struct ms__loop *loop = w->loop;
  ms__free(loop->env.allocator, w);
  loop->wires--;
  ms__loop_release(loop);
}

static void wire_close(struct ms__wire *wire, bool reset) {
  struct ms__stream *w = (struct ms__stream *)wire;
  if (w->closed) return;
  w->closed = true;
  w->conn = NULL;
  if (reset && is_tcp(w)) {
    static const struct linger none = {.l_onoff = 1, .l_linger = 0};
    int fd = ms__stream_fd(w);
    if (fd >= 0) (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  uv_close(&w->io.handle, on_closed);
  land(w);
}

static const struct ms__wire_ops ops = {
    .attach = wire_attach,
    .read = wire_read,
    .seen = wire_seen,
    .keep = wire_keep,
    .rtt = wire_rtt,
    .write = wire_write,
    .send = wire_send,
    .fin = wire_fin,
    .untaken = wire_untaken,
    .fd = wire_fd,
    .lost = wire_lost,
    .reading = wire_reading,
    .close = wire_close,
};

struct ms__stream *ms__stream_new(struct ms__loop *loop, bool tcp) {
  size_t io = tcp ? sizeof(uv_tcp_t) : sizeof(uv_pipe_t);
  struct ms__stream *w = ms__calloc(loop->env.allocator, offsetof(struct ms__stream, io) + io);
  if (!w) return NULL;
  w->wire.ops = &ops;
  w->loop = loop;
  /* without flags neither of them makes a descriptor, and so neither can fail */
  if (tcp)
    (void)uv_tcp_init(loop->uv, &w->io.tcp);
  else
    (void)uv_pipe_init(loop->uv, &w->io.pipe, 0);
  w->io.handle.data = w;
  loop->wires++;
  ms__loop_hold(loop);
  return w;
}

static void on_connected(uv_connect_t *request, int status) {
  struct connecting *k = (struct connecting *)request;
  struct connecting copy = *k;
  ms__free(copy.loop->env.allocator, k);
  if (!copy.wire->closed) copy.cb(copy.user, status);
}

/* ip(7): the port is chosen once the peer is known, so that as many go from one address to each
 * peer as there are ports, and not to all of them together. Where there is no such option each has
 * a port of its own. */
int ms__stream_bind(struct ms__stream *w, const union ms__inet *local) {
  int fd = socket(local->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;
  if (fd < 0) return -errno;
#ifdef IP_BIND_ADDRESS_NO_PORT
  (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
#endif
  if ((r = uv_tcp_open(&w->io.tcp, fd)) < 0) {
    (void)close(fd);
    return r;
  }
  return uv_tcp_bind(&w->io.tcp, (const struct sockaddr *)local, 0);
}

/* A unix socket waits for nothing: it is connected at once, or not at all. libuv takes no name that
 * begins with a NUL. */
static int connect_unix(struct ms__stream *w, const struct sockaddr *address, socklen_t length) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;
  if (fd < 0) return -errno;
  r = connect(fd, address, length) < 0 ? -errno : uv_pipe_open(&w->io.pipe, fd);
  if (r < 0) (void)close(fd);
  return r < 0 ? r : 1;
}

int ms__stream_connect(struct ms__stream *w, const struct sockaddr *address, socklen_t length,
                       ms__stream_cb cb, void *user) {
  struct connecting *k;
  int r;
  if (address->sa_family == AF_UNIX) return connect_unix(w, address, length);
  k = ms__malloc(w->loop->env.allocator, sizeof *k);
  if (!k) return -ENOMEM;
  k->loop = w->loop;
  k->wire = w;
  k->cb = cb;
  k->user = user;
  w->loop->armed++;
  r = uv_tcp_connect(&k->request, &w->io.tcp, address, on_connected);
  if (r < 0) ms__free(w->loop->env.allocator, k);
  return r;
}

int ms__stream_adopt(struct ms__stream *w, int fd) {
  return is_tcp(w) ? uv_tcp_open(&w->io.tcp, fd) : uv_pipe_open(&w->io.pipe, fd);
}

void ms__stream_close(struct ms__stream *w, bool reset) {
  if (w) wire_close(&w->wire, reset);
}

struct ms__wire *ms__stream_wire(struct ms__stream *w) {
  return &w->wire;
}
