/* Identities: Ed25519 key pairs, as libsodium keeps them. */
#include "base/identity.h"

#include <sodium.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

const uint8_t ms_scuttlebutt_network_key[MS_KEY_BYTES] = {
    0xd4, 0xa1, 0xcb, 0x88, 0xa6, 0x6f, 0x02, 0xf8, 0xdb, 0x63, 0x5c, 0xe2, 0x64, 0x41, 0xcc, 0x5d,
    0xac, 0x1b, 0x08, 0x42, 0x0c, 0xea, 0xac, 0x23, 0x08, 0x39, 0xb7, 0x55, 0x84, 0x5a, 0x9f, 0xfb};

void ms__identity_derive(struct ms_identity *out, const uint8_t seed[MS_KEY_BYTES]) {
  (void)crypto_sign_seed_keypair(out->public_key, out->secret_key, seed);
}

ms_identity *ms__identity_copy(const ms_identity *identity) {
  ms_identity *copy = sodium_malloc(sizeof *copy);
  if (!copy) return NULL;
  *copy = *identity;
  (void)sodium_mprotect_readonly(copy);
  return copy;
}

int ms_identity_from_seed(ms_identity **out, const uint8_t *seed, ms_error *err) {
  *out = NULL;
  if (sodium_init() < 0)
    return ms__error(err, MS_ESYSTEM, MS_PHASE_NONE, NULL, "libsodium cannot start");
  *out = sodium_malloc(sizeof **out);
  if (!*out)
    return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, "no guarded memory for an identity");
  ms__identity_derive(*out, seed);
  (void)sodium_mprotect_readonly(*out);
  return 0;
}

int ms_identity_generate(ms_identity **out, ms_error *err) {
  uint8_t seed[MS_KEY_BYTES];
  int r;
  *out = NULL;
  if (sodium_init() < 0)
    return ms__error(err, MS_ESYSTEM, MS_PHASE_NONE, NULL, "libsodium cannot start");
  randombytes_buf(seed, sizeof seed);
  r = ms_identity_from_seed(out, seed, err);
  ms__wipe(seed, sizeof seed);
  return r;
}

const uint8_t *ms_identity_key(const ms_identity *identity) {
  return identity->public_key;
}

void ms_identity_free(ms_identity *identity) {
  sodium_free(identity); /* which wipes */
}
