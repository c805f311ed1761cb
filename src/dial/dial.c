/* A dial: from ms_dial to its one callback. */
#include "dial/dial.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"

enum { STAGGER_MSEC = 250 }; /* RFC 8305, section 5 */

/* ---- The end ---- */

static void on_closed(uv_handle_t *handle) {
  struct ms_dialer *d = handle->data;
  struct ms_ctx *ctx = d->ctx;
  if (--d->handles > 0) return;
  ms__free(&ctx->allocator, d);
  ms__loop_release(&ctx->loop);
}

static void drop_attempts(struct ms_dialer *d) {
  for (struct ms__attempt *a = d->first; a; a = a->next)
    ms__attempt_drop(a);
  for (size_t i = 0; i < d->count; i++) {
    if (d->targets[i].lookup) ms__resolve_cancel(d->targets[i].lookup);
    d->targets[i].lookup = NULL;
  }
}

static void free_parts(struct ms_dialer *d) {
  const ms_allocator *allocator = &d->ctx->allocator;
  while (d->first) {
    struct ms__attempt *a = d->first;
    d->first = a->next;
    ms__free(allocator, a);
  }
  for (size_t i = 0; i < d->count; i++) {
    ms__places_free(allocator, &d->targets[i].places);
    ms__free(allocator, d->targets[i].opts);
    ms__stack_release(d->targets[i].stack);
  }
  ms__free(allocator, d->targets);
  ms_addr_free(d->addr);
  ms_identity_free(d->identity);
  d->targets = NULL;
  d->addr = NULL;
  d->identity = NULL;
}

void ms__dial_finish(struct ms_dialer *d, ms_conn *conn, const ms_error *err) {
  struct ms_ctx *ctx = d->ctx;
  d->over = true;
  ctx->dials--;
  if (conn)
    ctx->dialled++;
  else
    ctx->dial_failed++;
  drop_attempts(d);
  for (struct ms__attempt *a = d->first; a; a = a->next)
    if (ms__attempt_runs(a)) ms__attempt_dropped(a);
  if (d->prev)
    d->prev->next = d->next;
  else
    ctx->dialers = d->next;
  if (d->next) d->next->prev = d->prev;
  d->on_dialled(conn, err, d->user);
  free_parts(d);
  uv_close((uv_handle_t *)&d->step, on_closed);
  uv_close((uv_handle_t *)&d->timeout, on_closed);
  ms__ctx_check_done(ctx);
}

static void on_timeout(uv_timer_t *timer) {
  ms__race_timeout(timer->data);
}

void ms__dial_error(const struct ms_dialer *d, int code, enum ms_phase phase, ms_error *err) {
  char address[sizeof err->address];
  ms__error(err, code, phase, NULL, NULL);
  (void)ms__addr_format_safe(d->addr, SIZE_MAX, address, sizeof address);
  ms__error_address(err, address);
}

static void on_abort(uv_timer_t *timer) {
  struct ms_dialer *d = timer->data;
  ms_error err;
  ms__dial_error(d, MS_EABORTED, MS_PHASE_NONE, &err);
  ms__dial_finish(d, NULL, &err);
}

/* ---- The public face ---- */

static const char *reason_of(const ms_addr *addr) {
  for (size_t i = 0; i < ms_addr_count(addr); i++)
    if (ms_addr_at(addr, i)->error.code) return ms_addr_at(addr, i)->error.message;
  return NULL;
}

/* The first stack that understands an alternative. */
static struct ms__stack *stack_of(const struct ms_ctx *ctx, const ms_alternative *alternative) {
  for (size_t i = 0; i < ctx->stack_count; i++) {
    struct ms__stack *s = ms__stack_at(ctx, i);
    if (s && ms_addr_match(alternative, s->name)) return s;
  }
  return NULL;
}

static const uint8_t *key_of(const ms_alternative *alternative) {
  for (size_t i = 0; i < alternative->count; i++)
    if (alternative->sections[i].has_key) return alternative->sections[i].key;
  return NULL;
}

/* What the peer has to prove on a stack of these sections. */
static enum ms_security security_of(const struct ms__stack *s, const ms_alternative *alternative) {
  if (s->authenticated) return MS_SECURITY_KEY;
  for (size_t i = 0; i < alternative->count && !s->tls.insecure; i++)
    if (alternative->sections[i].secure || alternative->sections[i].kind == MS_SECTION_TLS)
      return MS_SECURITY_SERVER;
  return MS_SECURITY_NONE;
}

static size_t rank_of(const ms_alternative *alternative, const ms_dial_opts *opts) {
  size_t i = 0;
  while (i < opts->prefer_count && !ms_addr_match(alternative, opts->prefer[i]))
    i++;
  return i;
}

/* Those of one rank stay in the address's order. */
static void add_target(struct ms_dialer *d, const struct ms__target *t, const ms_dial_opts *opts) {
  size_t at = d->count++, rank = rank_of(t->alternative, opts);
  for (; at && rank_of(d->targets[at - 1].alternative, opts) > rank; at--)
    d->targets[at] = d->targets[at - 1];
  d->targets[at] = *t;
  ms__stack_hold(t->stack);
}

static void write_names(const ms_alternative *a, char *buf, size_t size) {
  struct ms__text t;
  ms__text_init(&t, buf, size);
  for (size_t i = 0; i < a->count; i++) {
    if (i) ms__text_char(&t, '~');
    ms__text_string(&t, a->sections[i].name);
  }
}

/* The first protocol of it that nobody knows is what is wrong with it; else the first that is out
 * of place, and then it is the layer of the error; or all are known, and no stack is of these. */
static int no_stack(const ms_alternative *a, ms_error *err) {
  char names[128];
  ms_error why;
  for (size_t i = 0; i < a->count; i++)
    if (!ms__section_impl(&a->sections[i]))
      return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, NULL,
                       "no stack understands it: there is no protocol \"%.32s\" here",
                       a->sections[i].name);
  if (ms__sections_check(a->sections, a->count, &why) < 0)
    return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, why.layer, "no stack understands it: %s",
                     why.message);
  write_names(a, names, sizeof names);
  return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, a->sections[0].name,
                   "no stack understands it: none is %s", names);
}

/* The stack to try an alternative by; NULL: none, and *err says why. */
static struct ms__stack *target_of(const struct ms_dialer *d, const ms_alternative *a,
                                   ms_error *err) {
  struct ms__stack *s = stack_of(d->ctx, a);
  if (s && security_of(s, a) >= d->security) return s;
  if (s)
    ms__error(err, MS_EINSECURE, MS_PHASE_MATCH, NULL,
              "it does not prove who the peer is as well as was asked");
  else if (a->error.code)
    *err = a->error;
  else
    no_stack(a, err);
  return NULL;
}

static int find_targets(struct ms_dialer *d, const ms_dial_opts *opts, ms_error *err) {
  size_t n = ms_addr_count(d->addr);
  bool insecure = false;
  d->targets = ms__calloc(&d->ctx->allocator, n * sizeof *d->targets);
  if (!d->targets) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  for (size_t i = 0; i < n; i++) {
    const ms_alternative *a = ms_addr_at(d->addr, i);
    ms_error why;
    struct ms__target t = {.dialer = d,
                           .alternative = a,
                           .stack = target_of(d, a, &why),
                           .index = i,
                           .key = key_of(a)};
    if (t.stack)
      add_target(d, &t, opts);
    else if (why.code == MS_EINSECURE)
      insecure = true;
  }
  if (d->count) return 0;
  if (insecure)
    return ms__error(err, MS_EINSECURE, MS_PHASE_MATCH, NULL,
                     "no alternative proves who the peer is as well as was asked");
  if (reason_of(d->addr))
    return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, NULL, "no stack understands it (%s)",
                     reason_of(d->addr));
  return no_stack(ms_addr_at(d->addr, 0), err);
}

bool ms__dial_pass_over(struct ms_dialer *d) {
  size_t n = ms_addr_count(d->addr);
  d->passed_over = true;
  for (size_t i = 0; d->on_attempt && i < n && !d->aborted; i++) {
    ms_attempt a = {.alternative = i, .step = MS_STEP_PASSED_OVER, .place = "", .layer = ""};
    ms_error why;
    if (target_of(d, ms_addr_at(d->addr, i), &why)) continue;
    (void)ms__addr_format_safe(d->addr, i, d->shown, sizeof d->shown);
    a.address = d->shown;
    a.error = &why;
    d->on_attempt(&a, d->user);
  }
  return !d->aborted;
}

static void start(struct ms_dialer *d, uint32_t timeout_msec) {
  struct ms_ctx *ctx = d->ctx;
  uv_loop_t *uv = ctx->loop.uv;
  (void)uv_timer_init(uv, &d->step);
  (void)uv_timer_init(uv, &d->timeout);
  d->step.data = d->timeout.data = d;
  d->handles = 2;
  ms__loop_hold(&ctx->loop);
  if (timeout_msec == 0) timeout_msec = ctx->dial_msec;
  d->deadline = ms__ctx_now(ctx) + timeout_msec;
  d->begun = d->deadline - timeout_msec;
  (void)uv_timer_start(&d->timeout, on_timeout, timeout_msec, 0);
  ctx->dials++;
  d->next = ctx->dialers;
  if (d->next) d->next->prev = d;
  ctx->dialers = d;
  ms__race_go_on(d);
}

/* As whom, and from where: whoever is dialled, what is none is an error. */
static int keep_self(struct ms_dialer *d, const ms_dial_opts *opts, ms_error *err) {
  const char *from = opts->local_host;
  if (from && !ms__host_is_address(from))
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                     "local_host is no IPv4 or IPv6 address: \"%.64s\"", from);
  if (!opts->identity) return 0;
  d->identity = ms__identity_copy(opts->identity);
  return d->identity ? 0 : ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
}

/* What the target's transport is told of this dial. */
static int configure(struct ms__target *t, const ms_dial_opts *opts, ms_error *err) {
  const ms_allocator *a = &t->dialer->ctx->allocator;
  const struct ms__transport *transport = t->stack->transport;
  const struct ms__transport_config from = {
      .section = &t->alternative->sections[0], .allocator = a, .dial = opts};
  if (!transport->configure) return 0;
  if (!(t->opts = ms__calloc(a, transport->options)))
    return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  return transport->configure(t->opts, &from, err);
}

static int configure_all(struct ms_dialer *d, const ms_dial_opts *opts, ms_error *err) {
  int r = 0;
  for (size_t i = 0; i < d->count && r == 0; i++)
    r = configure(&d->targets[i], opts, err);
  return r;
}

int ms_dial(ms_ctx *ctx, ms_dialer **out, const char *address, const ms_dial_opts *given,
            ms_error *err) {
  const ms_dial_opts *opts;
  ms_dial_opts known;
  struct ms_dialer *d;
  int r;
  if (out) *out = NULL;
  if ((r = ms__opts_read(&known, sizeof known, given, err)) < 0) return r;
  opts = &known;
  if (!opts->on_dialled)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "on_dialled is missing");
  if (ctx->closing) return ms__error(err, MS_ESTATE, MS_PHASE_NONE, NULL, "the context is closing");
  if (ctx->suspended)
    return ms__error(err, MS_ESTATE, MS_PHASE_NONE, NULL, "the context is suspended");
  d = ms__calloc(&ctx->allocator, sizeof *d);
  if (!d) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  d->ctx = ctx;
  d->on_dialled = opts->on_dialled;
  d->on_attempt = opts->on_attempt;
  d->user = opts->user;
  d->security = opts->security;
  d->last = &d->first;
  d->stagger_msec = opts->stagger_msec ? opts->stagger_msec : STAGGER_MSEC;
  r = ms_addr_parse(&d->addr, address, strlen(address), MS_ADDR_DIAL, err);
  if (r == 0) r = keep_self(d, opts, err);
  if (r == 0 && (r = find_targets(d, opts, err)) < 0 && err) {
    char safe[sizeof err->address];
    (void)ms__addr_format_safe(d->addr, SIZE_MAX, safe, sizeof safe);
    ms__error_address(err, safe);
  }
  if (r == 0) r = configure_all(d, opts, err);
  if (r < 0) {
    free_parts(d);
    ms__free(&ctx->allocator, d);
    return r;
  }
  start(d, opts->timeout_msec);
  if (out) *out = d;
  return 0;
}

void ms_dial_abort(ms_dialer *d) {
  if (d->over || d->aborted) return;
  d->aborted = true;
  drop_attempts(d);
  (void)uv_timer_stop(&d->timeout);
  (void)uv_timer_start(&d->step, on_abort, 0, 0);
}

size_t ms_dial_attempts(const ms_dialer *d) {
  return d->attempts;
}

bool ms_dial_attempt(const ms_dialer *d, size_t number, ms_attempt *out) {
  for (const struct ms__attempt *a = d->first; a; a = a->next) {
    if (a->number != number) continue;
    ms__attempt_show(a, out);
    return true;
  }
  return false;
}

const char *ms_step_text(enum ms_step step) {
  static const char *const texts[] = {
      [MS_STEP_RESOLVE] = "looks up",    [MS_STEP_CONNECT] = "connects",
      [MS_STEP_CONNECTED] = "connected", [MS_STEP_LAYER] = "up",
      [MS_STEP_OPEN] = "open",           [MS_STEP_FAILED] = "failed",
      [MS_STEP_DROPPED] = "dropped",     [MS_STEP_PASSED_OVER] = "passed over"};
  return (size_t)step < sizeof texts / sizeof *texts ? texts[step] : "unknown step";
}

void ms__dial_abort_all(struct ms_ctx *ctx) {
  for (struct ms_dialer *d = ctx->dialers; d; d = d->next)
    ms_dial_abort(d);
}
