/* Each allocation of the library's fails once, in a loop, until an exchange needs no more: whatever
 * fails, every callback comes exactly once, nothing leaks, nothing hangs, no byte is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failing_memory.h"
#include "loop_fixture.h"

enum { TOTAL = 200000, PIECE = 8192 };

/* ---- An echo ---- */

struct side {
  int opened, closed;
  size_t sent, got;
  bool wrong, ended;
};

struct exchange {
  struct side client, server;
  int over; /* the client has nothing more to wait for */
  int dialled;
};

static uint8_t pattern(size_t i) {
  return (uint8_t)(i * 7 + i / 509);
}

static void client_write(ms_conn *conn, void *user) {
  struct side *s = &((struct exchange *)user)->client;
  uint8_t piece[PIECE];
  while (s->sent < TOTAL) {
    size_t n = TOTAL - s->sent < PIECE ? TOTAL - s->sent : PIECE;
    ptrdiff_t k;
    for (size_t i = 0; i < n; i++)
      piece[i] = pattern(s->sent + i);
    k = ms_conn_write(conn, piece, n);
    if (k < 0) {
      ms_conn_abort(conn);
      return;
    }
    s->sent += (size_t)k;
    if ((size_t)k < n) return;
  }
  ms_conn_end(conn);
}

static void client_read(ms_conn *conn, void *user) {
  struct side *s = &((struct exchange *)user)->client;
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  for (size_t i = 0; i < n; i++)
    if (p[i] != pattern(s->got + i)) s->wrong = true;
  s->got += n;
  ms_conn_consume(conn, n);
}

static void client_end(ms_conn *conn, void *user) {
  (void)conn;
  ((struct exchange *)user)->client.ended = true;
}

static void client_close(ms_conn *conn, const ms_error *err, void *user) {
  struct exchange *e = user;
  (void)conn;
  if (!err && e->client.got != TOTAL) e->client.wrong = true; /* a short answer is no success */
  e->client.closed++;
  e->over = 1;
}

static const ms_conn_events client_events = {.on_readable = client_read,
                                             .on_end = client_end,
                                             .on_writable = client_write,
                                             .on_close = client_close};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct exchange *e = user;
  (void)err;
  e->dialled++;
  if (!conn) {
    e->over = 1;
    return;
  }
  e->client.opened++;
  ms_conn_handle(conn, &client_events, e);
  client_write(conn, e);
}

static void server_read(ms_conn *conn, void *user) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  ptrdiff_t k = n ? ms_conn_write(conn, p, n) : 0;
  (void)user;
  if (k < 0)
    ms_conn_abort(conn);
  else
    ms_conn_consume(conn, (size_t)k);
}

static void server_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void server_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  ((struct exchange *)user)->server.closed++;
}

static const ms_conn_events server_events = {.on_readable = server_read,
                                             .on_end = server_end,
                                             .on_writable = server_read,
                                             .on_close = server_close};

static struct exchange *current; /* the fixture's user pointer is its own */

static void on_connection(ms_conn *conn, void *user) {
  (void)user;
  current->server.opened++;
  ms_conn_handle(conn, &server_events, current);
}

static void admit(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  (void)ms_conn_answer(conn, true, NULL);
}

/* ---- One run ---- */

/* The client dials what the server says it listens on. */
static void dial(struct fixture *f, const ms_ctx_opts *opts, const char *stack,
                 struct exchange *e) {
  ms_dial_opts how = MS_OPTS_INIT(ms_dial_opts);
  char address[512];
  if (ms_stringify(f->server, MS_DEVICE, address, sizeof address) == 0) return;
  if (ms_ctx_new(&f->client, opts, NULL) < 0) return;
  how.on_dialled = on_dialled;
  how.user = e;
  how.timeout_msec = 2000;
  if (ms_add(f->client, stack, NULL, NULL) < 0) return;
  if (ms_dial(f->client, NULL, address, &how, NULL) == 0) fixture_until(f, &e->over, 0);
}

static int suspended;

static void on_suspended(ms_ctx *ctx, void *user) {
  (void)ctx;
  (void)user;
  suspended = 1;
}

static void on_addresses(ms_ctx *ctx, void *user) {
  (void)ctx;
  (void)user;
}

/* It listens again, or has said why not. */
static void suspend_and_resume(struct fixture *f) {
  int errors = f->listen_errors, tries = 0;
  suspended = 0;
  assert_int_equal(ms_suspend(f->server, 0, on_suspended, NULL), 0);
  fixture_until(f, &suspended, 0);
  while (ms_resume(f->server, NULL) < 0)
    assert_true(++tries < 5); /* without memory it stays suspended, and can be asked again */
  while (ms_stringify(f->server, MS_DEVICE, NULL, 0) == 0 && f->listen_errors == errors)
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* True when all went well. */
static bool run(const char *stack, const char *where, struct failing_memory *m) {
  struct fixture f;
  struct exchange e = {0};
  ms_server_events events = fixture_events(on_connection);
  ms_ctx_opts server, client;
  ms_stack_opts how = MS_OPTS_INIT(ms_stack_opts);
  const char *const external[] = {"a.example", "b.example"};
  bool at_unix = strncmp(where, "unix:", 5) == 0;
  char listen[160] = "";
  fixture_init(&f);
  current = &e;
  server = fixture_opts(&f, f.server_id);
  client = fixture_opts(&f, f.client_id);
  server.allocator = client.allocator = &m->allocator;
  server.on_authorise = admit;
  server.accept_timeout_msec = 1000;
  if (at_unix)
    (void)snprintf(listen, sizeof listen, "unix:%s/s%s", f.dir, where + strlen("unix:"));
  else
    (void)snprintf(listen, sizeof listen, "%s", where);
  events.on_addresses = on_addresses;
  how.external = external;
  how.external_count = strncmp(where, "net:", 4) == 0 || strncmp(where, "ws:", 3) == 0 ? 2 : 0;
  if (ms_ctx_new(&f.server, &server, NULL) == 0 && ms_add(f.server, listen, &how, NULL) >= 0 &&
      ms_listen(f.server, &events, &f, NULL) == 0) {
    fixture_until(&f, &f.ready, -1);
    if (f.ready == 1) suspend_and_resume(&f);
    dial(&f, &client, stack, &e);
  }
  fixture_done(&f);
  assert_int_equal(e.client.closed, e.client.opened);
  assert_int_equal(e.server.closed, e.server.opened);
  assert_false(e.client.wrong);
  return e.client.ended && e.client.got == TOTAL;
}

static void fail_each(const char *stack, const char *where) {
  struct failing_memory m;
  unsigned long all, survived = 0;
  failing_memory_init(&m);
  assert_true(run(stack, where, &m));
  all = m.count;
  for (unsigned long n = 1; n <= all; n++) {
    m.count = 0;
    m.fails_at = n;
    survived += run(stack, where, &m);
    if (m.out) fail_msg("%s: %zu allocations are left when number %lu fails", stack, m.out, n);
  }
  printf("%s: each of %lu allocations failed once, %lu exchanges went on\n", stack, all, survived);
}

static void net_shs(void **state) {
  (void)state;
  fail_each("net~shs", "net:127.0.0.1:0~shs");
}

static void net_by_name(void **state) {
  (void)state;
  fail_each("net~shs", "net:localhost:0~shs");
}

static void unix_noauth(void **state) {
  (void)state;
  fail_each("unix~noauth", "unix:~noauth");
}

static void memory_shs(void **state) {
  (void)state;
  fail_each("memory~shs", "memory:oom~shs");
}

static void unix_ws_shs(void **state) {
  (void)state;
  fail_each("unix~ws~shs", "unix:~ws~shs");
}

static void never_ready(ms_ctx *ctx, size_t up, void *user) {
  (void)ctx;
  (void)user;
  fail_msg("ready, with %zu up", up);
}

/* ms_listen fails at the second of two stacks: the first is stopped, and nothing comes of it. */
static void listening_is_all_or_nothing(void **state) {
  static const ms_server_events events = {.on_ready = never_ready};
  int r = MS_ENOMEM;
  (void)state;
  for (unsigned long n = 1; r < 0; n++) {
    struct failing_memory m;
    struct fixture f;
    ms_ctx_opts opts;
    failing_memory_init(&m);
    fixture_init(&f);
    opts = fixture_opts(&f, f.server_id);
    opts.allocator = &m.allocator;
    assert_int_equal(ms_ctx_new(&f.server, &opts, NULL), 0);
    for (int i = 0; i < 2; i++)
      assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, NULL), i);
    m.fails_at = m.count + 2 * n - 1; /* a look-up of a stack, then its places */
    r = ms_listen(f.server, &events, &f, NULL);
    m.fails_at = 0;
    for (int i = 0; i < 10 && r < 0; i++)
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    if (r == 0) ms_unlisten(f.server);
    fixture_done(&f);
    assert_int_equal(m.out, 0);
  }
}

static void ignore_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn, (void)err, (void)user;
}

static void take_on(ms_conn *conn, void *user) {
  static const ms_conn_events ignore = {.on_close = ignore_close};
  ms_conn_handle(conn, &ignore, user);
}

/* Who is named by what stands in front, and finds no memory, has failed like everybody else. */
static void who_is_behind_a_proxy_is_counted(void **state) {
  static const char header[] = "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n";
  static const char *const trusted[] = {"127.0.0.1"};
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  ms_stack_opts how = MS_OPTS_INIT(ms_stack_opts);
  ms_ctx_stats stats = {0};
  bool failed = true;
  int spared = 0; /* what a smaller copy wants is no need */
  (void)state;
  how.trusted_proxies = trusted;
  how.trusted_proxies_count = 1;
  for (unsigned long n = 1; failed; n++) {
    ms_server_events events = fixture_events(NULL);
    struct failing_memory m;
    struct fixture f;
    ms_ctx_opts opts;
    char text[256];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    events.on_connection = take_on;
    failing_memory_init(&m);
    fixture_init(&f);
    opts = fixture_opts(&f, f.server_id);
    opts.allocator = &m.allocator;
    assert_int_equal(ms_ctx_new(&f.server, &opts, NULL), 0);
    assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~noauth", &how, NULL), 0);
    assert_int_equal(ms_listen(f.server, &events, &f, NULL), 0);
    fixture_until(&f, &f.ready, -1);
    (void)ms_stringify(f.server, MS_DEVICE, text, sizeof text);
    a.sin_port = htons((uint16_t)strtoul(text + strlen("net:127.0.0.1:"), NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    do {
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
      ms_ctx_stat(f.server, &stats);
    } while (stats.pending == 0);
    m.fails_at = m.count + n;
    assert_int_equal(send(fd, header, sizeof header - 1, 0), sizeof header - 1);
    do {
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
      ms_ctx_stat(f.server, &stats);
    } while (stats.pending);
    failed = m.count >= m.fails_at;
    m.fails_at = 0;
    if (stats.entered && failed && ++spared > 1)
      fail_msg("allocation %lu fails: it enters uncounted", n);
    if (stats.entered + stats.failed != 1) fail_msg("allocation %lu fails: nowhere counted", n);
    if (stats.failed) assert_int_equal(f.failed_error.code, MS_ENOMEM);
    close(fd);
    fixture_done(&f);
    assert_int_equal(m.out, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(net_shs),
      cmocka_unit_test(net_by_name),
      cmocka_unit_test(unix_noauth),
      cmocka_unit_test(memory_shs),
      cmocka_unit_test(unix_ws_shs),
      cmocka_unit_test(listening_is_all_or_nothing),
      cmocka_unit_test(who_is_behind_a_proxy_is_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
