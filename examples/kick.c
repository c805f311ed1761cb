/* A server whose operator sees who is there and puts out whom he does not want: an echo, with
 * commands on standard input.
 *
 *   ./example-kick              prints the address
 *   list                        who is there: number, key, since when, how much
 *   kick KEY                    ends all connections of that key, and admits it no more */
#include <multiserver.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BANNED_MAX = 64 };

struct server {
  ms_ctx *ctx;
  uint8_t banned[BANNED_MAX][MS_KEY_BYTES];
  size_t banned_count;
};

/* ---- The echo ---- */

static void echo(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  ptrdiff_t written = ms_conn_write(conn, bytes, n);
  (void)user;
  if (written > 0) ms_conn_consume(conn, (size_t)written);
  if (written < 0) ms_conn_abort(conn);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  printf("%llu left%s%s\n", (unsigned long long)ms_conn_id(conn), err ? ": " : "",
         err ? err->message : "");
}

static const ms_conn_events conn_events = {
    .on_readable = echo, .on_writable = echo, .on_end = on_end, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  printf("%llu came\n", (unsigned long long)ms_conn_id(conn));
  ms_conn_handle(conn, &conn_events, user);
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  const struct server *s = user;
  bool welcome = true;
  for (size_t i = 0; i < s->banned_count; i++)
    if (memcmp(s->banned[i], peer->key, MS_KEY_BYTES) == 0) welcome = false;
  ms_conn_answer(conn, welcome, NULL);
}

/* ---- The operator ---- */

static void list(const struct server *s) {
  for (ms_conn *c = ms_conn_first(s->ctx); c; c = ms_conn_next(c)) {
    char key[MS_KEY_TEXT], here[128];
    ms_conn_stats n;
    ms_key_format(ms_conn_key(c), key, sizeof key);
    ms_conn_local(c, here, sizeof here);
    ms_conn_stat(c, &n);
    printf("%llu %s at %s for %llu ms, %llu bytes in, %llu queued\n",
           (unsigned long long)ms_conn_id(c), key, here, (unsigned long long)n.open_msec,
           (unsigned long long)n.in, (unsigned long long)n.queued);
  }
}

static void kick(struct server *s, const char *text) {
  uint8_t key[MS_KEY_BYTES];
  ms_error err;
  if (ms_key_parse(key, text, strlen(text), &err) < 0) {
    printf("%s: %s\n", text, err.message);
    return;
  }
  if (s->banned_count == BANNED_MAX) {
    printf("the list is full\n");
    return;
  }
  memcpy(s->banned[s->banned_count++], key, sizeof key);
  printf("%zu connections end\n", ms_ctx_evict(s->ctx, key, "the operator has ended it"));
}

/* False: there are no more commands. */
static bool obey(struct server *s) {
  char line[256];
  if (!fgets(line, sizeof line, stdin)) return false;
  line[strcspn(line, "\r\n")] = '\0';
  if (strcmp(line, "list") == 0)
    list(s);
  else if (strncmp(line, "kick ", 5) == 0)
    kick(s, line + 5);
  else
    printf("list, or kick KEY\n");
  return true;
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  char address[1024];
  (void)up, (void)user;
  ms_stringify(ctx, MS_DEVICE, address, sizeof address);
  puts(address);
}

static const ms_server_events server_events = {.on_ready = on_ready,
                                               .on_connection = on_connection};

int main(void) {
  struct server s = {.banned_count = 0};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_identity *id = NULL;
  bool open = true;
  ms_error err;

  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  setvbuf(stdin, NULL, _IONBF, 0); /* poll() shall see every line that is there */
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  opts.user = &s;
  if (ms_identity_generate(&id, &err) < 0) goto failed;
  opts.identity = id;
  if (ms_ctx_new(&s.ctx, &opts, &err) < 0 || ms_add(s.ctx, "net:127.0.0.1:0~shs", NULL, &err) < 0 ||
      ms_listen(s.ctx, &server_events, &s, &err) < 0)
    goto failed;
  ms_identity_free(id);

  while (open) {
    struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = ms_ctx_fd(s.ctx), .events = POLLIN}};
    if (poll(fds, 2, ms_ctx_timeout(s.ctx)) > 0 && fds[0].revents) open = obey(&s);
    ms_ctx_run(s.ctx, 0);
  }
  ms_ctx_close(s.ctx, 1000, NULL, NULL);
  while (ms_ctx_run(s.ctx, -1) == 1) {
  }
  ms_ctx_free(s.ctx);
  return 0;

failed:
  fprintf(stderr, "%s\n", err.message);
  ms_identity_free(id);
  ms_ctx_free(s.ctx);
  return 1;
}
