#include "loop_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WATCHDOG_MSEC = 100000 };

static void on_watchdog(uv_timer_t *timer) {
  (void)timer;
  (void)fprintf(stderr, "the test has not come to its end after %d ms\n", WATCHDOG_MSEC);
  abort();
}

void fixture_init(struct fixture *f) {
  memset(f, 0, sizeof *f);
  f->ready = -1;
  (void)signal(SIGPIPE, SIG_IGN);
  assert_int_equal(uv_loop_init(&f->loop), 0);
  assert_int_equal(uv_timer_init(&f->loop, &f->watchdog), 0);
  assert_int_equal(uv_timer_start(&f->watchdog, on_watchdog, WATCHDOG_MSEC, 0), 0);
  (void)snprintf(f->dir, sizeof f->dir, "/tmp/multiserver-test-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  assert_int_equal(ms_identity_generate(&f->server_id, NULL), 0);
  assert_int_equal(ms_identity_generate(&f->client_id, NULL), 0);
}

ms_ctx_opts fixture_opts(struct fixture *f, const ms_identity *id) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  opts.loop = &f->loop;
  opts.identity = id;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = fixture_admit;
  opts.drain_timeout_msec = 1000;
  return opts;
}

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  struct fixture *f = user;
  (void)ctx;
  (void)stack;
  f->listened++;
  if (!err) return;
  f->listen_errors++;
  f->listen_error = *err;
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  (void)ctx;
  ((struct fixture *)user)->ready = (int)up;
}

static void on_failed(ms_conn *conn, const ms_error *err, void *user) {
  struct fixture *f = user;
  (void)conn;
  f->failed++;
  f->failed_error = *err;
}

ms_server_events fixture_events(void (*on_connection)(ms_conn *conn, void *user)) {
  ms_server_events e = {.on_listen = on_listen,
                        .on_ready = on_ready,
                        .on_connection = on_connection,
                        .on_failed = on_failed};
  return e;
}

void fixture_until(struct fixture *f, const int *flag, int from) {
  /* not UV_RUN_ONCE: its poll would wait although a timer has just changed the flag */
  while (*flag == from)
    assert_true(uv_run(&f->loop, UV_RUN_NOWAIT));
}

void fixture_gets_on(struct fixture *f) {
  assert_int_equal(uv_timer_start(&f->watchdog, on_watchdog, WATCHDOG_MSEC, 0), 0);
}

static void on_done(ms_ctx *ctx, void *user) {
  (void)ctx;
  ((struct fixture *)user)->done++;
}

void fixture_close(struct fixture *f) {
  int due = (f->server != NULL) + (f->client != NULL);
  if (f->client) ms_ctx_close(f->client, 2000, on_done, f);
  if (f->server) ms_ctx_close(f->server, 2000, on_done, f);
  while (f->done < due)
    assert_true(uv_run(&f->loop, UV_RUN_NOWAIT));
  ms_ctx_free(f->client);
  ms_ctx_free(f->server);
  f->client = f->server = NULL;
  assert_int_equal(f->done, due);
  f->done = 0;
}

void fixture_done(struct fixture *f) {
  fixture_close(f);
  uv_close((uv_handle_t *)&f->watchdog, NULL);
  assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&f->loop), 0);
  assert_int_equal(rmdir(f->dir), 0); /* no socket is left behind */
  ms_identity_free(f->server_id);
  ms_identity_free(f->client_id);
}

void fixture_admit(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  assert_int_equal(ms_conn_answer(conn, true, NULL), 0);
}
