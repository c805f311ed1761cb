/* Listening: busy ports in every combination, ports that are shared, addresses that change, and a
 * context that is suspended and resumed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "echo.h"

enum { TEXT = 1024 };

/* ---- Busy ports ---- */

enum { STACKS = 5 };

static struct {
  int reports[STACKS], codes[STACKS];
  int ready;
} heard;

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  (void)ctx;
  (void)user;
  assert_in_range(stack, 0, STACKS - 1);
  heard.reports[stack]++;
  heard.codes[stack] = err ? err->code : 0;
  if (err && !strstr(err->message, "in use") && !strstr(err->message, "listens"))
    fail_msg("it does not say that the place is taken: %s", err->message);
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  (void)ctx;
  (void)user;
  heard.ready = (int)up;
}

/* A socket that listens at an internet address of this family, on a port of its own. */
static int take_port(int family, int *port) {
  struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6;
  socklen_t n = family == AF_INET ? sizeof in4 : sizeof in6;
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0 && bind(fd, a, n) == 0 && listen(fd, 8) == 0);
  assert_int_equal(getsockname(fd, a, &n), 0);
  *port = ntohs(family == AF_INET ? in4.sin_port : in6.sin6_port);
  return fd;
}

static int take_path(const struct fixture *f, struct sockaddr_un *un) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  un->sun_family = AF_UNIX;
  (void)snprintf(un->sun_path, sizeof un->sun_path, "%s/taken", f->dir);
  assert_true(fd >= 0 && bind(fd, (struct sockaddr *)un, sizeof *un) == 0 && listen(fd, 8) == 0);
  return fd;
}

/* Each of the five kinds of listener, busy or not: all 32 combinations. Every one reports once, the
 * busy ones their own error, and the others can be dialled. */
static void every_combination_of_busy_listeners(void **state) {
  struct fixture f;
  int ports[3], fds[4];
  struct sockaddr_un taken = {0};
  (void)state;
  fixture_init(&f);
  fds[0] = take_port(AF_INET, &ports[0]);
  fds[1] = take_port(AF_INET6, &ports[1]);
  fds[2] = take_port(AF_INET, &ports[2]);
  fds[3] = take_path(&f, &taken);
  for (unsigned busy = 0; busy < 1u << STACKS; busy++) {
    ms_server_events events = {
        .on_listen = on_listen, .on_ready = on_ready, .on_connection = echo_connection};
    ms_ctx_opts server = fixture_opts(&f, f.server_id), client = fixture_opts(&f, f.client_id);
    char address[STACKS][2 * TEXT], all[STACKS * TEXT];
    ms_error err;
    int up = 0;
    memset(&heard, 0, sizeof heard);
    heard.ready = -1;
    f.done = 0;
    (void)snprintf(address[0], TEXT, "net:127.0.0.1:%d~shs", busy & 1 ? ports[0] : 0);
    (void)snprintf(address[1], TEXT, "net:::1:%d~shs", busy & 2 ? ports[1] : 0);
    (void)snprintf(address[2], TEXT, "net::%d~noauth", busy & 4 ? ports[2] : 0); /* localhost */
    (void)snprintf(address[3], 2 * TEXT, "unix:%s%s~noauth", taken.sun_path,
                   busy & 8 ? "" : "-not");
    (void)snprintf(address[4], TEXT, "ws://127.0.0.1:%d~shs", busy & 16 ? ports[0] : 0);
    assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
    for (int i = 0; i < STACKS; i++) {
      assert_int_equal(ms_add(f.server, address[i], NULL, &err), i);
      if (!(busy & 1u << i)) up++;
    }
    assert_int_equal(ms_listen(f.server, &events, &f, &err), 0);
    fixture_until(&f, &heard.ready, -1);
    assert_int_equal(heard.ready, up);
    for (int i = 0; i < STACKS; i++) {
      size_t n = ms_stringify_stack(f.server, i, MS_DEVICE, all, sizeof all);
      struct client c = {.total = 100};
      if (heard.reports[i] != 1 || heard.codes[i] != (busy & 1u << i ? MS_EADDRINUSE : 0))
        fail_msg("combination %u: %s reported %d times, the last %s", busy, address[i],
                 heard.reports[i], ms_code_name(heard.codes[i]));
      assert_int_equal(n == 0, (busy & 1u << i) != 0);
      if (n == 0) continue;
      if (!f.client) {
        static const char *const stacks[] = {"net~shs", "net~noauth", "unix~noauth", "ws~shs"};
        assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
        for (size_t j = 0; j < sizeof stacks / sizeof *stacks; j++)
          assert_true(ms_add(f.client, stacks[j], NULL, &err) >= 0);
      }
      dial_with(&f, &client, "", all, &c);
      fixture_until(&f, &c.dialled, 0);
      if (c.error.code) fail_msg("combination %u: %s: %s", busy, all, c.error.message);
      fixture_until(&f, &c.closed, 0);
      assert_int_equal(c.got, 100);
    }
    fixture_close(&f);
  }
  for (size_t i = 0; i < 4; i++)
    close(fds[i]);
  assert_int_equal(unlink(taken.sun_path), 0);
  fixture_done(&f);
}

/* ---- Sharing ---- */

static void a_port_is_shared_by_those_who_say_so(void **state) {
  static const bool shares[][2] = {{true, true}, {true, false}, {false, true}, {false, false}};
  (void)state;
  for (size_t i = 0; i < 4; i++) {
    ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
    struct fixture f;
    ms_ctx_opts server, client;
    char address[TEXT];
    ms_error err;
    begin(&f, &server, &client);
    server_events = fixture_events(echo_connection);
    opts.reuse_port = shares[i][0];
    assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
    assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", &opts, &err), 0);
    assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
    fixture_until(&f, &f.ready, -1);
    assert_int_equal(f.ready, 1);
    (void)ms_stringify(f.server, MS_DEVICE, address, sizeof address);
    f.ready = -1;
    opts.reuse_port = shares[i][1];
    assert_int_equal(ms_ctx_new(&f.client, &server, &err), 0); /* another server, the same key */
    assert_int_equal(ms_add(f.client, address, &opts, &err), 0);
    assert_int_equal(ms_listen(f.client, &server_events, &f, &err), 0);
    fixture_until(&f, &f.ready, -1);
    assert_int_equal(f.ready, shares[i][0] && shares[i][1]);
    if (!f.ready) assert_int_equal(f.listen_error.code, MS_EADDRINUSE);
    fixture_done(&f);
  }
}

/* ---- What is advertised ---- */

static int told;

static void on_addresses(ms_ctx *ctx, void *user) {
  (void)ctx;
  (void)user;
  told++;
}

static void run_for(struct fixture *f, uint64_t msec) {
  uint64_t end = uv_now(&f->loop) + msec;
  while (uv_now(&f->loop) < end)
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* What the command line's tests cannot do without a second network: see net/advertise for it. */
static void a_change_is_told_once(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  char one[TEXT], two[TEXT];
  ms_error err;
  int second;
  (void)state;
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  server_events.on_addresses = on_addresses;
  told = 0;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err), 0);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  run_for(&f, 500);
  assert_int_equal(told, 0); /* what is there at on_ready is known */
  (void)ms_stringify(f.server, MS_DEVICE, one, sizeof one);
  second = ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err);
  assert_int_equal(second, 1);
  assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~noauth", NULL, &err), 2);
  fixture_until(&f, &told, 0);
  (void)ms_stringify(f.server, MS_DEVICE, two, sizeof two);
  assert_true(strlen(two) > 2 * strlen(one));
  run_for(&f, 500);
  assert_int_equal(told, 1); /* both at once */
  assert_int_equal(ms_remove(f.server, 1), 0);
  assert_int_equal(ms_remove(f.server, 2), 0);
  fixture_until(&f, &told, 1);
  (void)ms_stringify(f.server, MS_DEVICE, two, sizeof two);
  assert_string_equal(one, two);
  /* come and gone: nothing is new */
  assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err), 3);
  assert_int_equal(ms_remove(f.server, 3), 0);
  run_for(&f, 500);
  assert_int_equal(told, 2);
  fixture_done(&f);
}

static void assert_advertised(const char *stack, const ms_stack_opts *opts, const char *device,
                              const char *local, const char *public) {
  const char *const expected[] = {device, local, public};
  static const enum ms_scope scopes[] = {MS_DEVICE, MS_LOCAL, MS_PUBLIC};
  struct fixture f;
  ms_ctx_opts server, client;
  ms_error err;
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  if (ms_add(f.server, stack, opts, &err) < 0) fail_msg("%s: %s", stack, err.message);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  if (f.ready != 1) fail_msg("%s: %s", stack, f.listen_error.message);
  for (size_t i = 0; i < 3; i++) {
    char got[TEXT], bare[TEXT] = "";
    size_t n = 0;
    (void)ms_stringify(f.server, scopes[i], got, sizeof got);
    /* the port is any, of five digits; the key is known */
    for (const char *p = got; *p;) {
      size_t digits = strspn(p, "0123456789");
      if (*p == '~') p += strcspn(p, ";");
      bare[n++] = *p ? *p : ';';
      p += digits == 5 ? 5 : *p != '\0';
      if (digits == 5) n--;
    }
    bare[n] = '\0';
    if (expected[i] && strcmp(bare, expected[i]) != 0)
      fail_msg("%s in scope %d: '%s', not '%s'", stack, (int)scopes[i], bare, expected[i]);
  }
  fixture_done(&f);
}

static void what_is_advertised_can_be_dialled(void **state) {
  static const char *const hosts[] = {"a.example", "2001:db8::7", "b.example"};
  static const char *const fronts[] = {"net:front.example:443", "c.example"};
  static const char *const webs[] = {"wss://front.example/b"};
  ms_stack_opts all = MS_OPTS_INIT(ms_stack_opts), named = all, front = all, open = all;
  ms_stack_opts edge = all, web = all;
  (void)state;
  all.scopes = named.scopes = front.scopes = open.scopes = MS_DEVICE | MS_LOCAL | MS_PUBLIC;
  named.external = open.external = hosts;
  named.external_count = open.external_count = 3;
  front.external = fronts;
  front.external_count = 2;
  open.insecure_noauth = true;
  edge.external = fronts;
  web.external = webs;
  edge.external_count = web.external_count = 1;
  /* one full address for each external host, in the public scope only */
  assert_advertised("net:::ffff:127.0.0.1:0~shs", &all, "net:127.0.0.1:;", "", "");
  assert_advertised("net:127.0.0.1:0~shs", &all, "net:127.0.0.1:;", "", "");
  assert_advertised("net:::1:0~shs", &named, "net:::1:;", "", "");
  assert_advertised("ws://127.0.0.1:0/p~shs", &named, "ws://127.0.0.1:/p;", "", "");
  /* what stands in front of a unix socket, in its place and that of what it speaks there */
  assert_advertised("unix:/tmp/ms-listening-test~shs", NULL, "unix:/tmp/ms-listening-test;", "",
                    "");
  assert_advertised("unix:/tmp/ms-listening-test~shs", &edge, "unix:/tmp/ms-listening-test;", "",
                    "net:front.example:443;");
  assert_advertised("unix:/tmp/ms-listening-test~ws:/a~shs", &web, "unix:/tmp/ms-listening-test;",
                    "", "wss://front.example/b;");
  web.scopes = MS_DEVICE;
  assert_advertised("unix:/tmp/ms-listening-test~ws:/a~shs", &web, "unix:/tmp/ms-listening-test;",
                    "", "");
  /* a front is not this machine's loopback */
  assert_advertised("net:127.0.0.1:0~shs", &front, "net:127.0.0.1:;", "", "net:front.example:443;");
  /* whoever is let in without authentication is not invited */
  assert_advertised("net:127.0.0.1:0~noauth", &open, "net:127.0.0.1:;", "", "");
  open.scopes = MS_PUBLIC;
  assert_advertised("net:0.0.0.0:0~noauth", &open, "", "", "");
  named.scopes = MS_PUBLIC;
  assert_advertised("net:0.0.0.0:0~shs", &named, "", "",
                    "net:a.example:;net:2001:db8::7:;net:b.example:;");
  named.scopes = 0;
  assert_advertised("net:0.0.0.0:0~shs", &named, "net:localhost:;", NULL,
                    "net:a.example:;net:2001:db8::7:;net:b.example:;");
}

static void assert_refused_external(const char *external) {
  ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
  struct fixture f;
  ms_ctx_opts server, client;
  ms_error err;
  begin(&f, &server, &client);
  opts.external = &external;
  opts.external_count = 1;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  if (ms_add(f.server, "net:0.0.0.0:0~shs", &opts, &err) != MS_EINVAL)
    fail_msg("'%s' is taken", external);
  fixture_done(&f);
}

static void what_nobody_can_dial_is_not_external(void **state) {
  static const char *const hosts[] = {"::ffff:198.51.100.1", "2001:db8::7%eth0", "a.example",
                                      "A.example",           "2001:db8::7",      "198.51.100.1"};
  ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
  (void)state;
  assert_refused_external("::");
  assert_refused_external("0.0.0.0");
  assert_refused_external("::ffff:0.0.0.0");
  assert_refused_external("localhost");
  assert_refused_external("127.0.0.1");
  assert_refused_external("::1");
  assert_refused_external("net:127.0.0.1:443");
  assert_refused_external("net::443");
  assert_refused_external("de:ad");
  /* the others as peers write them, each once */
  opts.external = hosts;
  opts.external_count = sizeof hosts / sizeof *hosts;
  opts.scopes = MS_PUBLIC;
  assert_advertised("net:0.0.0.0:0~shs", &opts, "", "",
                    "net:198.51.100.1:;net:2001:db8::7:;net:a.example:;");
}

static void on_resolve(ms_resolving *question, const char *host, void *user) {
  static const char *const loopback[] = {"127.0.1.1"};
  (void)host;
  (void)user;
  ms_resolve_answer(question, loopback, 1);
}

/* Debian calls 127.0.1.1 by the host's name. */
static void a_name_of_loopback_stays_on_this_machine(void **state) {
  static const char *const external[] = {"pub.example"};
  ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
  struct fixture f;
  ms_ctx_opts server, client;
  char got[TEXT];
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  server.on_resolve = on_resolve;
  server_events = fixture_events(echo_connection);
  opts.scopes = MS_DEVICE | MS_LOCAL | MS_PUBLIC;
  opts.external = external;
  opts.external_count = 1;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, "net:myhost.example:0~shs", &opts, &err), 0);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  assert_true(ms_stringify(f.server, MS_DEVICE, got, sizeof got) > 0);
  (void)ms_stringify(f.server, MS_LOCAL, got, sizeof got);
  assert_string_equal(got, "");
  (void)ms_stringify(f.server, MS_PUBLIC, got, sizeof got);
  assert_string_equal(got, "");
  fixture_done(&f);
}

/* ---- What is there when all have reported ---- */

static void remove_all(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  (void)user;
  assert_null(err);
  assert_int_equal(stack, 0); /* the others report no more */
  for (int i = 0; i < 3; i++)
    assert_int_equal(ms_remove(ctx, i), 0);
}

static void who_is_removed_is_not_up(void **state) {
  ms_server_events events = {.on_listen = remove_all, .on_ready = on_ready};
  struct fixture f;
  ms_ctx_opts server, client;
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  heard.ready = -1;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  for (int i = 0; i < 3; i++)
    assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err), i);
  assert_int_equal(ms_listen(f.server, &events, &f, &err), 0);
  fixture_until(&f, &heard.ready, -1);
  assert_int_equal(heard.ready, 0);
  fixture_done(&f);
}

/* ---- Suspending ---- */

static int suspended;

static void on_suspended(ms_ctx *ctx, void *user) {
  (void)ctx;
  (void)user;
  suspended++;
}

static void resume_at_once(ms_ctx *ctx, void *user) {
  (void)user;
  suspended++;
  assert_int_equal(ms_resume(ctx, NULL), 0);
}

/* A client that stays until the server says goodbye. */
static int stays_open, stays_closed;
static ms_error stays_error;

static void stays_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void stays_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  stays_closed++;
  stays_error = err ? *err : (ms_error){0};
}

static const ms_conn_events stays = {.on_end = stays_end, .on_close = stays_close};

static void stays_dialled(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err) fail_msg("%s", err->message);
  stays_open++;
  ms_conn_handle(conn, &stays, NULL);
}

static void a_suspended_context_comes_back(void **state) {
  static const char *const stacks[] = {"net:127.0.0.1:0~shs", "net::0~noauth", "unix:@/s~shs",
                                       "ws://127.0.0.1:0~shs"};
  (void)state;
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++) {
    struct fixture f;
    struct client c = {.total = 1000};
    ms_ctx_opts server, client;
    ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
    char stack[TEXT], address[TEXT], again[TEXT], plain[TEXT];
    ms_error err;
    begin(&f, &server, &client);
    if (strncmp(stacks[i], "unix", 4) == 0)
      (void)snprintf(stack, sizeof stack, "unix:%s/s~shs", f.dir);
    else
      (void)snprintf(stack, sizeof stack, "%s", stacks[i]);
    serve(&f, &server, stack, address, sizeof address);
    (void)snprintf(plain, sizeof plain, "%.*s~%s", (int)strcspn(stack, ":"), stack,
                   strstr(stack, "noauth") ? "noauth" : "shs");
    assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
    assert_true(ms_add(f.client, plain, NULL, &err) >= 0);
    assert_int_equal(ms_add(f.server, plain, NULL, &err), 1); /* it dials, too */
    dial.on_dialled = stays_dialled;
    stays_open = stays_closed = suspended = 0;
    assert_int_equal(ms_dial(f.client, NULL, address, &dial, &err), 0);
    fixture_until(&f, &stays_open, 0);
    /* goodbye to who is there, nobody else comes, and it does not dial */
    assert_int_equal(ms_resume(f.server, &err), MS_ESTATE);
    assert_int_equal(ms_suspend(f.server, 5000, on_suspended, NULL), 0);
    assert_int_equal(ms_resume(f.server, &err), MS_ESTATE);
    fixture_until(&f, &suspended, 0);
    fixture_until(&f, &stays_closed, 0);
    if (stays_error.code) fail_msg("%s: no goodbye but: %s", stack, stays_error.message);
    assert_int_equal(ms_suspend(f.server, 0, on_suspended, NULL), MS_ESTATE);
    assert_int_equal(ms_dial(f.server, NULL, address, &dial, &err), MS_ESTATE);
    (void)ms_stringify(f.server, MS_DEVICE, again, sizeof again);
    assert_string_equal(again, "");
    dial_with(&f, &client, plain, address, &c);
    fixture_until(&f, &c.dialled, 0);
    assert_int_equal(c.error.code, MS_ECONNECT);
    /* and back, on the same port */
    assert_int_equal(ms_resume(f.server, &err), 0);
    do
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    while (ms_stringify(f.server, MS_DEVICE, again, sizeof again) == 0);
    assert_string_equal(again, address);
    c = (struct client){.total = 1000};
    dial_with(&f, &client, plain, address, &c);
    fixture_until(&f, &c.dialled, 0);
    if (c.error.code) fail_msg("%s: %s", stack, c.error.message);
    fixture_until(&f, &c.closed, 0);
    assert_int_equal(c.got, 1000);
    assert_int_equal(suspended, 1);
    assert_int_equal(f.ready, 1);
    fixture_done(&f);
  }
}

/* Who does not answer the goodbye is cut; a second call is in more of a hurry. */
static bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

static void dial_it(struct fixture *f, const ms_ctx_opts *client, const char *address) {
  struct client c = {.total = 1000};
  char all[TEXT];
  (void)ms_stringify(f->server, MS_DEVICE, all, sizeof all);
  dial_with(f, client, "net~shs", address ? address : all, &c);
  fixture_until(f, &c.closed, 0);
  if (c.error.code) fail_msg("%s: %s", address, c.error.message);
  assert_int_equal(c.got, 1000);
}

/* Whoever opened it holds the port all the same: it cannot be opened anew. */
static void what_was_inherited_is_taken_again(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  char stack[TEXT];
  ms_error err;
  int port, fd = take_port(AF_INET, &port), other = dup(fd);
  (void)state;
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  server.inherited = &fd;
  server.inherited_count = 1;
  (void)snprintf(stack, sizeof stack, "net:::ffff:127.0.0.1:%d~shs", port); /* the same */
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, stack, NULL, &err), 0);
  assert_true(ms_ctx_inherited_left(f.server, fd));
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  assert_int_equal(f.ready, 1);
  assert_false(ms_ctx_inherited_left(f.server, fd));
  dial_it(&f, &client, NULL);
  suspended = 0;
  assert_int_equal(ms_suspend(f.server, 1000, on_suspended, NULL), 0);
  fixture_until(&f, &suspended, 0);
  f.listened = 0;
  assert_int_equal(ms_resume(f.server, &err), 0);
  fixture_until(&f, &f.listened, 0);
  if (f.listen_error.code) fail_msg("resumed: %s", f.listen_error.message);
  dial_it(&f, &client, NULL);
  f.listened = 0;
  assert_int_equal(ms_remove(f.server, 0), 0);
  assert_int_equal(ms_add(f.server, stack, NULL, &err), 1);
  fixture_until(&f, &f.listened, 0);
  if (f.listen_error.code) fail_msg("added again: %s", f.listen_error.message);
  dial_it(&f, &client, NULL);
  assert_true(is_open(fd));
  ms_unlisten(f.server);
  assert_false(is_open(fd));
  fixture_done(&f);
  close(other);
}

/* systemd's BindIPv6Only=ipv6-only: a socket for each family; both for "::", or one for each of two
 * stacks. */
static void inherit_both_wildcards(const char *ipv4) {
  struct sockaddr_in in4 = {.sin_family = AF_INET};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
  socklen_t n = sizeof in6;
  struct fixture f;
  ms_ctx_opts server, client;
  char text[TEXT];
  ms_error err;
  int fds[2] = {socket(AF_INET6, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0)}, on = 1;
  assert_int_equal(setsockopt(fds[0], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on), 0);
  assert_int_equal(bind(fds[0], (struct sockaddr *)&in6, sizeof in6), 0);
  assert_int_equal(getsockname(fds[0], (struct sockaddr *)&in6, &n), 0);
  in4.sin_port = in6.sin6_port;
  assert_int_equal(bind(fds[1], (struct sockaddr *)&in4, sizeof in4), 0);
  assert_true(listen(fds[0], 8) == 0 && listen(fds[1], 8) == 0);
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  server.inherited = fds;
  server.inherited_count = 2;
  (void)snprintf(text, sizeof text, "net::::%d~shs", ntohs(in6.sin6_port));
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, text, NULL, &err), 0);
  (void)snprintf(text, sizeof text, "net:%s:%d~shs", ipv4, ntohs(in6.sin6_port));
  if (*ipv4) assert_int_equal(ms_add(f.server, text, NULL, &err), 1);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  if (f.ready != 1 + (*ipv4 != 0)) fail_msg("%s", f.listen_error.message);
  for (int i = 0; i < 2; i++) {
    char all[TEXT];
    assert_false(ms_ctx_inherited_left(f.server, fds[i]));
    (void)ms_stringify(f.server, MS_DEVICE, all, sizeof all);
    (void)snprintf(text, sizeof text, "net:%s:%d%.*s", i ? "127.0.0.1" : "::1",
                   ntohs(in6.sin6_port), (int)strcspn(strchr(all, '~'), ";"), strchr(all, '~'));
    dial_it(&f, &client, text);
  }
  fixture_done(&f);
}

static void both_wildcards_may_be_inherited(void **state) {
  (void)state;
  inherit_both_wildcards("");
  inherit_both_wildcards("0.0.0.0");
}

/* ---- Both wildcards ---- */

/* A port that nobody has, in either family. */
static int free_port(void) {
  int port;
  close(take_port(AF_INET, &port));
  return port;
}

/* Is the one who answers at this host the stack of this protocol? */
static void assert_answers(struct fixture *f, const char *host, int port, const char *protocol) {
  struct client c = {.total = 1000};
  char address[TEXT], all[TEXT];
  bool ws = strcmp(protocol, "ws") == 0, v6 = ws && strchr(host, ':');
  (void)ms_stringify(f->server, MS_DEVICE, all, sizeof all);
  (void)snprintf(address, sizeof address, "%s:%s%s%s%s:%d%.*s", protocol, ws ? "//" : "",
                 v6 ? "[" : "", host, v6 ? "]" : "", port, (int)strcspn(strchr(all, '~'), ";"),
                 strchr(all, '~'));
  dial_with(f, NULL, "", address, &c);
  fixture_until(f, &c.closed, 0);
  if (c.error.code) fail_msg("%s: %s", address, c.error.message);
  assert_int_equal(c.got, 1000);
}

/* Each has its family, in any order, whatever is spoken there; also after a suspension. */
static void both_wildcards_have_one_port(void **state) {
  static const struct {
    const char *stacks[2]; /* % is the port; without it a unix socket */
    const char *v4, *v6;   /* who answers there */
    bool reuse_port;
  } rows[] = {
      {{"net:0.0.0.0:%~shs", "net::::%~shs"}, "net", "net", false},
      {{"net::::%~shs", "net:0.0.0.0:%~shs"}, "net", "net", false},
      {{"net::::%~shs", "net:0.0.0.0:%~shs"}, "net", "net", true},
      {{"net::::%~shs", "net:::ffff:0.0.0.0:%~shs"}, "net", "net", false},
      {{"ws://0.0.0.0:%~shs", "net::::%~shs"}, "ws", "net", false},
      {{"ws://[::]:%~shs", "net:0.0.0.0:%~shs"}, "net", "ws", false},
      {{"net::%~shs", "net:0.0.0.0:%~shs"}, "net", "net", false}, /* "" in a wider scope */
      {{"net::::%~shs", "unix"}, "net", "net", false},            /* alone: both */
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
    struct fixture f;
    ms_ctx_opts server, client;
    int port = free_port();
    char stack[TEXT], all[TEXT], again[TEXT];
    ms_error err;
    begin(&f, &server, &client);
    server_events = fixture_events(echo_connection);
    opts.reuse_port = rows[i].reuse_port;
    opts.scopes = MS_DEVICE | MS_LOCAL;
    assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
    for (int j = 0; j < 2; j++) {
      const char *given = rows[i].stacks[j], *at = strchr(given, '%');
      if (at)
        (void)snprintf(stack, sizeof stack, "%.*s%d%s", (int)(at - given), given, port, at + 1);
      if (!at) (void)snprintf(stack, sizeof stack, "unix:%s/s~shs", f.dir);
      if (ms_add(f.server, stack, &opts, &err) != j) fail_msg("%s: %s", stack, err.message);
    }
    assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
    assert_int_equal(ms_add(f.client, "net~shs", NULL, &err), 0);
    assert_int_equal(ms_add(f.client, "ws~shs", NULL, &err), 1);
    assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
    fixture_until(&f, &f.ready, -1);
    if (f.ready != 2) fail_msg("row %zu: %s", i, f.listen_error.message);
    (void)ms_stringify(f.server, MS_DEVICE, all, sizeof all);
    if ((strstr(all, "localhost") != NULL) != (i > 6)) fail_msg("row %zu: %s", i, all);
    assert_answers(&f, "127.0.0.1", port, rows[i].v4);
    assert_answers(&f, "::1", port, rows[i].v6);
    suspended = 0;
    assert_int_equal(ms_suspend(f.server, 1000, on_suspended, NULL), 0);
    fixture_until(&f, &suspended, 0);
    f.listened = 0;
    assert_int_equal(ms_resume(f.server, &err), 0);
    fixture_until(&f, &f.listened, 0);
    if (f.listened < 2) fixture_until(&f, &f.listened, 1);
    if (f.listen_error.code) fail_msg("resumed: %s", f.listen_error.message);
    (void)ms_stringify(f.server, MS_DEVICE, again, sizeof again);
    assert_string_equal(all, again);
    assert_answers(&f, "127.0.0.1", port, rows[i].v4);
    assert_answers(&f, "::1", port, rows[i].v6);
    ms_unlisten(f.server);
    fixture_done(&f);
  }
}

/* The port is another stack's of ours: which, and why. */
static void who_has_the_port_is_named(void **state) {
  static const struct {
    const char *first, *later, *why;
  } rows[] = {
      {"127.0.0.1", "127.0.0.1", NULL},
      {"::", "127.0.0.1", "which has both families"},
      {"::", "0.0.0.0", "leaves IPv4 to what is there"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct fixture f;
    ms_ctx_opts server, client;
    int port = free_port();
    char first[TEXT], later[TEXT], own[2 * TEXT];
    ms_error err;
    begin(&f, &server, &client);
    server_events = fixture_events(echo_connection);
    (void)snprintf(first, sizeof first, "net:%s:%d~shs", rows[i].first, port);
    (void)snprintf(later, sizeof later, "ws://%s:%d~shs", rows[i].later, port);
    assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
    assert_int_equal(ms_add(f.server, first, NULL, &err), 0);
    assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
    fixture_until(&f, &f.ready, -1);
    assert_int_equal(ms_add(f.server, later, NULL, &err), 1);
    fixture_until(&f, &f.listened, 1);
    assert_int_equal(f.listen_error.code, MS_EADDRINUSE);
    assert_int_equal(f.listen_error.sys, EADDRINUSE);
    (void)snprintf(own, sizeof own, "in use by this process' own %s", first);
    if (!strstr(f.listen_error.message, own) ||
        (rows[i].why ? !strstr(f.listen_error.message, rows[i].why)
                     : strstr(f.listen_error.message, "which") != NULL))
      fail_msg("row %zu: %s", i, f.listen_error.message);
    fixture_done(&f);
  }
}

static void a_suspension_has_a_deadline(void **state) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct fixture f;
  ms_ctx_opts server, client;
  char address[TEXT];
  uint64_t begun;
  int fd;
  (void)state;
  begin(&f, &server, &client);
  server.drain_timeout_msec = 60000;
  serve(&f, &server, "net:127.0.0.1:0~noauth", address, sizeof address);
  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  a.sin_port = htons((uint16_t)atoi(strstr(address, "0.1:") + 4));
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  for (ms_ctx_stats n = {0}; n.open == 0; ms_ctx_stat(f.server, &n))
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  suspended = 0;
  begun = uv_now(&f.loop);
  assert_int_equal(ms_suspend(f.server, 30000, resume_at_once, NULL), 0);
  run_for(&f, 100);
  assert_int_equal(suspended, 0);
  assert_int_equal(ms_suspend(f.server, 100, on_suspended, NULL), 0);
  fixture_until(&f, &suspended, 0);
  assert_in_range(uv_now(&f.loop) - begun, 200, 5000);
  close(fd);
  /* it has resumed inside the callback; and may be closed in the middle of the next */
  assert_int_equal(ms_suspend(f.server, 1000, on_suspended, NULL), 0);
  fixture_done(&f);
  assert_int_equal(suspended, 2);
}

/* Suspended before it was up: it reports when it is resumed. */
static void a_suspension_may_come_first(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  server_events = fixture_events(echo_connection);
  suspended = 0;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err), 0);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  assert_int_equal(ms_suspend(f.server, 0, on_suspended, NULL), 0);
  fixture_until(&f, &suspended, 0);
  run_for(&f, 50);
  assert_int_equal(f.ready, -1);
  assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~noauth", NULL, &err), 1);
  assert_int_equal(ms_resume(f.server, &err), 0);
  fixture_until(&f, &f.ready, -1);
  assert_int_equal(f.ready, 2);
  fixture_done(&f);
}

/* libuv's table of descriptors has room for all that there may be: where it could not grow later,
 * the process would end. */
static void there_is_room_for_all_descriptors(void **state) {
  enum { AGREED = 512 };
  struct rlimit limit, smaller;
  struct fixture f;
  ms_ctx_opts opts;
  ms_server_events events = fixture_events(NULL);
  ms_error err;
  (void)state;
  fixture_init(&f);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  smaller = limit;
  if (smaller.rlim_cur > AGREED) smaller.rlim_cur = AGREED;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &smaller), 0);
  opts = fixture_opts(&f, f.server_id);
  assert_int_equal(ms_ctx_new(&f.server, &opts, &err), 0);
  assert_true(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err) >= 0);
  assert_true(f.loop.nwatchers < smaller.rlim_cur);
  assert_int_equal(ms_listen(f.server, &events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  assert_true(f.loop.nwatchers >= smaller.rlim_cur);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_combination_of_busy_listeners),
      cmocka_unit_test(there_is_room_for_all_descriptors),
      cmocka_unit_test(a_port_is_shared_by_those_who_say_so),
      cmocka_unit_test(a_change_is_told_once),
      cmocka_unit_test(what_is_advertised_can_be_dialled),
      cmocka_unit_test(what_nobody_can_dial_is_not_external),
      cmocka_unit_test(a_name_of_loopback_stays_on_this_machine),
      cmocka_unit_test(who_is_removed_is_not_up),
      cmocka_unit_test(what_was_inherited_is_taken_again),
      cmocka_unit_test(both_wildcards_may_be_inherited),
      cmocka_unit_test(both_wildcards_have_one_port),
      cmocka_unit_test(a_suspended_context_comes_back),
      cmocka_unit_test(who_has_the_port_is_named),
      cmocka_unit_test(a_suspension_has_a_deadline),
      cmocka_unit_test(a_suspension_may_come_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
