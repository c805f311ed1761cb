/* A certificate for tests, made on the spot: of its own signature, for "localhost". Ed25519,
 * whose signatures have one length: a seed is then a whole play. */
#ifndef TEST_CERTIFICATE_H
#define TEST_CERTIFICATE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static inline void certificate_must(int yes) {
  if (yes != 1) abort();
}

static inline void certificate_make(EVP_PKEY **key, X509 **cert) {
  X509_NAME *name;
  X509_EXTENSION *names;
  *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  *cert = X509_new();
  certificate_must(*key && *cert);
  certificate_must(X509_set_version(*cert, 2));
  certificate_must(ASN1_INTEGER_set(X509_get_serialNumber(*cert), 1));
  certificate_must(X509_gmtime_adj(X509_getm_notBefore(*cert), -3600) != NULL);
  certificate_must(X509_gmtime_adj(X509_getm_notAfter(*cert), 86400) != NULL);
  certificate_must(X509_set_pubkey(*cert, *key));
  name = X509_get_subject_name(*cert);
  certificate_must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                              (const unsigned char *)"localhost", -1, -1, 0));
  certificate_must(X509_set_issuer_name(*cert, name));
  names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
  certificate_must(names && X509_add_ext(*cert, names, -1));
  X509_EXTENSION_free(names);
  certificate_must(X509_sign(*cert, *key, NULL) > 0);
}

/* One and its key in a PEM file. */
static inline void certificate_write(const char *path) {
  FILE *file = fopen(path, "w");
  EVP_PKEY *key;
  X509 *cert;
  certificate_make(&key, &cert);
  certificate_must(file && fchmod(fileno(file), S_IRUSR | S_IWUSR) == 0); /* a secret */
  certificate_must(PEM_write_X509(file, cert));
  certificate_must(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
  certificate_must(fclose(file) == 0);
  X509_free(cert);
  EVP_PKEY_free(key);
}

/* A context for each role: what the one shows the other trusts. */
static inline void certificate_contexts(SSL_CTX **client, SSL_CTX **server) {
  EVP_PKEY *key;
  X509 *cert;
  certificate_make(&key, &cert);
  *server = SSL_CTX_new(TLS_server_method());
  *client = SSL_CTX_new(TLS_client_method());
  certificate_must(*server && *client);
  certificate_must(SSL_CTX_use_certificate(*server, cert));
  certificate_must(SSL_CTX_use_PrivateKey(*server, key));
  certificate_must(SSL_CTX_set_num_tickets(*server, 0));
  certificate_must(X509_STORE_add_cert(SSL_CTX_get_cert_store(*client), cert));
  SSL_CTX_set_verify(*client, SSL_VERIFY_PEER, NULL);
  for (int i = 0; i < 2; i++)
    SSL_CTX_set_mode(i ? *server : *client, SSL_MODE_RELEASE_BUFFERS |
                                                SSL_MODE_ENABLE_PARTIAL_WRITE |
                                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  EVP_PKEY_free(key);
  X509_free(cert);
}

#endif
