/* What a connection costs: calls, buffers, memory; and what it does where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lone.h"
#include "world.h"

static unsigned decodes, encodes;

static int counted_decode(void *st, struct ms__port *p) {
  decodes++;
  return toy_lp.decode(st, p);
}

static int counted_encode(void *st, struct ms__port *p) {
  encodes++;
  return toy_lp.encode(st, p);
}

static void a_message_costs_two_calls_a_layer(void **state) {
  static const uint8_t ping[] = {0, 7, 0, 5, 0, 3, 'a', 'b', 'c'};
  struct ms__layer counted = toy_lp;
  struct lone l;
  (void)state;
  counted.decode = counted_decode;
  counted.encode = counted_encode;
  lone_begin(&l, SERVER, LAYERS(&counted, &counted, &counted), NULL, BLOCK);
  l.echo = true;
  lone_run(&l);
  for (unsigned i = 0; i < 10; i++) {
    decodes = encodes = 0;
    lone_put(&l, ping, sizeof ping);
    lone_run(&l);
    lone_expect(&l, (const char *)ping, sizeof ping);
    assert_int_equal(decodes, 3);
    assert_int_equal(encodes, 3);
    assert_int_equal(l.env.pool.out, 0); /* a connection at rest owns no buffer */
  }
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static size_t held(const struct ms__edge *edges, size_t n) {
  size_t bytes = 0;
  for (size_t i = 0; i <= n; i++)
    bytes += edges[i].block ? edges[i].size : 0;
  return bytes;
}

/* However deep the stack: one block on the reading side, two on the writing side, partial frames
 * beside. */
static void a_stalled_connection_holds_little(void **state) {
  enum { DEEP = 6, PARTIAL = 1024, FRAME = 400 };
  struct lone l;
  uint8_t frame[FRAME] = {0};
  (void)state;
  for (unsigned i = 0; i < DEEP; i++) { /* frames in frames */
    frame[2 * i] = (uint8_t)((FRAME - 2 * i - 2) >> 8);
    frame[2 * i + 1] = (uint8_t)(FRAME - 2 * i - 2);
  }
  lone_begin(&l, SERVER, LAYERS(&toy_lp, &toy_lp, &toy_lp, &toy_lp, &toy_lp, &toy_lp), NULL,
             MS__BLOCK);
  lone_run(&l);
  l.paused = true;
  l.wire.stuck = true;
  for (unsigned i = 0; i < 600; i++)
    lone_put(&l, frame, sizeof frame);
  lone_run(&l);
  assert_true(l.to_us.length > 0); /* it has stopped reading */
  assert_true(held(l.conn->in, l.conn->n) <= MS__BLOCK + DEEP * PARTIAL);
  for (unsigned i = 0; i < 1000; i++) {
    (void)ms_conn_write(l.conn, frame, sizeof frame);
    lone_run(&l);
  }
  assert_true(held(l.conn->out, l.conn->n) + l.wire.flight.size <= 2 * MS__BLOCK + DEEP * PARTIAL);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void readable_waits_for_what_is_needed(void **state) {
  enum { NEED = 65536 };
  static uint8_t bytes[NEED + 100];
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  lone_run(&l);
  ms_conn_need(l.conn, NEED);
  lone_put(&l, bytes, NEED - 1);
  lone_run(&l);
  assert_int_equal(l.read_n, 0);
  lone_put(&l, bytes, 2);
  lone_run(&l);
  assert_int_equal(l.read_n, NEED + 1);
  lone_put(&l, bytes, 10); /* an end shows what there is */
  l.to_us.fin = true;
  lone_run(&l);
  assert_int_equal(l.read_n, NEED + 11);
  assert_int_equal(l.ends, 1);
  ms_conn_end(l.conn);
  lone_run(&l);
  assert_int_equal(l.error, 0);
  lone_end(&l);
}

/* What is asked for inside the callback may be there already. */
static void a_need_may_be_met_at_once(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  l.head = 4;
  l.body = 100;
  lone_put(&l,
           "head0123456789012345678901234567890123456789012345678901234567890123456789"
           "012345678901234567890123456789",
           104);
  lone_run(&l);
  assert_int_equal(l.readables, 2);
  assert_int_equal(l.read_n, 104);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void a_reservation_that_cannot_be_is_not_waited_for(void **state) {
  struct lone l;
  uint8_t *room;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  lone_run(&l);
  assert_int_equal(ms_conn_reserve(l.conn, &room, 1 << 20), 0);
  lone_run(&l); /* which fails when it does not come to rest */
  assert_int_equal(l.writables, 0);
  l.wire.stuck = true;
  while (ms_conn_write(l.conn, "0123456789", 10) == 10)
    ;
  lone_run(&l);
  l.wire.stuck = false;
  lone_run(&l);
  assert_int_equal(l.writables, 1);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

/* With nothing buffered nobody can say when there is memory again. */
static void a_write_without_memory_is_not_waited_for(void **state) {
  struct lone l;
  uint8_t *room;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  lone_run(&l);
  l.env.pool.limit = 1;
  assert_int_equal(ms_conn_write(l.conn, "0123456789", 10), MS_ENOMEM);
  assert_int_equal(ms_conn_write(l.conn, (const uint8_t[BLOCK + 1]){0}, BLOCK + 1), MS_ENOMEM);
  assert_int_equal(ms_conn_reserve(l.conn, &room, 1), 0);
  assert_false(ms_conn_write_blocked(l.conn));
  lone_run(&l); /* which fails when it does not come to rest */
  assert_int_equal(l.writables, 0);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void a_message_without_memory_is_not_waited_for(void **state) {
  static const uint8_t bytes[2 * BLOCK];
  struct lone l;
  (void)state;
  lone_begin_two(&l, NULL);
  l.env.pool.limit = 1;
  for (size_t length = 0; length <= sizeof bytes; length += BLOCK) {
    ms_message m = {bytes, length, 2, true};
    assert_int_equal(ms_conn_write_message(l.conn, &m), MS_ENOMEM);
    assert_false(ms_conn_write_blocked(l.conn));
  }
  lone_run(&l);
  assert_int_equal(l.writables, 0);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

/* What is buffered lies in a small block, and there is no large one to move it to. */
static void without_memory_a_write_waits_for_what_is_buffered(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_lp), NULL, BLOCK);
  lone_run(&l);
  l.wire.stuck = true;
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(ms_conn_write(l.conn, "0123456789", 10), 10);
    lone_run(&l);
  }
  l.env.pool.limit = 1;
  assert_int_equal(ms_conn_write(l.conn, "0123456789", 10), 0);
  assert_true(ms_conn_write_blocked(l.conn));
  l.env.pool.limit = 0;
  l.wire.stuck = false;
  lone_run(&l);
  assert_int_equal(l.writables, 1);
  assert_false(ms_conn_write_blocked(l.conn));
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void a_connection_is_small(void **state) {
  size_t size =
      sizeof(ms_conn) + sizeof(struct ms__slot) + 4 * sizeof(struct ms__edge) + ms__shs.state;
  (void)state;
  if (size > 720) fail_msg("net~shs at rest takes %zu bytes", size);
}

/* ---- Memory ---- */

/* Whole exchanges of several worlds, each allocation of theirs failing once. */
static void every_allocation_fails_once(void **state) {
  static struct world w;
  unsigned long runs = 0;
  uint64_t seed = 0;
  (void)state;
  for (unsigned worlds = 0; worlds < 60; seed++) {
    uint64_t n = 1;
    bool hit;
    world_make(&w, seed);
    if (w.mode != WHOLE || w.sides[0].n < 2) {
      world_free(&w);
      continue;
    }
    world_free(&w);
    worlds++;
    do {
      world_make(&w, seed);
      w.mode = NO_MEMORY;
      w.memory.fails_at = n;
      if (!world_run(&w)) {
        char what[512];
        world_describe(&w, what, sizeof what);
        fail_msg("%s, allocation %llu: %s", what, (unsigned long long)n, w.wrong);
      }
      hit = w.memory.count >= n;
      runs++;
      n += 1 + n / 40; /* the first ones all, then every so many */
    } while (hit);
  }
  printf("%lu allocations failed\n", runs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_message_costs_two_calls_a_layer),
      cmocka_unit_test(a_stalled_connection_holds_little),
      cmocka_unit_test(readable_waits_for_what_is_needed),
      cmocka_unit_test(a_need_may_be_met_at_once),
      cmocka_unit_test(a_reservation_that_cannot_be_is_not_waited_for),
      cmocka_unit_test(a_write_without_memory_is_not_waited_for),
      cmocka_unit_test(a_message_without_memory_is_not_waited_for),
      cmocka_unit_test(without_memory_a_write_waits_for_what_is_buffered),
      cmocka_unit_test(a_connection_is_small),
      cmocka_unit_test(every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
