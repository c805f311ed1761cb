/* A context with a loop of its own, for applications that have none of libuv's. */
#include <errno.h>
#include <poll.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "endpoint/ctx.h"

enum { ROUNDS = 64 }; /* of one run: then the application has its turn */

int ms__own_loop_new(const ms_allocator *a, uv_loop_t **out, ms_error *err) {
  int r = -ms__file_room();
  *out = NULL;
  if (r < 0) return ms__error_sys(err, MS_ESYSTEM, -r, MS_PHASE_NONE, NULL, "no event loop");
  *out = ms__calloc(a, sizeof **out);
  if (!*out) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  r = uv_loop_init(*out);
  if (r == 0) return 0;
  ms__free(a, *out);
  *out = NULL;
  return ms__error_sys(err, MS_ESYSTEM, -r, MS_PHASE_NONE, NULL, "no event loop");
}

void ms__own_loop_free(const ms_allocator *a, uv_loop_t *loop) {
  if (!loop) return;
  (void)uv_loop_close(loop);
  ms__free(a, loop);
}

uint64_t ms__ctx_now(struct ms_ctx *ctx) {
  uv_update_time(ctx->loop.uv);
  return uv_now(ctx->loop.uv);
}

int ms_ctx_fd(const ms_ctx *ctx) {
  return ctx->own ? uv_backend_fd(ctx->own) : MS_EINVAL;
}

/* libuv tells its epoll what to watch only when it polls: until then the descriptor says nothing of
 * what was asked for since. */
static bool is_unsettled(const struct ms_ctx *ctx) {
  return ctx->loop.armed != ctx->armed_seen;
}

int ms_ctx_timeout(const ms_ctx *ctx) {
  if (!ctx->own) return MS_EINVAL;
  if (is_unsettled(ctx)) return 0;
  uv_update_time(ctx->own);
  return uv_backend_timeout(ctx->own);
}

static void wait_for_events(const struct ms_ctx *ctx, int wait_msec) {
  struct pollfd p = {.fd = uv_backend_fd(ctx->own), .events = POLLIN};
  int timeout = ms_ctx_timeout(ctx);
  if (timeout < 0 || (wait_msec >= 0 && wait_msec < timeout)) timeout = wait_msec;
  if (timeout != 0) (void)poll(&p, 1, timeout); /* a signal ends the wait, which does no harm */
}

int ms_ctx_run(ms_ctx *ctx, int wait_msec) {
  if (!ctx->own) return MS_EINVAL;
  if (ctx->running) return MS_ESTATE;
  if (ctx->done_told) return 0;
  wait_for_events(ctx, wait_msec);
  ctx->running = true;
  for (int i = 0; i < ROUNDS && !ctx->done_told; i++) {
    ctx->armed_seen = ctx->loop.armed;
    (void)uv_run(ctx->own, UV_RUN_NOWAIT);
    if (!is_unsettled(ctx) && uv_backend_timeout(ctx->own) != 0) break;
  }
  ctx->running = false;
  if (!ctx->done_told) return 1;
  if (ctx->freed) ms_ctx_free(ctx);
  return 0;
}
