/* Scuttlebutt's legacy addresses and invites, as they are in docs/behaviours.md, section 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "multiserver.h"

#define KEY  "blgG17hU/z/7Iq6/r04/S+EvjI3ylk1HV+vAa8JLmo0="
#define FEED "@" KEY ".ed25519"
#define SEED "1111111111111111111111111111111111111111114="

static void what_is_legacy_is_translated(void **state) {
  static const struct {
    const char *legacy, *address;
  } rows[] = {
      {"wx.larpa.net:8009:" FEED, "net:wx.larpa.net:8009~shs:" KEY},
      {"wx.larpa.net:" FEED, "net:wx.larpa.net:8008~shs:" KEY},
      {"192.0.2.1:8008:" FEED, "net:192.0.2.1:8008~shs:" KEY},
      {"host:08009:@" KEY, "net:host:8009~shs:" KEY},
      {"fe80::1%wlan0:8008:" FEED, "net:fe80::1%wlan0:8008~shs:" KEY},
      {"2001:db8::5:8009:" FEED, "net:2001:db8::5:8009~shs:" KEY},
      {"::1:" FEED, "net:::1:8008~shs:" KEY},
      {"2001:db8::5:" FEED, "net:2001:db8::5:8008~shs:" KEY},
      {"[::1]:8009:" FEED, "net:::1:8009~shs:" KEY},
      {"abc.onion:8008:" FEED, "onion:abc.onion:8008~shs:" KEY},
      {"abc.onion:" FEED, "onion:abc.onion:8008~shs:" KEY},
      {"host:8008:" FEED "~" SEED, "net:host:8008~shs:" KEY ":" SEED},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[512];
    ms_addr *addr;
    ms_error err;
    if (ms_addr_from_legacy(&addr, rows[i].legacy, strlen(rows[i].legacy), &err) < 0)
      fail_msg("%s: %s", rows[i].legacy, err.message);
    (void)ms_addr_format(addr, SIZE_MAX, text, sizeof text);
    assert_string_equal(text, rows[i].address);
    ms_addr_free(addr);
  }
}

static void what_is_not_is_told_with_its_place(void **state) {
  static const struct {
    const char *legacy;
    size_t offset;
    const char *why;
  } rows[] = {
      {"", 0, "empty"},
      {"host:8008", 0, "no key"},
      {FEED, 0, "':' stands before the key"},
      {":" FEED, 0, "host is missing"},
      {":8008:" FEED, 0, "host is missing"},
      {"host:0:" FEED, 5, "port 0"},
      {"a host:8008:" FEED, 0, "spaces"},
      {"host:8008:@abc.ed25519", 11, "32 bytes of base64"},
      {"host:8008:" FEED ":" SEED, 11, "32 bytes of base64"},
      {"host:8008:" FEED "~abc", 10 + sizeof FEED, "seed is not 32 bytes"},
      {"host:8008:" FEED ";b:8008:" FEED, 0, "one alone"},
      {"net:host:8008~shs:" KEY, 0, "no key"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ms_addr *addr;
    ms_error err;
    int r = ms_addr_from_legacy(&addr, rows[i].legacy, strlen(rows[i].legacy), &err);
    assert_int_equal(r, MS_EADDRESS);
    assert_null(addr);
    if (err.offset != rows[i].offset || !strstr(err.message, rows[i].why))
      fail_msg("%s: byte %zu, %s; not byte %zu, %s", rows[i].legacy, err.offset, err.message,
               rows[i].offset, rows[i].why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_legacy_is_translated),
      cmocka_unit_test(what_is_not_is_told_with_its_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
