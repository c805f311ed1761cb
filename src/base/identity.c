/* Identities: Ed25519 key pairs, as libsodium keeps them. */
#include <sodium.h>
#include <string.h>

#include "base/mem.h"

const uint8_t ms_scuttlebutt_network_key[MS_KEY_BYTES] = {
    0xd4, 0xa1, 0xcb, 0x88, 0xa6, 0x6f, 0x02, 0xf8, 0xdb, 0x63, 0x5c, 0xe2, 0x64, 0x41, 0xcc, 0x5d,
    0xac, 0x1b, 0x08, 0x42, 0x0c, 0xea, 0xac, 0x23, 0x08, 0x39, 0xb7, 0x55, 0x84, 0x5a, 0x9f, 0xfb};

int ms_identity_generate(ms_identity *out) {
  if (sodium_init() < 0) return MS_ESYSTEM;
  (void)crypto_sign_keypair(out->public_key, out->secret_key);
  return 0;
}

int ms_identity_from_seed(ms_identity *out, const uint8_t *seed) {
  if (sodium_init() < 0) return MS_ESYSTEM;
  (void)crypto_sign_seed_keypair(out->public_key, out->secret_key, seed);
  return 0;
}

void ms_identity_wipe(ms_identity *identity) {
  ms__wipe(identity, sizeof *identity);
}
