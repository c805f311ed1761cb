/* Hosts and ports: what they are, how they are written, where they can be reached from. */
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

/* The address without its zone; *used is how much of `host` that is. */
static bool read_ipv6(const char *host, size_t length, struct in6_addr *out, size_t *used) {
  char text[INET6_ADDRSTRLEN];
  const char *zone = memchr(host, '%', length);
  *used = zone ? (size_t)(zone - host) : length;
  if (*used >= sizeof text) return false;
  memcpy(text, host, *used);
  text[*used] = '\0';
  return inet_pton(AF_INET6, text, out) == 1;
}

static void put_group(struct ms__text *t, unsigned group) {
  int shift = 12;
  while (shift && group >> shift == 0)
    shift -= 4;
  for (; shift >= 0; shift -= 4)
    ms__text_char(t, "0123456789abcdef"[group >> shift & 15]);
}

/* RFC 5952. C libraries do not agree on it: some write ::1:0 as ::0.1.0.0. */
static void put_ipv6(struct ms__text *t, const struct in6_addr *a) {
  unsigned groups[8];
  size_t from = 8, most = 1; /* the zeros written as "::", the first longest run of two or more */
  for (size_t i = 0; i < 8; i++)
    groups[i] = (unsigned)a->s6_addr[2 * i] << 8 | a->s6_addr[2 * i + 1];
  if (IN6_IS_ADDR_V4MAPPED(a)) { /* section 5: a known prefix */
    char ipv4[INET_ADDRSTRLEN];
    ms__text_string(t, "::ffff:");
    ms__text_string(t, inet_ntop(AF_INET, a->s6_addr + 12, ipv4, sizeof ipv4) ? ipv4 : "");
    return;
  }
  for (size_t i = 0; i < 8; i++) {
    size_t n = 0;
    while (i + n < 8 && groups[i + n] == 0)
      n++;
    if (n > most) {
      from = i;
      most = n;
    }
  }
  for (size_t i = 0; i < 8;) {
    if (i == from) {
      ms__text_string(t, "::");
      i += most;
      continue;
    }
    if (i && i != from + most) ms__text_char(t, ':');
    put_group(t, groups[i++]);
  }
}

bool ms__host_ipv6(const char *host, size_t length, char *buf, size_t size) {
  struct in6_addr in6;
  struct ms__text t;
  size_t used;
  if (!read_ipv6(host, length, &in6, &used)) return false;
  ms__text_init(&t, buf, size);
  put_ipv6(&t, &in6);
  ms__text_bytes(&t, host + used, length - used);
  return true;
}

void ms__host_without_mapping(char *host) {
  char ipv4[INET_ADDRSTRLEN];
  struct in6_addr in6;
  size_t used;
  if (!read_ipv6(host, strlen(host), &in6, &used) || !IN6_IS_ADDR_V4MAPPED(&in6)) return;
  /* "::ffff:" and eight digits are never shorter than four decimal numbers. */
  if (inet_ntop(AF_INET, in6.s6_addr + 12, ipv4, sizeof ipv4) && strlen(ipv4) <= strlen(host))
    memcpy(host, ipv4, strlen(ipv4) + 1);
}

/* 10/8, 172.16/12, 192.168/16 (RFC 1918), 100.64/10 (RFC 6598), 169.254/16 (RFC 3927), 192.0.0/24
 * (RFC 6890), 198.18/15 (RFC 2544). */
static bool is_local4(uint32_t a) {
  return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191 ||
         a >> 16 == 0xa9fe || a >> 8 == 0xc00000 || a >> 17 == 0x6309;
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
  if (IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_SITELOCAL(a)) return MS_LOCAL;
  if ((a->s6_addr[0] & 0xfe) == 0xfc) return MS_LOCAL; /* RFC 4193 */
  return MS_PUBLIC;
}

size_t ms__host_length(const char *host) {
  size_t n = strlen(host);
  return n > 1 && host[n - 1] == '.' ? n - 1 : n;
}

static bool ends_in(const char *host, const char *suffix) {
  size_t n = ms__host_length(host), k = strlen(suffix);
  return n >= k && strncasecmp(host + n - k, suffix, k) == 0;
}

bool ms__host_is_loopback_name(const char *host) {
  return !*host || (ms__host_length(host) == 9 && ends_in(host, "localhost")) ||
         ends_in(host, ".localhost");
}

unsigned ms__host_scope(const char *host) {
  struct in6_addr in6;
  struct in_addr in4;
  size_t used;
  if (ms__host_is_loopback_name(host)) return MS_DEVICE;
  if (inet_pton(AF_INET, host, &in4) == 1) return scope4(ntohl(in4.s_addr));
  if (read_ipv6(host, strlen(host), &in6, &used)) return scope6(&in6);
  return ends_in(host, ".local") ? MS_LOCAL : MS_PUBLIC;
}

bool ms__host_is_address(const char *host) {
  struct in6_addr in6;
  struct in_addr in4;
  size_t used;
  return inet_pton(AF_INET, host, &in4) == 1 || read_ipv6(host, strlen(host), &in6, &used);
}

bool ms__host_is_wildcard(const char *host) {
  return *host && ms__host_scope(host) == (MS_DEVICE | MS_LOCAL | MS_PUBLIC);
}
