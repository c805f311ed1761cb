/* serve --echo: what a peer sends comes back, messages as messages of the same type. When serve is
 * stopped, whoever has been silent for a moment hears a goodbye, after all that has arrived; who is
 * not has the drain to end by itself. */
#include <stdlib.h>

#include "serve.h"

enum { TICK_MSEC = 100, SILENT_TICKS = 3 };

struct cli_speaker {
  struct cli_speaker *prev, *next;
  struct cli_echoes *all;
  ms_conn *conn;
  unsigned ticks; /* of silence, while serve is being stopped */
};

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

static bool has_more(ms_conn *conn) {
  const uint8_t *p;
  ms_message m;
  return ms_conn_messages(conn) ? ms_conn_message(conn, &m) == 1 : ms_conn_peek(conn, &p) > 0;
}

/* While something has not been given back its end would be no clean one, should it be idle. */
static void pump(ms_conn *conn, void *user) {
  struct cli_speaker *s = user;
  s->ticks = 0;
  if (ms_conn_messages(conn))
    pump_messages(conn);
  else
    pump_bytes(conn);
  if (!uv_is_active((const uv_handle_t *)&s->all->timer))
    ms_conn_set_reset_on_shutdown(conn, has_more(conn));
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct cli_speaker *s = user;
  cli_report_closed(s->all->report, "echo", conn, err);
  if (s->prev)
    s->prev->next = s->next;
  else
    s->all->speakers = s->next;
  if (s->next) s->next->prev = s->prev;
  free(s);
}

static const ms_conn_events events = {
    .on_readable = pump, .on_end = on_end, .on_writable = pump, .on_close = on_close};

void cli_echo(struct cli_echoes *all, ms_conn *conn) {
  struct cli_speaker *s = calloc(1, sizeof *s);
  if (!s) {
    cli_fail(all->report, conn, "out of memory");
    return;
  }
  s->all = all;
  s->conn = conn;
  s->next = all->speakers;
  if (s->next) s->next->prev = s;
  all->speakers = s;
  ms_conn_handle(conn, &events, s);
}

/* ---- Stopping ---- */

/* Between two ticks what the system has is read. */
static void on_tick(uv_timer_t *timer) {
  struct cli_echoes *all = timer->data;
  for (struct cli_speaker *s = all->speakers, *next; s; s = next) {
    next = s->next;
    if (has_more(s->conn) || ++s->ticks < SILENT_TICKS) continue;
    ms_conn_set_reset_on_shutdown(s->conn, false);
    ms_conn_close(s->conn);
  }
}

void cli_echoes_open(struct cli_echoes *all, uv_loop_t *loop) {
  (void)uv_timer_init(loop, &all->timer);
  all->timer.data = all;
  uv_unref((uv_handle_t *)&all->timer);
}

void cli_echoes_stop(struct cli_echoes *all) {
  for (const struct cli_speaker *s = all->speakers; s; s = s->next)
    ms_conn_set_reset_on_shutdown(s->conn, true);
  (void)uv_timer_start(&all->timer, on_tick, TICK_MSEC, TICK_MSEC);
}

void cli_echoes_close(struct cli_echoes *all) {
  uv_close((uv_handle_t *)&all->timer, NULL);
}
