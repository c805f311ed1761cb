#include "base/mem.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *user, size_t size) {
  (void)user;
  return malloc(size);
}

static void default_free(void *user, void *p) {
  (void)user;
  free(p);
}

const ms_allocator ms__default_allocator = {
    .alloc = default_alloc, .free = default_free, .user = NULL};

void *ms__malloc(const ms_allocator *a, size_t size) {
  return a->alloc(a->user, size);
}

void *ms__calloc(const ms_allocator *a, size_t size) {
  void *p = a->alloc(a->user, size);
  if (p) memset(p, 0, size);
  return p;
}

void ms__free(const ms_allocator *a, void *p) {
  if (p) a->free(a->user, p);
}

char *ms__strdup(const ms_allocator *a, const char *s) {
  size_t n = strlen(s) + 1;
  char *copy = ms__malloc(a, n);
  if (copy) memcpy(copy, s, n);
  return copy;
}

void ms__wipe(void *p, size_t n) {
  if (n) sodium_memzero(p, n);
}
