#include "layer/forwarded.h"

#include <string.h>

#include "addr/addr.h"

enum { HOPS_MAX = 32 };

/* The last elements of a list that may be spread over several fields. */
struct hops {
  struct ms__slice at[HOPS_MAX]; /* a ring */
  size_t count;                  /* ever added */
};

static void add(struct hops *hops, struct ms__slice hop) {
  hops->at[hops->count++ % HOPS_MAX] = hop;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static struct ms__slice trimmed(struct ms__slice s) {
  while (s.n && is_blank(s.p[0])) {
    s.p++;
    s.n--;
  }
  while (s.n && is_blank(s.p[s.n - 1]))
    s.n--;
  return s;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool read_node(union ms__inet *out, struct ms__slice node) {
  const char *host = node.p, *end, *colon;
  size_t n = node.n;
  int family = AF_INET, port = 0;
  if (n == 0) return false;
  end = host + n;
  if (host[0] == '[') {
    const char *bracket = memchr(host, ']', n);
    if (!bracket) return false;
    host++;
    n = (size_t)(bracket - host);
    family = AF_INET6;
    colon = bracket + 1 < end ? bracket + 1 : NULL;
    if (colon && *colon != ':') return false;
  } else {
    colon = memchr(host, ':', n);
    if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
      family = AF_INET6;
      colon = NULL;
    }
    if (colon) n = (size_t)(colon - host);
  }
  if (colon && !ms__port_parse(colon + 1, (size_t)(end - colon - 1), &port)) return false;
  if (!ms__inet_read(out, family, host, n)) return false;
  ms__inet_set_port(out, port);
  return true;
}

/* ---- X-Forwarded-For: nodes and commas ---- */

static void add_nodes(struct hops *hops, struct ms__slice list) {
  while (list.n) {
    const char *comma = memchr(list.p, ',', list.n);
    struct ms__slice one = {list.p, comma ? (size_t)(comma - list.p) : list.n};
    size_t used = one.n + (comma ? 1 : 0);
    list.p += used;
    list.n -= used;
    one = trimmed(one);
    if (one.n) add(hops, one);
  }
}

/* ---- Forwarded: for=NODE;by=..., for="[NODE]:80" ---- */

/* The value that begins `text`, a token or a quoted string, and how long it is there; 0: neither.
 */
static size_t read_value(struct ms__slice text, struct ms__slice *value) {
  size_t n = 0;
  if (text.n == 0 || text.p[0] != '"') {
    while (n < text.n && text.p[n] != ';' && text.p[n] != ',' && text.p[n] != '"')
      n++;
    *value = trimmed((struct ms__slice){text.p, n});
    return n;
  }
  for (n = 1; n < text.n && text.p[n] != '"'; n++)
    if (text.p[n] == '\\') n++;
  if (n >= text.n) return 0;
  *value = (struct ms__slice){text.p + 1, n - 1};
  return n + 1;
}

static void skip_to(struct ms__slice *s, const char *p) {
  s->n -= (size_t)(p - s->p);
  s->p = p;
}

/* False: it is malformed. Then nothing in it is worth anything, as a client may have opened a
 * string that swallows what the proxy appended. */
static bool add_elements(struct hops *hops, struct ms__slice list) {
  struct ms__slice node = {NULL, 0}, name, value;
  bool any = false; /* pairs of this element */
  for (;;) {
    const char *equals;
    size_t n;
    list = trimmed(list);
    if (list.n == 0 || list.p[0] == ',') {
      if (any) add(hops, node);
      node = (struct ms__slice){NULL, 0};
      any = false;
      if (list.n == 0) return true;
    }
    if (list.p[0] == ',' || list.p[0] == ';') {
      skip_to(&list, list.p + 1);
      continue;
    }
    if (!(equals = memchr(list.p, '=', list.n))) return false;
    name = trimmed((struct ms__slice){list.p, (size_t)(equals - list.p)});
    skip_to(&list, equals + 1);
    if ((n = read_value(list, &value)) == 0) return false;
    skip_to(&list, list.p + n);
    list = trimmed(list);
    if (list.n && list.p[0] != ',' && list.p[0] != ';') return false;
    if (ms__slice_is(&name, "for")) {
      if (node.p) return false;
      node = value;
    }
    any = true;
  }
}

static void find_hops(struct hops *hops, const struct ms__http_head *head, unsigned says) {
  const struct ms__http_field *field = head->fields, *end = head->fields + head->count;
  for (; field < end; field++) {
    if (says & MS__FRONT_X_FORWARDED_FOR) {
      if (ms__slice_is(&field->name, "X-Forwarded-For")) add_nodes(hops, field->value);
    } else if (ms__slice_is(&field->name, "Forwarded") && !add_elements(hops, field->value)) {
      *hops = (struct hops){.count = 0};
    }
  }
}

/* RFC 7239, section 6: who is behind it is not known, or not told. */
static bool is_untold(struct ms__slice node) {
  return ms__slice_is(&node, "unknown") || (node.n > 1 && node.p[0] == '_');
}

const char *ms__forwarded(const struct ms__http_head *head, const struct ms__front *fronts,
                          size_t count, union ms__inet *peer) {
  unsigned says = ms__fronts_say(fronts, count, peer) & ~(unsigned)MS__FRONT_PROXY;
  struct hops hops = {.count = 0};
  union ms__inet hop;
  size_t n;
  find_hops(&hops, head, says);
  n = hops.count < HOPS_MAX ? hops.count : HOPS_MAX;
  for (size_t i = 1; i <= n && ms__fronts_say(fronts, count, peer) & says; i++) {
    struct ms__slice node = hops.at[(hops.count - i) % HOPS_MAX];
    if (read_node(&hop, node))
      *peer = hop;
    else if (i > 1 || is_untold(node))
      return NULL;
    else
      n = 0;
  }
  if (n) return NULL;
  return says & MS__FRONT_X_FORWARDED_FOR
             ? "X-Forwarded-For, which a trusted proxy has to set, tells of nobody"
             : "Forwarded, which a trusted proxy has to set, tells of nobody";
}
