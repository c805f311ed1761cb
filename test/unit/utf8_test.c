/* UTF-8 in pieces, against a decoder that has the whole text and takes its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static size_t encode(uint32_t c, uint8_t p[4]) {
  static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; c >>= 6)
    p[i] = (uint8_t)(0x80 | (c & 0x3f));
  p[0] = (uint8_t)(n == 1 ? c : lead[n] | c);
  return n;
}

/* All at once, and byte by byte: 1 a text, 0 the beginning of one, -1 neither. */
static int read_both(const uint8_t *p, size_t n) {
  struct ms__utf8 whole = {0}, pieces = {0};
  bool good = ms__utf8_read(&whole, p, n), still = true;
  for (size_t i = 0; i < n && still; i++)
    still = ms__utf8_read(&pieces, p + i, 1);
  assert_int_equal(good, still);
  if (!good) return -1;
  assert_int_equal(whole.left, pieces.left);
  return whole.left == 0;
}

static void every_character_is_taken(void **state) {
  (void)state;
  for (uint32_t c = 0; c <= 0x10ffff; c++) {
    uint8_t p[4];
    size_t n = encode(c, p);
    int expected = c >= 0xd800 && c <= 0xdfff ? -1 : 1;
    if (read_both(p, n) != expected) fail_msg("U+%04X", c);
    if (expected == 1 && n > 1 && read_both(p, n - 1) != 0) fail_msg("U+%04X, cut", c);
  }
}

/* Any two bytes, and any three behind each lead: is it what the encoder makes of some character? */
static void everything_else_is_refused(void **state) {
  (void)state;
  for (uint32_t bytes = 0; bytes < 1 << 24; bytes++) {
    uint8_t p[3] = {(uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes}, again[4];
    uint32_t c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    bool good;
    if (p[0] < 0xe0 || p[0] > 0xef) continue;
    good = encode(c, again) == 3 && memcmp(p, again, 3) == 0 && (c < 0xd800 || c > 0xdfff);
    if ((read_both(p, 3) == 1) != good) fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
  }
  for (uint32_t bytes = 0; bytes < 1 << 16; bytes++) {
    uint8_t p[4] = {(uint8_t)(bytes >> 8), (uint8_t)bytes, 0x80, 0x80}, again[4];
    uint32_t c = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12;
    bool good;
    if (p[0] < 0xf0) continue;
    good = c <= 0x10ffff && encode(c, again) == 4 && memcmp(p, again, 4) == 0;
    if ((read_both(p, 4) == 1) != good) fail_msg("%02x %02x 80 80", p[0], p[1]);
  }
}

/* A fault at every place of a long text, which is read by words. */
static void a_fault_is_found_anywhere(void **state) {
  uint8_t text[64];
  (void)state;
  for (size_t at = 0; at < sizeof text; at++) {
    memset(text, 'a', sizeof text);
    assert_int_equal(read_both(text, sizeof text), 1);
    text[at] = 0xff;
    assert_int_equal(read_both(text, sizeof text), -1);
    text[at] = 0x80;
    assert_int_equal(read_both(text, sizeof text), -1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_character_is_taken),
      cmocka_unit_test(everything_else_is_refused),
      cmocka_unit_test(a_fault_is_found_anywhere),
  };
  return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
