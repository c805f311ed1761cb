/* How much of a server one address may take, and how fast. */
#ifndef MS_ENDPOINT_LIMITS_H
#define MS_ENDPOINT_LIMITS_H

#include "addr/inet.h"
#include "multiserver.h"

/* An address that has connections, or had some a moment ago: an IPv4 address, an IPv6 /56. */
struct ms__source;

struct ms__limits {
  const ms_allocator *allocator;
  ms_limits max; /* no default left; UINT32_MAX: none */
  struct ms__source **buckets;
  size_t bucket_count, sources;       /* the former a power of two, or 0 */
  struct ms__source *oldest, *newest; /* of those without connections */
  uint8_t hash_key[16];
};

/* What a connection is counted as. */
enum ms__use { MS__SESSION, MS__PAGE };
enum { MS__USES = 2 };

enum ms__verdict { MS__ADMITTED, MS__TOO_MANY, MS__TOO_FAST, MS__NO_MEMORY };

/* `max` may be NULL: the defaults. */
void ms__limits_init(struct ms__limits *l, const ms_allocator *allocator, const ms_limits *max);
void ms__limits_done(struct ms__limits *l);

/* The size of the largest buffer that keeps a connection within `buffered_each`. */
uint32_t ms__limits_block(const struct ms__limits *l);

/* One more from this address at the time `now`, msec; a page is asked for with it. *source is to be
 * given back with ms__limits_leave when it is ADMITTED; NULL where nobody counts: loopback and unix
 * sockets. */
enum ms__verdict ms__limits_enter(struct ms__limits *l, const union ms__inet *address, uint64_t now,
                                  enum ms__use use, struct ms__source **source);
void ms__limits_leave(struct ms__limits *l, struct ms__source *source, enum ms__use use);

/* It is of the other use than `use` from now on, where that is ADMITTED. NULL always is. */
enum ms__verdict ms__limits_turn(struct ms__limits *l, struct ms__source *source, uint64_t now,
                                 enum ms__use use);

/* May it ask for one more page? NULL may. */
bool ms__limits_ask(struct ms__limits *l, struct ms__source *source, uint64_t now);

#endif
