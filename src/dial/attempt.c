/* One attempt: a place is found and connected to, and the stack is brought up on it. */
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "dial/dial.h"

enum { AGAIN_MSEC = 50, PLACE = 128, SLOW_REFUSAL_MSEC = 1000 };

/* ---- What is told ---- */

bool ms__attempt_runs(const struct ms__attempt *a) {
  return a->step < MS_STEP_OPEN;
}

static void write_address(const struct ms__target *t, char *buf, size_t size) {
  (void)ms__addr_format_safe(t->dialer->addr, t->index, buf, size);
}

void ms__attempt_show(const struct ms__attempt *a, ms_attempt *out) {
  struct ms_dialer *d = a->dialer;
  char *place = d->shown + sizeof d->shown - PLACE;
  write_address(a->target, d->shown, sizeof d->shown - PLACE);
  (void)ms__place_format(&a->place, place, PLACE); /* "": none is known yet */
  *out = (ms_attempt){.number = a->number,
                      .alternative = a->target->index,
                      .step = a->step,
                      .address = d->shown,
                      .place = place,
                      .layer = a->layer,
                      .begun_msec = (uint32_t)(a->begun - d->begun),
                      .msec = (uint32_t)(a->at - d->begun),
                      .error = a->step == MS_STEP_FAILED ? &a->error : NULL};
}

/* False: the dial was given up meanwhile. */
static bool tell(struct ms__attempt *a, enum ms_step step, const char *layer) {
  struct ms_dialer *d = a->dialer;
  ms_attempt shown;
  a->step = step;
  a->at = uv_now(d->ctx->loop.uv);
  ms__text_copy(a->layer, sizeof a->layer, layer ? layer : "");
  if (!d->on_attempt && !ms__loop_logs(&d->ctx->loop, MS_LOG_DEBUG)) return true;
  ms__attempt_show(a, &shown);
  ms__loop_log(&d->ctx->loop, MS_LOG_DEBUG, "dial: %s: %s%s%s%s%s%s%s", shown.address,
               ms_step_text(step), *shown.layer ? " " : "", shown.layer, *shown.place ? " " : "",
               shown.place, shown.error ? ": " : "", shown.error ? shown.error->message : "");
  if (d->on_attempt) d->on_attempt(&shown, d->user);
  return !d->over && !d->aborted;
}

/* ---- Ending ---- */

void ms__attempt_drop(struct ms__attempt *a) {
  if (a->lookup) ms__resolve_cancel(a->lookup);
  a->lookup = NULL;
  ms__stream_close(a->wire, true);
  a->wire = NULL;
  if (a->session) {
    a->session->attempt = NULL;
    ms_conn_abort(a->session->conn);
  }
  a->session = NULL;
  a->again = 0;
}

void ms__attempt_dropped(struct ms__attempt *a) {
  (void)tell(a, MS_STEP_DROPPED, NULL);
}

void ms__attempt_fail(struct ms__attempt *a, const ms_error *cause) {
  struct ms_dialer *d = a->dialer;
  char address[sizeof cause->address];
  ms__attempt_drop(a);
  a->error = *cause;
  write_address(a->target, address, sizeof address);
  ms__error_address(&a->error, address);
  d->in_flight--;
  if (tell(a, MS_STEP_FAILED, cause->layer)) ms__race_lost(d, a);
}

static void out_of_memory(struct ms__attempt *a) {
  ms_error err;
  ms__error(&err, MS_ENOMEM, MS_PHASE_CONNECT, NULL, NULL);
  ms__attempt_fail(a, &err);
}

/* A server hangs up in the same way when its own time for a handshake is over. */
static void explain_refusal(const struct ms__attempt *a, ms_error *cause) {
  uint64_t msec = uv_now(a->dialer->ctx->loop.uv) - a->begun;
  if (msec < SLOW_REFUSAL_MSEC) return;
  (void)snprintf(cause->message, sizeof cause->message,
                 "refused after %llu ms: the peer does not admit this key, has another key itself, "
                 "or its own time for a handshake was over",
                 (unsigned long long)msec);
}

void ms__dial_failed(struct ms__attempt *a, const ms_error *err) {
  ms_error cause = *err;
  a->session = NULL;
  if (a->early) ms__text_copy(cause.message, sizeof cause.message, MS__EVICTED);
  if (cause.code == MS_EREFUSED) explain_refusal(a, &cause);
  ms__attempt_fail(a, &cause);
}

void ms__dial_layer_up(struct ms__attempt *a, const char *layer) {
  (void)tell(a, MS_STEP_LAYER, layer);
}

void ms__dial_open(struct ms__attempt *a, struct ms__session *session) {
  struct ms_dialer *d = a->dialer;
  session->attempt = NULL;
  a->session = NULL;
  d->in_flight--;
  if (tell(a, MS_STEP_OPEN, NULL))
    ms__dial_finish(d, session->conn, NULL);
  else
    ms_conn_abort(session->conn);
}

/* ---- Bringing up the stack ---- */

/* The session's own copy: it may outlive the dial. */
static int set_identity(struct ms__session *session, const struct ms__target *t,
                        const ms_section *s) {
  struct ms__setup *r = session->setup;
  if (s->has_seed)
    (void)ms_identity_from_seed(&r->own, s->seed, NULL);
  else if (t->dialer->identity)
    r->own = ms__identity_copy(t->dialer->identity);
  else
    return 0;
  r->shs.identity = r->own;
  return r->own ? 0 : MS_ENOMEM;
}

/* Our identity for this dial, and whom we mean to reach. */
static int set_keys(struct ms__session *session, const struct ms__target *t) {
  for (size_t i = 0; i < t->alternative->count; i++) {
    const ms_section *s = &t->alternative->sections[i];
    if (!t->stack->impl[i]->authenticates) continue;
    memcpy(session->key, s->key, MS_KEY_BYTES);
    session->has_key = true;
    session->setup->shs.server_key = session->key;
    if (set_identity(session, t, s) < 0) return MS_ENOMEM;
  }
  return 0;
}

static void bring_up(struct ms__attempt *a) {
  const struct ms__target *t = a->target;
  struct ms_dialer *d = a->dialer;
  struct ms__stream *wire = a->wire;
  struct ms__session *session = ms__session_new(t->stack, false);
  if (!session || set_keys(session, t) < 0) {
    if (session) ms__session_free(session);
    out_of_memory(a);
    return;
  }
  if (t->stack->transport->tune) t->stack->transport->tune(ms__stream_fd(wire));
  write_address(t, d->shown, sizeof d->shown);
  session->address = ms__strdup(&d->ctx->allocator, d->shown);
  a->wire = NULL;
  if (ms__session_bring_up(session, wire, t->alternative->sections, d->deadline) < 0) {
    out_of_memory(a);
    return;
  }
  session->attempt = a;
  a->session = session;
}

/* ---- Connecting ---- */

/* " from 192.0.2.7", or nothing. */
static void write_local(const struct ms_dialer *d, char *buf, size_t size) {
  char host[PLACE - sizeof " from "];
  *buf = '\0';
  if (d->local.family == AF_UNSPEC) return;
  ms__inet_host(&d->local, host, sizeof host);
  (void)snprintf(buf, size, " from %s", host);
}

static void connect_failed(struct ms__attempt *a, int status) {
  const struct ms__stack *stack = a->target->stack;
  const char *name = stack->sections[0].name;
  ms_error err;
  if (status == UV_EAGAIN) { /* a unix server's queue is full: TCP would wait by itself */
    ms__stream_close(a->wire, true);
    a->wire = NULL;
    a->again = uv_now(a->dialer->ctx->loop.uv) + AGAIN_MSEC;
    ms__race_go_on(a->dialer);
    return;
  }
  if (stack->transport->by_host) {
    char host[PLACE], local[PLACE];
    ms__inet_host(&a->place.inet, host, sizeof host);
    write_local(a->dialer, local, sizeof local);
    ms__error_sys(&err, MS_ECONNECT, -status, MS_PHASE_CONNECT, name,
                  "could not connect to port %d of %s%s", ms__inet_port(&a->place.inet), host,
                  local);
  } else {
    ms__error_sys(&err, MS_ECONNECT, -status, MS_PHASE_CONNECT, name, "could not connect");
  }
  ms__attempt_fail(a, &err);
}

static void on_connected(void *user, int status) {
  struct ms__attempt *a = user;
  if (status < 0)
    connect_failed(a, status);
  else if (tell(a, MS_STEP_CONNECTED, a->target->stack->sections[0].name))
    bring_up(a);
}

/* 0 or a negative errno. */
static int bind_local(struct ms__attempt *a) {
  const union ms__inet *local = &a->dialer->local;
  if (local->family == AF_UNSPEC || !a->target->stack->transport->by_host) return 0;
  if (local->family != a->place.inet.family) return UV_EAFNOSUPPORT;
  return ms__stream_bind(a->wire, local);
}

void ms__attempt_again(struct ms__attempt *a) {
  const struct sockaddr *address = (const struct sockaddr *)&a->place.address;
  int r;
  a->again = 0;
  a->wire = ms__stream_new(&a->dialer->ctx->loop, a->place.address.ss_family);
  if (!a->wire) {
    out_of_memory(a);
    return;
  }
  r = bind_local(a);
  if (r == 0) r = ms__stream_connect(a->wire, address, a->place.length, on_connected, a);
  if (r) on_connected(a, r < 0 ? r : 0);
}

/* The stagger is from one connecting to the next, however long a look-up has taken (RFC 8305,
 * section 5). */
static void connect_next(struct ms__attempt *a) {
  struct ms__target *t = a->target;
  struct ms_dialer *d = a->dialer;
  uint64_t next_at = uv_now(d->ctx->loop.uv) + d->stagger_msec;
  if (d->next_at < next_at) d->next_at = next_at;
  a->place = t->places.at[t->next++];
  if (tell(a, MS_STEP_CONNECT, t->stack->sections[0].name)) ms__attempt_again(a);
}

/* ---- Finding places ---- */

/* The families take turns, beginning with that of the first (RFC 8305, section 4). */
static void interleave(struct ms__places *places) {
  for (size_t i = 1; i < places->count; i++) {
    struct ms__place other;
    size_t j = i;
    while (j < places->count &&
           places->at[j].address.ss_family == places->at[i - 1].address.ss_family)
      j++;
    if (j == places->count) return;
    other = places->at[j];
    memmove(&places->at[i + 1], &places->at[i], (j - i) * sizeof other);
    places->at[i] = other;
  }
}

/* Refusals that came before its places were known. */
static void skip_refused(struct ms__target *t) {
  for (const struct ms__attempt *a = t->dialer->first; a; a = a->next)
    if (a->error.code == MS_EREFUSED && a->place.length)
      ms__target_refused(t, a->target, &a->place);
}

static void on_places(void *user, struct ms__places *places, const ms_error *err) {
  struct ms__attempt *a = user;
  ms_error refused;
  a->lookup = NULL;
  a->target->places = *places;
  if (err) {
    ms__attempt_fail(a, err);
    return;
  }
  skip_refused(a->target);
  if (places->count && (a->target->refused || !a->target->places.count)) {
    ms__error(&refused, MS_EREFUSED, MS_PHASE_RESOLVE, a->target->stack->sections[0].name,
              "it is a place that has refused us already");
    ms__attempt_fail(a, &refused);
    return;
  }
  interleave(&a->target->places);
  if (a->target->places.count > 1) ms__race_go_on(a->dialer); /* there is more to be tried */
  connect_next(a);
}

static int find_places(struct ms__attempt *a, ms_error *err) {
  struct ms__target *t = a->target;
  struct ms_ctx *ctx = a->dialer->ctx;
  const ms_section *section = &t->alternative->sections[0];
  int r;
  if (t->stack->transport->by_host) {
    a->lookup = ms__resolve(&ctx->loop, section->host, section->port, false, on_places, a);
    return a->lookup ? 0 : ms__error(err, MS_ENOMEM, MS_PHASE_RESOLVE, NULL, NULL);
  }
  t->places.at = ms__calloc(&ctx->allocator, sizeof *t->places.at);
  if (!t->places.at) return ms__error(err, MS_ENOMEM, MS_PHASE_CONNECT, NULL, NULL);
  if ((r = t->stack->transport->place(section, &t->places.at[0], err)) < 0) return r;
  t->places.count = 1;
  return 0;
}

/* ---- Beginning ---- */

static struct ms__attempt *make(struct ms__target *t) {
  struct ms_dialer *d = t->dialer;
  struct ms__attempt *a = ms__calloc(&d->ctx->allocator, sizeof *a);
  if (!a) return NULL;
  a->dialer = d;
  a->target = t;
  a->number = ++d->attempts;
  a->begun = uv_now(d->ctx->loop.uv);
  *d->last = a;
  d->last = &a->next;
  d->in_flight++;
  t->tried++;
  return a;
}

void ms__attempt_begin(struct ms__target *t) {
  struct ms__attempt *a = make(t);
  ms_error err;
  int r;
  if (!a) {
    ms__dial_error(t->dialer, MS_ENOMEM, MS_PHASE_CONNECT, &err);
    ms__dial_finish(t->dialer, NULL, &err);
    return;
  }
  if (t->asked) {
    connect_next(a);
    return;
  }
  t->asked = true;
  r = ms__stack_prepare(t->stack, t->alternative->sections, &err);
  a->begun = ms__ctx_now(t->dialer->ctx); /* to read certificates takes its time */
  if (!tell(a, MS_STEP_RESOLVE, t->stack->sections[0].name)) return;
  if (r == 0) r = find_places(a, &err);
  if (r < 0)
    ms__attempt_fail(a, &err);
  else if (!a->lookup)
    connect_next(a);
}
