#include "base/utf8.h"

#include <string.h>

/* The first byte of a character of more than one. Overlong forms, surrogates and what is beyond
 * U+10FFFF show in the second byte at the latest. */
static bool begin(struct ms__utf8 *u, uint8_t b) {
  u->low = 0x80;
  u->high = 0xbf;
  if (b < 0xc2 || b > 0xf4) return false;
  if (b < 0xe0) {
    u->left = 1;
  } else if (b < 0xf0) {
    u->left = 2;
    if (b == 0xe0) u->low = 0xa0;
    if (b == 0xed) u->high = 0x9f;
  } else {
    u->left = 3;
    if (b == 0xf0) u->low = 0x90;
    if (b == 0xf4) u->high = 0x8f;
  }
  return true;
}

/* How many of the first bytes are ASCII, in steps of eight. */
static size_t ascii(const uint8_t *p, size_t n) {
  size_t i = 0;
  uint64_t word;
  for (; i + sizeof word <= n; i += sizeof word) {
    memcpy(&word, p + i, sizeof word);
    if (word & UINT64_C(0x8080808080808080)) break;
  }
  return i;
}

bool ms__utf8_read(struct ms__utf8 *u, const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (u->left) {
      if (p[i] < u->low || p[i] > u->high) return false;
      u->left--;
      u->low = 0x80;
      u->high = 0xbf;
      continue;
    }
    i += ascii(p + i, n - i);
    if (i < n && p[i] >= 0x80 && !begin(u, p[i])) return false;
  }
  return true;
}
