/* Each allocation fails once while one connection asks for pages, as different clients of a
 * proxy's, and then for a WebSocket: every answer that was begun has its on_close, nothing leaks,
 * and what the counters say adds up. */
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

#define GET(path, who) "GET " path " HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " who "\r\n\r\n"

static const char requests[] =
    GET("/1", "192.0.2.1") GET("/health", "192.0.2.1") GET("/2", "192.0.2.2") GET("/3", "192.0.2.2")
    "GET /ws HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.3\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n";

static struct { int asked, begun, over, opened, closed; } seen;

static void on_page_closed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn, (void)err, (void)user;
  seen.over++;
}

static const ms_conn_events page_events = {.on_close = on_page_closed};

static void on_request(ms_conn *conn, const ms_request *request, void *user) {
  (void)request, (void)user;
  seen.asked++;
  if (ms_conn_respond(conn, 200, "Content-Length: 2\r\n", &page_events, NULL) < 0) return;
  seen.begun++;
  (void)ms_conn_write(conn, "hi", 2);
  ms_conn_close(conn);
}

static void on_closed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn, (void)err, (void)user;
  seen.closed++;
}

static void take_on(ms_conn *conn, void *user) {
  static const ms_conn_events events = {.on_close = on_closed};
  ms_conn_handle(conn, &events, user);
  seen.opened++;
}

/* The server listens; where. */
static struct sockaddr_in listen_with(struct fixture *f, struct failing_memory *m,
                                      const ms_server_events *events) {
  static const char *const trusted[] = {"127.0.0.1=x-forwarded-for"};
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  ms_stack_opts how = MS_OPTS_INIT(ms_stack_opts);
  ms_ctx_opts opts = fixture_opts(f, NULL);
  char text[256];
  opts.allocator = &m->allocator;
  how.trusted_proxies = trusted;
  how.trusted_proxies_count = 1;
  how.on_request = on_request;
  how.health_path = "/health";
  assert_int_equal(ms_ctx_new(&f->server, &opts, NULL), 0);
  assert_int_equal(ms_add(f->server, "ws://127.0.0.1:0", &how, NULL), 0);
  assert_int_equal(ms_listen(f->server, events, f, NULL), 0);
  fixture_until(f, &f->ready, -1);
  (void)ms_stringify(f->server, MS_DEVICE, text, sizeof text);
  a.sin_port = htons((uint16_t)strtoul(text + strlen("ws://127.0.0.1:"), NULL, 10));
  return a;
}

/* Runs until the connection is a WebSocket, or is no more. */
static void run(struct fixture *f, ms_ctx_stats *stats) {
  bool begun = false;
  do {
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    ms_ctx_stat(f->server, stats);
    if (stats->accepted) begun = true;
  } while (!seen.opened && (!begun || stats->pending || stats->open));
}

static void pages_of_one_connection(void **state) {
  unsigned long n = 0;
  (void)state;
  do {
    ms_server_events events = fixture_events(take_on);
    struct failing_memory m;
    struct fixture f;
    struct sockaddr_in a;
    ms_ctx_stats stats;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    n++;
    memset(&seen, 0, sizeof seen);
    failing_memory_init(&m);
    fixture_init(&f);
    a = listen_with(&f, &m, &events);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(send(fd, requests, sizeof requests - 1, 0), sizeof requests - 1);
    m.fails_at = m.count + n;
    run(&f, &stats);
    if (m.count < m.fails_at) n = 0; /* it needed no more */
    m.fails_at = 0;
    close(fd);
    fixture_done(&f);
    if (m.out) fail_msg("%zu allocations are left when number %lu fails", m.out, n);
    assert_int_equal(seen.begun, seen.over);
    assert_int_equal(seen.opened, seen.closed);
    if (!seen.opened && stats.answered + stats.failed < 1)
      fail_msg("allocation %lu fails: nowhere counted", n);
    if (n == 0) {
      assert_int_equal(seen.asked, 3);
      assert_int_equal(seen.opened, 1);
      assert_int_equal(stats.requests, 4);
    }
  } while (n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pages_of_one_connection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
