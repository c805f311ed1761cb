/* What a request wants of a file: all of it, a part (RFC 9110, section 14), or to hear that what it
 * has is still the same (section 13). */
#include <string.h>
#include <strings.h>

#include "serve.h"

enum { DIGITS = 18 }; /* of a number that fits for sure */

/* Ours are strong: one that is marked as weak is none of them where that counts. */
static bool has_etag(const char *list, const char *etag, bool strong) {
  const char *found = strstr(list, etag);
  if (strcmp(list, "*") == 0) return true;
  while (found && strong && found > list + 1 && memcmp(found - 2, "W/", 2) == 0)
    found = strstr(found + 1, etag);
  return found != NULL;
}

/* The digits in front: INT64_MAX for more than any file has, -1 for none. */
static int64_t read_number(const char **text) {
  size_t n = strspn(*text, "0123456789"), zeros = strspn(*text, "0");
  int64_t value = 0;
  for (size_t i = 0; i < n && n - zeros <= DIGITS; i++)
    value = 10 * value + ((*text)[i] - '0');
  *text += n;
  if (n == 0) return -1;
  return n - zeros > DIGITS ? INT64_MAX : value;
}

/* One part: 206, or 416 where the file has nothing there. 200: it is none, or several, or one that
 * makes no sense: it counts as not said. */
static int read_range(const char *text, int64_t size, struct cli_part *part) {
  int64_t first, last;
  if (strncasecmp(text, "bytes=", 6) != 0) return 200;
  text += 6;
  text += strspn(text, " \t");
  first = read_number(&text);
  if (*text++ != '-') return 200;
  last = read_number(&text);
  text += strspn(text, " \t");
  if (*text || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first)) return 200;
  if (first < 0) { /* the last so many */
    if (last == 0) return 416;
    if (size == 0) return 200; /* no range can say nothing */
    first = last < size ? size - last : 0;
    last = size - 1;
  }
  if (first >= size) return 416;
  if (last < 0 || last >= size) last = size - 1;
  *part = (struct cli_part){first, last - first + 1};
  return 206;
}

/* Has it seen this very file? Dates are compared as they are written: it has them from us. */
static bool is_known(const ms_request *request, const struct cli_file *file) {
  const char *etags = ms_request_field(request, "If-None-Match");
  const char *since = ms_request_field(request, "If-Modified-Since");
  if (etags) return has_etag(etags, file->etag, false);
  return since && *file->modified && strcmp(since, file->modified) == 0;
}

/* The part that it has already is one of this very file. */
static bool goes_on(const ms_request *request, const struct cli_file *file) {
  const char *of = ms_request_field(request, "If-Range");
  if (!of) return true;
  return strcmp(of, file->etag) == 0 || (*file->modified && strcmp(of, file->modified) == 0);
}

int cli_http_condition(const ms_request *request, const struct cli_file *file,
                       struct cli_part *part) {
  const char *range = ms_request_field(request, "Range");
  const char *match = ms_request_field(request, "If-Match");
  *part = (struct cli_part){0, file->size};
  if (match && !has_etag(match, file->etag, true)) return 412;
  if (is_known(request, file)) return 304;
  if (!range || strcmp(ms_request_method(request), "GET") != 0 || !goes_on(request, file))
    return 200;
  return read_range(range, file->size, part);
}
