/* What stands in front of a server, and how it says who is behind it. */
#ifndef MS_ADDR_FRONT_H
#define MS_ADDR_FRONT_H

#include "addr/cidr.h"

/* One way each: a front that says it in one leaves the others to its clients. */
enum ms__front_says {
  MS__FRONT_PROXY = 1,           /* the PROXY protocol */
  MS__FRONT_X_FORWARDED_FOR = 2, /* that field of HTTP */
  MS__FRONT_FORWARDED = 4        /* that of RFC 7239 */
};

/* Those at these addresses say it so. */
struct ms__front {
  bool local;         /* whoever has connected a unix socket, else */
  struct ms__cidr at; /* at one of these */
  enum ms__front_says says;
};

/* Reads "CIDR=proxy", "CIDR=x-forwarded-for" or "CIDR=forwarded", or "unix" in the place of CIDR;
 * that alone is the first where there is no `http`, where nothing else can be meant. NULL, or what
 * is wrong with it. */
const char *ms__front_parse(struct ms__front *out, const char *text, bool http);

/* Do two of them say it in different fields of HTTP, at the same address? */
bool ms__fronts_differ(const struct ms__front *a, const struct ms__front *b);

/* How an address says it, of ms__front_says, or'ed; 0: it is none of them. */
unsigned ms__fronts_say(const struct ms__front *all, size_t count, const union ms__inet *address);

#endif
