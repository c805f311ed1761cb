/* Contexts and their stacks. */
#include "api/ctx.h"

#include <sodium.h>

#include "base/error.h"
#include "base/mem.h"

enum { ACCEPT_MSEC = 5000, DIAL_MSEC = 15000, DRAIN_MSEC = 5000 };

const char *ms_version(void) {
  return MS_VERSION;
}

/* ---- Keys ---- */

static int keep_keys(struct ms__keys *keys, const ms_identity *identity, const uint8_t *network_key,
                     ms_error *err) {
  if (network_key) {
    memcpy(keys->network_key, network_key, sizeof keys->network_key);
    keys->has_network_key = true;
  }
  if (!identity) return 0;
  keys->identity = ms__identity_copy(identity);
  if (keys->identity) return 0;
  return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, "no guarded memory for the identity");
}

static void drop_keys(struct ms__keys *keys) {
  ms_identity_free(keys->identity);
  ms__wipe(keys, sizeof *keys);
}

/* ---- The context ---- */

static void on_settled(struct ms__loop *loop) {
  ms__ctx_settled((struct ms_ctx *)loop);
}

static void on_loop_closed(struct ms__loop *loop) {
  struct ms_ctx *ctx = (struct ms_ctx *)loop;
  ms_allocator a = ctx->allocator;
  ms__free(&a, ctx);
}

static void on_timer_closed(uv_handle_t *handle) {
  struct ms_ctx *ctx = handle->data;
  ms__loop_close(&ctx->loop);
}

static void free_stack(struct ms__stack *s) {
  const ms_allocator *a = &s->ctx->allocator;
  drop_keys(&s->keys);
  ms_addr_free(s->addr);
  ms__free(a, s->external);
  ms__free(a, s->name);
  ms__free(a, s);
}

static uint32_t or_default(uint32_t msec, uint32_t otherwise) {
  return msec ? msec : otherwise;
}

int ms_ctx_new(ms_ctx **out, const ms_ctx_opts *opts, ms_error *err) {
  const ms_allocator *a;
  struct ms_ctx *ctx;
  int r;
  *out = NULL;
  if (!opts || opts->size != sizeof *opts)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                     "opts was not initialised with MS_OPTS_INIT of this version's header");
  if (!opts->loop) return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "opts.loop is missing");
  if (sodium_init() < 0)
    return ms__error(err, MS_ESYSTEM, MS_PHASE_NONE, NULL, "libsodium cannot start");
  a = opts->allocator ? opts->allocator : &ms__default_allocator;
  ctx = ms__calloc(a, sizeof *ctx);
  if (!ctx) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  ctx->allocator = *a;
  ctx->on_authorise = opts->on_authorise;
  ctx->user = opts->user;
  ctx->accept_msec = or_default(opts->accept_timeout_msec, ACCEPT_MSEC);
  ctx->dial_msec = or_default(opts->dial_timeout_msec, DIAL_MSEC);
  if ((r = keep_keys(&ctx->keys, opts->identity, opts->network_key, err)) < 0) {
    drop_keys(&ctx->keys);
    ms__free(a, ctx);
    return r;
  }
  /* none of libuv's init functions for these handles can fail */
  (void)ms__loop_init(&ctx->loop, opts->loop, &ctx->allocator);
  ctx->loop.env.drain_msec = or_default(opts->drain_timeout_msec, DRAIN_MSEC);
  ctx->loop.on_settled = on_settled;
  ctx->loop.on_closed = on_loop_closed;
  (void)uv_timer_init(opts->loop, &ctx->timer);
  ctx->timer.data = ctx;
  *out = ctx;
  return 0;
}

void ms_ctx_free(ms_ctx *ctx) {
  if (!ctx) return;
  for (size_t i = 0; i < ctx->stack_count; i++)
    free_stack(ctx->stacks[i]);
  ms__free(&ctx->allocator, ctx->stacks);
  ctx->stacks = NULL;
  drop_keys(&ctx->keys);
  uv_close((uv_handle_t *)&ctx->timer, on_timer_closed);
}

/* ---- Closing ---- */

static void cut_all(struct ms_ctx *ctx) {
  for (struct ms__link *l = ctx->links; l; l = l->next)
    if (l->conn) ms_conn_abort(l->conn);
  /* those that linger without an owner are cut as well */
  for (struct ms__link *l = ctx->links; l; l = l->next)
    if (l->conn) ms__conn_cut_short(l->conn);
}

static void on_done(uv_timer_t *timer) {
  struct ms_ctx *ctx = timer->data;
  if (ctx->done_told || ctx->loop.pending || ctx->links || ctx->dialers) return;
  ctx->done_told = true;
  if (ctx->done) ctx->done(ctx, ctx->done_user);
}

static void on_drained(uv_timer_t *timer) {
  cut_all(timer->data);
}

void ms__ctx_settled(struct ms_ctx *ctx) {
  if (!ctx->closing || ctx->done_told || ctx->loop.pending || ctx->links || ctx->dialers) return;
  (void)uv_timer_start(&ctx->timer, on_done, 0, 0);
}

void ms_ctx_close(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user),
                  void *user) {
  if (!ctx->closing) {
    ctx->closing = true;
    ctx->done = done;
    ctx->done_user = user;
    ms_unlisten(ctx);
    for (struct ms__link *l = ctx->links; l; l = l->next) {
      if (!l->conn || l->dialer) continue;
      if (l->open)
        ms_conn_close(l->conn);
      else
        ms_conn_abort(l->conn);
      ms__conn_forget_question(l->conn);
    }
    ms__dial_abort_all(ctx);
  }
  (void)uv_timer_start(&ctx->timer, on_drained, drain_msec, 0);
  ms__ctx_settled(ctx);
}

/* ---- Stacks ---- */

const char *ms_stack_name(const ms_ctx *ctx, int stack) {
  return stack >= 0 && (size_t)stack < ctx->stack_count ? ctx->stacks[stack]->name : NULL;
}

static int no_stack(ms_error *err, const char *name, const char *why) {
  return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, name, "%s", why);
}

/* Do these sections make a stack of this build? */
static int check_sections(struct ms__stack *s, ms_error *err) {
  struct ms__text t;
  char name[256];
  ms__text_init(&t, name, sizeof name);
  if (s->count > MS__STACK_LAYERS) return no_stack(err, NULL, "it has too many sections");
  for (size_t i = 0; i < s->count; i++) {
    const ms_section *section = &s->sections[i];
    const struct ms__section_impl *impl = ms__section_impl(section->kind);
    if (!impl) return no_stack(err, section->name, "this build does not have this protocol");
    if (i == 0 && !impl->transport)
      return no_stack(err, section->name, "a stack begins with a transport, this is a transform");
    if (i > 0 && !impl->layer)
      return no_stack(err, section->name, "a transport stands first in a stack, nowhere else");
    if (i > 0 && s->impl[i - 1]->kind == MS_SECTION_NOAUTH)
      return no_stack(err, section->name, "nothing can follow noauth");
    s->impl[i] = impl;
    if (impl->authenticates) s->authenticated = true;
    if (i) ms__text_char(&t, '~');
    ms__text_string(&t, section->name);
  }
  s->transport = s->impl[0]->transport;
  s->name = ms__strdup(&s->ctx->allocator, name);
  return s->name ? 0 : ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
}

bool ms__stack_has_place(const struct ms__stack *s) {
  return s->transport->by_host ? s->sections[0].port >= 0
                               : s->sections[0].path && *s->sections[0].path;
}

static int check_keys(struct ms__stack *s, const ms_identity *identity, const uint8_t *network_key,
                      ms_error *err) {
  const struct ms__keys *defaults = &s->ctx->keys;
  int r;
  if (!identity && defaults->identity) identity = defaults->identity;
  if (!network_key && defaults->has_network_key) network_key = defaults->network_key;
  if (!s->authenticated) return 0;
  if (!identity || !network_key)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, s->name, "this stack needs %s",
                     identity ? "a network key" : "an identity");
  if ((r = keep_keys(&s->keys, identity, network_key, err)) < 0) return r;
  for (size_t i = 0; i < s->count; i++)
    if (s->sections[i].has_key && s->impl[i]->authenticates &&
        sodium_memcmp(s->sections[i].key, identity->public_key, MS_KEY_BYTES) != 0)
      return ms__error(err, MS_EINVAL, MS_PHASE_NONE, s->sections[i].name,
                       "the key in the address is not this identity's: leave it out");
  return 0;
}

static void find_scopes(struct ms__stack *s, unsigned asked) {
  const char *host = s->sections[0].host;
  if (!s->transport->by_host)
    s->scopes = MS_DEVICE;
  else if (asked)
    s->scopes = asked;
  else
    s->scopes = MS_DEVICE | (host ? ms__host_scope(host) : 0u); /* it can be dialled from here */
}

/* Can another machine reach it? Without a host it listens where its scopes say. */
static bool is_exposed(const struct ms__stack *s) {
  const char *host = s->sections[0].host;
  if (!s->transport->by_host || !ms__stack_has_place(s)) return false;
  return (host && *host ? ms__host_scope(host) : s->scopes) != MS_DEVICE;
}

static int check_secure(const struct ms__stack *s, ms_error *err) {
  if (s->authenticated || s->insecure_noauth || !is_exposed(s)) return 0;
  return ms__error(err, MS_EINSECURE, MS_PHASE_NONE, s->name,
                   "without authentication it listens on loopback and unix sockets only");
}

static int keep_stack(struct ms_ctx *ctx, struct ms__stack *s) {
  size_t n = ctx->stack_count;
  struct ms__stack **stacks = ms__malloc(&ctx->allocator, (n + 1) * sizeof *stacks);
  if (!stacks) return MS_ENOMEM;
  if (n) memcpy(stacks, ctx->stacks, n * sizeof *stacks);
  stacks[n] = s;
  ms__free(&ctx->allocator, ctx->stacks);
  ctx->stacks = stacks;
  ctx->stack_count = n + 1;
  s->number = (int)n;
  return 0;
}

int ms_add(ms_ctx *ctx, const char *address, const ms_stack_opts *opts, ms_error *err) {
  static const ms_stack_opts none = MS_OPTS_INIT(ms_stack_opts);
  struct ms__stack *s;
  int r;
  if (!opts) opts = &none;
  if (opts->size != sizeof *opts)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                     "opts was not initialised with MS_OPTS_INIT of this version's header");
  if (ctx->events || ctx->closing)
    return ms__error(err, MS_ESTATE, MS_PHASE_NONE, NULL,
                     "stacks are added before listening begins");
  s = ms__calloc(&ctx->allocator, sizeof *s);
  if (!s) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  s->ctx = ctx;
  s->insecure_noauth = opts->insecure_noauth;
  s->on_authorise = opts->on_authorise ? opts->on_authorise : ctx->on_authorise;
  s->user = opts->on_authorise ? opts->user : ctx->user;
  r = ms_addr_parse(&s->addr, address, strlen(address), MS_ADDR_LISTEN, err);
  if (r < 0) goto out;
  if (ms_addr_count(s->addr) != 1) {
    r = ms__error(err, MS_EINVAL, MS_PHASE_PARSE, NULL,
                  "a stack is one address: add the alternatives one by one");
    goto out;
  }
  s->sections = ms_addr_at(s->addr, 0)->sections;
  s->count = ms_addr_at(s->addr, 0)->count;
  if ((r = check_sections(s, err)) < 0) goto out;
  find_scopes(s, opts->scopes);
  if ((r = check_keys(s, opts->identity, opts->network_key, err)) < 0) goto out;
  if ((r = check_secure(s, err)) < 0) goto out;
  if (opts->external && !(s->external = ms__strdup(&ctx->allocator, opts->external)))
    r = ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  if (r >= 0 && keep_stack(ctx, s) < 0) r = ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  if (r >= 0) return s->number;
out:
  if (err && s->addr) {
    char safe[sizeof err->address];
    (void)ms__addr_format_safe(s->addr, 0, safe, sizeof safe);
    ms__error_address(err, safe);
  } else {
    ms__error_address(err, address);
  }
  free_stack(s);
  return r;
}
