/* How connections end, and what an end says: peers without half-close, what the other side has
 * taken, and what came before a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lone.h"

/* The application takes all the messages there are. */
static void consume_all(struct lone *l) {
  ms_message m;
  while (ms_conn_message(l->conn, &m) == 1)
    ms_conn_consume_message(l->conn, m.length);
}

/* ---- An end without half-close ---- */

/* It may come before our set-up is over. */
static void an_end_during_set_up_is_kept(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_two, &toy_ask), NULL, BLOCK);
  lone_put(&l, "two+try?", 8);
  lone_put(&l, "\x02\x01\0\x07UP \r\n\r\n", 11); /* toy_ask's head, and then the end */
  lone_put(&l, "\x05\x01\0\0", 4);
  lone_run(&l);
  assert_int_equal(l.opens, 1);
  assert_int_equal(l.ends, 1);
  assert_int_equal(l.closes, 0);
  ms_conn_end(l.conn);
  lone_run(&l);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, 0);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* What came before the peer's end, in the same read, is answered before ours. */
static void what_came_with_an_end_is_answered(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, &toy_lp);
  l.echo = true;
  lone_put(&l, "\x02\x01\0\x03\0\1x\x05\x01\0\0", 11);
  lone_run(&l);
  assert_int_equal(l.ends, 1);
  lone_expect(&l, "\x02\x01\0\x03\0\1x", 7);
  lone_wait(&l, 4000);
  assert_int_equal(ms_conn_write(l.conn, "y", 1), 1); /* a late word is one, and buys time */
  lone_wait(&l, 4000);
  lone_expect(&l, "\x02\x01\0\x03\0\1y", 7);
  assert_int_equal(l.closes, 0);
  ms_conn_end(l.conn);
  lone_run(&l);
  lone_expect(&l, "\x05\x01\0\0", 4);
  assert_int_equal(l.error, 0);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* A wire may be so as well, as what ends both ways at once. */
static void a_wire_without_half_close_asks_for_our_end(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  l.wire.wire.flags = MS__WIRE_NO_HALF;
  l.echo = true;
  lone_put(&l, "x", 1);
  l.to_us.fin = true;
  lone_run(&l);
  assert_false(ms_conn_half_closes(l.conn));
  assert_int_equal(l.ends, 1);
  lone_expect(&l, "x", 1);
  lone_wait(&l, 6000); /* the application says no end */
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_ETIMEDOUT);
  lone_run(&l);
  lone_end(&l);
}

/* Below the end layer nobody asks: what is not said by then is not said any more. */
static void such_a_wire_below_the_end_layer_ends_both_ways(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, NULL);
  l.wire.wire.flags = MS__WIRE_NO_HALF;
  lone_put(&l, "\x05\x01\0\0", 4);
  l.to_us.fin = true;
  lone_run(&l);
  assert_int_equal(l.ends, 1);
  assert_int_equal(l.closes, 1);
  lone_expect(&l, "\x05\x01\0\0", 4);
  lone_end(&l);
}

/* The peer is not kept waiting for ever, nor told that what it has is all. */
static void an_answer_without_end_is_cut(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, NULL);
  l.paused = true;
  lone_put(&l, "\x02\x01\0\1x\x05\x01\0\0", 9);
  lone_wait(&l, 20000); /* what is not read yet has time */
  assert_int_equal(l.ends, 0);
  assert_int_equal(l.closes, 0);
  consume_all(&l);
  lone_run(&l);
  assert_int_equal(l.ends, 1);
  lone_wait(&l, 4999);
  assert_int_equal(l.closes, 0);
  lone_wait(&l, 1);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_ETIMEDOUT);
  lone_expect(&l, "\x06\x01\0\0", 4); /* an alert */
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* A peer that does not read keeps its answer in flight: nobody is late. */
static void an_answer_in_flight_is_not_late(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, &toy_lp);
  lone_put(&l, "\x05\x01\0\0", 4);
  lone_run(&l);
  l.wire.stuck = true;
  assert_int_equal(ms_conn_write(l.conn, "x", 1), 1);
  lone_wait(&l, 60000);
  assert_int_equal(l.closes, 0);
  l.wire.stuck = false;
  lone_run(&l);
  ms_conn_end(l.conn);
  lone_run(&l);
  lone_expect(&l, "\x02\x01\0\x03\0\1x\x05\x01\0\0", 11);
  assert_int_equal(l.error, 0);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* ---- What the other side has taken ---- */

/* Over toy_squash, whose end is two bytes. The peer has ended, we have not. */
static void begin_half(struct lone *l) {
  lone_begin(l, CLIENT, LAYERS(&toy_squash), NULL, BLOCK);
  lone_put(l, "\0\xfe", 2);
  lone_run(l);
  assert_int_equal(l->opens, 1);
  assert_int_equal(l->ends, 1);
}

static void lose(struct lone *l) {
  l->to_us.rst = l->from_us.rst = true;
  lone_run(l);
}

static void a_reset_before_our_end_is_a_failure(void **state) {
  struct lone l;
  (void)state;
  begin_half(&l); /* nothing is written, nothing waits: but nobody said that all was said */
  lose(&l);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_EPIPE);
  lone_end(&l);
}

static void a_reset_before_all_was_taken_is_a_failure(void **state) {
  struct lone l;
  (void)state;
  begin_half(&l);
  assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
  lone_run(&l);
  lone_expect(&l, "\3a", 2);
  l.wire.untaken = 3; /* one byte of those two, and our end */
  ms_conn_end(l.conn);
  lone_run(&l);
  lone_expect(&l, "\0\xfe", 2);
  assert_true(l.from_us.fin);
  lone_wait(&l, 60 * 1000); /* nobody hurries a slow reader */
  assert_int_equal(l.closes, 0);
  lose(&l);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_EPIPE);
  lone_end(&l);
}

static void a_reset_that_answers_our_end_is_clean(void **state) {
  struct lone l;
  (void)state;
  begin_half(&l);
  assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
  l.wire.untaken = 4;
  ms_conn_end(l.conn);
  lone_run(&l);
  lone_expect(&l, "\3a\0\xfe", 4);
  assert_int_equal(l.closes, 0);
  l.wire.untaken = 2;
  lose(&l);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, 0);
  lone_end(&l);
}

static void what_was_taken_is_asked_again(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, CLIENT, NULL, 0, NULL, BLOCK);
  l.to_us.fin = true;
  lone_run(&l);
  assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
  l.wire.untaken = 1;
  ms_conn_end(l.conn);
  lone_wait(&l, 10 * 1000);
  assert_true(l.from_us.fin);
  assert_int_equal(l.closes, 0);
  l.wire.untaken = 0;
  lone_wait(&l, 250);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, 0);
  lone_end(&l);
}

/* A frame of a layer below with both in it could not be told apart. */
static void our_end_has_a_frame_of_its_own(void **state) {
  struct lone l;
  uint8_t buf[64];
  (void)state;
  lone_begin(&l, CLIENT, LAYERS(&toy_lp, &toy_squash), NULL, BLOCK);
  lone_put_frame(&l, "\0\xfe", 2);
  lone_run(&l);
  assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
  l.wire.untaken = 8;
  ms_conn_end(l.conn);
  lone_run(&l);
  assert_int_equal(lone_take(&l, buf, sizeof buf), 8);
  assert_memory_equal(buf, "\0\2\3a\0\2\0\xfe", 8);
  l.wire.untaken = 4;
  lose(&l);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, 0);
  lone_end(&l);
}

static void a_reset_in_the_place_of_an_end_overtakes_nothing(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  lone_run(&l);
  assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
  l.wire.untaken = 1;
  ms_conn_fail(l.conn, "it has failed");
  lone_wait(&l, 1000);
  assert_int_equal(l.closes, 0);
  lone_expect(&l, "aaa", 3);
  l.wire.untaken = 0;
  lone_wait(&l, 250);
  assert_true(l.from_us.rst);
  assert_int_equal(l.error, MS_EFAILED);
  lone_end(&l);
}

/* What a failed application said is not taken back while its peer still takes of it. */
static void a_slow_reader_of_a_failure_has_its_time(void **state) {
  enum { LEAST = 4096, STEPS = 5, DRAIN = 6 * 5000 };
  struct lone l;
  (void)state;
  for (size_t missing = 0; missing < 2; missing++) {
    lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
    lone_run(&l);
    assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
    l.wire.untaken = STEPS * LEAST + 1;
    ms_conn_fail(l.conn, "it has failed");
    for (int i = 0; i < STEPS - 1; i++) {
      lone_wait(&l, DRAIN - 1);
      l.wire.untaken -= LEAST;
      lone_wait(&l, 1);
      assert_int_equal(l.closes, 0);
    }
    lone_wait(&l, DRAIN - 1);
    assert_int_equal(l.closes, 0);
    l.wire.untaken -= LEAST - missing;
    lone_wait(&l, 1);
    assert_int_equal(l.closes, missing);
    lone_wait(&l, DRAIN);
    assert_int_equal(l.closes, 1);
    assert_int_equal(l.error, MS_EFAILED);
    lone_end(&l);
  }
}

static void a_peer_that_has_ended_and_dies_is_noticed(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, NULL, 0, NULL, BLOCK);
  l.to_us.fin = true;
  lone_run(&l);
  assert_int_equal(l.ends, 1);
  lone_wait(&l, 3600 * 1000); /* it may listen for as long as it likes */
  assert_int_equal(l.closes, 0);
  l.from_us.abandoned = true;
  lone_wait(&l, 1000);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_EPIPE);
  lone_end(&l);
}

/* A peer that has ended and does not read makes us late with our end, and is idle. */
static void who_has_ended_and_does_not_read_is_idle(void **state) {
  struct lone l;
  ms_message m = {.data = (const uint8_t *)"abc", .length = 3, .type = 1, .last = true};
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_two), NULL, BLOCK);
  ms__conn_set_idle(l.conn, 20 * 1000, 0);
  lone_put(&l, "two+try?", 8);
  lone_run(&l);
  lone_put(&l, "\x05\x01\0\0", 4); /* its end */
  lone_run(&l);
  assert_int_equal(l.ends, 1);
  l.wire.stuck = true;
  assert_int_equal(ms_conn_write_message(l.conn, &m), 3);
  lone_wait(&l, 15 * 1000);
  assert_int_equal(l.closes, 0);
  lone_wait(&l, 60 * 1000);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_ETIMEDOUT);
  lone_end(&l);
}

/* ---- What came before a failure ---- */

static void expect_read_first(struct lone *l, int error) {
  const uint8_t *p;
  lone_run(l);
  assert_int_equal(l->closes, 0);
  assert_int_equal(ms_conn_peek(l->conn, &p), 3);
  assert_memory_equal(p, "abc", 3);
  ms_conn_consume(l->conn, 2);
  lone_run(l);
  assert_int_equal(l->closes, 0);
  ms_conn_consume(l->conn, 1);
  lone_run(l);
  assert_int_equal(l->closes, 1);
  assert_int_equal(l->error, error);
  assert_int_equal(l->ends, 0);
}

static void what_came_before_a_failure_is_read_first(void **state) {
  static const struct {
    const struct ms__layer *layer;
    const char *bytes;
    size_t n;
    bool fin, rst;
    int error;
  } cases[] = {
      {&toy_lp, "\0\3abc", 5, false, true, MS_ERESET},
      {&toy_lp, "\0\3abc\0", 6, true, false, MS_ETRUNCATED},
      {&toy_lp, "\0\3abc\0\0", 7, false, false, MS_EPROTO},
      {&toy_squash, "\1a\1b\1c", 6, true, false, MS_ETRUNCATED},
      {&toy_squash, "\1a\1b\1c\0\0", 8, false, false, MS_EPROTO},
      {NULL, "abc", 3, false, true, MS_ERESET},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct lone l;
    lone_begin(&l, CLIENT, &cases[i].layer, cases[i].layer ? 1 : 0, NULL, BLOCK);
    lone_run(&l);
    ms_conn_set_read_first(l.conn, true);
    l.paused = true;
    lone_put(&l, cases[i].bytes, cases[i].n);
    lone_run(&l);
    l.to_us.fin = cases[i].fin;
    l.to_us.rst = l.from_us.rst = cases[i].rst;
    expect_read_first(&l, cases[i].error);
    l.to_us.fin = true;
    lone_run(&l);
    lone_wait(&l, 6000);
    lone_end(&l);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_end_during_set_up_is_kept),
      cmocka_unit_test(what_came_with_an_end_is_answered),
      cmocka_unit_test(a_wire_without_half_close_asks_for_our_end),
      cmocka_unit_test(such_a_wire_below_the_end_layer_ends_both_ways),
      cmocka_unit_test(an_answer_without_end_is_cut),
      cmocka_unit_test(an_answer_in_flight_is_not_late),
      cmocka_unit_test(a_reset_before_our_end_is_a_failure),
      cmocka_unit_test(a_reset_before_all_was_taken_is_a_failure),
      cmocka_unit_test(a_reset_that_answers_our_end_is_clean),
      cmocka_unit_test(what_was_taken_is_asked_again),
      cmocka_unit_test(our_end_has_a_frame_of_its_own),
      cmocka_unit_test(a_reset_in_the_place_of_an_end_overtakes_nothing),
      cmocka_unit_test(a_slow_reader_of_a_failure_has_its_time),
      cmocka_unit_test(a_peer_that_has_ended_and_dies_is_noticed),
      cmocka_unit_test(who_has_ended_and_does_not_read_is_idle),
      cmocka_unit_test(what_came_before_a_failure_is_read_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
