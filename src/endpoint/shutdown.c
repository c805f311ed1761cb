/* How a context shuts down: for good, or until it is resumed. */
#include "base/error.h"
#include "endpoint/ctx.h"

static void cut_all(struct ms_ctx *ctx) {
  for (struct ms__session *l = ctx->sessions; l; l = l->next)
    if (l->conn) ms__conn_evict(l->conn);
  /* those that linger without an owner are cut as well */
  for (struct ms__session *l = ctx->sessions; l; l = l->next)
    if (l->conn) ms__conn_kill_lingering(l->conn);
}

/* What is one piece, as a page is, is finished, if there is time. */
static void part(struct ms_ctx *ctx) {
  for (struct ms__session *l = ctx->sessions; l; l = l->next) {
    if (!l->conn || l->attempt || l->conn->reset_on_shutdown) continue;
    if (l->answered) {
      if (!l->events) ms__conn_dismiss(l->conn);
      continue;
    }
    if (l->open)
      ms_conn_close(l->conn);
    else
      ms__conn_evict(l->conn);
  }
  ms__dial_abort_all(ctx);
}

/* What was asked and has not been answered may outlast a suspension, as may a look-up of the
 * system's; neither touches the network. */
static bool is_suspended(const struct ms_ctx *ctx) {
  return ctx->suspending && !ctx->loop.wires && !ctx->dialers;
}

static bool is_closed(const struct ms_ctx *ctx) {
  return ctx->closing && !ctx->done_told && !ctx->loop.pending && !ctx->sessions && !ctx->dialers;
}

static void on_done(uv_timer_t *timer) {
  struct ms_ctx *ctx = timer->data;
  if (is_suspended(ctx)) {
    ctx->suspending = false;
    if (ctx->suspended_cb) ctx->suspended_cb(ctx, ctx->suspended_user);
  }
  if (!is_closed(ctx)) return;
  ctx->done_told = true;
  if (ctx->done) ctx->done(ctx, ctx->done_user);
}

static void on_drained(uv_timer_t *timer) {
  cut_all(timer->data);
}

void ms__ctx_check_done(struct ms_ctx *ctx) {
  if (is_suspended(ctx) || is_closed(ctx)) (void)uv_timer_start(&ctx->timer, on_done, 0, 0);
}

static void wait_until_done(struct ms_ctx *ctx, uint32_t drain_msec) {
  (void)ms__ctx_now(ctx);
  (void)uv_timer_start(&ctx->timer, on_drained, drain_msec, 0);
  ms__ctx_check_done(ctx);
}

void ms_ctx_close(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user),
                  void *user) {
  if (!ctx->closing) {
    ctx->closing = true;
    ctx->done = done;
    ctx->done_user = user;
    ms_unlisten(ctx);
    part(ctx);
    for (struct ms__session *l = ctx->sessions; l; l = l->next)
      if (l->conn) ms__conn_forget_question(l->conn);
    ms__resolve_forget(&ctx->loop);
  }
  wait_until_done(ctx, drain_msec);
}

int ms_suspend(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user),
               void *user) {
  if (ctx->closing || (ctx->suspended && !ctx->suspending)) return MS_ESTATE;
  if (!ctx->suspended) {
    ctx->suspended = ctx->suspending = true;
    ctx->suspended_cb = done;
    ctx->suspended_user = user;
    ms__stacks_stop(ctx);
    part(ctx);
  }
  wait_until_done(ctx, drain_msec);
  return 0;
}

int ms_resume(ms_ctx *ctx, ms_error *err) {
  if (!ctx->suspended || ctx->suspending || ctx->closing)
    return ms__error(err, MS_ESTATE, MS_PHASE_LISTEN, NULL,
                     ctx->closing ? "the context is closing" : "it is not suspended, or not yet");
  ctx->suspended = false;
  if (!ms__listening(ctx) || ms__stacks_start(ctx) == 0) return 0;
  ctx->suspended = true;
  return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, NULL, NULL);
}
