/* Keys as text. */
#ifndef MS_BASE_KEY_H
#define MS_BASE_KEY_H

#include <stdbool.h>

#include "multiserver.h"

/* Exactly `size` bytes of standard base64, with its '=' or without; bits that would be lost make it
 * none. `out` may be written also when it is false. */
bool ms__base64_read(uint8_t *out, size_t size, const char *text, size_t n);

/* The same with or without the suffix ".ed25519" of Scuttlebutt's. */
bool ms__key_read(uint8_t *out, size_t size, const char *text, size_t n);

#endif
