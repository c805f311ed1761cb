/* Pages: what the application is asked, and its answer, at once, later or too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "loop_fixture.h"

/* What the server was asked, and what became of its answer. */
static struct {
  int asked, closed;
  ms_conn *conn;
  char method[16], target[64], address[128], field[64];
  ms_error error;
} page;

/* A client that speaks HTTP by hand. */
static struct {
  int open, closed;
  ms_conn *conn;
  const char *request;
  char got[1024];
  size_t n;
} browser;

static void on_request(ms_conn *conn, const ms_request *request, void *user) {
  const char *field = ms_request_field(request, "x-TEST");
  (void)user;
  page.asked++;
  page.conn = conn;
  (void)snprintf(page.method, sizeof page.method, "%s", ms_request_method(request));
  (void)snprintf(page.target, sizeof page.target, "%s", ms_request_target(request));
  (void)snprintf(page.address, sizeof page.address, "%s", ms_request_address(request));
  (void)snprintf(page.field, sizeof page.field, "%s", field ? field : "(none)");
  assert_null(ms_request_field(request, "Nobody"));
}

static void on_page_closed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  page.closed++;
  page.error = err ? *err : (ms_error){0};
}

static const ms_conn_events page_events = {.on_close = on_page_closed};

static void on_readable(ms_conn *conn, void *user) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  (void)user;
  assert_true(browser.n + n < sizeof browser.got);
  memcpy(browser.got + browser.n, p, n);
  browser.n += n;
  browser.got[browser.n] = '\0';
  ms_conn_consume(conn, n);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void on_closed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
  browser.closed++;
}

static const ms_conn_events browser_events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_closed};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err) fail_msg("%s: %s", err->address, err->message);
  browser.open++;
  browser.conn = conn;
  ms_conn_handle(conn, &browser_events, NULL);
  assert_int_equal(ms_conn_write(conn, browser.request, strlen(browser.request)),
                   strlen(browser.request));
}

/* The server listens, and somebody has asked `request` of it. */
static void ask(struct fixture *f, const char *request, uint32_t accept_msec) {
  static ms_server_events events;
  ms_ctx_opts opts;
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  const char *const trusted[] = {"127.0.0.0/8"};
  char address[256], place[256];
  ms_error err;
  memset(&page, 0, sizeof page);
  memset(&browser, 0, sizeof browser);
  browser.request = request;
  fixture_init(f);
  events = fixture_events(NULL);
  opts = fixture_opts(f, NULL);
  opts.accept_timeout_msec = accept_msec;
  stack.on_request = on_request;
  stack.trusted_proxies = trusted;
  stack.trusted_proxies_count = 1;
  assert_int_equal(ms_ctx_new(&f->server, &opts, &err), 0);
  assert_int_equal(ms_ctx_new(&f->client, &opts, &err), 0);
  assert_int_equal(ms_add(f->server, "ws://127.0.0.1:0", &stack, &err), 0);
  assert_int_equal(ms_add(f->client, "net", NULL, &err), 0);
  assert_int_equal(ms_listen(f->server, &events, f, &err), 0);
  fixture_until(f, &f->ready, -1);
  (void)ms_stringify(f->server, MS_DEVICE, place, sizeof place);
  (void)snprintf(address, sizeof address, "net:%s", place + strlen("ws://"));
  dial.on_dialled = on_dialled;
  assert_int_equal(ms_dial(f->client, NULL, address, &dial, &err), 0);
  fixture_until(f, &browser.open, 0);
  fixture_until(f, &page.asked, 0);
}

static void later(void **state) {
  struct fixture f;
  (void)state;
  ask(&f, "\r\nGET /a?b HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Test:  yes \r\n\r\n", 0);
  assert_string_equal(page.method, "GET");
  assert_string_equal(page.target, "/a?b");
  assert_string_equal(page.field, "yes");
  assert_int_equal(strncmp(page.address, "ws://127.0.0.1:", 15), 0);
  for (int i = 0; i < 100; i++)
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  assert_int_equal(ms_conn_respond(page.conn, 99, NULL, &page_events, NULL), MS_EINVAL);
  assert_int_equal(ms_conn_respond(page.conn, 600, NULL, &page_events, NULL), MS_EINVAL);
  assert_int_equal(ms_conn_respond(page.conn, 200, NULL, NULL, NULL), MS_EINVAL);
  assert_int_equal(ms_conn_respond(page.conn, 200, "Content-Length: 5\r\n", &page_events, NULL), 0);
  assert_int_equal(ms_conn_respond(page.conn, 200, NULL, &browser_events, NULL), MS_ESTATE);
  assert_int_equal(ms_conn_write(page.conn, "hello", 5), 5);
  ms_conn_close(page.conn);
  fixture_until(&f, &page.closed, 0);
  fixture_until(&f, &browser.closed, 0);
  assert_string_equal(browser.got,
                      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
  assert_int_equal(page.error.code, 0);
  assert_int_equal(f.failed, 0);
  fixture_done(&f);
  assert_int_equal(page.closed, 1);
}

static void who_asks_is_behind_a_proxy(void **state) {
  struct fixture f;
  (void)state;
  ask(&f, "PROXY TCP4 192.0.2.9 127.0.0.1 99 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 0);
  assert_string_equal(page.address, "ws://192.0.2.9:99");
  assert_int_equal(ms_conn_respond(page.conn, 204, NULL, &page_events, NULL), 0);
  ms_conn_close(page.conn);
  fixture_until(&f, &browser.closed, 0);
  fixture_done(&f);
}

static void who_asks_has_left(void **state) {
  struct fixture f;
  (void)state;
  ask(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0);
  ms_conn_abort(browser.conn);
  fixture_until(&f, &f.failed, 0);
  assert_int_equal(f.failed_error.code, MS_ERESET);
  assert_int_equal(ms_conn_respond(page.conn, 200, NULL, &page_events, NULL), MS_ESTATE);
  fixture_done(&f);
  assert_int_equal(page.closed, 0);
}

static void too_late(void **state) {
  struct fixture f;
  (void)state;
  ask(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200);
  fixture_until(&f, &browser.closed, 0);
  assert_int_equal(strncmp(browser.got, "HTTP/1.1 408 ", 13), 0);
  assert_int_equal(f.failed, 1);
  assert_int_equal(f.failed_error.code, MS_ETIMEDOUT);
  assert_int_equal(ms_conn_respond(page.conn, 200, NULL, &page_events, NULL), MS_ESTATE);
  fixture_done(&f);
  assert_int_equal(page.closed, 0);
}

static void the_answer_is_cut(void **state) {
  struct fixture f;
  (void)state;
  ask(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0);
  assert_int_equal(ms_conn_respond(page.conn, 200, NULL, &page_events, NULL), 0);
  ms_conn_abort(page.conn);
  fixture_until(&f, &page.closed, 0);
  assert_int_equal(page.error.code, MS_EABORTED);
  fixture_until(&f, &browser.closed, 0);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(later),
      cmocka_unit_test(who_asks_is_behind_a_proxy),
      cmocka_unit_test(who_asks_has_left),
      cmocka_unit_test(too_late),
      cmocka_unit_test(the_answer_is_cut),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
