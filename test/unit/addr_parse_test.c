/* What is refused and where, what a use allows, what matches, and that no text at all does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "addr/addr.h"
#include "rng.h"

#define KEY "blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0="

static int parse(ms_addr **addr, const char *text, enum ms_addr_use use, ms_error *err) {
  return ms_addr_parse(addr, text, strlen(text), use, err);
}

static void a_fault_has_a_place_and_a_reason(void **state) {
  static const struct {
    const char *input;
    size_t offset;
    const char *layer, *why; /* a part of the message */
  } rows[] = {
      {"", 0, "", ""},
      {";", 0, "", ""},
      {"net:", 4, "net", ""},
      {"net:host", 4, "net", "port"},
      {"net:host:x", 9, "net", "port"},
      {"net:host:65536", 9, "net", "65"},
      {"net:host:-1", 9, "net", ""},
      {"net:host: 1", 9, "net", ""},
      {"net:h:1~", 8, "", ""},
      {"~shs:" KEY, 0, "", ""},
      {"net:h:1~shs", 8, "shs", "key"},
      {"net:h:1~shs:abc", 12, "shs", "key"},
      {"net:h:1~shs:" KEY ":abc", 57, "shs", ""},
      {"net:h:1~shs:blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo1=", 12, "shs", ""},
      {"net:h:1!", 7, "", "!!"},
      {"net:h\x01:1", 5, "", "control"},
      {"net:h\xff:1", 5, "", "UTF-8"},
      {"net:\xc0\xaf:1", 4, "", "UTF-8"},
      {"net:\xed\xa0\x80:1", 4, "", "UTF-8"},
      {"net:0:1", 4, "net", "four decimal"},
      {"net:127.1:1", 4, "net", "four decimal"},
      {"net:0x7f000001:1", 4, "net", "four decimal"},
      {"net:010.0.0.1:1", 4, "net", "four decimal"},
      {"net:1.2.3.4.5:1", 4, "net", "four decimal"},
      {"unix:", 5, "unix", "path"},
      {"unix:@", 5, "unix", "a name, as in unix:@x"},
      {"unix:!@~shs:" KEY, 5, "unix", "a name, as in unix:@x"},
      {"ws:h:1", 3, "ws", "URL"},
      {"ws:/a", 3, "ws", "URL"}, /* it begins nothing */
      {"ws~shs:" KEY, 0, "ws", "URL"},
      {"unix:/p~ws:h:1", 11, "ws", "ws:/path"},
      {"unix:/p~ws:a", 11, "ws", "ws:/path"},
      {"unix:/p~ws:?a", 11, "ws", "ws:/path"},
      {"unix:/p~ws://h:1/a", 11, "ws", "ws:/path"},
      {"unix:/p~ws:/a#b", 13, "ws", "fragment"},
      {"unix:/p~wss", 8, "wss", "tls:NAME~ws"},
      {"unix:/p~wss://h", 8, "wss", "tls:NAME~ws"},
      {"net:h:1~ws", 8, "ws", "ws://HOST:PORT"},
      {"net:h:1~ws:/a~shs:" KEY, 8, "ws", "ws://HOST:PORT"},
      {"net:h:1~tls~ws", 12, "ws", "wss://"},
      {"ws://h/#x", 7, "ws", "fragment"},
      {"ws://h\\x", 6, "ws", "backslash"},
      {"wss://[::1/", 6, "wss", "bracket"},
      {"ws://[fe80::1%eth0]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25]/", 5, "ws", "%25"},
      {"ws://[fe80::1%2]/", 5, "ws", "%25"},
      {"ws://[fe80::1%]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25a%2]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25a%zz]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25a%00]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25a%2Fb]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25a%25b]/", 5, "ws", "%25"},
      {"ws://[fe80::1%25\xc3\xa9]/", 5, "ws", "%25"},
      {"ws://[host%25eth0]/", 5, "ws", "%25"},
      {"ws://u%zz@h", 6, "ws", "hexadecimal"},
      {"@" KEY ".ed25519", 0, "", "key, not an address"},
      {"ssb:message/x", 0, "", "URI"},
      {"host:8008:@" KEY ".ed25519", 0, "", "legacy"},
      {"host:8008:@" KEY ".ed25519~" KEY, 0, "", "invite"},
      {"!ssb:", 0, "", "URI"}, /* what escapes hide would show in the canonical form */
      {"host:8008:!@" KEY ".ed25519", 0, "", "legacy"},
      {"host:!@" KEY ".ed25519~ab", 0, "", "invite"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ms_addr *addr = (ms_addr *)(uintptr_t)1;
    ms_error err = {0};
    if (parse(&addr, rows[i].input, MS_ADDR_DIAL, &err) != MS_EADDRESS)
      fail_msg("'%s' is taken", rows[i].input);
    assert_null(addr);
    assert_int_equal(err.phase, MS_PHASE_PARSE);
    if (err.offset != rows[i].offset || strcmp(err.layer, rows[i].layer) != 0 ||
        !strstr(err.message, rows[i].why))
      fail_msg("'%s': byte %zu, layer '%s', '%s' instead of byte %zu, '%s', '...%s...'",
               rows[i].input, err.offset, err.layer, err.message, rows[i].offset, rows[i].layer,
               rows[i].why);
  }
}

/* An offset counts from the start of the whole input. */
static void a_bad_alternative_beside_a_good_one_is_kept(void **state) {
  static const char input[] = "net:h:1;net:h:x;unix:/p~noauth";
  ms_addr *addr;
  ms_error err;
  (void)state;
  assert_int_equal(parse(&addr, input, MS_ADDR_DIAL, &err), 0);
  assert_int_equal(ms_addr_count(addr), 3);
  assert_int_equal(ms_addr_at(addr, 0)->error.code, 0);
  assert_int_equal(ms_addr_at(addr, 1)->error.code, MS_EADDRESS);
  assert_int_equal(ms_addr_at(addr, 1)->error.offset, 14);
  assert_null(ms_addr_at(addr, 1)->sections);
  assert_int_equal(ms_addr_at(addr, 2)->offset, 16);
  assert_int_equal(ms_addr_at(addr, 2)->length, strlen("unix:/p~noauth"));
  assert_int_equal(ms_addr_at(addr, 2)->count, 2);
  ms_addr_free(addr);
}

static void a_use_decides_what_may_be_missing(void **state) {
  static const struct {
    const char *input;
    bool dial, listen, stream;
  } rows[] = {
      {"net", false, true, false},         {"net~shs", false, true, false},
      {"net::0~shs", false, true, true},   {"net:h:1~shs:", false, true, true},
      {"net:h:1~shs", false, true, true},  {"net:h:1~shs:" KEY, true, true, true},
      {"unix~noauth", false, true, false}, {"unix:/p~noauth", true, true, true},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const bool expected[] = {rows[i].dial, rows[i].listen, rows[i].stream};
    static const enum ms_addr_use uses[] = {MS_ADDR_DIAL, MS_ADDR_LISTEN, MS_ADDR_STREAM};
    for (size_t u = 0; u < 3; u++) {
      ms_addr *addr;
      bool taken = parse(&addr, rows[i].input, uses[u], NULL) == 0;
      if (taken != expected[u])
        fail_msg("'%s' is %s for use %zu", rows[i].input, taken ? "taken" : "refused", u);
      ms_addr_free(addr);
    }
  }
}

static void every_section_must_match(void **state) {
  static const struct {
    const char *address, *stack;
    bool matches;
  } rows[] = {
      {"net:h:1~shs:" KEY, "net~shs", true},
      {"net:h:1~shs:" KEY, "net", false},
      {"net:h:1~shs:" KEY, "net~noauth", false},
      {"net:h:1~shs:" KEY, "net~shs~shs", false},
      {"net:h:1~shs:" KEY, "net~sh", false},
      {"net:h:1~shs:" KEY, "et~shs", false},
      {"net:h:1~shs:" KEY, "", false},
      {"net:h:1", "net", true},
      {"ws://h~shs:" KEY, "ws~shs", true},
      {"wss://h~shs:" KEY, "ws~shs", true},
      {"wss://h~shs:" KEY, "wss~shs", true},
      {"ws://h~shs:" KEY, "wss~shs", false},
      {"wss://h", "wsss", false},
      {"unix:/p~noauth", "unix~noauth", true},
      {"unix:@p~noauth", "unix~noauth", true},
      {"unix:/p~ws:/a~shs:" KEY, "unix~ws~shs", true},
      {"unix:/p~ws", "unix~ws", true},
      {"unix:/p~ws", "unix~wss", false},
      {"unix:/p~ws~shs:" KEY, "unix~shs", false},
      {"unix:/p~ws~shs:" KEY, "unix~ws", false},
      {"unix:/p~ws~shs:" KEY, "ws~shs", false},
      {"unix:/p~shs:" KEY, "unix~ws~shs", false},
      {"foo:x~bar:y", "foo~bar", true},
      {"net:h:x", "net", false},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char input[128];
    ms_addr *addr;
    (void)snprintf(input, sizeof input, "%s;net:other:1", rows[i].address);
    assert_int_equal(parse(&addr, input, MS_ADDR_DIAL, NULL), 0);
    if (ms_addr_match(ms_addr_at(addr, 0), rows[i].stack) != rows[i].matches)
      fail_msg("%s and %s: %s", rows[i].address, rows[i].stack, rows[i].matches ? "no" : "yes");
    ms_addr_free(addr);
  }
}

static void sizes_have_limits(void **state) {
  size_t n = MS_ADDRESS_MAX + 1;
  char *text = malloc(n + 1);
  ms_addr *addr;
  (void)state;
  assert_non_null(text);
  memset(text, 'a', n);
  memcpy(text, "unix:", 5);
  assert_int_equal(ms_addr_parse(&addr, text, n, MS_ADDR_DIAL, NULL), MS_EADDRESS);
  assert_int_equal(ms_addr_parse(&addr, text, n - 1, MS_ADDR_DIAL, NULL), 0);
  ms_addr_free(addr);
  memset(text, ';', n); /* nothing but empty alternatives */
  assert_int_equal(ms_addr_parse(&addr, text, n - 1, MS_ADDR_DIAL, NULL), MS_EADDRESS);
  for (size_t i = 0; i + 2 < n; i += 2)
    memcpy(text + i, "a;", 2); /* too many alternatives */
  assert_int_equal(ms_addr_parse(&addr, text, n - 1, MS_ADDR_DIAL, NULL), MS_EADDRESS);
  for (size_t i = 0; i + 2 < n; i += 2)
    memcpy(text + i, "a~", 2); /* too many sections */
  assert_int_equal(ms_addr_parse(&addr, text, 100, MS_ADDR_DIAL, NULL), MS_EADDRESS);
  free(text);
}

/* ---- Chance ---- */

static void check_fixed_point(const char *text, size_t length, enum ms_addr_use use) {
  static char form[4096], again[4096];
  ms_addr *addr, *second;
  ms_error err;
  if (ms_addr_parse(&addr, text, length, use, &err) < 0) {
    if (err.offset > length)
      fail_msg("%.*s: the fault is at byte %zu", (int)length, text, err.offset);
    if (!err.message[0]) fail_msg("%.*s: no reason", (int)length, text);
    return;
  }
  assert_true(ms_addr_format(addr, SIZE_MAX, form, sizeof form) < sizeof form);
  if (ms_addr_parse(&second, form, strlen(form), use, &err) < 0)
    fail_msg("%.*s becomes %s, which is refused: %s", (int)length, text, form, err.message);
  (void)ms_addr_format(second, SIZE_MAX, again, sizeof again);
  if (strcmp(form, again) != 0)
    fail_msg("%.*s becomes %s, which becomes %s", (int)length, text, form, again);
  ms_addr_free(addr);
  ms_addr_free(second);
}

/* Cuts, doubles, joins and changes good addresses at random. */
static void no_text_does_harm(void **state) {
  static const char *const good[] = {"net:h:1~shs:" KEY,
                                     "net:::1:8008~shs:" KEY ":" KEY,
                                     "wss://u:p@h:1/a?b=c~shs:" KEY,
                                     "unix:/run/a b~noauth",
                                     "unix:@a~ws:/b!:c?d~shs:" KEY,
                                     "onion:abc.onion:80~shs:" KEY,
                                     "foo:!~!;b~bar:!!",
                                     "net:fe80::1%eth0:80",
                                     "ws://[::1]/x~noauth;net:1.2.3.4:5",
                                     "ws://[fe80::1%25eth0]:8/a"};
  static const char odd[] = ":;~!@/?#[]%\\.=\x01\xff\xc3\xa9 +-0aA";
  struct rng rng;
  (void)state;
  rng_begin(&rng);
  for (unsigned round = 0; round < 60000; round++) {
    char text[512];
    const char *from = good[rng_below(&rng, sizeof good / sizeof *good)];
    size_t n = strlen(from), changes = rng_below(&rng, 6);
    memcpy(text, from, n);
    while (changes--) {
      size_t at = n ? rng_below(&rng, n) : 0;
      switch (rng_below(&rng, 4)) {
        case 0: /* another byte */
          if (n) text[at] = odd[rng_below(&rng, sizeof odd - 1)];
          break;
        case 1: /* one more */
          memmove(text + at + 1, text + at, n - at);
          text[at] = odd[rng_below(&rng, sizeof odd - 1)];
          n++;
          break;
        case 2: /* cut */
          n = at;
          break;
        default: /* a piece of another behind it */
          from = good[rng_below(&rng, sizeof good / sizeof *good)];
          at = rng_below(&rng, strlen(from));
          if (n + strlen(from + at) > 400) break;
          memcpy(text + n, from + at, strlen(from + at));
          n += strlen(from + at);
          break;
      }
    }
    check_fixed_point(text, n, (enum ms_addr_use)(rng_below(&rng, 3)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_fault_has_a_place_and_a_reason),
      cmocka_unit_test(a_bad_alternative_beside_a_good_one_is_kept),
      cmocka_unit_test(a_use_decides_what_may_be_missing),
      cmocka_unit_test(every_section_must_match),
      cmocka_unit_test(sizes_have_limits),
      cmocka_unit_test(no_text_does_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
