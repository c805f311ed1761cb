/* The PROXY protocol: headers of both versions, cut anywhere, bad ones of every kind; and what HTTP
 * says about the peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "layer/forwarded.h"
#include "layer_driver.h"
#include "transport/transport.h"

#define V2            "\r\n\r\n\0\r\nQUIT\n"
#define SIZE(literal) (sizeof(literal) - 1)
#define OWN           "127.0.0.1:7"

static union ms__inet peer;

/* "192.0.2.1:5678" */
static const char *told(void) {
  static char text[128];
  char host[100];
  ms__inet_host(&peer, host, sizeof host);
  (void)snprintf(text, sizeof text, "%s:%d", host, ms__inet_port(&peer));
  return text;
}

static void own_peer(void) {
  assert_true(ms__inet_read(&peer, AF_INET, "127.0.0.1", 9));
  ms__inet_set_port(&peer, 7);
}

/* Gives the bytes in pieces; the result. What is not taken is in d->in. */
static int give(struct driver *d, const void *p, size_t n, size_t chunk) {
  static struct ms__proxy_opts opts = {&peer};
  own_peer();
  driver_begin(d, &ms__proxy, true, &opts);
  for (size_t at = 0; at < n; at += chunk) {
    bytes_add(&d->in, (const char *)p + at, ms__min(chunk, n - at));
    if (d->result == MS__UNLINK) continue; /* the next layer's */
    if (driver_step(d, 0) != MS__UNLINK && d->result != MS__MORE) break;
  }
  return d->result;
}

static const struct {
  const char *head;
  size_t n;
  const char *peer;
} good[] = {
    {"PROXY TCP4 192.0.2.1 198.51.100.1 5678 443\r\n", 0, "192.0.2.1:5678"},
    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", 0, "255.255.255.255:65535"},
    {"PROXY TCP6 2001:db8::1 ::1 1 0\r\n", 0, "2001:db8::1:1"},
    {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
     "65535 65535\r\n",
     0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535"},
    {"PROXY UNKNOWN\r\n", 0, OWN},
    {"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", 0, OWN},
    {V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb",
     SIZE(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb"), "192.0.2.1:5678"},
    {V2
     "\x21\x21\0\x24\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\5\1\xbb",
     SIZE(V2
          "\x21\x21\0\x24\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\5"
          "\1\xbb"),
     "2001:db8::1:5"},
    {V2 "\x20\0\0\0", SIZE(V2 "\x20\0\0\0"), OWN},
    {V2 "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb",
     SIZE(V2 "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb"), OWN},
    {V2 "\x21\0\0\5tlvs!", SIZE(V2 "\x21\0\0\5tlvs!"), OWN},
    {V2 "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbbTLVs",
     SIZE(V2 "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbbTLVs"), "192.0.2.1:5678"},
};

static void headers_however_they_are_cut(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    size_t n = good[i].n ? good[i].n : strlen(good[i].head);
    for (size_t chunk = 1; chunk <= n + 4; chunk++) {
      char text[256];
      struct driver d;
      memcpy(text, good[i].head, n);
      memcpy(text + n, "next", 4);
      if (give(&d, text, n + 4, chunk) != MS__UNLINK)
        fail_msg("row %zu, pieces of %zu: %d", i, chunk, d.result);
      if (strcmp(told(), good[i].peer) != 0)
        fail_msg("row %zu: %s instead of %s", i, told(), good[i].peer);
      assert_int_equal(d.in.n, 4);
      assert_memory_equal(d.in.p, "next", 4);
      driver_end(&d);
    }
  }
}

/* Of a header that is half there nothing is told. */
static void halves(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    size_t n = good[i].n ? good[i].n : strlen(good[i].head);
    for (size_t k = 0; k < n; k++) {
      struct driver d;
      if (give(&d, good[i].head, k, k + 1) != (k ? MS__MORE : 0))
        fail_msg("row %zu, %zu bytes: %d", i, k, d.result);
      driver_end(&d);
    }
  }
}

static void fields_behind_are_passed_over(void **state) {
  static char text[16 + 65535 + 3] = V2 "\x21\x11\xff\xff\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb";
  struct driver d;
  (void)state;
  memcpy(text + 16 + 65535, "abc", 3);
  assert_int_equal(give(&d, text, sizeof text, 1000), MS__UNLINK);
  assert_int_equal(d.in.n, 3);
  assert_memory_equal(d.in.p, "abc", 3);
  assert_string_equal(told(), "192.0.2.1:5678");
  driver_end(&d);
}

static void bad_headers(void **state) {
  static const struct {
    const char *head;
    size_t n;
  } rows[] = {
      {"PROXY TCP4 192.0.2.1 198.51.100.1 5678\r\n", 0},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 5678 443 \r\n", 0},
      {"PROXY TCP4  192.0.2.1 198.51.100.1 5678 443\r\n", 0},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 5678 443\n", 0},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 05678 443\r\n", 0},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", 0},
      {"PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n", 0},
      {"PROXY TCP4 2001:db8::1 ::1 5678 443\r\n", 0},
      {"PROXY TCP4 192.0.2.256 198.51.100.1 5678 443\r\n", 0},
      {"PROXY TCP4 192.0.2.1 pub.example 5678 443\r\n", 0},
      {"PROXY TCP6 192.0.2.1 198.51.100.1 5678 443\r\n", 0},
      {"PROXY TCP6 fe80::1%lo ::1 5678 443\r\n", 0},
      {"PROXY UDP4 192.0.2.1 198.51.100.1 5678 443\r\n", 0},
      {"PROXY \r\n", 0},
      {"PROXY TCP4\r\n", 0},
      {"PROXY unknown\r\n", 0},
      {"PROXY TCP4 192.0.2.1\0 198.51.100.1 5678 443\r\n",
       SIZE("PROXY TCP4 192.0.2.1\0 198.51.100.1 5678 443\r\n")},
      {"PROXY TCP6 1111:2222:3333:4444:5555:6666:7777:8888 1111:2222:3333:4444:5555:6666:7777:8888 "
       "00000000000000000000",
       0},
      {V2 "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb", 28},
      {V2 "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb", 28},
      {V2 "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb", 28},
      {V2 "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb", 28},
      {V2 "\x21\x41\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb", 28},
      {V2 "\x21\x21\0\x23", 16},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t chunk = 1; chunk < 120; chunk += 59) {
      size_t n = rows[i].n ? rows[i].n : strlen(rows[i].head);
      char why[200] = "";
      struct driver d;
      if (give(&d, rows[i].head, n, chunk) != MS_EPROTO)
        fail_msg("taken (%d): row %zu, %s", d.result, i, rows[i].head);
      ms__proxy.explain(d.state, why, sizeof why);
      if (!*why) fail_msg("row %zu: not explained", i);
      if (strcmp(told(), OWN) != 0) fail_msg("row %zu: %s was believed", i, told());
      driver_end(&d);
    }
}

/* It has to come: who is believed and sends none has clients who could write their own. */
static void none(void **state) {
  static const char *const rows[] = {"GET / HTTP/1.1", "PROXIMA", "P", "PROXY", "\r\n\r\n!", "\r"};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t chunk = 1; chunk < 10; chunk += 8) {
      size_t n = strlen(rows[i]);
      bool begun = strcmp(rows[i], "P") == 0 || strcmp(rows[i], "PROXY") == 0 || n == 1;
      struct driver d;
      assert_int_equal(give(&d, rows[i], n, chunk), begun ? MS__MORE : MS_EPROTO);
      driver_end(&d);
    }
}

/* ---- X-Forwarded-For, Forwarded ---- */

static struct ms__front front(const char *at, const char *how) {
  struct ms__front out;
  char text[64];
  const char *why;
  (void)snprintf(text, sizeof text, "%s=%s", at, how);
  if ((why = ms__front_parse(&out, text, true))) fail_msg("%s %s", text, why);
  return out;
}

/* What a request with these fields tells of the peer 127.0.0.1:7. */
static const char *told_in(const char *fields, const struct ms__front *fronts, size_t count) {
  char text[4096];
  struct ms__http_head head;
  int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
  assert_int_equal(ms__http_parse(&head, true, (const uint8_t *)text, (size_t)n), 0);
  own_peer();
  return ms__forwarded(&head, fronts, count, &peer);
}

static void forwarded(void **state) {
  /* 127.0.0.1 and 10/8 are believed, in the field that the row begins with */
  static const struct {
    const char *fields, *peer;
    bool untold; /* it is said that it is not told: the peer is the front itself */
  } rows[] = {
      {"", OWN, false},
      {"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0", false},
      {"x-forwarded-for: 192.0.2.1:99\r\n", "192.0.2.1:99", false},
      {"X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1:0", false},
      {"X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1:0", false},
      {"X-Forwarded-For: [2001:db8::1]:99\r\n", "2001:db8::1:99", false},
      {"X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n", "192.0.2.1:0", false},
      {"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0", false},
      {"X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.2.3 ,10.0.0.1\r\n", "192.0.2.1:0", false},
      {"X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1\r\n", "10.0.0.1:0", false},
      {"X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", "10.0.0.2:0", false},
      {"X-Forwarded-For: unknown\r\n", OWN, true},
      {"Forwarded: for=unknown\r\n", OWN, true},
      {"Forwarded: for=_\r\n", OWN, false},
      {"X-Forwarded-For: nonsense\r\n", OWN, false},
      {"X-Forwarded-For: 192.0.2.1:\r\n", OWN, false},
      {"X-Forwarded-For: 192.0.2.1:70000\r\n", OWN, false},
      {"X-Forwarded-For: [2001:db8::1\r\n", OWN, false},
      {"X-Forwarded-For: [2001:db8::1]x\r\n", OWN, false},
      {"X-Forwarded-For: ,, ,\r\n", OWN, false},
      {"Forwarded: for=192.0.2.1\r\n", "192.0.2.1:0", false},
      {"Forwarded: for=\"192.0.2.1:99\"\r\n", "192.0.2.1:99", false},
      {"Forwarded: proto=https; For=\"[2001:db8::1]:99\" ;by=10.0.0.1\r\n", "2001:db8::1:99",
       false},
      {"Forwarded: for=6.6.6.6, for=192.0.2.1;proto=http, for=10.0.0.1\r\n", "192.0.2.1:0", false},
      {"Forwarded: for=6.6.6.6\r\nForwarded: for=192.0.2.1;\r\n", "192.0.2.1:0", false},
      {"Forwarded: for=_hidden\r\n", OWN, true},
      {"Forwarded: for=6.6.6.6, by=10.0.0.1\r\n", OWN, false},
      {"Forwarded: for=6.6.6.6;x=\", for=192.0.2.1\r\n", OWN, false},
      {"Forwarded: for=6.6.6.6;x=\", for=\"[2001:db8::1]\"\r\n", OWN, false},
      {"Forwarded: for=6.6.6.6;x=\"\\\", for=192.0.2.1\r\n", OWN, false},
      {"Forwarded: for=\"6.6.6.6\r\nForwarded: for=192.0.2.1\r\n", "192.0.2.1:0", false},
      {"Forwarded: for=6.6.6.6\r\nForwarded: for=\"192.0.2.1\r\n", OWN, false},
      {"Forwarded: for=6.6.6.6;for=7.7.7.7\r\n", OWN, false},
      {"Forwarded: for=\"a, b\\\"\", for=192.0.2.1\r\n", "192.0.2.1:0", false},
      {"Forwarded: for\r\n", OWN, false},
      {"Forwarded: =\r\n", OWN, false},
      {"Forwarded: ;,;\r\n", OWN, false},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *how =
        strncmp(rows[i].fields, "Forwarded", 9) == 0 ? "forwarded" : "x-forwarded-for";
    struct ms__front fronts[2] = {front("127.0.0.1", how), front("10.0.0.0/8", how)};
    const char *why = told_in(rows[i].fields, fronts, 2);
    if (strcmp(told(), rows[i].peer) != 0)
      fail_msg("%s instead of %s: %s", told(), rows[i].peer, rows[i].fields);
    if (!why != (strcmp(rows[i].peer, OWN) != 0 || rows[i].untold))
      fail_msg("%s: %s", rows[i].fields, why ? why : "taken");
  }
}

/* Only the one field counts in which the front speaks: the other is its client's. */
static void the_other_field_is_the_clients(void **state) {
  static const char both[] = "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n";
  struct ms__front x[] = {front("127.0.0.1", "x-forwarded-for")};
  struct ms__front f[] = {front("127.0.0.1", "forwarded")};
  struct ms__front mixed[] = {front("127.0.0.1", "x-forwarded-for"), front("10.0.0.1", "forwarded"),
                              front("127.0.0.1", "proxy")};
  (void)state;
  assert_null(told_in(both, x, 1));
  assert_string_equal(told(), "192.0.2.1:0");
  assert_null(told_in(both, f, 1));
  assert_string_equal(told(), "192.0.2.2:0");
  assert_non_null(told_in("Forwarded: for=192.0.2.2\r\n", x, 1));
  assert_string_equal(told(), OWN);
  assert_non_null(told_in("X-Forwarded-For: 192.0.2.1\r\n", f, 1));
  assert_string_equal(told(), OWN);
  /* a hop that speaks in another field has not appended to this one */
  assert_null(told_in("X-Forwarded-For: 6.6.6.6, 10.0.0.1\r\n", mixed, 3));
  assert_string_equal(told(), "10.0.0.1:0");
}

static void how_a_front_says_it(void **state) {
  static const struct {
    const char *text;
    bool http;
    unsigned says; /* 0: it is wrong */
  } rows[] = {
      {"192.0.2.0/24=proxy", true, MS__FRONT_PROXY},
      {"192.0.2.0/24=proxy", false, MS__FRONT_PROXY},
      {"192.0.2.0/24", false, MS__FRONT_PROXY},
      {"192.0.2.0/24", true, 0},
      {"192.0.2.0/24=x-forwarded-for", true, MS__FRONT_X_FORWARDED_FOR},
      {"192.0.2.0/24=forwarded", true, MS__FRONT_FORWARDED},
      {"192.0.2.0/24=Forwarded", true, 0},
      {"unix=proxy", false, MS__FRONT_PROXY},
      {"unix", false, MS__FRONT_PROXY},
      {"unix", true, 0},
      {"unix=x-forwarded-for", true, MS__FRONT_X_FORWARDED_FOR},
      {"unix=forwarded", true, MS__FRONT_FORWARDED},
      {"unix=", true, 0},
      {"unix/8=proxy", true, 0},
      {"Unix=proxy", true, 0},
      {"unixes=proxy", true, 0},
      {"192.0.2.0/24=", false, 0},
      {"192.0.2.0/24=proxy,forwarded", true, 0},
      {"=proxy", false, 0},
      {"192.0.2.1/24=proxy", false, 0},
      {"", false, 0},
      {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000=proxy", false, 0},
  };
  struct ms__front x = front("10.0.0.0/8", "x-forwarded-for"),
                   f = front("10.1.0.0/16", "forwarded");
  struct ms__front other = front("11.0.0.0/8", "forwarded"), p = front("10.1.0.0/16", "proxy");
  struct ms__front ux = front("unix", "x-forwarded-for"), uf = front("unix", "forwarded");
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ms__front out;
    const char *why = ms__front_parse(&out, rows[i].text, rows[i].http);
    if (!why != (rows[i].says != 0)) fail_msg("'%s': %s", rows[i].text, why ? why : "taken");
    if (!why) assert_int_equal(out.says, rows[i].says);
  }
  assert_true(ms__fronts_differ(&ux, &uf) && !ms__fronts_differ(&ux, &ux) &&
              !ms__fronts_differ(&ux, &f) && !ms__fronts_differ(&f, &ux));
  assert_true(ms__fronts_differ(&x, &f) && ms__fronts_differ(&f, &x));
  assert_false(ms__fronts_differ(&x, &other) || ms__fronts_differ(&x, &p) ||
               ms__fronts_differ(&x, &x));
}

/* Who is at a unix socket has no address; who is told of has, and is a front by that. */
static void a_front_at_a_unix_socket(void **state) {
  struct ms__front all[] = {front("unix", "x-forwarded-for"),
                            front("10.0.0.0/8", "x-forwarded-for"), front("::/0", "proxy")};
  union ms__inet at_unix = {.family = AF_UNIX};
  char text[] =
      "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n\r\n";
  struct ms__http_head head;
  (void)state;
  assert_int_equal(ms__fronts_say(all, 3, &at_unix), MS__FRONT_X_FORWARDED_FOR);
  assert_int_equal(ms__http_parse(&head, true, (const uint8_t *)text, strlen(text)), 0);
  peer = at_unix;
  assert_null(ms__forwarded(&head, all, 3, &peer));
  assert_string_equal(told(), "192.0.2.1:0");
  peer = at_unix;
  assert_null(ms__forwarded(&head, all, 1, &peer));
  assert_string_equal(told(), "10.0.0.1:0");
  own_peer();
  assert_int_equal(ms__fronts_say(all, 2, &peer), 0);
}

static void no_more_than_32_hops(void **state) {
  char text[2048] = "X-Forwarded-For: 6.6.6.6";
  struct ms__front all[] = {front("127.0.0.0/8", "x-forwarded-for")};
  (void)state;
  for (int i = 0; i < 40; i++)
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), ",127.0.0.%d", 100 - i);
  strcat(text, "\r\n");
  assert_null(told_in(text, all, 1));
  assert_string_equal(told(), "127.0.0.92:0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(headers_however_they_are_cut),
      cmocka_unit_test(halves),
      cmocka_unit_test(fields_behind_are_passed_over),
      cmocka_unit_test(bad_headers),
      cmocka_unit_test(none),
      cmocka_unit_test(forwarded),
      cmocka_unit_test(the_other_field_is_the_clients),
      cmocka_unit_test(how_a_front_says_it),
      cmocka_unit_test(a_front_at_a_unix_socket),
      cmocka_unit_test(no_more_than_32_hops),
  };
  return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
