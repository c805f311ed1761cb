/* ws-echo-client URL: dials a WebSocket and sends every message back, text as text and binary as
 * binary, until the other side closes. For test suites that are servers (Autobahn's). Exit status 0
 * when it was closed in the normal way and had everything back; else a line says why not. */
#include <stdio.h>
#include <uv.h>

#include "multiserver.h"

static int status = 1;
static bool told; /* why it is not 0 */

static void tell(const ms_error *err) {
  (void)fprintf(stderr, "%s: %s: %s\n", err->address, err->layer, err->message);
  told = true;
}

static void on_ctx_closed(ms_ctx *ctx, void *user) {
  (void)user;
  ms_ctx_free(ctx);
}

static void pump(ms_conn *conn, void *user) {
  ms_message m;
  (void)user;
  while (ms_conn_message(conn, &m) == 1) {
    ptrdiff_t k = ms_conn_write_message(conn, &m);
    if (k < 0 && !ms_conn_write_blocked(conn)) {
      ms_conn_fail(conn, k == MS_EPIPE ? "the peer left before it had everything back"
                                       : ms_code_text((int)k));
      return;
    }
    if (k < 0 || (k == 0 && m.length)) return; /* on_writable goes on */
    ms_conn_consume_message(conn, (size_t)k);
  }
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err) tell(err);
  status = err != NULL;
  ms_ctx_close(ms_conn_ctx(conn), 1000, on_ctx_closed, NULL);
}

static const ms_conn_events events = {
    .on_readable = pump, .on_writable = pump, .on_end = on_end, .on_close = on_close};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  if (conn) {
    ms_conn_handle(conn, &events, NULL);
    return;
  }
  tell(err);
  ms_ctx_close(*(ms_ctx **)user, 0, on_ctx_closed, NULL);
}

int main(int argc, char **argv) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  uv_loop_t loop;
  ms_error err;
  ms_ctx *ctx;
  if (argc != 2) {
    (void)fprintf(stderr, "usage: ws-echo-client ws://HOST:PORT/PATH\n");
    return 2;
  }
  if (uv_loop_init(&loop) < 0) return 1;
  opts.loop = &loop;
  dial.on_dialled = on_dialled;
  dial.user = &ctx;
  if (ms_ctx_new(&ctx, &opts, &err) < 0) {
    (void)fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  if (ms_add(ctx, "ws", NULL, &err) < 0 || ms_dial(ctx, NULL, argv[1], &dial, &err) < 0) {
    (void)fprintf(stderr, "%s: %s\n", argv[1], err.message);
    ms_ctx_free(ctx);
  }
  (void)uv_run(&loop, UV_RUN_DEFAULT);
  (void)uv_loop_close(&loop);
  if (status && !told) (void)fprintf(stderr, "%s: it has not ended\n", argv[1]);
  return status;
}
