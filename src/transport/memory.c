/* memory: between contexts of one process, in any of its threads, without a descriptor.
 *
 * A pair is two wires' ends and a queue of bytes in each direction, under a lock. An end belongs to
 * the loop of its context and is touched by that loop's thread alone, but for its place among those
 * that have news. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "transport/resolve.h"
#include "transport/transport.h"

enum { QUEUE = 65536, WAITING_MAX = 511, ACCEPTS = 16 };

/* ---- What there is ---- */

/* One direction. It owns memory while there is something in it. */
struct queue {
  uint8_t *ring; /* QUEUE bytes, or NULL */
  size_t from, length;
  bool fin;   /* no more follows, */
  bool reset; /* which is a reset */
  bool cut;   /* who has filled it is gone, by a reset or without having read all */
};

struct end;

struct pair {
  pthread_mutex_t lock;
  struct queue to[2];  /* to each end */
  struct end *ends[2]; /* the connecting one, the accepting one; NULL: not yet, or no more */
  bool closed[2];      /* no more */
  int users;
  struct pair *next; /* among those that wait to be accepted */
};

/* A wire. */
struct end {
  struct ms__wire wire; /* first */
  struct endpoint *endpoint;
  struct pair *pair;
  int side;
  ms_conn *conn;
  struct ms__edge flight; /* what is to be written in time; with `flying` */
  bool flying, reading, ended;
  bool more;     /* behind what was read last is something, or the end */
  bool has_news; /* it is in the endpoint's list; under the endpoint's lock */
  struct end *prev, *next;
};

struct ms__listening {
  struct endpoint *endpoint;
  const struct ms__listen_events *events;
  void *user;
  struct ms__place place;
  struct pair *first, **last; /* those that wait; under the registry's lock */
  size_t waiting;
  struct ms__listening *next;       /* in the registry */
  struct ms__listening *next_local; /* in the endpoint */
};

/* One a loop: where other threads leave their news. */
struct endpoint {
  struct ms__endpoint endpoint; /* first */
  struct ms__loop *loop;
  uv_async_t async;
  pthread_mutex_t lock;
  struct end *first, *last; /* with news */
  struct ms__listening *listenings;
  size_t users; /* ends and listenings: the loop waits for them */
};

/* Who listens, by name. A lock is taken in this order: this one, a pair's, an endpoint's. */
static struct {
  pthread_mutex_t lock;
  struct ms__listening *first;
} registry = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* ---- Endpoints ---- */

static void add_news(struct end *e) {
  struct endpoint *p = e->endpoint;
  bool first;
  (void)pthread_mutex_lock(&p->lock);
  first = !e->has_news;
  if (first) {
    e->has_news = true;
    e->prev = p->last;
    e->next = NULL;
    *(p->last ? &p->last->next : &p->first) = e;
    p->last = e;
  }
  (void)pthread_mutex_unlock(&p->lock);
  if (first) (void)uv_async_send(&p->async);
}

/* NULL: there is none. */
static struct end *take_news(struct endpoint *p, struct end *e) {
  (void)pthread_mutex_lock(&p->lock);
  if (!e) e = p->first;
  if (e && e->has_news) {
    *(e->prev ? &e->prev->next : &p->first) = e->next;
    *(e->next ? &e->next->prev : &p->last) = e->prev;
    e->has_news = false;
  }
  (void)pthread_mutex_unlock(&p->lock);
  return e;
}

static void on_news(uv_async_t *async);

static void on_endpoint_closed(uv_handle_t *handle) {
  struct endpoint *p = handle->data;
  (void)pthread_mutex_destroy(&p->lock);
  ms__free(&ms__default_allocator, p);
}

static void close_endpoint(struct ms__endpoint *endpoint) {
  struct endpoint *p = (struct endpoint *)endpoint;
  uv_close((uv_handle_t *)&p->async, on_endpoint_closed);
}

/* NULL: no memory, or no descriptor. */
static struct endpoint *endpoint_of(struct ms__loop *loop) {
  struct endpoint *p = (struct endpoint *)ms__endpoint_find(loop, &ms__memory);
  if (p) return p;
  p = ms__calloc(&ms__default_allocator, sizeof *p);
  if (!p) return NULL;
  if (uv_async_init(loop->uv, &p->async, on_news) < 0) {
    ms__free(&ms__default_allocator, p);
    return NULL;
  }
  (void)pthread_mutex_init(&p->lock, NULL);
  p->async.data = p;
  p->loop = loop;
  p->endpoint = (struct ms__endpoint){.of = &ms__memory, .close = close_endpoint};
  uv_unref((uv_handle_t *)&p->async);
  ms__endpoint_add(loop, &p->endpoint);
  loop->armed++;
  return p;
}

static void use(struct endpoint *p) {
  if (p->users++ == 0) uv_ref((uv_handle_t *)&p->async);
  ms__loop_hold(p->loop);
}

static void use_no_more(struct endpoint *p) {
  if (--p->users == 0) uv_unref((uv_handle_t *)&p->async);
  ms__loop_release(p->loop);
}

/* ---- Pairs ---- */

static struct pair *new_pair(void) {
  struct pair *pair = ms__calloc(&ms__default_allocator, sizeof *pair);
  if (pair) (void)pthread_mutex_init(&pair->lock, NULL);
  return pair;
}

static void free_ring(struct queue *q) {
  ms__free(&ms__default_allocator, q->ring);
  q->ring = NULL;
  q->from = q->length = 0;
}

/* One of its two users lets go. */
static void release_pair(struct pair *pair) {
  bool last;
  (void)pthread_mutex_lock(&pair->lock);
  last = --pair->users == 0;
  (void)pthread_mutex_unlock(&pair->lock);
  if (!last) return;
  free_ring(&pair->to[0]);
  free_ring(&pair->to[1]);
  (void)pthread_mutex_destroy(&pair->lock);
  ms__free(&ms__default_allocator, pair);
}

/* The other side has news; under the pair's lock. */
static void tell_other(const struct pair *pair, int side) {
  if (pair->ends[!side]) add_news(pair->ends[!side]);
}

/* A side is over: the other reads what was said before, then the end or the reset. What this one
 * has not read makes it a reset, as with TCP. */
static void close_side(struct pair *pair, int side, bool reset) {
  struct queue *in = &pair->to[side], *out = &pair->to[!side];
  (void)pthread_mutex_lock(&pair->lock);
  out->cut = reset || in->length > 0;
  if (!out->fin) out->reset = out->cut; /* else its end stands */
  out->fin = true;
  free_ring(in);
  pair->closed[side] = true;
  pair->ends[side] = NULL;
  tell_other(pair, side);
  (void)pthread_mutex_unlock(&pair->lock);
  release_pair(pair);
}

/* Under the pair's lock. Bytes into the ring, or out of it. */
static size_t put(struct queue *q, const uint8_t *p, size_t n) {
  size_t k = ms__min(n, QUEUE - q->length), at = (q->from + q->length) % QUEUE;
  size_t first = ms__min(k, QUEUE - at);
  memcpy(q->ring + at, p, first);
  memcpy(q->ring, p + first, k - first);
  q->length += k;
  return k;
}

static size_t get(struct queue *q, uint8_t *p, size_t n) {
  size_t k = ms__min(n, q->length), first = ms__min(k, QUEUE - q->from);
  if (k == 0) return 0;
  memcpy(p, q->ring + q->from, first);
  memcpy(p + first, q->ring, k - first);
  q->from = (q->from + k) % QUEUE;
  q->length -= k;
  if (q->length == 0) free_ring(q);
  return k;
}

/* ---- A wire's operations ---- */

static void end_attach(struct ms__wire *wire, ms_conn *conn) {
  ((struct end *)wire)->conn = conn;
}

static ptrdiff_t end_write(struct ms__wire *wire, const uint8_t *p, size_t n) {
  const struct end *e = (const struct end *)wire;
  struct pair *pair = e->pair;
  struct queue *q = &pair->to[!e->side];
  ptrdiff_t r;
  (void)pthread_mutex_lock(&pair->lock);
  if (pair->closed[!e->side])
    r = pair->to[e->side].cut ? -ECONNRESET : -EPIPE;
  else if (!q->ring && !(q->ring = ms__malloc(&ms__default_allocator, QUEUE)))
    r = -ENOMEM;
  else if ((r = (ptrdiff_t)put(q, p, n)) > 0)
    tell_other(pair, e->side);
  (void)pthread_mutex_unlock(&pair->lock);
  return r;
}

static int end_send(struct ms__wire *wire, const struct ms__edge *flight) {
  struct end *e = (struct end *)wire;
  e->flight = *flight;
  e->flying = true;
  add_news(e); /* the other may have read since */
  return 0;
}

static void end_fin(struct ms__wire *wire) {
  const struct end *e = (const struct end *)wire;
  struct pair *pair = e->pair;
  (void)pthread_mutex_lock(&pair->lock);
  pair->to[!e->side].fin = true;
  tell_other(pair, e->side);
  (void)pthread_mutex_unlock(&pair->lock);
}

static ptrdiff_t end_read(struct ms__wire *wire, uint8_t *p, size_t n) {
  struct end *e = (struct end *)wire;
  struct pair *pair = e->pair;
  struct queue *q = &pair->to[e->side];
  ptrdiff_t r = -EAGAIN;
  if (e->ended) return r;
  (void)pthread_mutex_lock(&pair->lock);
  if (q->length > 0) {
    r = (ptrdiff_t)get(q, p, n);
    e->more = q->length > 0 || q->fin;
    tell_other(pair, e->side); /* there is room */
  } else if (q->reset || q->fin) {
    r = q->reset ? -ECONNRESET : 0;
    e->ended = true;
  }
  (void)pthread_mutex_unlock(&pair->lock);
  return r;
}

static void end_reading(struct ms__wire *wire, bool on) {
  struct end *e = (struct end *)wire;
  e->reading = on;
  if (on) add_news(e);
}

static size_t end_untaken(struct ms__wire *wire) {
  const struct end *e = (const struct end *)wire;
  struct pair *pair = e->pair;
  size_t n;
  (void)pthread_mutex_lock(&pair->lock);
  n = pair->to[!e->side].length + (e->flying ? e->flight.len : 0);
  if (pair->to[e->side].cut && n == 0) n = SIZE_MAX; /* it had something unread, or may have */
  (void)pthread_mutex_unlock(&pair->lock);
  return n;
}

static int end_lost(struct ms__wire *wire) {
  const struct end *e = (const struct end *)wire;
  struct pair *pair = e->pair;
  int r = 0;
  (void)pthread_mutex_lock(&pair->lock);
  if (pair->to[e->side].cut)
    r = -ECONNRESET;
  else if (pair->closed[!e->side] && !pair->to[!e->side].fin) /* else both have ended */
    r = -EPIPE;
  (void)pthread_mutex_unlock(&pair->lock);
  return r;
}

static void land(struct end *e) {
  const struct ms__edge *f = &e->flight;
  if (e->flying)
    ms__pool_give(&e->endpoint->loop->env.pool, e->flight.block, f->size, f->secret ? f->high : 0);
  e->flying = false;
}

static void end_close(struct ms__wire *wire, bool reset) {
  struct end *e = (struct end *)wire;
  struct endpoint *p = e->endpoint;
  close_side(e->pair, e->side, reset);
  (void)take_news(p, e);
  land(e);
  ms__free(p->loop->env.allocator, e);
  p->loop->wires--;
  use_no_more(p);
}

static const struct ms__wire_ops ops = {
    .attach = end_attach,
    .write = end_write,
    .send = end_send,
    .fin = end_fin,
    .read = end_read,
    .reading = end_reading,
    .untaken = end_untaken,
    .lost = end_lost,
    .close = end_close,
};

/* One side of a pair, which keeps one of its users. NULL: no memory. */
static struct end *new_end(struct endpoint *p, struct pair *pair, int side) {
  struct end *e = ms__calloc(p->loop->env.allocator, sizeof *e);
  if (!e) return NULL;
  *e = (struct end){.wire = {.ops = &ops}, .endpoint = p, .pair = pair, .side = side};
  (void)pthread_mutex_lock(&pair->lock);
  pair->ends[side] = e;
  (void)pthread_mutex_unlock(&pair->lock);
  p->loop->wires++;
  use(p);
  return e;
}

/* ---- News ---- */

/* What was to be written in time. False: that is still so. */
static bool write_on(struct end *e) {
  struct ms__edge *f = &e->flight;
  ptrdiff_t n = end_write(&e->wire, f->block + f->off, f->len);
  if (n >= 0) {
    f->off += (uint32_t)n;
    f->len -= (uint32_t)n;
    if (f->len > 0) return false;
    n = 0;
  }
  land(e);
  ms__conn_sent(e->conn, (int)n);
  return true;
}

/* How many bytes there were; -1: there was nothing to do. */
static ptrdiff_t read_some(struct end *e) {
  size_t most = e->reading && !e->ended ? ms__conn_may_read(e->conn) : 0;
  struct ms__dst d;
  ptrdiff_t n = -ENOMEM;
  if (most == 0) return -1; /* it is asked for (read) when it has its turn */
  d = ms__conn_read_room(e->conn);
  d.n = ms__min(d.n, most);
  if (d.n) n = end_read(&e->wire, d.p, d.n);
  if (n == -EAGAIN) return -1;
  if (n == -ENOMEM || (n > 0 && e->more)) ms__conn_has_more(e->conn);
  ms__conn_read_done(e->conn, n);
  return n > 0 ? n : 0;
}

static void see(struct end *e) {
  ms_conn *conn = e->conn;
  uint64_t now = uv_now(e->endpoint->loop->uv);
  size_t sent = e->flight.len;
  ptrdiff_t n;
  if (!conn) return;
  if (e->flying && write_on(e)) {
    add_news(e); /* and there may be something to read: the turn may close it */
    ms__conn_run(conn, now, sent);
    return;
  }
  n = read_some(e);
  if (n >= 0) ms__conn_run(conn, now, (size_t)n);
}

static void accept_some(struct endpoint *p);

/* What comes meanwhile says so by itself. */
static void on_news(uv_async_t *async) {
  struct endpoint *p = async->data;
  size_t n = 0;
  struct end *e;
  (void)pthread_mutex_lock(&p->lock);
  for (e = p->first; e; e = e->next)
    n++;
  (void)pthread_mutex_unlock(&p->lock);
  for (; n > 0 && (e = take_news(p, NULL)); n--)
    see(e);
  accept_some(p);
}

/* ---- Listening ---- */

/* Under the registry's lock. */
static struct ms__listening *find(const char *name) {
  struct ms__listening *l = registry.first;
  while (l && strcmp(l->place.name, name) != 0)
    l = l->next;
  return l;
}

/* Under the registry's lock. */
static struct pair *take_waiting(struct ms__listening *l) {
  struct pair *pair = l->first;
  if (!pair) return NULL;
  l->first = pair->next;
  if (!l->first) l->last = &l->first;
  l->waiting--;
  return pair;
}

/* One who waits, and for which listening; NULL: nobody does. */
static struct pair *next_waiting(const struct endpoint *p, struct ms__listening **out) {
  struct pair *pair = NULL;
  (void)pthread_mutex_lock(&registry.lock);
  for (struct ms__listening *l = p->listenings; l && !pair; l = l->next_local) {
    pair = take_waiting(l);
    *out = l;
  }
  (void)pthread_mutex_unlock(&registry.lock);
  return pair;
}

/* The listening may be gone after each of the events. */
static void accept_some(struct endpoint *p) {
  const struct ms__place nowhere = {.transport = NULL};
  for (int i = 0; i < ACCEPTS; i++) {
    struct ms__listening *l;
    struct pair *pair = next_waiting(p, &l);
    const struct ms__listen_events *events;
    struct end *e;
    void *arrival;
    if (!pair) return;
    events = l->events;
    arrival = events->arrived(l->user, &nowhere);
    e = arrival ? new_end(p, pair, 1) : NULL;
    if (!e) close_side(pair, 1, true);
    if (arrival) events->accepted(arrival, e ? &e->wire : NULL);
  }
  (void)uv_async_send(&p->async); /* the others in the next turn */
}

static int memory_listen(struct ms__loop *loop, const struct ms__listen_request *request,
                         struct ms__listening **out, ms_error *err) {
  const struct ms__place *place = &request->places->at[0];
  struct endpoint *p = endpoint_of(loop);
  struct ms__listening *l = p ? ms__calloc(loop->env.allocator, sizeof *l) : NULL;
  bool taken;
  if (!l) return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, "memory", NULL);
  *l = (struct ms__listening){
      .endpoint = p, .events = request->events, .user = request->user, .place = *place};
  l->last = &l->first;
  (void)pthread_mutex_lock(&registry.lock);
  taken = find(place->name) != NULL;
  if (!taken) {
    l->next = registry.first;
    registry.first = l;
    l->next_local = p->listenings;
    p->listenings = l;
  }
  (void)pthread_mutex_unlock(&registry.lock);
  if (taken) {
    ms__free(loop->env.allocator, l);
    ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, "memory", "%s is in use in this process",
              place->name);
    if (err) err->sys = EADDRINUSE;
    return MS_EADDRINUSE;
  }
  use(p);
  *out = l;
  return 0;
}

static void memory_unlisten(struct ms__listening *l) {
  struct endpoint *p = l->endpoint;
  struct ms__listening **at = &registry.first;
  struct pair *pair;
  (void)pthread_mutex_lock(&registry.lock);
  while (*at != l)
    at = &(*at)->next;
  *at = l->next;
  for (at = &p->listenings; *at != l;)
    at = &(*at)->next_local;
  *at = l->next_local;
  (void)pthread_mutex_unlock(&registry.lock);
  while ((pair = take_waiting(l))) /* nobody finds it any more */
    close_side(pair, 1, true);
  ms__free(p->loop->env.allocator, l);
  use_no_more(p);
}

static bool memory_bound(const struct ms__listening *l, size_t i, struct ms__place *out) {
  if (i > 0) return false;
  *out = l->place;
  return true;
}

/* ---- Connecting ---- */

struct ms__connecting {
  struct ms__soon soon; /* first */
  struct endpoint *endpoint;
  struct end *end; /* NULL: it has failed */
  int sys;         /* why */
  ms__connected_cb cb;
  void *user;
};

static void on_connected(struct ms__soon *soon) {
  struct ms__connecting k = *(struct ms__connecting *)(void *)soon;
  ms_error err;
  ms__free(k.endpoint->loop->env.allocator, soon);
  if (k.end) {
    k.cb(k.user, &k.end->wire, NULL);
    return;
  }
  if (k.sys == ECONNREFUSED)
    ms__error(&err, MS_ECONNECT, MS_PHASE_CONNECT, "memory",
              "nobody in this process listens there");
  else
    ms__error(&err, k.sys == ENOMEM ? MS_ENOMEM : MS_ECONNECT, MS_PHASE_CONNECT, "memory", NULL);
  err.sys = k.sys;
  k.cb(k.user, NULL, &err);
}

/* Puts the pair among those that wait. 0 or an errno. */
static int queue_up(const struct ms__place *place, struct pair *pair) {
  struct ms__listening *l;
  int sys = 0;
  (void)pthread_mutex_lock(&registry.lock);
  l = find(place->name);
  if (!l) {
    sys = ECONNREFUSED;
  } else if (l->waiting >= WAITING_MAX) {
    sys = EAGAIN;
  } else {
    l->waiting++;
    *l->last = pair;
    l->last = &pair->next;
    (void)uv_async_send(&l->endpoint->async);
  }
  (void)pthread_mutex_unlock(&registry.lock);
  return sys;
}

/* 0 or an errno. */
static int begin(struct ms__connecting *k, const struct ms__place *place) {
  struct pair *pair = new_pair();
  int sys;
  if (!pair) return ENOMEM;
  pair->users = 1;
  if (!(k->end = new_end(k->endpoint, pair, 0))) {
    release_pair(pair);
    return ENOMEM;
  }
  pair->users = 2;
  if ((sys = queue_up(place, pair)) == 0) return 0;
  pair->users = 1;
  end_close(&k->end->wire, true);
  k->end = NULL;
  return sys;
}

static struct ms__connecting *memory_connect(struct ms__loop *loop, const struct ms__place *place,
                                             const void *opts, ms__connected_cb cb, void *user) {
  struct endpoint *p = endpoint_of(loop);
  struct ms__connecting *k = p ? ms__calloc(loop->env.allocator, sizeof *k) : NULL;
  (void)opts;
  if (!k) return NULL;
  *k = (struct ms__connecting){.endpoint = p, .cb = cb, .user = user};
  k->sys = begin(k, place);
  ms__soon(loop, &k->soon, on_connected);
  return k;
}

static void memory_cancel(struct ms__connecting *k) {
  struct ms__loop *loop = k->endpoint->loop;
  ms__soon_cancel(loop, &k->soon);
  if (k->end) end_close(&k->end->wire, true);
  ms__free(loop->env.allocator, k);
}

/* ---- Places ---- */

static struct ms_resolving *memory_resolve(struct ms__loop *loop, const ms_section *section,
                                           const void *opts, bool listen, ms__places_cb cb,
                                           void *user) {
  struct ms__place place = {.transport = &ms__memory};
  (void)opts;
  (void)listen;
  place.length = (socklen_t)strlen(section->path);
  memcpy(place.name, section->path, place.length + 1); /* its length is checked when it is read */
  return ms__resolve_known(loop, &place, NULL, cb, user);
}

static size_t memory_text(const struct ms__place *p, char *buf, size_t size) {
  return (size_t)snprintf(buf, size, "%s", p->name);
}

const struct ms__transport ms__memory = {
    .name = "memory",
    .resolve = memory_resolve,
    .connect = memory_connect,
    .cancel = memory_cancel,
    .listen = memory_listen,
    .unlisten = memory_unlisten,
    .bound = memory_bound,
    .text = memory_text,
};
