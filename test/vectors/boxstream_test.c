/* Every row of boxstream.json, written and read, in pieces of many sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>

#include "layer/shs_box.h"
#include "layer_driver.h"

static const size_t chunks[] = {SIZE_MAX, 1, 3, 34, 35, 1000};

static void hex_text(const char *text, struct bytes *out) {
  memset(out, 0, sizeof *out);
  out->size = strlen(text) / 2 + 1;
  out->p = malloc(out->size);
  assert_non_null(out->p);
  assert_int_equal(sodium_hex2bin(out->p, out->size, text, strlen(text), NULL, &out->n, NULL), 0);
}

static void hex(const json_t *row, const char *name, struct bytes *out) {
  hex_text(json_string_value(json_object_get(row, name)), out);
}

static void start(const json_t *row, uint8_t key[32], uint8_t nonce[24]) {
  struct bytes b;
  hex(row, "key", &b);
  assert_int_equal(b.n, 32);
  memcpy(key, b.p, 32);
  bytes_free(&b);
  hex(row, "nonce", &b);
  assert_int_equal(b.n, 24);
  memcpy(nonce, b.p, 24);
  bytes_free(&b);
}

/* Reads `all` in pieces; the packets' bytes go to `plain`. The last result. */
static int read_all(struct ms__box_reader *r, const struct bytes *all, size_t chunk, size_t room,
                    struct bytes *plain) {
  uint8_t *out = malloc(room);
  size_t shown = 0, at = 0;
  int result = MS__IDLE;
  assert_non_null(out);
  do {
    shown = all->n - shown < chunk ? all->n : shown + chunk;
    for (;;) {
      struct ms__src in = {all->p + at, shown - at};
      struct ms__dst dst = {out, room};
      result = ms__box_read(r, &in, &dst);
      bytes_add(plain, out, room - dst.n);
      at = shown - in.n;
      if (result != MS__FULL) break;
    }
  } while (result >= 0 && result != MS__DONE && shown < all->n);
  free(out);
  return result;
}

static void check_plain(const char *id, const json_t *list, const struct bytes *plain) {
  size_t at = 0;
  for (size_t i = 0; i < json_array_size(list); i++) {
    struct bytes want;
    hex_text(json_string_value(json_array_get(list, i)), &want);
    if (at + want.n > plain->n || (want.n && memcmp(plain->p + at, want.p, want.n) != 0))
      fail_msg("%s: packet %zu differs", id, i);
    at += want.n;
    bytes_free(&want);
  }
  if (at != plain->n) fail_msg("%s: %zu bytes instead of %zu", id, plain->n, at);
}

static void check_stream(const json_t *row) {
  const char *id = json_string_value(json_object_get(row, "id"));
  const json_t *writes = json_object_get(row, "writes");
  bool goodbye = json_is_true(json_object_get(row, "goodbye"));
  struct ms__box_writer w;
  struct bytes out = {0}, want, after;
  start(row, w.key, w.nonce);
  for (size_t i = 0; i < json_array_size(writes); i++) {
    struct bytes b;
    struct ms__src src;
    hex_text(json_string_value(json_array_get(writes, i)), &b);
    src = (struct ms__src){b.p, b.n};
    while (src.n) {
      uint8_t packet[MS__BOX_HEAD + MS__BOX_BODY];
      struct ms__dst dst = {packet, sizeof packet};
      ms__box_write(&w, &dst, &src);
      bytes_add(&out, packet, sizeof packet - dst.n);
    }
    bytes_free(&b);
  }
  if (goodbye) {
    uint8_t packet[MS__BOX_HEAD];
    struct ms__dst dst = {packet, sizeof packet};
    ms__box_goodbye(&w, &dst);
    assert_int_equal(dst.n, 0);
    bytes_add(&out, packet, sizeof packet);
  }
  hex(row, "ciphertext", &want);
  if (out.n != want.n || memcmp(out.p, want.p, want.n) != 0) fail_msg("%s: ciphertext differs", id);
  hex(row, "nonce_after", &after);
  assert_memory_equal(w.nonce, after.p, sizeof w.nonce);
  for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
    struct ms__box_reader r = {0};
    struct bytes plain = {0};
    int result;
    start(row, r.key, r.nonce);
    result = read_all(&r, &want, chunks[i], MS__BOX_BODY, &plain);
    assert_int_equal(result, goodbye ? MS__DONE : MS__IDLE);
    check_plain(id, writes, &plain);
    assert_memory_equal(r.nonce, after.p, sizeof r.nonce);
    bytes_free(&plain);
  }
  bytes_free(&out);
  bytes_free(&want);
  bytes_free(&after);
}

/* After the last byte: DONE is an end, IDLE and MORE are a truncation, an error is corruption. */
static const char *verdict(int result) {
  if (result < 0) return "corrupt";
  return result == MS__DONE ? "end-of-stream" : "truncated";
}

static void check_decode(const json_t *row) {
  const char *id = json_string_value(json_object_get(row, "id"));
  const char *expected = json_string_value(json_object_get(row, "expected"));
  for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
    struct ms__box_reader r = {0};
    struct bytes in, plain = {0};
    int result;
    start(row, r.key, r.nonce);
    hex(row, "ciphertext", &in);
    result = read_all(&r, &in, chunks[i], MS__BOX_LONGEST, &plain);
    if (strcmp(verdict(result), expected) != 0)
      fail_msg("%s: %s instead of %s", id, verdict(result), expected);
    check_plain(id, json_object_get(row, "expected_plaintext"), &plain);
    bytes_free(&plain);
    bytes_free(&in);
  }
}

static void every_row_is_written_and_read_as_it_stands(void **state) {
  json_error_t problem;
  json_t *file = json_load_file(MS_TEST_DIR "/vectors/boxstream.json", 0, &problem);
  const json_t *streams, *decode;
  (void)state;
  if (!file) fail_msg("boxstream.json: %s", problem.text);
  streams = json_object_get(file, "streams");
  decode = json_object_get(file, "decode_only");
  assert_int_equal(json_array_size(streams), 10);
  assert_int_equal(json_array_size(decode), 20);
  for (size_t i = 0; i < json_array_size(streams); i++)
    check_stream(json_array_get(streams, i));
  for (size_t i = 0; i < json_array_size(decode); i++)
    check_decode(json_array_get(decode, i));
  json_decref(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_is_written_and_read_as_it_stands)};
  assert_true(sodium_init() >= 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
