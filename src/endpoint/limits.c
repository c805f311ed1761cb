#include "endpoint/limits.h"

#include <sodium.h>
#include <string.h>

#include "base/mem.h"
#include "conn/pool.h"

enum {
  CONNECTIONS = 4096,
  HANDSHAKES = 1024,
  PER_ADDRESS = 64,
  PER_SECOND = 32,
  PAGES_PER_ADDRESS = 128,
  PAGES_PER_SECOND = 256,
  BUFFERED = 256 << 20,
  BLOCKS_EACH = 6, /* a stalled connection holds no more */
  BLOCK_LEAST = 1024,
  BUCKETS = 64,  /* at first */
  SECOND = 1000, /* msec */
  PREFIX6 = 7,   /* bytes of an IPv6 address: what one customer usually has */
  ADDRESS = 16
};

struct ms__source {
  struct ms__source *next;          /* of its bucket */
  struct ms__source *older, *newer; /* among those without connections */
  uint8_t address[ADDRESS];
  struct {
    uint32_t count;  /* connections */
    uint64_t tokens; /* thousandths of a new one, or of a request for a page, that may come */
    uint64_t at;     /* when the last one came, msec */
  } of[MS__USES];
  uint64_t at; /* the later of them */
};

static uint32_t or_default(uint32_t value, uint32_t otherwise) {
  return value ? value : otherwise;
}

void ms_limits_default(ms_limits *out) {
  *out = (ms_limits){.connections = CONNECTIONS,
                     .handshakes = HANDSHAKES,
                     .per_address = PER_ADDRESS,
                     .per_second = PER_SECOND,
                     .pages_per_address = PAGES_PER_ADDRESS,
                     .pages_per_second = PAGES_PER_SECOND,
                     .idle_msec = UINT32_MAX,
                     .buffered = BUFFERED,
                     .buffered_each = (size_t)BLOCKS_EACH * MS__BLOCK};
}

void ms__limits_init(struct ms__limits *l, const ms_allocator *allocator, const ms_limits *max) {
  static const ms_limits none;
  ms_limits standard;
  ms_limits_default(&standard);
  if (!max) max = &none;
  l->allocator = allocator;
  l->max.connections = or_default(max->connections, standard.connections);
  l->max.handshakes = or_default(max->handshakes, standard.handshakes);
  l->max.per_address = or_default(max->per_address, standard.per_address);
  l->max.per_second = or_default(max->per_second, standard.per_second);
  l->max.pages_per_address = or_default(max->pages_per_address, standard.pages_per_address);
  l->max.pages_per_second = or_default(max->pages_per_second, standard.pages_per_second);
  l->max.idle_msec = or_default(max->idle_msec, standard.idle_msec);
  l->max.buffered = max->buffered ? max->buffered : standard.buffered;
  l->max.buffered_each = max->buffered_each ? max->buffered_each : standard.buffered_each;
  randombytes_buf(l->hash_key, sizeof l->hash_key);
}

uint32_t ms__limits_block(const struct ms__limits *l) {
  size_t block = l->max.buffered_each / BLOCKS_EACH;
  if (block < BLOCK_LEAST) return BLOCK_LEAST;
  return block < MS__BLOCK ? (uint32_t)block : MS__BLOCK;
}

void ms__limits_done(struct ms__limits *l) {
  for (size_t i = 0; i < l->bucket_count; i++)
    while (l->buckets[i]) {
      struct ms__source *g = l->buckets[i];
      l->buckets[i] = g->next;
      ms__free(l->allocator, g);
    }
  ms__free(l->allocator, l->buckets);
  l->buckets = NULL;
}

static uint32_t most_at_once(const struct ms__limits *l, enum ms__use use) {
  return use == MS__PAGE ? l->max.pages_per_address : l->max.per_address;
}

static uint32_t most_in_a_second(const struct ms__limits *l, enum ms__use use) {
  return use == MS__PAGE ? l->max.pages_per_second : l->max.per_second;
}

/* ---- The table ---- */

/* Under a secret key: nobody can choose addresses that meet in one bucket. */
static struct ms__source **bucket_of(const struct ms__limits *l, const uint8_t address[ADDRESS]) {
  uint8_t hash[crypto_shorthash_BYTES];
  uint64_t h;
  (void)crypto_shorthash(hash, address, ADDRESS, l->hash_key);
  memcpy(&h, hash, sizeof h);
  return &l->buckets[h & (l->bucket_count - 1)];
}

static void unlink_idle(struct ms__limits *l, struct ms__source *g) {
  if (g->older)
    g->older->newer = g->newer;
  else
    l->oldest = g->newer;
  if (g->newer)
    g->newer->older = g->older;
  else
    l->newest = g->older;
}

static void link_idle(struct ms__limits *l, struct ms__source *g) {
  g->newer = NULL;
  g->older = l->newest;
  if (l->newest)
    l->newest->newer = g;
  else
    l->oldest = g;
  l->newest = g;
}

static void forget(struct ms__limits *l, struct ms__source *g) {
  struct ms__source **at = bucket_of(l, g->address);
  while (*at != g)
    at = &(*at)->next;
  *at = g->next;
  unlink_idle(l, g);
  ms__free(l->allocator, g);
  l->sources--;
}

/* Twice as many buckets; without memory the chains grow instead. */
static void grow(struct ms__limits *l) {
  size_t n = l->bucket_count ? 2 * l->bucket_count : BUCKETS;
  struct ms__source **old = l->buckets, *g;
  struct ms__source **buckets = ms__calloc(l->allocator, n * sizeof *buckets);
  size_t old_count = l->bucket_count;
  if (!buckets) return;
  l->buckets = buckets;
  l->bucket_count = n;
  for (size_t i = 0; i < old_count; i++)
    while ((g = old[i])) {
      struct ms__source **at = bucket_of(l, g->address);
      old[i] = g->next;
      g->next = *at;
      *at = g;
    }
  ms__free(l->allocator, old);
}

/* Those without connections whose last second is over make room: two for each that comes. */
static void sweep(struct ms__limits *l, uint64_t now) {
  for (int i = 0; i < 2 && l->oldest && now >= l->oldest->at + SECOND; i++)
    forget(l, l->oldest);
}

static struct ms__source *find(struct ms__limits *l, const uint8_t address[ADDRESS]) {
  struct ms__source *g = l->bucket_count ? *bucket_of(l, address) : NULL;
  while (g && memcmp(g->address, address, ADDRESS) != 0)
    g = g->next;
  return g;
}

static struct ms__source *make(struct ms__limits *l, const uint8_t address[ADDRESS], uint64_t now) {
  struct ms__source *g, **at;
  if (l->sources >= l->bucket_count) grow(l);
  if (!l->bucket_count || !(g = ms__calloc(l->allocator, sizeof *g))) return NULL;
  memcpy(g->address, address, ADDRESS);
  for (int use = 0; use < MS__USES; use++) {
    g->of[use].tokens = (uint64_t)most_in_a_second(l, (enum ms__use)use) * SECOND;
    g->of[use].at = now;
  }
  g->at = now;
  at = bucket_of(l, address);
  g->next = *at;
  *at = g;
  link_idle(l, g);
  l->sources++;
  return g;
}

/* ---- Coming and going ---- */

/* So many thousandths of a new one come back in a millisecond as there may be new ones in a second.
 */
static bool is_too_fast(const struct ms__limits *l, struct ms__source *g, uint64_t now,
                        enum ms__use use) {
  uint32_t rate = most_in_a_second(l, use);
  uint64_t most = (uint64_t)rate * SECOND, *tokens = &g->of[use].tokens;
  uint64_t passed = now > g->of[use].at ? now - g->of[use].at : 0;
  if (rate == UINT32_MAX) return false;
  if (passed > SECOND) passed = SECOND;
  *tokens += passed * rate;
  if (*tokens > most) *tokens = most;
  g->of[use].at = g->at = now;
  if (*tokens < SECOND) return true;
  *tokens -= SECOND;
  return false;
}

static bool is_too_many(const struct ms__limits *l, const struct ms__source *g, enum ms__use use) {
  uint32_t most = most_at_once(l, use);
  return most != UINT32_MAX && g->of[use].count >= most;
}

static bool is_idle(const struct ms__source *g) {
  return g->of[MS__SESSION].count == 0 && g->of[MS__PAGE].count == 0;
}

enum ms__verdict ms__limits_enter(struct ms__limits *l, const union ms__inet *address, uint64_t now,
                                  enum ms__use use, struct ms__source **source) {
  uint8_t bytes[ADDRESS];
  struct ms__source *g;
  *source = NULL;
  if (ms__inet_is_loopback(address) || !ms__inet_bytes(address, bytes)) return MS__ADMITTED;
  if (!ms__inet_is_mapped(bytes)) memset(bytes + PREFIX6, 0, ADDRESS - PREFIX6);
  sweep(l, now);
  g = find(l, bytes);
  if (!g) g = make(l, bytes, now);
  if (!g) return MS__NO_MEMORY;
  if (is_idle(g)) { /* the newest of them: it is not forgotten before its second is over */
    unlink_idle(l, g);
    link_idle(l, g);
  }
  if (is_too_fast(l, g, now, use)) return MS__TOO_FAST;
  if (is_too_many(l, g, use)) return MS__TOO_MANY;
  if (is_idle(g)) unlink_idle(l, g);
  g->of[use].count++;
  *source = g;
  return MS__ADMITTED;
}

void ms__limits_leave(struct ms__limits *l, struct ms__source *source, enum ms__use use) {
  if (!source) return;
  source->of[use].count--;
  if (is_idle(source)) link_idle(l, source);
}

enum ms__verdict ms__limits_turn(struct ms__limits *l, struct ms__source *source, uint64_t now,
                                 enum ms__use use) {
  enum ms__use other = use == MS__PAGE ? MS__SESSION : MS__PAGE;
  if (!source) return MS__ADMITTED;
  if (is_too_fast(l, source, now, other)) return MS__TOO_FAST;
  if (is_too_many(l, source, other)) return MS__TOO_MANY;
  source->of[use].count--;
  source->of[other].count++;
  return MS__ADMITTED;
}

bool ms__limits_ask(struct ms__limits *l, struct ms__source *source, uint64_t now) {
  return !source || !is_too_fast(l, source, now, MS__PAGE);
}
