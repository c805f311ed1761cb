/* The head of an HTTP/1.1 request or response (RFC 9112), taken apart. The only file that knows
 * http-parser is http_head.c; what a request asks for is read in http_target.c. */
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
  struct ms__slice method, target; /* of a request, as they were sent */
  struct ms__slice authority;      /* of a target that is a URL: it stands for the field Host */
  struct ms__slice path, query;    /* of its target; no path: it has none */
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

/* Takes a whole head of n bytes apart; the slices point into it. 0, or the status that such a
 * request is answered with: 400, it is malformed; 431, it has too many fields. */
int ms__http_parse(struct ms__http_head *out, bool request, const uint8_t *p, size_t n);

/* The value of a field: NULL when there is none. *twice (NULL: nobody asks) tells whether there are
 * more of it. */
const struct ms__slice *ms__http_field(const struct ms__http_head *head, const char *name,
                                       bool *twice);

/* Is `token` one of the comma-separated elements of the fields of this name? Case does not count.
 */
bool ms__http_has_token(const struct ms__http_head *head, const char *name, const char *token);

/* Whom a request is for: the host of its target where there is one, else the field (RFC 9112,
 * section 3.2.2); NULL when there is no field. *twice as above. */
const struct ms__slice *ms__http_host(const struct ms__http_head *head, bool *twice);

/* Does a request ask for the path that is `served`? What is written as %XX there or here and need
 * not be is the same. A query is the application's business, but one that `served` has needs to be
 * that one. */
bool ms__http_asks_for(const struct ms__http_head *head, const char *served);

/* Sets `authority`, `path` and `query`. False: it is no target (ms__http_parse calls it). */
bool ms__http_read_target(struct ms__http_head *head);

/* Case does not count in names, tokens, hosts. */
bool ms__slice_is(const struct ms__slice *s, const char *text);

/* The length of the body that these fields, each ended by CRLF, announce. False: they announce
 * none, or one that is no plain number of bytes, once. */
bool ms__http_length(const char *fields, uint64_t *length);

/* "Not Found" for 404; "" for what is not known. */
const char *ms__http_reason(int status);

#endif
