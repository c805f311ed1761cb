/* What happens when buffers run short: whoever needs one takes it from those that have held most
 * for longest. docs/architecture.md, "When buffers run short", has the rule. */
#include "base/mem.h"
#include "conn/conn.h"

static const char why[] = "it held buffers for long without progress, and others need them";

/* ---- Who holds how much, and since when ---- */

static size_t size_of(const struct ms__edge *e) {
  return e->block ? e->size : 0;
}

/* So many bytes, of which `passed` bytes since the connection was made are those that got through:
 * who lets as much through as it holds has made progress, whatever drips in besides. */
static void note(struct ms__hold *h, size_t held, uint64_t passed, uint64_t now) {
  bool progress = h->held == 0 || (uint32_t)passed - h->passed >= held;
  h->held = (uint32_t)held;
  if (!progress) return;
  h->passed = (uint32_t)passed;
  h->since = (uint32_t)now;
}

static void enlist(ms_conn *c, bool holds) {
  struct ms__env *env = c->env;
  if (holds == c->holds) return;
  c->holds = holds;
  if (holds) {
    c->next_holder = NULL;
    c->prev_holder = env->holders_last;
    *(env->holders_last ? &env->holders_last->next_holder : &env->holders_first) = c;
    env->holders_last = c;
    return;
  }
  *(c->prev_holder ? &c->prev_holder->next_holder : &env->holders_first) = c->next_holder;
  *(c->next_holder ? &c->next_holder->prev_holder : &env->holders_last) = c->prev_holder;
}

void ms__conn_note_holds(ms_conn *c) {
  const struct ms__edge *top = &c->in[c->n];
  size_t in = size_of(top), out = c->flight;
  for (size_t i = 0; i < c->n; i++)
    in += size_of(&c->in[i]);
  if (c->up < c->n) in += c->charged; /* later it is the price of being there */
  for (size_t i = 0; i <= c->n; i++)
    out += size_of(&c->out[i]);
  /* What waits for the application is our own side's doing, unless that waits for the peer: for the
   * rest of what it asked for, or to be read from. */
  c->unread = top->len >= c->need && !c->flying;
  note(&c->in_hold, in, c->counts.in, c->now);
  note(&c->out_hold, out, c->counts.wire_out - c->flight_len, c->now);
  enlist(c, in || out);
}

void ms__conn_holds_nothing(ms_conn *c) {
  enlist(c, false);
}

void ms__hold_write_blocked(ms_conn *c, const struct ms__edge *flight) {
  c->flying = true;
  c->flight = flight->size;
  c->flight_len = flight->len;
}

void ms__hold_write_unblocked(ms_conn *c) {
  c->flying = false;
  c->flight = c->flight_len = 0;
}

/* ---- Who goes ---- */

/* A connection's rank is a power of two of bytes times milliseconds. */
enum {
  RANKS = 64,
  OLD = 27,  /* 64 KiB for a second */
  YOUNG = 25 /* 64 KiB for 250 ms, 4 KiB for four seconds: an honest handshake may be at it */
};

struct need {
  struct ms__env *env;
  const ms_conn *asks; /* it stays */
  size_t bytes;
  size_t coming;    /* what those that had to go give back in their next turn */
  bool last_resort; /* what an application leaves unread counts, too */
};

static size_t held_by(const ms_conn *c) {
  return c->in_hold.held + c->out_hold.held;
}

/* It is over, and what it holds still is freed in its next turn. */
static bool leaves(const ms_conn *c) {
  return c->dirty && !c->wire && (c->aborted || c->close_told);
}

static struct need need_of(struct ms__env *env, const ms_conn *asks, size_t bytes) {
  struct need need = {.env = env, .asks = asks, .bytes = bytes};
  for (const ms_conn *c = env->holders_first; c; c = c->next_holder)
    if (leaves(c)) need.coming += held_by(c);
  return need;
}

static bool is_met(const struct need *need) {
  const struct ms__pool *pool = &need->env->pool;
  return pool->out_bytes + need->bytes <= pool->limit;
}

/* It is met in a moment at the latest, and so much is spared. */
static bool comes(const struct need *need, size_t spare) {
  const struct ms__pool *pool = &need->env->pool;
  size_t coming = ms__min(need->coming, pool->out_bytes);
  return pool->out_bytes - coming + need->bytes + spare <= pool->limit;
}

/* Whoever holds something weighs something, from its first millisecond on. */
static uint64_t weight(const struct ms__hold *h, uint64_t now) {
  return h->held * (1 + (uint64_t)((uint32_t)now - h->since));
}

/* 0: it is not to go. */
static unsigned rank_of(const ms_conn *c, const struct need *need) {
  uint64_t w = weight(&c->out_hold, need->env->now);
  unsigned rank = 0;
  if (c == need->asks || c->in_turn || c->aborted || c->failed || c->close_told) return 0;
  if (!c->unread || need->last_resort) w += weight(&c->in_hold, need->env->now);
  while (w && rank < RANKS - 1) {
    w >>= 1;
    rank++;
  }
  return rank;
}

/* Gives back at once what nobody looks at: the application may look at what it reads and writes
 * until the connection's next turn, which is near. */
static void evict(ms_conn *c, struct need *need) {
  struct ms__pool *pool = &c->env->pool;
  if (!c->close_told) {
    c->env->starved++;
    ms__conn_evict_for(c, MS_ENOMEM, why);
  }
  ms__conn_close_wire(c, true);
  ms__hold_write_unblocked(c);
  for (size_t i = 0; i < c->n; i++) {
    (void)ms__conn_charge(c, &c->slots[i], 0); /* it is freed in that turn */
    ms__edge_drop(pool, &c->in[i]);
    ms__edge_drop(pool, &c->out[i]);
  }
  ms__conn_note_holds(c);
  ms__conn_hurry(c);
  need->coming += held_by(c);
}

/* Does it help that this one goes, where so much is to spare? What comes in a moment can be waited
 * for: nobody young goes to have it at once. */
static bool helps(const ms_conn *c, const struct need *need, size_t spare, unsigned rank) {
  if (!comes(need, spare)) return true;
  return rank >= YOUNG && !is_met(need) &&
         held_by(c) > size_of(&c->in[c->n]) + size_of(&c->out[c->n]);
}

/* Those that have failed and only linger. */
static void evict_lingering(struct need *need, size_t spare) {
  ms_conn *next;
  for (ms_conn *c = need->env->holders_first; c; c = next) {
    next = c->next_holder;
    if (c->close_told && c->wire && c != need->asks && !c->in_turn && helps(c, need, spare, RANKS))
      evict(c, need);
  }
}

/* From the highest rank down to `least`, and no lower than it takes. Only those that are old have
 * to go for what is to spare. */
static void evict_ranked(struct need *need, size_t spare, unsigned least) {
  size_t held[RANKS] = {0};
  ms_conn *next;
  for (const ms_conn *c = need->env->holders_first; c; c = c->next_holder)
    held[rank_of(c, need)] += held_by(c);
  for (unsigned rank = RANKS - 1; rank >= least; rank--) {
    size_t more = rank >= OLD ? spare : 0;
    for (ms_conn *c = held[rank] ? need->env->holders_first : NULL; c; c = next) {
      next = c->next_holder;
      if (is_met(need) && comes(need, more)) break;
      if (rank_of(c, need) == rank && helps(c, need, more, rank)) evict(c, need);
    }
  }
}

bool ms__env_make_room(struct ms__env *env, const ms_conn *asks, size_t bytes) {
  struct need need = need_of(env, asks, bytes);
  size_t spare = env->pool.limit / 8;
  if (!env->pool.limit || is_met(&need)) return false; /* it is the allocator's to give */
  evict_lingering(&need, spare);
  if (!is_met(&need)) evict_ranked(&need, spare, YOUNG);
  need.last_resort = true;
  if (!comes(&need, 0)) evict_ranked(&need, 0, 1);
  return is_met(&need);
}

/* The limit refuses what will be there in a moment. */
static bool is_coming(const ms_conn *c, size_t bytes) {
  struct need need = need_of(c->env, c, bytes);
  return c->env->pool.limit && !is_met(&need) && comes(&need, 0);
}

bool ms__conn_waits(ms_conn *c, size_t bytes) {
  if (!is_coming(c, bytes)) return false;
  c->short_of = true;
  return true;
}

bool ms__conn_open_edge_at_once(ms_conn *c, struct ms__edge *e, size_t room) {
  struct ms__pool *pool = &c->env->pool;
  size_t limit = pool->limit;
  bool opened = ms__conn_open_edge(c, e, room);
  if (opened || !is_coming(c, e->capacity)) return opened;
  pool->limit = 0;
  opened = ms__edge_open(pool, e, room);
  pool->limit = limit;
  return opened;
}

bool ms__conn_charge(ms_conn *c, struct ms__slot *s, uint32_t bytes) {
  struct ms__pool *pool = &c->env->pool;
  pool->out_bytes -= s->charged;
  c->charged -= s->charged;
  s->charged = 0;
  if (bytes && pool->limit && pool->out_bytes + bytes > pool->limit &&
      !ms__env_make_room(c->env, c, bytes))
    return false;
  pool->out_bytes += bytes;
  if (pool->out_bytes > pool->peak_bytes) pool->peak_bytes = pool->out_bytes;
  c->charged += bytes;
  s->charged = bytes;
  return true;
}
