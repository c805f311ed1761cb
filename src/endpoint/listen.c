/* Listening: each stack opens its sockets and reports its own result. */
#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "endpoint/ctx.h"

/* With port 0 and two families, the second family wants the port the first was given; when another
 * process has it, both try again. */
enum { PORT_TRIES = 16 };

/* ---- Accepting ---- */

/* By a reset where there is one: on a bare stack an end would be a peer's clean end. */
static void turn_away(int fd) {
  static const struct linger none = {.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

/* Who gets to it enters, so that only we, and whom the operator has named, may. */
static bool is_for_us_alone(const struct ms__stack *s) {
  return !s->authenticated && !s->insecure_noauth;
}

static void on_accepted(void *user, int fd, const struct ms__place *peer) {
  struct ms__bound *b = user;
  struct ms__stack *s = b->stack;
  struct ms_ctx *ctx = s->ctx;
  struct ms__stream *wire = NULL;
  struct ms__session *session;
  ctx->accepted++;
  if (is_for_us_alone(s) && s->transport->knows_peer &&
      !s->transport->knows_peer(&b->socket, fd, &ctx->allocator)) {
    ms__admission_refuse(ctx, "another user at a unix socket, where nothing proves who it is");
    turn_away(fd);
    return;
  }
  session = ms__session_new(s, true);
  if (session) session->peer = peer->inet;
  if (session && ms__admission_enter(session))
    wire = ms__stream_new(&ctx->loop, b->socket.place.address.ss_family);
  if (!wire || ms__stream_adopt(wire, fd) < 0) {
    if (!session || !session->setup->evicted_for) ctx->failed++; /* no memory */
    turn_away(fd);
    ms__stream_close(wire, false);
    if (session) ms__session_free(session);
    return;
  }
  if (s->transport->tune) s->transport->tune(fd);
  if (ms__session_bring_up(session, wire, s->sections, uv_now(ctx->loop.uv) + ctx->accept_msec) < 0)
    ctx->failed++;
}

/* ---- Wildcards ---- */

/* 0.0.0.0 alone: IPv4 is its own then, and no part of what "::" serves on the same port. */
static bool is_ipv4_wildcard(const struct ms__stack *s) {
  const char *host = s->transport->by_host ? s->sections[0].host : NULL;
  return host && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::ffff:0.0.0.0") == 0);
}

/* Both families. */
static bool is_every(const struct ms__stack *s) {
  const char *host = s->sections[0].host;
  if (!s->transport->by_host) return false;
  return host && *host ? strcmp(host, "::") == 0 : s->scopes != MS_DEVICE;
}

/* Is another stack of this kind given the port, whether it listens yet or not? 0 is nobody's. */
static bool is_beside(const struct ms__stack *s, bool (*kind)(const struct ms__stack *), int port) {
  const struct ms_ctx *ctx = s->ctx;
  for (size_t i = 0; port && i < ctx->stack_count; i++) {
    const struct ms__stack *other = ms__stack_at(ctx, i);
    if (other && other != s && other->sections[0].port == port && kind(other)) return true;
  }
  return false;
}

static bool leaves_ipv4(const struct ms__stack *s, int port) {
  return is_every(s) && is_beside(s, is_ipv4_wildcard, port);
}

const char *ms__stack_loopback(const struct ms__stack *s) {
  if (leaves_ipv4(s, s->port)) return "::1";
  return is_ipv4_wildcard(s) && is_beside(s, is_every, s->port) ? "127.0.0.1" : "localhost";
}

/* ---- Opening sockets ---- */

static void close_sockets(struct ms__stack *s) {
  struct ms_ctx *ctx = s->ctx;
  while (s->bound) {
    struct ms__bound *b = s->bound;
    s->bound = b->next;
    if (b->listener) ms__listener_close(b->listener);
    if (!ms__inherited_give(ctx->inherited, ctx->inherited_count, &b->socket))
      s->transport->unlisten(&b->socket);
    ms__free(&ctx->allocator, b);
  }
  if (s->listens && !ctx->ready_told) ctx->listening_up--;
  s->listens = false;
}

/* Another stack that listens on the port. */
static const struct ms__stack *holder_of(const struct ms__stack *s, int port) {
  const struct ms_ctx *ctx = s->ctx;
  for (size_t i = 0; i < ctx->stack_count; i++) {
    const struct ms__stack *other = ms__stack_at(ctx, i);
    if (other && other != s && other->transport->by_host && other->bound && other->port == port)
      return other;
  }
  return NULL;
}

/* Who has the port is known where we have it ourselves: IPv4 may be part of what "::" serves. */
static int name_holder(const struct ms__stack *s, const struct ms__place *place, ms_error *err) {
  int port = ms__inet_port(&place->inet), sys = err->sys;
  const struct ms__stack *holder = s->transport->by_host ? holder_of(s, port) : NULL;
  char address[sizeof err->address];
  if (!holder) return MS_EADDRINUSE;
  (void)ms__addr_format_safe(holder->addr, 0, address, sizeof address);
  ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, s->transport->name,
            "port %d is in use by this process' own %s%s", port, address,
            is_every(holder) && !is_ipv4_wildcard(s) ? ", which has both families"
            : is_every(holder) ? ", which leaves IPv4 to what is there when it begins to listen"
                               : "");
  err->sys = sys;
  return MS_EADDRINUSE;
}

/* A unix socket of our own has the mode that was asked for; one that we are given may have any, and
 * where it lets others in they are not turned away behind somebody's back. An abstract one has
 * none. */
static int open_socket(struct ms__stack *s, const struct ms__place *place, struct ms__socket *out,
                       ms_error *err) {
  struct ms_ctx *ctx = s->ctx;
  struct ms__listening how = s->how;
  how.ipv6_only = leaves_ipv4(s, ms__inet_port(&place->inet));
  if (!ms__inherited_take(ctx->inherited, ctx->inherited_count, place, out)) {
    int r = s->transport->listen(place, &how, out, err);
    return r == MS_EADDRINUSE ? name_holder(s, place, err) : r;
  }
  if (s->asks_access)
    ms__loop_log(&ctx->loop, MS_LOG_WARN,
                 "listen: unix:%s: who handed the socket over has set its mode and group "
                 "(SocketMode, SocketGroup): they stay as they are",
                 s->sections[0].path);
  if (!is_for_us_alone(s) || s->transport->by_host || ms__unix_is_private(&out->place) ||
      ms__place_is_abstract(&out->place))
    return 0;
  (void)ms__inherited_give(ctx->inherited, ctx->inherited_count, out);
  return ms__error(err, MS_EINSECURE, MS_PHASE_LISTEN, s->name,
                   "nothing authenticates who comes, and the mode of the socket and its folder let "
                   "other users in: give it mode 0600 (SocketMode=0600)");
}

static int open_one(struct ms__stack *s, const struct ms__place *place, ms_error *err) {
  struct ms__bound *b = ms__calloc(&s->ctx->allocator, sizeof *b);
  struct ms__bound **end = &s->bound;
  int r;
  if (!b) return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, s->transport->name, NULL);
  b->stack = s;
  if ((r = open_socket(s, place, &b->socket, err)) < 0) {
    ms__free(&s->ctx->allocator, b);
    return r;
  }
  if (b->socket.place.inet.family == AF_INET6) {
    int only = 0;
    socklen_t n = sizeof only;
    b->socket.ipv6_only =
        getsockopt(b->socket.fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && only;
  }
  while (*end)
    end = &(*end)->next;
  *end = b;
  if (ms__reserve_watchers(&s->ctx->loop, b->socket.fd) == 0)
    b->listener = ms__listener_new(&s->ctx->loop, b->socket.fd, on_accepted, b);
  if (!b->listener) return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, s->transport->name, NULL);
  if (!s->port) s->port = ms__inet_port(&b->socket.place.inet);
  return 0;
}

/* The wildcard of IPv6 serves both families, unless whoever opened it wanted otherwise, or the
 * other one belongs to another stack. */
static bool is_covered(const struct ms__stack *s, const struct ms__place *place) {
  if (place->inet.family != AF_INET || place->inet.v4.sin_addr.s_addr != htonl(INADDR_ANY))
    return false;
  if (leaves_ipv4(s, ms__inet_port(&place->inet))) return true;
  for (const struct ms__bound *b = s->bound; b; b = b->next) {
    const union ms__inet *bound = &b->socket.place.inet;
    if (bound->family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&bound->v6.sin6_addr) &&
        !b->socket.ipv6_only)
      return true;
  }
  return false;
}

/* This machine does not have the family, or has no address of it. */
static bool is_missing(const ms_error *err) {
  return err->sys == EAFNOSUPPORT || err->sys == EADDRNOTAVAIL;
}

/* `port`: where the places name none; 0: any. A machine without one of the families serves the
 * other. */
static int open_all(struct ms__stack *s, struct ms__places *places, int port, ms_error *err) {
  int r = 0;
  s->port = port;
  for (size_t i = 0; i < places->count && (r == 0 || is_missing(err)); i++) {
    struct ms__place place = places->at[i];
    if (is_covered(s, &place)) continue;
    if (s->port) ms__inet_set_port(&place.inet, s->port);
    r = open_one(s, &place, err);
  }
  if (r == 0 || (is_missing(err) && s->bound)) return 0;
  close_sockets(s);
  return r;
}

static int check_loopback(const struct ms__stack *s, const struct ms__places *places,
                          ms_error *err) {
  if (!is_for_us_alone(s)) return 0;
  for (size_t i = 0; i < places->count; i++)
    if (!ms__place_is_local(&places->at[i]))
      return ms__error(err, MS_EINSECURE, MS_PHASE_LISTEN, s->name,
                       "without authentication it listens on loopback and unix sockets only");
  return 0;
}

/* ---- Reporting ---- */

/* on_ready, once, when those have reported that were there at ms_listen. */
static void check_ready(struct ms_ctx *ctx) {
  if (ctx->listening_due || ctx->ready_told || !ms__listening(ctx) || ctx->suspended) return;
  ctx->ready_told = true;
  ms__addresses_known(ctx);
  if (ctx->events->on_ready) ctx->events->on_ready(ctx, ctx->listening_up, ctx->events_user);
}

/* The stack may be gone when this returns. */
static void report(struct ms__stack *s, ms_error *err) {
  struct ms_ctx *ctx = s->ctx;
  char address[sizeof err->address];
  (void)ms__addr_format_safe(s->addr, 0, address, sizeof address);
  ms__error_address(err, address);
  s->due = false;
  s->listens = !err;
  if (err)
    ms__loop_log(&ctx->loop, ctx->events->on_listen ? MS_LOG_INFO : MS_LOG_ERROR, "listen: %s: %s",
                 address, err->message);
  else if (s->transport->by_host)
    ms__loop_log(&ctx->loop, MS_LOG_INFO, "listen: %s: port %d", address, s->port);
  else
    ms__loop_log(&ctx->loop, MS_LOG_INFO, "listen: %s", address);
  if (!ctx->ready_told) {
    ctx->listening_due--;
    if (!err) ctx->listening_up++;
  }
  ms__addresses_changed(ctx);
  if (ctx->events->on_listen) ctx->events->on_listen(ctx, s->number, err, ctx->events_user);
  check_ready(ctx);
}

static void open_places(struct ms__stack *s, struct ms__places *places) {
  ms_error err = {0};
  int r = check_loopback(s, places, &err);
  bool any_port = s->transport->by_host && s->sections[0].port == 0;
  /* after a suspension the same port, if it can be had */
  if (r == 0) r = open_all(s, places, s->port, &err);
  for (int i = 1; r == MS_EADDRINUSE && any_port && i < PORT_TRIES; i++)
    r = open_all(s, places, 0, &err);
  report(s, r < 0 ? &err : NULL);
}

static void on_places(void *user, struct ms__places *places, const ms_error *cause) {
  struct ms__stack *s = user;
  const ms_allocator *a = &s->ctx->allocator;
  s->lookup = NULL;
  if (cause) {
    ms_error err = *cause;
    report(s, &err);
  } else {
    open_places(s, places);
  }
  ms__places_free(a, places);
}

/* Those that need no look-up, from the loop as the others. */
static void on_start(uv_timer_t *timer) {
  struct ms_ctx *ctx = timer->data;
  for (size_t i = 0; i < ctx->stack_count && !ctx->unlistened; i++) {
    struct ms__stack *s = ms__stack_at(ctx, i);
    struct ms__place place;
    struct ms__places places = {&place, 1};
    ms_error err;
    if (!s || !s->due || s->transport->by_host) continue;
    if (s->transport->place(&s->sections[0], &place, &err) < 0)
      report(s, &err);
    else
      open_places(s, &places);
  }
  check_ready(ctx); /* the last that was due may have been removed */
}

/* ---- Starting and stopping ---- */

bool ms__listening(const struct ms_ctx *ctx) {
  return ctx->events && !ctx->unlistened;
}

int ms__stack_start(struct ms__stack *s) {
  struct ms_ctx *ctx = s->ctx;
  const ms_section *place = &s->sections[0];
  if (!ms__stack_has_place(s) || ctx->suspended) return 0;
  if (s->transport->by_host) {
    bool every = is_every(s);
    s->lookup = ms__resolve(&ctx->loop, place->host && !every ? place->host : "", place->port,
                            every, on_places, s);
    if (!s->lookup) return MS_ENOMEM;
  } else if (ms__listening(ctx)) { /* else when all have been asked */
    (void)uv_timer_start(&ctx->starter, on_start, 0, 0);
  }
  s->due = true;
  if (!ctx->ready_told) ctx->listening_due++;
  return 0;
}

void ms__stack_stop(struct ms__stack *s) {
  struct ms_ctx *ctx = s->ctx;
  if (s->lookup) ms__resolve_cancel(s->lookup);
  s->lookup = NULL;
  if (s->due && !ctx->ready_told && --ctx->listening_due == 0 && ms__listening(ctx))
    (void)uv_timer_start(&ctx->starter, on_start, 0, 0); /* the others are all up */
  s->due = false;
  close_sockets(s);
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
  if (r == 0) (void)uv_timer_start(&ctx->starter, on_start, 0, 0);
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
  ms__inherited_close(ctx->inherited, ctx->inherited_count);
}
