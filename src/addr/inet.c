#include "addr/inet.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "base/text.h"

enum { ADDRESS = 16, IPV4 = 4 };

static const uint8_t mapped[ADDRESS - IPV4] = {[10] = 0xff, [11] = 0xff};

void ms__inet_make(union ms__inet *out, int family, const void *bytes, int port) {
  memset(out, 0, sizeof *out);
  out->family = (sa_family_t)family;
  if (family == AF_INET)
    memcpy(&out->v4.sin_addr, bytes, IPV4);
  else
    memcpy(&out->v6.sin6_addr, bytes, ADDRESS);
  ms__inet_set_port(out, port);
}

bool ms__inet_read(union ms__inet *out, int family, const char *text, size_t n) {
  char literal[INET6_ADDRSTRLEN];
  uint8_t bytes[ADDRESS];
  if (n >= sizeof literal || memchr(text, '\0', n)) return false;
  memcpy(literal, text, n);
  literal[n] = '\0';
  if (inet_pton(family, literal, bytes) != 1) return false;
  ms__inet_make(out, family, bytes, 0);
  return true;
}

bool ms__inet_bytes(const union ms__inet *a, uint8_t out[static 16]) {
  switch (a->family) {
    case AF_INET:
      memcpy(out, mapped, sizeof mapped);
      memcpy(out + sizeof mapped, &a->v4.sin_addr, IPV4);
      return true;
    case AF_INET6:
      memcpy(out, &a->v6.sin6_addr, ADDRESS);
      return true;
    default:
      return false;
  }
}

bool ms__inet_is_mapped(const uint8_t bytes[static 16]) {
  return memcmp(bytes, mapped, sizeof mapped) == 0;
}

int ms__inet_port(const union ms__inet *a) {
  if (a->family == AF_INET) return ntohs(a->v4.sin_port);
  return a->family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

void ms__inet_set_port(union ms__inet *a, int port) {
  if (a->family == AF_INET) a->v4.sin_port = htons((uint16_t)port);
  if (a->family == AF_INET6) a->v6.sin6_port = htons((uint16_t)port);
}

bool ms__inet_is_loopback(const union ms__inet *a) {
  uint8_t bytes[ADDRESS];
  if (!ms__inet_bytes(a, bytes)) return false;
  return ms__inet_is_mapped(bytes) ? bytes[sizeof mapped] == 127
                                   : IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

void ms__inet_host(const union ms__inet *a, char *buf, size_t size) {
  char host[INET6_ADDRSTRLEN] = "", zone[IF_NAMESIZE];
  uint8_t bytes[ADDRESS];
  struct ms__text t;
  ms__text_init(&t, buf, size);
  if (!ms__inet_bytes(a, bytes)) return;
  if (ms__inet_is_mapped(bytes))
    (void)inet_ntop(AF_INET, bytes + sizeof mapped, host, sizeof host);
  else
    (void)inet_ntop(AF_INET6, bytes, host, sizeof host);
  ms__text_string(&t, host);
  if (a->family != AF_INET6 || !a->v6.sin6_scope_id) return;
  ms__text_char(&t, '%');
  if (if_indextoname(a->v6.sin6_scope_id, zone))
    ms__text_string(&t, zone);
  else
    ms__text_uint(&t, a->v6.sin6_scope_id);
}
