/* What a request asks for (RFC 9112, section 3.2), and whether that is what is served. */
#include <string.h>

#include "addr/addr.h"
#include "base/text.h"
#include "layer/http_head.h"

enum { ENCODED = 0x100 };

static const char reserved[] = ":/?#[]@!$&'()*+,;=%"; /* RFC 3986, section 2.2, and the '%' */

/* No control and no blank; nor a fragment, which is its client's. */
static bool is_target(const struct ms__slice *s) {
  for (size_t i = 0; i < s->n; i++)
    if ((unsigned char)s->p[i] <= ' ' || s->p[i] == 0x7f || s->p[i] == '#') return false;
  return true;
}

/* HOST or HOST:PORT. User information is an error there (RFC 9110, section 4.2.4). */
static bool is_authority(const struct ms__slice *s) {
  const char *end = s->p + s->n, *from = s->n && *s->p == '[' ? memchr(s->p, ']', s->n) : s->p;
  const char *colon = from ? memchr(from, ':', (size_t)(end - from)) : NULL;
  int port;
  if (!from || s->n == 0 || colon == s->p || memchr(s->p, '@', s->n)) return false;
  if (*s->p == '[' && from + 1 != (colon ? colon : end)) return false;
  return !colon || colon + 1 == end || ms__port_parse(colon + 1, (size_t)(end - colon - 1), &port);
}

/* The length of the scheme and the "://" behind it; 0: it is none of those that get here. */
static size_t scheme_length(const struct ms__slice *s) {
  static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
    struct ms__slice start = {s->p, strlen(schemes[i])};
    if (s->n >= start.n && ms__slice_is(&start, schemes[i])) return start.n;
  }
  return 0;
}

bool ms__http_read_target(struct ms__http_head *head) {
  struct ms__slice rest = head->target;
  const char *mark;
  size_t n;
  head->authority = head->path = head->query = (struct ms__slice){NULL, 0};
  if (!is_target(&rest)) return false;
  if (ms__slice_is(&head->method, "CONNECT")) return is_authority(&rest); /* and no path */
  if (ms__slice_is(&rest, "*")) return true; /* the server, and no path */
  if (rest.n == 0 || *rest.p != '/') {
    if (!(n = scheme_length(&rest))) return false;
    rest = (struct ms__slice){rest.p + n, rest.n - n};
    for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?';)
      n++;
    head->authority = (struct ms__slice){rest.p, n};
    if (!is_authority(&head->authority)) return false;
    rest = (struct ms__slice){rest.p + n, rest.n - n};
  }
  mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
  head->path = (struct ms__slice){rest.p, mark ? (size_t)(mark - rest.p) : rest.n};
  if (mark) head->query = (struct ms__slice){mark + 1, rest.n - head->path.n - 1};
  if (head->path.n == 0) head->path = (struct ms__slice){"/", 1};
  return true;
}

const struct ms__slice *ms__http_host(const struct ms__http_head *head, bool *twice) {
  const struct ms__slice *host = ms__http_field(head, "Host", twice);
  return host && head->authority.n ? &head->authority : host;
}

/* ---- Paths ---- */

/* The next character: %72 is r, but %2F no '/' (RFC 3986, section 6.2.2). */
static int take(struct ms__slice *s) {
  int c = (unsigned char)*s->p, high = -1, low = -1;
  if (c == '%' && s->n > 2) {
    high = ms__hex(s->p[1]);
    low = ms__hex(s->p[2]);
  }
  if (high >= 0 && low >= 0) {
    c = high << 4 | low;
    if (c && strchr(reserved, c)) c |= ENCODED;
    s->p += 2;
    s->n -= 2;
  }
  s->p++;
  s->n--;
  return c;
}

static bool is_same_path(struct ms__slice a, struct ms__slice b) {
  while (a.n && b.n)
    if (take(&a) != take(&b)) return false;
  return a.n == 0 && b.n == 0;
}

bool ms__http_asks_for(const struct ms__http_head *head, const char *served) {
  size_t n = strcspn(served, "?");
  const char *query = served[n] ? served + n + 1 : "";
  if (*query &&
      (head->query.n != strlen(query) || memcmp(head->query.p, query, head->query.n) != 0))
    return false;
  return is_same_path(head->path, (struct ms__slice){served, n});
}
