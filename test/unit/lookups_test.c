/* Look-ups by the system's resolver: each that is not cancelled is told once, those that are,
 * never, and nothing is left of either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/lookups.h"
#include "rng.h"

enum { LOOKUPS = 200, ROUNDS = 5 };

/* No name: its first label is too long. Nobody's server is asked for it. */
static const char nobody[] =
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid";

static struct {
  struct ms__loop loop;
  uv_loop_t uv;
  struct rng rng;
  unsigned told, cancelled;
} world;

static struct asked {
  struct ms__lookup *lookup; /* NULL: told, or cancelled */
  bool told;
} asked[LOOKUPS];

static void cancel(struct asked *a) {
  if (!a->lookup) return;
  ms__lookup_cancel(&world.loop, a->lookup);
  a->lookup = NULL;
  world.cancelled++;
}

static void on_found(void *user, int error, int sys, struct addrinfo *found) {
  struct asked *a = user;
  (void)sys;
  assert_non_null(a->lookup);
  assert_false(a->told);
  assert_true(error ? !found : found != NULL);
  if (found) freeaddrinfo(found);
  a->told = true;
  a->lookup = NULL;
  world.told++;
  if (rng_once_in(&world.rng, 4)) cancel(&asked[rng_below(&world.rng, LOOKUPS)]);
}

static void on_loop_closed(struct ms__loop *loop) {
  (void)loop;
}

static void begin(void) {
  memset(&world, 0, sizeof world);
  memset(asked, 0, sizeof asked);
  assert_int_equal(uv_loop_init(&world.uv), 0);
  assert_int_equal(ms__loop_init(&world.loop, &world.uv, &ms__default_allocator, MS__BLOCK), 0);
  world.loop.on_closed = on_loop_closed;
}

static void end(void) {
  ms__lookups_close(&world.loop);
  ms__loop_close(&world.loop);
  assert_int_equal(uv_run(&world.uv, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&world.uv), 0);
}

static void told_or_cancelled(void **state) {
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    begin();
    rng_begin(&world.rng);
    for (size_t i = 0; i < LOOKUPS; i++) {
      asked[i].lookup = ms__lookup_begin(
          &world.loop, rng_once_in(&world.rng, 2) ? "127.0.0.1" : nobody, on_found, &asked[i]);
      assert_non_null(asked[i].lookup);
      if (rng_once_in(&world.rng, 4)) cancel(&asked[rng_below(&world.rng, i + 1)]);
      if (rng_once_in(&world.rng, 8)) (void)uv_run(&world.uv, UV_RUN_NOWAIT);
    }
    (void)uv_run(&world.uv, UV_RUN_DEFAULT); /* ends when nobody waits any more */
    assert_int_equal(world.told + world.cancelled, LOOKUPS);
    end();
  }
}

/* The loop ends while threads still look up: they outlive it. */
static void the_loop_does_not_wait(void **state) {
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    begin();
    for (size_t i = 0; i < LOOKUPS; i++)
      asked[i].lookup = ms__lookup_begin(&world.loop, nobody, on_found, &asked[i]);
    for (size_t i = 0; i < LOOKUPS; i++)
      cancel(&asked[i]);
    assert_int_equal(world.told, 0);
    end();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(told_or_cancelled),
      cmocka_unit_test(the_loop_does_not_wait),
  };
  return cmocka_run_group_tests_name("lookups", tests, NULL, NULL);
}
