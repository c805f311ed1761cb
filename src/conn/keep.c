/* What becomes of a connection whose question was answered with something else than its stack: the
 * application has it below the layer that asked. With MS__KEEP that layer and all above only stand
 * aside, until the answer is whole and has left; then they begin anew, with the peer's next
 * request. What came of it meanwhile has waited in the edge, which is bounded as any other. */
#include "conn/conn.h"

enum { ANSWER_DRAINS = 6 }; /* times the drain deadline */

/* The application stands on layer i - 1 now, and there is no handshake to be in time for. */
static void lower(ms_conn *c, size_t i) {
  for (size_t j = c->n; j > i; j--) {
    struct ms__slot *s = &c->slots[j - 1];
    ms__slot_free(c, s);
    *s = (struct ms__slot){.layer = s->layer, .opts = s->opts, .wake = MS__NEVER};
    ms__edge_drop(&c->env->pool, &c->in[j]);
    ms__edge_drop(&c->env->pool, &c->out[j]);
  }
  c->n = c->up = (uint8_t)i;
  c->resting = false;
  c->progress = true;
  ms__conn_arm_idleness(c);
}

static void find_end_layer(ms_conn *c) {
  c->end_layer = -1;
  for (size_t j = 0; j < c->n; j++)
    if (c->slots[j].layer->flags & MS__HAS_END) c->end_layer = (int8_t)j;
}

void ms__conn_detach(ms_conn *c, size_t i) {
  bool ended = c->out[c->n].fin;
  lower(c, i);
  find_end_layer(c);
  if (ended) ms__edge_finish(&c->out[i]);
  c->detached = true;
}

void ms__conn_stand_aside(ms_conn *c, size_t i, uint64_t length) {
  uint8_t aside = (uint8_t)(c->n - i);
  if (c->out[c->n].fin) { /* it ends already */
    ms__conn_detach(c, i);
    return;
  }
  lower(c, i);
  find_end_layer(c);
  c->aside = aside;
  c->whole_at = c->counts.out + length;
}

void ms__conn_keep_no_more(ms_conn *c) {
  bool said_all = c->said_all;
  c->aside = 0;
  c->said_all = false;
  c->detached = true;
  if (said_all) ms_conn_close(c);
  ms__conn_mark(c);
}

bool ms__conn_ends_answer(ms_conn *c) {
  if (c->said_all) return true;
  if (c->counts.out != c->whole_at || c->write_over || c->failed || c->close_told) {
    ms__conn_keep_no_more(c);
    return false;
  }
  c->said_all = true;
  /* What is left is no goodbye but up to two blocks of an answer, and a peer may be slow. */
  c->deadline_of = MS__DRAIN;
  c->deadline = c->now + (uint64_t)ANSWER_DRAINS * c->env->drain_msec;
  ms__conn_mark(c);
  return true;
}

void ms__conn_come_back(ms_conn *c) {
  if (c->failed || c->aborted || c->close_told) return;
  if (c->write_over) {
    ms__conn_keep_no_more(c);
    return;
  }
  if (!c->said_all || c->flying) return;
  for (size_t i = 0; i <= c->n; i++)
    if (c->out[i].len || (i < c->n && c->slots[i].last_out == MS__FULL)) return;
  c->n = (uint8_t)(c->n + c->aside);
  c->aside = 0;
  c->said_all = c->short_write = false;
  find_end_layer(c);
  c->in_end = false; /* that of the layers below was no end of the peer's */
  c->resting = true;
  c->idle_msec = c->env->idle_msec;
  c->until = MS__NEVER;
  c->deadline_of = MS__ATTEMPT;
  c->deadline = c->now + c->env->rest_msec;
  c->progress = true;
  c->events->answered(c);
}

void ms__conn_dismiss(ms_conn *c) {
  bool ended;
  if (c->aside || c->detached || c->closing || c->failed || c->aborted || c->close_told) return;
  if (c->up < c->n && c->slots[c->up].asked) {
    ms__conn_evict(c);
    return;
  }
  ended = c->in[c->up].fin;
  ms__conn_detach(c, c->up);
  if (ended) c->in_end = true; /* whatever the layers below still say */
  ms_conn_close(c);
}
