/* serve --echo: what a peer sends comes back, messages as messages of the same type. When serve is
 * stopped, whoever has been silent for a moment hears a goodbye, after all that has arrived; who is
 * not has the drain to end by itself. */
#include <stdlib.h>

#include "serve.h"

enum { TICK_MSEC = 100, SILENT_TICKS = 3 };

struct echoes {
  struct cli_serving *serving;
  uv_timer_t timer;
  struct speaker *speakers;
};

struct speaker {
  struct speaker *prev, *next;
  struct echoes *all;
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
  struct speaker *s = user;
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
  struct speaker *s = user;
  cli_report_closed(s->all->serving->report, "echo", conn, err);
  if (s->prev)
    s->prev->next = s->next;
  else
    s->all->speakers = s->next;
  if (s->next) s->next->prev = s->prev;
  free(s);
}

static const ms_conn_events events = {
    .on_readable = pump, .on_end = on_end, .on_writable = pump, .on_close = on_close};

static void take(void *state, ms_conn *conn) {
  struct echoes *all = state;
  struct speaker *s = calloc(1, sizeof *s);
  if (!s) {
    cli_fail(all->serving->report, conn, "out of memory");
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
  struct echoes *all = timer->data;
  for (struct speaker *s = all->speakers, *next; s; s = next) {
    next = s->next;
    if (has_more(s->conn) || ++s->ticks < SILENT_TICKS) continue;
    ms_conn_set_reset_on_shutdown(s->conn, false);
    ms_conn_close(s->conn);
  }
}

static void stop(void *state, bool cut) {
  struct echoes *all = state;
  if (cut) return;
  for (const struct speaker *s = all->speakers; s; s = s->next)
    ms_conn_set_reset_on_shutdown(s->conn, true);
  (void)uv_timer_start(&all->timer, on_tick, TICK_MSEC, TICK_MSEC);
}

/* ---- The action ---- */

static int start(void *state, struct cli_serving *s) {
  struct echoes *all = state;
  all->serving = s;
  (void)uv_timer_init(s->loop, &all->timer);
  all->timer.data = all;
  uv_unref((uv_handle_t *)&all->timer);
  return CLI_OK;
}

static void close_timer(void *state) {
  uv_close((uv_handle_t *)&((struct echoes *)state)->timer, NULL);
}

const struct cli_action cli_action_echo = {
    .name = "echo",
    .help = "what a peer sends comes back",
    .messages = true,
    .descriptors = 1,
    .size = sizeof(struct echoes),
    .start = start,
    .take = take,
    .stop = stop,
    .close = close_timer,
};
