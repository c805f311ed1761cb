/* Blocks for edges: a few sizes, free lists last in first out, so that the block taken is warm. */
#ifndef MS_CONN_POOL_H
#define MS_CONN_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "multiserver.h"

enum { MS__BLOCK = 69632, MS__CLASSES = 6 };

struct ms__pool {
  const ms_allocator *allocator;
  uint32_t sizes[MS__CLASSES]; /* ascending; the last is the largest block */
  void *free[MS__CLASSES];
  uint32_t kept[MS__CLASSES]; /* how many stand in a free list */
  size_t out;                 /* blocks taken and not given back */
  size_t out_bytes, peak_bytes;
  size_t limit; /* of out_bytes; 0: none */
};

/* `largest` is the size of the largest block, MS__BLOCK but in tests. */
void ms__pool_init(struct ms__pool *pool, const ms_allocator *allocator, uint32_t largest);

/* Frees what stands in the free lists. No block may be out. */
void ms__pool_done(struct ms__pool *pool);

/* The largest block's size. */
static inline uint32_t ms__pool_largest(const struct ms__pool *pool) {
  return pool->sizes[MS__CLASSES - 1];
}

/* The smallest class that holds n bytes, or n itself beyond the largest. */
uint32_t ms__pool_class(const struct ms__pool *pool, size_t n);

/* A block of exactly `size` bytes, uninitialised: a class, or any size beyond the largest. NULL
 * when the allocator has nothing, or the limit is met. */
uint8_t *ms__pool_take(struct ms__pool *pool, uint32_t size);

/* Gives a block back, after wiping its first `wipe` bytes. */
void ms__pool_give(struct ms__pool *pool, uint8_t *block, uint32_t size, uint32_t wipe);

#endif
