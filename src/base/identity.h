/* Identities, inside the library. */
#ifndef MS_BASE_IDENTITY_H
#define MS_BASE_IDENTITY_H

#include "multiserver.h"

enum { MS__SECRET_BYTES = 64 }; /* a secret key as in libsodium: seed, public key */

/* A key pair; it always belongs together. Those of the public face lie in guarded memory, which is
 * read-only once they are made. */
struct ms_identity {
  uint8_t public_key[MS_KEY_BYTES];
  uint8_t secret_key[MS__SECRET_BYTES];
};

/* Fills *out, wherever it lies; the seed lies elsewhere. The caller has started libsodium and
 * wipes. */
void ms__identity_derive(struct ms_identity *out, const uint8_t seed[MS_KEY_BYTES]);

/* A copy in guarded memory of its own, to be freed with ms_identity_free. NULL: no memory. */
ms_identity *ms__identity_copy(const ms_identity *identity);

#endif
