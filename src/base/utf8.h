/* UTF-8 that arrives in pieces (RFC 3629). */
#ifndef MS_BASE_UTF8_H
#define MS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Between two pieces; all zero at the beginning of a text. */
struct ms__utf8 {
  uint8_t left;      /* bytes that the character still has; 0: between two characters */
  uint8_t low, high; /* what the next of them may be */
};

/* Reads on: false as soon as the text can not be UTF-8 any more. */
bool ms__utf8_read(struct ms__utf8 *u, const uint8_t *p, size_t n);

#endif
