/* How much one turn of the loop does for those that send or read as fast as they can, and how long
 * another waits meanwhile: counted in turns and bytes, not by the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"

enum {
  CROWD = 20,
  TURNS = 300,
  SHARE = 400000, /* as in src/conn/turns.c */
  LITTLE = 4096,
  BLOCK = 69632,
  /* two shares, each passed by one block that is read and written; and a little for everybody */
  MOST = 2 * (SHARE + 2 * BLOCK) + CROWD * 2 * LITTLE,
  PATIENCE = 3, /* turns */
  WINDOW = 4 << 20
};

static const char upgrade[] =
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int dial_raw(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), window = WINDOW;
  a.sin_port = htons((uint16_t)port);
  assert_true(fd >= 0);
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window, sizeof window);
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  return fd;
}

/* ---- What the server does with bytes ---- */

static void swallow(ms_conn *conn, void *user) {
  const uint8_t *p;
  ms_message m;
  (void)user;
  if (!ms_conn_messages(conn)) ms_conn_consume(conn, ms_conn_peek(conn, &p));
  while (ms_conn_messages(conn) && ms_conn_message(conn, &m) == 1)
    ms_conn_consume_message(conn, m.length);
}

static void pour(ms_conn *conn, void *user) {
  static const uint8_t zeros[4096];
  (void)user;
  while (ms_conn_write(conn, zeros, sizeof zeros) == (ptrdiff_t)sizeof zeros) {
  }
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
}

static const ms_conn_events sink = {.on_readable = swallow, .on_close = on_close};
static const ms_conn_events spring = {
    .on_readable = swallow, .on_writable = pour, .on_close = on_close};

static int opened;

/* The first is the honest one, which is answered; the others get what the case says. */
static const ms_conn_events *others;

static void on_connection(ms_conn *conn, void *user) {
  if (opened++ == 0) {
    echo_connection(conn, user);
    return;
  }
  ms_conn_handle(conn, others, NULL);
  if (others == &spring) pour(conn, NULL);
}

/* ---- What the others do ---- */

static uint8_t bytes[1 << 20], drain[1 << 20];

/* Each sends a whole number of `unit` bytes as long as the system takes them, and reads all. */
static void flood(const int *fds, size_t *at, size_t unit) {
  size_t n = unit ? sizeof bytes / unit * unit : 0;
  for (int i = 0; i < CROWD; i++) {
    ssize_t r;
    while (unit && (r = send(fds[i], bytes + at[i], n - at[i], MSG_NOSIGNAL)) > 0)
      at[i] = (at[i] + (size_t)r) % n;
    while (recv(fds[i], drain, sizeof drain, 0) > 0) {
    }
  }
}

struct load {
  const char *stack; /* of the others */
  const ms_conn_events *events;
  uint8_t unit[8]; /* what they send over and over */
  size_t length;   /* of it; 0: nothing */
  bool newcomers;  /* who waits beside them is a newcomer, again and again */
};

static int port_of(const char *address) {
  return atoi(strstr(address, "127.0.0.1:") + strlen("127.0.0.1:"));
}

/* Gives the server something to answer, on a connection of its own where it is a newcomer's. */
static int ask(const struct load *load, int honest, int port) {
  if (!load->newcomers) {
    assert_int_equal(send(honest, "", 1, 0), 1);
    return honest;
  }
  close(honest);
  honest = dial_raw(port);
  assert_true(send(honest, upgrade, sizeof upgrade - 1, 0) > 0);
  return honest;
}

static uint64_t moved(struct fixture *f) {
  ms_ctx_stats n;
  ms_ctx_stat(f->server, &n);
  return n.wire_in + n.wire_out;
}

static void fair_beside(const struct load *load) {
  struct fixture f;
  ms_ctx_opts server, client;
  char address[512];
  uint64_t most = 0, total = 0;
  int fds[CROWD], honest, port, own, waited = 0, longest = 0, rounds = 0;
  size_t at[CROWD] = {0};
  ms_error err;
  const char *other;
  begin(&f, &server, &client);
  server_events = fixture_events(on_connection);
  opened = 0;
  others = load->events;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_true(ms_add(f.server,
                     load->newcomers ? "ws://127.0.0.1:0~noauth" : "net:127.0.0.1:0~noauth", NULL,
                     &err) >= 0);
  assert_true(ms_add(f.server, load->stack, NULL, &err) >= 0);
  assert_int_equal(ms_listen(f.server, &server_events, &f, &err), 0);
  fixture_until(&f, &f.ready, -1);
  (void)ms_stringify(f.server, MS_DEVICE, address, sizeof address);
  own = port_of(address);
  honest = dial_raw(own);
  if (!load->newcomers) fixture_until(&f, &opened, 0);
  other = strchr(address, ';') + 1;
  port = port_of(other);
  for (int i = 0; i < CROWD; i++) {
    int before = opened;
    fds[i] = dial_raw(port);
    if (*other == 'w') assert_true(send(fds[i], upgrade, sizeof upgrade - 1, 0) > 0);
    fixture_until(&f, &opened, before);
  }
  for (size_t i = 0; load->length && i + load->length <= sizeof bytes; i += load->length)
    memcpy(bytes + i, load->unit, load->length);
  for (int i = 0; i < TURNS; i++) {
    uint64_t before = moved(&f), work;
    uint8_t byte;
    flood(fds, at, load->length);
    if (waited == 0) honest = ask(load, honest, own);
    waited++;
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    fixture_gets_on(&f);
    if (recv(honest, &byte, 1, 0) == 1) {
      if (waited > longest) longest = waited;
      waited = 0;
      rounds++;
    }
    work = moved(&f) - before;
    total += work;
    if (work > most) most = work;
  }
  printf("%s: %d answers, the longest after %d turns; %llu bytes a turn, %llu at most\n",
         load->stack, rounds, longest, (unsigned long long)(total / TURNS),
         (unsigned long long)most);
  assert_true(total / TURNS > BLOCK / 8); /* there was a flood */
  assert_true(most <= MOST);
  assert_true(longest <= PATIENCE && waited <= PATIENCE);
  for (int i = 0; i < CROWD; i++)
    close(fds[i]);
  close(honest);
  fixture_done(&f);
}

static void beside_bytes(void **state) {
  static const struct load load = {"net:127.0.0.1:0~noauth", &sink, "xxxxxxxx", 8, false};
  (void)state;
  fair_beside(&load);
}

static void beside_pings(void **state) {
  static const struct load load = {
      "ws://127.0.0.1:0~noauth", &sink, {0x89, 0x80, 1, 2, 3, 4}, 6, false};
  (void)state;
  fair_beside(&load);
}

static void beside_tiny_messages(void **state) {
  static const struct load load = {
      "ws://127.0.0.1:0~noauth", &sink, {0x82, 0x81, 1, 2, 3, 4, 5}, 7, false};
  (void)state;
  fair_beside(&load);
}

static void beside_fast_readers(void **state) {
  static const struct load load = {"net:127.0.0.1:0~noauth", &spring, "", 0, false};
  (void)state;
  fair_beside(&load);
}

/* Whose handshake is a turn of its own. */
static void newcomers_beside_bytes(void **state) {
  static const struct load load = {"net:127.0.0.1:0~noauth", &sink, "xxxxxxxx", 8, true};
  (void)state;
  fair_beside(&load);
}

/* ---- Those whose time is up in the same moment ---- */

enum { IDLE_MSEC = 100, NSEC_PER_MSEC = 1000000, PATIENCE_MSEC = 10000 };

static int cut;

/* Whose end costs a share. */
static void on_costly_close(ms_conn *conn, const ms_error *err, void *user) {
  uint64_t until = uv_hrtime() + SHARE;
  (void)conn;
  (void)user;
  assert_int_equal(err->code, MS_ETIMEDOUT);
  while (uv_hrtime() < until) {
  }
  cut++;
}

static const ms_conn_events costly = {.on_close = on_costly_close};

static void on_silent_connection(ms_conn *conn, void *user) {
  (void)user;
  opened++;
  ms_conn_set_reset_on_shutdown(conn, true); /* cut, not closed */
  ms_conn_handle(conn, &costly, NULL);
}

static void who_is_late_together_is_cut_in_turn(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  char address[512];
  uint64_t deadline;
  int fds[CROWD], turns = 0;
  (void)state;
  begin(&f, &server, &client);
  server.limits.idle_msec = IDLE_MSEC;
  opened = cut = 0;
  serve(&f, &server, "net:127.0.0.1:0~noauth", address, sizeof address);
  server_events.on_connection = on_silent_connection;
  for (int i = 0; i < CROWD; i++) {
    fds[i] = dial_raw(port_of(address));
    fixture_until(&f, &opened, i);
  }
  deadline = uv_hrtime() + 2ULL * IDLE_MSEC * NSEC_PER_MSEC;
  while (uv_hrtime() < deadline) { /* all of them are late when the loop goes on */
  }
  deadline = uv_hrtime() + (uint64_t)PATIENCE_MSEC * NSEC_PER_MSEC;
  for (; cut < CROWD && uv_hrtime() < deadline; turns++) {
    int before = cut;
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    fixture_gets_on(&f);
    assert_in_range(cut - before, 0, 1);
  }
  assert_int_equal(cut, CROWD);
  for (int i = 0; i < CROWD; i++)
    close(fds[i]);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(beside_bytes),
      cmocka_unit_test(beside_pings),
      cmocka_unit_test(beside_tiny_messages),
      cmocka_unit_test(beside_fast_readers),
      cmocka_unit_test(newcomers_beside_bytes),
      cmocka_unit_test(who_is_late_together_is_cut_in_turn),
  };
  return cmocka_run_group_tests_name("fairness", tests, NULL, NULL);
}
