/* Internet addresses: a host's bytes and a port. */
#ifndef MS_ADDR_INET_H
#define MS_ADDR_INET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address as the system has it; with another family than AF_INET and AF_INET6, none: AF_UNIX is
 * whoever is at a unix socket. */
union ms__inet {
  sa_family_t family;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* Makes the address of a family, AF_INET or AF_INET6, from its 4 or 16 bytes. */
void ms__inet_make(union ms__inet *out, int family, const void *bytes, int port);

/* Reads a literal address of n bytes; its port is 0. False: it is none of that family. */
bool ms__inet_read(union ms__inet *out, int family, const char *text, size_t n);

/* The 16 bytes of an address, where IPv4 is the part ::ffff:0:0/96 of IPv6; false: it is none. And
 * whether such bytes are IPv4. */
bool ms__inet_bytes(const union ms__inet *address, uint8_t out[static 16]);
bool ms__inet_is_mapped(const uint8_t bytes[static 16]);

/* The port; 0, and nothing to set, where there is no address. */
int ms__inet_port(const union ms__inet *address);
void ms__inet_set_port(union ms__inet *address, int port);

/* 127.0.0.0/8, ::1. */
bool ms__inet_is_loopback(const union ms__inet *address);

/* Writes the host: IPv6 as in RFC 5952 with its zone, mapped IPv4 as IPv4; "" where there is no
 * address. */
void ms__inet_host(const union ms__inet *address, char *buf, size_t size);

#endif
