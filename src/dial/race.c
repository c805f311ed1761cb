/* The race (docs/behaviours.md, section 5; RFC 8305): which attempt begins when.
 *
 * The first begins at once, the next after the stagger, or as soon as one has failed; those that
 * are slow go on. Only when as many run as may and others wait, one that has had as long as a
 * listener gives a handshake makes room. A target's turn is two of its host's addresses, one of
 * each family where it has both; then the next target has its turn, and after the last the first
 * again. */
#include <stdio.h>

#include "base/error.h"
#include "dial/dial.h"

enum { TURN = 2, PATIENCE_MSEC = 5000 };

/* ---- What is left ---- */

static bool has_more(const struct ms__target *t) {
  return !t->refused && (!t->asked || t->next < t->places.count);
}

static struct ms__target *next_target(const struct ms_dialer *d) {
  struct ms__target *best = NULL;
  if (d->attempts >= MS__ATTEMPTS || uv_now(d->ctx->loop.uv) >= d->deadline) return NULL;
  for (size_t i = 0; i < d->count; i++) {
    struct ms__target *t = &d->targets[i];
    if (has_more(t) && (!best || t->tried / TURN < best->tried / TURN)) best = t;
  }
  return best;
}

static bool is_further(const ms_error *one, const ms_error *other) {
  bool refused = one->code == MS_EREFUSED;
  if (refused != (other->code == MS_EREFUSED)) return refused;
  return one->phase >= other->phase;
}

/* That of the attempt which came furthest, the later of two; a refusal before all. */
static const ms_error *furthest(const struct ms_dialer *d) {
  const ms_error *best = NULL;
  for (const struct ms__attempt *a = d->first; a; a = a->next)
    if (a->step == MS_STEP_FAILED && (!best || is_further(&a->error, best))) best = &a->error;
  return best;
}

/* Alternatives without any attempt: not understood, or there was no time, no place or no use. */
static size_t untried(const struct ms_dialer *d) {
  size_t n = ms_addr_count(d->addr);
  for (size_t i = 0; i < d->count; i++)
    if (d->targets[i].tried) n--;
  return n;
}

static void tell_of_others(const struct ms_dialer *d, ms_error *err) {
  size_t n = strlen(err->message), size = sizeof err->message - n, rest = untried(d);
  if (d->attempts > 1 && rest)
    (void)snprintf(err->message + n, size, " (the furthest of %u attempts; not tried: %zu)",
                   d->attempts, rest);
  else if (d->attempts > 1)
    (void)snprintf(err->message + n, size, " (the furthest of %u attempts)", d->attempts);
  else if (rest)
    (void)snprintf(err->message + n, size, " (alternatives not tried: %zu)", rest);
}

static void give_up(struct ms_dialer *d) {
  const ms_error *cause = furthest(d);
  ms_error err;
  if (cause)
    err = *cause;
  else /* the deadline was over before the loop came to the first */
    ms__dial_error(d, MS_ETIMEDOUT, MS_PHASE_CONNECT, &err);
  tell_of_others(d, &err);
  ms__dial_finish(d, NULL, &err);
}

/* ---- Too slow ---- */

/* `early`: others need its place. */
static void time_out(struct ms__attempt *a, bool early) {
  const char *why = early ? MS__EVICTED : ms_code_text(MS_ETIMEDOUT);
  ms_error err;
  if (a->session) { /* it knows the layer, and fails from the loop */
    a->expired = true;
    a->early = early;
    ms__conn_expire(a->session->conn);
    return;
  }
  if (a->again) why = "the server does not accept: too many wait there";
  ms__error(&err, MS_ETIMEDOUT, a->target->waiter == a ? MS_PHASE_RESOLVE : MS_PHASE_CONNECT,
            a->target->stack->sections[0].name, "%s", why);
  ms__attempt_fail(a, &err);
}

/* Who makes room when its time is over: the first that runs. NULL: nobody waits, or it is at it. */
static struct ms__attempt *slowest(const struct ms_dialer *d) {
  struct ms__attempt *a = d->first;
  if (d->in_flight < MS__IN_FLIGHT || !next_target(d)) return NULL;
  while (a && !ms__attempt_runs(a))
    a = a->next;
  return a && !a->expired ? a : NULL;
}

/* ---- Steps: each from the loop, never from inside another ---- */

/* May places of one of the targets still be found? */
static bool may_grow(const struct ms_dialer *d) {
  for (size_t i = 0; i < d->count; i++)
    if (d->targets[i].lookup) return true;
  return false;
}

/* When the next step is due, or UINT64_MAX. */
static uint64_t next_step(const struct ms_dialer *d) {
  const struct ms__attempt *slow = slowest(d);
  uint64_t due = slow ? slow->begun + PATIENCE_MSEC : UINT64_MAX;
  if (d->in_flight < MS__IN_FLIGHT && next_target(d)) due = d->next_at;
  for (const struct ms__attempt *a = d->first; a; a = a->next)
    if (a->again && a->again < due) due = a->again;
  return due;
}

void ms__race_step(uv_timer_t *timer) {
  struct ms_dialer *d = timer->data;
  uint64_t now = uv_now(d->ctx->loop.uv), due;
  struct ms__target *t;
  struct ms__attempt *slow = slowest(d);
  if (!d->passed_over && !ms__dial_pass_over(d)) return;
  if (slow && now >= slow->begun + PATIENCE_MSEC) time_out(slow, true);
  for (struct ms__attempt *a = d->first; a && !d->over && !d->aborted; a = a->next)
    if (a->again && a->again <= now) ms__attempt_again(a);
  if (!d->over && !d->aborted && now >= d->next_at && d->in_flight < MS__IN_FLIGHT &&
      (t = next_target(d))) {
    d->next_at = now + d->stagger_msec;
    ms__attempt_begin(t);
  }
  if (d->over || d->aborted) return;
  due = next_step(d);
  if (due == UINT64_MAX && d->in_flight == 0 && !may_grow(d))
    give_up(d);
  else if (due != UINT64_MAX)
    (void)uv_timer_start(timer, ms__race_step, due > now ? due - now : 0, 0);
}

void ms__race_go_on(struct ms_dialer *d) {
  (void)uv_timer_start(&d->step, ms__race_step, 0, 0);
}

/* Whoever refused us there would do so again (docs/behaviours.md, section 5). At another host or
 * port may be somebody else: an address that is out of date often belongs to a stranger today, and
 * a server with another key than the one that was meant looks like one that refuses. Attempts that
 * run go on. */
static void skip_place(struct ms_dialer *d, const struct ms__attempt *refused) {
  for (size_t i = 0; i < d->count; i++)
    ms__target_refused(&d->targets[i], refused->target, &refused->place);
}

void ms__race_lost(struct ms_dialer *d, const struct ms__attempt *a) {
  if (a->error.code == MS_EREFUSED) skip_place(d, a);
  d->next_at = uv_now(d->ctx->loop.uv);
  ms__race_go_on(d);
}

void ms__race_timeout(struct ms_dialer *d) {
  for (struct ms__attempt *a = d->first; a && !d->over && !d->aborted; a = a->next)
    if (ms__attempt_runs(a)) time_out(a, false);
  if (!d->over && !d->aborted) ms__race_go_on(d);
}
