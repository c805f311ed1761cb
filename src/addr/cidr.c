#include "addr/cidr.h"

#include <string.h>

#include "addr/addr.h"

enum { ADDRESS = 16, MAPPED_BITS = 96 };

/* Are the first `bits` bits the same? */
static bool begins(const uint8_t a[ADDRESS], const uint8_t b[ADDRESS], unsigned bits) {
  unsigned whole = bits / 8, rest = bits % 8;
  return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool ms__cidr_parse(struct ms__cidr *out, const char *text) {
  union ms__inet address;
  const char *slash = strchr(text, '/');
  size_t n = slash ? (size_t)(slash - text) : strlen(text);
  int family = memchr(text, ':', n) ? AF_INET6 : AF_INET, most = family == AF_INET ? 32 : 128, bits;
  if (!ms__inet_read(&address, family, text, n)) return false;
  bits = most;
  if (slash && (!ms__port_parse(slash + 1, strlen(slash + 1), &bits) || bits > most)) return false;
  if (!ms__inet_bytes(&address, out->address)) return false;
  out->bits = (unsigned)bits + (family == AF_INET ? MAPPED_BITS : 0);
  for (unsigned i = out->bits; i < 8 * ADDRESS; i++)
    if (out->address[i / 8] & 0x80 >> i % 8) return false;
  return true;
}

bool ms__cidr_overlap(const struct ms__cidr *a, const struct ms__cidr *b) {
  return begins(a->address, b->address, a->bits < b->bits ? a->bits : b->bits);
}

bool ms__cidr_has(const struct ms__cidr *sets, size_t count, const union ms__inet *address) {
  uint8_t bytes[ADDRESS];
  if (!count || !ms__inet_bytes(address, bytes)) return false;
  for (size_t i = 0; i < count; i++)
    if (begins(sets[i].address, bytes, sets[i].bits)) return true;
  return false;
}
