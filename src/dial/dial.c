/* A dial: the alternatives that a stack understands, one after the other, each at every address
 * its host has, until one has its whole stack up. */
#include <sodium.h>
#include <stdio.h>

#include "api/ctx.h"
#include "base/error.h"
#include "base/mem.h"

enum { RETRY_MSEC = 50 };

/* One alternative and the stack that understands it. */
struct target {
  const ms_alternative *alternative;
  struct ms__stack *stack;
  size_t index;     /* in the address */
  bool refused_key; /* a peer with its key has refused us */
};

struct ms_dialer {
  struct ms_dialer *prev, *next;
  struct ms_ctx *ctx;
  ms_dialled_cb on_dialled;
  ms_attempt_cb on_attempt;
  void *user;
  ms_addr *addr;
  struct target *targets;
  size_t count, at; /* the target being tried */
  struct ms__places places;
  size_t place; /* the next of them */
  struct ms_resolving *lookup;
  struct ms__uv_wire *wire; /* connecting */
  struct ms__link *link;    /* raising its stack */
  uint64_t deadline;
  uv_timer_t step, timeout;
  int handles;
  size_t attempts; /* failed ones */
  ms_error error;  /* of the attempt that came furthest, else the last */
  bool over, aborted;
  bool again; /* the place being tried has had no room for us */
};

/* ---- The end ---- */

static void on_closed(uv_handle_t *handle) {
  struct ms_dialer *d = handle->data;
  struct ms_ctx *ctx = d->ctx;
  if (--d->handles > 0) return;
  ms__free(&ctx->allocator, d);
  ms__loop_release(&ctx->loop);
}

static void drop_wire(struct ms_dialer *d) {
  ms__uv_wire_close(d->wire, true);
  d->wire = NULL;
}

/* Lets go of whatever the running attempt holds. */
static void drop_attempt(struct ms_dialer *d) {
  if (d->lookup) ms__resolve_cancel(d->lookup);
  d->lookup = NULL;
  drop_wire(d);
  if (d->link) {
    d->link->dialer = NULL;
    ms_conn_abort(d->link->conn);
  }
  d->link = NULL;
}

static void drop_targets(struct ms_dialer *d) {
  for (size_t i = 0; i < d->count; i++)
    ms__stack_release(d->targets[i].stack);
  ms__free(&d->ctx->allocator, d->targets);
  ms_addr_free(d->addr);
  d->targets = NULL;
  d->addr = NULL;
}

/* The one callback. */
static void finish(struct ms_dialer *d, ms_conn *conn, const ms_error *err) {
  struct ms_ctx *ctx = d->ctx;
  d->over = true;
  ctx->dials--;
  if (conn)
    ctx->dialled++;
  else
    ctx->dial_failed++;
  drop_attempt(d);
  if (d->prev)
    d->prev->next = d->next;
  else
    ctx->dialers = d->next;
  if (d->next) d->next->prev = d->prev;
  d->on_dialled(conn, err, d->user);
  ms__places_free(&ctx->allocator, &d->places);
  drop_targets(d);
  uv_close((uv_handle_t *)&d->step, on_closed);
  uv_close((uv_handle_t *)&d->timeout, on_closed);
  ms__ctx_settled(ctx);
}

/* ---- Steps: each from the loop, never from inside another ---- */

static void on_step(uv_timer_t *timer);

static void go_on(struct ms_dialer *d) {
  (void)uv_timer_start(&d->step, on_step, 0, 0);
}

static const uint8_t *key_of(const struct target *t) {
  for (size_t i = 0; i < t->alternative->count; i++)
    if (t->alternative->sections[i].has_key) return t->alternative->sections[i].key;
  return NULL;
}

/* A peer that refused us will refuse us elsewhere too (behaviours.md, section 5). */
static void skip_key(struct ms_dialer *d) {
  const uint8_t *refused = key_of(&d->targets[d->at]);
  if (!refused) return;
  for (size_t i = d->at; i < d->count; i++) {
    const uint8_t *key = key_of(&d->targets[i]);
    if (key && memcmp(key, refused, MS_KEY_BYTES) == 0) d->targets[i].refused_key = true;
  }
}

static void name_address(const struct ms_dialer *d, ms_error *err) {
  char address[sizeof err->address];
  if (d->at >= d->count) return;
  (void)ms__addr_format_safe(d->addr, d->targets[d->at].index, address, sizeof address);
  ms__error_address(err, address);
}

static void attempt_failed(struct ms_dialer *d, const ms_error *cause) {
  ms_error err = *cause;
  name_address(d, &err);
  ms__loop_log(&d->ctx->loop, MS_LOG_DEBUG, "dial: %s: %s", err.address, err.message);
  if (d->on_attempt) d->on_attempt(err.address, &err, d->user);
  if (d->aborted) return;
  d->attempts++;
  if (d->error.code == 0 || err.phase >= d->error.phase) d->error = err;
  if (err.code == MS_EREFUSED) skip_key(d);
  if (uv_now(d->ctx->loop.uv) >= d->deadline)
    finish(d, NULL, &err);
  else
    go_on(d);
}

void ms__dial_failed(struct ms_dialer *d, const ms_error *err) {
  d->link = NULL;
  if (!d->over) attempt_failed(d, err);
}

void ms__dial_open(struct ms_dialer *d, struct ms__link *link) {
  link->dialer = NULL;
  d->link = NULL;
  finish(d, link->conn, NULL);
}

/* Our identity for this dial, and whom we mean to reach. */
static int set_keys(struct ms__link *link, const struct target *t) {
  for (size_t i = 0; i < t->alternative->count; i++) {
    const ms_section *s = &t->alternative->sections[i];
    if (!t->stack->impl[i]->authenticates) continue;
    memcpy(link->key, s->key, MS_KEY_BYTES);
    link->has_key = true;
    link->shs.server_key = link->key;
    if (s->has_seed) {
      int r = ms_identity_from_seed(&link->seeded, s->seed, NULL);
      if (r < 0) return r;
      link->shs.identity = link->seeded;
    }
  }
  return 0;
}

static void out_of_memory(struct ms_dialer *d) {
  ms_error err;
  ms__error(&err, MS_ENOMEM, MS_PHASE_CONNECT, NULL, NULL);
  attempt_failed(d, &err);
}

static void raise_stack(struct ms_dialer *d) {
  const struct target *t = &d->targets[d->at];
  struct ms__uv_wire *wire = d->wire;
  struct ms__link *link = ms__link_new(t->stack, false);
  struct ms__text text;
  char address[1024];
  if (!link || set_keys(link, t) < 0) {
    if (link) ms__link_free(link);
    drop_wire(d);
    out_of_memory(d);
    return;
  }
  if (t->stack->transport->tune) t->stack->transport->tune(ms__uv_wire_fd(wire));
  ms__text_init(&text, address, sizeof address);
  for (size_t i = 0; i < t->alternative->count; i++) {
    if (i) ms__text_char(&text, '~');
    ms__section_format(&text, &t->alternative->sections[i], true);
  }
  link->address = ms__strdup(&d->ctx->allocator, address);
  d->wire = NULL;
  if (ms__link_raise(link, wire, t->alternative->sections, d->deadline) < 0) {
    out_of_memory(d);
    return;
  }
  link->dialer = d;
  d->link = link;
}

static void connect_failed(struct ms_dialer *d, int status) {
  const struct ms__place *place = &d->places.at[d->place - 1];
  const struct ms__stack *stack = d->targets[d->at].stack;
  const char *name = stack->sections[0].name;
  ms_error err;
  if (status == UV_EAGAIN) { /* a unix server's queue is full: TCP would wait by itself */
    d->place--;
    d->again = true;
    (void)uv_timer_start(&d->step, on_step, RETRY_MSEC, 0);
    return;
  }
  if (stack->transport->by_host) {
    char host[128];
    ms__place_host(place, host, sizeof host);
    ms__error_sys(&err, MS_ECONNECT, -status, MS_PHASE_CONNECT, name,
                  "could not connect to port %d of %s", ms__place_port(place), host);
  } else {
    ms__error_sys(&err, MS_ECONNECT, -status, MS_PHASE_CONNECT, name, "could not connect");
  }
  attempt_failed(d, &err);
}

static void on_connected(void *user, int status) {
  struct ms_dialer *d = user;
  if (status < 0) {
    drop_wire(d);
    connect_failed(d, status);
  } else {
    raise_stack(d);
  }
}

static void try_place(struct ms_dialer *d) {
  const struct ms__place *place = &d->places.at[d->place++];
  int r;
  if (!d->again) {
    ms_error named = {0};
    name_address(d, &named);
    ms__loop_log(&d->ctx->loop, MS_LOG_DEBUG, "dial: trying %s", named.address);
    if (d->on_attempt) d->on_attempt(named.address, NULL, d->user);
    if (d->aborted) return;
  }
  d->again = false;
  d->wire = ms__uv_wire_new(&d->ctx->loop, place->address.ss_family);
  if (!d->wire) {
    out_of_memory(d);
    return;
  }
  r = ms__uv_wire_connect(d->wire, (const struct sockaddr *)&place->address, on_connected, d);
  if (r == 0) return;
  drop_wire(d);
  connect_failed(d, r);
}

static void on_places(void *user, struct ms__places *places, const ms_error *err) {
  struct ms_dialer *d = user;
  d->lookup = NULL;
  d->places = *places;
  d->place = 0;
  if (err)
    attempt_failed(d, err);
  else
    go_on(d);
}

static void find_places(struct ms_dialer *d) {
  const struct target *t = &d->targets[d->at];
  const ms_section *section = &t->alternative->sections[0];
  ms_error err;
  if (ms__stack_prepare(t->stack, t->alternative->sections, &err) < 0) {
    attempt_failed(d, &err);
    return;
  }
  if (t->stack->transport->by_host) {
    d->lookup = ms__resolve(&d->ctx->loop, section->host, section->port, false, on_places, d);
    if (!d->lookup) out_of_memory(d);
    return;
  }
  d->places.at = ms__calloc(&d->ctx->allocator, sizeof *d->places.at);
  if (!d->places.at) {
    out_of_memory(d);
    return;
  }
  if (t->stack->transport->place(section, &d->places.at[0], &err) < 0) {
    attempt_failed(d, &err);
    return;
  }
  d->places.count = 1;
  go_on(d);
}

static void give_up(struct ms_dialer *d) {
  if (d->attempts > 1) {
    size_t n = strlen(d->error.message);
    (void)snprintf(d->error.message + n, sizeof d->error.message - n,
                   " (the furthest of %zu attempts)", d->attempts);
  }
  finish(d, NULL, &d->error);
}

/* The next place of this target, or the next target. */
static void on_step(uv_timer_t *timer) {
  struct ms_dialer *d = timer->data;
  bool begin = d->at == d->count; /* before the first */
  if (!begin && !d->targets[d->at].refused_key && d->place < d->places.count) {
    try_place(d);
    return;
  }
  ms__places_free(&d->ctx->allocator, &d->places);
  d->place = 0;
  d->at = begin ? 0 : d->at + 1;
  while (d->at < d->count && d->targets[d->at].refused_key)
    d->at++;
  if (d->at == d->count) {
    d->at = d->count - 1;
    give_up(d);
    return;
  }
  find_places(d);
}

static void on_timeout(uv_timer_t *timer) {
  struct ms_dialer *d = timer->data;
  ms_error err;
  if (d->link) return; /* its own deadline is the same, and knows the layer */
  ms__error(&err, MS_ETIMEDOUT, d->lookup ? MS_PHASE_RESOLVE : MS_PHASE_CONNECT,
            d->at < d->count ? d->targets[d->at].stack->sections[0].name : NULL, NULL);
  name_address(d, &err);
  finish(d, NULL, &err);
}

static void on_abort(uv_timer_t *timer) {
  struct ms_dialer *d = timer->data;
  ms_error err;
  ms__error(&err, MS_EABORTED, MS_PHASE_NONE, NULL, NULL);
  name_address(d, &err);
  finish(d, NULL, &err);
}

/* ---- The public face ---- */

static const char *reason_of(const ms_addr *addr) {
  for (size_t i = 0; i < ms_addr_count(addr); i++)
    if (ms_addr_at(addr, i)->error.code) return ms_addr_at(addr, i)->error.message;
  return NULL;
}

static int find_targets(struct ms_dialer *d, ms_error *err) {
  size_t n = ms_addr_count(d->addr);
  d->targets = ms__calloc(&d->ctx->allocator, n * sizeof *d->targets);
  if (!d->targets) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < d->ctx->stack_count; j++) {
      struct ms__stack *s = ms__stack_at(d->ctx, j);
      if (!s || !ms_addr_match(ms_addr_at(d->addr, i), s->name)) continue;
      ms__stack_hold(s);
      d->targets[d->count++] =
          (struct target){.alternative = ms_addr_at(d->addr, i), .stack = s, .index = i};
      break;
    }
  }
  d->at = d->count;
  if (d->count) return 0;
  if (reason_of(d->addr))
    return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, NULL, "no stack understands it (%s)",
                     reason_of(d->addr));
  return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, NULL, NULL);
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
  (void)uv_timer_start(&d->timeout, on_timeout, timeout_msec, 0);
  ctx->dials++;
  d->next = ctx->dialers;
  if (d->next) d->next->prev = d;
  ctx->dialers = d;
  go_on(d);
}

int ms_dial(ms_ctx *ctx, ms_dialer **out, const char *address, const ms_dial_opts *opts,
            ms_error *err) {
  struct ms_dialer *d;
  int r;
  if (out) *out = NULL;
  if (!opts || opts->size != sizeof *opts || !opts->on_dialled)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                     "opts needs MS_OPTS_INIT of this version's header and on_dialled");
  if (ctx->closing) return ms__error(err, MS_ESTATE, MS_PHASE_NONE, NULL, "the context is closing");
  d = ms__calloc(&ctx->allocator, sizeof *d);
  if (!d) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  d->ctx = ctx;
  d->on_dialled = opts->on_dialled;
  d->on_attempt = opts->on_attempt;
  d->user = opts->user;
  r = ms_addr_parse(&d->addr, address, strlen(address), MS_ADDR_DIAL, err);
  if (r == 0 && (r = find_targets(d, err)) < 0 && err) {
    char safe[sizeof err->address];
    (void)ms__addr_format_safe(d->addr, SIZE_MAX, safe, sizeof safe);
    ms__error_address(err, safe);
  }
  if (r < 0) {
    drop_targets(d);
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
  drop_attempt(d);
  (void)uv_timer_stop(&d->timeout);
  (void)uv_timer_start(&d->step, on_abort, 0, 0);
}

void ms__dial_abort_all(struct ms_ctx *ctx) {
  for (struct ms_dialer *d = ctx->dialers; d; d = d->next)
    ms_dial_abort(d);
}
