/* TLS contexts: certificates, keys, whom to trust. */
#ifndef MS_ENDPOINT_TLS_H
#define MS_ENDPOINT_TLS_H

#include "multiserver.h"

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* A stack's, of which either may be NULL. What uses one holds it. */
struct ms__tls {
  char *cert, *key, *ca; /* paths, or NULL */
  bool insecure;
  bool resumes; /* a server issues session tickets: browsers come back */
  struct ssl_ctx_st *server, *client;
  const char *doubt; /* of the server's certificate, when it was read last: why clients will not
                        take it, or NULL */
};

/* Keeps copies of the paths, in memory of the allocator's. 0 or MS_ENOMEM with *err. */
int ms__tls_keep(struct ms__tls *tls, const ms_allocator *a, const ms_tls_opts *opts,
                 ms_error *err);

/* Loads certificate and key for a server, whom to trust for a client, or both. 0, or MS_EINVAL,
 * MS_ENOMEM with *err; then all is as before. */
int ms__tls_load(struct ms__tls *tls, bool server, bool client, ms_error *err);

void ms__tls_drop(struct ms__tls *tls, const ms_allocator *a);

#endif
