/* Structures of options, which grow from one version to the next. */
#ifndef MS_BASE_OPTS_H
#define MS_BASE_OPTS_H

#include <assert.h>
#include <stddef.h>

#include "multiserver.h"

/* The last member of a structure of options ends where the structure does: one that is added later
 * lies beyond what an older header has, and never in bytes that nobody has written. */
#define MS__OPTS_END(type, last)                                                \
  static_assert(offsetof(type, last) + sizeof((type *)0)->last == sizeof(type), \
                "nothing may follow the last member of " #type)

/* Copies the options that an application has `given`, whose first member says their size, into
 * `out`, a structure of `known` bytes. What an older header lacks asks for the default; what a
 * newer one has beyond what is known here has to. 0, or MS_EINVAL with *err. */
int ms__opts_read(void *out, size_t known, const void *given, ms_error *err);

#endif
