/* Addresses of machines, and sets of them. IPv4 is the part ::ffff:0:0/96 of IPv6 here. */
#ifndef MS_ADDR_CIDR_H
#define MS_ADDR_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* The addresses that begin with the same `bits` bits. */
struct ms__cidr {
  uint8_t address[16];
  unsigned bits;
};

/* The 16 bytes of an internet address; false for another. And whether such bytes are IPv4. */
bool ms__address_bytes(const struct sockaddr_storage *address, uint8_t out[16]);
bool ms__address_is_mapped(const uint8_t bytes[16]);

/* Reads "192.0.2.0/24", "2001:db8::/32" or one address. False: it is none, or bits are set that the
 * prefix does not have. */
bool ms__cidr_parse(struct ms__cidr *out, const char *text);

/* Is an address in one of `count` sets? One that is not the internet's is in none. */
bool ms__cidr_has(const struct ms__cidr *sets, size_t count,
                  const struct sockaddr_storage *address);

/* Makes the address of a family, AF_INET or AF_INET6, from its 4 or 16 bytes. */
void ms__address_make(struct sockaddr_storage *out, int family, const void *bytes, uint16_t port);

/* Sets the port of an internet address; another has none. */
void ms__address_set_port(struct sockaddr_storage *address, uint16_t port);

/* Reads a literal address of n bytes; its port is 0. False: it is none of that family. */
bool ms__address_read(struct sockaddr_storage *out, int family, const char *text, size_t n);

#endif
