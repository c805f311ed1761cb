/* Contexts with loops of their own, as an application without libuv has them: descriptors that
 * poll() waits for, a resolver, a log, statistics, stacks that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "multiserver.h"

enum { LINES = 64, ADDRESS = 1024, PATIENCE_MSEC = 20000 };

/* One side and all that it has heard. */
struct side {
  ms_ctx *ctx;
  ms_identity *id;
  /* server */
  unsigned listens, not_listening, ready, up, entered, failed, closes, done;
  int last_stack;
  bool remove_at_listen, run_inside;
  int inside;
  ms_conn *conn;
  /* client */
  unsigned dialled;
  int dial_code;
  size_t received;
  /* resolver */
  unsigned questions;
  ms_resolving *question;
  char host[64];
  /* log */
  unsigned lines;
  char log[LINES][256];
};

static struct side server, client;

/* ---- Waiting ---- */

static int shorter(int a, int b) {
  return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Runs both sides until *what is `many`, waiting in poll() only. */
static void until(const unsigned *what, unsigned many) {
  const struct side *sides[] = {&server, &client};
  while (*what < many) {
    struct pollfd fds[2];
    int timeout = PATIENCE_MSEC, n;
    for (int i = 0; i < 2; i++) {
      ms_ctx *ctx = sides[i]->done ? NULL : sides[i]->ctx;
      fds[i] = (struct pollfd){.fd = ctx ? ms_ctx_fd(ctx) : -1, .events = POLLIN};
      if (ctx) timeout = shorter(timeout, ms_ctx_timeout(ctx));
    }
    n = poll(fds, 2, timeout);
    if (n == 0 && timeout == PATIENCE_MSEC) fail_msg("nothing has come");
    for (int i = 0; i < 2; i++)
      if (sides[i]->ctx && !sides[i]->done) (void)ms_ctx_run(sides[i]->ctx, 0);
  }
}

/* ---- Callbacks ---- */

static void on_readable(ms_conn *conn, void *user) {
  struct side *s = user;
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  if (ms_conn_is_server(conn)) {
    ptrdiff_t k = ms_conn_write(conn, p, n);
    n = k > 0 ? (size_t)k : 0;
  }
  s->received += n;
  ms_conn_consume(conn, n);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct side *s = user;
  (void)conn;
  (void)err;
  s->conn = NULL;
  s->closes++;
}

static const ms_conn_events conn_events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_close, .on_writable = on_readable};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct side *s = user;
  s->dialled++;
  s->dial_code = err ? err->code : 0;
  s->conn = conn;
  if (conn) ms_conn_handle(conn, &conn_events, s);
}

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  struct side *s = user;
  s->last_stack = stack;
  if (err)
    s->not_listening++;
  else
    s->listens++;
  if (s->remove_at_listen) assert_int_equal(ms_remove(ctx, stack), 0);
  if (s->run_inside) s->inside = ms_ctx_run(ctx, 0);
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  struct side *s = user;
  (void)ctx;
  s->ready++;
  s->up = (unsigned)up;
}

static void on_connection(ms_conn *conn, void *user) {
  struct side *s = user;
  s->entered++;
  s->conn = conn;
  ms_conn_handle(conn, &conn_events, s);
}

static void on_failed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  ((struct side *)user)->failed++;
}

static const ms_server_events server_events = {.on_listen = on_listen,
                                               .on_ready = on_ready,
                                               .on_connection = on_connection,
                                               .on_failed = on_failed};

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)user;
  assert_int_equal(
      ms_conn_answer(conn, memcmp(peer->key, ms_identity_key(client.id), MS_KEY_BYTES) == 0, NULL),
      0);
}

static void on_resolve(ms_resolving *question, const char *host, void *user) {
  struct side *s = user;
  s->questions++;
  s->question = question;
  (void)snprintf(s->host, sizeof s->host, "%s", host);
}

static void on_log(enum ms_log_level level, const char *text, void *user) {
  struct side *s = user;
  assert_true(level >= MS_LOG_ERROR && level <= MS_LOG_DEBUG);
  assert_null(strchr(text, '\n'));
  if (s->lines < LINES) (void)snprintf(s->log[s->lines++], sizeof s->log[0], "%d %s", level, text);
}

static bool logged(const struct side *s, const char *text) {
  for (unsigned i = 0; i < s->lines; i++)
    if (strstr(s->log[i], text)) return true;
  return false;
}

static void on_done(ms_ctx *ctx, void *user) {
  ((struct side *)user)->done++;
  ms_ctx_free(ctx);
}

/* ---- Beginning and ending ---- */

static void begin_side(struct side *s, enum ms_log_level level) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  memset(s, 0, sizeof *s);
  assert_int_equal(ms_identity_generate(&s->id, NULL), 0);
  opts.identity = s->id;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  opts.on_resolve = on_resolve;
  opts.on_log = on_log;
  opts.log_level = level;
  opts.user = s;
  assert_int_equal(ms_ctx_new(&s->ctx, &opts, NULL), 0);
}

static void end_side(struct side *s) {
  if (!s->done) ms_ctx_close(s->ctx, 1000, on_done, s);
}

static int begin(void **state) {
  (void)state;
  (void)signal(SIGPIPE, SIG_IGN);
  begin_side(&server, MS_LOG_DEBUG);
  begin_side(&client, MS_LOG_NONE);
  assert_int_equal(ms_add(client.ctx, "net~shs", NULL, NULL), 0);
  return 0;
}

static int end(void **state) {
  (void)state;
  end_side(&client);
  end_side(&server);
  until(&server.done, 1);
  until(&client.done, 1);
  ms_identity_free(server.id);
  ms_identity_free(client.id);
  return 0;
}

static void serve(const char *stack, char *address) {
  assert_int_equal(ms_add(server.ctx, stack, NULL, NULL), 0);
  assert_int_equal(ms_listen(server.ctx, &server_events, &server, NULL), 0);
  until(&server.ready, 1);
  assert_int_equal(server.up, 1);
  assert_true(ms_stringify(server.ctx, MS_DEVICE, address, ADDRESS) > 0);
}

static void dial(const char *address, uint32_t timeout_msec) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  opts.on_dialled = on_dialled;
  opts.user = &client;
  opts.timeout_msec = timeout_msec;
  assert_int_equal(ms_dial(client.ctx, NULL, address, &opts, NULL), 0);
}

/* The address with another host. */
static void with_host(const char *address, const char *host, char *out) {
  const char *port = strchr(strchr(address, ':') + 1, ':');
  (void)snprintf(out, ADDRESS, "net:%s%s", host, port);
}

/* ---- Tests ---- */

static void poll_is_all_it_takes(void **state) {
  char address[ADDRESS];
  static const uint8_t data[300000];
  size_t written = 0;
  struct pollfd quiet;
  ms_conn_stats n;
  ms_ctx_stats all;
  (void)state;
  serve("net:127.0.0.1:0~shs", address);
  dial(address, 0);
  until(&client.dialled, 1);
  assert_int_equal(client.dial_code, 0);
  until(&server.entered, 1);
  while (client.received < sizeof data) {
    ptrdiff_t k = ms_conn_write(client.conn, data + written, sizeof data - written);
    assert_true(k >= 0);
    written += (size_t)k;
    for (int i = 0; i < 4; i++) {
      (void)ms_ctx_run(client.ctx, 0);
      (void)ms_ctx_run(server.ctx, 0);
    }
  }
  ms_conn_stat(client.conn, &n);
  assert_int_equal(n.in, sizeof data);
  assert_int_equal(n.out, sizeof data);
  assert_true(n.wire_in > n.in && n.wire_out > n.out);
  ms_ctx_stat(server.ctx, &all);
  assert_int_equal(all.open, 1);
  assert_int_equal(all.pending, 0);
  assert_int_equal(all.accepted, 1);
  assert_int_equal(all.entered, 1);
  assert_int_equal(all.in, sizeof data);
  assert_true(all.buffer_peak > 0);

  /* at rest nothing is ready, and nothing is due soon */
  (void)ms_ctx_run(server.ctx, 0);
  (void)ms_ctx_run(client.ctx, 0);
  quiet = (struct pollfd){.fd = ms_ctx_fd(client.ctx), .events = POLLIN};
  assert_int_equal(poll(&quiet, 1, 0), 0);
  assert_int_equal(ms_ctx_timeout(client.ctx), -1);
  ms_ctx_stat(server.ctx, &all);
  assert_int_equal(all.buffered, 0);

  ms_conn_end(client.conn);
  assert_int_equal(ms_ctx_timeout(client.ctx), 0); /* there is something to do now */
  until(&client.closes, 1);
  until(&server.closes, 1);
  ms_ctx_stat(server.ctx, &all);
  assert_int_equal(all.open, 0);
  ms_ctx_stat(client.ctx, &all);
  assert_int_equal(all.dialled, 1);
  assert_true(logged(&server, "listen: net:127.0.0.1:0~shs"));
  assert_true(logged(&server, "open: net:127.0.0.1:"));
  assert_true(logged(&server, "300000 bytes in, 300000 out"));
  assert_int_equal(client.lines, 0); /* nothing that matters to it */
}

static void a_stranger_is_counted_and_logged(void **state) {
  char address[ADDRESS];
  ms_ctx_stats all;
  ms_identity *own = client.id;
  (void)state;
  serve("net:127.0.0.1:0~shs", address);
  client.id = server.id; /* whom the server expects */
  dial(address, 0);
  until(&server.failed, 1);
  until(&client.dialled, 1);
  client.id = own;
  assert_int_equal(client.dial_code, MS_EREFUSED);
  ms_ctx_stat(server.ctx, &all);
  assert_int_equal(all.refused, 1);
  assert_int_equal(all.failed, 0);
  assert_int_equal(all.pending, 0);
  ms_ctx_stat(client.ctx, &all);
  assert_int_equal(all.dial_failed, 1);
  assert_int_equal(all.dials, 0);
  assert_true(logged(&server, "peer: net:127.0.0.1:"));
}

static void a_path_has_no_port_in_the_log(void **state) {
  char stack[64], line[128], address[ADDRESS];
  (void)state;
  (void)snprintf(stack, sizeof stack, "unix:@ms-run-test-%ld~shs", (long)getpid());
  serve(stack, address);
  (void)snprintf(line, sizeof line, "%d listen: %s", MS_LOG_INFO, stack);
  assert_string_equal(server.log[0], line);
}

static void a_resolver_answers_at_once_or_later(void **state) {
  static const char *const found[] = {"no address", "127.0.0.1", "::1"};
  char address[ADDRESS], other[ADDRESS];
  (void)state;
  serve("net:127.0.0.1:0~shs", address);
  with_host(address, "pub.example", other);
  dial(other, 0);
  until(&client.questions, 1);
  assert_string_equal(client.host, "pub.example");
  (void)ms_ctx_run(client.ctx, 0);
  assert_int_equal(client.dialled, 0);
  ms_resolve_answer(client.question, found, 3);
  assert_int_equal(client.dialled, 0); /* callbacks come from the loop */
  until(&client.dialled, 1);
  assert_int_equal(client.dial_code, 0);
  ms_conn_close(client.conn);
  until(&client.closes, 1);

  dial(other, 0); /* and a host that is unknown */
  until(&client.questions, 2);
  ms_resolve_answer(client.question, found, 1);
  until(&client.dialled, 2);
  assert_int_equal(client.dial_code, MS_EUNKNOWNHOST);
}

static void nobody_is_asked_for_localhost(void **state) {
  static const char *const names[] = {"localhost", "LocalHost", "a.localhost"};
  char address[ADDRESS], other[ADDRESS];
  (void)state;
  serve("net:127.0.0.1:0~shs", address);
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    with_host(address, names[i], other);
    dial(other, 0);
    until(&client.dialled, i + 1);
    assert_int_equal(client.dial_code, 0);
    ms_conn_close(client.conn);
    until(&client.closes, i + 1);
  }
  assert_int_equal(client.questions, 0);
}

static void a_resolver_may_be_too_late(void **state) {
  static const char *const found[] = {"127.0.0.1"};
  (void)state;
  dial("net:pub.example:8008~shs:blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0=", 20);
  until(&client.questions, 1);
  until(&client.dialled, 1);
  assert_int_equal(client.dial_code, MS_ETIMEDOUT);
  ms_resolve_answer(client.question, found, 1);
  /* one that is never answered does not keep the context from closing */
  dial("net:pub.example:8008~shs:blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0=", 0);
  until(&client.questions, 2);
  ms_ctx_close(client.ctx, 0, on_done, &client);
  until(&client.done, 1);
  assert_int_equal(client.dialled, 2);
  assert_int_equal(client.dial_code, MS_EABORTED);
}

static void stacks_come_and_go(void **state) {
  char address[ADDRESS], second[ADDRESS];
  int added;
  (void)state;
  serve("net:127.0.0.1:0~shs", address);
  dial(address, 0);
  until(&server.entered, 1);
  until(&client.dialled, 1);

  added = ms_add(server.ctx, "net:127.0.0.1:0~shs", NULL, NULL);
  assert_int_equal(added, 1);
  until(&server.listens, 2);
  assert_int_equal(server.last_stack, added);
  assert_int_equal(server.ready, 1);
  assert_int_equal(ms_remove(server.ctx, 0), 0);
  assert_int_equal(ms_remove(server.ctx, 0), MS_EINVAL);
  assert_int_equal(ms_remove(server.ctx, 7), MS_EINVAL);
  assert_int_equal(ms_remove(server.ctx, -1), MS_EINVAL);
  assert_null(ms_stack_name(server.ctx, 0));
  assert_string_equal(ms_stack_name(server.ctx, added), "net~shs");
  assert_true(ms_stringify(server.ctx, MS_DEVICE, second, sizeof second) > 0);
  assert_string_not_equal(address, second);
  assert_null(strchr(second, ';'));

  /* its connection lives on, and still knows what it stands on */
  assert_string_equal(ms_conn_stack(server.conn), "net~shs");
  assert_int_equal(ms_conn_write(client.conn, "hello", 5), 5);
  while (client.received < 5) {
    (void)ms_ctx_run(client.ctx, 10);
    (void)ms_ctx_run(server.ctx, 0);
  }
  ms_conn_close(client.conn);
  until(&server.closes, 1);
  until(&client.closes, 1);

  dial(address, 0);
  until(&client.dialled, 2);
  assert_int_equal(client.dial_code, MS_ECONNECT);
  dial(second, 0);
  until(&client.dialled, 3);
  assert_int_equal(client.dial_code, 0);
  until(&server.entered, 2);
  assert_int_equal(ms_add(server.ctx, "net~shs", NULL, NULL), 2); /* numbers are not used twice */

  /* one that is not dialled any more */
  assert_int_equal(ms_remove(client.ctx, 0), 0);
  {
    ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
    opts.on_dialled = on_dialled;
    assert_int_equal(ms_dial(client.ctx, NULL, second, &opts, NULL), MS_ENOSTACK);
  }
}

static void a_stack_may_go_while_it_comes(void **state) {
  (void)state;
  assert_int_equal(ms_add(server.ctx, "net:127.0.0.1:0~shs", NULL, NULL), 0);
  assert_int_equal(ms_add(server.ctx, "net:nowhere.example:0~shs", NULL, NULL), 1);
  assert_int_equal(ms_listen(server.ctx, &server_events, &server, NULL), 0);
  until(&server.questions, 1);
  until(&server.listens, 1);
  assert_int_equal(server.ready, 0); /* one has still to be looked up */
  assert_int_equal(ms_remove(server.ctx, 1), 0);
  until(&server.ready, 1);
  assert_int_equal(server.up, 1);
  ms_resolve_answer(server.question, NULL, 0);

  server.remove_at_listen = server.run_inside = true;
  assert_int_equal(ms_add(server.ctx, "net:127.0.0.1:0~shs", NULL, NULL), 2);
  until(&server.listens, 2);
  assert_int_equal(server.inside, MS_ESTATE);
  assert_null(ms_stack_name(server.ctx, 2));
  assert_int_equal(server.not_listening, 0);
}

static void a_borrowed_loop_is_not_run(void **state) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  uv_loop_t loop;
  ms_ctx *ctx;
  (void)state;
  assert_int_equal(uv_loop_init(&loop), 0);
  opts.loop = &loop;
  assert_int_equal(ms_ctx_new(&ctx, &opts, NULL), 0);
  assert_int_equal(ms_ctx_run(ctx, 0), MS_EINVAL);
  assert_int_equal(ms_ctx_fd(ctx), MS_EINVAL);
  assert_int_equal(ms_ctx_timeout(ctx), MS_EINVAL);
  ms_ctx_free(ctx);
  (void)uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(poll_is_all_it_takes, begin, end),
      cmocka_unit_test_setup_teardown(a_stranger_is_counted_and_logged, begin, end),
      cmocka_unit_test_setup_teardown(a_path_has_no_port_in_the_log, begin, end),
      cmocka_unit_test_setup_teardown(a_resolver_answers_at_once_or_later, begin, end),
      cmocka_unit_test_setup_teardown(nobody_is_asked_for_localhost, begin, end),
      cmocka_unit_test_setup_teardown(a_resolver_may_be_too_late, begin, end),
      cmocka_unit_test_setup_teardown(stacks_come_and_go, begin, end),
      cmocka_unit_test_setup_teardown(a_stack_may_go_while_it_comes, begin, end),
      cmocka_unit_test(a_borrowed_loop_is_not_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
