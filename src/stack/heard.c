/* What the other side of the transport has taken of what we have said, and whether it is there. */
#include "stack/stack.h"

/* How often somebody is looked for of whom nothing can be read any more; how long to wait for an
 * acknowledgement before asking again, at the least and at the most. */
enum { LOOK_MSEC = 1000, ASK_MIN_MSEC = 1, ASK_MAX_MSEC = 250 };

static size_t untaken(const ms_conn *c) {
  return c->wire ? c->wire->ops->untaken(c->wire) : 0;
}

void ms__conn_end_begins(ms_conn *c) {
  c->end_from = c->counts.wire_out + c->out[0].len;
  c->heard = !c->out[0].len && !untaken(c);
}

bool ms__conn_heard(ms_conn *c) {
  if (!c->fin_sent && !c->end_sent) return false;
  /* what is left may be our end, and no more */
  if (!c->heard) c->heard = c->detached || untaken(c) <= c->counts.wire_out - c->end_from;
  return c->heard;
}

bool ms__conn_may_reset(ms_conn *c) {
  if (!c->broken || !untaken(c)) return true;
  if (!c->end_at) c->end_at = c->now;
  return false;
}

/* The peer's end has come and ours is out, and what was before it is still on its way. */
static bool waits_to_be_heard(const ms_conn *c) {
  return c->fin_sent && c->in_end && !c->heard && !c->write_over;
}

/* A reset takes the place of our end, and would overtake what is on its way. */
static bool waits_to_reset(const ms_conn *c) {
  return c->broken && c->end_at && !c->fin_sent && !c->write_over;
}

/* Nothing more can be read, and we have still something to say: only the system can tell that
 * nobody will hear it. */
static bool speaks_into_silence(const ms_conn *c) {
  return c->opened && c->eof && !c->fin_sent && !c->write_over;
}

void ms__conn_set_look(ms_conn *c) {
  uint64_t wait = LOOK_MSEC;
  if (!c->wire || c->failed || c->close_told || c->aborted ||
      !(waits_to_be_heard(c) || waits_to_reset(c) || speaks_into_silence(c))) {
    c->look_at = MS__NEVER;
    return;
  }
  if (c->look_at != MS__NEVER) return;
  if (c->end_at) {
    wait = (c->now - c->end_at) / 4; /* the longer it takes, the less it matters */
    wait = wait < ASK_MIN_MSEC ? ASK_MIN_MSEC : wait > ASK_MAX_MSEC ? ASK_MAX_MSEC : wait;
  }
  c->look_at = c->now + wait;
}

void ms__conn_look(ms_conn *c) {
  int r;
  if (c->look_at > c->now) return;
  c->look_at = MS__NEVER;
  if (!c->wire || ms__conn_heard(c)) return;
  r = c->wire->ops->lost(c->wire);
  if (r < 0) ms__conn_fail_in_order(c, -1, MS_ERESET, -r);
}
