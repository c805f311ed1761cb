/* Sets of internet addresses. IPv4 is the part ::ffff:0:0/96 of IPv6 here. */
#ifndef MS_ADDR_CIDR_H
#define MS_ADDR_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "addr/inet.h"

/* The addresses that begin with the same `bits` bits. */
struct ms__cidr {
  uint8_t address[16];
  unsigned bits;
};

/* Reads "192.0.2.0/24", "2001:db8::/32" or one address. False: it is none, or bits are set that the
 * prefix does not have. */
bool ms__cidr_parse(struct ms__cidr *out, const char *text);

/* Is there an address in both? */
bool ms__cidr_overlap(const struct ms__cidr *a, const struct ms__cidr *b);

/* Is an address in one of `count` sets? What is no address is in none. */
bool ms__cidr_has(const struct ms__cidr *sets, size_t count, const union ms__inet *address);

#endif
