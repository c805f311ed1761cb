/* serve --echo: what a peer sends comes back, messages as messages of the same type. */
#include "cli.h"

/* What is not read would stay for ever where nobody hears it any more, and where nobody says when
 * there is memory. An empty message that finds no room waits. */
static void cannot_write(ms_conn *conn, int code) {
  if (code == MS_EPIPE) ms_conn_close(conn);
  if (code == MS_ENOMEM && !ms_conn_write_blocked(conn)) ms_conn_fail(conn, "out of memory");
}

static void pump_messages(ms_conn *conn) {
  ms_message m;
  while (ms_conn_message(conn, &m) == 1) {
    ptrdiff_t k = ms_conn_write_message(conn, &m);
    if (k < 0) cannot_write(conn, (int)k);
    if (k < 0 || (k == 0 && m.length)) return; /* the rest when on_writable says so */
    ms_conn_consume_message(conn, (size_t)k);
  }
}

static void pump_bytes(ms_conn *conn) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  ptrdiff_t k = n ? ms_conn_write(conn, p, n) : 0;
  if (k > 0) ms_conn_consume(conn, (size_t)k); /* the rest when on_writable says so */
  if (k < 0) cannot_write(conn, (int)k);
}

static void pump(ms_conn *conn, void *user) {
  (void)user;
  if (ms_conn_messages(conn))
    pump_messages(conn);
  else
    pump_bytes(conn);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  cli_report_closed(user, "echo", conn, err);
}

static const ms_conn_events events = {
    .on_readable = pump, .on_end = on_end, .on_writable = pump, .on_close = on_close};

void cli_echo(struct cli_report *report, ms_conn *conn) {
  ms_conn_handle(conn, &events, report);
}
