/* The heap of alarms against a plain list, in random order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conn/alarms.h"
#include "rng.h"

enum { ALARMS = 200, ROUNDS = 20000, MANY = 20000 };

static struct ms__alarm alarms[MANY];

/* The earliest of those that are set. */
static uint64_t earliest(const bool *set) {
  uint64_t at = UINT64_MAX;
  for (size_t i = 0; i < ALARMS; i++)
    if (set[i] && alarms[i].at < at) at = alarms[i].at;
  return at;
}

static void set_and_cleared_at_random(void **state) {
  struct ms__alarms all = {NULL};
  bool set[ALARMS] = {false};
  struct rng rng;
  (void)state;
  memset(alarms, 0, sizeof alarms);
  rng_begin(&rng);
  for (int i = 0; i < ROUNDS; i++) {
    size_t n = rng_below(&rng, ALARMS);
    if (rng_below(&rng, 3) == 0 && all.first) n = (size_t)(all.first - alarms); /* as time does */
    ms__alarm_clear(&all, &alarms[n]); /* also where it is not set */
    set[n] = !set[n];
    if (set[n]) ms__alarm_set(&all, &alarms[n], rng_below(&rng, 100));
    assert_true((all.first ? all.first->at : UINT64_MAX) == earliest(set));
  }
  for (size_t i = 0; i < ALARMS; i++)
    ms__alarm_clear(&all, &alarms[i]);
  assert_null(all.first);
}

/* Times that only grow, as deadlines of those who come one after the other. */
static void in_order(void **state) {
  struct ms__alarms all = {NULL};
  (void)state;
  memset(alarms, 0, sizeof alarms);
  for (size_t i = 0; i < MANY; i++)
    ms__alarm_set(&all, &alarms[i], i / 2);
  for (size_t i = 1; i < MANY; i += 2) /* every second one has come in */
    ms__alarm_clear(&all, &alarms[i]);
  for (size_t i = 0; i < MANY; i += 2) {
    assert_ptr_equal(all.first, &alarms[i]);
    ms__alarm_clear(&all, all.first);
  }
  assert_null(all.first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(set_and_cleared_at_random),
      cmocka_unit_test(in_order),
  };
  return cmocka_run_group_tests_name("alarms", tests, NULL, NULL);
}
