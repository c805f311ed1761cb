/* A client without libuv: poll() waits for standard input and for multiserver at once.
 *
 *   ./example-poll 'net:host:8008~shs:KEY'       as `multiserver connect` would */
#include <errno.h>
#include <multiserver.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct client {
  ms_ctx *ctx;
  ms_conn *conn; /* NULL: not yet, or no more */
  bool full;     /* what was written has not left yet */
  bool ended;    /* standard input has */
  int status;
};

static void on_readable(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  (void)user;
  fwrite(bytes, 1, n, stdout);
  fflush(stdout);
  ms_conn_consume(conn, n);
}

static void on_writable(ms_conn *conn, void *user) {
  struct client *c = user;
  (void)conn;
  c->full = false;
}

/* The peer has said all: so have we. */
static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct client *c = user;
  (void)conn;
  c->conn = NULL;
  c->status = err != NULL;
  if (err) fprintf(stderr, "%s: %s\n", err->address, err->message);
  ms_ctx_close(c->ctx, 0, NULL, NULL);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_writable = on_writable, .on_end = on_end, .on_close = on_close};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct client *c = user;
  if (err) {
    fprintf(stderr, "%s: %s\n", err->address, err->message);
    ms_ctx_close(c->ctx, 0, NULL, NULL);
    return;
  }
  c->conn = conn;
  ms_conn_handle(conn, &events, c);
}

/* Standard input has something. It is read only when there is room for all of it. */
static void send_input(struct client *c) {
  uint8_t *room;
  size_t size = ms_conn_reserve(c->conn, &room, 4096);
  ssize_t n;
  if (size == 0) {
    c->full = true; /* on_writable says when to go on */
    return;
  }
  n = read(STDIN_FILENO, room, size);
  ms_conn_commit(c->conn, n > 0 ? (size_t)n : 0);
  if (n > 0 || (n < 0 && errno == EINTR)) return;
  c->ended = true;
  ms_conn_end(c->conn); /* the answer still comes */
}

int main(int argc, char **argv) {
  struct client c = {.status = 1};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  ms_identity *id;
  ms_error err;

  if (argc != 2) {
    fprintf(stderr, "usage: %s ADDRESS\n", argv[0]);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  if (ms_identity_generate(&id, &err) < 0) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  opts.identity = id;
  opts.network_key = ms_scuttlebutt_network_key;
  dial.on_dialled = on_dialled;
  dial.user = &c;
  if (ms_ctx_new(&c.ctx, &opts, &err) < 0 || ms_add(c.ctx, "net~shs", NULL, &err) < 0 ||
      ms_add(c.ctx, "unix~noauth", NULL, &err) < 0 ||
      ms_dial(c.ctx, NULL, argv[1], &dial, &err) < 0) {
    fprintf(stderr, "%s: %s\n", argv[1], err.message);
    ms_ctx_free(c.ctx);
    ms_identity_free(id);
    return 1;
  }
  ms_identity_free(id);

  do {
    struct pollfd fds[] = {{.fd = ms_ctx_fd(c.ctx), .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};
    bool reads = c.conn && !c.full && !c.ended;
    if (poll(fds, reads ? 2 : 1, ms_ctx_timeout(c.ctx)) < 0 && errno != EINTR) break;
    if (reads && fds[1].revents) send_input(&c);
  } while (ms_ctx_run(c.ctx, 0) > 0);
  ms_ctx_free(c.ctx);
  return c.status;
}
