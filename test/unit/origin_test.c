/* Origins: which mean the same, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "addr/origin.h"

static void origins(void **state) {
  static const struct {
    const char *text, *origin;
  } rows[] = {
      {"https://app.example", "https://app.example"},
      {"https://app.example/", "https://app.example"},
      {"https://app.example:443", "https://app.example"},
      {"https://app.example:443/", "https://app.example"},
      {"http://app.example:80", "http://app.example"},
      {"http://app.example:443", "http://app.example:443"},
      {"https://app.example:0443", "https://app.example"},
      {"HTTPS://App.Example:8443", "https://app.example:8443"},
      {"http://localhost:3000", "http://localhost:3000"},
      {"http://127.0.0.1:65535", "http://127.0.0.1:65535"},
      {"https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"},
      {"https://[::1]", "https://[::1]"},
      {"https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
      {"chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"},
      {"null", "null"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char origin[MS__ORIGIN_MAX];
    const char *why = ms__origin_parse(origin, rows[i].text, strlen(rows[i].text));
    if (why) fail_msg("%s %s", rows[i].text, why);
    assert_string_equal(origin, rows[i].origin);
  }
}

static void none(void **state) {
  static const struct {
    const char *text, *why;
  } rows[] = {
      {"", "is no origin"},
      {"*", "is no origin"},
      {"app.example", "is no origin"},
      {"app.example:443", "is no origin"},
      {"//app.example", "is no origin"},
      {"://app.example", "is no origin"},
      {"https:app.example", "is no origin"},
      {"https://", "names no host"},
      {"https:///", "has a path"},
      {"https://:443", "names no host"},
      {"https://app.example/room", "has a path"},
      {"https://app.example?x", "has a path"},
      {"https://app.example:443#x", "has a path"},
      {"https://user@app.example", "has a user"},
      {"https://user:1@app.example", "has a user"},
      {"https://*.example", "has no host"},
      {"https://app example", "has no host"},
      {"https://b\xc3\xbc"
       "cher.example",
       "has to be in ASCII"},
      {"https://app.example:", "has a port"},
      {"https://app.example:0", "has a port"},
      {"https://app.example:65536", "has a port"},
      {"https://[::1", "has no IPv6"},
      {"https://[localhost]", "has no IPv6"},
      {"https://[fe80::1%25eth0]", "has no IPv6"},
      {"https://[::1]x", "has no host"},
  };
  char origin[MS__ORIGIN_MAX], longest[MS__ORIGIN_MAX + 16];
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = ms__origin_parse(origin, rows[i].text, strlen(rows[i].text));
    if (!why) fail_msg("%s is taken as %s", rows[i].text, origin);
    if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
      fail_msg("%s %s, not: %s", rows[i].text, why, rows[i].why);
  }
  assert_string_equal(ms__origin_parse(origin, "https://a\0b", 11), "has a NUL in it");
  memset(longest, 'a', sizeof longest);
  memcpy(longest, "https://", 8);
  assert_string_equal(ms__origin_parse(origin, longest, sizeof longest), "is too long");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(origins),
      cmocka_unit_test(none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
