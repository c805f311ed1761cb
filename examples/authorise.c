/* Authorisation that takes its time, as with a database: each key is looked up in a file by a
 * thread of libuv's pool, and the peer waits for the answer. Who is in is told the name beside the
 * key.
 *
 *   ./example-authorise KEYS        KEYS has lines "BASE64KEY NAME"; prints the address
 *   multiserver connect 'ADDRESS' */
#include <multiserver.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* One question on its way. The connection stays valid until it is answered. */
struct question {
  uv_work_t work;
  ms_conn *conn;
  const char *path;
  char key[64];
  char name[64]; /* "": unknown */
};

/* In another thread: nothing of multiserver's may be called here. */
static void look_up(uv_work_t *work) {
  struct question *q = work->data;
  FILE *file = fopen(q->path, "r");
  char line[256], key[64], name[64];
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "%63s %63s", key, name) == 2 && strcmp(key, q->key) == 0)
      memcpy(q->name, name, sizeof name);
  if (file) fclose(file);
}

/* Back in the loop. The peer may have left meanwhile; then the answer changes nothing. */
static void answer(uv_work_t *work, int status) {
  struct question *q = work->data;
  char *name = q->name[0] ? strdup(q->name) : NULL;
  (void)status;
  if (ms_conn_answer(q->conn, name != NULL, name) < 0) free(name);
  free(q);
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  struct question *q = calloc(1, sizeof *q);
  if (!q) {
    ms_conn_answer(conn, false, NULL);
    return;
  }
  q->conn = conn;
  q->path = user;
  q->work.data = q;
  /* "net:192.0.2.1:5678~shs:KEY": the key stands last */
  snprintf(q->key, sizeof q->key, "%s", strrchr(peer->address, ':') + 1);
  uv_queue_work(uv_default_loop(), &q->work, look_up, answer);
}

static void on_readable(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  (void)user;
  ms_conn_consume(conn, ms_conn_peek(conn, &bytes));
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)err;
  (void)user;
  free(ms_conn_auth(conn));
}

static const ms_conn_events conn_events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  char text[128];
  int n = snprintf(text, sizeof text, "welcome, %s\n", (const char *)ms_conn_auth(conn));
  ms_conn_handle(conn, &conn_events, user);
  ms_conn_write(conn, text, (size_t)n);
}

static void on_failed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  printf("%s %s\n", err->address, err->message);
  fflush(stdout);
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  char address[1024];
  (void)up;
  (void)user;
  ms_stringify(ctx, MS_DEVICE, address, sizeof address);
  puts(address);
  fflush(stdout);
}

static const ms_server_events server_events = {
    .on_ready = on_ready, .on_connection = on_connection, .on_failed = on_failed};

static void on_closed(ms_ctx *ctx, void *user) {
  uv_close(user, NULL);
  ms_ctx_free(ctx);
}

static void on_interrupt(uv_signal_t *signal, int number) {
  (void)number;
  ms_ctx_close(signal->data, 2000, on_closed, signal);
}

int main(int argc, char **argv) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  uv_signal_t interrupt;
  ms_identity *id;
  ms_error err;
  ms_ctx *ctx;

  if (argc != 2) {
    fprintf(stderr, "usage: %s KEYS\n", argv[0]);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  if (ms_identity_generate(&id, &err) < 0) { /* a real server loads its own */
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  opts.loop = uv_default_loop();
  opts.identity = id;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  opts.user = argv[1];
  if (ms_ctx_new(&ctx, &opts, &err) < 0 || ms_add(ctx, "net::0~shs", NULL, &err) < 0 ||
      ms_listen(ctx, &server_events, NULL, &err) < 0) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  ms_identity_free(id);
  uv_signal_init(opts.loop, &interrupt);
  interrupt.data = ctx;
  uv_signal_start(&interrupt, on_interrupt, SIGINT);
  uv_run(opts.loop, UV_RUN_DEFAULT);
  uv_loop_close(opts.loop);
  return 0;
}
