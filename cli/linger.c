/* Our end, to a peer that it asks for its own (WebSocket has no half-close): it waits until the
 * peer has said what it has to say, as far as its silence tells. */
#include "cli.h"

/* Before a peer has begun to answer it has BEGIN times as long, which is less than the drain of a
 * bridge before us that has heard its peer's end; and END times for its end after ours. */
enum { LINGER_MSEC = 1000, BEGIN = 4, END = 10 };

static void await_silence(struct cli_linger *l);

/* It has said more than we have read, or has not had all yet that it could answer. */
static bool is_at_it(const ms_conn *conn) {
  const uint8_t *unread;
  ms_conn_stats n;
  ms_conn_stat(conn, &n);
  return ms_conn_peek(conn, &unread) > 0 || n.unacknowledged > 0;
}

static void on_patience_over(uv_timer_t *timer) {
  struct cli_linger *l = timer->data;
  if (is_at_it(l->conn)) {
    await_silence(l);
  } else if (!l->asked) {
    l->asked = true;
    ms_conn_end(l->conn);
    await_silence(l);
  } else {
    l->on_late(l->conn, l->user);
  }
}

static void await_silence(struct cli_linger *l) {
  uint64_t times = l->asked ? END : l->heard ? 1 : BEGIN;
  (void)uv_timer_start(&l->timer, on_patience_over, l->msec * times, 0);
}

void cli_linger_init(struct cli_linger *l, uv_loop_t *loop, uint32_t msec) {
  (void)uv_timer_init(loop, &l->timer);
  l->timer.data = l;
  l->msec = msec ? msec : LINGER_MSEC;
}

void cli_linger_heard(struct cli_linger *l) {
  l->heard = true;
  if (l->conn) await_silence(l);
}

void cli_linger_end(struct cli_linger *l, ms_conn *conn) {
  if (ms_conn_half_closes(conn)) {
    ms_conn_end(conn);
    return;
  }
  l->conn = conn;
  await_silence(l);
}

bool cli_linger_stop(struct cli_linger *l) {
  bool owes = l->conn && !l->asked;
  l->conn = NULL;
  uv_timer_stop(&l->timer);
  return owes;
}
