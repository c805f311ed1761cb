/* Memory through the context's allocator hook, and wiping. */
#ifndef MS_BASE_MEM_H
#define MS_BASE_MEM_H

#include <stddef.h>

#include "multiserver.h"

/* malloc and free. */
extern const ms_allocator ms__default_allocator;

/* `size` zeroed bytes, or NULL. */
void *ms__calloc(const ms_allocator *a, size_t size);

/* `size` bytes as they come, or NULL. */
void *ms__malloc(const ms_allocator *a, size_t size);

/* Frees; NULL is allowed. */
void ms__free(const ms_allocator *a, void *p);

/* A copy of a string, or NULL. */
char *ms__strdup(const ms_allocator *a, const char *s);

/* Overwrites with zeros in a way the compiler keeps; p may be NULL when n is 0. */
void ms__wipe(void *p, size_t n);

#endif
