/* What happens when buffers run short: those whose peers have not read for the longest time are
 * cut, before those that work need what there is not. */
#include "base/mem.h"
#include "stack/stack.h"

/* A burst of turns sees what it has cut only when the loop has let go of it. */
enum { PAUSE_MSEC = 10 };

static const char why[] = "its peer did not read, and others need the buffers";

void ms__conn_stalls(ms_conn *c) {
  struct ms__env *env = c->env;
  c->flying = true;
  c->next_stalled = NULL;
  c->prev_stalled = env->stalled_last;
  if (env->stalled_last)
    env->stalled_last->next_stalled = c;
  else
    env->stalled_first = c;
  env->stalled_last = c;
}

void ms__conn_moves(ms_conn *c) {
  struct ms__env *env = c->env;
  if (!c->flying) return;
  c->flying = false;
  if (c->prev_stalled)
    c->prev_stalled->next_stalled = c->next_stalled;
  else
    env->stalled_first = c->next_stalled;
  if (c->next_stalled)
    c->next_stalled->prev_stalled = c->prev_stalled;
  else
    env->stalled_last = c->prev_stalled;
}

/* Its edges' blocks, and the one in flight. */
static size_t held(const ms_conn *c) {
  size_t n = ms__pool_largest(&c->env->pool);
  for (size_t i = 0; i <= c->n; i++)
    n += (c->in[i].block ? c->in[i].size : 0) + (c->out[i].block ? c->out[i].size : 0);
  return n;
}

void ms__env_relieve(struct ms__env *env, uint64_t now) {
  const struct ms__pool *pool = &env->pool;
  size_t enough = pool->limit - pool->limit / 4, freed = 0, before;
  ms_conn *next;
  if (!pool->limit || pool->out_bytes <= pool->limit - pool->limit / 8) return;
  if (env->relieved_at && now < env->relieved_at + PAUSE_MSEC) return;
  env->relieved_at = now;
  /* those that have failed and only linger go before any that lives */
  for (ms_conn *c = env->stalled_first; c && pool->out_bytes > enough + freed; c = next) {
    next = c->next_stalled;
    if (!c->close_told) continue;
    before = pool->out_bytes;
    freed += held(c);
    ms__conn_cut_short(c);
    freed -= before - pool->out_bytes; /* that is back already */
  }
  for (ms_conn *c = env->stalled_first; c && pool->out_bytes > enough + freed; c = next) {
    next = c->next_stalled;
    if (c->aborted || c->failed) continue;
    freed += held(c);
    env->starved++;
    ms__conn_put_out_for(c, MS_ENOMEM, why);
  }
}
