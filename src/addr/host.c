#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "addr/addr.h"

bool ms__port_parse(const char *s, size_t length, int *port) {
  int value = 0;
  if (length == 0) return false;
  for (size_t i = 0; i < length; i++) {
    if (s[i] < '0' || s[i] > '9') return false;
    value = value * 10 + (s[i] - '0');
    if (value > 65535) return false;
  }
  *port = value;
  return true;
}

void ms__host_without_zone(char *host) {
  char *zone = strchr(host, ':') ? strchr(host, '%') : NULL;
  if (zone) *zone = '\0';
}

/* The part before the zone as a NUL-ended string. False when it can't be an address. */
static bool bare(const char *host, size_t length, char out[INET6_ADDRSTRLEN], size_t *used) {
  const char *zone = memchr(host, '%', length);
  *used = zone ? (size_t)(zone - host) : length;
  if (*used >= INET6_ADDRSTRLEN) return false;
  memcpy(out, host, *used);
  out[*used] = '\0';
  return true;
}

bool ms__host_ipv6(const char *host, size_t length, char *buf, size_t size) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr in6;
  struct ms__text t;
  size_t used;
  if (!bare(host, length, text, &used) || inet_pton(AF_INET6, text, &in6) != 1) return false;
  (void)inet_ntop(AF_INET6, &in6, text, sizeof text);
  ms__text_init(&t, buf, size);
  ms__text_string(&t, text);
  ms__text_bytes(&t, host + used, length - used);
  return true;
}

/* 10/8, 172.16/12, 192.168/16 (RFC 1918), 100.64/10 (RFC 6598), 169.254/16 (RFC 3927). */
static bool is_local4(uint32_t a) {
  return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191 ||
         a >> 16 == 0xa9fe;
}

static unsigned scope4(uint32_t a) {
  if (a == 0) return MS_DEVICE | MS_LOCAL | MS_PUBLIC;
  if (a >> 24 == 127) return MS_DEVICE;
  return is_local4(a) ? MS_LOCAL : MS_PUBLIC;
}

static unsigned scope6(const struct in6_addr *a) {
  if (IN6_IS_ADDR_UNSPECIFIED(a)) return MS_DEVICE | MS_LOCAL | MS_PUBLIC;
  if (IN6_IS_ADDR_LOOPBACK(a)) return MS_DEVICE;
  if (IN6_IS_ADDR_V4MAPPED(a)) {
    uint32_t v4;
    memcpy(&v4, a->s6_addr + 12, sizeof v4);
    return scope4(ntohl(v4));
  }
  if (IN6_IS_ADDR_LINKLOCAL(a) || (a->s6_addr[0] & 0xfe) == 0xfc) return MS_LOCAL; /* RFC 4193 */
  return MS_PUBLIC;
}

static bool ends_in(const char *host, const char *suffix) {
  size_t n = strlen(host), k = strlen(suffix);
  return n >= k && strcasecmp(host + n - k, suffix) == 0;
}

unsigned ms__host_scope(const char *host) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr in6;
  struct in_addr in4;
  size_t used;
  if (!*host || strcasecmp(host, "localhost") == 0 || ends_in(host, ".localhost")) return MS_DEVICE;
  if (inet_pton(AF_INET, host, &in4) == 1) return scope4(ntohl(in4.s_addr));
  if (bare(host, strlen(host), text, &used) && inet_pton(AF_INET6, text, &in6) == 1)
    return scope6(&in6);
  return ends_in(host, ".local") ? MS_LOCAL : MS_PUBLIC;
}

bool ms__host_is_wildcard(const char *host) {
  return *host && ms__host_scope(host) == (MS_DEVICE | MS_LOCAL | MS_PUBLIC);
}
