/* Admission: who comes in at all, and who has to make room. */
#include <stdio.h>

#include "endpoint/ctx.h"

enum { TELL_MSEC = 1000, PROBES_MSEC = 600000 };

/* Without descriptors, a handshake that has given us nothing to answer gives way after so long, and
 * only where there is none, one that did: a peer at the other end of the world takes four round
 * trips. So many at a time. */
enum { SILENT_MSEC = 50, ENOUGH_MSEC = 1000, ROOM = 16 };

/* ---- Being told ---- */

static void tell(struct ms_ctx *ctx) {
  struct ms__log_throttle *d = &ctx->throttle;
  uint64_t now = uv_now(ctx->loop.uv);
  ms__loop_log(&ctx->loop, MS_LOG_WARN, "turned away: %llu peer%s, %s%s",
               (unsigned long long)d->suppressed, ms__text_plural(d->suppressed),
               d->suppressed == 1 ? "for " : "the last for ", d->why);
  d->told_at = now ? now : 1;
  d->suppressed = 0;
}

static void count(struct ms_ctx *ctx, uint64_t *counter, const char *why) {
  struct ms__log_throttle *d = &ctx->throttle;
  (*counter)++;
  d->suppressed++;
  d->why = why;
  if (!d->told_at || uv_now(ctx->loop.uv) >= d->told_at + TELL_MSEC) tell(ctx);
}

/* Whoever watches a port does it every few seconds. */
void ms__admission_probed(struct ms__session *l, const char *address) {
  struct ms_ctx *ctx = l->stack->ctx;
  struct ms__log_throttle *d = &ctx->probes;
  uint64_t now = uv_now(ctx->loop.uv);
  char others[64] = "";
  ctx->probed++;
  if (d->told_at && now < d->told_at + PROBES_MSEC) {
    d->suppressed++;
    return;
  }
  if (d->suppressed)
    (void)snprintf(others, sizeof others, ", as did %llu other%s since the last such line",
                   (unsigned long long)d->suppressed, ms__text_plural(d->suppressed));
  ms__loop_log(&ctx->loop, MS_LOG_WARN, "probe: %s: it connected and left without a byte%s",
               address, others);
  d->told_at = now ? now : 1;
  d->suppressed = 0;
}

void ms__admission_close(struct ms_ctx *ctx) {
  if (ctx->throttle.suppressed) tell(ctx);
}

void ms__admission_refuse(struct ms_ctx *ctx, const char *why) {
  count(ctx, &ctx->refused, why);
}

static void turn_away(struct ms__session *l, uint64_t *counter, const char *why) {
  l->setup->evicted_for = why;
  count(l->stack->ctx, counter, why);
}

/* ---- Those in their handshakes, by age ---- */

static struct ms__handshakes *queue_of(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  return l->setup->spoke ? &ctx->speaking : &ctx->silent;
}

static void unqueue(struct ms__session *l) {
  struct ms__handshakes *q = queue_of(l);
  const struct ms__setup *r = l->setup;
  l->handshaking = false;
  l->stack->ctx->handshaking--;
  *(r->older ? &r->older->setup->newer : &q->first) = r->newer;
  *(r->newer ? &r->newer->setup->older : &q->last) = r->older;
}

/* As the youngest, or before all others. */
static void queue(struct ms__session *l, bool before_all) {
  struct ms__handshakes *q = queue_of(l);
  struct ms__setup *r = l->setup;
  l->handshaking = true;
  l->stack->ctx->handshaking++;
  r->newer = before_all ? q->first : NULL;
  r->older = before_all ? NULL : q->last;
  *(r->older ? &r->older->setup->newer : &q->first) = l;
  *(r->newer ? &r->newer->setup->older : &q->last) = l;
}

static void evict(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  ms__admission_leave(l);
  if (l->lingers) {
    ms__conn_kill_lingering(l->conn);
  } else if (l->answered) { /* its browser opens another */
    ms__conn_dismiss(l->conn);
  } else {
    count(ctx, &ctx->handshakes_evicted, "handshakes that give way to new ones");
    ms__session_evict(l, MS__EVICTED);
  }
}

static uint64_t age(const struct ms__session *l) {
  return uv_now(l->stack->ctx->loop.uv) - l->setup->handshaking_since;
}

static bool has_had(const struct ms__session *l, unsigned msec) {
  return age(l) >= msec;
}

/* It has given us something to answer since its handshake began. */
static bool has_spoken(const struct ms__session *l) {
  ms_conn_stats n;
  if (l->lingers || l->answered) return false;
  ms__conn_stat(l->conn, uv_now(l->stack->ctx->loop.uv), &n);
  return n.wire_out > 0 || l->conn->answer_pending;
}

/* The first of the silent, where those are that only linger and then the oldest. Who has spoken
 * meanwhile is met here once, and stands among the others from then on. */
static struct ms__session *first_silent(struct ms_ctx *ctx) {
  struct ms__session *l;
  while ((l = ctx->silent.first) && has_spoken(l)) {
    unqueue(l);
    l->setup->spoke = true;
    queue(l, false);
  }
  return l;
}

static bool had_its_time(const struct ms__session *l) {
  return l->lingers || has_had(l, SILENT_MSEC);
}

/* Whoever comes where handshakes are at their limit goes in before one of those that are there can
 * be turned away. The silent go first; when they are all young, whoever has used up more of its
 * time. */
static bool evict_one(struct ms_ctx *ctx) {
  struct ms__session *l = first_silent(ctx), *spoke = ctx->speaking.first;
  bool is_young = l && !had_its_time(l);
  if (spoke && (!l || (is_young && age(l) * ENOUGH_MSEC < age(spoke) * SILENT_MSEC))) l = spoke;
  if (l) evict(l);
  return l != NULL;
}

bool ms__admission_make_room(struct ms_ctx *ctx) {
  struct ms__session *l;
  int made = 0;
  for (; made < ROOM && (l = first_silent(ctx)) && had_its_time(l); made++)
    evict(l);
  if (made) return true;
  for (; made < ROOM && (l = ctx->speaking.first) && has_had(l, ENOUGH_MSEC); made++)
    evict(l);
  return made > 0;
}

/* ---- Coming and going ---- */

static bool is_full(size_t n, uint32_t most) {
  return most != UINT32_MAX && n >= most;
}

/* Counts it under its address, where that has room. What stands in front is nobody: who is behind
 * it counts, once that is known. */
static enum ms__verdict enter(struct ms__session *l, enum ms__use use) {
  const struct ms__stack *s = l->stack;
  struct ms_ctx *ctx = s->ctx;
  if (ms__fronts_say(s->fronts, s->fronts_count, &l->peer)) return MS__ADMITTED;
  l->use = use;
  return ms__limits_enter(&ctx->limits, &l->peer, uv_now(ctx->loop.uv), use, &l->source);
}

static void leave(struct ms__session *l) {
  ms__limits_leave(&l->stack->ctx->limits, l->source, l->use);
  l->source = NULL;
}

/* False: it is turned away, if it is not for want of memory. */
static bool is_admitted(struct ms__session *l, enum ms__verdict verdict) {
  struct ms_ctx *ctx = l->stack->ctx;
  switch (verdict) {
    case MS__ADMITTED:
      return true;
    case MS__TOO_MANY:
      turn_away(l, &ctx->over_address, "too many connections of one address");
      break;
    case MS__TOO_FAST:
      turn_away(l, &ctx->over_rate, "too many connections of one address in a second");
      break;
    case MS__NO_MEMORY:
      break;
  }
  return false;
}

static bool has_pages(const struct ms__stack *s) {
  return s->on_request && ms__stack_has_ws(s);
}

/* One too many may want a page, which has limits of its own. */
static bool has_leave(struct ms__session *l) {
  enum ms__verdict verdict = enter(l, MS__SESSION);
  if ((verdict == MS__TOO_MANY || verdict == MS__TOO_FAST) && has_pages(l->stack) &&
      enter(l, MS__PAGE) == MS__ADMITTED) {
    l->paid = true;
    return true;
  }
  return is_admitted(l, verdict);
}

bool ms__admission_enter(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  const ms_limits *max = &ctx->limits.max;
  bool full = is_full(ctx->inbound, max->connections) || is_full(ctx->handshaking, max->handshakes);
  if (!has_leave(l)) return false;
  if (full && !evict_one(ctx)) {
    turn_away(l, &ctx->over_connections, "too many connections");
    leave(l);
    return false;
  }
  l->counted = true;
  ctx->inbound++;
  l->setup->handshaking_since = uv_now(ctx->loop.uv);
  queue(l, false);
  return true;
}

bool ms__admission_name(struct ms__session *l) {
  return !l->counted || l->source || has_leave(l);
}

bool ms__admission_session(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  enum ms__verdict verdict = MS__ADMITTED;
  if (!l->counted) return true;
  if (!l->source) return !l->setup->fronted || is_admitted(l, enter(l, MS__SESSION));
  if (l->use == MS__PAGE)
    verdict = ms__limits_turn(&ctx->limits, l->source, uv_now(ctx->loop.uv), MS__PAGE);
  if (verdict == MS__ADMITTED) l->use = MS__SESSION;
  return is_admitted(l, verdict);
}

enum ms__verdict ms__admission_asks(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  uint64_t now = uv_now(ctx->loop.uv);
  enum ms__verdict verdict = MS__ADMITTED;
  if (!l->counted) return verdict;
  if (!l->source) {
    if (l->setup->fronted) verdict = enter(l, MS__PAGE);
  } else if (l->use == MS__SESSION) {
    verdict = ms__limits_turn(&ctx->limits, l->source, now, MS__SESSION);
    if (verdict == MS__ADMITTED) l->use = MS__PAGE;
  } else if (!l->paid && !ms__limits_ask(&ctx->limits, l->source, now)) {
    verdict = MS__TOO_FAST;
  }
  l->paid = false;
  if (verdict == MS__TOO_MANY)
    count(ctx, &ctx->over_pages, "too many of one address that ask for pages");
  if (verdict == MS__TOO_FAST)
    count(ctx, &ctx->over_pages, "too many pages of one address in a second");
  return verdict;
}

void ms__admission_rests(struct ms__session *l) {
  if (!l->counted) return;
  if (l->setup->fronted) leave(l);
  l->setup->handshaking_since = uv_now(l->stack->ctx->loop.uv);
  l->setup->spoke = false;
  queue(l, false);
}

void ms__admission_opened(struct ms__session *l) {
  if (l->handshaking) unqueue(l);
}

void ms__admission_failed(struct ms__session *l) {
  if (!l->handshaking) return;
  unqueue(l);
  l->lingers = true;
  l->setup->spoke = false;
  queue(l, true);
}

void ms__admission_leave(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  if (l->handshaking) unqueue(l);
  if (!l->counted) return;
  l->counted = false;
  ctx->inbound--;
  leave(l);
}
