/* What the fuzz entries share. Each entry is one file that defines LLVMFuzzerTestOneInput; linked
 * with libFuzzer it searches, linked with replay.c it runs the kept corpus as a test. What must
 * hold and does not ends the process. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                      \
  do {                                                                                     \
    if (!(what)) {                                                                         \
      (void)fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #what); \
      abort();                                                                             \
    }                                                                                      \
  } while (0)

/* The input, taken from the front. What is not there any more reads as zero. */
struct input {
  const uint8_t *p;
  size_t n;
};

static inline uint8_t input_byte(struct input *in) {
  if (in->n == 0) return 0;
  in->n--;
  return *in->p++;
}

static inline unsigned input_short(struct input *in) {
  unsigned high = input_byte(in);
  return high << 8 | input_byte(in);
}

/* Up to n bytes; *got tells how many there were. */
static inline const uint8_t *input_bytes(struct input *in, size_t n, size_t *got) {
  const uint8_t *p = in->p;
  *got = n < in->n ? n : in->n;
  in->p += *got;
  in->n -= *got;
  return p;
}

/* Exactly n bytes, filled up with zeros. */
static inline void input_fill(struct input *in, uint8_t *out, size_t n) {
  for (size_t i = 0; i < n; i++)
    out[i] = input_byte(in);
}

#endif
