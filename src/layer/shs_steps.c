#include "layer/shs_steps.h"

#include <sodium.h>

#include "base/identity.h"
#include "base/mem.h"

/* Messages 3 and 4 are boxes under keys of one use, so that their nonce may be zero. */
static const uint8_t zero_nonce[crypto_secretbox_NONCEBYTES];

/* SHA-256 of `n` pieces of 32 bytes. */
static void hash(uint8_t out[32], const uint8_t *const pieces[], size_t n) {
  crypto_hash_sha256_state st;
  (void)crypto_hash_sha256_init(&st);
  for (size_t i = 0; i < n; i++)
    (void)crypto_hash_sha256_update(&st, pieces[i], 32);
  (void)crypto_hash_sha256_final(&st, out);
  ms__wipe(&st, sizeof st);
}

/* hash(K || a.b || a.B), the key of message 3; with A.b that of message 4. */
static void message_key(const struct ms__shs_steps *s, bool accept, uint8_t out[32]) {
  const uint8_t *const pieces[] = {s->network_key, s->ab, s->aB, s->Ab};
  hash(out, pieces, accept ? 4 : 3);
}

/* K || B_p || hash(a.b): what the client signs. */
static void client_claim(const struct ms__shs_steps *s, uint8_t out[96]) {
  memcpy(out, s->network_key, 32);
  memcpy(out + 32, s->server, 32);
  memcpy(out + 64, s->hash_ab, 32);
}

/* K || H || hash(a.b): what the server signs. */
static void server_claim(const struct ms__shs_steps *s, uint8_t out[160]) {
  memcpy(out, s->network_key, 32);
  memcpy(out + 32, s->proof, MS__SHS_PROOF);
  memcpy(out + 128, s->hash_ab, 32);
}

/* X25519; a result of zero (a low-order point) is refused. */
static int shared(uint8_t out[32], const uint8_t secret[32], const uint8_t public[32]) {
  return crypto_scalarmult(out, secret, public) == 0 ? 0 : MS_ECRYPTO;
}

/* The same with our long-term key. */
static int shared_long_term(uint8_t out[32], const ms_identity *identity,
                            const uint8_t public[32]) {
  uint8_t secret[32];
  int r = crypto_sign_ed25519_sk_to_curve25519(secret, identity->secret_key) == 0
              ? shared(out, secret, public)
              : MS_ECRYPTO;
  ms__wipe(secret, sizeof secret);
  return r;
}

/* The same with the peer's long-term key. */
static int shared_with_long_term(uint8_t out[32], const uint8_t secret[32], const uint8_t key[32]) {
  uint8_t public[32];
  if (crypto_sign_ed25519_pk_to_curve25519(public, key) != 0) return MS_ECRYPTO;
  return shared(out, secret, public);
}

void ms__shs_begin(struct ms__shs_steps *s, const uint8_t network_key[32],
                   const uint8_t ephemeral[32], const uint8_t server[32]) {
  memset(s, 0, sizeof *s);
  memcpy(s->network_key, network_key, 32);
  memcpy(s->ephemeral_secret, ephemeral, 32);
  memcpy(s->server, server, 32);
  (void)crypto_scalarmult_base(s->ephemeral_public, s->ephemeral_secret);
}

void ms__shs_write_hello(const struct ms__shs_steps *s, uint8_t out[MS__SHS_HELLO]) {
  (void)crypto_auth(out, s->ephemeral_public, 32, s->network_key);
  memcpy(out + 32, s->ephemeral_public, 32);
}

int ms__shs_read_hello(struct ms__shs_steps *s, const uint8_t in[MS__SHS_HELLO]) {
  if (crypto_auth_verify(in, in + 32, 32, s->network_key) != 0) return MS_ECRYPTO;
  memcpy(s->peer_ephemeral, in + 32, 32);
  if (shared(s->ab, s->ephemeral_secret, s->peer_ephemeral) < 0) return MS_ECRYPTO;
  (void)crypto_hash_sha256(s->hash_ab, s->ab, 32);
  return 0;
}

int ms__shs_write_auth(struct ms__shs_steps *s, const ms_identity *client,
                       uint8_t out[MS__SHS_AUTH]) {
  uint8_t claim[96], key[32];
  if (shared_with_long_term(s->aB, s->ephemeral_secret, s->server) < 0 ||
      shared_long_term(s->Ab, client, s->peer_ephemeral) < 0)
    return MS_ECRYPTO;
  client_claim(s, claim);
  (void)crypto_sign_detached(s->proof, NULL, claim, sizeof claim, client->secret_key);
  memcpy(s->proof + 64, client->public_key, 32);
  message_key(s, false, key);
  (void)crypto_secretbox_easy(out, s->proof, MS__SHS_PROOF, zero_nonce, key);
  ms__wipe(key, sizeof key);
  ms__wipe(claim, sizeof claim);
  return 0;
}

int ms__shs_read_auth(struct ms__shs_steps *s, const ms_identity *server,
                      const uint8_t in[MS__SHS_AUTH]) {
  uint8_t claim[96], key[32];
  int r;
  if (shared_long_term(s->aB, server, s->peer_ephemeral) < 0) return MS_ECRYPTO;
  message_key(s, false, key);
  r = crypto_secretbox_open_easy(s->proof, in, MS__SHS_AUTH, zero_nonce, key);
  ms__wipe(key, sizeof key);
  if (r != 0) return MS_ECRYPTO;
  client_claim(s, claim);
  r = crypto_sign_verify_detached(s->proof, claim, sizeof claim, ms__shs_client(s));
  ms__wipe(claim, sizeof claim);
  if (r != 0) return MS_ECRYPTO;
  return shared_with_long_term(s->Ab, s->ephemeral_secret, ms__shs_client(s));
}

void ms__shs_write_accept(const struct ms__shs_steps *s, const ms_identity *server,
                          uint8_t out[MS__SHS_ACCEPT]) {
  uint8_t claim[160], signature[64], key[32];
  server_claim(s, claim);
  (void)crypto_sign_detached(signature, NULL, claim, sizeof claim, server->secret_key);
  message_key(s, true, key);
  (void)crypto_secretbox_easy(out, signature, sizeof signature, zero_nonce, key);
  ms__wipe(key, sizeof key);
  ms__wipe(signature, sizeof signature);
  ms__wipe(claim, sizeof claim);
}

int ms__shs_read_accept(const struct ms__shs_steps *s, const uint8_t in[MS__SHS_ACCEPT]) {
  uint8_t claim[160], signature[64], key[32];
  int r;
  message_key(s, true, key);
  r = crypto_secretbox_open_easy(signature, in, MS__SHS_ACCEPT, zero_nonce, key);
  if (r == 0) {
    server_claim(s, claim);
    r = crypto_sign_verify_detached(signature, claim, sizeof claim, s->server);
    ms__wipe(claim, sizeof claim);
  }
  ms__wipe(signature, sizeof signature);
  ms__wipe(key, sizeof key);
  return r == 0 ? 0 : MS_ECRYPTO;
}

/* The key towards a receiver: hash(s || its long-term key). */
static void stream_key(uint8_t out[32], const uint8_t session[32], const uint8_t receiver[32]) {
  const uint8_t *const pieces[] = {session, receiver};
  hash(out, pieces, 2);
}

/* The first nonce towards a receiver: from the tag of its hello. */
static void stream_nonce(uint8_t out[MS__BOX_NONCE], const struct ms__shs_steps *s,
                         const uint8_t ephemeral[32]) {
  uint8_t tag[32];
  (void)crypto_auth(tag, ephemeral, 32, s->network_key);
  memcpy(out, tag, MS__BOX_NONCE);
}

void ms__shs_finish(const struct ms__shs_steps *s, bool is_server, struct ms__box_reader *in,
                    struct ms__box_writer *out) {
  uint8_t key[32], session[32];
  message_key(s, true, key);
  (void)crypto_hash_sha256(session, key, sizeof key);
  stream_key(in->key, session, is_server ? s->server : ms__shs_client(s));
  stream_key(out->key, session, is_server ? ms__shs_client(s) : s->server);
  stream_nonce(in->nonce, s, s->ephemeral_public);
  stream_nonce(out->nonce, s, s->peer_ephemeral);
  ms__wipe(key, sizeof key);
  ms__wipe(session, sizeof session);
}
