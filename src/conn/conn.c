/* A connection's other two sides: the wire's, and the application's. Nothing here moves bytes
 * between layers; everything that changes something asks for a turn. */
#include <errno.h>

#include "base/mem.h"
#include "conn/conn.h"

enum { NEED_MAX = 65536 };

/* ---- The loop's connections ---- */

void ms__env_init(struct ms__env *env, const ms_allocator *allocator, uint32_t largest_block) {
  memset(env, 0, sizeof *env);
  env->allocator = allocator;
  ms__pool_init(&env->pool, allocator, largest_block);
}

void ms__env_done(struct ms__env *env) {
  ms__pool_done(&env->pool);
}

/* ---- Making one ---- */

/* What n layers take: a slot each, and an edge above and below. */
static size_t places_size(size_t n) {
  return n * sizeof(struct ms__slot) + 2 * (n + 1) * sizeof(struct ms__edge);
}

static void lay_out(ms_conn *c, void *places, size_t n) {
  c->slots = places;
  c->in = (struct ms__edge *)(c->slots + n);
  c->out = c->in + n + 1;
}

static bool sets_up(const struct ms__layer_spec *specs, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (specs[i].layer->flags & MS__SETUP) return true;
  return false;
}

void ms__conn_pack(ms_conn *c) {
  ms_conn old = *c;
  void *places = c->apart ? ms__malloc(c->env->allocator, places_size(c->n)) : NULL;
  if (!places) return;
  lay_out(c, places, c->n);
  memcpy(c->slots, old.slots, c->n * sizeof *c->slots);
  memcpy(c->in, old.in, (c->n + 1U) * sizeof *c->in);
  memcpy(c->out, old.out, (c->n + 1U) * sizeof *c->out);
  ms__free(c->env->allocator, old.slots);
}

ms_conn *ms__conn_new(struct ms__env *env, struct ms__wire *wire, bool server,
                      const struct ms__layer_spec *specs, size_t n, uint64_t deadline,
                      const struct ms__events *events, void *owner) {
  bool secret = false, apart = sets_up(specs, n);
  ms_conn *c = ms__calloc(env->allocator, sizeof(ms_conn) + (apart ? 0 : places_size(n)));
  void *places = c && apart ? ms__calloc(env->allocator, places_size(n)) : c ? c + 1 : NULL;
  if (!places) {
    ms__free(env->allocator, c);
    wire->ops->close(wire, true);
    return NULL;
  }
  lay_out(c, places, n);
  c->apart = apart;
  c->env = env;
  c->wire = wire;
  c->server = server;
  c->events = events;
  c->owner = owner;
  c->n = (uint8_t)n;
  c->end_layer = -1;
  c->failed_at = -1;
  c->deadline = deadline;
  c->deadline_of = deadline == MS__NEVER ? MS__NO_DEADLINE : MS__ATTEMPT;
  c->armed = c->look_at = c->until = MS__NEVER;
  c->idle_msec = server ? env->idle_msec : 0;
  c->need = 1;
  for (size_t i = 0; i < n; i++) {
    c->slots[i].layer = specs[i].layer;
    c->slots[i].opts = specs[i].opts;
    c->slots[i].wake = MS__NEVER;
    if (specs[i].layer->flags & MS__HAS_END) c->end_layer = (int8_t)i;
    if (specs[i].layer->flags & MS__SECRET) secret = true;
    c->in[i + 1].secret = c->out[i + 1].secret = secret;
  }
  ms__conn_size_edges(c);
  wire->ops->attach(wire, c);
  ms__conn_mark(c);
  return c;
}

void ms_conn_set_read_first(ms_conn *c, bool read_first) {
  c->read_first = read_first;
  ms__conn_mark(c);
}

void ms__conn_as_stream(ms_conn *c) {
  c->top_granted = true; /* nobody is topmost any more */
}

bool ms__conn_open_edge(ms_conn *c, struct ms__edge *e, size_t room) {
  return ms__edge_open(&c->env->pool, e, room) ||
         (ms__env_make_room(c->env, c, e->capacity) && ms__edge_open(&c->env->pool, e, room));
}

/* ---- The wire's side ---- */

struct ms__dst ms__conn_read_room(ms_conn *c) {
  struct ms__dst d = {NULL, 0};
  struct ms__edge *in = &c->in[0];
  size_t most;
  if (!ms__conn_open_edge(c, in, ms__edge_room(in))) return d;
  d = ms__edge_tail(in);
  /* What the application's edge has no room for would only wait in a block of its own. */
  most = ms__edge_room(&c->in[c->n]);
  if (most && d.n > most) d.n = most;
  return d;
}

void ms__conn_read_done(ms_conn *c, ptrdiff_t n) {
  if (n > 0) {
    MS__COUNT(c, wire_in, (uint64_t)n);
    c->fed = true;
    ms__env_spend(c->env, (size_t)n);
    ms__edge_put(&c->in[0], (size_t)n);
    if (c->failed || c->close_told) ms__edge_drop(&c->env->pool, &c->in[0]);
  } else if (n == 0) {
    c->eof = true;
    ms__edge_finish(&c->in[0]);
    if (c->end_layer >= 0 && c->opened && c->wire && c->wire->flags & MS__WIRE_NO_HALF)
      ms__conn_imply_end(c);
  } else if (n != -ENOMEM || !ms__conn_waits(c, c->in[0].capacity)) {
    c->eof = true;
    if (c->failed || c->close_told)
      ms__conn_cut(c, false);
    else if (n == -ENOMEM)
      ms__conn_fail(c, -1, MS_ENOMEM, 0);
    else if (c->read_first)
      ms__conn_fail_in_order(c, -1, MS_ERESET, (int)-n);
    else
      ms__conn_fail(c, -1, MS_ERESET, (int)-n);
  }
}

void ms__conn_sent(ms_conn *c, int status) {
  if (status < 0) ms__conn_write_failed(c);
  ms__hold_write_unblocked(c);
}

void ms__conn_forget_question(ms_conn *c) {
  if (!c->answer_pending) return;
  c->answer_pending = false;
  ms__conn_mark(c);
}

int ms__conn_answer(ms_conn *c, const struct ms__answer *answer) {
  size_t i = c->up;
  struct ms__slot *s;
  struct ms__edge *in, *out;
  struct ms__port p;
  size_t shown;
  int r;
  if (c->failed || c->aborted || c->close_told || i >= c->n || !c->slots[i].asked) {
    ms__conn_forget_question(c);
    return MS_ESTATE;
  }
  c->answer_pending = false;
  s = &c->slots[i];
  in = &c->in[i];
  out = &c->out[i];
  s->asked = false;
  s->run_again = true;
  ms__conn_mark(c);
  if (s->layer->room_down && (ms__edge_room(out) < s->layer->room_down ||
                              !ms__conn_open_edge_at_once(c, out, s->layer->room_down))) {
    ms__conn_fail(c, (int)i, MS_ENOMEM, 0);
    return 0;
  }
  p = (struct ms__port){.now = c->now, .wake = s->wake, .scratch = s->scratch};
  p.wire_in = ms__edge_bytes(in);
  p.wire_out = ms__edge_tail(out);
  shown = p.wire_out.n;
  r = s->layer->answer(s->state, &p, answer);
  s->wake = p.wake;
  ms__edge_take(in, in->len - p.wire_in.n);
  ms__edge_put(out, shown - p.wire_out.n);
  ms__handshake_result(c, i, r, &p);
  return 0;
}

/* ---- The application's side: reading ---- */

size_t ms_conn_peek(const ms_conn *c, const uint8_t **p) {
  struct ms__src s = {NULL, 0};
  if (c->opened && !c->messages && !ms__conn_discards(c)) s = ms__edge_bytes(&c->in[c->n]);
  *p = s.p;
  return s.n;
}

static void consume(ms_conn *c, size_t n) {
  struct ms__edge *e = &c->in[c->n];
  bool seen = c->read_seen == e->changes;
  ms__edge_take(e, n);
  if (seen) c->read_seen = e->changes; /* one's own consuming is no news */
  ms__conn_mark(c);
}

void ms_conn_consume(ms_conn *c, size_t n) {
  if (!c->opened || c->messages || ms__conn_discards(c)) return;
  n = ms__min(n, c->in[c->n].len);
  MS__COUNT(c, in, n);
  consume(c, n);
}

void ms_conn_need(ms_conn *c, size_t n) {
  uint32_t need = n == 0 ? 1 : (uint32_t)ms__min(n, NEED_MAX);
  if (need == c->need) return;
  c->need = need;
  ms__conn_size_edges(c);
  c->read_seen = c->in[c->n].changes - 1; /* what is there may be news now */
  ms__conn_mark(c);
}

/* ---- The application's side: writing ---- */

/* 0 when the application may write bytes, or messages, now; else why not. A layer takes what is in
 * the edge for records when it has messages. */
static int writable(const ms_conn *c, bool messages) {
  if (!c->opened && !c->detached && !c->aside) return MS_ESTATE;
  if (c->opened && c->messages != messages) return MS_ESTATE;
  if (c->aborted || c->closing || c->failed || c->close_told || c->write_over || c->said_all ||
      c->out[c->n].fin)
    return MS_EPIPE;
  return 0;
}

/* At least n bytes of tail where there is room for them; false: no memory. */
static bool open_top(ms_conn *c, size_t n) {
  return ms__conn_open_edge(c, &c->out[c->n], n);
}

/* `writable` is to come. */
static void blocked(ms_conn *c) {
  c->short_write = true;
  ms__conn_mark(c);
}

/* There was no memory for the topmost edge: will there be a turn to tell that there is? With
 * something buffered there will, and when others are about to give some back. */
static bool may_wait(ms_conn *c) {
  const struct ms__edge *e = &c->out[c->n];
  return e->len || ms__conn_waits(c, e->capacity);
}

ptrdiff_t ms_conn_write(ms_conn *c, const void *data, size_t n) {
  struct ms__edge *e = &c->out[c->n];
  size_t k = ms__min(n, ms__edge_room(e));
  struct ms__src s = {data, k};
  struct ms__dst d;
  int r = writable(c, false);
  if (r < 0) return r;
  if (k && !open_top(c, k)) {
    if (!may_wait(c)) return MS_ENOMEM;
    k = 0;
  }
  if (k < n) blocked(c);
  if (k == 0) return 0;
  d = ms__edge_tail(e);
  ms__copy(&d, &s, k);
  ms__edge_put(e, k);
  MS__COUNT(c, out, k);
  ms__conn_mark(c);
  return (ptrdiff_t)k;
}

size_t ms_conn_reserve(ms_conn *c, uint8_t **p, size_t n) {
  struct ms__edge *e = &c->out[c->n];
  struct ms__dst d;
  *p = NULL;
  if (writable(c, false) < 0) return 0;
  if (n > e->capacity) return 0;
  if (ms__edge_room(e) < n || ms__edge_room(e) == 0 || !open_top(c, n ? n : 1)) {
    if (!may_wait(c)) return 0;
    blocked(c);
    return 0;
  }
  d = ms__edge_tail(e);
  *p = d.p;
  return d.n;
}

void ms_conn_commit(ms_conn *c, size_t n) {
  struct ms__edge *e = &c->out[c->n];
  if (writable(c, false) < 0 || !e->block) return;
  n = ms__min(n, e->size - e->off - e->len);
  ms__edge_put(e, n);
  MS__COUNT(c, out, n);
  ms__conn_mark(c);
}

bool ms_conn_write_blocked(const ms_conn *c) {
  return c->short_write;
}

/* ---- The application's side: messages ---- */

bool ms_conn_messages(const ms_conn *c) {
  return c->messages;
}

static bool front_record(const ms_conn *c, struct ms__record *r) {
  const struct ms__edge *e = &c->in[c->n];
  if (e->len < MS__RECORD_BYTES) return false;
  ms__record_read(r, e->block + e->off);
  return true;
}

int ms_conn_message(const ms_conn *c, ms_message *out) {
  struct ms__record r;
  if (!c->opened || !c->messages) return MS_ESTATE;
  if (ms__conn_discards(c) || !front_record(c, &r)) return 0;
  out->data = c->in[c->n].block + c->in[c->n].off + MS__RECORD_BYTES;
  out->length = r.length;
  out->type = r.type;
  out->last = r.last != 0;
  return 1;
}

void ms_conn_consume_message(ms_conn *c, size_t n) {
  struct ms__edge *e = &c->in[c->n];
  struct ms__record r;
  if (!c->opened || !c->messages || ms__conn_discards(c) || !front_record(c, &r)) return;
  n = ms__min(n, r.length);
  MS__COUNT(c, in, n);
  if (n == r.length) {
    consume(c, MS__RECORD_BYTES + n);
    return;
  }
  r.length -= (uint32_t)n; /* the rest gets a header in the place of what is consumed */
  ms__record_write(e->block + e->off + n, &r);
  consume(c, n);
}

ptrdiff_t ms_conn_write_message(ms_conn *c, const ms_message *m) {
  struct ms__edge *e = &c->out[c->n];
  size_t room = ms__edge_room(e), k = 0;
  bool fits = room > MS__RECORD_BYTES || (room == MS__RECORD_BYTES && m->length == 0);
  struct ms__record record = {.type = m->type};
  struct ms__src s;
  struct ms__dst d;
  int r = writable(c, true);
  if (r < 0) return r;
  if (fits) k = ms__min(m->length, room - MS__RECORD_BYTES);
  if (fits && !open_top(c, MS__RECORD_BYTES + k)) {
    if (!may_wait(c)) return MS_ENOMEM;
    fits = false;
    k = 0;
  }
  if (!fits || k < m->length) blocked(c);
  if (!fits) return m->length ? 0 : MS_ENOMEM;
  record.length = (uint32_t)k;
  record.last = m->last && k == m->length;
  d = ms__edge_tail(e);
  ms__record_write(d.p, &record);
  ms__fill(&d, MS__RECORD_BYTES);
  s = (struct ms__src){m->data, k};
  ms__copy(&d, &s, k);
  ms__edge_put(e, MS__RECORD_BYTES + k);
  MS__COUNT(c, out, k);
  ms__conn_mark(c);
  return (ptrdiff_t)k;
}

/* ---- The application's side: ends ---- */

void ms_conn_end(ms_conn *c) {
  if (c->aside) ms__conn_keep_no_more(c);
  if (!c->opened && !c->detached) {
    ms_conn_abort(c);
    return;
  }
  if (c->failed || c->close_told || c->write_over) return;
  ms__edge_finish(&c->out[c->n]);
  ms__conn_mark(c);
}

void ms_conn_close(ms_conn *c) {
  if (c->aside && ms__conn_ends_answer(c)) return;
  if (!c->opened && !c->detached) {
    ms_conn_abort(c);
    return;
  }
  if (c->closing || c->failed || c->close_told) return;
  ms__edge_finish(&c->out[c->n]);
  c->closing = true;
  ms__conn_mark(c);
}

void ms__conn_evict(ms_conn *c) {
  if (c->close_told) return;
  c->aborted = true;
  ms__conn_mark(c);
}

void ms_conn_abort(ms_conn *c) {
  ms__conn_forget_question(c);
  ms__conn_evict(c);
}

void ms__conn_set_idle(ms_conn *c, uint32_t msec, uint64_t now) {
  c->idle_msec = msec;
  if (!ms__conn_carries(c) || (c->deadline_of != MS__NO_DEADLINE && c->deadline_of != MS__IDLENESS))
    return;
  c->now = now;
  ms__conn_arm_idleness(c);
  ms__conn_mark(c);
}

void ms__conn_set_until(ms_conn *c, uint64_t at) {
  c->until = at;
  ms__conn_mark(c);
}

void ms__conn_expire(ms_conn *c) {
  if (c->deadline_of != MS__ATTEMPT) return;
  c->deadline = 0;
  ms__conn_mark(c);
}

void ms__conn_kill_lingering(ms_conn *c) {
  if (!c->close_told) return;
  ms__conn_cut(c, true);
  ms__conn_mark(c);
}

bool ms_conn_half_closes(const ms_conn *c) {
  /* the ends of the layers below the end layer are held */
  if (c->end_layer < 0 && c->wire && c->wire->flags & MS__WIRE_NO_HALF) return false;
  for (size_t i = c->end_layer < 0 ? 0 : (size_t)c->end_layer; i < c->n; i++)
    if (c->slots[i].layer->flags & MS__NO_HALF) return false;
  return true;
}

void ms__conn_stat(const ms_conn *c, uint64_t now, ms_conn_stats *out) {
  const struct ms__counts *n = &c->counts;
  *out =
      (ms_conn_stats){.in = n->in, .out = n->out, .wire_in = n->wire_in, .wire_out = n->wire_out};
  if (c->opened && now > c->opened_at) out->open_msec = now - c->opened_at;
  for (size_t i = 0; i <= c->n; i++)
    out->queued += c->out[i].len;
  if (c->flying) out->queued += c->flight_len;
  if (c->wire) out->unacknowledged = c->wire->ops->untaken(c->wire);
}
