/* Sessions: what the application knows of a connection, and the way of the pump's events to it. */
#include <sodium.h>

#include "base/error.h"
#include "base/mem.h"
#include "endpoint/ctx.h"

enum { ADDRESS = 1024 }; /* of a peer, as text */

/* ---- Making and freeing ---- */

struct ms__session *ms__session_new(struct ms__stack *stack, bool server) {
  struct ms_ctx *ctx = stack->ctx;
  size_t size = sizeof(struct ms__setup) + stack->count * sizeof(struct ms__section_setup);
  struct ms__session *l = ms__calloc(&ctx->allocator, sizeof *l);
  if (!l || !(l->setup = ms__calloc(&ctx->allocator, size))) {
    ms__free(&ctx->allocator, l);
    return NULL;
  }
  l->stack = stack;
  ms__stack_hold(stack);
  l->server = server;
  l->id = ++ctx->last_id;
  for (size_t i = 0; i < stack->count; i++)
    l->setup->sections[i].shs = (struct ms__shs_opts){.network_key = stack->keys.network_key,
                                                      .identity = stack->keys.identity};
  l->next = ctx->sessions;
  if (ctx->sessions) ctx->sessions->prev = l;
  ctx->sessions = l;
  return l;
}

/* A request may have a password in it. */
static void free_setup(struct ms__session *l) {
  const ms_allocator *a = &l->stack->ctx->allocator;
  struct ms__setup *r = l->setup;
  if (!r) return;
  if (r->request) ms__wipe(r->request->text, strlen(r->request->text));
  ms__free(a, r->request);
  for (size_t i = 0; i < l->stack->count; i++)
    ms_identity_free(r->sections[i].own);
  ms__free(a, r);
  l->setup = NULL;
}

void ms__session_free(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  if (l->next) l->next->prev = l->prev;
  if (l->prev)
    l->prev->next = l->next;
  else
    ctx->sessions = l->next;
  ms__admission_leave(l);
  free_setup(l);
  ms__free(&ctx->allocator, l->address);
  ms__stack_release(l->stack);
  ms__free(&ctx->allocator, l);
  ms__ctx_check_done(ctx);
}

/* It is counted as evicted, and as nothing else. */
static void note_evicted(struct ms__session *l, const char *why) {
  struct ms_ctx *ctx = l->stack->ctx;
  l->setup->evicted_for = why;
  if (l->answered)
    ctx->open--;
  else
    ctx->pending--;
}

void ms__session_evict(struct ms__session *l, const char *why) {
  note_evicted(l, why);
  ms__conn_evict(l->conn);
}

/* ---- Addresses ---- */

/* Is there an address where the peer is? At a unix socket, if what stands in front has told it. */
static bool has_place(const struct ms__session *l) {
  uint8_t bytes[16];
  return ms__inet_bytes(&l->peer, bytes);
}

/* The peer in the place of the section's host; of a peer that comes by way of a unix socket, what
 * it has spoken to what stands in front. Which section stands on that. */
static size_t format_peer(const struct ms__session *l, struct ms__text *t) {
  static const ms_section net = {.kind = MS_SECTION_NET, .name = "net"};
  const struct ms__stack *s = l->stack;
  bool by_host = s->transport->flags & MS__BY_HOST, ws = !by_host && ms__stack_has_ws(s);
  ms_section peer = by_host ? s->sections[0] : ws ? s->sections[s->ws_at] : net;
  char host[128];
  ms__inet_host(&l->peer, host, sizeof host);
  peer.host = host;
  peer.port = ms__inet_port(&l->peer);
  /* a proxy may have told the host alone */
  if (peer.kind == MS_SECTION_WS && peer.port == 0) peer.port = ms__ws_port(&peer);
  if (peer.path) peer.path = "";
  ms__section_format(t, &peer, true);
  return ws ? s->ws_at + 1 : 1;
}

/* The peer's key in the i-th section, or NULL. Once it is open the topmost is left. */
static const uint8_t *key_in(const struct ms__session *l, size_t i) {
  if (!l->setup) return l->has_key ? l->key : NULL;
  return l->setup->sections[i].has_key ? l->setup->sections[i].key : NULL;
}

/* Writes "net:192.0.2.1:5678~shs:KEY". */
static void format(const struct ms__session *l, struct ms__text *t) {
  const struct ms__stack *s = l->stack;
  const uint8_t *key;
  size_t above = 1;
  if (l->server && ((s->transport->flags & MS__BY_HOST) || has_place(l)))
    above = format_peer(l, t);
  else
    ms__section_format(t, &s->sections[0], true);
  for (size_t i = above; i < s->count; i++) {
    ms__text_char(t, '~');
    ms__text_string(t, s->sections[i].name);
    if (!s->impl[i]->authenticates) continue;
    ms__text_char(t, ':');
    if ((key = key_in(l, i))) ms__text_base64(t, key, MS_KEY_BYTES);
  }
}

const char *ms_conn_address(const ms_conn *conn) {
  struct ms__session *l = conn->owner;
  if (!l->address) {
    struct ms__text t;
    char buf[ADDRESS];
    ms__text_init(&t, buf, sizeof buf);
    format(l, &t);
    l->address = ms__strdup(&l->stack->ctx->allocator, buf);
  }
  return l->address ? l->address : "";
}

/* ---- The pump's events ---- */

/* One too many can be told so: it has asked, and has had no answer yet. */
static void asked_to_upgrade(struct ms__session *l) {
  bool admitted = ms__admission_session(l);
  if (!admitted && !l->setup->evicted_for) {
    ms__conn_evict_for(l->conn, MS_ENOMEM, ms_code_text(MS_ENOMEM));
    ms__conn_forget_question(l->conn);
    return;
  }
  if (!admitted) note_evicted(l, l->setup->evicted_for); /* admission has counted it */
  (void)ms__conn_answer(l->conn, &(struct ms__answer){.yes = admitted});
}

void ms__session_set_key(struct ms__session *l, size_t i, const uint8_t *key) {
  struct ms__section_setup *s = &l->setup->sections[i];
  memcpy(s->key, key, MS_KEY_BYTES);
  memcpy(l->key, key, MS_KEY_BYTES);
  s->has_key = l->has_key = true;
}

/* Which section asks: the lowest that has no key yet. */
static size_t asking(const struct ms__session *l) {
  const struct ms__stack *s = l->stack;
  size_t i = 0, last = 0;
  for (; i < s->count; i++) {
    if (!s->impl[i]->authenticates) continue;
    last = i;
    if (!l->setup->sections[i].has_key) break;
  }
  return last;
}

static void on_question(ms_conn *conn, const struct ms__question *q) {
  struct ms__session *l = conn->owner;
  const struct ms__stack *s = l->stack;
  struct ms__text t;
  char address[ADDRESS];
  ms_peer peer;
  if (q->kind == MS__ASK_HEAD) {
    ms__session_asked(l, q);
    return;
  }
  if (q->kind == MS__ASK_UPGRADE) {
    asked_to_upgrade(l);
    return;
  }
  if (q->kind != MS__ASK_KEY || (q->len && q->len != MS_KEY_BYTES) || !s->on_authorise) {
    (void)ms_conn_answer(conn, false, NULL);
    return;
  }
  if (q->len) {
    ms__session_set_key(l, asking(l), q->data);
    ms__free(&s->ctx->allocator, l->address); /* it was without the key */
    l->address = NULL;
  }
  ms__text_init(&t, address, sizeof address);
  format(l, &t);
  peer = (ms_peer){.key = l->has_key ? l->key : NULL, .address = address, .stack = s->name};
  s->on_authorise(conn, &peer, s->user);
}

static void on_layer_up(ms_conn *conn, const struct ms__layer *layer) {
  struct ms__session *l = conn->owner;
  if (l->attempt) ms__dial_layer_up(l->attempt, layer->name);
  if (layer != &ms__proxy) return;
  l->setup->front = l->peer;
  if (ms__admission_name(l)) return;
  if (l->setup->evicted_for) /* admission has counted it */
    ms__session_evict(l, l->setup->evicted_for);
  else
    ms__conn_evict_for(l->conn, MS_ENOMEM, ms_code_text(MS_ENOMEM));
}

static void on_open(ms_conn *conn) {
  struct ms__session *l = conn->owner;
  struct ms_ctx *ctx = l->stack->ctx;
  l->open = true;
  if (!l->answered) {
    ctx->pending--;
    ctx->open++;
  }
  l->answered = false;
  if (l->server) {
    ctx->entered++;
    ms__admission_opened(l);
  }
  if (ms__loop_logs(&ctx->loop, MS_LOG_INFO))
    ms__loop_log(&ctx->loop, MS_LOG_INFO, "open: %s", ms_conn_address(conn));
  if (l->stack->keys_count > 1) (void)ms_conn_address(conn); /* as long as all are known */
  free_setup(l);
  if (l->attempt)
    ms__dial_open(l->attempt, l);
  else if (ctx->events->on_connection)
    ctx->events->on_connection(conn, ctx->events_user);
  if (!l->events && !conn->closing) ms_conn_fail(conn, "nobody has taken the connection on");
}

static void on_readable(ms_conn *conn) {
  struct ms__session *l = conn->owner;
  if (l->events && l->events->on_readable) l->events->on_readable(conn, l->user);
}

static void on_end(ms_conn *conn) {
  struct ms__session *l = conn->owner;
  if (l->events && l->events->on_end) l->events->on_end(conn, l->user);
}

static void on_writable(ms_conn *conn) {
  struct ms__session *l = conn->owner;
  if (l->events && l->events->on_writable) l->events->on_writable(conn, l->user);
}

/* Somebody who looks whether the port is open: it left before a byte was heard of it. */
static bool is_probe(const struct ms__session *l, const ms_error *err) {
  return err && l->server && !l->open && !l->answered && l->conn->silent &&
         (err->code == MS_ETRUNCATED || err->code == MS_ERESET);
}

static const char *evicted_for(const struct ms__session *l) {
  return l->setup ? l->setup->evicted_for : NULL;
}

/* Has it not come in, nor been answered with what it asked for last? */
static bool has_failed(const struct ms__session *l, const ms_error *err) {
  if (l->open || !l->server) return false;
  return l->answered ? !l->events && err && !l->conn->silent : !is_probe(l, err);
}

static void note_failed(struct ms_ctx *ctx, const ms_error *err) {
  if (err && err->code == MS_EREFUSED)
    ctx->refused++;
  else
    ctx->failed++;
  if (err && err->code != MS_EABORTED)
    ms__loop_log(&ctx->loop, ctx->events->on_failed ? MS_LOG_INFO : MS_LOG_WARN, "peer: %s: %s",
                 err->address, err->message);
}

/* Counts and logs. */
static void note_close(struct ms__session *l, const ms_error *err) {
  struct ms_ctx *ctx = l->stack->ctx;
  ms_conn_stats n;
  if (evicted_for(l)) return; /* it was counted then */
  if (has_failed(l, err)) note_failed(ctx, err);
  if (is_probe(l, err)) ms__admission_probed(l, err->address);
  if (!l->open && !l->answered) {
    ctx->pending--;
    return; /* a dial knows */
  }
  ctx->open--;
  if (!ms__loop_logs(&ctx->loop, MS_LOG_INFO)) return;
  ms_conn_stat(l->conn, &n);
  ms__loop_log(&ctx->loop, MS_LOG_INFO, "close: %s: %s, %llu byte%s in, %llu out",
               ms_conn_address(l->conn), err ? err->message : "ended", (unsigned long long)n.in,
               ms__text_plural(n.in), (unsigned long long)n.out);
}

static void on_close(ms_conn *conn, const ms_error *cause) {
  struct ms__session *l = conn->owner;
  struct ms_ctx *ctx = l->stack->ctx;
  ms_error err = {0};
  if (cause) {
    struct ms__text t;
    err = *cause;
    if (evicted_for(l)) ms__text_copy(err.message, sizeof err.message, evicted_for(l));
    ms__text_init(&t, err.address, sizeof err.address);
    if (l->server)
      format(l, &t);
    else
      ms__text_string(&t, ms_conn_address(conn)); /* where it was dialled */
    if (!err.layer[0]) ms__text_copy(err.layer, sizeof err.layer, l->stack->sections[0].name);
  }
  note_close(l, cause ? &err : NULL);
  if (!l->open) ms__admission_failed(l);
  if (l->attempt) {
    struct ms__attempt *attempt = l->attempt;
    l->attempt = NULL;
    ms__dial_failed(attempt, &err);
  } else if (l->events) {
    l->events->on_close(conn, cause ? &err : NULL, l->user);
  } else if (cause && has_failed(l, &err) && ctx->events->on_failed) {
    ctx->events->on_failed(conn, &err, ctx->events_user);
  }
  l->events = NULL;
}

static void on_answered(ms_conn *conn) {
  ms__session_answered(conn->owner);
}

static void on_gone(ms_conn *conn) {
  ms__session_free(conn->owner);
}

static const struct ms__events session_events = {
    .question = on_question,
    .layer_up = on_layer_up,
    .open = on_open,
    .readable = on_readable,
    .end = on_end,
    .writable = on_writable,
    .answered = on_answered,
    .close = on_close,
    .gone = on_gone,
};

/* "pub.example", "pub.example:8989", "[::1]:8989". A zone is nobody else's (RFC 6874, section 4).
 */
static void write_host(struct ms__text *t, const ms_section *s) {
  bool ipv6 = strchr(s->host, ':') != NULL;
  ms__text_string(t, ipv6 ? "[" : "");
  ms__text_bytes(t, s->host, ipv6 ? strcspn(s->host, "%") : strlen(s->host));
  ms__text_string(t, ipv6 ? "]" : "");
  if (s->port == ms__ws_port(s)) return;
  ms__text_char(t, ':');
  ms__text_uint(t, (unsigned long)s->port);
}

/* Whom the certificate below WebSocket has to name; NULL: nobody. */
static const char *server_name(const struct ms__session *l) {
  size_t i = l->stack->ws_at;
  while (i > 0 && l->stack->sections[i].kind != MS_SECTION_TLS)
    i--;
  return l->setup->sections[i].tls.name;
}

/* Over a unix socket it is asked for as whom the certificate shall name, or as this machine. */
static bool make_request(struct ms__session *l, const ms_section *section) {
  const char *named = server_name(l);
  ms_section local = *section;
  const ms_section *s = section->host ? section : &local;
  char host[512];
  const char *userinfo = s->userinfo ? s->userinfo : "";
  size_t user = strlen(userinfo) + 1, path = strlen(s->path) + 1;
  struct ms__http_request *r;
  struct ms__text t;
  local.host = named ? named : "localhost";
  local.port = ms__ws_port(section);
  ms__text_init(&t, host, sizeof host);
  write_host(&t, s);
  r = ms__calloc(&l->stack->ctx->allocator, sizeof *r + user + path + strlen(host) + 1);
  if (!r) return false;
  r->opts.userinfo = s->userinfo ? strcpy(r->text, userinfo) : NULL;
  r->opts.path = strcpy(r->text + user, s->path);
  r->opts.host = strcpy(r->text + user + path, host);
  l->setup->request = r;
  return true;
}

/* Somebody in front who is believed tells where the peer is; true: first of all by PROXY. Whom that
 * tells of may be a front itself, and say in the request who is behind it. */
static bool set_fronted(struct ms__session *l) {
  const struct ms__stack *s = l->stack;
  struct ms__setup *r = l->setup;
  unsigned says = ms__fronts_say(s->fronts, s->fronts_count, &l->peer);
  if (!says) return false;
  r->front = l->peer;
  r->fronted = true;
  r->proxy = (struct ms__proxy_opts){&l->peer};
  r->http = s->http;
  r->http.asks = true;
  r->http.peer = &l->peer;
  return says & MS__FRONT_PROXY;
}

/* Whom a certificate has to name: the section's own name, or the transport's host. */
static void name_servers(struct ms__session *l, const ms_section *sections) {
  const char *host = sections[0].host && !*sections[0].host ? "localhost" : sections[0].host;
  for (size_t i = 0; i < l->stack->count; i++)
    l->setup->sections[i].tls = (struct ms__tls_opts){
        .context = (struct ssl_ctx_st *const *)&l->stack->tls.client,
        .name =
            i && sections[i].kind == MS_SECTION_TLS && sections[i].host ? sections[i].host : host};
}

/* The options of a layer of the i-th section. */
static const void *opts_of(const struct ms__session *l, size_t i, const struct ms__layer *layer) {
  const struct ms__setup *r = l->setup;
  if (layer == &ms__shs) return &r->sections[i].shs;
  if (layer == &ms__ws) return &l->stack->ws;
  if (layer == &ms__tls && l->server) return &l->stack->tls_server;
  if (layer == &ms__tls) return &r->sections[i].tls;
  if (layer == &ms__http && r->fronted) return &r->http;
  if (layer == &ms__http) return l->server ? &l->stack->http : &r->request->opts;
  return NULL;
}

int ms__session_bring_up(struct ms__session *l, struct ms__wire *wire, const ms_section *sections,
                         uint64_t deadline) {
  const struct ms__stack *s = l->stack;
  struct ms__layer_spec specs[1 + MS__STACK_SECTIONS + MS__SECTION_LAYERS + 1];
  size_t n = 0;
  bool ready = true;
  if (!l->server) name_servers(l, sections);
  if (!l->server && ms__stack_has_ws(s)) ready = make_request(l, &sections[s->ws_at]);
  if (l->server && set_fronted(l))
    specs[n++] = (struct ms__layer_spec){&ms__proxy, &l->setup->proxy};
  for (size_t i = 0; ready && i < s->count; i++) {
    const struct ms__layer *const *layers = ms__section_impl(&sections[i])->layers;
    for (size_t j = 0; j < MS__SECTION_LAYERS && layers[j]; j++)
      specs[n++] = (struct ms__layer_spec){layers[j], opts_of(l, i, layers[j])};
  }
  if (l->server && !s->authenticated) specs[n++] = (struct ms__layer_spec){&ms__admit, NULL};
  if (ready)
    l->conn =
        ms__conn_new(&s->ctx->loop.env, wire, l->server, specs, n, deadline, &session_events, l);
  else
    wire->ops->close(wire, true);
  if (!l->conn) {
    ms__session_free(l);
    return MS_ENOMEM;
  }
  if (s->stream) ms__conn_as_stream(l->conn);
  s->ctx->pending++;
  return 0;
}

/* ---- The public face ---- */

int ms_conn_answer(ms_conn *conn, bool yes, void *auth) {
  struct ms__answer answer = {.yes = yes};
  struct ms__session *l = conn->owner;
  int r = ms__conn_answer(conn, &answer);
  if (r == 0 && yes) l->auth = auth;
  return r;
}

void ms_conn_handle(ms_conn *conn, const ms_conn_events *events, void *user) {
  struct ms__session *l = conn->owner;
  l->events = events;
  l->user = user;
}

void ms_conn_set_reset_on_shutdown(ms_conn *conn, bool whole) {
  conn->reset_on_shutdown = whole;
}

void *ms_conn_user(const ms_conn *conn) {
  return ms__session_of(conn)->user;
}
ms_ctx *ms_conn_ctx(const ms_conn *conn) {
  return ms__session_of(conn)->stack->ctx;
}
void *ms_conn_auth(const ms_conn *conn) {
  return ms__session_of(conn)->auth;
}
const char *ms_conn_stack(const ms_conn *conn) {
  return ms__session_of(conn)->stack->name;
}
int ms_conn_stack_number(const ms_conn *conn) {
  return ms__session_of(conn)->stack->number;
}
uint64_t ms_conn_id(const ms_conn *conn) {
  return ms__session_of(conn)->id;
}
bool ms_conn_is_server(const ms_conn *conn) {
  return ms__session_of(conn)->server;
}

void ms_conn_stat(const ms_conn *conn, ms_conn_stats *out) {
  ms__conn_stat(conn, uv_now(ms__session_of(conn)->stack->ctx->loop.uv), out);
}

const uint8_t *ms_conn_key(const ms_conn *conn) {
  const struct ms__session *l = ms__session_of(conn);
  return l->has_key ? l->key : NULL;
}
