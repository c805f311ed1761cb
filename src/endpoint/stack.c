/* The stacks of a context: what they are made of, and how long they live. */
#include <sodium.h>
#include <stdio.h>

#include "addr/origin.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "endpoint/ctx.h"

enum { WS_PING_MSEC = 30000, WS_BYTES_MAX = 64 << 20, WS_FRAGMENTS_MAX = 131072 };

/* ---- Keys ---- */

int ms__keys_keep(struct ms__keys *keys, const ms_identity *identity, const uint8_t *network_key,
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

void ms__keys_drop(struct ms__keys *keys) {
  ms_identity_free(keys->identity);
  ms__wipe(keys, sizeof *keys);
}

/* ---- Lives ---- */

static void free_stack(struct ms__stack *s) {
  const ms_allocator *a = &s->ctx->allocator;
  ms__keys_drop(&s->keys);
  ms_addr_free(s->addr);
  for (size_t i = 0; i < s->external_count; i++)
    ms_addr_free(s->external[i]);
  ms__free(a, s->external);
  for (size_t i = 0; i < s->http.origins_count; i++)
    ms__free(a, s->origins[i]);
  ms__free(a, s->origins);
  ms__free(a, s->fronts);
  ms__free(a, s->health_path);
  ms__free(a, s->transport_opts);
  ms__tls_drop(&s->tls, a);
  ms__free(a, s->name);
  ms__free(a, s);
}

void ms__stack_hold(struct ms__stack *s) {
  s->users++;
}

void ms__stack_release(struct ms__stack *s) {
  if (--s->users > 0) return;
  if (s->number >= 0) s->ctx->stacks[s->number] = NULL;
  free_stack(s);
}

struct ms__stack *ms__stack_at(const struct ms_ctx *ctx, size_t i) {
  struct ms__stack *s = i < ctx->stack_count ? ctx->stacks[i] : NULL;
  return s && !s->removed ? s : NULL;
}

void ms__stacks_free(struct ms_ctx *ctx) {
  for (size_t i = 0; i < ctx->stack_count; i++)
    if (ctx->stacks[i]) free_stack(ctx->stacks[i]);
  ms__free(&ctx->allocator, ctx->stacks);
  ctx->stacks = NULL;
  ctx->stack_count = 0;
}

/* ---- Adding ---- */

const char *ms_stack_name(const ms_ctx *ctx, int stack) {
  const struct ms__stack *s = stack < 0 ? NULL : ms__stack_at(ctx, (size_t)stack);
  return s ? s->name : NULL;
}

/* Takes the sections on, if they make a stack of this build. */
static int take_sections(struct ms__stack *s, ms_error *err) {
  int r = ms__sections_check(s->sections, s->count, err);
  struct ms__text t;
  char name[256];
  if (r < 0) return r;
  ms__text_init(&t, name, sizeof name);
  s->ws_at = MS__STACK_SECTIONS;
  for (size_t i = 0; i < s->count; i++) {
    s->impl[i] = ms__section_impl(&s->sections[i]);
    if (s->sections[i].kind == MS_SECTION_WS) s->ws_at = i;
    if (s->impl[i]->authenticates) s->keys_count++;
    if (i) ms__text_char(&t, '~');
    ms__text_string(&t, s->sections[i].name);
  }
  s->authenticated = s->keys_count > 0;
  s->transport = s->impl[0]->transport;
  s->name = ms__strdup(&s->ctx->allocator, name);
  return s->name ? 0 : ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
}

bool ms__stack_has_ws(const struct ms__stack *s) {
  return s->ws_at < s->count;
}

bool ms__stack_has_place(const struct ms__stack *s) {
  return s->transport->flags & MS__BY_HOST ? s->sections[0].port >= 0
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
  if ((r = ms__keys_keep(&s->keys, identity, network_key, err)) < 0) return r;
  for (size_t i = 0; i < s->count; i++)
    if (s->sections[i].has_key && s->impl[i]->authenticates &&
        sodium_memcmp(s->sections[i].key, identity->public_key, MS_KEY_BYTES) != 0)
      return ms__error(err, MS_EINVAL, MS_PHASE_NONE, s->sections[i].name,
                       "the key in the address is not this identity's: leave it out");
  return 0;
}

/* "net:host:port", "wss://host": an IPv6 address has no such beginning. */
static bool is_section(const char *external) {
  size_t n = strspn(external, "abcdefghijklmnopqrstuvwxyz");
  return n >= 2 && external[n] == ':' && strcspn(external, "ghijklmnopqrstuvwxyz") < n;
}

/* A host, or a section of the stack's own transport; of what peers find in front of a unix socket.
 */
static int read_external(struct ms__stack *s, const char *external, ms_addr **out, ms_error *err) {
  bool by_host = s->transport->flags & MS__BY_HOST;
  const char *name = by_host ? s->sections[0].name : ms__stack_has_ws(s) ? "ws" : "net";
  const char *bracket = strchr(external, ':') && *external != '[' ? "[" : "";
  const ms_alternative *read;
  const char *host;
  char text[1024];
  size_t n;
  int r;
  if (!by_host && !is_section(external))
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, s->sections[0].name,
                     "what peers find in front of a unix socket is a section, as %s",
                     ms__stack_has_ws(s) ? "wss://HOST/PATH" : "net:HOST:PORT");
  if (is_section(external))
    n = (size_t)snprintf(text, sizeof text, "%s", external);
  else if (s->sections[0].kind == MS_SECTION_WS)
    n = (size_t)snprintf(text, sizeof text, "%s://%s%s%s:0%s", s->sections[0].secure ? "wss" : "ws",
                         bracket, external, *bracket ? "]" : "", s->sections[0].path);
  else
    n = (size_t)snprintf(text, sizeof text, "%s:%s:0", name, external);
  if (n >= sizeof text)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, name, "the external address is too long");
  r = ms_addr_parse(out, text, n, MS_ADDR_LISTEN, err);
  if (r < 0) return r;
  read = ms_addr_at(*out, 0);
  host = ms_addr_count(*out) == 1 && ms_addr_match(read, name) ? read->sections[0].host : NULL;
  if (!host || !*host || (strchr(host, ':') && !ms__host_is_address(host)))
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, name,
                     "the external address is neither a host nor one section");
  if (!by_host && read->sections[0].port <= 0)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, s->sections[0].name,
                     "what peers find in front of a unix socket has a port");
  if (ms__host_is_wildcard(host) || ms__host_scope(host) == MS_DEVICE)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, name,
                     "the external address is one that no other machine can dial");
  return 0;
}

static int keep_external(struct ms__stack *s, const ms_stack_opts *opts, ms_error *err) {
  size_t n = opts->external_count;
  int r = 0;
  if (n == 0) return 0;
  s->external = ms__calloc(&s->ctx->allocator, n * sizeof *s->external);
  if (!s->external) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  s->external_count = n;
  for (size_t i = 0; i < n && r == 0; i++)
    r = read_external(s, opts->external[i], &s->external[i], err);
  return r;
}

static void find_scopes(struct ms__stack *s, unsigned asked, bool external) {
  const char *host = s->sections[0].host;
  if (!(s->transport->flags & MS__BY_HOST))
    s->scopes = MS_DEVICE | (external ? (asked ? asked : MS_PUBLIC) & MS_PUBLIC : 0u);
  else if (asked)
    s->scopes = asked;
  else
    s->scopes = MS_DEVICE | (host ? ms__host_scope(host) : 0u) | (external ? MS_PUBLIC : 0u);
}

/* Can another machine reach it? Without a host it listens where its scopes say. */
static bool is_exposed(const struct ms__stack *s) {
  const char *host = s->sections[0].host;
  if (!(s->transport->flags & MS__BY_HOST) || !ms__stack_has_place(s)) return false;
  return (host && *host ? ms__host_scope(host) : s->scopes) != MS_DEVICE;
}

static int check_secure(const struct ms__stack *s, ms_error *err) {
  if (s->authenticated || s->insecure_noauth || !is_exposed(s)) return 0;
  return ms__error(err, MS_EINSECURE, MS_PHASE_NONE, s->name,
                   "without authentication it listens on loopback and unix sockets only");
}

static int keep_transport(struct ms__stack *s, const ms_stack_opts *opts, ms_error *err) {
  const ms_allocator *a = &s->ctx->allocator;
  const struct ms__transport *t = s->transport;
  const struct ms__transport_config from = {.section = &s->sections[0],
                                            .allocator = a,
                                            .stack = opts,
                                            .scopes = s->scopes,
                                            .open = !s->authenticated && !s->insecure_noauth,
                                            .inherited = &s->ctx->inherited};
  if (!t->configure) return 0;
  s->transport_opts = ms__calloc(a, t->options);
  if (!s->transport_opts) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  return t->configure(s->transport_opts, &from, err);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise) {
  return value ? value : otherwise;
}

/* One more that is believed about its peers; on a stack that can hear it. */
static int keep_front(struct ms__stack *s, const char *text, ms_error *err) {
  bool http = ms__stack_has_ws(s);
  struct ms__front front;
  const char *why = ms__front_parse(&front, text, http);
  for (size_t i = 0; !why && i < s->fronts_count; i++)
    if (ms__fronts_differ(&s->fronts[i], &front))
      why = "sets either X-Forwarded-For or Forwarded: the other is its clients'";
  if (why)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, "proxy", "the trusted proxy '%.64s' %s", text,
                     why);
  if (http || front.says == MS__FRONT_PROXY) s->fronts[s->fronts_count++] = front;
  return 0;
}

static int keep_fronts(struct ms__stack *s, const ms_stack_opts *opts, ms_error *err) {
  size_t n = opts->trusted_proxies_count;
  int r = 0;
  if (n == 0) return 0;
  s->fronts = ms__calloc(&s->ctx->allocator, n * sizeof *s->fronts);
  if (!s->fronts) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  for (size_t i = 0; i < n && r == 0; i++)
    r = keep_front(s, opts->trusted_proxies[i], err);
  return r;
}

static int keep_origins(struct ms__stack *s, const ms_stack_opts *opts, ms_error *err) {
  const ms_allocator *a = &s->ctx->allocator;
  if (opts->origins_count == 0) return 0;
  s->origins = ms__calloc(a, opts->origins_count * sizeof *s->origins);
  if (!s->origins) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  s->http.origins = (const char *const *)s->origins;
  for (size_t i = 0; i < opts->origins_count; i++) {
    const char *text = opts->origins[i], *why;
    char origin[MS__ORIGIN_MAX];
    if ((why = ms__origin_parse(origin, text, strlen(text))))
      return ms__error(err, MS_EINVAL, MS_PHASE_NONE, "http", "the origin '%.64s' %s", text, why);
    if (!(s->origins[i] = ms__strdup(a, origin)))
      return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
    s->http.origins_count = i + 1;
  }
  return 0;
}

/* What the layers of WebSocket are told. */
static int keep_ws(struct ms__stack *s, const ms_stack_opts *opts, ms_error *err) {
  const ms_allocator *a = &s->ctx->allocator;
  const ms_section *ws = &s->sections[ms__stack_has_ws(s) ? s->ws_at : 0];
  uint64_t ping_msec = or_default(opts->ws.ping_msec, WS_PING_MSEC);
  s->stream = opts->stream;
  s->on_request = opts->on_request;
  s->request_user = opts->request_user;
  s->ws.ping_msec = ping_msec == UINT32_MAX ? 0 : (uint32_t)ping_msec;
  s->ws.frame_max = or_default(opts->ws.frame_max, WS_BYTES_MAX);
  s->ws.message_max = or_default(opts->ws.message_max, WS_BYTES_MAX);
  s->ws.fragments_max = (uint32_t)or_default(opts->ws.fragments_max, WS_FRAGMENTS_MAX);
  s->ws.text = s->count == s->ws_at + 1;
  if (ms__stack_has_ws(s) && ms__stack_has_place(s) && !ms__http_ready())
    return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  s->http.path = ws->path ? ws->path : "";
  s->http.name = ws->host ? ws->host : "";
  s->http.any_origin = s->authenticated && opts->origins_count == 0;
  s->http.asks = s->on_request != NULL; /* one too many for a WebSocket is let in for pages */
  s->http.fronts = s->fronts;
  s->http.fronts_count = s->fronts_count;
  if (opts->health_path && !(s->health_path = ms__strdup(a, opts->health_path)))
    return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  return keep_origins(s, opts, err);
}

/* Does one of the sections have TLS in it? */
static bool has_tls(const struct ms__stack *s) {
  for (size_t i = 0; i < s->count; i++)
    if (s->sections[i].kind == MS_SECTION_TLS || s->sections[i].secure) return true;
  return false;
}

static int load_tls(struct ms__stack *s, bool server, bool client, ms_error *err) {
  int r = ms__tls_load(&s->tls, server, client, err);
  if (r == 0 && s->tls.doubt)
    ms__loop_log(&s->ctx->loop, MS_LOG_WARN, "the certificate %s: %s", s->tls.cert, s->tls.doubt);
  return r;
}

/* What is wrong with the files shows here, not when somebody comes. */
static int keep_tls(struct ms__stack *s, const ms_stack_opts *opts, ms_error *err) {
  int r;
  s->tls_server.context = &s->tls.server;
  s->tls.resumes = s->sections[0].secure;
  if ((r = ms__tls_keep(&s->tls, &s->ctx->allocator, &opts->tls, err)) < 0) return r;
  return load_tls(s, has_tls(s) && ms__stack_has_place(s), opts->tls.ca != NULL, err);
}

int ms__stack_prepare(struct ms__stack *s, const ms_section *sections, ms_error *err) {
  bool tls = sections[0].secure;
  for (size_t i = 1; i < s->count; i++) {
    if (sections[i].kind != MS_SECTION_TLS) continue;
    tls = true;
    if (!sections[i].host && !(s->transport->flags & MS__BY_HOST) && !s->tls.insecure)
      return ms__error(err, MS_EINVAL, MS_PHASE_MATCH, "tls",
                       "here it has to say whom the certificate shall name: tls:NAME");
  }
  return tls && !s->tls.client ? ms__tls_load(&s->tls, false, true, err) : 0;
}

int ms_reload_tls(ms_ctx *ctx, int stack, ms_error *err) {
  struct ms__stack *s = stack < 0 ? NULL : ms__stack_at(ctx, (size_t)stack);
  if (!s) return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "there is no such stack");
  return load_tls(s, s->tls.server != NULL, s->tls.client != NULL, err);
}

/* What could not be read may have a secret anywhere: user information before an '@', a seed in all
 * but a transport. */
static void name_unread(ms_error *err, const char *address) {
  static const char *const places[] = {"net:", "unix:", "onion:", "ws:", "wss:"};
  size_t n = strcspn(address, "~:");
  char place[sizeof err->address];
  if (!err || strchr(address, '@')) return;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if (strncmp(address, places[i], strlen(places[i])) == 0) n = strcspn(address, "~");
  (void)snprintf(place, sizeof place, "%.*s", (int)(n < sizeof place ? n : sizeof place - 1),
                 address);
  ms__error_address(err, place);
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

int ms_add(ms_ctx *ctx, const char *address, const ms_stack_opts *given, ms_error *err) {
  static const ms_stack_opts none = MS_OPTS_INIT(ms_stack_opts);
  const ms_stack_opts *opts;
  ms_stack_opts known;
  struct ms__stack *s;
  int r = ms__opts_read(&known, sizeof known, given ? given : &none, err);
  if (r < 0) return r;
  opts = &known;
  if (ctx->closing) return ms__error(err, MS_ESTATE, MS_PHASE_NONE, NULL, "the context is closing");
  s = ms__calloc(&ctx->allocator, sizeof *s);
  if (!s) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  s->ctx = ctx;
  s->users = 1; /* the list's, until ms_remove */
  s->number = -1;
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
  if ((r = take_sections(s, err)) < 0) goto out;
  find_scopes(s, opts->scopes, opts->external_count > 0);
  if ((r = check_keys(s, opts->identity, opts->network_key, err)) < 0) goto out;
  if ((r = check_secure(s, err)) < 0 || (r = keep_transport(s, opts, err)) < 0) goto out;
  if ((r = keep_external(s, opts, err)) < 0) goto out;
  if ((r = keep_fronts(s, opts, err)) < 0 || (r = keep_ws(s, opts, err)) < 0) goto out;
  if ((r = keep_tls(s, opts, err)) < 0) goto out;
  if (keep_stack(ctx, s) < 0) r = ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  if (r >= 0 && ms__listening(ctx) && ms__stack_start(s) < 0)
    r = ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, NULL, NULL);
  if (r >= 0) return s->number;
out:
  if (err && s->addr) {
    char safe[sizeof err->address];
    (void)ms__addr_format_safe(s->addr, 0, safe, sizeof safe);
    ms__error_address(err, safe);
  } else {
    name_unread(err, address);
  }
  ms__stack_release(s);
  return r;
}

int ms_remove(ms_ctx *ctx, int stack) {
  struct ms__stack *s = stack < 0 ? NULL : ms__stack_at(ctx, (size_t)stack);
  if (!s) return MS_EINVAL;
  s->removed = true;
  ms__stack_stop(s);
  ms__stack_release(s);
  return 0;
}
