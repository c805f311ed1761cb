/* Blocks and edges: room, compaction, settling, wiping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conn/edge.h"

enum { LARGEST = 69632 };

/* An allocator that keeps what is freed, to be looked at. */
struct memory {
  ms_allocator allocator;
  size_t taken, given;
  bool none;
  uint8_t *freed; /* the last */
};

static void *take(void *user, size_t size) {
  struct memory *m = user;
  if (m->none) return NULL;
  m->taken++;
  return malloc(size);
}

static void give(void *user, void *p) {
  struct memory *m = user;
  if (!p) return;
  m->given++;
  free(m->freed);
  m->freed = p;
}

static void begin(struct memory *m, struct ms__pool *pool) {
  memset(m, 0, sizeof *m);
  m->allocator = (ms_allocator){take, give, m};
  ms__pool_init(pool, &m->allocator, LARGEST);
}

static void end(struct memory *m, struct ms__pool *pool) {
  assert_int_equal(pool->out, 0);
  assert_int_equal(pool->out_bytes, 0);
  ms__pool_done(pool);
  assert_int_equal(m->taken, m->given);
  free(m->freed);
}

static void put(struct ms__pool *pool, struct ms__edge *e, const char *text) {
  size_t n = strlen(text);
  struct ms__dst d;
  assert_true(ms__edge_open(pool, e, n));
  d = ms__edge_tail(e);
  assert_true(d.n >= n);
  memcpy(d.p, text, n);
  ms__edge_put(e, n);
}

static void expect(const struct ms__edge *e, const char *text) {
  struct ms__src s = ms__edge_bytes(e);
  assert_int_equal(s.n, strlen(text));
  if (s.n) assert_memory_equal(s.p, text, s.n);
}

static void blocks_come_in_classes(void **state) {
  static const uint32_t rows[][2] = {
      {1, 256},       {256, 256},     {257, 1024},    {4096, 4096},   {4097, 16384},
      {16385, 32768}, {32769, 69632}, {69632, 69632}, {69633, 69633}, {131086, 131086}};
  struct memory m;
  struct ms__pool pool;
  (void)state;
  begin(&m, &pool);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_int_equal(ms__pool_class(&pool, rows[i][0]), rows[i][1]);
  end(&m, &pool);
}

static void the_last_block_given_is_the_first_taken(void **state) {
  struct memory m;
  struct ms__pool pool;
  uint8_t *a, *b;
  (void)state;
  begin(&m, &pool);
  a = ms__pool_take(&pool, 4096);
  b = ms__pool_take(&pool, 4096);
  ms__pool_give(&pool, a, 4096, 0);
  ms__pool_give(&pool, b, 4096, 0);
  assert_ptr_equal(ms__pool_take(&pool, 4096), b);
  assert_ptr_equal(ms__pool_take(&pool, 4096), a);
  assert_int_equal(m.taken, 2);
  ms__pool_give(&pool, a, 4096, 0);
  ms__pool_give(&pool, b, 4096, 0);
  end(&m, &pool);
}

static void a_burst_is_given_back(void **state) {
  enum { BURST = 1000 };
  static uint8_t *blocks[BURST];
  struct memory m;
  struct ms__pool pool;
  (void)state;
  begin(&m, &pool);
  for (size_t i = 0; i < BURST; i++)
    blocks[i] = ms__pool_take(&pool, LARGEST);
  for (size_t i = 0; i < BURST; i++)
    ms__pool_give(&pool, blocks[i], LARGEST, 0);
  assert_true(BURST - m.given <= (1 << 20) / LARGEST + 1); /* at most 1 MiB a class is kept */
  end(&m, &pool);
}

static void an_edge_keeps_order_and_counts_changes(void **state) {
  struct memory m;
  struct ms__pool pool;
  struct ms__edge e = {.capacity = LARGEST};
  (void)state;
  begin(&m, &pool);
  put(&pool, &e, "hello ");
  put(&pool, &e, "world");
  assert_int_equal(e.changes, 2);
  expect(&e, "hello world");
  ms__edge_take(&e, 6);
  expect(&e, "world");
  assert_int_equal(ms__edge_room(&e), LARGEST - 5); /* wherever the bytes lie */
  assert_int_equal(ms__edge_tail(&e).n, LARGEST - 11);
  ms__edge_compact(&e);
  expect(&e, "world");
  assert_int_equal(ms__edge_tail(&e).n, LARGEST - 5);
  ms__edge_finish(&e);
  ms__edge_finish(&e);
  assert_int_equal(e.changes, 4);
  ms__edge_take(&e, 5);
  assert_int_equal(e.off, 0);
  ms__edge_settle(&pool, &e);
  assert_null(e.block);
  end(&m, &pool);
}

static void opening_compacts_when_the_tail_is_short(void **state) {
  struct memory m;
  struct ms__pool pool;
  struct ms__edge e = {.capacity = LARGEST};
  (void)state;
  begin(&m, &pool);
  assert_true(ms__edge_open(&pool, &e, 1));
  memset(e.block, 'x', LARGEST);
  ms__edge_put(&e, LARGEST - 10);
  ms__edge_take(&e, 1000);
  assert_true(ms__edge_open(&pool, &e, 10));
  assert_int_equal(e.off, 1000);
  assert_true(ms__edge_open(&pool, &e, 11));
  assert_int_equal(e.off, 0);
  assert_int_equal(ms__edge_tail(&e).n, 1010);
  ms__edge_drop(&pool, &e);
  end(&m, &pool);
}

static void settling_moves_a_small_remainder_only(void **state) {
  static const struct {
    size_t length;
    uint32_t size;
  } rows[] = {{0, 0},         {1, 256},       {256, 256},     {257, 1024},   {4097, 16384},
              {16384, 16384}, {16385, 32768}, {32769, 69632}, {69632, 69632}};
  struct memory m;
  struct ms__pool pool;
  (void)state;
  begin(&m, &pool);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ms__edge e = {.capacity = LARGEST};
    assert_true(ms__edge_open(&pool, &e, 1));
    memset(e.block, (int)i, LARGEST);
    ms__edge_put(&e, rows[i].length);
    ms__edge_settle(&pool, &e);
    assert_int_equal(e.size, rows[i].size);
    assert_int_equal(e.len, rows[i].length);
    for (size_t k = 0; k < e.len; k++)
      assert_int_equal(ms__edge_bytes(&e).p[k], i);
    assert_true(ms__edge_open(&pool, &e, 1) && e.size == LARGEST); /* receives again */
    assert_int_equal(e.len, rows[i].length);
    ms__edge_drop(&pool, &e);
  }
  end(&m, &pool);
}

static void settling_needs_no_memory(void **state) {
  struct memory m;
  struct ms__pool pool;
  struct ms__edge e = {.capacity = LARGEST};
  (void)state;
  begin(&m, &pool);
  put(&pool, &e, "abc");
  m.none = true;
  ms__edge_settle(&pool, &e);
  expect(&e, "abc");
  assert_int_equal(e.size, LARGEST);
  m.none = false;
  ms__edge_drop(&pool, &e);
  end(&m, &pool);
}

static void opening_can_fail_and_loses_nothing(void **state) {
  struct memory m;
  struct ms__pool pool;
  struct ms__edge e = {.capacity = LARGEST};
  (void)state;
  begin(&m, &pool);
  put(&pool, &e, "abc");
  ms__edge_settle(&pool, &e);
  ms__pool_done(&pool); /* no free block is left */
  m.none = true;
  assert_false(ms__edge_open(&pool, &e, 1));
  expect(&e, "abc");
  m.none = false;
  ms__edge_drop(&pool, &e);
  end(&m, &pool);
}

static size_t count(const uint8_t *p, size_t n, uint8_t byte) {
  size_t k = 0;
  for (size_t i = 0; i < n; i++)
    k += p[i] == byte;
  return k;
}

/* Beyond the largest class a block goes straight back to the allocator, where it can be seen. */
static void a_secret_edge_is_wiped_over_all_it_used(void **state) {
  enum { SIZE = LARGEST + 1, USED = 5000 };
  struct memory m;
  struct ms__pool pool;
  struct ms__edge e = {.capacity = SIZE, .secret = true};
  (void)state;
  begin(&m, &pool);
  assert_true(ms__edge_open(&pool, &e, 1));
  memset(e.block, 'u', SIZE);
  memset(ms__edge_tail(&e).p, 's', USED);
  ms__edge_put(&e, USED);
  ms__edge_take(&e, USED); /* the front moves back, the mark stays */
  ms__edge_settle(&pool, &e);
  assert_non_null(m.freed);
  assert_int_equal(count(m.freed, SIZE, 's'), 0);
  assert_int_equal(count(m.freed, SIZE, 'u'), SIZE - USED); /* not over its size */
  end(&m, &pool);
}

static void moving_and_dropping_wipe_too(void **state) {
  enum { SIZE = LARGEST + 1, USED = 200 };
  struct memory m;
  struct ms__pool pool;
  struct ms__edge e = {.capacity = SIZE, .secret = true};
  (void)state;
  begin(&m, &pool);
  assert_true(ms__edge_open(&pool, &e, 1));
  memset(e.block, 'u', SIZE);
  memset(ms__edge_tail(&e).p, 's', USED);
  ms__edge_put(&e, USED);
  ms__edge_settle(&pool, &e); /* moves to a block of 256 */
  assert_int_equal(e.size, 256);
  assert_int_equal(count(m.freed, SIZE, 's'), 0);
  assert_true(ms__edge_open(&pool, &e, 1)); /* and back */
  assert_int_equal(count(ms__edge_bytes(&e).p, USED, 's'), USED);
  ms__edge_drop(&pool, &e);
  assert_int_equal(count(m.freed, USED, 's'), 0);
  end(&m, &pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_come_in_classes),
      cmocka_unit_test(the_last_block_given_is_the_first_taken),
      cmocka_unit_test(a_burst_is_given_back),
      cmocka_unit_test(an_edge_keeps_order_and_counts_changes),
      cmocka_unit_test(opening_compacts_when_the_tail_is_short),
      cmocka_unit_test(settling_moves_a_small_remainder_only),
      cmocka_unit_test(settling_needs_no_memory),
      cmocka_unit_test(opening_can_fail_and_loses_nothing),
      cmocka_unit_test(a_secret_edge_is_wiped_over_all_it_used),
      cmocka_unit_test(moving_and_dropping_wipe_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
