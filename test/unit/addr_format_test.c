/* Canonical forms (docs/behaviours.md, section 2), what is left out of logs, and cutting to fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "addr/addr.h"

#define KEY  "blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0="
#define BARE "blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0"
#define SEED "lPxf5x9l2Cwb0X7iNxgaMRWRgbkE6LZvY7JS+/9cZxI="
#define SHS  "~shs:" KEY

struct form {
  const char *input, *canonical;
};

static ms_addr *parse(const char *text, enum ms_addr_use use) {
  ms_addr *addr;
  ms_error err;
  if (ms_addr_parse(&addr, text, strlen(text), use, &err) < 0)
    fail_msg("%s: byte %zu: %s", text, err.offset, err.message);
  return addr;
}

static void check_forms(const struct form *forms, size_t n, enum ms_addr_use use) {
  for (size_t i = 0; i < n; i++) {
    char buf[512];
    ms_addr *addr = parse(forms[i].input, use);
    size_t length = ms_addr_format(addr, SIZE_MAX, buf, sizeof buf);
    if (strcmp(buf, forms[i].canonical) != 0)
      fail_msg("%s becomes %s instead of %s", forms[i].input, buf, forms[i].canonical);
    assert_int_equal(length, strlen(buf));
    ms_addr_free(addr);
    addr = parse(buf, use);
    (void)ms_addr_format(addr, SIZE_MAX, buf, sizeof buf);
    assert_string_equal(buf, forms[i].canonical);
    ms_addr_free(addr);
  }
}

#define CHECK(forms, use) check_forms(forms, sizeof forms / sizeof *forms, use)

static void net_is_written_bare(void **state) {
  static const struct form forms[] = {
      {"net:Host.Example:0008008" SHS, "net:Host.Example:8008" SHS},
      {"net::8008" SHS, "net::8008" SHS},
      {"net:host.:1", "net:host.:1"},
      {"net:[::1]:8008" SHS, "net:::1:8008" SHS},
      {"net:[FE80::1%eth0]:8008", "net:fe80::1%eth0:8008"},
      {"net:fe80:0:0:0:0:0:0:1%:8008", "net:fe80::1%:8008"},
      {"net:fe80!:!:1!:8008", "net:fe80::1:8008"},
      {"net:2001:0DB8:0:0:1:0:0:1:80", "net:2001:db8::1:0:0:1:80"},
      {"net:2001:db8:0:1:1:1:1:1:80", "net:2001:db8:0:1:1:1:1:1:80"},
      {"net:1:0:0:2:0:0:0:3:80", "net:1:0:0:2::3:80"},
      {"net:1:2:3:4:5:6:0:0:80", "net:1:2:3:4:5:6:::80"},
      {"net:::1:0:80", "net:::1:0:80"},
      {"net:::ffff:c000:201:80", "net:::ffff:192.0.2.1:80"},
      {"net:0:0:0:0:0:0:0:0:8008", "net::::8008"},
      {"net:b\xc3\xbc"
       "cher.example:80",
       "net:b\xc3\xbc"
       "cher.example:80"},
      {"net:h!o!~s!!t:80", "net:ho!~s!!t:80"},
      {"onion:ABC.onion:080" SHS, "onion:ABC.onion:80" SHS},
  };
  (void)state;
  CHECK(forms, MS_ADDR_DIAL);
}

static void ws_is_written_as_a_url(void **state) {
  static const struct form forms[] = {
      {"WS://Host.EXAMPLE:8989" SHS, "ws://host.example:8989" SHS},
      {"ws://h:80/" SHS, "ws://h" SHS},
      {"ws://h:", "ws://h"},
      {"ws://h:443", "ws://h:443"},
      {"wss://h:443/a/../b?c=d" SHS, "wss://h/a/../b?c=d" SHS},
      {"wss://h:0080", "wss://h:80"},
      {"ws://h?q", "ws://h/?q"},
      {"ws://h/?q", "ws://h/?q"},
      {"ws://[2001:DB8:0::1]:080/x", "ws://[2001:db8::1]/x"},
      {"ws://h/a b?c d", "ws://h/a%20b?c%20d"},
      {"ws://h/{\xc3\xa9}?{\xc3\xa9'}", "ws://h/%7B%C3%A9%7D?{%C3%A9%27}"},
      {"ws://h/!~u/a!!b/%7E", "ws://h/!~u/a!!b/%7E"},
      {"ws://user:p%40ss@H", "ws://user:p%40ss@h"},
      {"ws://user:@h", "ws://user:@h"},
      {"ws://a@b@h", "ws://a%40b@h"},
      {"ws://[FE80::0:1%25eth0]:8989/a", "ws://[fe80::1%25eth0]:8989/a"}, /* RFC 6874 */
      {"wss://u@[fe80::1%2512]", "wss://u@[fe80::1%2512]"},
      {"ws://[fe80::1%25%65th%2D0%2b]", "ws://[fe80::1%25eth-0%2B]"},
      {"ws://[fe80::1%25a!~b!!c+%40d]", "ws://[fe80::1%25a!~b%21c%2B%40d]"},
      {"tls:[fe80::1%25eth0]", "tls:fe80::1%eth0"},
      {"ws://@h", "ws://h"},
  };
  (void)state;
  CHECK(forms, MS_ADDR_DIAL);
}

static void keys_are_written_in_standard_base64(void **state) {
  static const struct form forms[] = {
      {"net:h:1~shs:" BARE, "net:h:1" SHS},
      {"net:h:1~shs:@" KEY, "net:h:1" SHS},
      {"net:h:1~shs:@" BARE ".ed25519", "net:h:1" SHS},
      {"net:h:1~shs:" KEY ".ed25519:" SEED, "net:h:1" SHS ":" SEED},
      {"unix:/a b:c~noauth:", "unix:/a b:c~noauth"},
      {"unix:/a~noauth:" BARE, "unix:/a~noauth:" KEY},
      {"unix:@a~noauth", "unix:@a~noauth"}, /* abstract */
      {"unix:!@a!:b!!c!~d @\xc3\xa9", "unix:@a:b!!c!~d @\xc3\xa9"},
      {"unix:./@a", "unix:./@a"},
      {"unix:/p~ws", "unix:/p~ws"}, /* WebSocket on it */
      {"unix:/p~ws:~noauth", "unix:/p~ws~noauth"},
      {"unix:/p~ws:/~shs:" BARE, "unix:/p~ws" SHS},
      {"unix:@p~ws:/a b!:c!~d!!?e<f'~noauth", "unix:@p~ws:/a%20b:c!~d!!?e%3Cf%27~noauth"},
      {"unix:/p~tls:H~ws:/a~shs:" BARE, "unix:/p~tls:h~ws:/a" SHS},
      {"foo:x~ws:/a", "foo:x~ws:/a"},
      {"unix:!@a.ed25519~noauth", "unix:@a.ed25519~noauth"}, /* no legacy address */
  };
  (void)state;
  CHECK(forms, MS_ADDR_DIAL);
}

static void lists_keep_what_is_well_formed(void **state) {
  static const struct form forms[] = {
      {";;net:h:01;;", "net:h:1"},
      {"net:h:bad;unix:/p~noauth;ws:h:1;net:h:2", "unix:/p~noauth;net:h:2"},
      {"foo;bar:", "foo;bar:"},
      {"bt:aa!:b!b!!c!~:d~x-1", "bt:aa!:bb!!c!~:d~x-1"},
      {"foo!:bar", "foo:bar"},
      {"tunnel:@" KEY ".ed25519:@" KEY ".ed25519" SHS,
       "tunnel:@" KEY ".ed25519:@" KEY ".ed25519" SHS},
  };
  (void)state;
  CHECK(forms, MS_ADDR_DIAL);
}

static void stacks_and_streams_have_forms_too(void **state) {
  static const struct form listen[] = {
      {"net~shs:", "net~shs"},        {"net::0~shs", "net::0~shs"},
      {"ws~shs", "ws~shs"},           {"wss~shs", "wss~shs"},
      {"onion~shs", "onion~shs"},     {"net:[::]:3333" SHS, "net::::3333" SHS},
      {"unix~noauth", "unix~noauth"}, {"unix:/p~noauth", "unix:/p~noauth"},
      {"unix~ws~shs", "unix~ws~shs"},
  };
  static const struct form stream[] = {
      {"net:192.0.2.1:5678~shs:", "net:192.0.2.1:5678~shs"},
      {"net:192.0.2.1:5678~shs:" KEY, "net:192.0.2.1:5678" SHS},
  };
  (void)state;
  CHECK(listen, MS_ADDR_LISTEN);
  CHECK(stream, MS_ADDR_STREAM);
}

static void safe_text_has_no_secret(void **state) {
  ms_addr *addr = parse("wss://u:p@h/x" SHS ":" SEED ";net:h:1~shs9:" KEY ":" SEED, MS_ADDR_DIAL);
  char buf[512];
  (void)state;
  assert_int_equal(ms__addr_format_safe(addr, 0, buf, sizeof buf), strlen("wss://h/x" SHS));
  assert_string_equal(buf, "wss://h/x" SHS);
  (void)ms__addr_format_safe(addr, SIZE_MAX, buf, sizeof buf);
  assert_string_equal(buf, "wss://h/x" SHS ";net:h:1~shs9");
  (void)ms_addr_format(addr, 0, buf, sizeof buf);
  assert_string_equal(buf, "wss://u:p@h/x" SHS ":" SEED);
  ms_addr_free(addr);
}

static void text_is_cut_as_snprintf_does(void **state) {
  static const char whole[] = "net:h:1~noauth;net:h:2~noauth";
  ms_addr *addr = parse(whole, MS_ADDR_DIAL);
  (void)state;
  assert_int_equal(ms_addr_format(addr, SIZE_MAX, NULL, 0), strlen(whole));
  for (size_t size = 1; size <= sizeof whole + 1; size++) {
    char buf[64];
    size_t kept = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
    memset(buf, '#', sizeof buf);
    assert_int_equal(ms_addr_format(addr, SIZE_MAX, buf, size), strlen(whole));
    assert_memory_equal(buf, whole, kept);
    assert_int_equal(buf[kept], '\0');
    for (size_t i = kept + 1; i < sizeof buf; i++)
      assert_int_equal(buf[i], '#');
  }
  ms_addr_free(addr);
}

static void what_is_not_there_is_empty(void **state) {
  ms_addr *addr = parse("net:h:bad;net:h:1", MS_ADDR_DIAL);
  char buf[64] = "x";
  (void)state;
  assert_int_equal(ms_addr_count(addr), 2);
  assert_null(ms_addr_at(addr, 2));
  assert_int_equal(ms_addr_format(addr, 0, buf, sizeof buf), 0); /* malformed */
  assert_string_equal(buf, "");
  assert_int_equal(ms_addr_format(addr, 2, buf, sizeof buf), 0);
  assert_int_equal(ms_addr_format(addr, 1, buf, sizeof buf), strlen("net:h:1"));
  ms_addr_free(addr);
  ms_addr_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(net_is_written_bare),
      cmocka_unit_test(ws_is_written_as_a_url),
      cmocka_unit_test(keys_are_written_in_standard_base64),
      cmocka_unit_test(lists_keep_what_is_well_formed),
      cmocka_unit_test(stacks_and_streams_have_forms_too),
      cmocka_unit_test(safe_text_has_no_secret),
      cmocka_unit_test(text_is_cut_as_snprintf_does),
      cmocka_unit_test(what_is_not_there_is_empty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
