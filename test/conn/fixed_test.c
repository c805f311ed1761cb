/* Cases of the stack that chance should not have to find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lone.h"
#include "world.h"

/* Our FIN is out, or a reset. */
static bool ended(const struct lone *l) {
  return l->from_us.fin && !l->from_us.rst;
}

/* ---- Last words ---- */

static void last_words_reach_the_peer(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, NULL);
  lone_put(&l, "\x09zzz", 4); /* no such frame */
  lone_run(&l);
  assert_int_equal(l.error, MS_EPROTO);
  lone_expect(&l, "\x06\x01\0\0", 4); /* an alert */
  assert_true(ended(&l));
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

static void a_failure_above_is_told_by_the_last_word(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, &toy_lp);
  lone_put(&l, "\x02\x01\0\x02\0\0", 6); /* an lp frame of no length */
  lone_run(&l);
  assert_int_equal(l.error, MS_EPROTO);
  lone_expect(&l, "\x06\x01\0\0", 4);
  lone_wait(&l, 5000); /* a peer that stays is cut off */
  lone_end(&l);
}

static void what_came_before_a_fault_is_told_and_answered(void **state) {
  struct lone l;
  (void)state;
  lone_begin_two(&l, &toy_lp);
  l.echo = true;
  lone_put(&l, "\x02\x01\0\x05\0\1x\0\0", 9); /* a good lp frame, and a bad one */
  lone_run(&l);
  assert_int_equal(l.got_n, 1);
  assert_int_equal(l.got[0], 'x');
  assert_int_equal(l.error, MS_EPROTO);
  lone_expect(&l, "\x02\x01\0\x03\0\1x\x06\x01\0\0", 11);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

static void an_alert_of_a_failing_step_reaches_the_peer(void **state) {
  struct lone l;
  uint8_t buf[64];
  static const uint8_t bad[3 + 16 + 1] = {22, 0, 1};
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_tls), NULL, BLOCK);
  lone_put(&l, bad, sizeof bad); /* a record whose tag is wrong */
  lone_run(&l);
  assert_int_equal(l.error, MS_ECRYPTO);
  assert_int_equal(lone_take(&l, buf, sizeof buf), 3 + 1 + 16);
  assert_memory_equal(buf, "\x15\0\1\1", 4);
  assert_true(ended(&l));
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

static void messages_are_no_bytes(void **state) {
  struct lone l;
  const uint8_t *p;
  uint8_t *room;
  ms_message m;
  (void)state;
  lone_begin_two(&l, NULL);
  lone_put(&l,
           "\x02\x01\x00\x03"
           "abc",
           7);
  l.paused = true;
  lone_run(&l);
  assert_true(ms_conn_messages(l.conn));
  assert_int_equal(ms_conn_peek(l.conn, &p), 0);
  ms_conn_consume(l.conn, 3);
  assert_int_equal(ms_conn_message(l.conn, &m), 1);
  assert_int_equal(m.length, 3);
  assert_int_equal(ms_conn_write(l.conn, "abc", 3), MS_ESTATE);
  assert_int_equal(ms_conn_reserve(l.conn, &room, 1), 0);
  ms_conn_commit(l.conn, 1);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void shs_says_nothing(void **state) {
  struct lone l;
  ms_identity me;
  const uint8_t seed[MS_KEY_BYTES] = {7};
  struct ms__shs_opts opts = {ms_scuttlebutt_network_key, &me, NULL};
  const uint8_t hello[64] = {1};
  (void)state;
  ms__identity_derive(&me, seed);
  lone_begin(&l, SERVER, LAYERS(&ms__shs), &opts, BLOCK);
  lone_put(&l, hello, sizeof hello);
  lone_run(&l);
  assert_int_equal(l.error, MS_ECRYPTO);
  lone_expect(&l, "", 0);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* How a peer leaves below the end layer is told by that, unless its end has come. */
static void who_leaves_below_shs_is_told(void **state) {
  static const struct {
    const char *close;
    size_t n;
    int error;
  } rows[] = {{"\x88\x82\0\0\0\0\x03\xe9", 8, MS_EGONE}, {"\x88\x80\0\0\0\0", 6, MS_ETRUNCATED}};
  const uint8_t seed[MS_KEY_BYTES] = {7};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    struct lone l;
    ms_identity me;
    struct ms__shs_opts opts = {ms_scuttlebutt_network_key, &me, NULL};
    ms__identity_derive(&me, seed);
    lone_begin(&l, SERVER, LAYERS(&ms__ws, &ms__shs), &opts, MS__BLOCK);
    lone_put(&l, rows[i].close, rows[i].n);
    lone_run(&l);
    assert_int_equal(l.error, rows[i].error);
    l.to_us.fin = true;
    lone_wait(&l, 5000);
    lone_end(&l);
  }
}

static void a_failure_over_nothing_resets(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_lp), NULL, BLOCK);
  lone_put(&l, "\0\0", 2);
  lone_run(&l);
  assert_int_equal(l.error, MS_EPROTO);
  lone_expect(&l, "", 0);
  assert_true(l.from_us.rst);
  lone_end(&l);
}

static void a_failure_over_an_end_does_not_end(void **state) {
  struct lone l;
  uint8_t buf[64];
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_squash, &toy_lp), NULL, BLOCK);
  lone_put(&l, "\2\0", 2); /* two zeros: an lp frame of no length */
  lone_run(&l);
  assert_int_equal(l.error, MS_EPROTO);
  assert_int_equal(lone_take(&l, buf, sizeof buf), 2);
  assert_memory_equal(buf, "\0\xee", 2); /* a last block that is none */
  assert_true(ended(&l));
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* ---- An application that fails ---- */

static const char why[] = "the command has exited with 3";

/* What it wrote arrives; then the end layer says something that is no end. */
static void a_failed_application_is_heard_and_has_no_end(void **state) {
  static const struct {
    const struct ms__layer *layers[2];
    const char *sent;
    size_t n;
  } cases[] = {
      {{&toy_squash}, "\3a\0\xee", 4},
      {{&toy_squash, &toy_lp}, "\1\0\1\3\3a\0\xee", 8},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct lone l;
    lone_begin(&l, SERVER, cases[i].layers, cases[i].layers[1] ? 2 : 1, NULL, BLOCK);
    lone_run(&l);
    assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
    ms_conn_fail(l.conn, why);
    assert_int_equal(ms_conn_write(l.conn, "b", 1), MS_EPIPE);
    lone_put(&l, "\2\0", 2); /* nobody reads it any more */
    lone_run(&l);
    lone_expect(&l, cases[i].sent, cases[i].n);
    assert_true(ended(&l));
    assert_int_equal(l.error, MS_EFAILED);
    assert_string_equal(l.message, why);
    l.to_us.fin = true;
    lone_run(&l);
    lone_end(&l);
  }
}

static void a_failed_application_over_nothing_resets(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_lp), NULL, BLOCK);
  lone_run(&l);
  assert_int_equal(ms_conn_write(l.conn, "aaa", 3), 3);
  ms_conn_fail(l.conn, why);
  lone_run(&l);
  assert_true(l.from_us.rst);
  assert_int_equal(l.error, MS_EFAILED);
  lone_end(&l);
}

static void a_failed_application_tells_a_websocket_why(void **state) {
  static const char said[] = "\x82\3abc\x88\x1f\x03\xf3the command has exited with 3";
  struct lone l;
  ms_message m = {(const uint8_t *)"abc", 3, 2, true};
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&ms__ws), NULL, BLOCK);
  lone_run(&l);
  assert_int_equal(ms_conn_write_message(l.conn, &m), 3);
  ms_conn_fail(l.conn, why);
  lone_run(&l);
  lone_expect(&l, said, sizeof said - 1);
  assert_true(ended(&l));
  assert_int_equal(l.error, MS_EFAILED);
  lone_wait(&l, 5000); /* a peer that stays is cut off */
  lone_end(&l);
}

/* A Close has room for 123 bytes of reason, and they have to be UTF-8. */
static void a_long_reason_is_cut_between_characters(void **state) {
  struct lone l;
  char reason[200] = "";
  uint8_t buf[200];
  (void)state;
  for (unsigned i = 0; i < 40; i++)
    strcat(reason, "\u20ac"); /* three bytes each: 41 of them would fit, and 1 byte */
  strcat(reason, "xxxx\u20ac");
  lone_begin(&l, SERVER, LAYERS(&ms__ws), NULL, BLOCK);
  lone_run(&l);
  ms_conn_fail(l.conn, reason + 1); /* which begins inside a character */
  lone_run(&l);
  assert_int_equal(lone_take(&l, buf, sizeof buf), 4);
  lone_wait(&l, 5000);
  lone_end(&l);
  lone_begin(&l, SERVER, LAYERS(&ms__ws), NULL, BLOCK);
  lone_run(&l);
  memmove(reason + 1, reason, 150); /* "x" and 40 characters are 121 bytes, and 41 are 124 */
  reason[0] = 'x';
  memcpy(reason + 121, "\u20ac", 4);
  ms_conn_fail(l.conn, reason);
  lone_run(&l);
  assert_int_equal(lone_take(&l, buf, sizeof buf), 4 + 121);
  assert_memory_equal(buf + 4, reason, 121);
  lone_wait(&l, 5000);
  lone_end(&l);
}

static void a_failed_application_does_not_wait_for_ever(void **state) {
  struct lone l;
  uint8_t buf[8192] = {0};
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_squash, &toy_lp), NULL, BLOCK);
  lone_run(&l);
  l.wire.stuck = true;
  while (ms_conn_write(l.conn, buf, sizeof buf) > 0)
    lone_run(&l);
  ms_conn_fail(l.conn, why);
  lone_wait(&l, 6 * 5000 - 100);
  assert_int_equal(l.closes, 0);
  lone_wait(&l, 200);
  assert_int_equal(l.error, MS_EFAILED);
  assert_true(l.from_us.rst);
  lone_end(&l);
}

static void what_is_one_piece_hears_no_goodbye_for_being_idle(void **state) {
  (void)state;
  for (unsigned whole = 0; whole < 2; whole++) {
    struct lone l;
    lone_begin(&l, SERVER, LAYERS(&toy_squash), NULL, BLOCK);
    ms__conn_set_idle(l.conn, 1000, 0);
    lone_run(&l);
    l.conn->reset_on_shutdown = whole;
    lone_wait(&l, 2000);
    lone_expect(&l, whole ? "\0\xee" : "\0\xfe", 2);
    l.to_us.fin = true;
    lone_run(&l);
    if (l.conn) lone_wait(&l, 5000);
    assert_int_equal(l.error, MS_ETIMEDOUT);
    lone_end(&l);
  }
}

/* An end that the application has asked for, and that has not gone, is taken back. */
static void a_failure_takes_an_end_back(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_squash), NULL, BLOCK);
  lone_run(&l);
  ms_conn_end(l.conn);
  ms_conn_fail(l.conn, why);
  lone_run(&l);
  lone_expect(&l, "\0\xee", 2);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

/* ---- Questions ---- */

/* A seal server that has been told everything up to the question. */
static void begin_question(struct lone *l) {
  uint8_t hello[64], auth[112];
  lone_begin(l, SERVER, LAYERS(&toy_seal), NULL, BLOCK);
  memset(hello, 'A', sizeof hello);
  toy_tag(hello + 48, 0, hello, 48);
  memset(auth, 'C', sizeof auth);
  toy_tag(auth + 96, 2, auth, 96);
  lone_put(l, hello, sizeof hello);
  lone_put(l, auth, sizeof auth);
  lone_run(l);
  assert_int_equal(l->questions, 1);
  assert_int_equal(l->opens, 0);
}

static void a_reset_voids_the_question(void **state) {
  const struct ms__answer yes = {.yes = true};
  struct lone l;
  (void)state;
  begin_question(&l);
  l.to_us.rst = true;
  lone_run(&l);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_ERESET);
  assert_non_null(l.conn); /* the application still holds it */
  assert_int_equal(ms__conn_answer(l.conn, &yes), MS_ESTATE);
  lone_run(&l);
  lone_end(&l);
  begin_question(&l);
  ms_conn_abort(l.conn);
  assert_int_equal(ms__conn_answer(l.conn, &yes), MS_ESTATE);
  lone_run(&l);
  assert_int_equal(l.error, MS_EABORTED);
  lone_end(&l);
}

static void a_fin_leaves_the_question(void **state) {
  const struct ms__answer yes = {.yes = true};
  struct lone l;
  uint8_t buf[256];
  (void)state;
  begin_question(&l);
  l.to_us.fin = true;
  lone_run(&l);
  assert_int_equal(l.closes, 0);
  assert_int_equal(ms__conn_answer(l.conn, &yes), 0);
  lone_run(&l);
  assert_int_equal(lone_take(&l, buf, sizeof buf), 64 + 80);
  assert_int_equal(l.opens, 0); /* the end comes first, and it is not a goodbye */
  assert_int_equal(l.error, MS_ETRUNCATED);
  lone_end(&l);
}

static void an_answer_comes_once(void **state) {
  const struct ms__answer yes = {.yes = true};
  struct lone l;
  (void)state;
  begin_question(&l);
  assert_int_equal(ms__conn_answer(l.conn, &yes), 0);
  assert_int_equal(ms__conn_answer(l.conn, &yes), MS_ESTATE);
  lone_run(&l);
  assert_int_equal(l.opens, 1);
  assert_int_equal(ms__conn_answer(l.conn, &yes), MS_ESTATE);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void a_half_closed_client_gets_its_answer(void **state) {
  const struct ms__answer yes = {.yes = true};
  static const char request[] = "GET / HTTP/1.1\r\n\r\n";
  static const char reply[] = TOY_ASK_YES "hello";
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_ask, &toy_seal), NULL, BLOCK);
  lone_put(&l, request, strlen(request));
  l.to_us.fin = true;
  lone_run(&l);
  assert_int_equal(l.questions, 1);
  assert_int_equal(ms__conn_answer(l.conn, &yes), 0);
  assert_int_equal(ms_conn_write(l.conn, "hello", 5), 5);
  ms_conn_end(l.conn);
  lone_run(&l);
  lone_expect(&l, reply, strlen(reply));
  assert_true(ended(&l));
  assert_int_equal(l.error, 0);
  assert_int_equal(l.opens, 0);
  lone_end(&l);
}

/* ---- Time ---- */

static void keepalive_against_a_deaf_peer_does_not_spin(void **state) {
  struct lone l;
  uint8_t buf[8192] = {0};
  (void)state;
  lone_begin(&l, CLIENT, LAYERS(&toy_two, &toy_lp), NULL, BLOCK);
  l.toys.ping_msec = 1000;
  l.toys.pings = 1000;
  lone_put(&l, "two+yes!", 8);
  lone_run(&l);
  l.wire.stuck = true;
  while (ms_conn_write(l.conn, buf, sizeof buf) > 0)
    lone_run(&l);
  lone_wait(&l, 200 * 1000); /* lone_run fails when it does not come to rest */
  assert_int_equal(l.closes, 0);
  assert_true(l.env.pool.out <= 4);
  ms_conn_abort(l.conn);
  lone_run(&l);
  lone_end(&l);
}

static void a_reply_is_read_after_a_failed_write(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, CLIENT, LAYERS(&toy_lp), NULL, BLOCK);
  lone_run(&l);
  lone_put_frame(&l, "the reply", 9);
  l.to_us.fin = true;
  l.from_us.abandoned = true;
  l.wire.has_rst = false; /* the reset has not come yet */
  while (!l.conn->write_over) {
    assert_int_equal(ms_conn_write(l.conn, "x", 1), 1);
    while (ms__env_waits(&l.env))
      (void)ms__env_run(&l.env, l.now);
  }
  lone_run(&l);
  assert_int_equal(l.got_n, 9);
  assert_memory_equal(l.got, "the reply", 9);
  assert_int_equal(l.ends, 1);
  assert_int_equal(l.error, MS_EPIPE);
  lone_end(&l);
}

static void the_attempt_has_a_deadline(void **state) {
  struct lone l;
  (void)state;
  lone_begin(&l, SERVER, LAYERS(&toy_lp, &toy_seal), NULL, BLOCK);
  for (unsigned i = 0; i < 14; i++) { /* a byte a second is no excuse */
    lone_put_frame(&l, "A", 1);
    lone_wait(&l, 1000);
  }
  assert_int_equal(l.closes, 0);
  lone_wait(&l, 1000);
  assert_int_equal(l.closes, 1);
  assert_int_equal(l.error, MS_ETIMEDOUT);
  l.to_us.fin = true;
  lone_run(&l);
  lone_end(&l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(last_words_reach_the_peer),
      cmocka_unit_test(a_failure_above_is_told_by_the_last_word),
      cmocka_unit_test(what_came_before_a_fault_is_told_and_answered),
      cmocka_unit_test(an_alert_of_a_failing_step_reaches_the_peer),
      cmocka_unit_test(messages_are_no_bytes),
      cmocka_unit_test(shs_says_nothing),
      cmocka_unit_test(who_leaves_below_shs_is_told),
      cmocka_unit_test(a_failure_over_nothing_resets),
      cmocka_unit_test(a_failure_over_an_end_does_not_end),
      cmocka_unit_test(a_failed_application_is_heard_and_has_no_end),
      cmocka_unit_test(a_failed_application_over_nothing_resets),
      cmocka_unit_test(a_failed_application_tells_a_websocket_why),
      cmocka_unit_test(a_long_reason_is_cut_between_characters),
      cmocka_unit_test(a_failed_application_does_not_wait_for_ever),
      cmocka_unit_test(what_is_one_piece_hears_no_goodbye_for_being_idle),
      cmocka_unit_test(a_failure_takes_an_end_back),
      cmocka_unit_test(a_reset_voids_the_question),
      cmocka_unit_test(a_fin_leaves_the_question),
      cmocka_unit_test(an_answer_comes_once),
      cmocka_unit_test(a_half_closed_client_gets_its_answer),
      cmocka_unit_test(keepalive_against_a_deaf_peer_does_not_spin),
      cmocka_unit_test(a_reply_is_read_after_a_failed_write),
      cmocka_unit_test(the_attempt_has_a_deadline),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
