/* What one address may take, and how fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/mem.h"
#include "endpoint/limits.h"

enum { MANY = 20000 };

static struct ms__limits limits;

static void begin(uint32_t per_address, uint32_t per_second) {
  ms_limits max = {.per_address = per_address, .per_second = per_second};
  assert_true(sodium_init() >= 0);
  memset(&limits, 0, sizeof limits);
  ms__limits_init(&limits, &ms__default_allocator, &max);
}

static enum ms__verdict enter(const char *text, uint64_t now, struct ms__source **source) {
  union ms__inet address;
  int family = strchr(text, ':') ? AF_INET6 : AF_INET;
  assert_true(ms__inet_read(&address, family, text, strlen(text)));
  return ms__limits_enter(&limits, &address, now, MS__SESSION, source);
}

static void so_many_of_one_address(void **state) {
  struct ms__source *sources[4], *other;
  (void)state;
  begin(3, UINT32_MAX);
  for (int i = 0; i < 3; i++)
    assert_int_equal(enter("192.0.2.1", 0, &sources[i]), MS__ADMITTED);
  assert_int_equal(enter("192.0.2.1", 0, &sources[3]), MS__TOO_MANY);
  assert_null(sources[3]);
  assert_int_equal(enter("::ffff:192.0.2.1", 0, &sources[3]), MS__TOO_MANY); /* it is the same */
  assert_int_equal(enter("192.0.2.2", 0, &other), MS__ADMITTED);
  ms__limits_leave(&limits, sources[0], MS__SESSION);
  assert_int_equal(enter("192.0.2.1", 0, &sources[0]), MS__ADMITTED);
  assert_int_equal(enter("192.0.2.1", 0, &sources[3]), MS__TOO_MANY);
  ms__limits_done(&limits);
}

static void a_56_is_one_address(void **state) {
  struct ms__source *g;
  (void)state;
  begin(1, UINT32_MAX);
  assert_int_equal(enter("2001:db8:0:100::1", 0, &g), MS__ADMITTED);
  assert_int_equal(enter("2001:db8:0:1ff:ffff::1", 0, &g), MS__TOO_MANY);
  assert_int_equal(enter("2001:db8:0:200::1", 0, &g), MS__ADMITTED);
  ms__limits_done(&limits);
}

static void so_many_in_a_second(void **state) {
  struct ms__source *g;
  (void)state;
  begin(UINT32_MAX, 4);
  for (int i = 0; i < 4; i++)
    assert_int_equal(enter("192.0.2.1", 1000, &g), MS__ADMITTED);
  assert_int_equal(enter("192.0.2.1", 1000, &g), MS__TOO_FAST);
  assert_int_equal(enter("192.0.2.1", 1249, &g), MS__TOO_FAST);
  assert_int_equal(enter("192.0.2.1", 1250, &g), MS__ADMITTED); /* a quarter of a second each */
  assert_int_equal(enter("192.0.2.1", 1250, &g), MS__TOO_FAST);
  assert_int_equal(enter("192.0.2.2", 1250, &g), MS__ADMITTED);
  for (int i = 0; i < 4; i++)
    assert_int_equal(enter("192.0.2.1", 100000, &g), MS__ADMITTED); /* not more are saved up */
  assert_int_equal(enter("192.0.2.1", 100000, &g), MS__TOO_FAST);
  ms__limits_done(&limits);
}

static void loopback_and_unix_are_not_counted(void **state) {
  union ms__inet local = {.family = AF_UNIX};
  struct ms__source *g;
  (void)state;
  begin(1, 1);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(enter("127.0.0.2", 0, &g), MS__ADMITTED);
    assert_int_equal(enter("::1", 0, &g), MS__ADMITTED);
    assert_int_equal(ms__limits_enter(&limits, &local, 0, MS__SESSION, &g), MS__ADMITTED);
    assert_null(g);
  }
  assert_int_equal(limits.sources, 0);
  ms__limits_done(&limits);
}

/* Whoever was here once is forgotten, so that no crowd of addresses fills the memory. */
static void addresses_are_forgotten(void **state) {
  struct ms__source *g, *stays;
  char text[32];
  size_t most = 0;
  (void)state;
  begin(4, 4);
  assert_int_equal(enter("198.51.100.1", 0, &stays), MS__ADMITTED);
  for (unsigned i = 0; i < MANY; i++) {
    (void)snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
    assert_int_equal(enter(text, i, &g), MS__ADMITTED); /* a thousand a second */
    ms__limits_leave(&limits, g, MS__SESSION);
    if (limits.sources > most) most = limits.sources;
  }
  assert_in_range(most, 900, 1100); /* those of the last second */
  for (int i = 0; i < 2 * (int)most; i++) {
    assert_int_equal(enter("198.51.100.1", MANY + 10000 + (uint64_t)i * 1000, &g), MS__ADMITTED);
    ms__limits_leave(&limits, g, MS__SESSION);
  }
  assert_int_equal(limits.sources, 1);
  ms__limits_leave(&limits, stays, MS__SESSION);
  ms__limits_done(&limits);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(so_many_of_one_address),
      cmocka_unit_test(a_56_is_one_address),
      cmocka_unit_test(so_many_in_a_second),
      cmocka_unit_test(loopback_and_unix_are_not_counted),
      cmocka_unit_test(addresses_are_forgotten),
  };
  return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
