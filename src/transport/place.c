/* Places: where a transport listens, connects to, or is bound. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "transport/transport.h"

bool ms__place_is_local(const struct ms__place *p) {
  return p->address.ss_family == AF_UNIX || ms__inet_is_loopback(&p->inet);
}

bool ms__place_of(int fd, struct ms__place *out) {
  memset(out, 0, sizeof *out);
  out->length = sizeof out->address;
  if (getsockname(fd, (struct sockaddr *)&out->address, &out->length) == 0) return true;
  out->length = 0;
  return false;
}

/* An abstract name is not ended. */
static size_t format_path(const struct ms__place *p, char *buf, size_t size) {
  size_t start = offsetof(struct sockaddr_un, sun_path);
  size_t most = p->length > start ? p->length - start : 0;
  bool abstract = ms__place_is_abstract(p);
  return (size_t)snprintf(buf, size, "%s%.*s", abstract ? "@" : "", (int)(most - abstract),
                          p->un.sun_path + abstract);
}

size_t ms__place_format(const struct ms__place *p, char *buf, size_t size) {
  char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  if (p->length && p->address.ss_family == AF_UNIX) return format_path(p, buf, size);
  ms__inet_host(&p->inet, host, sizeof host);
  if (!p->length || !*host) return (size_t)snprintf(buf, size, "%s", "");
  return (size_t)snprintf(buf, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
                          ms__inet_port(&p->inet));
}
