/* The opening handshake of WebSocket, both roles: good heads, bad ones of every kind, cut anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layer/http_head.h"
#include "layer_driver.h"

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* RFC 6455, section 1.3 */
#define ACCEPT  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define HOST    "Host: server.example.com\r\n"

static const struct ms__http_opts open_opts = {.path = "", .any_origin = true, .name = ""};

/* The state after `head`, given in pieces. Its result; an ASK is not answered. */
static int give(struct driver *d, const char *head, size_t n, size_t chunk) {
  for (size_t at = 0; at < n && d->result >= 0; at += chunk) {
    bytes_add(&d->in, head + at, n - at < chunk ? n - at : chunk);
    (void)driver_step(d, 0);
    if (d->result == MS__UNLINK || d->result == MS__ASK) break;
    if (d->result >= 0) assert_int_equal(d->result, MS__MORE);
  }
  return d->result;
}

static int serve(struct driver *d, const struct ms__http_opts *opts, const char *head,
                 size_t chunk) {
  driver_begin(d, &ms__http, true, opts);
  return give(d, head, strlen(head), chunk);
}

static void assert_said(const struct driver *d, const char *text) {
  if (d->wire_out.n < strlen(text) || memcmp(d->wire_out.p, text, strlen(text)) != 0)
    fail_msg("'%.*s' instead of '%s'", (int)d->wire_out.n, (char *)d->wire_out.p, text);
}

static void assert_explained(const struct driver *d, const char *why) {
  char buf[256] = "";
  ms__http.explain(d->state, buf, sizeof buf);
  if (!strstr(buf, why)) fail_msg("'%s' instead of '%s'", buf, why);
}

static void the_example_of_the_rfc(void **state) {
  static const char head[] = "GET /chat HTTP/1.1\r\n" HOST UPGRADE KEY
                             "Origin: http://example.com\r\n"
                             "Sec-WebSocket-Protocol: chat, superchat\r\n" VERSION "\r\n";
  (void)state;
  for (size_t chunk = 1; chunk < sizeof head; chunk++) {
    struct driver d;
    assert_int_equal(serve(&d, &open_opts, head, chunk), MS__UNLINK);
    assert_int_equal(d.in.n, 0);
    assert_said(&d, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE ACCEPT "\r\n");
    driver_end(&d);
  }
}

static void what_follows_is_left(void **state) {
  struct driver d;
  (void)state;
  assert_int_equal(
      serve(&d, &open_opts, "GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n\x82\x80", 1000),
      MS__UNLINK);
  assert_int_equal(d.in.n, 2);
  driver_end(&d);
}

static void bad_requests(void **state) {
  static const struct {
    const char *head;
    int status;
    const char *why;
  } rows[] = {
      {"\r\x01", 400, "no HTTP"},
      {"\x16\x03\x01\x02", 400, "no HTTP"}, /* TLS */
      {"NONSENSE / HTTP/1.1\r\n", 400, "no HTTP"},
      {"GET / HTTP/1.1\r\nHo st: x\r\n\r\n", 400, "malformed"},
      {"GET / HTTP/1.1\r\n" UPGRADE KEY VERSION "\r\n", 400, "one host"},
      {"GET http://h/ HTTP/1.1\r\n" UPGRADE KEY VERSION "\r\n", 400, "one host"},
      {"GET http://h/ HTTP/1.1\r\n" HOST HOST UPGRADE KEY VERSION "\r\n", 400, "one host"},
      {"GET / HTTP/1.1\r\n" HOST HOST UPGRADE KEY VERSION "\r\n", 400, "one host"},
      {"GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n" KEY VERSION "\r\n", 400, "without"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE VERSION "\r\n", 400, "Sec-WebSocket-Key"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY KEY VERSION "\r\n", 400, "Sec-WebSocket-Key"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Key: short\r\n" VERSION "\r\n", 400,
       "Sec-WebSocket-Key"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "Content-Length: 4\r\n\r\n", 400, "body"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "X: a\r\n b\r\n\r\n", 400, "malformed"},
      {"POST / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 405, "no GET"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY "\r\n", 426, "version"},
      {"GET / HTTP/1.1\r\n" HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426, "version"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t chunk = 1; chunk < 100; chunk += 49) {
      struct driver d;
      char line[32];
      if (serve(&d, &open_opts, rows[i].head, chunk) != MS_EPROTO)
        fail_msg("taken (%d): %s", d.result, rows[i].head);
      driver_finish(&d, MS_EPROTO);
      (void)snprintf(line, sizeof line, "HTTP/1.1 %d ", rows[i].status);
      assert_said(&d, line);
      assert_explained(&d, rows[i].why);
      driver_end(&d);
    }
}

static void a_giant_head_ends_at_16_kib(void **state) {
  struct driver d;
  char *head = malloc(MS__HTTP_HEAD_MAX + 100);
  (void)state;
  assert_non_null(head);
  memset(head, 'x', MS__HTTP_HEAD_MAX + 100);
  memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
  driver_begin(&d, &ms__http, true, &open_opts);
  assert_int_equal(give(&d, head, MS__HTTP_HEAD_MAX - 1, 1000), MS__MORE);
  assert_int_equal(give(&d, head, 1, 1), MS_EPROTO);
  driver_finish(&d, MS_EPROTO);
  assert_said(&d, "HTTP/1.1 431 ");
  driver_end(&d);
  free(head);
}

static void too_many_fields(void **state) {
  (void)state;
  for (int extra = 0; extra < 2; extra++) { /* Host and 99 more are taken */
    struct driver d;
    char head[8192] = "GET / HTTP/1.1\r\n" HOST;
    for (int i = 1; i < MS__HTTP_FIELDS_MAX + extra; i++)
      strcat(head, "A: b\r\n");
    strcat(head, "\r\n");
    assert_int_equal(serve(&d, &open_opts, head, 8192), extra ? MS_EPROTO : MS__ASK);
    if (extra) {
      driver_finish(&d, MS_EPROTO);
      assert_said(&d, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
      assert_explained(&d, "more than 100 fields");
    }
    driver_end(&d);
  }
}

static void a_target_without_end(void **state) {
  static const char *const starts[] = {"GET /", "\r\n\nGET /", "GET http://h/", "GET "};
  char *head = malloc(MS__HTTP_HEAD_MAX);
  (void)state;
  assert_non_null(head);
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    struct driver d;
    memset(head, 'x', MS__HTTP_HEAD_MAX);
    if (i == 3) memset(head, ' ', MS__HTTP_HEAD_MAX);
    memcpy(head, starts[i], strlen(starts[i]));
    driver_begin(&d, &ms__http, true, &open_opts);
    assert_int_equal(give(&d, head, MS__HTTP_HEAD_MAX - 1, 4000), MS__MORE);
    assert_int_equal(give(&d, head + MS__HTTP_HEAD_MAX - 1, 1, 1), MS_EPROTO);
    driver_finish(&d, MS_EPROTO);
    assert_said(&d, "HTTP/1.1 414 URI Too Long\r\n");
    driver_end(&d);
  }
  free(head);
}

/* Is this target taken by the server of `path`? 0, or the status of the answer. */
static int status_of(const char *path, const char *target) {
  const struct ms__http_opts opts = {.path = path, .any_origin = true, .name = ""};
  struct driver d;
  char head[512];
  int status = 0;
  (void)snprintf(head, sizeof head, "GET %s HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", target);
  if (serve(&d, &opts, head, 512) != MS__UNLINK) {
    driver_finish(&d, MS_EPROTO);
    bytes_add(&d.wire_out, "", 1);
    assert_int_equal(sscanf((char *)d.wire_out.p, "HTTP/1.1 %d ", &status), 1);
  }
  driver_end(&d);
  return status;
}

static void targets(void **state) {
  static const struct {
    const char *path, *target;
    int status;
  } rows[] = {
      {"/room", "/room", 0},
      {"/room", "/room?token=x", 0},
      {"/room", "/room?", 0},
      {"/room", "/room?a?b=/c", 0},
      {"/room", "/%72oom", 0},
      {"/room", "/%72%6F%6f%6D?x", 0},
      {"/room", "/room/", 404},
      {"/room", "/room%3Ftoken", 404},
      {"/room", "/rooms", 404},
      {"/room", "/roo", 404},
      {"/room", "/", 404},
      {"/room", "/Room", 404},
      {"/room", "//room", 404},
      {"/room", "/./room", 404},
      {"/room", "/x/../room", 404},
      {"/room", "/%2Froom", 404},
      {"/room", "%2Froom", 400},
      {"/room", "room", 400},
      {"/room", "/room#part", 400},
      {"/room", "/room%", 404},
      {"/room", "/room%0", 404},
      {"/a/b", "/a%2Fb", 404},
      {"/a%2Fb", "/a%2fb", 0},
      {"/a%2Fb", "/a/b", 404},
      {"/a%20b", "/a%20b", 0},
      {"/%C3%A4", "/%c3%a4", 0},
      {"/%C3%A4", "/\xc3\xa4", 0}, /* as curl sends it */
      {"/100%25", "/100%25", 0},
      {"/100%25", "/100%", 404},
      {"/ws?a=b", "/ws?a=b", 0},
      {"/ws?a=b", "/ws", 404},
      {"/ws?a=b", "/ws?", 404},
      {"/ws?a=b", "/ws?a=b&c", 404},
      {"/ws?a=b", "/ws?%61=b", 404},
      {"/ws?", "/ws", 0},
      {"/?a", "/?a", 0},
      {"/?a", "/", 404},
      {"", "/anything?at=all", 0},
      /* a URL (RFC 9112, section 3.2.2) */
      {"/room", "http://server.example.com/room", 0},
      {"/room", "HTTPS://server.example.com:443/room?token=x", 0},
      {"/room", "ws://server.example.com/room", 0},
      {"/room", "wss://[2001:db8::1]:8989/room", 0},
      {"/room", "http://[::1]/room", 0},
      {"/room", "http://server.example.com/", 404},
      {"/room", "http://server.example.com", 404},
      {"/room", "http://server.example.com?/room", 404},
      {"", "http://server.example.com", 0},
      {"/?a=b", "http://server.example.com?a=b", 0},
      {"/room", "ftp://server.example.com/room", 400},
      {"/room", "http:/room", 400},
      {"/room", "http:///room", 400},
      {"/room", "http://:80/room", 400},
      {"/room", "http://user@server.example.com/room", 400},
      {"/room", "http://server.example.com:http/room", 400},
      {"/room", "http://server.example.com:65536/room", 400},
      {"/room", "http://[::1/room", 400},
      {"/room", "http://[::1]x/room", 400},
      {"", "*", 404},
      {"", "server.example.com:80", 400},
      /* what is no character of a target */
      {"", "/a\tb", 400},
      {"", "\t/a", 400},
      {"", "/a\t", 400},
      {"", "/a\vb", 400},
      {"", "/a\fb", 400},
      {"", "/a\x01", 400},
      {"", "/a\x1b[2J", 400},
      {"", "/a\x7f", 400},
      {"", "/a?b\tc", 400},
      {"", "http://h\t/", 400},
      {"", "/a b", 400},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (status_of(rows[i].path, rows[i].target) != rows[i].status)
      fail_msg("'%s' at '%s': %d instead of %d", rows[i].target, rows[i].path,
               status_of(rows[i].path, rows[i].target), rows[i].status);
}

/* CONNECT and OPTIONS have targets of their own; none of them is a WebSocket. */
static void targets_of_other_methods(void **state) {
  static const struct {
    const char *line;
    int result;
  } rows[] = {{"OPTIONS *", MS__ASK},
              {"OPTIONS /", MS__ASK},
              {"HEAD *", MS__ASK},
              {"CONNECT server.example.com:443", MS__ASK},
              {"CONNECT http://server.example.com/", MS_EPROTO},
              {"GET http://server.example.com/x", MS__ASK}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct driver d;
    char head[256];
    (void)snprintf(head, sizeof head, "%s HTTP/1.1\r\n" HOST "\r\n", rows[i].line);
    if (serve(&d, &open_opts, head, 256) != rows[i].result) fail_msg("%s", rows[i].line);
    driver_end(&d);
  }
}

static void origins(void **state) {
  static const char *const allowed[] = {"https://app.example"};
  static const struct ms__http_opts closed = {.path = "", .name = "pub.example"},
                                    listed = {.path = "",
                                              .name = "",
                                              .origins = allowed,
                                              .origins_count = 1};
  static const struct {
    const struct ms__http_opts *opts;
    const char *host, *origin;
    bool enters;
    const char *target; /* NULL: a path */
  } rows[] = {
      {&open_opts, "a", "https://evil.example", true, NULL},
      {&closed, "localhost:8989", NULL, true, NULL},
      {&closed, "localhost:8989", "http://localhost:8989", true, NULL},
      {&closed, "localhost.:8989", "http://localhost.:8989", true, NULL},
      {&closed, "localhost:8989", "http://localhost:8000", false, NULL},
      {&closed, "127.0.0.1:8989", "http://127.0.0.1:8989", true, NULL},
      {&closed, "[::1]:8989", "http://[::1]:8989", true, NULL},
      {&closed, "pub.example", "https://pub.example", true, NULL},
      {&closed, "127.0.0.1:8989", "https://evil.example", false, NULL},
      {&closed, "evil.example:8989", "http://evil.example:8989", false, NULL}, /* DNS rebinding */
      {&closed, "localhost:8989", "null", false, NULL},
      {&closed, "localhost:8989", "", false, NULL},
      {&closed, "localhost:8989", "http://", false, NULL},
      {&listed, "a", "https://app.example", true, NULL},
      {&listed, "a", "https://app.example.evil", false, NULL},
      /* the host of a target that is a URL counts, and the field does not */
      {&closed, "evil.example", "http://127.0.0.1:8989", true, "http://127.0.0.1:8989/"},
      {&closed, "evil.example", "http://[::1]:8989", true, "ws://[::1]:8989"},
      {&closed, "evil.example", "https://pub.example", true, "wss://PUB.example/x?y"},
      {&closed, "evil.example", "http://evil.example", false, "http://127.0.0.1:8989/"},
      {&closed, "127.0.0.1:8989", "http://127.0.0.1:8989", false, "http://evil.example/"},
      {&closed, "evil.example", "http://evil.example", false, "http://evil.example/"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct driver d;
    char head[512], origin[128] = "";
    if (rows[i].origin) (void)snprintf(origin, sizeof origin, "Origin: %s\r\n", rows[i].origin);
    (void)snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s",
                   rows[i].target ? rows[i].target : "/", rows[i].host, origin,
                   UPGRADE KEY VERSION "\r\n");
    if ((serve(&d, rows[i].opts, head, 512) == MS__UNLINK) != rows[i].enters)
      fail_msg("%s on %s", rows[i].origin, rows[i].host);
    if (!rows[i].enters) {
      driver_finish(&d, MS_EPROTO);
      assert_said(&d, "HTTP/1.1 403 Forbidden\r\n");
    }
    driver_end(&d);
  }
}

static void a_path_that_is_served(void **state) {
  static const struct ms__http_opts opts = {.path = "/ws?a=b", .any_origin = true, .name = ""};
  struct driver d;
  (void)state;
  assert_int_equal(serve(&d, &opts, "GET /ws?a=b HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 99),
                   MS__UNLINK);
  driver_end(&d);
  assert_int_equal(serve(&d, &opts, "GET /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 99),
                   MS_EPROTO);
  driver_finish(&d, MS_EPROTO);
  assert_said(&d, "HTTP/1.1 404 Not Found\r\n");
  driver_end(&d);
}

static void other_requests_are_asked(void **state) {
  static const char head[] = "GET /page HTTP/1.1\r\n" HOST "\r\n";
  struct driver d;
  uint8_t out[512];
  struct ms__port p = {.wire_out = {out, sizeof out}};
  struct ms__answer a = {.status = 200, .head = "Content-Length: 2\r\n"};
  (void)state;
  assert_int_equal(serve(&d, &open_opts, head, 7), MS__ASK);
  assert_memory_equal(d.question, head, sizeof d.question);
  assert_int_equal(ms__http.answer(d.state, &p, &a), MS__DETACH);
  bytes_add(&d.wire_out, out, sizeof out - p.wire_out.n);
  assert_int_equal(d.wire_out.n, strlen("HTTP/1.1 200 OK\r\nConnection: close\r\n"
                                        "Content-Length: 2\r\n\r\n"));
  assert_said(&d, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n");
  driver_end(&d);
  assert_int_equal(serve(&d, &open_opts, head, 7), MS__ASK);
  assert_int_equal(driver_answer(&d, false), MS__DETACH);
  assert_said(&d, "HTTP/1.1 426 Upgrade Required\r\n");
  driver_end(&d);
}

/* Not before the answer is a word said, and a no is one that HTTP has. */
static void upgrades_are_asked_about(void **state) {
  static const char head[] = "GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n\x82\x80";
  static const struct ms__http_opts asks = {
      .path = "", .any_origin = true, .name = "", .asks = true};
  struct driver d;
  (void)state;
  assert_int_equal(serve(&d, &asks, head, 1000), MS__ASK);
  assert_int_equal(d.wire_out.n, 0);
  assert_int_equal(d.in.n, 2);
  assert_int_equal(driver_answer(&d, true), MS__UNLINK);
  assert_said(&d, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE ACCEPT "\r\n");
  driver_end(&d);
  assert_int_equal(serve(&d, &asks, head, 1000), MS__ASK);
  assert_int_equal(driver_answer(&d, false), MS_EABORTED);
  driver_finish(&d, MS_EABORTED);
  assert_said(&d, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n");
  driver_end(&d);
  /* a bad one is none to ask about */
  assert_int_equal(serve(&d, &asks, "GET / HTTP/1.1\r\n" HOST UPGRADE VERSION "\r\n", 1000),
                   MS_EPROTO);
  driver_end(&d);
}

/* ---- The client ---- */

static const struct ms__http_opts client_opts = {
    .path = "/a?b=c", .host = "h.example:81", .userinfo = "us%65r:pass"};

/* What it asked, with its key in `key`. */
static void begin_client(struct driver *d, char accept[64]) {
  const char *key;
  driver_begin(d, &ms__http, false, &client_opts);
  assert_int_equal(driver_step(d, 0), MS__MORE);
  bytes_add(&d->wire_out, "", 1);
  key = strstr((char *)d->wire_out.p, "Sec-WebSocket-Key: ");
  assert_non_null(key);
  { /* a server of ours answers it */
    struct driver server;
    const char *line;
    driver_begin(&server, &ms__http, true, &open_opts);
    assert_int_equal(give(&server, (char *)d->wire_out.p, d->wire_out.n - 1, 4096), MS__UNLINK);
    bytes_add(&server.wire_out, "", 1);
    line = strstr((char *)server.wire_out.p, "Sec-WebSocket-Accept: ");
    assert_non_null(line);
    (void)snprintf(accept, 64, "%.*s", (int)strcspn(line, "\n") + 1, line);
    driver_end(&server);
  }
}

static void the_request(void **state) {
  struct driver d;
  char accept[64];
  (void)state;
  begin_client(&d, accept);
  assert_said(&d, "GET /a?b=c HTTP/1.1\r\nHost: h.example:81\r\n" UPGRADE "Sec-WebSocket-Key: ");
  assert_non_null(strstr((char *)d.wire_out.p, "\r\nAuthorization: Basic dXNlcjpwYXNz\r\n"));
  driver_end(&d);
}

static void answers(void **state) {
  static const struct {
    const char *head; /* '@' is the line with what the server has to say */
    const char *why;  /* NULL: taken */
  } rows[] = {
      {"HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "@\r\n", NULL},
      {"HTTP/1.1 101 \r\nconnection: keep-alive, upgrade\r\nUPGRADE: WebSocket\r\n@\r\n", NULL},
      {"HTTP/1.1 101 X\r\n" UPGRADE "\r\n", "no answer to our key"},
      {"HTTP/1.1 101 X\r\n" UPGRADE ACCEPT "\r\n", "no answer to our key"},
      {"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n@\r\n", "something else"},
      {"HTTP/1.1 101 X\r\n" UPGRADE "@Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
       "not offered"},
      {"HTTP/1.1 101 X\r\n" UPGRADE "@Sec-WebSocket-Protocol: chat\r\n\r\n", "not offered"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "answers 200 OK"},
      {"HTTP/1.1 404 Not Found\r\n\r\n", "answers 404 Not Found"},
      {"HTTP/1.1 302 Found\r\nLocation: https://other.example/\r\n\r\n",
       "points elsewhere, which is not followed: https://other.example/"},
      {"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"},
      {"HTTP/1.1 101 X\r\n@X: a\r\n b\r\n\r\n", "malformed"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t chunk = 1; chunk < 300; chunk += 97) {
      struct driver d;
      char accept[64], head[1024];
      const char *at = strchr(rows[i].head, '@');
      begin_client(&d, accept);
      if (at)
        (void)snprintf(head, sizeof head, "%.*s%s%s", (int)(at - rows[i].head), rows[i].head,
                       accept, at + 1);
      else
        (void)snprintf(head, sizeof head, "%s", rows[i].head);
      (void)give(&d, head, strlen(head), chunk);
      if (d.result != (rows[i].why ? MS_EPROTO : MS__UNLINK)) fail_msg("%d: %s", d.result, head);
      if (rows[i].why) assert_explained(&d, rows[i].why);
      driver_end(&d);
    }
}

#define HINTS "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"

/* They are passed over, whatever they are and wherever they are cut (RFC 9110, section 15.2). */
static void interim_answers(void **state) {
  static const char *const rows[] = {
      HINTS,
      HINTS HINTS HINTS,
      "HTTP/1.1 100 Continue\r\n\r\n",
      ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n" HINTS),
      "HTTP/1.1 102 \r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\n",
      "HTTP/1.1 199 X\r\nLocation: http://elsewhere.example/\r\n\r\n",
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t chunk = 1; chunk < 400; chunk++) {
      struct driver d;
      char accept[64], head[1024];
      begin_client(&d, accept);
      (void)snprintf(head, sizeof head, "%sHTTP/1.1 101 X\r\n" UPGRADE "%s\r\n\x82", rows[i],
                     accept);
      if (give(&d, head, strlen(head) - 1, chunk) != MS__UNLINK)
        fail_msg("%d, %zu at a time: %s", d.result, chunk, head);
      assert_int_equal(d.in.n, 0);
      driver_end(&d);
      begin_client(&d, accept);
      (void)snprintf(head, sizeof head, "%sHTTP/1.1 404 X\r\n\r\n", rows[i]);
      assert_int_equal(give(&d, head, strlen(head), chunk), MS_EPROTO);
      assert_explained(&d, "answers 404 Not Found");
      driver_end(&d);
    }
}

/* What follows the answer is left, also where all came at once. */
static void an_answer_behind_interim_ones(void **state) {
  struct driver d;
  char accept[64], head[1024];
  (void)state;
  begin_client(&d, accept);
  (void)snprintf(head, sizeof head, HINTS "HTTP/1.1 101 X\r\n" UPGRADE "%s\r\n\x82\x01x", accept);
  assert_int_equal(give(&d, head, strlen(head), sizeof head), MS__UNLINK);
  assert_int_equal(d.in.n, 3);
  driver_end(&d);
}

/* A row of them without end has one: in number, and in bytes. */
static void too_many_interim_answers(void **state) {
  static const struct {
    size_t fill; /* of each */
    int most;
    const char *why;
  } rows[] = {{0, 40, "still to come"}, {1000, 20, "more than 16 KiB"}, {16000, 2, "16 KiB"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t chunk = 1; chunk < 60000; chunk = 7 * chunk + 2) {
      static char one[17000];
      struct driver d;
      char accept[64];
      int n = 0;
      begin_client(&d, accept);
      (void)snprintf(one, sizeof one, "HTTP/1.1 103 Early Hints\r\nLink: %0*d\r\n\r\n",
                     (int)rows[i].fill, 0);
      while (n < rows[i].most && give(&d, one, strlen(one), chunk) >= 0)
        n++;
      assert_int_equal(d.result, MS_EPROTO);
      assert_explained(&d, rows[i].why);
      driver_end(&d);
    }
}

/* ---- Corners ---- */

static void empty_lines_before_a_request(void **state) {
  struct driver d;
  (void)state;
  assert_int_equal(
      serve(&d, &open_opts, "\r\n\r\nGET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 7),
      MS__UNLINK);
  driver_end(&d);
}

static void an_answer_to_head_has_no_body(void **state) {
  struct driver d;
  (void)state;
  assert_int_equal(serve(&d, &open_opts, "HEAD / HTTP/1.1\r\n" HOST "\r\n", 1000), MS__ASK);
  (void)driver_answer(&d, false);
  assert_int_equal(d.result, MS__DETACH);
  assert_said(&d, "HTTP/1.1 426 ");
  assert_memory_equal(d.wire_out.p + d.wire_out.n - 4, "\r\n\r\n", 4);
  driver_end(&d);
}

static void an_end_in_the_middle(void **state) {
  struct driver d;
  (void)state;
  assert_int_equal(serve(&d, &open_opts, "GET / HT", 1000), MS__MORE);
  driver_finish(&d, MS_ETRUNCATED);
  assert_said(&d, "HTTP/1.1 400 ");
  driver_end(&d);
  driver_begin(&d, &ms__http, true, &open_opts); /* nothing has come: nothing is said */
  driver_finish(&d, MS_ETRUNCATED);
  assert_int_equal(d.wire_out.n, 0);
  driver_end(&d);
}

static void credentials(void **state) {
  static char long_name[1200];
  struct ms__http_opts opts = {.path = "", .host = "h", .userinfo = "user"};
  struct driver d;
  (void)state;
  driver_begin(&d, &ms__http, false, &opts);
  assert_int_equal(driver_step(&d, 0), MS__MORE);
  bytes_add(&d.wire_out, "", 1);
  assert_non_null(strstr((char *)d.wire_out.p, "\r\nAuthorization: Basic dXNlcjo=\r\n"));
  driver_end(&d);
  memset(long_name, 'x', sizeof long_name - 1);
  opts.userinfo = long_name; /* no half of them is sent */
  driver_begin(&d, &ms__http, false, &opts);
  assert_int_equal(driver_step(&d, 0), MS_EPROTO);
  assert_explained(&d, "too long");
  assert_int_equal(d.wire_out.n, 0);
  driver_end(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(empty_lines_before_a_request),
      cmocka_unit_test(an_answer_to_head_has_no_body),
      cmocka_unit_test(an_end_in_the_middle),
      cmocka_unit_test(credentials),
      cmocka_unit_test(the_example_of_the_rfc),
      cmocka_unit_test(what_follows_is_left),
      cmocka_unit_test(bad_requests),
      cmocka_unit_test(a_giant_head_ends_at_16_kib),
      cmocka_unit_test(too_many_fields),
      cmocka_unit_test(a_target_without_end),
      cmocka_unit_test(targets),
      cmocka_unit_test(targets_of_other_methods),
      cmocka_unit_test(origins),
      cmocka_unit_test(a_path_that_is_served),
      cmocka_unit_test(other_requests_are_asked),
      cmocka_unit_test(upgrades_are_asked_about),
      cmocka_unit_test(the_request),
      cmocka_unit_test(answers),
      cmocka_unit_test(interim_answers),
      cmocka_unit_test(an_answer_behind_interim_ones),
      cmocka_unit_test(too_many_interim_answers),
  };
  if (sodium_init() < 0) return 1;
  return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
