/* Addresses, inside the library. The grammar stands in parse.c, a protocol's own data in section.c,
 * hosts and ports in host.c. */
#ifndef MS_ADDR_ADDR_H
#define MS_ADDR_ADDR_H

#include "base/text.h"
#include "multiserver.h"

enum {
  MS__ALTERNATIVES_MAX = 4096, /* in one address */
  MS__SECTIONS_MAX = 16,       /* in one alternative */
  MS__MEMORY_NAME = 100,       /* bytes of memory's */
  MS__SECTION_SPARE = 160      /* see struct ms__reading */
};

/* Writes a section in its canonical form, escaped. `safe`: without seed and user information, for
 * errors and logs. */
void ms__section_format(struct ms__text *t, const ms_section *s, bool safe);

/* As ms_addr_format, with safe sections. */
size_t ms__addr_format_safe(const ms_addr *addr, size_t i, char *buf, size_t size);

/* ---- Sections (section.c) ---- */

/* A section being read. */
struct ms__reading {
  const char *text; /* unescaped, ended by NUL, controls refused */
  size_t length;
  const char *raw; /* as it stands in the address; not ended */
  size_t raw_length;
  enum ms_addr_use use;
  bool above;  /* it stands on another section */
  char *spare; /* room for what it keeps: thrice `raw_length`, MS__SECTION_SPARE bytes more */
  bool named;  /* out: `text` begins with a name, `name_length` bytes */
  size_t name_length; /* out */
  /* on failure: what is wrong, and where in `text` */
  const char *why;
  size_t at;
};

/* Reads one section. False with `why` and `at` set. */
bool ms__section_read(ms_section *out, struct ms__reading *r);

/* ---- Hosts and ports (host.c) ---- */

/* The scopes, of enum ms_scope, from which a host can be reached: loopback MS_DEVICE, private and
 * link-local MS_LOCAL, a wildcard all, anything else MS_PUBLIC. */
unsigned ms__host_scope(const char *host);

/* Literal IPv4 or IPv6. */
bool ms__host_is_address(const char *host);

bool ms__host_is_wildcard(const char *host);

/* The length of a name without the dot that says it is whole: "localhost." is localhost. */
size_t ms__host_length(const char *host);

/* "", localhost and the names below it, which nobody is asked for (RFC 6761, section 6.3). */
bool ms__host_is_loopback_name(const char *host);

/* Cuts the zone of an IPv6 address off. */
void ms__host_without_zone(char *host);

/* Turns an IPv4-mapped IPv6 address (::ffff:192.0.2.1) into the IPv4 address, in place, as it is
 * advertised; leaves any other host alone. */
void ms__host_without_mapping(char *host);

/* Writes an IPv6 address, with its zone if it has one, as in RFC 5952. False when it is none; then
 * nothing is written. */
bool ms__host_ipv6(const char *host, size_t length, char *buf, size_t size);

/* The port of a ws section where none is named. */
int ms__ws_port(const ms_section *s);

/* Digits only, 0 to 65,535, leading zeros allowed. */
bool ms__port_parse(const char *s, size_t length, int *port);

#endif
