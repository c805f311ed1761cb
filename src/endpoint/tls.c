#include "endpoint/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <uv.h>

#include "base/error.h"
#include "base/mem.h"
#include "endpoint/pem.h"
#include "endpoint/tickets.h"

static const unsigned char http_1_1[] = "\x08http/1.1";

static bool copy(const ms_allocator *a, char **out, const char *path) {
  *out = path ? ms__strdup(a, path) : NULL;
  return !path || *out;
}

int ms__tls_keep(struct ms__tls *tls, const ms_allocator *a, const ms_tls_opts *opts,
                 ms_error *err) {
  tls->insecure = opts->insecure;
  if (copy(a, &tls->cert, opts->cert) && copy(a, &tls->key, opts->key) &&
      copy(a, &tls->ca, opts->ca))
    return 0;
  return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
}

static const char the_certificate[] = "the certificate", the_key[] = "the private key",
                  the_trusted[] = "the certificates to be trusted";

enum { STRENGTH_BITS = 112 }; /* OpenSSL's level 2 */

/* What is agreed on: authenticated encryption with keys of elliptic curves that nobody keeps,
 * TLS 1.3 has nothing else; no key and no digest below 112 bits (RSA of 2048). */
static bool set_strength(SSL_CTX *ctx) {
  if (SSL_CTX_get_security_level(ctx) < 2) SSL_CTX_set_security_level(ctx, 2);
  return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
         SSL_CTX_set1_groups_list(ctx, "X25519:P-256:X448:P-384:P-521") == 1;
}

/* What both roles have in common: no renegotiation, no cache (a session would keep the peer's
 * secrets beyond its connection), no tickets unless somebody has a use for them, and no memory
 * while nothing moves. */
static SSL_CTX *new_context(const SSL_METHOD *method) {
  SSL_CTX *ctx;
  ERR_clear_error();
  ctx = SSL_CTX_new(method);
  if (!ctx || !set_strength(ctx)) {
    SSL_CTX_free(ctx);
    return NULL;
  }
  (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  (void)SSL_CTX_set_options(ctx,
                            SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
  (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  return ctx;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *length,
                       const unsigned char *in, unsigned n, void *user) {
  unsigned char *found;
  (void)ssl;
  (void)user;
  if (SSL_select_next_proto(&found, length, http_1_1, sizeof http_1_1 - 1, in, n) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = found;
  return SSL_TLSEXT_ERR_OK;
}

/* ---- A server's certificate ---- */

/* What OpenSSL has against a certificate or key that is whole. */
static int refused(const char *what, const char *path, const X509 *cert, ms_error *err) {
  unsigned long e = ERR_peek_error(); /* the first is the cause */
  const char *reason = e ? ERR_reason_error_string(e) : NULL;
  ERR_clear_error();
  switch (e ? ERR_GET_REASON(e) : 0) {
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
      return ms__pem_error(err, MS_EINVAL, what, path,
                           "a key of %d bits is too short: RSA takes 2048, ECDSA 224",
                           EVP_PKEY_get_bits(X509_get0_pubkey(cert)));
    default:
      return ms__pem_error(err, MS_EINVAL, what, path, "%s", reason ? reason : "it cannot be used");
  }
}

/* The server's comes first, and each next one has issued the one before. */
static int check_order(STACK_OF(X509) * chain, EVP_PKEY *key, const struct ms__tls *tls,
                       const char *key_path, ms_error *err) {
  for (int i = 1; X509_check_private_key(sk_X509_value(chain, 0), key) != 1; i++) {
    ERR_clear_error();
    if (i >= sk_X509_num(chain))
      return ms__pem_error(err, MS_EINVAL, the_key, key_path,
                           "it is the key of another certificate than that in %s", tls->cert);
    if (X509_check_private_key(sk_X509_value(chain, i), key) == 1)
      return ms__pem_error(err, MS_EINVAL, the_certificate, tls->cert,
                           "the private key is that of certificate %d in it, which has to be the "
                           "first",
                           i + 1);
  }
  for (int i = 1; i < sk_X509_num(chain); i++)
    if (X509_check_issued(sk_X509_value(chain, i), sk_X509_value(chain, i - 1)) != X509_V_OK)
      return ms__pem_error(err, MS_EINVAL, the_certificate, tls->cert,
                           "certificate %d in it has not issued certificate %d: each is followed "
                           "by its issuer's",
                           i + 1, i);
  return 0;
}

/* OpenSSL 3.5 takes it, and its clients do not. Nobody looks at how a root has signed itself. */
static bool is_signed_weakly(X509 *cert) {
  int bits;
  return !(X509_get_extension_flags(cert) & EXFLAG_SS) &&
         X509_get_signature_info(cert, NULL, NULL, &bits, NULL) == 1 && bits < STRENGTH_BITS;
}

static int check_signatures(STACK_OF(X509) * chain, const struct ms__tls *tls, ms_error *err) {
  for (int i = 0; i < sk_X509_num(chain); i++)
    if (is_signed_weakly(sk_X509_value(chain, i)))
      return ms__pem_error(err, MS_EINVAL, the_certificate, tls->cert,
                           "it is signed with %s, which is broken",
                           OBJ_nid2sn(X509_get_signature_nid(sk_X509_value(chain, i))));
  return 0;
}

/* With such a certificate a server runs, and clients leave: *why says why, or is NULL. Clocks are
 * wrong, and not every client looks. */
static void find_doubts(X509 *cert, const char **why) {
  const ASN1_TIME *from = X509_get0_notBefore(cert), *to = X509_get0_notAfter(cert);
  GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  *why = NULL;
  if (!names) *why = "it has no subjectAltName: clients take a name from nowhere else (RFC 9525)";
  if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
    *why = "it is not for servers (extendedKeyUsage)";
  if (X509_cmp_current_time(from) > 0) *why = "it is not valid yet";
  if (X509_cmp_current_time(to) < 0) *why = "it has expired";
  GENERAL_NAMES_free(names);
  ERR_clear_error();
}

static int use(SSL_CTX *ctx, STACK_OF(X509) * chain, EVP_PKEY *key, struct ms__tls *tls,
               const char *key_path, ms_error *err) {
  X509 *own = sk_X509_value(chain, 0);
  int r = check_order(chain, key, tls, key_path, err);
  if (r == 0) r = check_signatures(chain, tls, err);
  if (r < 0) return r;
  if (SSL_CTX_use_certificate(ctx, own) != 1) return refused(the_certificate, tls->cert, own, err);
  for (int i = 1; i < sk_X509_num(chain); i++)
    if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1)
      return refused(the_certificate, tls->cert, sk_X509_value(chain, i), err);
  if (SSL_CTX_use_PrivateKey(ctx, key) != 1) return refused(the_key, key_path, own, err);
  find_doubts(own, &tls->doubt);
  return 0;
}

/* Any clock will do that does not go back. */
static uint64_t now_sec(void) {
  return MS__TICKET_SEC + uv_hrtime() / 1000000000;
}

static int load_server(SSL_CTX *ctx, struct ms__tls *tls, ms_error *err) {
  const char *key_path = tls->key ? tls->key : tls->cert; /* one file may have both */
  STACK_OF(X509) *chain = NULL;
  EVP_PKEY *key = NULL;
  int r = ms__pem_certificates(&chain, the_certificate, tls->cert, err);
  if (r == 0) r = ms__pem_key(&key, the_key, key_path, err);
  if (r == 0) r = use(ctx, chain, key, tls, key_path, err);
  EVP_PKEY_free(key);
  sk_X509_pop_free(chain, X509_free);
  if (r < 0) return r;
  (void)SSL_CTX_set_num_tickets(ctx, 0);
  if (tls->resumes && !ms__tickets_use(ctx, now_sec))
    return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
  SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
  return 0;
}

/* ---- Whom a client trusts ---- */

/* What is named is trusted, also an authority below another, or the server's own. */
static int trust(SSL_CTX *ctx, const char *path, ms_error *err) {
  STACK_OF(X509) * trusted;
  int r = ms__pem_certificates(&trusted, the_trusted, path, err);
  if (r < 0) return r;
  for (int i = 0; r == 0 && i < sk_X509_num(trusted); i++)
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(trusted, i)) != 1)
      r = refused(the_trusted, path, sk_X509_value(trusted, i), err);
  sk_X509_pop_free(trusted, X509_free);
  (void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
  return r;
}

static int load_client(SSL_CTX *ctx, struct ms__tls *tls, ms_error *err) {
  int r = tls->ca ? trust(ctx, tls->ca, err) : 0;
  if (r < 0) return r;
  if (!tls->ca && SSL_CTX_set_default_verify_paths(ctx) != 1)
    return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
  SSL_CTX_set_verify(ctx, tls->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  (void)SSL_CTX_set_alpn_protos(ctx, http_1_1, sizeof http_1_1 - 1);
  return 0;
}

/* ---- Both ---- */

static int load(SSL_CTX **out, const SSL_METHOD *method,
                int (*fill)(SSL_CTX *, struct ms__tls *, ms_error *), struct ms__tls *tls,
                ms_error *err) {
  *out = new_context(method);
  return *out ? fill(*out, tls, err) : ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
}

/* Connections hold the old one. */
static void replace(SSL_CTX **old, SSL_CTX *by) {
  if (!by) return;
  SSL_CTX_free(*old);
  *old = by;
}

int ms__tls_load(struct ms__tls *tls, bool server, bool client, ms_error *err) {
  SSL_CTX *new_server = NULL, *new_client = NULL;
  int r = 0;
  tls->doubt = NULL;
  if (server && !tls->cert)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, "tls", "to listen, it needs a certificate");
  if (server) r = load(&new_server, TLS_server_method(), load_server, tls, err);
  if (r == 0 && client) r = load(&new_client, TLS_client_method(), load_client, tls, err);
  if (r < 0) {
    SSL_CTX_free(new_server);
    SSL_CTX_free(new_client);
    return r;
  }
  replace(&tls->server, new_server);
  replace(&tls->client, new_client);
  return 0;
}

void ms__tls_drop(struct ms__tls *tls, const ms_allocator *a) {
  SSL_CTX_free(tls->server);
  SSL_CTX_free(tls->client);
  ms__free(a, tls->cert);
  ms__free(a, tls->key);
  ms__free(a, tls->ca);
}
