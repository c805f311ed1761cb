/* Structures of options, which grow from one version to the next. */
#ifndef MS_BASE_OPTS_H
#define MS_BASE_OPTS_H

#include "multiserver.h"

/* Copies the options that an application has `given`, whose first member says their size, into
 * `out`, a structure of `known` bytes. What an older header lacks asks for the default; what a
 * newer one has beyond what is known here has to. 0, or MS_EINVAL with *err. */
int ms__opts_read(void *out, size_t known, const void *given, ms_error *err);

#endif
