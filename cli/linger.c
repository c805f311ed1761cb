/* Our end, to a peer that it asks for its own (WebSocket has no half-close): it waits until the
 * peer has said what it has to say, as far as its silence tells. */
#include "cli.h"

/* Before a peer has begun to answer it has BEGIN times as long. CLOSE_MSEC: what it has for its end
 * after ours, while nothing comes. */
enum { LINGER_MSEC = 1000, BEGIN = 5, CLOSE_MSEC = 10000 };

static void await_silence(struct cli_linger *l);

static void on_patience_over(uv_timer_t *timer) {
  struct cli_linger *l = timer->data;
  const uint8_t *unread;
  if (ms_conn_peek(l->conn, &unread) > 0) { /* and it may have said more */
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
  uint64_t msec = (uint64_t)l->msec * (l->heard ? 1 : BEGIN);
  (void)uv_timer_start(&l->timer, on_patience_over, l->asked ? CLOSE_MSEC : msec, 0);
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
