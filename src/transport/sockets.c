#define _GNU_SOURCE /* struct linger is the same everywhere */
#include "transport/sockets.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "loop/stream.h"
#include "loop/tcp.h"

bool ms__socket_place(int fd, const struct ms__transport *transport, struct ms__place *out) {
  memset(out, 0, sizeof *out);
  out->length = sizeof out->address;
  if (getsockname(fd, (struct sockaddr *)&out->address, &out->length) < 0) {
    out->length = 0;
    return false;
  }
  out->transport = transport;
  return true;
}

/* ---- Listening ---- */

struct ms__listening *ms__listening_new(struct ms__loop *loop, const struct ms__socket_kind *kind,
                                        const struct ms__listen_request *request) {
  struct ms__listening *l = ms__calloc(loop->env.allocator, sizeof *l);
  if (!l) return NULL;
  l->loop = loop;
  l->kind = kind;
  l->events = request->events;
  l->user = request->user;
  return l;
}

/* By a reset where there is one: on a bare stack an end would be a peer's clean end. */
static void turn_away(int fd) {
  static const struct linger none = {.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  (void)close(fd);
}

/* Without memory, NULL: the descriptor is closed. */
static struct ms__wire *make_wire(const struct ms__listening *l, int fd) {
  struct ms__stream *stream = ms__stream_new(l->loop, l->kind->tcp);
  if (stream && ms__stream_adopt(stream, fd) == 0) {
    if (l->kind->tcp) ms__tcp_tune(fd);
    return ms__stream_wire(stream);
  }
  ms__stream_close(stream, false);
  turn_away(fd);
  return NULL;
}

/* The listening may be gone when `accepted` or `refused` returns. */
static void on_accepted(void *user, int fd, const struct ms__place *from) {
  const struct ms__bound *b = user;
  const struct ms__listening *l = b->listening;
  const struct ms__listen_events *events = l->events;
  struct ms__place peer = *from;
  void *arrival;
  peer.transport = l->kind->transport;
  if (l->open && l->kind->knows && !l->kind->knows(&b->socket, fd, l->loop->env.allocator)) {
    turn_away(fd);
    events->refused(l->user, "another user at a unix socket, where nothing proves who it is");
    return;
  }
  arrival = events->arrived(l->user, &peer);
  if (arrival)
    events->accepted(arrival, make_wire(l, fd));
  else
    turn_away(fd);
}

int ms__listening_add(struct ms__listening *l, const struct ms__socket *socket, ms_error *err) {
  const char *name = l->kind->transport->name;
  struct ms__bound *b = ms__calloc(l->loop->env.allocator, sizeof *b), **end = &l->bound;
  if (!b) {
    struct ms__socket copy = *socket;
    if (!ms__inherited_give(l->inherited, &copy)) l->kind->close(&copy);
    return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, name, NULL);
  }
  b->listening = l;
  b->socket = *socket;
  while (*end)
    end = &(*end)->next;
  *end = b;
  if (ms__reserve_watchers(l->loop, b->socket.fd) == 0)
    b->listener = ms__listener_new(l->loop, b->socket.fd, on_accepted, b);
  return b->listener ? 0 : ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, name, NULL);
}

void ms__listening_clear(struct ms__listening *l) {
  while (l->bound) {
    struct ms__bound *b = l->bound;
    l->bound = b->next;
    if (b->listener) ms__listener_close(b->listener);
    if (!ms__inherited_give(l->inherited, &b->socket)) l->kind->close(&b->socket);
    ms__free(l->loop->env.allocator, b);
  }
}

void ms__listening_free(struct ms__listening *l) {
  if (!l) return;
  ms__listening_clear(l);
  ms__free(l->loop->env.allocator, l);
}

bool ms__listening_bound(const struct ms__listening *l, size_t i, struct ms__place *out) {
  const struct ms__bound *b = l->bound;
  while (b && i--)
    b = b->next;
  if (b) *out = b->socket.place;
  return b != NULL;
}

/* ---- Connecting ---- */

struct ms__connecting {
  struct ms__soon soon; /* first */
  struct ms__loop *loop;
  struct ms__stream *stream;
  struct ms__place place;
  union ms__inet from;
  void (*explain)(const struct ms__place *place, const union ms__inet *from, int status,
                  ms_error *err);
  ms__connected_cb cb;
  void *user;
  int status; /* 0, or a negative errno */
};

static void on_connected(void *user, int status) {
  struct ms__connecting k = *(struct ms__connecting *)user;
  ms_error err;
  ms__free(k.loop->env.allocator, user);
  if (status == 0) {
    if (k.place.transport->flags & MS__BY_HOST) ms__tcp_tune(ms__stream_fd(k.stream));
    k.cb(k.user, ms__stream_wire(k.stream), NULL);
    return;
  }
  ms__stream_close(k.stream, true);
  k.explain(&k.place, &k.from, status, &err);
  k.cb(k.user, NULL, &err);
}

static void on_soon(struct ms__soon *soon) {
  struct ms__connecting *k = (struct ms__connecting *)soon;
  on_connected(k, k->status);
}

static int bind_to(struct ms__connecting *k) {
  if (k->from.family != AF_INET && k->from.family != AF_INET6) return 0;
  if (k->from.family != k->place.inet.family) return -EAFNOSUPPORT;
  return ms__stream_bind(k->stream, &k->from);
}

struct ms__connecting *ms__socket_connect(struct ms__loop *loop, const struct ms__place *place,
                                          const union ms__inet *from,
                                          void (*explain)(const struct ms__place *place,
                                                          const union ms__inet *from, int status,
                                                          ms_error *err),
                                          ms__connected_cb cb, void *user) {
  struct ms__connecting *k = ms__calloc(loop->env.allocator, sizeof *k);
  if (!k) return NULL;
  *k = (struct ms__connecting){
      .loop = loop, .place = *place, .explain = explain, .cb = cb, .user = user};
  if (from) k->from = *from;
  k->stream = ms__stream_new(loop, place->transport->flags & MS__BY_HOST);
  if (!k->stream) {
    ms__free(loop->env.allocator, k);
    return NULL;
  }
  k->status = bind_to(k);
  if (k->status == 0)
    k->status = ms__stream_connect(k->stream, (const struct sockaddr *)&k->place.address,
                                   k->place.length, on_connected, k);
  if (k->status == 0) return k;
  if (k->status > 0) k->status = 0; /* it is connected already */
  ms__soon(loop, &k->soon, on_soon);
  return k;
}

void ms__socket_cancel(struct ms__connecting *k) {
  struct ms__loop *loop = k->loop;
  ms__soon_cancel(loop, &k->soon);
  ms__stream_close(k->stream, true);
  ms__free(loop->env.allocator, k);
}
