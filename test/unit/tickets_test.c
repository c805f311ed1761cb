/* Session tickets: how long one is good for, and for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "endpoint/tickets.h"

static uint64_t seconds = MS__TICKET_SEC;

static uint64_t now(void) {
  return seconds;
}

static SSL_CTX *make_server(int version) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  assert_true(ctx && key && cert);
  assert_int_equal(X509_set_pubkey(cert, key), 1);
  assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
  assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
  assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
  assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
  assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
  assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
  (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  assert_true(ms__tickets_use(ctx, now));
  X509_free(cert);
  EVP_PKEY_free(key);
  return ctx;
}

static SSL_SESSION *given; /* the last that a client got */

static int on_session(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  SSL_SESSION_free(given);
  given = session;
  return 1;
}

/* A client comes with the session that was given last; was it resumed? */
static bool comes(SSL_CTX *server) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL *client, *of = SSL_new(server);
  BIO *a, *b;
  bool resumed;
  char c;
  (void)SSL_CTX_set_session_cache_mode(ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(ctx, on_session);
  client = SSL_new(ctx);
  assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
  SSL_set_bio(client, a, a);
  SSL_set_bio(of, b, b);
  SSL_set_connect_state(client);
  SSL_set_accept_state(of);
  if (given) assert_int_equal(SSL_set_session(client, given), 1);
  for (int i = 0; i < 4; i++) {
    (void)SSL_do_handshake(client);
    (void)SSL_do_handshake(of);
  }
  assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(of));
  (void)SSL_read(client, &c, 1); /* TLS 1.3 sends them afterwards */
  resumed = SSL_session_reused(client);
  if (SSL_version(client) == TLS1_2_VERSION) { /* OpenSSL does not tell of one that it renews */
    SSL_SESSION_free(given);
    given = SSL_get1_session(client);
  }
  (void)SSL_shutdown(client);
  (void)SSL_shutdown(of);
  SSL_free(client);
  SSL_free(of);
  SSL_CTX_free(ctx);
  return resumed;
}

static void forget(void) {
  SSL_SESSION_free(given);
  given = NULL;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void who_was_here_resumes(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    SSL_CTX *server = make_server(versions[i]);
    assert_false(comes(server));
    assert_non_null(given);
    assert_true(SSL_SESSION_get_ticket_lifetime_hint(given) <= MS__TICKET_SEC);
    assert_true(comes(server));
    assert_true(comes(server));
    SSL_CTX_free(server);
    forget();
  }
}

/* A certificate that is read again is another context, and so is another stack. */
static void elsewhere_it_is_worth_nothing(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    SSL_CTX *server = make_server(versions[i]), *other = make_server(versions[i]);
    assert_false(comes(server));
    assert_false(comes(other));
    SSL_CTX_free(server);
    SSL_CTX_free(other);
    forget();
  }
}

/* The key is followed by another after its time, opens what it has sealed for as long again, and is
 * gone. */
static void keys_are_followed_by_others(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    SSL_CTX *server = make_server(versions[i]);
    SSL_SESSION *old;
    assert_false(comes(server));
    old = given;
    assert_int_equal(SSL_SESSION_up_ref(old), 1);
    seconds += MS__TICKET_SEC; /* under the next key it gets another ticket */
    assert_true(comes(server));
    assert_ptr_not_equal(given, old);
    seconds += MS__TICKET_SEC;
    assert_true(comes(server)); /* and with that one it goes on */
    forget();
    given = old;
    assert_false(comes(server)); /* the old one's key is gone */
    SSL_CTX_free(server);
    forget();
  }
}

/* A key that is too old opens nothing, also when nobody has come who would have made it go. */
static void too_old(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    SSL_CTX *server = make_server(versions[i]);
    assert_false(comes(server));
    seconds += 2 * MS__TICKET_SEC;
    assert_false(comes(server));
    SSL_CTX_free(server);
    forget();
  }
}

/* Bits of a ticket that somebody has changed are a new session, not a failure. */
static void a_ticket_that_was_changed(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    SSL_CTX *server = make_server(versions[i]);
    unsigned char der[4096], *end = der;
    const unsigned char *ticket, *begin = der;
    size_t n;
    int length;
    assert_false(comes(server));
    SSL_SESSION_get0_ticket(given, &ticket, &n);
    length = i2d_SSL_SESSION(given, &end);
    for (int at = 0; at + (int)n <= length; at++)
      if (memcmp(der + at, ticket, n) == 0) der[at + 40] ^= 1;
    forget();
    given = d2i_SSL_SESSION(NULL, &begin, length);
    assert_non_null(given);
    assert_false(comes(server));
    SSL_CTX_free(server);
    forget();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_was_here_resumes),
      cmocka_unit_test(elsewhere_it_is_worth_nothing),
      cmocka_unit_test(keys_are_followed_by_others),
      cmocka_unit_test(too_old),
      cmocka_unit_test(a_ticket_that_was_changed),
  };
  if (sodium_init() < 0) return 1;
  return cmocka_run_group_tests_name("tickets", tests, NULL, NULL);
}
