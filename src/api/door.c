/* The door: who comes in at all, and who has to make room. */
#include <stdio.h>

#include "api/ctx.h"

enum { TELL_MSEC = 1000, PROBES_MSEC = 600000 };

/* Without descriptors, a handshake that has given us nothing to answer gives way after so long, and
 * only where there is none, one that did: a peer at the other end of the world takes four round
 * trips. So many at a time. */
enum { SILENT_MSEC = 50, ENOUGH_MSEC = 1000, ROOM = 16 };

/* ---- Being told ---- */

static void tell(struct ms_ctx *ctx) {
  struct ms__damper *d = &ctx->damper;
  uint64_t now = uv_now(ctx->loop.uv);
  ms__loop_log(&ctx->loop, MS_LOG_WARN, "turned away: %llu peer%s, %s%s",
               (unsigned long long)d->untold, ms__text_plural(d->untold),
               d->untold == 1 ? "for " : "the last for ", d->why);
  d->told_at = now ? now : 1;
  d->untold = 0;
}

static void count(struct ms_ctx *ctx, uint64_t *counter, const char *why) {
  struct ms__damper *d = &ctx->damper;
  (*counter)++;
  d->untold++;
  d->why = why;
  if (!d->told_at || uv_now(ctx->loop.uv) >= d->told_at + TELL_MSEC) tell(ctx);
}

/* Whoever watches a port does it every few seconds. */
void ms__door_probed(struct ms__link *l, const char *address) {
  struct ms_ctx *ctx = l->stack->ctx;
  struct ms__damper *d = &ctx->probes;
  uint64_t now = uv_now(ctx->loop.uv);
  char others[64] = "";
  ctx->probed++;
  if (d->told_at && now < d->told_at + PROBES_MSEC) {
    d->untold++;
    return;
  }
  if (d->untold)
    (void)snprintf(others, sizeof others, ", as did %llu other%s since the last such line",
                   (unsigned long long)d->untold, ms__text_plural(d->untold));
  ms__loop_log(&ctx->loop, MS_LOG_WARN, "probe: %s: it connected and left without a byte%s",
               address, others);
  d->told_at = now ? now : 1;
  d->untold = 0;
}

void ms__door_close(struct ms_ctx *ctx) {
  if (ctx->damper.untold) tell(ctx);
}

void ms__door_refuse(struct ms_ctx *ctx, const char *why) {
  count(ctx, &ctx->refused, why);
}

static void turn_away(struct ms__link *l, uint64_t *counter, const char *why) {
  l->raising->put_out = why;
  count(l->stack->ctx, counter, why);
}

/* ---- Those in their handshakes, by age ---- */

static struct ms__knocks *queue_of(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  return l->raising->spoke ? &ctx->speaking : &ctx->silent;
}

static void no_longer_knocks(struct ms__link *l) {
  struct ms__knocks *q = queue_of(l);
  const struct ms__raising *r = l->raising;
  l->knocks = false;
  l->stack->ctx->knocking--;
  *(r->older ? &r->older->raising->newer : &q->first) = r->newer;
  *(r->newer ? &r->newer->raising->older : &q->last) = r->older;
}

/* As the youngest, or before all others. */
static void knock(struct ms__link *l, bool before_all) {
  struct ms__knocks *q = queue_of(l);
  struct ms__raising *r = l->raising;
  l->knocks = true;
  l->stack->ctx->knocking++;
  r->newer = before_all ? q->first : NULL;
  r->older = before_all ? NULL : q->last;
  *(r->older ? &r->older->raising->newer : &q->first) = l;
  *(r->newer ? &r->newer->raising->older : &q->last) = l;
}

static void let_go(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  ms__door_leave(l);
  if (l->lingers) {
    ms__conn_cut_short(l->conn);
  } else if (l->answered) { /* its browser opens another */
    ms__conn_dismiss(l->conn);
  } else {
    count(ctx, &ctx->gave_way, "handshakes that give way to new ones");
    ms__link_put_out(l, MS__GAVE_WAY);
  }
}

static uint64_t age(const struct ms__link *l) {
  return uv_now(l->stack->ctx->loop.uv) - l->raising->knocked_at;
}

static bool has_had(const struct ms__link *l, unsigned msec) {
  return age(l) >= msec;
}

/* It has given us something to answer since it knocked. */
static bool has_spoken(const struct ms__link *l) {
  ms_conn_stats n;
  if (l->lingers || l->answered) return false;
  ms__conn_stat(l->conn, uv_now(l->stack->ctx->loop.uv), &n);
  return n.wire_out > 0 || l->conn->owed;
}

/* The first of the silent, where those are that only linger and then the oldest. Who has spoken
 * meanwhile is met here once, and stands among the others from then on. */
static struct ms__link *first_silent(struct ms_ctx *ctx) {
  struct ms__link *l;
  while ((l = ctx->silent.first) && has_spoken(l)) {
    no_longer_knocks(l);
    l->raising->spoke = true;
    knock(l, false);
  }
  return l;
}

static bool had_its_time(const struct ms__link *l) {
  return l->lingers || has_had(l, SILENT_MSEC);
}

/* Whoever knocks at a full door goes before one of those that are in it can be turned away. The
 * silent go first; when they are all young, whoever has used up more of its time. */
static bool give_way(struct ms_ctx *ctx) {
  struct ms__link *l = first_silent(ctx), *spoke = ctx->speaking.first;
  bool is_young = l && !had_its_time(l);
  if (spoke && (!l || (is_young && age(l) * ENOUGH_MSEC < age(spoke) * SILENT_MSEC))) l = spoke;
  if (l) let_go(l);
  return l != NULL;
}

bool ms__door_make_room(struct ms_ctx *ctx) {
  struct ms__link *l;
  int made = 0;
  for (; made < ROOM && (l = first_silent(ctx)) && had_its_time(l); made++)
    let_go(l);
  if (made) return true;
  for (; made < ROOM && (l = ctx->speaking.first) && has_had(l, ENOUGH_MSEC); made++)
    let_go(l);
  return made > 0;
}

/* ---- Coming and going ---- */

static bool is_full(size_t n, uint32_t most) {
  return most != UINT32_MAX && n >= most;
}

/* Counts it under its address, where that has room. What stands in front is nobody: who is behind
 * it counts, once that is known. */
static enum ms__verdict enter(struct ms__link *l, enum ms__use use) {
  const struct ms__stack *s = l->stack;
  struct ms_ctx *ctx = s->ctx;
  if (ms__fronts_say(s->fronts, s->fronts_count, &l->peer)) return MS__ADMITTED;
  l->use = use;
  return ms__limits_enter(&ctx->limits, &l->peer, uv_now(ctx->loop.uv), use, &l->guest);
}

static void leave(struct ms__link *l) {
  ms__limits_leave(&l->stack->ctx->limits, l->guest, l->use);
  l->guest = NULL;
}

/* False: it is turned away, if it is not for want of memory. */
static bool is_admitted(struct ms__link *l, enum ms__verdict verdict) {
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
static bool has_leave(struct ms__link *l) {
  enum ms__verdict verdict = enter(l, MS__SESSION);
  if ((verdict == MS__TOO_MANY || verdict == MS__TOO_FAST) && has_pages(l->stack) &&
      enter(l, MS__PAGE) == MS__ADMITTED) {
    l->paid = true;
    return true;
  }
  return is_admitted(l, verdict);
}

bool ms__door_enter(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  const ms_limits *max = &ctx->limits.max;
  bool full = is_full(ctx->inbound, max->connections) || is_full(ctx->knocking, max->handshakes);
  if (!has_leave(l)) return false;
  if (full && !give_way(ctx)) {
    turn_away(l, &ctx->over_connections, "too many connections");
    leave(l);
    return false;
  }
  l->inside = true;
  ctx->inbound++;
  l->raising->knocked_at = uv_now(ctx->loop.uv);
  knock(l, false);
  return true;
}

bool ms__door_name(struct ms__link *l) {
  return !l->inside || l->guest || has_leave(l);
}

bool ms__door_session(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  enum ms__verdict verdict = MS__ADMITTED;
  if (!l->inside) return true;
  if (!l->guest) return !l->raising->fronted || is_admitted(l, enter(l, MS__SESSION));
  if (l->use == MS__PAGE)
    verdict = ms__limits_turn(&ctx->limits, l->guest, uv_now(ctx->loop.uv), MS__PAGE);
  if (verdict == MS__ADMITTED) l->use = MS__SESSION;
  return is_admitted(l, verdict);
}

enum ms__verdict ms__door_asks(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  uint64_t now = uv_now(ctx->loop.uv);
  enum ms__verdict verdict = MS__ADMITTED;
  if (!l->inside) return verdict;
  if (!l->guest) {
    if (l->raising->fronted) verdict = enter(l, MS__PAGE);
  } else if (l->use == MS__SESSION) {
    verdict = ms__limits_turn(&ctx->limits, l->guest, now, MS__SESSION);
    if (verdict == MS__ADMITTED) l->use = MS__PAGE;
  } else if (!l->paid && !ms__limits_ask(&ctx->limits, l->guest, now)) {
    verdict = MS__TOO_FAST;
  }
  l->paid = false;
  if (verdict == MS__TOO_MANY)
    count(ctx, &ctx->over_pages, "too many of one address that ask for pages");
  if (verdict == MS__TOO_FAST)
    count(ctx, &ctx->over_pages, "too many pages of one address in a second");
  return verdict;
}

void ms__door_rests(struct ms__link *l) {
  if (!l->inside) return;
  if (l->raising->fronted) leave(l);
  l->raising->knocked_at = uv_now(l->stack->ctx->loop.uv);
  l->raising->spoke = false;
  knock(l, false);
}

void ms__door_opened(struct ms__link *l) {
  if (l->knocks) no_longer_knocks(l);
}

void ms__door_failed(struct ms__link *l) {
  if (!l->knocks) return;
  no_longer_knocks(l);
  l->lingers = true;
  l->raising->spoke = false;
  knock(l, true);
}

void ms__door_leave(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  if (l->knocks) no_longer_knocks(l);
  if (!l->inside) return;
  l->inside = false;
  ctx->inbound--;
  leave(l);
}
