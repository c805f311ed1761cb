/* The pump: the only code that moves bytes between layers. docs/architecture.md tells its rules. */
#include <errno.h>

#include "base/mem.h"
#include "conn/conn.h"

/* ---- Coming up: handshakes ---- */

void ms__conn_size_edges(ms_conn *c) {
  uint32_t block = ms__pool_largest(&c->env->pool);
  for (size_t i = 0; i <= c->n; i++) {
    /* the lower layer may insist on a whole chunk while the upper waits for the rest of one */
    uint32_t below = i ? c->slots[i - 1].layer->room_up : 1;
    uint32_t above = i < c->n ? c->slots[i].layer->need_in : c->need;
    uint32_t down = i < c->n ? c->slots[i].layer->room_down : 1;
    uint32_t in = below + above > block ? below + above : block;
    uint32_t out = down > block ? down : block;
    if (in > c->in[i].capacity) c->in[i].capacity = in;
    if (out > c->out[i].capacity) c->out[i].capacity = out;
  }
}

/* Takes layer i out. Above it nothing has run, so the edges that go with it are empty; but our end
 * may have been implied already. */
static void unlink_layer(ms_conn *c, size_t i) {
  size_t above = c->n - i - 1;
  bool ended = c->out[c->n].fin;
  ms__slot_free(c, &c->slots[i]);
  ms__edge_drop(&c->env->pool, &c->in[i + 1]);
  ms__edge_drop(&c->env->pool, &c->out[i + 1]);
  memmove(&c->slots[i], &c->slots[i + 1], above * sizeof *c->slots);
  memmove(&c->in[i + 1], &c->in[i + 2], above * sizeof *c->in);
  memmove(&c->out[i + 1], &c->out[i + 2], above * sizeof *c->out);
  c->n--;
  if (ended) ms__edge_finish(&c->out[c->n]);
  if (c->end_layer > (int)i) c->end_layer--;
  ms__conn_size_edges(c);
}

static uint64_t carried(const ms_conn *c) {
  return c->counts.in + c->counts.out;
}

void ms__conn_arm_idleness(ms_conn *c) {
  c->deadline_of = MS__NO_DEADLINE;
  if (!c->idle_msec) return;
  c->deadline_of = MS__IDLENESS;
  c->deadline = c->now + c->idle_msec;
  c->seen = carried(c);
}

static void tell_raised(ms_conn *c, const struct ms__layer *layer) {
  if (c->events->layer_up && !c->aborted) c->events->layer_up(c, layer);
}

static void layer_is_up(ms_conn *c, struct ms__slot *s) {
  ms__wipe_scratch(c, s);
  s->stepped = false;
  s->run_again = true;
  s->last_in = MS__IDLE;
  (void)ms__conn_charge(c, s, 0);
  c->up++;
  tell_raised(c, s->layer);
}

void ms__handshake_result(ms_conn *c, size_t i, int result, const struct ms__port *port) {
  struct ms__slot *s = &c->slots[i];
  if (port->proved) c->proved = true;
  if (result < 0) {
    ms__conn_fail(c, (int)i, result, 0);
    return;
  }
  s->last_in = (enum ms__step)result;
  switch ((enum ms__step)result) {
    case MS__ASK:
      s->asked = true;
      c->question = port->question;
      c->progress = true;
      return;
    case MS__DONE:
      c->progress = true;
      layer_is_up(c, s);
      return;
    case MS__UNLINK:
      c->progress = true;
      tell_raised(c, s->layer);
      unlink_layer(c, i);
      return;
    case MS__DETACH:
      ms__conn_detach(c, i);
      return;
    case MS__KEEP:
      ms__conn_stand_aside(c, i, port->length);
      return;
    case MS__IDLE:
    case MS__MORE:
    case MS__FULL:
      if (!c->in[i].fin) return;
      if (c->resting)
        ms__conn_dismiss(c);
      else
        ms__conn_fail(c, (int)i, c->cut ? c->cut : MS_ETRUNCATED, 0);
      return;
  }
}

static void start_layer(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  const struct ms__layer *l = s->layer;
  struct ms__role role = {.server = c->server, .opts = s->opts};
  bool top = !c->top_granted;
  int r = 0;
  if (!ms__conn_charge(c, s, l->keeps)) {
    if (ms__conn_waits(c, l->keeps)) return;
    r = MS_ENOMEM;
  }
  if (!r && l->state && !(s->state = ms__calloc(c->env->allocator, l->state))) r = MS_ENOMEM;
  if (!r && l->scratch && !(s->scratch = ms__calloc(c->env->allocator, l->scratch))) r = MS_ENOMEM;
  for (size_t j = i + 1; j < c->n; j++)
    if (!(c->slots[j].layer->flags & MS__NO_BYTES)) top = false;
  role.top = top;
  role.scratch = s->scratch;
  if (!r && l->init) r = l->init(s->state, &role);
  if (r < 0) {
    ms__conn_fail(c, (int)i, r, 0);
    return;
  }
  if (!(l->flags & MS__NO_BYTES) && top) {
    c->top_granted = true;
    c->messages = (l->flags & MS__MESSAGES) != 0;
  }
  c->progress = true;
  s->started = true;
  s->stepped = false;
  s->wake = MS__NEVER;
  s->run_again = true;
  if (!l->handshake) layer_is_up(c, s);
}

static struct ms__port port_of(const ms_conn *c, const struct ms__slot *s) {
  struct ms__port p = {.now = c->now, .wake = s->wake, .scratch = s->scratch};
  return p;
}

/* Takes note of what a step did to one of its windows. */
static void took(ms_conn *c, struct ms__edge *e, const struct ms__src *left) {
  if (left->n != e->len) c->progress = true;
  ms__edge_take(e, e->len - left->n);
}

static size_t gave(ms_conn *c, struct ms__edge *e, size_t shown, const struct ms__dst *left) {
  if (left->n != shown) c->progress = true;
  ms__edge_put(e, shown - left->n);
  return shown - left->n;
}

/* Opens an edge for a step that insists on `least`; a step that said FULL wants all there is.
 * False: the step has to wait, or it has failed. */
static bool open_edge(ms_conn *c, size_t i, struct ms__edge *e, size_t least, bool compact) {
  if (ms__conn_open_edge(c, e, compact ? ms__edge_room(e) : least)) return true;
  if (!ms__conn_waits(c, e->capacity)) ms__conn_fail(c, (int)i, MS_ENOMEM, 0);
  return false;
}

/* The peer has begun. Another request has its time from now on. */
static void hear(ms_conn *c, struct ms__slot *s) {
  s->fed = true;
  if (!c->resting) return;
  c->resting = false;
  c->deadline = c->now + c->env->again_msec;
}

static void up_handshake(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  struct ms__edge *in = &c->in[i], *out = &c->out[i];
  bool compact = s->last_in == MS__FULL && ms__edge_room(out) > s->out_left;
  struct ms__port p;
  size_t shown;
  int r;
  if (s->asked) return;
  if (s->stepped && !s->run_again && in->changes == s->seen_in &&
      !(s->last_in == MS__FULL && (out->changes != s->seen_out || compact)))
    return;
  p = port_of(c, s);
  p.wire_in = ms__edge_bytes(in);
  if (in->len) hear(c, s);
  if (s->layer->room_down) {
    if (ms__edge_room(out) < s->layer->room_down) return;
    if (!open_edge(c, i, out, s->layer->room_down, compact)) return;
    p.wire_out = ms__edge_tail(out);
  }
  shown = p.wire_out.n;
  s->stepped = true;
  s->run_again = false;
  r = s->layer->handshake(s->state, &p);
  s->wake = p.wake;
  took(c, in, &p.wire_in);
  gave(c, out, shown, &p.wire_out);
  s->seen_in = in->changes;
  s->seen_out = out->changes;
  s->out_left = (uint32_t)p.wire_out.n;
  ms__handshake_result(c, i, r, &p);
}

/* ---- Coming up: data ---- */

/* The edge below layer i has ended, and decode makes nothing more of it. Only the end layer knows a
 * clean end from a cut: the layers below it pass the end on, for its own may still be in between.
 */
static void ended_below(ms_conn *c, size_t i, enum ms__step result) {
  bool between = result == MS__IDLE && c->in[i].len == 0;
  if (c->in_end && (int)i <= c->end_layer) return;
  if ((int)i == c->end_layer || ((int)i > c->end_layer && !between)) {
    int code = c->cut ? c->cut : MS_ETRUNCATED;
    if (c->read_first)
      ms__conn_fail_in_order(c, (int)i, code, 0);
    else
      ms__conn_fail(c, (int)i, code, 0);
    return;
  }
  if (c->in[i + 1].fin) return;
  ms__edge_finish(&c->in[i + 1]);
  c->progress = true;
}

/* The end layer's end without half-close asks for ours, which is the application's to say: what it
 * writes at once goes out before (ms__conn_arm_reply). Below it nobody asks. */
static void peer_ended(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  c->progress = true;
  s->done = true;
  ms__edge_finish(&c->in[i + 1]);
  if ((int)i == c->end_layer) {
    c->in_end = true;
  } else if (s->layer->flags & MS__NO_HALF) {
    ms__conn_imply_end(c);
  }
}

void ms__conn_imply_end(ms_conn *c) {
  if (c->out[c->n].fin) return;
  c->implied = true;
  ms__edge_finish(&c->out[c->n]);
}

/* How the peer leaves below the end layer is for that to judge: its end may be on the way up. What
 * came before a failure is told, and perhaps answered, first. */
static void layer_failed(ms_conn *c, size_t i, int code) {
  if ((int)i < c->end_layer && (code == MS_EGONE || code == MS_ETRUNCATED)) {
    c->cut = (int8_t)code;
    peer_ended(c, i);
  } else {
    ms__conn_fail_in_order(c, (int)i, code, 0);
  }
}

static void up_data(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  struct ms__edge *lo = &c->in[i], *hi = &c->in[i + 1], *out = &c->out[i];
  size_t room = ms__edge_room(hi), shown, shown_out;
  bool compact = s->last_in == MS__FULL && room > s->in_left;
  struct ms__port p;
  int r;
  if (s->done) {
    ms__edge_drop(&c->env->pool, lo);
    return;
  }
  if (c->deferred && (int)i <= c->deferred_at) return;
  if (s->stepped &&
      (s->last_in == MS__FULL ? hi->changes == s->seen_up && !compact : lo->changes == s->seen_in))
    return;
  if (room < s->layer->room_up) return;
  if (!open_edge(c, i, hi, s->layer->room_up, compact)) return;
  if ((s->layer->flags & MS__REPLIES) && !out->fin && !c->write_over &&
      ms__edge_room(out) >= s->layer->room_down)
    (void)ms__conn_open_edge(c, out, s->layer->room_down); /* without memory: no reply */
  p = port_of(c, s);
  p.wire_in = ms__edge_bytes(lo);
  p.app_in = ms__edge_tail(hi);
  if (out->size == out->capacity && !out->fin && !c->write_over) p.wire_out = ms__edge_tail(out);
  shown = p.app_in.n;
  shown_out = p.wire_out.n;
  s->stepped = true;
  r = s->layer->decode(s->state, &p);
  s->wake = p.wake;
  took(c, lo, &p.wire_in);
  gave(c, hi, shown, &p.app_in);
  gave(c, out, shown_out, &p.wire_out);
  s->seen_in = lo->changes;
  s->seen_up = hi->changes;
  s->in_left = (uint32_t)p.app_in.n;
  if (r < 0) {
    layer_failed(c, i, r);
    return;
  }
  if (r & MS__WANT_ENCODE) {
    s->run_again = true;
    c->progress = true;
  }
  s->last_in = (enum ms__step)(r & ~MS__WANT_ENCODE);
  if (s->last_in == MS__DONE)
    peer_ended(c, i);
  else if (lo->fin && s->last_in != MS__FULL)
    ended_below(c, i, s->last_in);
}

static void go_up(ms_conn *c) {
  size_t i = 0;
  ms__conn_fail_deferred(c);
  while (i < c->n && !c->failed) {
    size_t n = c->n;
    if (!c->slots[i].started) {
      if (i != c->up) break;
      start_layer(c, i);
      if (c->failed || !c->slots[i].started) break;
    }
    if (i < c->up)
      up_data(c, i);
    else
      up_handshake(c, i);
    if (c->n == n) i++; /* else it was unlinked, and the next one has its place */
  }
  if (c->failed) return;
  if (c->end_layer == -1 && c->in[c->n].fin) c->in_end = true;
  if (ms__conn_discards(c) && c->in[c->n].len) {
    ms__edge_drop(&c->env->pool, &c->in[c->n]);
    c->progress = true;
  }
}

/* ---- Going down ---- */

/* Below the end layer ends are held until the peer has had its own: many peers answer an early FIN
 * or ws Close by dropping the reply. */
static bool released(const ms_conn *c, int i) {
  return i >= c->end_layer || c->in_end || c->closing || c->detached || c->failed;
}

static void run_encode(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  struct ms__edge *lo = &c->out[i], *hi = &c->out[i + 1];
  size_t room = ms__edge_room(lo), shown;
  bool full = s->last_out == MS__FULL, compact = full && room > s->out_left;
  struct ms__port p;
  int r;
  if (!hi->len && !s->run_again && !full) return;
  if (!s->run_again && (full ? lo->changes == s->seen_out && !compact : hi->changes == s->seen_app))
    return;
  if (room < s->layer->room_down) return;
  if (!open_edge(c, i, lo, s->layer->room_down, compact)) return;
  p = port_of(c, s);
  p.app_out = ms__edge_bytes(hi);
  p.wire_out = ms__edge_tail(lo);
  shown = p.wire_out.n;
  s->run_again = false;
  r = s->layer->encode(s->state, &p);
  s->wake = p.wake;
  took(c, hi, &p.app_out);
  gave(c, lo, shown, &p.wire_out);
  s->seen_app = hi->changes;
  s->seen_out = lo->changes;
  s->out_left = (uint32_t)p.wire_out.n;
  if (r < 0)
    ms__conn_fail(c, (int)i, r, 0);
  else
    s->last_out = (enum ms__step)r;
}

/* Our end through layer i, or a failing layer's last words. */
static void run_end(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  struct ms__edge *lo = &c->out[i];
  /* No clean end after a failure: from the end layer up to the failing layer all hear of it. */
  int lowest = c->end_layer < c->failed_at ? c->end_layer : c->failed_at;
  bool unclean = c->failed ? (int)i >= lowest : c->broken && (int)i >= c->end_layer;
  int r = MS__DONE;
  if (s->layer->end) {
    struct ms__port p = port_of(c, s);
    size_t shown;
    if (ms__edge_room(lo) < s->layer->room_down) return;
    if (!ms__conn_open_edge(c, lo, s->layer->room_down)) {
      if (c->failed)
        ms__conn_cut(c, true);
      else if (!ms__conn_waits(c, lo->capacity))
        ms__conn_fail(c, (int)i, MS_ENOMEM, 0);
      return;
    }
    p.wire_out = ms__edge_tail(lo);
    shown = p.wire_out.n;
    if (c->broken) p.why = c->cause.why;
    if ((int)i == c->end_layer && !unclean) ms__conn_end_begins(c);
    r = s->layer->end(s->state, &p, unclean ? c->cause.code : 0);
    if (gave(c, lo, shown, &p.wire_out) && c->failed) c->said = true;
  }
  if (r == MS__FULL) return;
  s->ended = true;
  c->progress = true;
  ms__edge_finish(lo);
}

/* The end layer's end goes out behind all else, not in one frame of a lower layer with it: so it is
 * known what has been heard of us when nothing but the end has not. */
static bool may_end(const ms_conn *c, size_t i) {
  if ((int)i == c->end_layer)
    for (size_t j = 1; j <= i; j++)
      if (c->out[j].len || c->out[0].len) return false;
  return released(c, (int)i);
}

static void down(ms_conn *c, size_t i) {
  struct ms__slot *s = &c->slots[i];
  const struct ms__edge *hi = &c->out[i + 1];
  bool failing = c->failed && c->failed_at == (int)i;
  if (s->ended || !s->started) return;
  if (!failing && i < c->up) {
    run_encode(c, i);
    if (i >= c->n) return; /* encode has failed, and a lower layer took all above with it */
    failing = c->failed && c->failed_at == (int)i;
  }
  if (failing || (i < c->up && hi->fin && hi->len == 0 && s->last_out != MS__FULL &&
                  !s->run_again && may_end(c, i)))
    run_end(c, i);
}

static void flush(ms_conn *c) {
  struct ms__edge *e = &c->out[0];
  if (!c->wire || c->write_over || c->flying) return;
  if (e->len) {
    ptrdiff_t r = c->wire->ops->write(c->wire, e->block + e->off, e->len);
    if (r > 0) {
      c->progress = true;
      MS__COUNT(c, wire_out, (uint64_t)r);
      ms__env_spend(c->env, (size_t)r);
      ms__edge_take(e, (size_t)r);
    }
    if (r >= 0 && e->len) {
      r = c->wire->ops->send(c->wire, e);
      if (r >= 0) { /* the rest is the wire's */
        ms__hold_write_blocked(c, e);
        c->progress = true;
        MS__COUNT(c, wire_out, e->len);
        e->block = NULL;
        e->size = e->off = e->len = e->high = 0;
        e->changes++;
      }
    }
    if (r == -ENOMEM) {
      ms__conn_fail(c, -1, MS_ENOMEM, 0);
      return;
    }
    if (r < 0) {
      ms__conn_write_failed(c);
      return;
    }
  }
  if (!c->flying) ms__conn_note_end_sent(c);
  if (!e->fin || e->len || c->flying || c->fin_sent || !released(c, -1)) return;
  if (c->end_layer == -1 && ((c->failed && !c->said) || c->broken)) {
    if (!ms__conn_may_reset(c)) return;
    ms__conn_cut(c, true); /* a FIN would be a clean end */
    c->progress = true;
    return;
  }
  if (c->end_layer == -1) ms__conn_end_begins(c);
  c->wire->ops->fin(c->wire);
  c->fin_sent = true;
  c->progress = true;
}

/* ---- Telling the application ---- */

static void tell_readable(ms_conn *c) {
  struct ms__edge *e = &c->in[c->n];
  if (!c->opened || ms__conn_discards(c) || c->aborted) return;
  if (e->changes != c->read_seen && e->len && (e->len >= c->need || e->fin)) {
    c->progress = true;
    c->read_seen = e->changes; /* before: the callback may ask for what is there already */
    c->events->readable(c);
  }
  if (ms__conn_discards(c) || c->aborted || c->end_told || !e->fin || e->len) return;
  c->progress = true;
  c->end_told = true;
  c->events->end(c);
}

static void tell_writable(ms_conn *c) {
  if (!c->short_write || c->closing || c->said_all || c->failed || c->aborted) return;
  if (c->out[c->n].len && !c->write_over && !c->implied) return;
  c->short_write = false;
  c->progress = true;
  c->events->writable(c);
}

static void tell(ms_conn *c) {
  if (c->question.kind && !c->aborted) {
    struct ms__question q = c->question;
    c->question.kind = 0;
    c->progress = true;
    c->answer_pending = true;
    c->events->question(c, &q);
  }
  if (!c->opened && c->up == c->n && !c->failed && !c->detached && !c->aside && !c->aborted &&
      !c->close_told) {
    c->opened = true;
    c->opened_at = c->now;
    c->progress = true;
    ms__conn_arm_idleness(c);
    ms__conn_pack(c);
    c->events->open(c);
  }
  tell_readable(c);
  tell_writable(c);
  ms__conn_tell_close(c);
}

/* ---- Time ---- */

void ms__conn_on_time(ms_conn *c) {
  ms__conn_look(c);
  if (ms__conn_carries(c) && c->until <= c->now) {
    c->until = MS__NEVER;
    ms__conn_close_late(c);
  }
  if (c->deadline_of != MS__NO_DEADLINE && c->deadline <= c->now) {
    enum ms__deadline kind = c->deadline_of;
    c->deadline_of = MS__NO_DEADLINE;
    if (kind == MS__ATTEMPT && c->resting) {
      ms__conn_dismiss(c);
    } else if (kind == MS__ATTEMPT) {
      ms__conn_fail(c, c->up < c->n ? (int)c->up : (int)c->n - 1, MS_ETIMEDOUT, 0);
    } else if (kind == MS__DRAIN) {
      if (c->said_all) ms__conn_keep_no_more(c);
      ms__conn_drain_is_over(c);
    } else if (kind == MS__REPLY) {
      ms__conn_reply_is_late(c);
      if (c->deadline_of == MS__NO_DEADLINE && c->idle_msec) ms__conn_arm_idleness(c);
    } else if (carried(c) != c->seen) {
      ms__conn_arm_idleness(c);
    } else {
      ms__conn_close_idle(c);
    }
  }
  for (size_t i = 0; i < c->n && !c->failed; i++) {
    struct ms__slot *s = &c->slots[i];
    struct ms__port p;
    int r;
    if (!s->started || s->wake > c->now) continue;
    s->wake = MS__NEVER;
    p = port_of(c, s);
    p.unread = !c->reading;
    r = s->layer->tick(s->state, &p);
    s->wake = p.wake;
    if (r < 0) {
      ms__conn_fail(c, (int)i, r, 0);
    } else if (r & MS__WANT_ENCODE) {
      s->run_again = true;
      c->progress = true;
    }
  }
}

static uint64_t next_time(const ms_conn *c) {
  uint64_t t = c->deadline_of == MS__NO_DEADLINE ? MS__NEVER : c->deadline;
  if (c->look_at < t) t = c->look_at;
  if (ms__conn_carries(c) && c->until < t) t = c->until;
  for (size_t i = 0; i < c->n && !c->failed; i++)
    if (c->slots[i].started && c->slots[i].wake < t) t = c->slots[i].wake;
  return t;
}

/* ---- The turn ---- */

static bool wants_to_read(const ms_conn *c) {
  uint32_t low = ms__pool_largest(&c->env->pool) / 4;
  if (c->eof) return false;
  if (c->failed || c->close_told || c->detached || c->in_end) return true;
  if (c->up < c->n && c->slots[c->up].asked) return !c->in[0].len && !c->in[c->up].len;
  if (ms__edge_room(&c->in[0]) == 0) return false;
  if (c->n && c->slots[0].last_in == MS__FULL && !c->slots[0].done) return false;
  return c->in[c->n].len < (low > c->need ? low : c->need);
}

/* What the turn leaves behind: no block that is not needed, reading and the timer as they should
 * be. */
void ms__conn_settle(ms_conn *c) {
  uint64_t t;
  bool read;
  for (size_t i = 0; i <= c->n; i++) {
    ms__edge_settle(&c->env->pool, &c->in[i]);
    ms__edge_settle(&c->env->pool, &c->out[i]);
  }
  ms__conn_note_holds(c);
  if (!c->wire) return;
  read = wants_to_read(c);
  if (read != c->reading) c->wire->ops->reading(c->wire, c->reading = read);
  ms__conn_set_look(c);
  t = next_time(c);
  if (t != c->armed) ms__conn_set_alarm(c, c->armed = t);
}

void ms__conn_round(ms_conn *c) {
  if (!c->aborted) go_up(c);
  tell(c);
  if (!c->flying && !c->write_over && !c->aborted)
    for (size_t i = c->n; i-- > 0;)
      if (i < c->n) down(c, i);
  if (!c->aborted) flush(c);
  if (c->aside) ms__conn_come_back(c);
  ms__conn_arm_reply(c);
  ms__conn_arm_drain(c);
}
