/* Contexts: making, freeing, counting. */
#include "endpoint/ctx.h"

#include <sodium.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "loop/lookups.h"

enum { ACCEPT_MSEC = 5000, DIAL_MSEC = 15000, DRAIN_MSEC = 5000 };

const char *ms_version(void) {
  return MS_VERSION;
}

unsigned ms_version_number(void) {
  return MS_VERSION_NUMBER;
}

/* ---- The context ---- */

static bool on_pause(struct ms__loop *loop) {
  return ms__admission_make_room((struct ms_ctx *)loop);
}

static void on_released(struct ms__loop *loop) {
  ms__ctx_check_done((struct ms_ctx *)loop);
}

static void free_ctx(struct ms_ctx *ctx) {
  ms_allocator a = ctx->allocator;
  ms__free(&a, ctx->inherited.at);
  ms__own_loop_free(&a, ctx->own);
  ms__free(&a, ctx);
}

static void on_loop_closed(struct ms__loop *loop) {
  struct ms_ctx *ctx = (struct ms_ctx *)loop;
  ctx->loop_closed = true;
  if (!ctx->own) free_ctx(ctx);
}

static void on_timer_closed(uv_handle_t *handle) {
  struct ms_ctx *ctx = handle->data;
  ms__loop_close(&ctx->loop);
}

/* The waker first, then the timer. */
static void on_wake_closed(uv_handle_t *handle) {
  struct ms_ctx *ctx = handle->data;
  uv_close((uv_handle_t *)&ctx->timer, on_timer_closed);
}

static void on_wake(uv_async_t *async) {
  struct ms_ctx *ctx = async->data;
  if (ctx->on_wake) ctx->on_wake(ctx, ctx->user);
}

/* A borrowed loop that has nothing else to do ends all the same; one of our own waits for it. 0, or
 * MS_ESYSTEM with *err. */
static int open_wake(struct ms_ctx *ctx, uv_loop_t *uv, ms_error *err) {
  int r = uv_async_init(uv, &ctx->wake, on_wake);
  if (r < 0) return ms__error_sys(err, MS_ESYSTEM, -r, MS_PHASE_NONE, NULL, "no event loop");
  ctx->wake.data = ctx;
  if (!ctx->own) uv_unref((uv_handle_t *)&ctx->wake);
  return 0;
}

static uint32_t or_default(uint32_t msec, uint32_t otherwise) {
  return msec ? msec : otherwise;
}

int ms_ctx_new(ms_ctx **out, const ms_ctx_opts *given, ms_error *err) {
  const ms_ctx_opts *opts;
  ms_ctx_opts known;
  const ms_allocator *a;
  struct ms_ctx *ctx;
  uv_loop_t *uv;
  int r;
  *out = NULL;
  if ((r = ms__opts_read(&known, sizeof known, given, err)) < 0) return r;
  opts = &known;
  if (sodium_init() < 0)
    return ms__error(err, MS_ESYSTEM, MS_PHASE_NONE, NULL, "libsodium cannot start");
  a = opts->allocator ? opts->allocator : &ms__default_allocator;
  ctx = ms__calloc(a, sizeof *ctx);
  if (!ctx) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  ctx->allocator = *a;
  ctx->on_authorise = opts->on_authorise;
  ctx->on_wake = opts->on_wake;
  ctx->user = opts->user;
  ctx->accept_msec = or_default(opts->accept_timeout_msec, ACCEPT_MSEC);
  ctx->dial_msec = or_default(opts->dial_timeout_msec, DIAL_MSEC);
  if (opts->inherited_count) {
    ctx->inherited.at = ms__malloc(a, opts->inherited_count * sizeof *ctx->inherited.at);
    if (!ctx->inherited.at) {
      ms__free(a, ctx);
      return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
    }
    ctx->inherited.count = opts->inherited_count;
    for (size_t i = 0; i < ctx->inherited.count; i++)
      ctx->inherited.at[i] = (struct ms__inherited){.fd = opts->inherited[i]};
  }
  r = ms__keys_keep(&ctx->keys, opts->identity, opts->network_key, err);
  if (r == 0 && !opts->loop) r = ms__own_loop_new(a, &ctx->own, err);
  uv = opts->loop ? opts->loop : ctx->own;
  if (r == 0) r = open_wake(ctx, uv, err);
  if (r < 0) {
    ms__keys_drop(&ctx->keys);
    ms__own_loop_free(a, ctx->own);
    ms__free(a, ctx->inherited.at);
    ms__free(a, ctx);
    return r;
  }
  /* none of libuv's init functions for these handles can fail */
  ms__limits_init(&ctx->limits, &ctx->allocator, &opts->limits);
  (void)ms__loop_init(&ctx->loop, uv, &ctx->allocator, ms__limits_block(&ctx->limits));
  ctx->loop.env.pool.limit = ctx->limits.max.buffered;
  ctx->loop.env.idle_msec = ctx->limits.max.idle_msec == UINT32_MAX ? 0 : ctx->limits.max.idle_msec;
  ctx->loop.on_resolve = opts->on_resolve;
  ctx->loop.on_log = opts->on_log;
  ctx->loop.log_level = opts->log_level ? opts->log_level : MS_LOG_WARN;
  ctx->loop.user = opts->user;
  ctx->loop.env.drain_msec = or_default(opts->drain_timeout_msec, DRAIN_MSEC);
  ctx->loop.env.again_msec = ctx->accept_msec;
  ctx->loop.env.rest_msec = ctx->accept_msec < UINT32_MAX / 2 ? 2 * ctx->accept_msec : UINT32_MAX;
  ctx->loop.on_released = on_released;
  ctx->loop.on_closed = on_loop_closed;
  ctx->loop.on_pause = on_pause;
  (void)uv_timer_init(uv, &ctx->timer);
  ctx->timer.data = ctx;
  ctx->loop.armed++; /* the waker */
  *out = ctx;
  return 0;
}

void ms_ctx_wake(ms_ctx *ctx) {
  (void)uv_async_send(&ctx->wake);
}

bool ms_ctx_inherited_left(const ms_ctx *ctx, int fd) {
  for (size_t i = 0; fd >= 0 && i < ctx->inherited.count; i++)
    if (ctx->inherited.at[i].fd == fd && !ctx->inherited.at[i].ours) return true;
  return false;
}

void ms_ctx_free(ms_ctx *ctx) {
  if (!ctx) return;
  if (ctx->running) { /* its own loop cannot be taken apart from inside */
    ctx->freed = true;
    return;
  }
  ms__stacks_free(ctx);
  ms__inherited_close(&ctx->inherited);
  ms__soon_cancel(&ctx->loop, &ctx->starter);
  ms__limits_done(&ctx->limits);
  ms__keys_drop(&ctx->keys);
  ms__lookups_close(&ctx->loop);
  ms__endpoints_close(&ctx->loop);
  uv_close((uv_handle_t *)&ctx->wake, on_wake_closed);
  if (!ctx->own) return;
  while (!ctx->loop_closed)
    (void)uv_run(ctx->own, UV_RUN_NOWAIT);
  free_ctx(ctx);
}

void ms_ctx_stat(const ms_ctx *ctx, ms_ctx_stats *out) {
  const struct ms__env *env = &ctx->loop.env;
  *out = (ms_ctx_stats){.open = ctx->open,
                        .pending = ctx->pending,
                        .dials = ctx->dials,
                        .buffered = env->pool.out_bytes,
                        .buffer_peak = env->pool.peak_bytes,
                        .accepted = ctx->accepted,
                        .entered = ctx->entered,
                        .answered = ctx->answered,
                        .requests = ctx->requests,
                        .probed = ctx->probed,
                        .refused = ctx->refused,
                        .failed = ctx->failed,
                        .over_connections = ctx->over_connections,
                        .over_address = ctx->over_address,
                        .over_rate = ctx->over_rate,
                        .over_pages = ctx->over_pages,
                        .over_buffers = env->starved,
                        .handshakes_evicted = ctx->handshakes_evicted,
                        .idled = env->idled,
                        .pauses = ctx->loop.pauses,
                        .dialled = ctx->dialled,
                        .dial_failed = ctx->dial_failed,
                        .in = env->counts.in,
                        .out = env->counts.out,
                        .wire_in = env->counts.wire_in,
                        .wire_out = env->counts.wire_out};
}
