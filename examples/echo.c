/* A complete echo server: net~shs on loopback for whoever proves a key, and a unix socket for this
 * user. Try it with the command:
 *
 *   ./example-echo                                  prints the address
 *   multiserver connect 'ADDRESS'                   type, and read what comes back */
#include <multiserver.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

/* What came in goes out; what does not fit stays, and on_writable calls again. */
static void echo(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  ptrdiff_t written = ms_conn_write(conn, bytes, n);
  (void)user;
  if (written > 0) ms_conn_consume(conn, (size_t)written);
  if (written < 0) ms_conn_abort(conn); /* nobody hears: what is not read would stay for ever */
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  printf("%s left%s%s\n", ms_conn_address(conn), err ? ": " : "", err ? err->message : "");
}

static const ms_conn_events conn_events = {
    .on_readable = echo, .on_writable = echo, .on_end = on_end, .on_close = on_close};

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer; /* a real server looks the key up; the answer may come later */
  (void)user;
  ms_conn_answer(conn, true, NULL);
}

static void on_connection(ms_conn *conn, void *user) {
  printf("%s came\n", ms_conn_address(conn));
  ms_conn_handle(conn, &conn_events, user);
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
  ms_ctx_close(signal->data, 2000, on_closed, signal); /* says goodbye to everybody */
}

int main(int argc, char **argv) {
  const char *socket = argc > 1 ? argv[1] : "unix:/tmp/example-echo~noauth";
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  uv_signal_t interrupt;
  ms_identity *id;
  ms_error err;
  ms_ctx *ctx;

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
