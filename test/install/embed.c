/* A program that uses the installed library: a server and its client in one context, and one
 * message there and back. C11, and C++17 as well. */
#define _POSIX_C_SOURCE 200809L /* uv.h needs it where the compiler keeps to the standard */
#include <multiserver.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static const char message[] = "hello from an installed library";

typedef struct world {
  ms_ctx *ctx;
  size_t back; /* bytes of the message that have come back */
  int failed;
} world;

static void on_freed(ms_ctx *ctx, void *user) {
  (void)user;
  ms_ctx_free(ctx);
}

static void over(world *w, const char *what, const ms_error *err) {
  if (what) fprintf(stderr, "embed: %s: %s\n", what, err ? err->message : "it ended too early");
  if (what) w->failed = 1;
  if (w->ctx) ms_ctx_close(w->ctx, 1000, on_freed, NULL);
  w->ctx = NULL;
}

/* ---- The server: what comes goes back ---- */

static void echo(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  ptrdiff_t written = ms_conn_write(conn, bytes, n);
  (void)user;
  if (written > 0) ms_conn_consume(conn, (size_t)written);
}

static void on_served(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  if (err) over((world *)user, "the server's connection", err);
}

static void on_connection(ms_conn *conn, void *user) {
  static ms_conn_events events;
  events.on_readable = echo;
  events.on_writable = echo;
  events.on_end = NULL;
  events.on_close = on_served;
  ms_conn_handle(conn, &events, user);
}

static void on_failed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  over((world *)user, "the server", err);
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  ms_conn_answer(conn, true, NULL);
}

/* ---- The client: asks, and compares the answer ---- */

static void on_answer(ms_conn *conn, void *user) {
  world *w = (world *)user;
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  if (n > sizeof message - w->back || memcmp(bytes, message + w->back, n) != 0) {
    over(w, "something else came back", NULL);
    return;
  }
  w->back += n;
  ms_conn_consume(conn, n);
  if (w->back == sizeof message) over(w, NULL, NULL);
}

static void on_dialled_close(ms_conn *conn, const ms_error *err, void *user) {
  world *w = (world *)user;
  (void)conn;
  if (err || w->back != sizeof message) over(w, "the client's connection", err);
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  static ms_conn_events events;
  if (!conn) {
    over((world *)user, "the dial", err);
    return;
  }
  events.on_readable = on_answer;
  events.on_close = on_dialled_close;
  ms_conn_handle(conn, &events, user);
  ms_conn_write(conn, message, sizeof message);
}

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  char address[1024];
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  ms_error error;
  (void)stack;
  if (err) {
    over((world *)user, "listening", err);
    return;
  }
  ms_stringify(ctx, MS_DEVICE, address, sizeof address);
  opts.on_dialled = on_dialled;
  opts.user = user;
  if (ms_dial(ctx, NULL, address, &opts, &error) < 0) over((world *)user, address, &error);
}

int main(void) {
  static ms_server_events server;
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  world w = {NULL, 0, 0};
  ms_identity *identity = NULL;
  ms_error err;

  if (strcmp(ms_version(), MS_VERSION) != 0) {
    fprintf(stderr, "embed: built with %s, running with %s\n", MS_VERSION, ms_version());
    return 1;
  }
  server.on_listen = on_listen;
  server.on_connection = on_connection;
  server.on_failed = on_failed;
  if (ms_identity_generate(&identity, &err) < 0) {
    fprintf(stderr, "embed: %s\n", err.message);
    return 1;
  }
  opts.loop = uv_default_loop();
  opts.identity = identity;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  opts.user = &w;
  if (ms_ctx_new(&w.ctx, &opts, &err) < 0 || ms_add(w.ctx, "net:127.0.0.1:0~shs", NULL, &err) < 0 ||
      ms_listen(w.ctx, &server, &w, &err) < 0) {
    fprintf(stderr, "embed: %s\n", err.message);
    return 1;
  }
  ms_identity_free(identity);
  uv_run(opts.loop, UV_RUN_DEFAULT);
  if (uv_loop_close(opts.loop) != 0) {
    fprintf(stderr, "embed: something is left in the loop\n");
    return 1;
  }
  if (w.failed || w.back != sizeof message) return 1;
  puts("the message came back");
  return 0;
}
