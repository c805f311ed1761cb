/* secret-handshake, one role: either bytes of any kind under keys that the input names, or a peer
 * who knows all keys, does its part, and has some of its bytes turned. */
#ifndef FUZZ_SHS_H
#define FUZZ_SHS_H

#include "fuzz.h"

int fuzz_shs(bool server, const uint8_t *data, size_t size);

#endif
