#include "addr/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "addr/addr.h"

enum { ADDRESS = 16, MAPPED_BITS = 96 };

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool ms__address_is_mapped(const uint8_t bytes[16]) {
  return memcmp(bytes, mapped, sizeof mapped) == 0;
}

bool ms__address_bytes(const struct sockaddr_storage *address, uint8_t out[16]) {
  const void *a = address;
  switch (address->ss_family) {
    case AF_INET:
      memcpy(out, mapped, sizeof mapped);
      memcpy(out + sizeof mapped, &((const struct sockaddr_in *)a)->sin_addr, 4);
      return true;
    case AF_INET6:
      memcpy(out, &((const struct sockaddr_in6 *)a)->sin6_addr, ADDRESS);
      return true;
    default:
      return false;
  }
}

/* Are the first `bits` bits the same? */
static bool begins(const uint8_t a[ADDRESS], const uint8_t b[ADDRESS], unsigned bits) {
  unsigned whole = bits / 8, rest = bits % 8;
  return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool ms__cidr_parse(struct ms__cidr *out, const char *text) {
  struct sockaddr_storage address;
  const char *slash = strchr(text, '/');
  size_t n = slash ? (size_t)(slash - text) : strlen(text);
  int family = memchr(text, ':', n) ? AF_INET6 : AF_INET, most = family == AF_INET ? 32 : 128, bits;
  if (!ms__address_read(&address, family, text, n)) return false;
  bits = most;
  if (slash && (!ms__port_parse(slash + 1, strlen(slash + 1), &bits) || bits > most)) return false;
  if (!ms__address_bytes(&address, out->address)) return false;
  out->bits = (unsigned)bits + (family == AF_INET ? MAPPED_BITS : 0);
  for (unsigned i = out->bits; i < 8 * ADDRESS; i++)
    if (out->address[i / 8] & 0x80 >> i % 8) return false;
  return true;
}

bool ms__cidr_has(const struct ms__cidr *sets, size_t count,
                  const struct sockaddr_storage *address) {
  uint8_t bytes[ADDRESS];
  if (!count || !ms__address_bytes(address, bytes)) return false;
  for (size_t i = 0; i < count; i++)
    if (begins(sets[i].address, bytes, sets[i].bits)) return true;
  return false;
}

void ms__address_set_port(struct sockaddr_storage *address, uint16_t port) {
  void *a = address;
  if (address->ss_family == AF_INET) ((struct sockaddr_in *)a)->sin_port = htons(port);
  if (address->ss_family == AF_INET6) ((struct sockaddr_in6 *)a)->sin6_port = htons(port);
}

void ms__address_make(struct sockaddr_storage *out, int family, const void *bytes, uint16_t port) {
  void *o = out;
  memset(out, 0, sizeof *out);
  out->ss_family = (sa_family_t)family;
  if (family == AF_INET)
    memcpy(&((struct sockaddr_in *)o)->sin_addr, bytes, 4);
  else
    memcpy(&((struct sockaddr_in6 *)o)->sin6_addr, bytes, ADDRESS);
  ms__address_set_port(out, port);
}

bool ms__address_read(struct sockaddr_storage *out, int family, const char *text, size_t n) {
  char literal[INET6_ADDRSTRLEN];
  uint8_t bytes[ADDRESS];
  if (n >= sizeof literal || memchr(text, '\0', n)) return false;
  memcpy(literal, text, n);
  literal[n] = '\0';
  if (inet_pton(family, literal, bytes) != 1) return false;
  ms__address_make(out, family, bytes, 0);
  return true;
}
