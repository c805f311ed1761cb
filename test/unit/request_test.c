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
  char method[16], target[64], host[64], address[128], field[64];
  ms_error error;
  const char *fields, *body; /* the answer to all that is asked, at once; NULL: none */
  int status;
} page;

/* A client that speaks HTTP by hand. */
static struct {
  int open, closed, error;
  ms_conn *conn;
  const char *request;
  bool half; /* it ends its direction behind the request */
  char got[262144];
  size_t n;
} browser;

static void on_page_closed(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  page.closed++;
  page.error = err ? *err : (ms_error){0};
}

static const ms_conn_events page_events = {.on_close = on_page_closed};

static void on_request(ms_conn *conn, const ms_request *request, void *user) {
  const char *field = ms_request_field(request, "x-TEST");
  (void)user;
  page.asked++;
  page.conn = conn;
  (void)snprintf(page.method, sizeof page.method, "%s", ms_request_method(request));
  (void)snprintf(page.target, sizeof page.target, "%s", ms_request_target(request));
  (void)snprintf(page.host, sizeof page.host, "%s", ms_request_field(request, "HOST"));
  (void)snprintf(page.address, sizeof page.address, "%s", ms_request_address(request));
  (void)snprintf(page.field, sizeof page.field, "%s", field ? field : "(none)");
  assert_null(ms_request_field(request, "Nobody"));
  if (!page.fields) return;
  assert_int_equal(page.closed, page.asked - 1); /* the answer before is over */
  assert_int_equal(ms_conn_respond(conn, page.status, page.fields, &page_events, NULL), 0);
  if (page.body && strcmp(page.method, "HEAD") != 0)
    assert_int_equal(ms_conn_write(conn, page.body, strlen(page.body)), strlen(page.body));
  ms_conn_close(conn);
  assert_int_equal(ms_conn_write(conn, "more", 4), MS_EPIPE);
}

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
  (void)user;
  browser.closed++;
  browser.error = err ? err->code : 0;
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
  if (browser.half) ms_conn_end(conn);
}

/* All that is asked gets this answer; `fields` NULL: none, the test does. */
static void prepare(int status, const char *fields, const char *body) {
  memset(&page, 0, sizeof page);
  memset(&browser, 0, sizeof browser);
  page.status = status;
  page.fields = fields;
  page.body = body;
}

static ms_limits limits; /* of the server */

static const char *front = "127.0.0.0/8=x-forwarded-for"; /* who is trusted, and how */

/* The server listens, and somebody has asked `request` of it, or is about to. */
static void begin(struct fixture *f, const char *request, uint32_t accept_msec) {
  static ms_server_events events;
  ms_ctx_opts opts;
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  const char *const trusted[] = {front};
  char address[256], place[256];
  ms_error err;
  browser.request = request;
  fixture_init(f);
  events = fixture_events(NULL);
  opts = fixture_opts(f, NULL);
  opts.accept_timeout_msec = accept_msec;
  opts.limits = limits;
  stack.on_request = on_request;
  stack.health_path = "/health";
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
}

static void ask(struct fixture *f, const char *request, uint32_t accept_msec) {
  prepare(0, NULL, NULL);
  begin(f, request, accept_msec);
  fixture_until(f, &page.asked, 0);
}

static void say(const char *text) {
  assert_int_equal(ms_conn_write(browser.conn, text, strlen(text)), strlen(text));
}

/* Until the browser has got so many answers. */
static void until_answers(struct fixture *f, int count) {
  for (;;) {
    int found = 0;
    for (const char *p = browser.got; (p = strstr(p, "HTTP/1.1 ")); p++)
      found++;
    if (found >= count) return;
    assert_true(uv_run(&f->loop, UV_RUN_NOWAIT));
  }
}

static ms_ctx_stats stats_of(const struct fixture *f) {
  ms_ctx_stats stats;
  ms_ctx_stat(f->server, &stats);
  return stats;
}

static void later(void **state) {
  struct fixture f;
  (void)state;
  ask(&f,
      "\r\nGET /a?b HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Test:  yes \r\n"
      "Connection: close\r\n\r\n",
      0);
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

/* The application hears a path and a host, whatever form they came in. */
static void a_target_that_is_a_url(void **state) {
  static const struct {
    const char *sent, *target, *host;
  } rows[] = {
      {"/a?b", "/a?b", "field.example"},
      {"http://url.example:80/a?b=//c", "/a?b=//c", "url.example:80"},
      {"https://url.example/", "/", "url.example"},
      {"ws://url.example", "/", "url.example"},
      {"wss://u?a=b", "/?a=b", "u"},
      {"HTTP://u", "/", "u"},
      {"http://[2001:db8::1]:8989?", "/?", "[2001:db8::1]:8989"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct fixture f;
    char request[256];
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: field.example\r\nX-Test: yes\r\n\r\n", rows[i].sent);
    ask(&f, request, 0);
    assert_string_equal(page.target, rows[i].target);
    assert_string_equal(page.host, rows[i].host);
    assert_string_equal(page.field, "yes");
    assert_int_equal(ms_conn_respond(page.conn, 204, NULL, &page_events, NULL), 0);
    ms_conn_close(page.conn);
    fixture_until(&f, &page.closed, 0);
    fixture_done(&f);
  }
}

static void who_asks_is_behind_a_proxy(void **state) {
  struct fixture f;
  (void)state;
  front = "127.0.0.0/8=proxy";
  ask(&f, "PROXY TCP4 192.0.2.9 127.0.0.1 99 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 0);
  front = "127.0.0.0/8=x-forwarded-for";
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

/* ---- Another request on the same connection ---- */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define KEPT      "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=10\r\n"
#define TWO       "Content-Length: 2\r\n"
#define HI        KEPT TWO "\r\nhi"

/* One after the other, of which some came together, and in pieces. */
static void many_of_one_connection(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  begin(&f, GET("/1") GET("/2") "GET /3 HT", 0);
  until_answers(&f, 2);
  assert_string_equal(browser.got, HI HI);
  say("TP/1.1\r\nHost: h\r\n\r\nHEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n");
  until_answers(&f, 4);
  assert_string_equal(browser.got, HI HI HI KEPT TWO "\r\n");
  assert_string_equal(page.target, "/4");
  assert_int_equal(page.closed, 4);
  assert_int_equal(stats_of(&f).requests, 4);
  assert_int_equal(stats_of(&f).answered, 1);
  assert_int_equal(stats_of(&f).open, 1);
  ms_conn_close(browser.conn);
  fixture_until(&f, &browser.closed, 0);
  fixture_done(&f); /* who rests keeps nobody waiting */
  assert_int_equal(f.failed, 0);
  assert_int_equal(page.error.code, 0);
}

/* Requests and answers after which there is no other: the answer says so, and the connection ends.
 */
static void the_last_of_a_connection(void **state) {
  static const struct {
    const char *request, *fields, *body;
    int status;
  } rows[] = {
      {"GET / HTTP/1.0\r\n\r\n", TWO, "hi", 200},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", TWO, "hi", 200},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nGET / HTT", TWO, "hi", 405},
      {GET("/"), "", "until the end", 200},
      {GET("/"), TWO TWO, "hi", 200},
      {GET("/"), "Content-Length: 2x\r\n", "hi", 200},
      {GET("/"), "Content-Length: 9999999999999999999\r\n", "hi", 200},
      {GET("/"), "Transfer-Encoding: chunked\r\n" TWO, "0\r\n\r\n", 200},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct fixture f;
    prepare(rows[i].status, rows[i].fields, rows[i].body);
    begin(&f, rows[i].request, 0);
    fixture_until(&f, &browser.closed, 0);
    if (!strstr(browser.got, "\r\nConnection: close\r\n")) fail_msg("row %zu: %s", i, browser.got);
    assert_int_equal(page.asked, 1);
    fixture_done(&f);
    assert_int_equal(f.failed, 0);
  }
}

/* What was promised and is not written, or too much of it, cannot be followed by another answer. */
static void an_answer_of_another_length(void **state) {
  static const char *const bodies[] = {"h", "hi!", NULL};
  (void)state;
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    struct fixture f;
    prepare(200, TWO, bodies[i]);
    begin(&f, GET("/1") GET("/2"), 0);
    fixture_until(&f, &browser.closed, 0);
    fixture_until(&f, &page.closed, 0);
    assert_int_equal(page.asked, 1);
    fixture_done(&f);
  }
}

static void without_a_body(void **state) {
  struct fixture f;
  (void)state;
  prepare(304, "ETag: \"x\"\r\n", NULL);
  begin(&f, GET("/1") GET("/2"), 0);
  until_answers(&f, 2);
  assert_non_null(strstr(browser.got, "304 Not Modified\r\nConnection: keep-alive\r\n"));
  fixture_done(&f);
}

/* It ends its direction at once: all that it has asked is answered, then there is no more. */
static void a_half_closed_client(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  browser.half = true;
  begin(&f, GET("/1") GET("/2"), 0);
  fixture_until(&f, &browser.closed, 0);
  assert_string_equal(browser.got, HI HI);
  assert_int_equal(browser.error, 0); /* no reset, which could overtake an answer */
  fixture_done(&f);
  assert_int_equal(f.failed, 0);
}

static void who_asks_no_more_is_left(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  begin(&f, GET("/1"), 50);
  fixture_until(&f, &browser.closed, 0);
  assert_int_equal(strncmp(browser.got, "HTTP/1.1 200 OK\r\n", 17), 0);
  assert_null(strstr(browser.got, "408"));
  assert_int_equal(browser.error, 0);
  fixture_done(&f);
  assert_int_equal(f.failed, 0);
}

static void half_a_request_has_its_time(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  begin(&f, GET("/1") "GET /2 HT", 50);
  fixture_until(&f, &browser.closed, 0);
  assert_non_null(strstr(browser.got, "hiHTTP/1.1 408 "));
  assert_int_equal(f.failed, 1);
  assert_int_equal(f.failed_error.code, MS_ETIMEDOUT);
  fixture_done(&f);
}

/* It can be reset without a word, too: that is its own business between two requests. */
static void a_reset_between_two_requests(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  begin(&f, GET("/1"), 0);
  until_answers(&f, 1);
  ms_conn_abort(browser.conn);
  while (stats_of(&f).open)
    assert_true(uv_run(&f.loop, UV_RUN_NOWAIT));
  fixture_done(&f);
  assert_int_equal(f.failed, 0);
}

static void no_more_than_a_thousand(void **state) {
  static char requests[1001 * sizeof GET("/")];
  struct fixture f;
  (void)state;
  for (int i = 0; i < 1001; i++)
    strcat(requests, GET("/"));
  prepare(204, "", NULL);
  limits.buffered_each = 0;
  begin(&f, requests, 0);
  fixture_until(&f, &browser.closed, 0);
  assert_int_equal(page.asked, 1000);
  assert_non_null(strstr(browser.got, "Connection: close\r\n"));
  fixture_done(&f);
}

#define WEBSOCKET(more)                                                               \
  "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" more \
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/* A page, a page, and then a WebSocket. */
static void a_websocket_after_a_page(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  begin(&f, GET("/1") WEBSOCKET("X-Forwarded-For: 192.0.2.1\r\n"), 0);
  until_answers(&f, 2);
  assert_non_null(strstr(browser.got, "hiHTTP/1.1 101 Switching Protocols\r\n"));
  assert_int_equal(stats_of(&f).entered, 1);
  assert_int_equal(stats_of(&f).pending, 0);
  ms_conn_close(browser.conn);
  fixture_until(&f, &browser.closed, 0);
  fixture_done(&f);
}

/* The field that a trusted proxy sets has to come, and no other will do. */
static void a_websocket_of_nobody(void **state) {
  static const char *const requests[] = {WEBSOCKET(""), WEBSOCKET("Forwarded: for=192.0.2.1\r\n"),
                                         WEBSOCKET("X-Forwarded-For: me\r\n")};
  (void)state;
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
    struct fixture f;
    prepare(200, TWO, "hi");
    begin(&f, requests[i], 0);
    until_answers(&f, 1);
    assert_memory_equal(browser.got, "HTTP/1.1 400 ", 13);
    fixture_until(&f, &f.failed, 0);
    assert_non_null(strstr(f.failed_error.message, "X-Forwarded-For, which a trusted proxy has"));
    assert_int_equal(stats_of(&f).entered, 0);
    fixture_done(&f);
  }
}

/* Each request of a proxy's may be somebody else's. */
static void who_asks_next_is_another(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  begin(&f, "GET /1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", 0);
  until_answers(&f, 1);
  assert_string_equal(page.address, "ws://192.0.2.1");
  say("GET /2 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n");
  until_answers(&f, 2);
  assert_string_equal(page.address, "ws://192.0.2.2");
  say(GET("/3"));
  until_answers(&f, 3);
  assert_int_equal(strncmp(page.address, "ws://127.0.0.1:", 15), 0);
  fixture_done(&f);
}

/* ---- Limits, and health ---- */

#define FROM(path, who) "GET " path " HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " who "\r\n\r\n"

/* More than an address may ask in a second: told so, not cut off. */
static void too_many_pages_in_a_second(void **state) {
  struct fixture f;
  (void)state;
  prepare(200, TWO, "hi");
  limits = (ms_limits){.pages_per_second = 2, .per_second = 1};
  begin(&f,
        FROM("/1", "192.0.2.1") FROM("/2", "192.0.2.1") FROM("/3", "192.0.2.1")
            FROM("/4", "192.0.2.2"),
        0);
  until_answers(&f, 4);
  limits = (ms_limits){0};
  assert_non_null(strstr(browser.got, HI HI "HTTP/1.1 503 Service Unavailable\r\n"
                                            "Connection: keep-alive\r\n"));
  assert_non_null(strstr(browser.got, "\r\nRetry-After: 1\r\n"));
  assert_int_equal(stats_of(&f).over_pages, 1);
  assert_int_equal(stats_of(&f).requests, 3);
  fixture_done(&f);
  assert_int_equal(f.failed, 0);
}

static void healthy(void **state) {
  struct fixture f;
  (void)state;
  prepare(0, NULL, NULL);
  begin(&f, GET("/health") "HEAD /health?x HTTP/1.1\r\nHost: h\r\n\r\n" GET("/healthy"), 0);
  fixture_until(&f, &page.asked, 0);
  until_answers(&f, 2);
  assert_string_equal(page.target, "/healthy");
  assert_int_equal(strncmp(browser.got, KEPT, strlen(KEPT)), 0);
  assert_non_null(strstr(browser.got, "Content-Length: 3\r\n\r\nok\nHTTP/1.1 200 OK\r\n"));
  assert_int_equal(stats_of(&f).requests, 2);
  assert_int_equal(ms_conn_respond(page.conn, 404, NULL, &page_events, NULL), 0);
  ms_conn_close(page.conn);
  fixture_until(&f, &browser.closed, 0);
  fixture_done(&f);
  assert_int_equal(f.failed, 0);
}

/* Whoever only looks whether the port is open is no peer that failed. */
static void without_a_word(void **state) {
  (void)state;
  for (int reset = 0; reset < 2; reset++) {
    struct fixture f;
    prepare(0, NULL, NULL);
    begin(&f, "", 0);
    if (reset)
      ms_conn_abort(browser.conn);
    else
      ms_conn_close(browser.conn);
    while (!stats_of(&f).probed)
      assert_true(uv_run(&f.loop, UV_RUN_NOWAIT));
    assert_int_equal(stats_of(&f).failed, 0);
    assert_int_equal(stats_of(&f).accepted, 1);
    fixture_done(&f);
    assert_int_equal(f.failed, 0);
  }
}

/* An answer that goes on, as a stream of events does. */
static void answer_on(struct fixture *f, const char *length) {
  ask(f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0);
  assert_int_equal(ms_conn_respond(page.conn, 200, length, &page_events, NULL), 0);
  assert_int_equal(ms_conn_write(page.conn, "a", 1), 1);
  until_answers(f, 1);
}

static void an_answer_has_deadlines_of_its_own(void **state) {
  static const char *const lengths[] = {NULL, "Content-Length: 9\r\n"};
  struct fixture f;
  (void)state;
  for (size_t i = 0; i < 4; i++) {
    answer_on(&f, lengths[i % 2]);
    if (i < 2)
      ms_conn_set_deadline(page.conn, 20);
    else
      ms_conn_set_idle(page.conn, 20);
    fixture_until(&f, &page.closed, 0);
    assert_int_equal(page.error.code, MS_ETIMEDOUT);
    fixture_until(&f, &browser.closed, 0);
    fixture_done(&f);
  }
}

/* What was set for one answer is nothing to the next. */
static void the_deadlines_of_an_answer_end_with_it(void **state) {
  struct fixture f;
  uint64_t from;
  (void)state;
  answer_on(&f, "Content-Length: 2\r\n");
  ms_conn_set_deadline(page.conn, 20);
  ms_conn_set_idle(page.conn, 20);
  assert_int_equal(ms_conn_write(page.conn, "b", 1), 1);
  ms_conn_close(page.conn);
  fixture_until(&f, &page.closed, 0);
  assert_int_equal(page.error.code, 0);
  say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  fixture_until(&f, &page.asked, 1);
  assert_int_equal(ms_conn_respond(page.conn, 200, NULL, &page_events, NULL), 0);
  from = uv_now(&f.loop);
  while (uv_now(&f.loop) - from < 100)
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  assert_int_equal(page.closed, 1);
  ms_conn_close(page.conn);
  fixture_until(&f, &page.closed, 1);
  assert_int_equal(page.error.code, 0);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(later),
      cmocka_unit_test(a_target_that_is_a_url),
      cmocka_unit_test(who_asks_is_behind_a_proxy),
      cmocka_unit_test(who_asks_has_left),
      cmocka_unit_test(too_late),
      cmocka_unit_test(the_answer_is_cut),
      cmocka_unit_test(many_of_one_connection),
      cmocka_unit_test(the_last_of_a_connection),
      cmocka_unit_test(an_answer_of_another_length),
      cmocka_unit_test(without_a_body),
      cmocka_unit_test(a_half_closed_client),
      cmocka_unit_test(who_asks_no_more_is_left),
      cmocka_unit_test(half_a_request_has_its_time),
      cmocka_unit_test(a_reset_between_two_requests),
      cmocka_unit_test(no_more_than_a_thousand),
      cmocka_unit_test(a_websocket_after_a_page),
      cmocka_unit_test(a_websocket_of_nobody),
      cmocka_unit_test(who_asks_next_is_another),
      cmocka_unit_test(too_many_pages_in_a_second),
      cmocka_unit_test(healthy),
      cmocka_unit_test(without_a_word),
      cmocka_unit_test(an_answer_has_deadlines_of_its_own),
      cmocka_unit_test(the_deadlines_of_an_answer_end_with_it),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
