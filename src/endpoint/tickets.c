#include "endpoint/tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

enum { NAME = 16, KEY = 32, IV = 16 };

struct key {
  uint64_t since; /* 0: there is none */
  unsigned char name[NAME], cipher[KEY], mac[KEY];
};

/* In guarded memory. */
struct tickets {
  uint64_t (*now)(void);
  struct key current, last;
};

static void free_tickets(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long number,
                         void *more) {
  (void)parent;
  (void)data;
  (void)index;
  (void)number;
  (void)more;
  sodium_free(p);
}

/* One for the process; of two threads that ask for it first one is right. -1: no memory. */
static int get_index(void) {
  static _Atomic(int) kept = -1;
  int index = atomic_load(&kept), none = -1;
  if (index >= 0) return index;
  index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_tickets);
  if (index < 0 || atomic_compare_exchange_strong(&kept, &none, index)) return index;
  return none;
}

static bool is_over(const struct key *key, uint64_t now, uint64_t after) {
  return !key->since || now >= key->since + after;
}

/* A key is issued with for its time, and opens what it has sealed for the same once more. */
static void rotate(struct tickets *t, uint64_t now) {
  if (is_over(&t->current, now, MS__TICKET_SEC)) {
    t->last = t->current;
    randombytes_buf(&t->current, sizeof t->current);
    t->current.since = now;
  }
  if (is_over(&t->last, now, 2 * MS__TICKET_SEC)) sodium_memzero(&t->last, sizeof t->last);
}

static bool set_mac(EVP_MAC_CTX *mac, struct key *key) {
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* -1: the handshake fails; 0: no ticket, or one that is not ours (any more): a full handshake; 1:
 * as it is; 2: the client gets another. */
static int on_ticket(SSL *ssl, unsigned char name[NAME], unsigned char iv[EVP_MAX_IV_LENGTH],
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int issue) {
  struct tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), get_index());
  struct key *key = &t->current;
  rotate(t, t->now());
  if (issue) {
    randombytes_buf(iv, IV);
    memcpy(name, key->name, NAME);
    return EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher, iv, NULL) == 1 &&
                   set_mac(mac, key)
               ? 1
               : -1;
  }
  if (sodium_memcmp(name, key->name, NAME) != 0) key = &t->last;
  if (!key->since || sodium_memcmp(name, key->name, NAME) != 0) return 0;
  if (EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher, iv, NULL) != 1 ||
      !set_mac(mac, key))
    return -1;
  /* TLS 1.3 wants a ticket used once (RFC 8446, appendix C.4) */
  return key == &t->last || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

bool ms__tickets_use(SSL_CTX *ctx, uint64_t (*now)(void)) {
  int index = get_index();
  struct tickets *t = index < 0 ? NULL : sodium_malloc(sizeof *t);
  if (!t) return false;
  memset(t, 0, sizeof *t);
  t->now = now;
  if (SSL_CTX_set_ex_data(ctx, index, t) != 1) {
    sodium_free(t);
    return false;
  }
  (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
  (void)SSL_CTX_set_timeout(ctx, MS__TICKET_SEC);
  (void)SSL_CTX_set_num_tickets(ctx, MS__TICKETS);
  (void)SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
  return true;
}
