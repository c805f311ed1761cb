#include "conn/pool.h"

#include <string.h>

#include "base/mem.h"

/* A freed block is poisoned under AddressSanitizer, so that a pointer kept too long is found. */
#if defined(__SANITIZE_ADDRESS__)
#define MS__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MS__ASAN 1
#endif
#endif
#ifdef MS__ASAN
#include <sanitizer/asan_interface.h>
#define poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define poison(p, n)   ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

/* What the free list of one class may keep, so that a burst does not pin its memory for ever. */
enum { KEEP_BYTES = 1 << 20, KEEP_LEAST = 4 };

static const uint32_t small_classes[MS__CLASSES - 1] = {256, 1024, 4096, 16384, 32768};

void ms__pool_init(struct ms__pool *pool, const ms_allocator *allocator, uint32_t largest) {
  memset(pool, 0, sizeof *pool);
  pool->allocator = allocator;
  for (size_t i = 0; i < MS__CLASSES - 1; i++)
    pool->sizes[i] = small_classes[i] < largest ? small_classes[i] : largest;
  pool->sizes[MS__CLASSES - 1] = largest;
}

static size_t class_of(const struct ms__pool *pool, uint32_t size) {
  size_t i = 0;
  while (i < MS__CLASSES && pool->sizes[i] != size)
    i++;
  return i;
}

void ms__pool_done(struct ms__pool *pool) {
  for (size_t i = 0; i < MS__CLASSES; i++) {
    while (pool->free[i]) {
      void *block = pool->free[i];
      unpoison(block, pool->sizes[i]);
      memcpy(&pool->free[i], block, sizeof(void *));
      ms__free(pool->allocator, block);
    }
    pool->kept[i] = 0;
  }
}

uint32_t ms__pool_class(const struct ms__pool *pool, size_t n) {
  for (size_t i = 0; i < MS__CLASSES; i++)
    if (n <= pool->sizes[i]) return pool->sizes[i];
  return (uint32_t)n;
}

uint8_t *ms__pool_take(struct ms__pool *pool, uint32_t size) {
  size_t i = class_of(pool, size);
  void *block;
  if (pool->limit && pool->out_bytes + size > pool->limit) return NULL;
  if (i < MS__CLASSES && pool->free[i]) {
    block = pool->free[i];
    unpoison(block, size);
    memcpy(&pool->free[i], block, sizeof(void *));
    pool->kept[i]--;
  } else {
    block = ms__malloc(pool->allocator, size);
    if (!block) return NULL;
  }
  pool->out++;
  pool->out_bytes += size;
  if (pool->out_bytes > pool->peak_bytes) pool->peak_bytes = pool->out_bytes;
  return block;
}

void ms__pool_give(struct ms__pool *pool, uint8_t *block, uint32_t size, uint32_t wipe) {
  size_t i = class_of(pool, size);
  uint32_t keep;
  ms__wipe(block, wipe);
  pool->out--;
  pool->out_bytes -= size;
  if (i == MS__CLASSES) {
    ms__free(pool->allocator, block);
    return;
  }
  keep = KEEP_BYTES / size;
  if (pool->kept[i] >= (keep > KEEP_LEAST ? keep : KEEP_LEAST)) {
    ms__free(pool->allocator, block);
    return;
  }
  memcpy(block, &pool->free[i], sizeof(void *));
  pool->free[i] = block;
  pool->kept[i]++;
  poison(block, size);
}
