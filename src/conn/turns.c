/* Whose turn it is. Who has little to do has its turn at once; who has much stands in a queue,
 * which gets a share of each of the loop's turns, so that nobody waits for all that somebody sends.
 * Those in their handshakes have a queue and a share of their own: neither do they wait for the
 * floods of those that are in, nor the other way round. */
#include <errno.h>

#include "conn/conn.h"

/* Work is counted in bytes moved and, where there is a clock, in nanoseconds spent, whichever is
 * more: tiny frames cost more than their bytes. */
enum {
  SHARE = 400000,   /* of a turn of the loop: for each queue, for what the poll tells, for alarms */
  LITTLE = 4096,    /* bytes that nobody has to queue for */
  LEAST_COST = 256, /* of a turn */
  ROUNDS = 16       /* of a turn */
};

/* ---- The queues ---- */

static void append(struct ms__queue *q, ms_conn *c) {
  c->next_dirty = NULL;
  c->prev_dirty = q->last;
  *(q->last ? &q->last->next_dirty : &q->first) = c;
  q->last = c;
  q->count++;
}

static void take_out(struct ms__queue *q, ms_conn *c) {
  *(c->prev_dirty ? &c->prev_dirty->next_dirty : &q->first) = c->next_dirty;
  *(c->next_dirty ? &c->next_dirty->prev_dirty : &q->last) = c->prev_dirty;
  q->count--;
}

/* An answer of many bytes is no handshake. */
static bool in_handshake(const ms_conn *c) {
  return !ms__conn_carries(c);
}

static struct ms__queue *queue_of(const ms_conn *c) {
  if (!c->busy) return &c->env->dirty;
  return c->handshaking ? &c->env->handshaking : &c->env->busy;
}

static void enqueue(ms_conn *c, bool busy) {
  struct ms__env *env = c->env;
  bool first = !ms__env_waits(env);
  if (c->dirty) return;
  c->dirty = true;
  c->busy = busy;
  c->handshaking = in_handshake(c);
  append(queue_of(c), c);
  if (first && env->schedule) env->schedule(env);
}

void ms__conn_unmark(ms_conn *c) {
  if (!c->dirty) return;
  c->dirty = false;
  take_out(queue_of(c), c);
}

static bool has_much(const ms_conn *c) {
  return c->in[0].len > LITTLE || c->out[c->n].len > LITTLE;
}

void ms__conn_mark(ms_conn *c) {
  if (c->in_turn)
    c->progress = true;
  else
    enqueue(c, has_much(c));
}

void ms__conn_hurry(ms_conn *c) {
  ms__conn_unmark(c);
  enqueue(c, false);
}

/* ---- Turns ---- */

void ms__env_begin_share(struct ms__env *env) {
  env->spent = env->began = 0;
}

bool ms__env_share_is_over(const struct ms__env *env) {
  return env->spent >= SHARE;
}

bool ms__env_is_spent(const struct ms__env *env) {
  return env->busy.first || env->handshaking.first || ms__env_share_is_over(env);
}

void ms__env_spend(struct ms__env *env, size_t bytes) {
  env->spent += bytes;
}

/* What lies between the turns counts as well: reading a byte costs more than most of them. */
static void note_time(struct ms__env *env) {
  uint64_t passed = env->clock ? env->clock() - env->began : 0;
  if (passed > env->spent) env->spent = passed;
}

/* A layer stands inside a frame, or in the handshake: the peer has more to send. */
static bool is_inside(const ms_conn *c) {
  for (size_t i = 0; i < c->n; i++)
    if (c->slots[i].last_in == MS__MORE) return true;
  return false;
}

void ms__conn_turn(ms_conn *c, uint64_t now) {
  struct ms__env *env = c->env;
  uint64_t before = env->spent;
  uint32_t block = ms__pool_largest(&env->pool);
  if (env->clock && !env->began) env->began = env->clock();
  ms__conn_unmark(c);
  c->in_turn = true;
  c->now = env->now = now;
  c->progress = true;
  c->short_of = false;
  ms__conn_on_time(c);
  for (int round = 0; round < ROUNDS && c->progress && !c->short_of && env->spent - before < block;
       round++) {
    c->progress = false;
    ms__conn_round(c);
  }
  c->in_turn = false;
  if (ms__conn_is_over(c)) {
    ms__conn_free(c);
  } else {
    if (c->fed && c->wire && c->wire->ops->seen) c->wire->ops->seen(c->wire, is_inside(c));
    c->fed = false;
    ms__conn_settle(c);
    c->more = c->more && c->reading && c->wire;
    if (c->more || c->short_of)
      enqueue(c, true);
    else if (c->progress)
      enqueue(c, env->spent - before >= block || has_much(c));
  }
  env->spent += LEAST_COST;
  note_time(env);
}

void ms__conn_run(ms_conn *c, uint64_t now, size_t bytes) {
  if (c->dirty && c->busy) return; /* its turn comes */
  if (ms__env_is_spent(c->env) && (bytes > LITTLE || !c->opened || has_much(c))) {
    ms__conn_unmark(c);
    enqueue(c, true);
  } else {
    ms__conn_turn(c, now);
  }
}

size_t ms__conn_may_read(ms_conn *c) {
  bool queued = c->dirty && c->busy;
  if (!queued && !ms__env_is_spent(c->env)) return SIZE_MAX;
  if (!queued && !in_handshake(c)) return LITTLE;
  c->more = true;
  if (queued) return 0;
  ms__conn_unmark(c);
  enqueue(c, true);
  return 0;
}

/* ---- Time ---- */

static void tell_alarm(struct ms__env *env, uint64_t before) {
  uint64_t due = ms__env_due(env);
  if (due != before && env->alarm) env->alarm(env, due);
}

void ms__conn_set_alarm(ms_conn *c, uint64_t at) {
  struct ms__env *env = c->env;
  uint64_t before = ms__env_due(env);
  ms__alarm_clear(&env->alarms, &c->alarm);
  if (at != MS__NEVER) ms__alarm_set(&env->alarms, &c->alarm, at);
  if (!env->ringing) tell_alarm(env, before);
}

static ms_conn *conn_of(struct ms__alarm *alarm) {
  return (ms_conn *)(void *)((char *)alarm - offsetof(ms_conn, alarm));
}

void ms__env_ring(struct ms__env *env, uint64_t now) {
  ms__env_begin_share(env);
  env->ringing = true;
  while (ms__env_due(env) <= now && !ms__env_share_is_over(env)) {
    ms_conn *c = conn_of(env->alarms.first);
    ms__alarm_clear(&env->alarms, &c->alarm);
    ms__conn_turn(c, now);
  }
  tell_alarm(env, MS__NEVER);
  env->ringing = false;
}

/* ---- The queues' shares ---- */

/* The rest of what was there when the wire was last read. False: it waits for a buffer that others
 * are about to give back. */
static bool read_on(ms_conn *c) {
  struct ms__dst d = ms__conn_read_room(c);
  ptrdiff_t n = d.n ? c->wire->ops->read(c->wire, d.p, d.n) : -ENOMEM;
  c->more = n == -ENOMEM || (n > 0 && (size_t)n == d.n);
  if (n != -EAGAIN) ms__conn_read_done(c, n);
  return !c->short_of;
}

static void run_share(struct ms__env *env, struct ms__queue *q, uint64_t now) {
  ms__env_begin_share(env);
  while (q->first && !ms__env_share_is_over(env)) {
    ms_conn *c = q->first;
    if (c->short_of && env->dirty.first) { /* whose turn gives it back */
      c->short_of = false;
      break;
    }
    if (c->more && !c->fed && c->reading && c->wire && !read_on(c) && env->dirty.first) break;
    ms__conn_turn(c, now);
  }
}

bool ms__env_run(struct ms__env *env, uint64_t now) {
  for (size_t n = env->dirty.count; n > 0 && env->dirty.first; n--)
    ms__conn_turn(env->dirty.first, now);
  run_share(env, &env->handshaking, now);
  run_share(env, &env->busy, now);
  ms__env_begin_share(env);
  return ms__env_waits(env);
}
