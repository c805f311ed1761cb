/* How a connection fails, drains, is told to be over, and goes. */
#include "base/error.h"
#include "base/mem.h"
#include "conn/conn.h"

/* What a peer whose handshake has failed has for our last words. */
enum { LAST_WORDS_MSEC = 1000 };

/* What the peer of an application that has failed has for what was written, in drains; and the
 * bytes with which it has that again. */
enum { FAILURE_DRAINS = 6, FAILURE_LEAST = 4096 };

/* ---- Memory ---- */

void ms__wipe_scratch(ms_conn *c, struct ms__slot *s) {
  if (!s->scratch) return;
  ms__wipe(s->scratch, s->layer->scratch);
  ms__free(c->env->allocator, s->scratch);
  s->scratch = NULL;
}

void ms__slot_free(ms_conn *c, struct ms__slot *s) {
  ms__wipe_scratch(c, s);
  (void)ms__conn_charge(c, s, 0);
  if (!s->state) return;
  if (s->layer->wipe) s->layer->wipe(s->state);
  if (s->layer->flags & MS__SECRET) ms__wipe(s->state, s->layer->state);
  ms__free(c->env->allocator, s->state);
  s->state = NULL;
}

/* ---- Failure ---- */

/* Has everything the application gave us, its end included, left? */
static bool all_sent(const ms_conn *c) {
  return c->fin_sent || c->end_sent;
}

/* The ends of the layers below the end layer are no loss. */
void ms__conn_note_end_sent(ms_conn *c) {
  if (c->end_sent || c->end_layer < 0 || !c->slots[c->end_layer].ended) return;
  for (int i = 0; i <= c->end_layer; i++)
    if (c->out[i].len) return;
  c->end_sent = true;
}

static void drop_out(ms_conn *c) {
  for (size_t i = 0; i <= c->n; i++)
    ms__edge_drop(&c->env->pool, &c->out[i]);
}

static void writing_over(ms_conn *c, bool unsent) {
  if (c->write_over) return;
  c->unsent = unsent;
  c->write_over = true;
  c->progress = true;
  drop_out(c);
}

void ms__conn_write_failed(ms_conn *c) {
  writing_over(c, !ms__conn_heard(c));
}

void ms__conn_close_wire(ms_conn *c, bool reset) {
  if (!c->wire) return;
  c->wire->ops->close(c->wire, reset);
  c->wire = NULL;
  ms__conn_set_alarm(c, MS__NEVER);
}

void ms__conn_cut(ms_conn *c, bool reset) {
  if (!c->wire) return;
  ms__conn_close_wire(c, reset);
  ms__hold_write_unblocked(c);
  drop_out(c);
  if (!c->in_turn && c->holds) ms__conn_note_holds(c);
}

/* False: there is one before. */
static bool set_cause(ms_conn *c, int code, int sys, const char *layer) {
  if (c->cause.code) return false;
  c->cause.code = (int16_t)code;
  c->cause.sys = sys;
  c->cause.layer = layer;
  if (c->opened)
    c->cause.phase = MS_PHASE_STREAM;
  else
    c->cause.phase = code == MS_EREFUSED ? MS_PHASE_AUTHORISE : MS_PHASE_HANDSHAKE;
  return true;
}

/* What the failed layer has to say. */
static void ask_why(ms_conn *c, const struct ms__slot *s) {
  char why[sizeof((ms_error *)0)->message] = "";
  if (!s->state || !s->layer->explain) return;
  s->layer->explain(s->state, why, sizeof why);
  if (*why) c->cause.why = ms__strdup(c->env->allocator, why);
}

void ms__conn_fail(ms_conn *c, int k, int code, int sys) {
  struct ms__slot *s;
  bool first;
  if (c->failed || c->close_told) return;
  c->progress = true;
  c->deferred = false;
  if (k == -1) c->eof = true;
  if (c->in_end && (k == -1 || k < c->end_layer)) { /* the peer said all it had to say; have we? */
    writing_over(c, !ms__conn_heard(c));
    if (k >= 0) c->slots[k].done = true; /* it is not called again */
    return;
  }
  /* A peer that leaves once it knows who we are has refused us (docs/behaviours.md, section 5). */
  if (!c->opened && c->proved && (code == MS_ETRUNCATED || code == MS_ERESET || code == MS_EGONE))
    code = MS_EREFUSED;
  first = set_cause(c, code, sys, k >= 0 ? c->slots[k].layer->name : NULL);
  c->failed = true;
  c->silent = c->up < c->n && !c->slots[c->up].fed;
  c->failed_at = (int8_t)k;
  c->question.kind = 0;
  for (size_t i = 0; i <= c->n; i++)
    ms__edge_drop(&c->env->pool, &c->in[i]);
  for (size_t i = c->n; i > (size_t)(k + 1); i--) {
    ms__edge_drop(&c->env->pool, &c->out[i]);
    ms__slot_free(c, &c->slots[i - 1]);
  }
  c->n = (uint8_t)(k + 1);
  ms__edge_drop(&c->env->pool, &c->out[c->n]);
  if (k < 0) { /* a lost transport has no last words */
    ms__conn_cut(c, true);
    return;
  }
  s = &c->slots[k];
  if (first) ask_why(c, s);
  ms__wipe_scratch(c, s);
  if (!s->started) { /* nor has a layer that never was */
    s->ended = true;
    ms__edge_finish(&c->out[k]);
  }
}

/* Is there anything that came before a failure of layer k, and that somebody may still read? */
static bool any_above(const ms_conn *c, int k) {
  if (c->up < c->n || ms__conn_discards(c)) return false;
  for (size_t j = (size_t)(k + 1); j <= c->n; j++)
    if (c->in[j].len) return true;
  return false;
}

/* Has a layer above still something to do with what came before? */
static bool any_steps_above(const ms_conn *c, int k) {
  if (ms__conn_discards(c)) return false;
  for (size_t j = (size_t)(k + 1); j < c->n; j++) {
    const struct ms__slot *s = &c->slots[j];
    bool full = s->last_in == MS__FULL;
    if (c->in[j].len && !s->done &&
        (full ? c->in[j + 1].changes != s->seen_up : c->in[j].changes != s->seen_in))
      return true;
  }
  return false;
}

void ms__conn_fail_in_order(ms_conn *c, int k, int code, int sys) {
  if (c->failed || c->close_told || !any_above(c, k)) {
    ms__conn_fail(c, k, code, sys);
    return;
  }
  c->progress = true;
  if (c->deferred && c->deferred_at > k) return; /* that came before */
  if (k == -1) {
    c->eof = true;
    writing_over(c, !ms__conn_heard(c));
  }
  c->deferred = true;
  c->deferred_at = (int8_t)k;
  c->deferred_code = (int8_t)code;
  c->deferred_sys = (int16_t)sys;
}

void ms__conn_fail_deferred(ms_conn *c) {
  if (!c->deferred || any_steps_above(c, c->deferred_at)) return;
  if (c->read_first && c->in[c->n].len && !ms__conn_discards(c)) return;
  ms__conn_fail(c, c->deferred_at, c->deferred_code, c->deferred_sys);
}

static void set_why(ms_conn *c, int code, const char *why) {
  if (set_cause(c, code, 0, NULL)) c->cause.why = ms__strdup(c->env->allocator, why);
}

void ms_conn_fail(ms_conn *c, const char *why) {
  if (c->aborted || c->failed || c->close_told) return;
  if (c->aside) ms__conn_keep_no_more(c);
  set_why(c, MS_EFAILED, why ? why : ms_code_text(MS_EFAILED));
  c->broken = true;
  ms_conn_close(c);
  ms__conn_mark(c);
}

void ms__conn_evict_for(ms_conn *c, int code, const char *why) {
  if (c->aborted || c->failed || c->close_told) return;
  set_why(c, code, why);
  ms__conn_evict(c);
}

static void close_for(ms_conn *c, const char *why) {
  if (c->aside) ms__conn_keep_no_more(c);
  set_why(c, MS_ETIMEDOUT, why);
  c->broken = c->reset_on_shutdown;
  ms_conn_close(c);
}

void ms__conn_close_idle(ms_conn *c) {
  if (c->closing || c->failed || c->close_told) return;
  c->env->idled++;
  close_for(c, "it carried nothing for too long");
}

void ms__conn_close_late(ms_conn *c) {
  if (!c->closing && !c->failed && !c->close_told && !c->said_all)
    close_for(c, "the time that it was given is over");
}

/* ---- The drain deadline ---- */

static bool has_last_words(const ms_conn *c) {
  return c->broken && c->cause.code == MS_EFAILED;
}

/* What a failed application said has longer: peers tell what they have read in large steps. */
static void begin_drain(ms_conn *c) {
  c->deadline_of = MS__DRAIN;
  c->deadline = c->now + (uint64_t)c->env->drain_msec *
                             (has_last_words(c) && !all_sent(c) ? FAILURE_DRAINS : 1);
  c->seen = ms__conn_taken(c);
}

/* They are not hurried while the peer takes some. The least of it bounds the time that is given to
 * what the buffers can hold. */
static bool is_still_read(const ms_conn *c) {
  return has_last_words(c) && !c->write_over &&
         (int64_t)(ms__conn_taken(c) - c->seen) >= FAILURE_LEAST;
}

/* All is said, and what is left to wait for is the peer's end. */
static bool is_too_long(const ms_conn *c) {
  return c->drained && c->deadline_of == MS__DRAIN && has_last_words(c) && all_sent(c) &&
         c->deadline > c->now + c->env->drain_msec;
}

void ms__conn_arm_drain(ms_conn *c) {
  if (is_too_long(c)) begin_drain(c);
  if (c->drained || !c->wire) return;
  if (!((c->fin_sent && ((c->in_end && c->heard) || c->detached)) || c->closing || c->failed ||
        (c->write_over && c->opened)))
    return;
  c->drained = true;
  begin_drain(c);
  if (c->failed && !c->opened && !c->detached && c->env->drain_msec > LAST_WORDS_MSEC)
    c->deadline = c->now + LAST_WORDS_MSEC;
}

/* Cuts the wire; what the application has still to read stays readable. While it has, and the
 * peer's end may stand behind that, the deadline is not the peer's. */
void ms__conn_drain_is_over(ms_conn *c) {
  bool sent = all_sent(c), heard = ms__conn_heard(c), over = c->write_over;
  if (!sent && is_still_read(c)) {
    begin_drain(c);
    return;
  }
  if (!ms__conn_discards(c) && !c->in_end && c->in[c->n].len) {
    c->drained = false;
    return;
  }
  if (!sent) writing_over(c, true);
  ms__conn_cut(c, !sent);
  c->progress = true;
  if (c->finished || c->failed || (c->in_end && !c->closing && !c->detached)) return;
  if (!((c->closing || c->detached) && heard))
    (void)set_cause(c, over ? MS_EPIPE : MS_ETIMEDOUT, 0, NULL);
  c->finished = true;
}

/* ---- What is said after the end of a peer that has no half-close ---- */

static bool is_owed_an_end(const ms_conn *c) {
  if (!c->end_told || c->out[c->n].fin || c->closing || c->failed || c->close_told) return false;
  return c->wire && !c->write_over && !ms_conn_half_closes(c);
}

/* A peer that does not read makes nobody late: only idleness counts then. */
void ms__conn_arm_reply(ms_conn *c) {
  if (c->deadline_of == MS__REPLY || c->flying || !is_owed_an_end(c)) return;
  c->deadline_of = MS__REPLY;
  c->deadline = c->now + c->env->drain_msec;
  c->seen = c->counts.out + c->counts.wire_out;
}

void ms__conn_reply_is_late(ms_conn *c) {
  if (!is_owed_an_end(c)) return;
  if (c->flying && c->idle_msec) ms__conn_arm_idleness(c);
  if (c->flying || c->counts.out + c->counts.wire_out != c->seen) return;
  set_why(c, MS_ETIMEDOUT, "the peer has closed, and no end of ours has come");
  c->broken = true;
  ms_conn_close(c);
}

/* ---- The last event ---- */

void ms__conn_tell_close(ms_conn *c) {
  bool peer_done = c->end_told || ((c->closing || c->detached) && c->in_end);
  const struct ms__cause *k = &c->cause;
  ms_error err;
  if (c->close_told) return;
  if (c->aborted && !c->finished) {
    (void)set_cause(c, MS_EABORTED, 0, NULL);
    c->finished = true;
    ms__conn_cut(c, true);
  } else if (c->failed || (c->broken && (c->fin_sent || c->write_over || !c->wire))) {
    c->finished = true;
  } else if (peer_done && (c->write_over || (c->fin_sent && ms__conn_heard(c)))) {
    if (c->unsent) (void)set_cause(c, MS_EPIPE, 0, NULL);
    c->finished = true;
  }
  if (!c->finished) return;
  c->close_told = true;
  c->progress = true;
  if (!k->code) {
    c->events->close(c, NULL);
    return;
  }
  if (k->why)
    ms__error(&err, k->code, k->phase, k->layer, "%s", k->why);
  else if (k->code == MS_EREFUSED && !c->server)
    ms__error(&err, k->code, k->phase, k->layer,
              "refused: the peer does not admit this key, or has another key itself");
  else if (k->sys)
    ms__error_sys(&err, k->code, k->sys, k->phase, k->layer, "%s", ms_code_text(k->code));
  else
    ms__error(&err, k->code, k->phase, k->layer, NULL);
  c->events->close(c, &err);
}

void ms__conn_free(ms_conn *c) {
  ms__conn_unmark(c);
  ms__conn_holds_nothing(c);
  ms__conn_cut(c, c->unsent); /* a FIN would be a clean end */
  for (size_t i = c->n; i-- > 0;)
    ms__slot_free(c, &c->slots[i]);
  for (size_t i = 0; i <= c->n; i++) {
    ms__edge_drop(&c->env->pool, &c->in[i]);
    ms__edge_drop(&c->env->pool, &c->out[i]);
  }
  ms__free(c->env->allocator, c->cause.why);
  c->events->gone(c);
  if (c->apart) ms__free(c->env->allocator, c->slots);
  ms__free(c->env->allocator, c);
}

/* Nobody's any more, and nothing left to say or to wait for? */
bool ms__conn_is_over(const ms_conn *c) {
  if (!c->close_told || c->answer_pending) return false;
  if (!c->wire) return true;
  if (!c->fin_sent && !c->write_over) return false;
  return c->eof || c->write_over || (c->failed && !c->said && !c->opened);
}
