/* A chat room: what one says, all others read. Over TCP for whoever proves a key, and over a unix
 * socket for this user; the two kinds of guests meet.
 *
 *   ./example-chat SOCKET                           prints the addresses
 *   multiserver connect 'ADDRESS'                   in two or more terminals */
#include <multiserver.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct guest {
  struct guest *next;
  ms_conn *conn;
};

static struct guest *guests;

/* Whoever reads so slowly that this does not fit has to go: a room waits for nobody. */
static void tell_others(const struct guest *from, const uint8_t *bytes, size_t n) {
  for (struct guest *g = guests; g; g = g->next)
    if (g != from && ms_conn_write(g->conn, bytes, n) < (ptrdiff_t)n) ms_conn_abort(g->conn);
}

static void on_readable(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  tell_others(user, bytes, n);
  ms_conn_consume(conn, n);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct guest **g = &guests;
  (void)conn;
  (void)err;
  while (*g != user)
    g = &(*g)->next;
  *g = (*g)->next;
  free(user);
}

static const ms_conn_events conn_events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  struct guest *g = malloc(sizeof *g);
  (void)user;
  if (!g) return; /* nobody takes the connection on, so it fails */
  g->conn = conn;
  g->next = guests;
  guests = g;
  ms_conn_handle(conn, &conn_events, g);
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  ms_conn_answer(conn, true, NULL);
}

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  (void)user;
  if (err) fprintf(stderr, "%s: %s\n", ms_stack_name(ctx, stack), err->message);
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
    .on_listen = on_listen, .on_ready = on_ready, .on_connection = on_connection};

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
  char socket[1024] = "unix:/tmp/example-chat~noauth";
  uv_signal_t interrupt;
  ms_identity *id;
  ms_error err;
  ms_ctx *ctx;

  if (argc > 1) snprintf(socket, sizeof socket, "unix:%s~noauth", argv[1]);
  signal(SIGPIPE, SIG_IGN);
  if (ms_identity_generate(&id, &err) < 0) { /* a real server loads its own */
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  opts.loop = uv_default_loop();
  opts.identity = id;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  if (ms_ctx_new(&ctx, &opts, &err) < 0 || ms_add(ctx, "net::0~shs", NULL, &err) < 0 ||
      ms_add(ctx, socket, NULL, &err) < 0 || ms_listen(ctx, &server_events, NULL, &err) < 0) {
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
