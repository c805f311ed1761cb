/* The library's face on a real loop: every stack carries bytes both ways, ends cleanly, refuses,
 * is aborted, and leaves nothing behind. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "echo.h"

#define PUBLIC "blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0="

struct stack_case {
  const char *dial;
  const char *listen; /* "@" is the fixture's folder */
  const char *seen;
  size_t total;
};

static void in_folder(char *buf, size_t size, const struct fixture *f, const char *listen) {
  const char *at = strstr(listen, "@/");
  if (at)
    (void)snprintf(buf, size, "%.*s%s%s", (int)(at - listen), listen, f->dir, at + 1);
  else
    (void)snprintf(buf, size, "%s", listen);
}

static void echo_case(const struct stack_case *k) {
  struct fixture f;
  struct client c = {.total = k->total};
  char listen[160], address[512];
  ms_ctx_opts server, client;
  begin(&f, &server, &client);
  in_folder(listen, sizeof listen, &f, k->listen);
  serve(&f, &server, listen, address, sizeof address);
  dial_with(&f, &client, k->dial, address, &c);
  fixture_until(&f, &c.dialled, 0);
  if (c.error.code) fail_msg("%s: %s %s", address, c.error.layer, c.error.message);
  fixture_until(&f, &c.closed, 0);
  if (c.error.code) fail_msg("%s: %s %s", address, c.error.layer, c.error.message);
  fixture_until(&f, &seen.closed, 0);
  if (seen.error.code) fail_msg("%s: server: %s", address, seen.error.message);
  assert_int_equal(c.got, c.total);
  assert_int_equal(c.ended, 1);
  assert_int_equal(strncmp(seen.address, k->seen, strlen(k->seen)), 0);
  assert_int_equal(seen.key, strstr(k->dial, "shs") != NULL);
  fixture_done(&f);
  assert_int_equal(c.closed, 1);
  assert_int_equal(seen.closed, 1);
}

static void every_stack_echoes(void **state) {
  static const struct stack_case cases[] = {
      {"net~shs", "net:127.0.0.1:0~shs", "net:127.0.0.1:", 3000000},
      {"net~shs", "net::0~shs", "net:", 0},
      {"net~shs", "net::0~shs:", "net:", 1},
      {"net~noauth", "net:127.0.0.1:0~noauth", "net:127.0.0.1:", 3000000},
      {"net", "net:127.0.0.1:0", "net:127.0.0.1:", 3000000},
      {"net~shs", "net:[::]:0~shs", "net:", 100},
      {"net", "net:[::1]:0", "net:::1:", 100},
      {"unix~shs", "unix:@/s~shs", "unix:/tmp/", 3000000},
      {"unix~noauth", "unix:@/s~noauth", "unix:/tmp/", 3000000},
      {"unix", "unix:@/s", "unix:/tmp/", 3000000},
      {"unix", "unix:@/s", "unix:/tmp/", 0},
      {"unix~shs", "unix:@@/s~shs", "unix:@/tmp/", 3000000}, /* abstract */
      {"unix", "unix:@@/s", "unix:@/tmp/", 0},
      {"net~shs~shs", "net:127.0.0.1:0~shs~shs", "net:127.0.0.1:", 3000000},
      {"memory~shs", "memory:api~shs", "memory:api~shs:", 3000000},
      {"memory~noauth", "memory:api~noauth", "memory:api~noauth", 3000000},
      {"memory", "memory:a!:b", "memory:a:b", 3000000},
      {"memory", "memory:api", "memory:api", 0},
      {"unix~ws~shs", "unix:@/s~ws~shs", "unix:/tmp/", 3000000},
      {"unix~ws~shs", "unix:@@/s~ws:/a~shs", "unix:@/tmp/", 100},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    echo_case(&cases[i]);
}

/* ---- Aborts, deadlines, alternatives ---- */

static void a_dial_may_be_aborted_at_any_turn(void **state) {
  char address[512];
  (void)state;
  for (int turns = 0; turns < 40; turns++) {
    struct fixture f;
    struct client c = {.total = 10};
    ms_ctx_opts server, client;
    ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
    ms_dialer *dialer;
    ms_error err;
    fixture_init(&f);
    server = fixture_opts(&f, f.server_id);
    client = fixture_opts(&f, f.client_id);
    serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
    assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
    assert_int_equal(ms_add(f.client, "net~shs", NULL, &err), 0);
    dial.on_dialled = on_dialled;
    dial.user = &c;
    assert_int_equal(ms_dial(f.client, &dialer, address, &dial, &err), 0);
    for (int i = 0; i < turns && !c.dialled; i++)
      uv_run(&f.loop, UV_RUN_NOWAIT);
    if (!c.dialled) {
      ms_dial_abort(dialer);
      assert_int_equal(c.dialled, 0); /* never from inside the call */
      fixture_until(&f, &c.dialled, 0);
      assert_int_equal(c.error.code, MS_EABORTED);
    }
    fixture_done(&f);
    assert_int_equal(c.dialled, 1);
  }
}

static void an_abort_at_open_closes_once(void **state) {
  struct fixture f;
  struct client c = {.abort_at_open = true};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.closed, 0);
  assert_int_equal(c.error.code, MS_EABORTED);
  fixture_done(&f);
  assert_int_equal(c.closed, 1);
}

static void abort_now(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_abort(conn);
}

static const ms_conn_events aborting_events = {.on_readable = abort_now, .on_close = echo_close};

static void on_connection_abort(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_handle(conn, &aborting_events, NULL);
}

/* The server aborts at the first byte: the client hears of it at once. */
static void a_reset_is_heard(void **state) {
  struct fixture f;
  struct client c = {.total = 1000};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  server_events.on_connection = on_connection_abort;
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.closed, 0);
  assert_int_equal(c.error.code, MS_ERESET);
  assert_int_equal(c.error.sys, ECONNRESET);
  assert_int_equal(seen.closed, 1);
  assert_int_equal(seen.error.code, MS_EABORTED);
  fixture_done(&f);
}

static void on_connection_nothing(ms_conn *conn, void *user) {
  (void)conn;
  (void)user;
}

static void on_connection_close(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void who_is_not_taken_on_hears_no_clean_end(void **state) {
  static const char *const stacks[][2] = {{"net~shs", "net:127.0.0.1:0~shs"},
                                          {"net", "net:127.0.0.1:0"}};
  (void)state;
  for (size_t i = 0; i < 4; i++) {
    bool closes = i >= 2;
    struct fixture f;
    struct client c = {.total = 10};
    char address[512];
    ms_ctx_opts server, client;
    begin(&f, &server, &client);
    serve(&f, &server, stacks[i % 2][1], address, sizeof address);
    server_events.on_connection = closes ? on_connection_close : on_connection_nothing;
    dial_with(&f, &client, stacks[i % 2][0], address, &c);
    fixture_until(&f, &c.closed, 0);
    if (closes)
      assert_int_equal(c.error.code, 0);
    else
      assert_true(c.error.code == MS_ETRUNCATED || c.error.code == MS_ERESET);
    fixture_done(&f);
  }
}

static void a_silent_client_is_cut_at_the_deadline(void **state) {
  struct fixture f;
  char listen[160], address[512];
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  ms_ctx_opts server;
  uint64_t from;
  int fd;
  (void)state;
  fixture_init(&f);
  server = fixture_opts(&f, f.server_id);
  server.accept_timeout_msec = 300;
  (void)snprintf(listen, sizeof listen, "unix:%s/s~shs", f.dir);
  serve(&f, &server, listen, address, sizeof address);
  (void)snprintf(un.sun_path, sizeof un.sun_path, "%s/s", f.dir);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
  from = uv_hrtime();
  fixture_until(&f, &f.failed, 0);
  assert_int_equal(f.failed_error.code, MS_ETIMEDOUT);
  assert_string_equal(f.failed_error.layer, "shs");
  assert_true((uv_hrtime() - from) / 1000000 >= 290);
  close(fd);
  fixture_done(&f);
}

static void a_dead_alternative_gives_way_to_a_good_one(void **state) {
  struct fixture f;
  struct client c = {.total = 1000};
  char address[512], both[1024];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  (void)snprintf(both, sizeof both, "foo:bar;net:127.0.0.1:1%s;%s", strchr(address, '~'), address);
  dial_with(&f, &client, "net~shs", both, &c);
  fixture_until(&f, &c.closed, 0);
  assert_int_equal(c.error.code, 0);
  assert_int_equal(c.got, 1000);
  fixture_done(&f);
}

static void closing_a_context_says_goodbye(void **state) {
  struct fixture f;
  struct client c = {.total = 10};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  c.total = SIZE_MAX; /* it never ends by itself */
  c.sent = SIZE_MAX - 10;
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  fixture_done(&f);
  assert_int_equal(c.closed, 1);
  assert_int_equal(seen.closed, 1);
  assert_int_equal(seen.error.code, 0);
}

/* ---- A reset that a write hears of first ---- */

struct reset {
  struct fixture *f;
  uv_timer_t timer;
  ms_conn *conn;
  int peer; /* the other side's descriptor */
  size_t got;
  int ends, closed;
  ms_error error;
};

static struct reset reset;

static void reset_read(ms_conn *conn, void *user) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  (void)user;
  reset.got += n;
  ms_conn_consume(conn, n);
}

static void reset_end(ms_conn *conn, void *user) {
  (void)conn;
  (void)user;
  reset.ends++;
}

static void reset_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  reset.closed++;
  if (err) reset.error = *err;
}

static const ms_conn_events reset_events = {
    .on_readable = reset_read, .on_end = reset_end, .on_close = reset_close};

/* The peer sends half a message and resets; we write before the loop can read. */
static void reset_now(uv_timer_t *timer) {
  static const struct linger none = {.l_onoff = 1, .l_linger = 0};
  char half[1000] = {0};
  (void)timer;
  assert_int_equal(write(reset.peer, half, sizeof half), sizeof half);
  assert_int_equal(setsockopt(reset.peer, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
  assert_int_equal(close(reset.peer), 0);
  assert_int_equal(ms_conn_write(reset.conn, "x", 1), 1);
}

static void reset_connection(ms_conn *conn, void *user) {
  (void)user;
  reset.conn = conn;
  ms_conn_handle(conn, &reset_events, NULL);
  assert_int_equal(uv_timer_start(&reset.timer, reset_now, 20, 0), 0);
}

static void a_reset_that_a_write_hears_is_no_end(void **state) {
  struct fixture f;
  char address[512];
  struct sockaddr_in in = {.sin_family = AF_INET};
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  memset(&reset, 0, sizeof reset);
  assert_int_equal(uv_timer_init(&f.loop, &reset.timer), 0);
  serve(&f, &server, "net:127.0.0.1:0", address, sizeof address);
  server_events.on_connection = reset_connection;
  in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  reset.peer = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(reset.peer, (const struct sockaddr *)&in, sizeof in), 0);
  fixture_until(&f, &reset.closed, 0);
  assert_int_equal(reset.ends, 0);
  assert_int_equal(reset.error.code, MS_ERESET);
  uv_close((uv_handle_t *)&reset.timer, NULL);
  fixture_done(&f);
}

/* ---- Listening ---- */

/* Without a host, and wider than this machine: every interface of both families, on one port. */
static void no_host_is_every_interface(void **state) {
  static const char *const hosts[] = {"127.0.0.1", "::1"};
  struct fixture f;
  ms_ctx_opts server, client;
  ms_stack_opts wide = MS_OPTS_INIT(ms_stack_opts);
  char address[512];
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  wide.scopes = MS_DEVICE | MS_LOCAL | MS_PUBLIC;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, "net::0~shs", &wide, &err), 0);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  if (f.ready != 1) fail_msg("it does not listen: %s", f.listen_error.message);
  assert_true(ms_stringify(f.server, MS_DEVICE, address, sizeof address) > 0);
  for (size_t i = 0; i < 2; i++) {
    struct client c = {.total = 10};
    char there[600];
    (void)snprintf(there, sizeof there, "net:%s:%s", hosts[i], address + strlen("net:localhost:"));
    dial_with(&f, &client, "net~shs", there, &c);
    fixture_until(&f, &c.dialled, 0);
    if (c.error.code) fail_msg("%s: %s", there, c.error.message);
    fixture_until(&f, &c.closed, 0);
    assert_int_equal(c.error.code, 0);
  }
  fixture_done(&f);
}

static void nothing_listens_after_unlisten(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  char listen[160];
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  in_folder(listen, sizeof listen, &f, "unix:@/s~noauth");
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, listen, NULL, &err), 0);
  assert_int_equal(ms_add(f.server, "net::0~shs", NULL, &err), 1);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  ms_unlisten(f.server);
  for (int i = 0; i < 10; i++)
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  in_folder(listen, sizeof listen, &f, "@/s");
  assert_int_equal(access(listen, F_OK), -1);
  assert_int_equal(f.ready, -1);
  fixture_done(&f);
}

static void stacks_report_their_own_results(void **state) {
  struct fixture f;
  ms_server_events events = fixture_events(echo_connection);
  char listen[256], busy[512], address[1024];
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct stat st;
  ms_ctx_opts opts;
  ms_error err;
  int stale;
  FILE *plain;
  (void)state;
  fixture_init(&f);
  opts = fixture_opts(&f, f.server_id);
  serve(&f, &opts, "net:127.0.0.1:0~shs", busy, sizeof busy);
  /* a stale socket is taken over, a plain file is not */
  (void)snprintf(un.sun_path, sizeof un.sun_path, "%s/stale", f.dir);
  stale = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(stale, (struct sockaddr *)&un, sizeof un), 0);
  close(stale);
  (void)snprintf(listen, sizeof listen, "%s/plain", f.dir);
  plain = fopen(listen, "w");
  assert_non_null(plain);
  (void)fclose(plain);
  assert_int_equal(ms_ctx_new(&f.client, &opts, &err), 0);
  assert_int_equal(ms_add(f.client, busy, NULL, &err), 0);
  (void)snprintf(listen, sizeof listen, "unix:%s/stale~noauth", f.dir);
  assert_int_equal(ms_add(f.client, listen, NULL, &err), 1);
  (void)snprintf(listen, sizeof listen, "unix:%s/plain~noauth", f.dir);
  assert_int_equal(ms_add(f.client, listen, NULL, &err), 2);
  (void)snprintf(listen, sizeof listen, "unix:%s/second~shs", f.dir);
  assert_int_equal(ms_add(f.client, listen, NULL, &err), 3);
  assert_int_equal(ms_add(f.client, "net~noauth", NULL, &err), 4); /* dial only */
  f.ready = -1;
  assert_int_equal(ms_listen(f.client, &events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  assert_int_equal(f.ready, 2);
  assert_int_equal(f.listen_errors, 2);
  assert_int_equal(f.listen_error.code, MS_EADDRINUSE);
  assert_true(ms_stringify(f.client, MS_DEVICE, address, sizeof address) < sizeof address);
  (void)snprintf(listen, sizeof listen, "unix:%s/stale~noauth;unix:%s/second~shs:", f.dir, f.dir);
  assert_int_equal(strncmp(address, listen, strlen(listen)), 0);
  assert_int_equal(ms_stringify(f.client, MS_PUBLIC, address, sizeof address), 0);
  assert_string_equal(address, "");
  assert_int_equal(stat(un.sun_path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  (void)snprintf(listen, sizeof listen, "%s/plain", f.dir);
  assert_int_equal(stat(listen, &st), 0);
  assert_true(S_ISREG(st.st_mode));
  assert_int_equal(unlink(listen), 0);
  fixture_done(&f);
}

static void stacks_are_checked(void **state) {
  static const struct {
    const char *address;
    int code;
  } cases[] = {
      {"net:0.0.0.0:0~noauth", MS_EINSECURE},
      {"net:0.0.0.0:0", MS_EINSECURE},
      {"net:192.0.2.1:0~noauth", MS_EINSECURE},
      {"net~foo", MS_ENOSTACK},
      {"shs", MS_ENOSTACK},
      {"net~noauth~shs", MS_ENOSTACK},
      {"net~unix", MS_EADDRESS},
      {"net~ws", MS_EADDRESS},
      {"unix~wss", MS_EADDRESS},
      {"unix~shs~ws", MS_ENOSTACK},
      {"unix~ws~ws", MS_ENOSTACK},
      {"unix~tls~shs~ws", MS_ENOSTACK},
      {"ws~ws", MS_ENOSTACK},
      {"net:127.0.0.1:99999~shs", MS_EADDRESS},
      {"net~shs;net~noauth", MS_EINVAL},
      {"net:127.0.0.1:0~shs:blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0=", MS_EINVAL},
      {"", MS_EADDRESS},
  };
  struct fixture f;
  ms_ctx_opts opts;
  ms_stack_opts loud = MS_OPTS_INIT(ms_stack_opts);
  ms_error err;
  (void)state;
  fixture_init(&f);
  opts = fixture_opts(&f, f.server_id);
  assert_int_equal(ms_ctx_new(&f.server, &opts, &err), 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int r = ms_add(f.server, cases[i].address, NULL, &err);
    if (r != cases[i].code && !(cases[i].code == MS_EADDRESS && r == MS_ENOSTACK))
      fail_msg("%s: %d (%s) instead of %d", cases[i].address, r, err.message, cases[i].code);
    assert_int_equal(err.code, r);
    assert_true(err.message[0]);
  }
  loud.scopes = MS_DEVICE; /* a word about advertising is none about listening */
  assert_int_equal(ms_add(f.server, "net:0.0.0.0:0~noauth", &loud, &err), MS_EINSECURE);
  loud.scopes = 0;
  loud.insecure_noauth = true;
  assert_int_equal(ms_add(f.server, "net:0.0.0.0:0~noauth", &loud, &err), 0);
  fixture_done(&f);

  fixture_init(&f);
  opts = fixture_opts(&f, NULL);
  assert_int_equal(ms_ctx_new(&f.server, &opts, &err), 0);
  assert_int_equal(ms_add(f.server, "net~shs", NULL, &err), MS_EINVAL);
  /* a seed has no place in a stack, nor in its error */
  assert_int_equal(ms_add(f.server, "net:h:1~shs:" PUBLIC ":" PUBLIC, NULL, &err), MS_EADDRESS);
  assert_string_equal(err.address, "net:h:1");
  assert_int_equal(ms_add(f.server, "shs:" PUBLIC ":" PUBLIC, NULL, &err), MS_EADDRESS);
  assert_string_equal(err.address, "shs");
  assert_int_equal(ms_add(f.server, "ws://me:secret@h:x", NULL, &err), MS_EADDRESS);
  assert_string_equal(err.address, "");
  assert_int_equal(ms_add(f.server, "ws://me:sec!~ret@h:99999", NULL, &err), MS_EADDRESS);
  assert_string_equal(err.address, "");
  fixture_done(&f);
}

static void nobody_understands_is_said_at_once(void **state) {
  struct fixture f;
  ms_ctx_opts opts;
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  ms_error err;
  (void)state;
  fixture_init(&f);
  opts = fixture_opts(&f, f.client_id);
  assert_int_equal(ms_ctx_new(&f.client, &opts, &err), 0);
  assert_int_equal(ms_add(f.client, "net~shs", NULL, &err), 0);
  dial.on_dialled = on_dialled;
  assert_int_equal(ms_dial(f.client, NULL, "net:localhost:8008~noauth", &dial, &err), MS_ENOSTACK);
  assert_int_equal(ms_dial(f.client, NULL, "net:localhost", &dial, &err), MS_EADDRESS);
  assert_int_equal(err.phase, MS_PHASE_PARSE);
  dial.on_dialled = NULL;
  assert_int_equal(ms_dial(f.client, NULL, "net:localhost:8008~noauth", &dial, &err), MS_EINVAL);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_stack_echoes),
      cmocka_unit_test(a_dial_may_be_aborted_at_any_turn),
      cmocka_unit_test(an_abort_at_open_closes_once),
      cmocka_unit_test(a_reset_is_heard),
      cmocka_unit_test(who_is_not_taken_on_hears_no_clean_end),
      cmocka_unit_test(a_silent_client_is_cut_at_the_deadline),
      cmocka_unit_test(a_dead_alternative_gives_way_to_a_good_one),
      cmocka_unit_test(closing_a_context_says_goodbye),
      cmocka_unit_test(a_reset_that_a_write_hears_is_no_end),
      cmocka_unit_test(no_host_is_every_interface),
      cmocka_unit_test(nothing_listens_after_unlisten),
      cmocka_unit_test(stacks_report_their_own_results),
      cmocka_unit_test(stacks_are_checked),
      cmocka_unit_test(nobody_understands_is_said_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
