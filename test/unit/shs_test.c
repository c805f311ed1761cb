/* What the public suites leave out of secret-handshake: flipped bits everywhere, messages cut at
 * every length, wrong signatures inside good boxes, bytes that come early, a refusal, and streams
 * cut inside a packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>

#include "layer/shs.h"
#include "layer/shs_steps.h"
#include "layer_driver.h"

enum { ROOM = 70000 };

static const uint8_t zero_nonce[24];

struct pair {
  uint8_t network_key[32];
  ms_identity client, server;
  struct ms__shs_opts client_opts, server_opts;
  struct driver c, s;
};

static void begin(struct pair *p) {
  memset(p, 0, sizeof *p);
  randombytes_buf(p->network_key, sizeof p->network_key);
  random_identity(&p->client);
  random_identity(&p->server);
  p->client_opts = (struct ms__shs_opts){p->network_key, &p->client, p->server.public_key};
  p->server_opts = (struct ms__shs_opts){p->network_key, &p->server, NULL};
  driver_begin(&p->c, &ms__shs, false, &p->client_opts);
  driver_begin(&p->s, &ms__shs, true, &p->server_opts);
}

static void end(struct pair *p) {
  driver_end(&p->c);
  driver_end(&p->s);
}

/* Moves what one side has written since *at to the other. */
static int pass(struct driver *from, struct driver *to, size_t *at) {
  size_t start = *at;
  *at = from->wire_out.n;
  return driver_feed(to, from->wire_out.p + start, *at - start, SIZE_MAX, ROOM);
}

/* The handshake up to, not including, message `number`; then that message in *message. */
static struct driver *up_to(struct pair *p, int number, struct bytes *message) {
  size_t c = 0, s = 0;
  struct driver *from = number % 2 ? &p->c : &p->s;
  size_t *at = number % 2 ? &c : &s;
  (void)driver_step(&p->c, ROOM);
  if (number > 1) (void)pass(&p->c, &p->s, &c);
  if (number > 2) (void)pass(&p->s, &p->c, &s);
  if (number > 3) (void)pass(&p->c, &p->s, &c);
  memset(message, 0, sizeof *message);
  bytes_add(message, from->wire_out.p + *at, from->wire_out.n - *at);
  return number % 2 ? &p->s : &p->c;
}

static const size_t lengths[] = {0, 64, 64, 112, 80};

static void every_flipped_bit_is_found(void **state) {
  (void)state;
  for (int number = 1; number <= 4; number++)
    for (size_t bit = 0; bit < 8 * lengths[number]; bit += 5) {
      struct pair p;
      struct bytes m;
      struct driver *to;
      size_t before;
      begin(&p);
      to = up_to(&p, number, &m);
      assert_int_equal(m.n, lengths[number]);
      m.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
      before = to->wire_out.n;
      if (driver_feed(to, m.p, m.n, SIZE_MAX, ROOM) != MS_ECRYPTO)
        fail_msg("message %d with bit %zu flipped gave %d", number, bit, to->result);
      assert_int_equal(to->wire_out.n, before); /* not a byte of answer */
      bytes_free(&m);
      end(&p);
    }
}

static void a_message_cut_short_is_waited_for(void **state) {
  (void)state;
  for (int number = 1; number <= 4; number++)
    for (size_t n = 0; n < lengths[number]; n++) {
      struct pair p;
      struct bytes m;
      struct driver *to;
      size_t before;
      begin(&p);
      to = up_to(&p, number, &m);
      before = to->wire_out.n;
      /* MORE: when the transport ends here, the pump takes it for a truncation */
      if (driver_feed(to, m.p, n, SIZE_MAX, ROOM) != MS__MORE)
        fail_msg("%zu bytes of message %d gave %d", n, number, to->result);
      assert_int_equal(to->wire_out.n, before);
      assert_false(to->up || to->asked);
      bytes_free(&m);
      end(&p);
    }
}

/* A message 4 whose box is good and whose signature is not the server's. */
static void a_wrong_signature_in_message_4_is_refused(void **state) {
  struct pair p;
  struct ms__shs_steps s;
  uint8_t ephemeral[32], accept[MS__SHS_ACCEPT], hello[MS__SHS_HELLO];
  ms_identity impostor;
  size_t c = 0;
  (void)state;
  begin(&p);
  random_identity(&impostor);
  randombytes_buf(ephemeral, sizeof ephemeral);
  ms__shs_begin(&s, p.network_key, ephemeral, p.server.public_key);
  (void)driver_step(&p.c, ROOM);
  assert_int_equal(ms__shs_read_hello(&s, p.c.wire_out.p), 0);
  c = p.c.wire_out.n;
  ms__shs_write_hello(&s, hello);
  assert_int_equal(driver_feed(&p.c, hello, sizeof hello, SIZE_MAX, ROOM), MS__MORE);
  assert_int_equal(ms__shs_read_auth(&s, &p.server, p.c.wire_out.p + c), 0);
  ms__shs_write_accept(&s, &impostor, accept);
  assert_int_equal(driver_feed(&p.c, accept, sizeof accept, SIZE_MAX, ROOM), MS_ECRYPTO);
  assert_false(p.c.up);
  end(&p);
}

/* A message 3 in which somebody shows a key that is not his. */
static void a_stolen_key_in_message_3_is_refused(void **state) {
  struct pair p;
  struct ms__shs_steps s;
  uint8_t ephemeral[32], auth[MS__SHS_AUTH], hello[MS__SHS_HELLO];
  ms_identity thief;
  (void)state;
  begin(&p);
  thief = p.client;
  randombytes_buf(thief.secret_key, 32); /* the public half is the client's, the secret is not */
  randombytes_buf(ephemeral, sizeof ephemeral);
  ms__shs_begin(&s, p.network_key, ephemeral, p.server.public_key);
  ms__shs_write_hello(&s, hello);
  assert_int_equal(driver_feed(&p.s, hello, sizeof hello, SIZE_MAX, ROOM), MS__MORE);
  assert_int_equal(ms__shs_read_hello(&s, p.s.wire_out.p), 0);
  assert_int_equal(ms__shs_write_auth(&s, &thief, auth), 0);
  assert_int_equal(driver_feed(&p.s, auth, sizeof auth, SIZE_MAX, ROOM), MS_ECRYPTO);
  assert_false(p.s.asked);
  assert_int_equal(p.s.wire_out.n, MS__SHS_HELLO);
  end(&p);
}

/* A client whose long-term key is a low-order point. */
/* A hello depends on nothing of the peer's: a server may send it first. */
static void a_server_may_speak_first(void **state) {
  static const uint8_t ephemeral[32] = {9, 8, 7};
  struct ms__shs_steps steps;
  uint8_t hello[MS__SHS_HELLO];
  struct pair p;
  (void)state;
  begin(&p);
  ms__shs_begin(&steps, p.network_key, ephemeral, p.server.public_key);
  ms__shs_write_hello(&steps, hello);
  bytes_add(&p.c.in, hello, sizeof hello);
  assert_int_equal(driver_step(&p.c, ROOM), MS__MORE);
  assert_int_equal(p.c.wire_out.n, MS__SHS_HELLO + MS__SHS_AUTH);
  end(&p);
}

static void a_low_order_long_term_key_is_refused(void **state) {
  static const uint8_t low_order[32] = {1}; /* the neutral element: converts to nothing */
  struct pair p;
  size_t c = 0, s = 0;
  (void)state;
  begin(&p);
  memcpy(p.client.public_key, low_order, sizeof low_order);
  (void)driver_step(&p.c, ROOM);
  (void)pass(&p.c, &p.s, &c);
  (void)pass(&p.s, &p.c, &s);
  assert_int_equal(pass(&p.c, &p.s, &c), MS_ECRYPTO);
  end(&p);
  /* and a server's, in the address that is dialled */
  begin(&p);
  memcpy(p.server.public_key, low_order, sizeof low_order);
  driver_end(&p.c);
  driver_begin(&p.c, &ms__shs, false, &p.client_opts);
  c = s = 0;
  (void)driver_step(&p.c, ROOM);
  (void)pass(&p.c, &p.s, &c);
  assert_int_equal(pass(&p.s, &p.c, &s), MS_ECRYPTO);
  assert_int_equal(p.c.wire_out.n, MS__SHS_HELLO); /* no proof to such a server */
  end(&p);
}

static void a_refusal_says_nothing(void **state) {
  struct pair p;
  size_t c = 0, s = 0, before;
  (void)state;
  begin(&p);
  (void)driver_step(&p.c, ROOM);
  (void)pass(&p.c, &p.s, &c);
  (void)pass(&p.s, &p.c, &s);
  bytes_add(&p.s.in, p.c.wire_out.p + c, p.c.wire_out.n - c);
  before = p.s.wire_out.n;
  assert_int_equal(driver_step(&p.s, ROOM), MS__ASK);
  assert_memory_equal(p.s.question, p.client.public_key, MS_KEY_BYTES);
  assert_int_equal(driver_answer(&p.s, false), MS_EREFUSED);
  assert_int_equal(p.s.wire_out.n, before);
  driver_finish(&p.s, MS_EREFUSED);
  assert_int_equal(p.s.wire_out.n, before);
  end(&p);
}

static void raise_both(struct pair *p) {
  size_t c = 0, s = 0;
  begin(p);
  (void)driver_step(&p->c, ROOM);
  (void)pass(&p->c, &p->s, &c);
  (void)pass(&p->s, &p->c, &s);
  (void)pass(&p->c, &p->s, &c);
  (void)pass(&p->s, &p->c, &s);
  assert_true(p->c.up && p->s.up);
  p->c.wire_out.n = p->s.wire_out.n = 0;
  p->c.in.n = p->s.in.n = 0;
}

/* Bytes after message 3 in the same piece belong to the stream and are left alone. */
static void bytes_that_come_early_are_kept(void **state) {
  struct pair p;
  size_t s = 0;
  struct bytes early = {0};
  (void)state;
  begin(&p);
  (void)driver_step(&p.c, ROOM);
  bytes_add(&early, p.c.wire_out.p, p.c.wire_out.n);
  (void)driver_feed(&p.s, early.p, early.n, SIZE_MAX, ROOM);
  (void)pass(&p.s, &p.c, &s);
  early.n = 0;
  bytes_add(&early, p.c.wire_out.p + MS__SHS_HELLO, p.c.wire_out.n - MS__SHS_HELLO);
  bytes_add(&early, "xyz", 3);
  bytes_add(&p.s.in, early.p, early.n);
  assert_int_equal(driver_step(&p.s, ROOM), MS__ASK);
  assert_int_equal(driver_answer(&p.s, true), MS__DONE);
  assert_int_equal(p.s.in.n, 3);
  assert_memory_equal(p.s.in.p, "xyz", 3);
  bytes_free(&early);
  end(&p);
}

/* Every place where a stream of short packets may be cut: none of them is an end. */
static void a_cut_stream_is_never_an_end(void **state) {
  uint8_t body[40];
  (void)state;
  memset(body, 'b', sizeof body);
  for (size_t n = 1; n <= 36; n++) {
    size_t whole = MS__BOX_HEAD + n + MS__BOX_HEAD;
    for (size_t cut = 0; cut < whole; cut++) {
      struct pair p;
      int r;
      raise_both(&p);
      driver_write(&p.c, body, n, ROOM);
      driver_finish(&p.c, 0);
      assert_int_equal(p.c.wire_out.n, whole);
      r = driver_feed(&p.s, p.c.wire_out.p, cut, SIZE_MAX, ROOM);
      /* IDLE stands between two packets, MORE inside one; only DONE is an end */
      if (r != (cut == 0 || cut == MS__BOX_HEAD + n ? MS__IDLE : MS__MORE))
        fail_msg("a body of %zu cut at %zu gave %d", n, cut, r);
      end(&p);
    }
  }
}

static void a_flipped_bit_in_a_stream_is_found(void **state) {
  uint8_t body[100];
  struct pair p;
  (void)state;
  memset(body, 'b', sizeof body);
  for (size_t bit = 0; bit < 8 * (MS__BOX_HEAD + sizeof body + MS__BOX_HEAD); bit += 3) {
    raise_both(&p);
    driver_write(&p.s, body, sizeof body, ROOM);
    driver_finish(&p.s, 0);
    p.s.wire_out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_int_equal(driver_feed(&p.c, p.s.wire_out.p, p.s.wire_out.n, SIZE_MAX, ROOM), MS_ECRYPTO);
    end(&p);
  }
}

/* Tight room in both directions: nothing is lost and nothing waits for ever. */
static void small_windows_do(void **state) {
  uint8_t body[20000];
  struct pair p;
  (void)state;
  randombytes_buf(body, sizeof body);
  raise_both(&p);
  driver_write(&p.c, body, sizeof body, ms__shs.room_down);
  driver_finish(&p.c, 0);
  assert_int_equal(driver_feed(&p.s, p.c.wire_out.p, p.c.wire_out.n, 17, ms__shs.room_up),
                   MS__DONE);
  assert_int_equal(p.s.app_in.n, sizeof body);
  assert_memory_equal(p.s.app_in.p, body, sizeof body);
  end(&p);
}

static void a_failing_stream_has_no_last_words(void **state) {
  struct pair p;
  (void)state;
  raise_both(&p);
  driver_finish(&p.c, MS_EPROTO);
  assert_int_equal(p.c.result, MS__DONE);
  assert_int_equal(p.c.wire_out.n, 0);
  end(&p);
}

/* The two boxes of messages 3 and 4 are what docs/behaviours.md says, by another path: message 3
 * opened with keys that this test derives itself. */
static void message_3_is_what_the_specification_says(void **state) {
  struct pair p;
  struct ms__shs_steps s;
  uint8_t ephemeral[32], curve[32], key[32], plain[96], input[96];
  size_t at;
  (void)state;
  begin(&p);
  randombytes_buf(ephemeral, sizeof ephemeral);
  ms__shs_begin(&s, p.network_key, ephemeral, p.server.public_key);
  (void)driver_step(&p.c, ROOM);
  assert_int_equal(ms__shs_read_hello(&s, p.c.wire_out.p), 0);
  at = p.c.wire_out.n;
  {
    uint8_t hello[MS__SHS_HELLO];
    ms__shs_write_hello(&s, hello);
    (void)driver_feed(&p.c, hello, sizeof hello, SIZE_MAX, ROOM);
  }
  assert_int_equal(crypto_sign_ed25519_sk_to_curve25519(curve, p.server.secret_key), 0);
  memcpy(input, p.network_key, 32);
  assert_int_equal(crypto_scalarmult(input + 32, ephemeral, p.c.wire_out.p + 32), 0);
  assert_int_equal(crypto_scalarmult(input + 64, curve, p.c.wire_out.p + 32), 0);
  (void)crypto_hash_sha256(key, input, sizeof input);
  assert_int_equal(
      crypto_secretbox_open_easy(plain, p.c.wire_out.p + at, MS__SHS_AUTH, zero_nonce, key), 0);
  assert_memory_equal(plain + 64, p.client.public_key, 32);
  end(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_flipped_bit_is_found),
      cmocka_unit_test(a_message_cut_short_is_waited_for),
      cmocka_unit_test(a_wrong_signature_in_message_4_is_refused),
      cmocka_unit_test(a_stolen_key_in_message_3_is_refused),
      cmocka_unit_test(a_server_may_speak_first),
      cmocka_unit_test(a_low_order_long_term_key_is_refused),
      cmocka_unit_test(a_refusal_says_nothing),
      cmocka_unit_test(bytes_that_come_early_are_kept),
      cmocka_unit_test(a_cut_stream_is_never_an_end),
      cmocka_unit_test(a_flipped_bit_in_a_stream_is_found),
      cmocka_unit_test(small_windows_do),
      cmocka_unit_test(a_failing_stream_has_no_last_words),
      cmocka_unit_test(message_3_is_what_the_specification_says),
  };
  if (sodium_init() < 0) return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
