#include "api/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include "base/error.h"
#include "base/mem.h"

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

/* Names the file, and what OpenSSL has against it. */
static int bad(const char *what, const char *path, ms_error *err) {
  unsigned long e = ERR_peek_last_error();
  const char *reason = e ? ERR_reason_error_string(e) : NULL;
  ms__error(err, MS_EINVAL, MS_PHASE_NONE, "tls", "%s %s: %s", what, path,
            reason ? reason : "it cannot be used");
  ERR_clear_error();
  return MS_EINVAL;
}

/* What both roles have in common: no renegotiation, no tickets and no cache (a session would keep
 * the peer's secrets beyond its connection), and no memory while nothing moves. */
static SSL_CTX *new_context(const SSL_METHOD *method) {
  SSL_CTX *ctx;
  ERR_clear_error();
  ctx = SSL_CTX_new(method);
  if (!ctx) return NULL;
  (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
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

/* A key under a password is no key for a server that starts by itself: nobody is asked. */
static int no_password(char *buf, int size, int writes, void *user) {
  (void)buf;
  (void)size;
  (void)writes;
  (void)user;
  return -1;
}

static int load_server(SSL_CTX *ctx, const struct ms__tls *tls, ms_error *err) {
  const char *key = tls->key ? tls->key : tls->cert; /* one file may have both */
  SSL_CTX_set_default_passwd_cb(ctx, no_password);
  if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert) != 1)
    return bad("the certificate", tls->cert, err);
  if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
    return bad("the private key", key, err);
  if (SSL_CTX_check_private_key(ctx) != 1) return bad("the private key", key, err);
  (void)SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
  return 0;
}

static int load_client(SSL_CTX *ctx, const struct ms__tls *tls, ms_error *err) {
  if (tls->ca && SSL_CTX_load_verify_file(ctx, tls->ca) != 1)
    return bad("the certificates to be trusted", tls->ca, err);
  if (!tls->ca && SSL_CTX_set_default_verify_paths(ctx) != 1)
    return bad("the certificates", "of this system", err);
  SSL_CTX_set_verify(ctx, tls->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  (void)SSL_CTX_set_alpn_protos(ctx, http_1_1, sizeof http_1_1 - 1);
  return 0;
}

static int load(SSL_CTX **out, const SSL_METHOD *method,
                int (*fill)(SSL_CTX *, const struct ms__tls *, ms_error *),
                const struct ms__tls *tls, ms_error *err) {
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
