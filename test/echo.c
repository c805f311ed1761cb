#include "echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void echo_pump(ms_conn *conn, void *user) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  ptrdiff_t k = n ? ms_conn_write(conn, p, n) : 0;
  (void)user;
  if (k > 0) ms_conn_consume(conn, (size_t)k);
}

void echo_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

struct echo_seen seen;

void echo_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  seen.closed++;
  if (err) seen.error = *err;
}

static const ms_conn_events echo_events = {
    .on_readable = echo_pump, .on_end = echo_end, .on_writable = echo_pump, .on_close = echo_close};

void echo_connection(ms_conn *conn, void *user) {
  (void)user;
  (void)snprintf(seen.address, sizeof seen.address, "%s", ms_conn_address(conn));
  seen.key = ms_conn_key(conn) != NULL;
  assert_true(ms_conn_is_server(conn));
  ms_conn_handle(conn, &echo_events, NULL);
}

static uint8_t pattern(size_t i) {
  return (uint8_t)(i * 31 + i / 251);
}

static void client_write(ms_conn *conn, void *user) {
  struct client *c = user;
  while (c->sent < c->total) {
    uint8_t piece[1000];
    size_t n = c->total - c->sent < sizeof piece ? c->total - c->sent : sizeof piece;
    ptrdiff_t k;
    for (size_t i = 0; i < n; i++)
      piece[i] = pattern(c->sent + i);
    k = ms_conn_write(conn, piece, n);
    assert_true(k >= 0);
    c->sent += (size_t)k;
    if ((size_t)k < n) return;
  }
  ms_conn_end(conn);
}

static void client_read(ms_conn *conn, void *user) {
  struct client *c = user;
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(p[i], pattern(c->got + i));
  c->got += n;
  ms_conn_consume(conn, n);
}

static void client_end(ms_conn *conn, void *user) {
  (void)conn;
  ((struct client *)user)->ended++;
}

static void client_close(ms_conn *conn, const ms_error *err, void *user) {
  struct client *c = user;
  assert_ptr_equal(conn, c->conn);
  c->closed++;
  if (err) c->error = *err;
}

static const ms_conn_events client_events = {.on_readable = client_read,
                                             .on_end = client_end,
                                             .on_writable = client_write,
                                             .on_close = client_close};

void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct client *c = user;
  ms_conn_stats stats;
  c->dialled++;
  if (err) {
    c->error = *err;
    return;
  }
  c->conn = conn;
  ms_conn_handle(conn, &client_events, c);
  ms_conn_stat(conn, &stats);
  assert_int_equal(stats.in, 0);
  if (c->abort_at_open)
    ms_conn_abort(conn);
  else
    client_write(conn, c);
}

void begin(struct fixture *f, ms_ctx_opts *server, ms_ctx_opts *client) {
  fixture_init(f);
  *server = fixture_opts(f, f->server_id);
  *client = fixture_opts(f, f->client_id);
}

ms_server_events server_events;

void serve(struct fixture *f, const ms_ctx_opts *opts, const char *stack, char *address,
           size_t size) {
  ms_error err;
  int r;
  server_events = fixture_events(echo_connection);
  memset(&seen, 0, sizeof seen);
  assert_int_equal(ms_ctx_new(&f->server, opts, &err), 0);
  r = ms_add(f->server, stack, NULL, &err);
  if (r < 0) fail_msg("ms_add %s: %s", stack, err.message);
  r = ms_listen(f->server, &server_events, f, &err);
  if (r < 0) fail_msg("ms_listen %s: %s", stack, err.message);
  fixture_until(f, &f->ready, -1);
  if (f->ready != 1) fail_msg("%s does not listen: %s", stack, f->listen_error.message);
  assert_true(ms_stringify(f->server, MS_DEVICE, address, size) < size);
}

void dial_with(struct fixture *f, const ms_ctx_opts *opts, const char *stack, const char *address,
               struct client *c) {
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  ms_error err;
  if (!f->client) {
    assert_int_equal(ms_ctx_new(&f->client, opts, &err), 0);
    assert_true(ms_add(f->client, stack, NULL, &err) >= 0);
  }
  dial.on_dialled = on_dialled;
  dial.user = c;
  if (ms_dial(f->client, NULL, address, &dial, &err) < 0)
    fail_msg("ms_dial %s: %s", address, err.message);
}
