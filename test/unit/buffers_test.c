/* What connections may hold in buffers when nobody reads: one (ms_limits.buffered_each), and all
 * (buffered). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificate.h"
#include "echo.h"

enum { TEXT = 512, DEFAULT = 6 * 69632, STILL_TURNS = 200, DEAF = 30, ALL = 2 << 20 };

/* It writes as long as it may, and reads nothing. */
static uint64_t written;
static int opened, closed;

static void write_on(ms_conn *conn, void *user) {
  static const uint8_t zeros[4096];
  ptrdiff_t n;
  (void)user;
  while ((n = ms_conn_write(conn, zeros, sizeof zeros)) > 0)
    written += (uint64_t)n;
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
  closed++;
}

static const ms_conn_events deaf = {.on_writable = write_on, .on_close = on_close};

static void deaf_dialled(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err) fail_msg("%s", err->message);
  opened++;
  ms_conn_handle(conn, &deaf, NULL);
  write_on(conn, NULL);
}

/* What a server's connection holds, where both directions are stuffed: it echoes, and the
 * client does not read. */
static size_t stuffed(const char *transport, const char *above, size_t each) {
  struct fixture f;
  ms_ctx_opts server, client;
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  ms_ctx_stats held;
  char text[TEXT], cert[TEXT];
  ms_error err;
  uint64_t before = 0;
  begin(&f, &server, &client);
  server.limits.buffered_each = client.limits.buffered_each = each;
  server_events = fixture_events(echo_connection);
  (void)snprintf(cert, sizeof cert, "%s/cert.pem", f.dir);
  certificate_write(cert);
  stack.tls.cert = stack.tls.ca = cert;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  (void)snprintf(text, sizeof text, "%slocalhost:0%s", transport, above);
  if (ms_add(f.server, text, &stack, &err) < 0) fail_msg("%s: %s", text, err.message);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
  (void)snprintf(text, sizeof text, "%.*s%s", (int)strcspn(transport, ":"), transport, above);
  if (strncmp(text, "wss", 3) == 0) memmove(text + 2, text + 3, strlen(text + 3) + 1);
  assert_true(ms_add(f.client, text, &stack, &err) >= 0);
  (void)ms_stringify(f.server, MS_DEVICE, text, sizeof text);
  written = 0;
  opened = closed = 0;
  dial.on_dialled = deaf_dialled;
  assert_int_equal(ms_dial(f.client, NULL, text, &dial, &err), 0);
  fixture_until(&f, &opened, 0);
  fixture_gets_on(&f);
  for (int still = 0; still < STILL_TURNS; still++) {
    ms_ctx_stat(f.server, &held);
    if (written != before || !held.buffered) still = 0; /* it is not stuffed yet */
    before = written;
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(held.open, 1);
  assert_int_equal(remove(cert), 0);
  fixture_done(&f);
  return held.buffered;
}

static void a_connection_holds_so_much(void **state) {
  static const struct {
    const char *transport, *above;
    size_t whole; /* what its layers have to see in one piece (multiserver.h) */
  } stacks[] = {
      {"net:", "~noauth", 0},          {"net:", "~shs", 64 << 10},    {"ws://", "~shs", 64 << 10},
      {"net:", "~tls~shs", 112 << 10}, {"wss://", "~shs", 112 << 10},
  };
  static const size_t each[] = {0, 200 << 10, 64 << 10, 8 << 10};
  (void)state;
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
    for (size_t j = 0; j < sizeof each / sizeof *each; j++) {
      size_t most = each[j] ? each[j] + stacks[i].whole : DEFAULT;
      size_t held = stuffed(stacks[i].transport, stacks[i].above, each[j]);
      printf("%s%s: %zu of %zu\n", stacks[i].transport, stacks[i].above, held, most);
      if (held > most)
        fail_msg("%s%s holds %zu bytes, more than %zu", stacks[i].transport, stacks[i].above, held,
                 most);
    }
}

/* Peers that do not read fill the buffers; one that does is served all the same. */
static void who_does_not_read_makes_room(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  struct client honest = {.total = 1 << 20};
  char address[TEXT];
  ms_ctx_stats n;
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  server.limits.buffered = ALL;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &honest);
  fixture_until(&f, &honest.closed, 0);
  opened = closed = 0;
  dial.on_dialled = deaf_dialled;
  for (int i = 0; i < DEAF; i++) {
    int before = opened;
    assert_int_equal(ms_dial(f.client, NULL, address, &dial, &err), 0);
    fixture_until(&f, &opened, before);
    for (int still = 0; still < STILL_TURNS; still++)
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    ms_ctx_stat(f.server, &n);
    assert_true(n.buffered <= ALL);
  }
  assert_true(n.over_buffers > 0 && n.over_buffers < DEAF);
  honest = (struct client){.total = 1 << 20};
  dial_with(&f, &client, "net~shs", address, &honest);
  fixture_until(&f, &honest.closed, 0);
  if (honest.error.code) fail_msg("%s", honest.error.message);
  assert_int_equal(honest.got, honest.total);
  ms_ctx_stat(f.server, &n);
  assert_int_equal(n.failed, 0);
  fixture_done(&f);
}

/* ---- Those that linger ---- */

static int codes[32]; /* closed with so many of each ms_code */

static void pour(ms_conn *conn, void *user) {
  static const uint8_t zeros[4096];
  const ms_message m = {.data = zeros, .length = sizeof zeros, .type = 2, .last = true};
  (void)user;
  while (ms_conn_write_message(conn, &m) == (ptrdiff_t)sizeof zeros)
    written += sizeof zeros;
}

static void poured(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  codes[err ? -err->code : 0]++;
  closed++;
}

static void pour_into(ms_conn *conn, void *user) {
  static const ms_conn_events events = {.on_writable = pour, .on_close = poured};
  opened++;
  ms_conn_handle(conn, &events, user);
  pour(conn, user);
}

static int dial_raw(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  a.sin_port = htons((uint16_t)port);
  assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
  return fd;
}

/* Asks for a WebSocket, and reads nothing of what is poured into it. */
static int thirsty(int port) {
  static const char head[] =
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  int fd = dial_raw(port);
  assert_int_equal(send(fd, head, sizeof head - 1, 0), sizeof head - 1);
  return fd;
}

/* Peers that have failed, and hold what they did not read while they hear why, go before any that
 * has not. */
static void who_lingers_makes_room_first(void **state) {
  static const uint8_t no_frame[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  struct fixture f;
  ms_ctx_opts server, client;
  char address[TEXT];
  int fds[2 * DEAF];
  uint64_t peak = 0;
  ms_ctx_stats n;
  (void)state;
  begin(&f, &server, &client);
  server.limits.buffered = ALL;
  server.drain_timeout_msec = 20000;
  serve(&f, &server, "ws://127.0.0.1:0~noauth", address, sizeof address);
  server_events.on_connection = pour_into;
  opened = closed = 0;
  memset(codes, 0, sizeof codes);
  for (int i = 0; i < 2 * DEAF; i++) {
    int before = opened, were_closed = closed;
    uint64_t poured_before = 0;
    fds[i] = thirsty(atoi(address + strlen("ws://127.0.0.1:")));
    fixture_until(&f, &opened, before);
    for (int still = 0; still < STILL_TURNS; still++) {
      if (written != poured_before) still = 0;
      poured_before = written;
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(send(fds[i], no_frame, sizeof no_frame, 0), sizeof no_frame);
    fixture_until(&f, &closed, were_closed);
    fixture_gets_on(&f);
    ms_ctx_stat(f.server, &n);
    assert_true(n.buffered <= ALL);
    if (n.buffered > peak) peak = n.buffered;
  }
  assert_true(peak > ALL / 2);                   /* buffers did run short */
  assert_int_equal(codes[-MS_EPROTO], 2 * DEAF); /* nobody was cut for want of buffers */
  assert_int_equal(n.over_buffers, 0);
  for (int i = 0; i < 2 * DEAF; i++)
    close(fds[i]);
  fixture_done(&f);
}

/* ---- Those that hold what is not finished ---- */

static int heard;

static void hear(ms_conn *conn, void *user) {
  const uint8_t *p;
  (void)user;
  heard++;
  ms_conn_consume(conn, ms_conn_peek(conn, &p));
}

static const ms_conn_events kept = {.on_readable = hear, .on_close = on_close};

static void keep(ms_conn *conn, const ms_error *err, void *user) {
  if (err) fail_msg("%s", err->message);
  *(ms_conn **)user = conn;
  ms_conn_handle(conn, &kept, NULL);
  opened++;
}

/* Halves of requests fill the least buffers there can be; an old connection and a new one do not
 * notice. */
static void half_heads_make_room(void **state) {
  enum { LEAST = 1 << 20, HEADS = 100 };
  static char head[15000] = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ";
  struct fixture f;
  ms_ctx_opts server, client;
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  struct client honest = {.total = 1 << 20};
  char address[TEXT];
  int fds[HEADS], port;
  ms_conn *old = NULL;
  ms_ctx_stats n;
  ms_error err;
  (void)state;
  memset(head + strlen(head), 'x', sizeof head - strlen(head));
  begin(&f, &server, &client);
  server.limits.buffered = LEAST;
  server.accept_timeout_msec = 60000;
  serve(&f, &server, "ws://127.0.0.1:0~shs", address, sizeof address);
  port = atoi(address + strlen("ws://127.0.0.1:"));
  assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
  assert_true(ms_add(f.client, "ws~shs", NULL, &err) >= 0);
  opened = heard = closed = 0;
  dial.on_dialled = keep;
  dial.user = &old;
  assert_int_equal(ms_dial(f.client, NULL, address, &dial, &err), 0);
  fixture_until(&f, &opened, 0);
  for (int i = 0; i < HEADS; i++) {
    fds[i] = dial_raw(port);
    assert_int_equal(send(fds[i], head, sizeof head, 0), sizeof head);
    for (int still = 0; still < STILL_TURNS; still++)
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    ms_ctx_stat(f.server, &n);
    assert_true(n.buffered <= LEAST);
  }
  assert_true(n.over_buffers > 0);
  assert_int_equal(n.failed, n.over_buffers); /* nobody had to go who asked for buffers himself */
  assert_int_equal(n.open, 1);
  assert_int_equal(ms_conn_write(old, "still there?", 12), 12);
  fixture_until(&f, &heard, 0);
  dial_with(&f, &client, "ws~shs", address, &honest);
  fixture_until(&f, &honest.closed, 0);
  if (honest.error.code) fail_msg("%s", honest.error.message);
  assert_int_equal(honest.got, honest.total);
  for (int i = 0; i < HEADS; i++)
    close(fds[i]);
  assert_int_equal(closed, 0);
  fixture_done(&f);
}

/* ---- Those that make a library hold something ---- */

/* The beginning of a ClientHello that says it is so long. */
static void send_hello(int fd, unsigned length, size_t n) {
  static uint8_t bytes[8192] = {22, 3, 1, 64, 0, 1, 0, 0, 0, 3, 3};
  bytes[6] = (uint8_t)(length >> 16);
  bytes[7] = (uint8_t)(length >> 8);
  bytes[8] = (uint8_t)length;
  assert_int_equal(send(fd, bytes, n, 0), n);
}

/* What OpenSSL keeps counts: at the least limit a crowd of handshakes that do not go on is cut, and
 * an honest one goes on. One that says it is longer than it may be fails at once. */
static void long_hellos_make_room(void **state) {
  enum { LEAST = 1 << 20, CROWD = 60, PART = 5000, KEPT = 64 << 10 };
  struct fixture f;
  ms_ctx_opts server, client;
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  struct client honest = {.total = 1 << 20};
  char address[TEXT], cert[TEXT];
  int fds[CROWD], too_long, port;
  ms_ctx_stats n;
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  server.limits.buffered = LEAST;
  server.accept_timeout_msec = 60000;
  server_events = fixture_events(echo_connection);
  (void)snprintf(cert, sizeof cert, "%s/cert.pem", f.dir);
  certificate_write(cert);
  stack.tls.cert = stack.tls.ca = cert;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_true(ms_add(f.server, "net:localhost:0~tls~shs", &stack, &err) >= 0);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  (void)ms_stringify(f.server, MS_DEVICE, address, sizeof address);
  port = atoi(strstr(address, "localhost:") + strlen("localhost:"));
  too_long = dial_raw(port);
  send_hello(too_long, 16385, 9);
  fixture_until(&f, &f.failed, 0);
  assert_non_null(strstr(f.failed_error.message, "a ClientHello of more than 16 KiB"));
  for (int i = 0; i < CROWD; i++) {
    fds[i] = dial_raw(port);
    send_hello(fds[i], 16000, PART);
    for (int still = 0; still < STILL_TURNS; still++)
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    ms_ctx_stat(f.server, &n);
    assert_true(n.buffered <= LEAST);
    if (i == 3) assert_true(n.buffered >= 4 * KEPT);
  }
  assert_true(n.over_buffers > CROWD / 2);
  assert_int_equal(n.failed, n.over_buffers + 1);
  assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
  assert_true(ms_add(f.client, "net~tls~shs", &stack, &err) >= 0);
  dial.on_dialled = on_dialled;
  dial.user = &honest;
  assert_int_equal(ms_dial(f.client, NULL, address, &dial, &err), 0);
  fixture_until(&f, &honest.closed, 0);
  if (honest.error.code) fail_msg("%s", honest.error.message);
  assert_int_equal(honest.got, honest.total);
  for (int i = 0; i < CROWD; i++)
    close(fds[i]);
  close(too_long);
  assert_int_equal(remove(cert), 0);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(half_heads_make_room), cmocka_unit_test(long_hellos_make_room),
      cmocka_unit_test(a_connection_holds_so_much), cmocka_unit_test(who_does_not_read_makes_room),
      cmocka_unit_test(who_lingers_makes_room_first)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
