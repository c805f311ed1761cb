/* The door: who comes in at all, and who has to make room. */
#include "api/ctx.h"

enum { TELL_MSEC = 1000 };

/* ---- Being told ---- */

static void turn_away(struct ms_ctx *ctx, uint64_t *count, const char *why) {
  struct ms__damper *d = &ctx->damper;
  uint64_t now = uv_now(ctx->loop.uv);
  (*count)++;
  d->untold++;
  if (d->told_at && now < d->told_at + TELL_MSEC) return;
  ms__loop_log(&ctx->loop, MS_LOG_WARN, "turned away: %llu peers, the last for %s",
               (unsigned long long)d->untold, why);
  d->told_at = now ? now : 1;
  d->untold = 0;
}

/* ---- Those in their handshakes, by age ---- */

static void no_longer_knocks(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  const struct ms__raising *r = l->raising;
  if (!l->knocks) return;
  l->knocks = false;
  ctx->knocking--;
  if (r->older)
    r->older->raising->newer = r->newer;
  else
    ctx->knocked_first = r->newer;
  if (r->newer)
    r->newer->raising->older = r->older;
  else
    ctx->knocked_last = r->older;
}

/* The oldest has had the longest time: an honest peer needs a fraction of a second. */
static bool give_way(struct ms_ctx *ctx) {
  struct ms__link *l = ctx->knocked_first;
  if (!l) return false;
  l->gave_way = true;
  turn_away(ctx, &ctx->gave_way, "handshakes that give way to new ones");
  ms__door_leave(l);
  ms__conn_put_out(l->conn);
  return true;
}

/* ---- Coming and going ---- */

static bool is_full(size_t n, uint32_t most) {
  return most != UINT32_MAX && n >= most;
}

/* Does its address have room for one more? What stands in front is nobody: who is behind it counts,
 * once that is known. */
static bool has_leave(struct ms__link *l) {
  const struct ms__stack *s = l->stack;
  struct ms_ctx *ctx = s->ctx;
  if (ms__cidr_has(s->trusted, s->trusted_count, &l->peer)) return true;
  switch (ms__limits_enter(&ctx->limits, &l->peer, uv_now(ctx->loop.uv), &l->guest)) {
    case MS__ADMITTED:
      return true;
    case MS__TOO_MANY:
      turn_away(ctx, &ctx->over_address, "too many connections of one address");
      return false;
    case MS__TOO_FAST:
      turn_away(ctx, &ctx->over_rate, "too many connections of one address in a second");
      return false;
    case MS__NO_MEMORY:
      break;
  }
  return false;
}

static void knock(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  l->knocks = true;
  ctx->knocking++;
  l->raising->older = ctx->knocked_last;
  if (ctx->knocked_last)
    ctx->knocked_last->raising->newer = l;
  else
    ctx->knocked_first = l;
  ctx->knocked_last = l;
}

bool ms__door_enter(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  const ms_limits *max = &ctx->limits.max;
  bool full = is_full(ctx->inbound, max->connections) || is_full(ctx->knocking, max->handshakes);
  if (!has_leave(l)) return false;
  if (full && !give_way(ctx)) {
    turn_away(ctx, &ctx->over_connections, "too many connections");
    ms__limits_leave(&ctx->limits, l->guest);
    l->guest = NULL;
    return false;
  }
  l->inside = true;
  ctx->inbound++;
  knock(l);
  return true;
}

bool ms__door_name(struct ms__link *l) {
  return !l->inside || l->guest || has_leave(l);
}

void ms__door_opened(struct ms__link *l) {
  no_longer_knocks(l);
}

void ms__door_leave(struct ms__link *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  no_longer_knocks(l);
  if (!l->inside) return;
  l->inside = false;
  ctx->inbound--;
  ms__limits_leave(&ctx->limits, l->guest);
  l->guest = NULL;
}
