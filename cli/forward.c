/* serve --forward ADDRESS: a bridge between any two stacks. Each side stops reading when the other
 * does not take what was read; ends are carried over one by one. */
#include <stdlib.h>

#include "cli.h"

struct bridge;

struct side {
  struct bridge *bridge;
  struct side *other;
  ms_conn *conn; /* NULL: not yet, or no more */
  bool ended;    /* its peer has ended */
};

struct bridge {
  struct cli_report *report;
  struct side in, out;
  ms_dialer *dialer;
};

static void free_if_over(struct bridge *b) {
  if (!b->in.conn && !b->out.conn && !b->dialer) free(b);
}

/* From one side to the other, as much as goes. */
static void pump(const struct side *from) {
  const uint8_t *p;
  size_t n;
  ptrdiff_t k;
  if (!from->conn || !from->other->conn) return;
  n = ms_conn_peek(from->conn, &p);
  k = n ? ms_conn_write(from->other->conn, p, n) : 0;
  if (k > 0) ms_conn_consume(from->conn, (size_t)k);
  if (k == MS_EPIPE || k == MS_ENOMEM) ms_conn_abort(from->conn);
}

static void on_readable(ms_conn *conn, void *user) {
  (void)conn;
  pump(user);
}

static void on_writable(ms_conn *conn, void *user) {
  (void)conn;
  pump(((struct side *)user)->other);
}

static void on_end(ms_conn *conn, void *user) {
  struct side *s = user;
  (void)conn;
  s->ended = true;
  if (s->other->conn) ms_conn_end(s->other->conn);
}

/* A broken end must not look like a clean one. */
static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct side *s = user;
  struct bridge *b = s->bridge;
  ms_conn *other = s->other->conn;
  s->conn = NULL;
  cli_report_closed(b->report, other ? "forward" : NULL, conn, err);
  if (b->dialer) ms_dial_abort(b->dialer);
  if (other && (err || !s->ended)) ms_conn_abort(other);
  free_if_over(b);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_end = on_end, .on_writable = on_writable, .on_close = on_close};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct bridge *b = user;
  if (err && err->code != MS_EABORTED) {
    (void)cli_error_from("forward", err);
    cli_attempts(b->dialer);
  }
  b->dialer = NULL;
  if (err) {
    if (b->in.conn) ms_conn_abort(b->in.conn);
    free_if_over(b);
    return;
  }
  b->out.conn = conn;
  ms_conn_handle(conn, &events, &b->out);
  ms_conn_set_whole(conn, true);
  pump(&b->in);
  if (b->in.ended) ms_conn_end(conn);
}

void cli_forward(struct cli_report *report, ms_conn *conn, const char *address) {
  struct bridge *b = calloc(1, sizeof *b);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  ms_error err;
  if (!b) return;
  b->report = report;
  b->in = (struct side){.bridge = b, .other = &b->out, .conn = conn};
  b->out = (struct side){.bridge = b, .other = &b->in};
  ms_conn_handle(conn, &events, &b->in);
  ms_conn_set_whole(conn, true);
  dial.on_dialled = on_dialled;
  dial.user = b;
  if (ms_dial(ms_conn_ctx(conn), &b->dialer, address, &dial, &err) < 0) {
    (void)cli_error_from("forward", &err);
    ms_conn_abort(conn);
  }
}
