#include "addr/front.h"

#include <string.h>

enum { FIELDS = MS__FRONT_X_FORWARDED_FOR | MS__FRONT_FORWARDED, CIDR_MAX = 64 };

static const struct {
  const char *name;
  enum ms__front_says says;
} ways[] = {
    {"proxy", MS__FRONT_PROXY},
    {"x-forwarded-for", MS__FRONT_X_FORWARDED_FOR},
    {"forwarded", MS__FRONT_FORWARDED},
};

static bool read_way(enum ms__front_says *out, const char *name) {
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    if (strcmp(ways[i].name, name) != 0) continue;
    *out = ways[i].says;
    return true;
  }
  return false;
}

const char *ms__front_parse(struct ms__front *out, const char *text, bool http) {
  const char *equals = strchr(text, '=');
  size_t n = equals ? (size_t)(equals - text) : strlen(text);
  char cidr[CIDR_MAX];
  if (n >= sizeof cidr) n = 0; /* no address has so many */
  memcpy(cidr, text, n);
  cidr[n] = '\0';
  *out = (struct ms__front){.local = strcmp(cidr, "unix") == 0};
  if (!out->local && !ms__cidr_parse(&out->at, cidr))
    return "is neither an address nor a network, as 192.0.2.0/24=proxy or "
           "2001:db8::/32=x-forwarded-for, nor unix=HOW";
  out->says = MS__FRONT_PROXY;
  if (!equals && http)
    return "does not say what tells of its peers: =proxy, =x-forwarded-for or =forwarded";
  if (equals && !read_way(&out->says, equals + 1))
    return "says its peers in an unknown way: it is proxy, x-forwarded-for or forwarded";
  return NULL;
}

static bool meet(const struct ms__front *a, const struct ms__front *b) {
  return a->local || b->local ? a->local && b->local : ms__cidr_overlap(&a->at, &b->at);
}

bool ms__fronts_differ(const struct ms__front *a, const struct ms__front *b) {
  return a->says != b->says && a->says & FIELDS && b->says & FIELDS && meet(a, b);
}

static bool is_at(const struct ms__front *front, const union ms__inet *address) {
  return front->local ? address->family == AF_UNIX : ms__cidr_has(&front->at, 1, address);
}

unsigned ms__fronts_say(const struct ms__front *all, size_t count, const union ms__inet *address) {
  unsigned says = 0;
  for (size_t i = 0; i < count; i++)
    if (is_at(&all[i], address)) says |= (unsigned)all[i].says;
  return says;
}
