/* Bounded text. */
#ifndef MS_BASE_TEXT_H
#define MS_BASE_TEXT_H

#include <stddef.h>

/* Text being written into a buffer: `len` is the length it has, or would have if there were room
 * (as snprintf's result); what is in the buffer always ends in NUL when size > 0. */
struct ms__text {
  char *buf;
  size_t size, len;
};

void ms__text_init(struct ms__text *t, char *buf, size_t size);
void ms__text_char(struct ms__text *t, char c);
void ms__text_bytes(struct ms__text *t, const char *s, size_t n);
void ms__text_string(struct ms__text *t, const char *s);
void ms__text_uint(struct ms__text *t, unsigned long v);

/* Standard base64 with '='. */
void ms__text_base64(struct ms__text *t, const unsigned char *p, size_t n);

/* "" behind what is counted where there is one of it, else "s". */
const char *ms__text_plural(unsigned long long n);

/* Copies a string, cut to fit, always ended. */
void ms__text_copy(char *buf, size_t size, const char *s);

/* The value of a hexadecimal digit; -1: it is none. */
int ms__hex(char c);

#endif
