#include "base/text.h"

#include <sodium.h>
#include <string.h>

void ms__text_init(struct ms__text *t, char *buf, size_t size) {
  t->buf = buf;
  t->size = size;
  t->len = 0;
  if (size) buf[0] = '\0';
}

void ms__text_bytes(struct ms__text *t, const char *s, size_t n) {
  if (t->len + 1 < t->size) {
    size_t room = t->size - t->len - 1, k = n < room ? n : room;
    memcpy(t->buf + t->len, s, k);
    t->buf[t->len + k] = '\0';
  }
  t->len += n;
}

void ms__text_char(struct ms__text *t, char c) {
  ms__text_bytes(t, &c, 1);
}

void ms__text_string(struct ms__text *t, const char *s) {
  ms__text_bytes(t, s, strlen(s));
}

void ms__text_uint(struct ms__text *t, unsigned long v) {
  char digits[24];
  size_t i = sizeof digits;
  do {
    digits[--i] = (char)('0' + v % 10);
    v /= 10;
  } while (v);
  ms__text_bytes(t, digits + i, sizeof digits - i);
}

void ms__text_base64(struct ms__text *t, const unsigned char *p, size_t n) {
  while (n) {
    size_t k = n < 48 ? n : 48; /* a multiple of 3, so that only the last piece is padded */
    char piece[sodium_base64_ENCODED_LEN(48, sodium_base64_VARIANT_ORIGINAL)];
    sodium_bin2base64(piece, sizeof piece, p, k, sodium_base64_VARIANT_ORIGINAL);
    ms__text_string(t, piece);
    sodium_memzero(piece, sizeof piece);
    p += k;
    n -= k;
  }
}

void ms__text_copy(char *buf, size_t size, const char *s) {
  struct ms__text t;
  ms__text_init(&t, buf, size);
  ms__text_string(&t, s);
}

int ms__hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *ms__text_plural(unsigned long long n) {
  return n == 1 ? "" : "s";
}
