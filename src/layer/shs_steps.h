/* The four messages of secret-handshake v1 as pure functions (docs/behaviours.md, section 6). Keys
 * and messages are arrays of fixed length; everything derived stays in the struct, which the owner
 * wipes. All but the writers of hellos return 0 or MS_ECRYPTO. */
#ifndef MS_LAYER_SHS_STEPS_H
#define MS_LAYER_SHS_STEPS_H

#include "layer/shs_box.h"

enum { MS__SHS_HELLO = 64, MS__SHS_AUTH = 112, MS__SHS_ACCEPT = 80, MS__SHS_PROOF = 96 };

/* One side of a handshake. Upper case is long-term, lower case ephemeral, a and A the client's. */
struct ms__shs_steps {
  uint8_t network_key[32];        /* K */
  uint8_t ephemeral_secret[32];   /* ours: a or b */
  uint8_t ephemeral_public[32];   /* ours */
  uint8_t peer_ephemeral[32];     /* theirs */
  uint8_t ab[32], aB[32], Ab[32]; /* shared secrets */
  uint8_t hash_ab[32];
  uint8_t proof[MS__SHS_PROOF]; /* H: the client's signature and key, the plaintext of message 3 */
  uint8_t server[32];           /* B_p */
};

/* Begins; `ephemeral` is the X25519 secret, 32 random bytes. */
void ms__shs_begin(struct ms__shs_steps *s, const uint8_t network_key[32],
                   const uint8_t ephemeral[32], const uint8_t server[32]);

/* Messages 1 and 2. */
void ms__shs_write_hello(const struct ms__shs_steps *s, uint8_t out[MS__SHS_HELLO]);
int ms__shs_read_hello(struct ms__shs_steps *s, const uint8_t in[MS__SHS_HELLO]);

/* Message 3: the client proves itself. */
int ms__shs_write_auth(struct ms__shs_steps *s, const ms_identity *client,
                       uint8_t out[MS__SHS_AUTH]);
int ms__shs_read_auth(struct ms__shs_steps *s, const ms_identity *server,
                      const uint8_t in[MS__SHS_AUTH]);

/* Message 4: the server accepts, and proves itself. */
void ms__shs_write_accept(const struct ms__shs_steps *s, const ms_identity *server,
                          uint8_t out[MS__SHS_ACCEPT]);
int ms__shs_read_accept(const struct ms__shs_steps *s, const uint8_t in[MS__SHS_ACCEPT]);

/* The client's key, in its proof. */
static inline const uint8_t *ms__shs_client(const struct ms__shs_steps *s) {
  return s->proof + 64;
}

/* The two box streams that follow, as this side sees them. */
void ms__shs_finish(const struct ms__shs_steps *s, bool is_server, struct ms__box_reader *in,
                    struct ms__box_writer *out);

#endif
