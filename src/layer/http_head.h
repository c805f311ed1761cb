/* The head of an HTTP/1.1 request or response (RFC 9112), taken apart. The only file that knows
 * http-parser is http_head.c. */
#ifndef MS_LAYER_HTTP_HEAD_H
#define MS_LAYER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MS__HTTP_HEAD_MAX = 16384, /* bytes */
  MS__HTTP_FIELDS_MAX = 100
};

/* Text inside the head; not ended. */
struct ms__slice {
  const char *p;
  size_t n;
};

struct ms__http_field {
  struct ms__slice name, value; /* the value without blanks around it */
};

struct ms__http_head {
  bool request;
  struct ms__slice method, target; /* of a request */
  int status;                      /* of a response */
  int major, minor;                /* the version */
  bool body;                       /* more than the head is announced */
  size_t count;
  struct ms__http_field fields[MS__HTTP_FIELDS_MAX];
};

/* Where the end of a head is looked for: enough of http-parser's state to go on with the bytes that
 * come. All zero at first. */
struct ms__http_scan {
  size_t seen; /* bytes */
  uint64_t parser[8];
};

/* Reads on, in n bytes of which the first `seen` are as they were: the length of the whole head; 0
 * when its end is still to come; MS_EPROTO as soon as it can not be one. */
int ms__http_scan(struct ms__http_scan *scan, bool request, const uint8_t *p, size_t n);

/* Takes a whole head of n bytes apart; the slices point into it. 0, or MS_EPROTO: it is malformed
 * or has too many fields. */
int ms__http_parse(struct ms__http_head *out, bool request, const uint8_t *p, size_t n);

/* The value of a field: NULL when there is none. *twice (NULL: nobody asks) tells whether there are
 * more of it. */
const struct ms__slice *ms__http_field(const struct ms__http_head *head, const char *name,
                                       bool *twice);

/* Is `token` one of the comma-separated elements of the fields of this name? Case does not count.
 */
bool ms__http_has_token(const struct ms__http_head *head, const char *name, const char *token);

/* Case does not count in names, tokens, hosts. */
bool ms__slice_is(const struct ms__slice *s, const char *text);

/* The length of the body that these fields, each ended by CRLF, announce. False: they announce
 * none, or one that is no plain number of bytes, once. */
bool ms__http_length(const char *fields, uint64_t *length);

/* "Not Found" for 404; "" for what is not known. */
const char *ms__http_reason(int status);

#endif
