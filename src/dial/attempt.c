/* One attempt: a place is found and connected to, and the stack is brought up on it. */
#include <errno.h>
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
  (void)ms__place_text(&a->place, place, PLACE); /* "": none is known yet */
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

/* Nobody else waits for the first place. */
static void stop_waiting(struct ms__attempt *a) {
  struct ms__target *t = a->target;
  if (t->waiter != a) return;
  t->waiter = NULL;
  if (t->lookup) ms__resolve_cancel(t->lookup);
  t->lookup = NULL;
}

void ms__attempt_drop(struct ms__attempt *a) {
  stop_waiting(a);
  if (a->connecting) a->target->stack->transport->cancel(a->connecting);
  a->connecting = NULL;
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

/* The section's own copy: it may outlive the dial. */
static int set_identity(struct ms__section_setup *to, const struct ms_dialer *d,
                        const ms_section *s) {
  if (s->has_seed)
    (void)ms_identity_from_seed(&to->own, s->seed, NULL);
  else if (d->identity)
    to->own = ms__identity_copy(d->identity);
  else
    return 0;
  to->shs.identity = to->own;
  return to->own ? 0 : MS_ENOMEM;
}

/* Our identity for this dial, and whom we mean to reach, in each section that proves a key. */
static int set_keys(struct ms__session *session, const struct ms__target *t) {
  for (size_t i = 0; i < t->alternative->count; i++) {
    const ms_section *s = &t->alternative->sections[i];
    struct ms__section_setup *to = &session->setup->sections[i];
    if (!t->stack->impl[i]->authenticates) continue;
    ms__session_set_key(session, i, s->key);
    to->shs.server_key = to->key;
    if (set_identity(to, t->dialer, s) < 0) return MS_ENOMEM;
  }
  return 0;
}

static void bring_up(struct ms__attempt *a, struct ms__wire *wire) {
  const struct ms__target *t = a->target;
  struct ms_dialer *d = a->dialer;
  struct ms__session *session = ms__session_new(t->stack, false);
  if (!session || set_keys(session, t) < 0) {
    if (session) ms__session_free(session);
    wire->ops->close(wire, true);
    out_of_memory(a);
    return;
  }
  write_address(t, d->shown, sizeof d->shown);
  session->address = ms__strdup(&d->ctx->allocator, d->shown);
  if (ms__session_bring_up(session, wire, t->alternative->sections, d->deadline) < 0) {
    out_of_memory(a);
    return;
  }
  session->attempt = a;
  a->session = session;
}

/* ---- Connecting ---- */

static void on_connected(void *user, struct ms__wire *wire, const ms_error *cause) {
  struct ms__attempt *a = user;
  const char *name = a->target->stack->sections[0].name;
  ms_error err;
  a->connecting = NULL;
  if (wire) {
    if (tell(a, MS_STEP_CONNECTED, name))
      bring_up(a, wire);
    else
      wire->ops->close(wire, true);
    return;
  }
  if (cause->sys == EAGAIN) { /* a unix server's queue is full: TCP would wait by itself */
    a->again = uv_now(a->dialer->ctx->loop.uv) + AGAIN_MSEC;
    ms__race_go_on(a->dialer);
    return;
  }
  err = *cause;
  if (!err.layer[0]) ms__text_copy(err.layer, sizeof err.layer, name);
  ms__attempt_fail(a, &err);
}

void ms__attempt_again(struct ms__attempt *a) {
  const struct ms__target *t = a->target;
  a->again = 0;
  a->connecting =
      t->stack->transport->connect(&a->dialer->ctx->loop, &a->place, t->opts, on_connected, a);
  if (!a->connecting) out_of_memory(a);
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

/* Refusals that came before its places were known. */
static void skip_refused(struct ms__target *t) {
  for (const struct ms__attempt *a = t->dialer->first; a; a = a->next)
    if (a->error.code == MS_EREFUSED && a->place.length)
      ms__target_refused(t, a->target, &a->place);
}

/* False: no memory. */
static bool append(struct ms__target *t, struct ms__places *more) {
  const ms_allocator *allocator = &t->dialer->ctx->allocator;
  struct ms__places all = {NULL, t->places.count + more->count};
  if (t->places.count == 0) {
    ms__places_free(allocator, &t->places);
    t->places = *more;
    return true;
  }
  all.at = ms__malloc(allocator, all.count * sizeof *all.at);
  if (all.at) {
    memcpy(all.at, t->places.at, t->places.count * sizeof *all.at);
    memcpy(all.at + t->places.count, more->at, more->count * sizeof *all.at);
    ms__places_free(allocator, &t->places);
    t->places = all;
  }
  ms__places_free(allocator, more);
  return all.at != NULL;
}

/* What the attempt that has waited makes of it. */
static void go_on(struct ms__attempt *a, const ms_error *err) {
  struct ms__target *t = a->target;
  ms_error refused;
  if (err) {
    ms__attempt_fail(a, err);
  } else if (t->refused || t->next == t->places.count) {
    ms__error(&refused, MS_EREFUSED, MS_PHASE_RESOLVE, t->stack->sections[0].name,
              "it is a place that has refused us already");
    ms__attempt_fail(a, &refused);
  } else {
    if (t->places.count - t->next > 1) ms__race_go_on(a->dialer); /* there is more to be tried */
    connect_next(a);
  }
}

static void on_places(void *user, struct ms__places *places, bool more, const ms_error *err) {
  struct ms__target *t = user;
  struct ms__attempt *a = t->waiter;
  ms_error no_memory;
  if (!more) t->lookup = NULL;
  if (err) {
    ms__places_free(&t->dialer->ctx->allocator, places);
  } else if (!append(t, places)) {
    ms__error(&no_memory, MS_ENOMEM, MS_PHASE_RESOLVE, NULL, NULL);
    err = &no_memory;
  }
  t->waiter = NULL;
  if (!err) skip_refused(t);
  if (a)
    go_on(a, err);
  else
    ms__race_go_on(t->dialer);
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
  if (r < 0) {
    ms__attempt_fail(a, &err);
    return;
  }
  t->waiter = a;
  t->lookup = t->stack->transport->resolve(&a->dialer->ctx->loop, &t->alternative->sections[0],
                                           t->opts, false, on_places, t);
  if (t->lookup) return;
  ms__error(&err, MS_ENOMEM, MS_PHASE_RESOLVE, NULL, NULL);
  ms__attempt_fail(a, &err);
}
