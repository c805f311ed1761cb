/* An allocator whose n-th allocation fails, once or from then on, and that counts what is out. */
#ifndef TEST_FAILING_MEMORY_H
#define TEST_FAILING_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "multiserver.h"

struct failing_memory {
  ms_allocator allocator;
  uint64_t count, fails_at; /* 0: never */
  bool forever;
  size_t out;
};

static inline void *failing_take(void *user, size_t size) {
  struct failing_memory *m = (struct failing_memory *)user;
  void *p;
  m->count++;
  if (m->fails_at && (m->count == m->fails_at || (m->forever && m->count > m->fails_at)))
    return NULL;
  p = malloc(size);
  if (p) m->out++;
  return p;
}

static inline void failing_give(void *user, void *p) {
  struct failing_memory *m = (struct failing_memory *)user;
  if (p) m->out--;
  free(p);
}

/* `m` stays where it is. */
static inline void failing_memory_init(struct failing_memory *m) {
  m->allocator = (ms_allocator){failing_take, failing_give, m};
  m->count = m->fails_at = 0;
  m->forever = false;
  m->out = 0;
}

#endif
