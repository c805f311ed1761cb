/* What the other side of the transport has taken of what we have said, and whether it is there. */
#include "conn/conn.h"

/* How often somebody is looked for of whom nothing can be read any more. After an acknowledgement
 * is asked in 1, 2, 4 and at last every 256 msec: the longer it takes, the less it matters. */
enum { LOOK_MSEC = 1000, LOOKS_MAX = 8 };

static size_t untaken(const ms_conn *c) {
  return c->wire ? c->wire->ops->untaken(c->wire) : 0;
}

uint64_t ms__conn_taken(const ms_conn *c) {
  return c->counts.wire_out - untaken(c);
}

void ms__conn_end_begins(ms_conn *c) {
  c->end_from = (uint32_t)c->counts.wire_out + c->out[0].len;
  c->heard = !c->out[0].len && !untaken(c);
}

bool ms__conn_heard(ms_conn *c) {
  if (!c->fin_sent && !c->end_sent) return false;
  /* what is left may be our end, and no more */
  if (!c->heard) c->heard = c->detached || untaken(c) <= (uint32_t)c->counts.wire_out - c->end_from;
  return c->heard;
}

bool ms__conn_may_reset(ms_conn *c) {
  c->reset_waits = c->broken && untaken(c);
  return !c->reset_waits;
}

/* The peer's end has come and ours is out, and what was before it is still on its way. */
static bool waits_to_be_heard(const ms_conn *c) {
  return c->fin_sent && c->in_end && !c->heard && !c->write_over;
}

/* A reset takes the place of our end, and would overtake what is on its way. */
static bool waits_to_reset(const ms_conn *c) {
  return c->reset_waits && !c->write_over;
}

/* Nothing more can be read, and we have still something to say: only the system can tell that
 * nobody will hear it. */
static bool speaks_into_silence(const ms_conn *c) {
  return c->opened && c->eof && !c->fin_sent && !c->write_over;
}

void ms__conn_set_look(ms_conn *c) {
  bool asks = waits_to_be_heard(c) || waits_to_reset(c);
  if (!c->wire || c->failed || c->close_told || c->aborted || !(asks || speaks_into_silence(c))) {
    c->look_at = MS__NEVER;
  } else if (c->look_at == MS__NEVER) {
    c->look_at = c->now + (asks ? 1u << c->looks : LOOK_MSEC);
    if (asks && c->looks < LOOKS_MAX) c->looks++;
  }
}

void ms__conn_look(ms_conn *c) {
  int r;
  if (c->look_at > c->now) return;
  c->look_at = MS__NEVER;
  if (!c->wire || ms__conn_heard(c)) return;
  r = c->wire->ops->lost(c->wire);
  if (r < 0) ms__conn_fail_in_order(c, -1, MS_ERESET, -r);
}
