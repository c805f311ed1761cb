/* Listening: each stack listens by its transport and reports its own result. */
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "endpoint/ctx.h"

/* ---- Who comes ---- */

static void *on_arrived(void *user, const struct ms__place *peer) {
  struct ms__stack *s = user;
  struct ms_ctx *ctx = s->ctx;
  struct ms__session *session = ms__session_new(s, true);
  ctx->accepted++;
  if (session) ms__place_ip(peer, &session->peer);
  if (session && ms__admission_enter(session)) return session;
  if (!session || !session->setup->evicted_for) ctx->failed++; /* no memory */
  if (session) ms__session_free(session);
  return NULL;
}

static void on_accepted(void *arrival, struct ms__wire *wire) {
  struct ms__session *session = arrival;
  const struct ms__stack *s = session->stack;
  struct ms_ctx *ctx = s->ctx;
  uint64_t deadline = uv_now(ctx->loop.uv) + ctx->accept_msec;
  if (!wire) {
    ctx->failed++;
    ms__session_free(session);
  } else if (ms__session_bring_up(session, wire, s->sections, deadline) < 0) {
    ctx->failed++;
  }
}

static void on_refused(void *user, const char *why) {
  struct ms__stack *s = user;
  s->ctx->accepted++;
  ms__admission_refuse(s->ctx, why);
}

/* ---- What is asked of the transport ---- */

/* The i-th stack of the context that is another one on the same transport. */
static bool other_at(const void *user, size_t i, struct ms__beside *out) {
  const struct ms__stack *s = user;
  const struct ms_ctx *ctx = s->ctx;
  for (size_t at = 0; at < ctx->stack_count; at++) {
    const struct ms__stack *other = ms__stack_at(ctx, at);
    if (!other || other == s || other->transport != s->transport || i-- > 0) continue;
    *out = (struct ms__beside){&other->sections[0], other->transport_opts, other->listening,
                               other->addr};
    return true;
  }
  return false;
}

void ms__stack_request(struct ms__stack *s, struct ms__listen_request *out) {
  static const struct ms__listen_events events = {
      .arrived = on_arrived, .accepted = on_accepted, .refused = on_refused};
  *out = (struct ms__listen_request){.section = &s->sections[0],
                                     .port = s->port,
                                     .opts = s->transport_opts,
                                     .others = {other_at, s},
                                     .events = &events,
                                     .user = s};
}

static int listen_at(struct ms__stack *s, const struct ms__places *places, ms_error *err) {
  struct ms__listen_request request;
  struct ms__place at;
  int r;
  ms__stack_request(s, &request);
  request.places = places;
  r = s->transport->listen(&s->ctx->loop, &request, &s->listening, err);
  if (r == 0 && s->transport->bound(s->listening, 0, &at)) s->port = ms__place_port(&at);
  return r;
}

static void stop_listening(struct ms__stack *s) {
  struct ms_ctx *ctx = s->ctx;
  if (!s->listening) return;
  s->transport->unlisten(s->listening);
  s->listening = NULL;
  if (!ctx->ready_told) ctx->listening_up--;
}

/* ---- Reporting ---- */

/* on_ready, once, when those have reported that were there at ms_listen. */
static void check_ready(struct ms_ctx *ctx) {
  if (ctx->listening_due || ctx->ready_told || !ms__listening(ctx) || ctx->suspended) return;
  ctx->ready_told = true;
  ms__addresses_known(ctx);
  if (ctx->events->on_ready) ctx->events->on_ready(ctx, ctx->listening_up, ctx->events_user);
}

static void log_report(const struct ms__stack *s, const char *address, const ms_error *err) {
  const struct ms_ctx *ctx = s->ctx;
  char port[sizeof ": port 65535"] = "";
  if (s->port) (void)snprintf(port, sizeof port, ": port %d", s->port);
  if (err)
    ms__loop_log(&ctx->loop, ctx->events->on_listen ? MS_LOG_INFO : MS_LOG_ERROR, "listen: %s: %s",
                 address, err->message);
  else
    ms__loop_log(&ctx->loop, MS_LOG_INFO, "listen: %s%s", address, port);
}

/* The stack may be gone when this returns. */
static void report(struct ms__stack *s, ms_error *err) {
  struct ms_ctx *ctx = s->ctx;
  char address[sizeof err->address];
  (void)ms__addr_format_safe(s->addr, 0, address, sizeof address);
  ms__error_address(err, address);
  s->due = false;
  log_report(s, address, err);
  if (!ctx->ready_told) {
    ctx->listening_due--;
    if (!err) ctx->listening_up++;
  }
  ms__addresses_changed(ctx);
  if (ctx->events->on_listen) ctx->events->on_listen(ctx, s->number, err, ctx->events_user);
  check_ready(ctx);
}

static void on_places(void *user, struct ms__places *places, bool more, const ms_error *cause) {
  struct ms__stack *s = user;
  const ms_allocator *a = &s->ctx->allocator;
  ms_error err = {0};
  int r;
  (void)more; /* a transport tells all of those that can be listened on at once */
  s->lookup = NULL;
  if (cause) {
    err = *cause;
    r = err.code;
  } else {
    r = listen_at(s, places, &err);
  }
  ms__places_free(a, places);
  report(s, r < 0 ? &err : NULL);
}

/* ---- Starting and stopping ---- */

bool ms__listening(const struct ms_ctx *ctx) {
  return ctx->events && !ctx->unlistened;
}

int ms__stack_start(struct ms__stack *s) {
  struct ms_ctx *ctx = s->ctx;
  if (!ms__stack_has_place(s) || ctx->suspended) return 0;
  s->lookup =
      s->transport->resolve(&ctx->loop, &s->sections[0], s->transport_opts, true, on_places, s);
  if (!s->lookup) return MS_ENOMEM;
  s->due = true;
  if (!ctx->ready_told) ctx->listening_due++;
  return 0;
}

static void on_starter(struct ms__soon *soon) {
  check_ready((void *)((char *)soon - offsetof(struct ms_ctx, starter)));
}

void ms__stack_stop(struct ms__stack *s) {
  struct ms_ctx *ctx = s->ctx;
  if (s->lookup) ms__resolve_cancel(s->lookup);
  s->lookup = NULL;
  if (s->due && !ctx->ready_told && --ctx->listening_due == 0 && ms__listening(ctx))
    ms__soon(&ctx->loop, &ctx->starter, on_starter); /* the others are all up */
  s->due = false;
  stop_listening(s);
  ms__addresses_changed(ctx);
}

int ms__stacks_start(struct ms_ctx *ctx) {
  size_t i = 0;
  int r = ms__addresses_watch(ctx);
  while (r == 0 && i < ctx->stack_count) {
    if (ms__stack_at(ctx, i)) r = ms__stack_start(ctx->stacks[i]);
    i++;
  }
  if (r < 0) ms__stacks_stop(ctx);
  if (r == 0) ms__soon(&ctx->loop, &ctx->starter, on_starter);
  return r;
}

void ms__stacks_stop(struct ms_ctx *ctx) {
  ms__addresses_unwatch(ctx);
  for (size_t i = 0; i < ctx->stack_count; i++)
    if (ms__stack_at(ctx, i)) ms__stack_stop(ctx->stacks[i]);
}

int ms_listen(ms_ctx *ctx, const ms_server_events *events, void *user, ms_error *err) {
  size_t places = 0;
  if (ctx->events || ctx->closing)
    return ms__error(err, MS_ESTATE, MS_PHASE_LISTEN, NULL, "listening has begun before");
  for (size_t i = 0; i < ctx->stack_count; i++)
    if (ms__stack_at(ctx, i) && ms__stack_has_place(ctx->stacks[i])) places++;
  if (places == 0)
    return ms__error(err, MS_EINVAL, MS_PHASE_LISTEN, NULL, "no stack names a place to listen on");
  ctx->events = events;
  ctx->events_user = user;
  if (ms__stacks_start(ctx) == 0) return 0;
  ctx->events = NULL;
  return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, NULL, NULL);
}

void ms_unlisten(ms_ctx *ctx) {
  ctx->unlistened = true;
  ms__stacks_stop(ctx);
  ms__admission_close(ctx);
  ms__inherited_close(&ctx->inherited);
}
