/* Every row of shs1.json: handshakes byte for byte in both roles, under several chunkings, and what
 * must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>

#include "layer/shs.h"
#include "layer/shs_steps.h"
#include "layer_driver.h"

enum { ROOM = 70000 };

static const size_t chunks[] = {SIZE_MAX, 1, 7, 64, 113};

static json_t *file;

static int load(void **state) {
  json_error_t problem;
  (void)state;
  assert_true(sodium_init() >= 0);
  file = json_load_file(MS_TEST_DIR "/vectors/shs1.json", 0, &problem);
  if (!file) fail_msg("shs1.json: %s", problem.text);
  return 0;
}

static int unload(void **state) {
  (void)state;
  json_decref(file);
  return 0;
}

/* A row's hex string; false when it is null. */
static bool hex(const json_t *row, const char *name, struct bytes *out) {
  const char *text = json_string_value(json_object_get(row, name));
  size_t n;
  memset(out, 0, sizeof *out);
  if (!text) return false;
  out->size = strlen(text) / 2 + 1;
  out->p = malloc(out->size);
  assert_non_null(out->p);
  assert_int_equal(sodium_hex2bin(out->p, out->size, text, strlen(text), NULL, &n, NULL), 0);
  out->n = n;
  return true;
}

static void hex32(const json_t *row, const char *name, uint8_t out[32]) {
  struct bytes b;
  if (!hex(row, name, &b))
    fail_msg("%s has no %s", json_string_value(json_object_get(row, "id")), name);
  assert_int_equal(b.n, 32);
  memcpy(out, b.p, 32);
  bytes_free(&b);
}

/* Row `name` as written in `all` from *at on. */
static void expect(const json_t *row, const char *name, const struct bytes *all, size_t *at) {
  const char *id = json_string_value(json_object_get(row, "id"));
  struct bytes want;
  assert_true(hex(row, name, &want));
  if (all->n < *at + want.n || (want.n && memcmp(all->p + *at, want.p, want.n) != 0))
    fail_msg("%s: %s differs", id, name);
  *at += want.n;
  bytes_free(&want);
}

/* The ephemeral secret that the JavaScript makes of its random bytes. */
static void ephemeral(const json_t *row, const char *name, uint8_t out[32]) {
  uint8_t seed[32], hash[64];
  hex32(row, name, seed);
  (void)crypto_hash_sha512(hash, seed, sizeof seed);
  memcpy(out, hash, 32);
  out[0] &= 248;
  out[31] = (uint8_t)((out[31] & 127) | 64);
}

struct pair {
  uint8_t network_key[32], server_network_key[32], dialled[32];
  ms_identity client, server;
  struct ms__shs_opts client_opts, server_opts;
  struct driver c, s;
};

static void begin(struct pair *p, const json_t *row) {
  uint8_t seed[32], secret[32];
  bool two_keys = json_object_get(row, "network_key") == NULL;
  const char *override = json_string_value(json_object_get(row, "client_override_seed"));
  memset(p, 0, sizeof *p);
  hex32(row, two_keys ? "network_key_client" : "network_key", p->network_key);
  hex32(row, two_keys ? "network_key_server" : "network_key", p->server_network_key);
  hex32(row, override ? "client_override_seed" : "client_static_seed", seed);
  ms__identity_derive(&p->client, seed);
  hex32(row, "server_static_seed", seed);
  ms__identity_derive(&p->server, seed);
  memcpy(p->dialled, p->server.public_key, 32);
  if (json_object_get(row, "server_public_dialled"))
    hex32(row, "server_public_dialled", p->dialled);
  p->client_opts = (struct ms__shs_opts){p->network_key, &p->client, p->dialled};
  p->server_opts = (struct ms__shs_opts){p->server_network_key, &p->server, NULL};
  driver_begin(&p->c, &ms__shs, false, &p->client_opts);
  driver_begin(&p->s, &ms__shs, true, &p->server_opts);
  ephemeral(row, "client_ephemeral_seed", secret);
  ms__shs_set_ephemeral(p->c.scratch, secret);
  ephemeral(row, "server_ephemeral_seed", secret);
  ms__shs_set_ephemeral(p->s.scratch, secret);
}

static void end(struct pair *p) {
  driver_end(&p->c);
  driver_end(&p->s);
}

static int feed_hex(struct driver *d, const json_t *row, const char *name, size_t chunk) {
  struct bytes b;
  int r;
  assert_true(hex(row, name, &b));
  r = driver_feed(d, b.p, b.n, chunk, ROOM);
  bytes_free(&b);
  return r;
}

/* What one side writes after the handshake, and that the other reads it. */
static void check_app(const json_t *row, const char *writes, const char *stream,
                      struct driver *from, struct driver *to, size_t chunk) {
  const json_t *app = json_object_get(row, "app"), *list = json_object_get(app, writes);
  size_t at = from->wire_out.n, start = at;
  struct bytes all = {0};
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *text = json_string_value(json_array_get(list, i));
    struct bytes b = {.size = strlen(text) / 2 + 1};
    b.p = malloc(b.size);
    assert_non_null(b.p);
    assert_int_equal(sodium_hex2bin(b.p, b.size, text, strlen(text), NULL, &b.n, NULL), 0);
    driver_write(from, b.p, b.n, ROOM);
    bytes_add(&all, b.p, b.n);
    bytes_free(&b);
  }
  driver_finish(from, 0);
  expect(app, stream, &from->wire_out, &at);
  assert_int_equal(at, from->wire_out.n);
  assert_int_equal(driver_feed(to, from->wire_out.p + start, at - start, chunk, ROOM), MS__DONE);
  assert_int_equal(to->app_in.n, all.n);
  if (all.n) assert_memory_equal(to->app_in.p, all.p, all.n);
  bytes_free(&all);
}

static void check_handshake(const json_t *row, size_t chunk) {
  struct pair p;
  size_t c = 0, s = 0;
  begin(&p, row);
  (void)driver_step(&p.c, ROOM);
  expect(row, "msg1", &p.c.wire_out, &c);
  assert_int_equal(feed_hex(&p.s, row, "msg1", chunk), MS__MORE);
  expect(row, "msg2", &p.s.wire_out, &s);
  assert_false(p.c.proved);
  assert_int_equal(feed_hex(&p.c, row, "msg2", chunk), MS__MORE);
  expect(row, "msg3", &p.c.wire_out, &c);
  assert_true(p.c.proved);
  (void)feed_hex(&p.s, row, "msg3", chunk);
  assert_true(p.s.up);
  assert_memory_equal(p.s.question, p.client.public_key, 32);
  expect(row, "msg4", &p.s.wire_out, &s);
  (void)feed_hex(&p.c, row, "msg4", chunk);
  assert_true(p.c.up);
  assert_int_equal(c, p.c.wire_out.n);
  assert_int_equal(s, p.s.wire_out.n);
  check_app(row, "client_writes", "client_to_server_stream", &p.c, &p.s, chunk);
  check_app(row, "server_writes", "server_to_client_stream", &p.s, &p.c, chunk);
  end(&p);
}

static void every_handshake_is_the_same_byte_for_byte(void **state) {
  const json_t *rows = json_object_get(file, "handshakes");
  (void)state;
  assert_int_equal(json_array_size(rows), 8);
  for (size_t i = 0; i < json_array_size(rows); i++)
    for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++)
      check_handshake(json_array_get(rows, i), chunks[j]);
}

/* ---- Negative rows ---- */

/* Whole runs: what the server says before it closes. */
static void check_run(const json_t *row, const char *id) {
  struct pair p;
  struct bytes b;
  size_t at = 0;
  begin(&p, row);
  assert_true(hex(row, "wire_client_to_server", &b));
  bytes_add(&p.s.in, b.p, b.n);
  bytes_free(&b);
  while (driver_step(&p.s, ROOM) == MS__MORE && p.s.in.n) {
  }
  if (p.s.result == MS__ASK) {
    assert_true(strstr(id, "unauthorized") || strstr(id, "authorize-error"));
    assert_int_equal(driver_answer(&p.s, false), MS_EREFUSED);
  } else {
    assert_int_equal(p.s.result, MS_ECRYPTO);
  }
  expect(row, "wire_server_to_client", &p.s.wire_out, &at);
  assert_int_equal(at, p.s.wire_out.n); /* and not a byte more */
  end(&p);
}

static void check_low_order(const json_t *row) {
  struct pair p;
  begin(&p, row);
  assert_int_equal(feed_hex(&p.s, row, "hello", SIZE_MAX), MS_ECRYPTO);
  assert_int_equal(p.s.wire_out.n, 0);
  (void)driver_step(&p.c, ROOM);
  assert_int_equal(feed_hex(&p.c, row, "hello", SIZE_MAX), MS_ECRYPTO);
  assert_int_equal(p.c.wire_out.n, MS__SHS_HELLO);
  end(&p);
}

/* One message replaced: 20 and 21 are message 1, 22 is 2, 24 is 4, the others are 3. */
static void check_message(const json_t *row, int number) {
  struct pair p;
  begin(&p, row);
  (void)driver_step(&p.c, ROOM);
  if (number <= 21) {
    assert_int_equal(feed_hex(&p.s, row, "input", SIZE_MAX), MS_ECRYPTO);
    assert_int_equal(p.s.wire_out.n, 0);
  } else if (number == 22) {
    /* a hello sent back: v1 can't tell, but the run can't complete */
    assert_int_equal(feed_hex(&p.c, row, "input", SIZE_MAX), MS__MORE);
    assert_int_equal(p.c.wire_out.n, MS__SHS_HELLO + MS__SHS_AUTH);
  } else {
    (void)driver_feed(&p.s, p.c.wire_out.p, p.c.wire_out.n, SIZE_MAX, ROOM);
    if (number == 24) {
      (void)driver_feed(&p.c, p.s.wire_out.p, p.s.wire_out.n, SIZE_MAX, ROOM);
      assert_int_equal(feed_hex(&p.c, row, "input", SIZE_MAX), MS_ECRYPTO);
    } else {
      assert_int_equal(feed_hex(&p.s, row, "input", SIZE_MAX), MS_ECRYPTO);
      assert_int_equal(p.s.wire_out.n, MS__SHS_HELLO);
    }
  }
  end(&p);
}

static void every_negative_row_is_refused(void **state) {
  const json_t *rows = json_object_get(file, "negative");
  (void)state;
  assert_int_equal(json_array_size(rows), 19);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    const char *id = json_string_value(json_object_get(row, "id"));
    int number = atoi(id + strlen("shs1-neg-"));
    if (number < 10)
      check_run(row, id);
    else if (number < 20)
      check_low_order(row);
    else
      check_message(row, number);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_handshake_is_the_same_byte_for_byte),
      cmocka_unit_test(every_negative_row_is_refused),
  };
  return cmocka_run_group_tests(tests, load, unload);
}
