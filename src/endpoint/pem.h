/* Files of certificates and private keys, in PEM (RFC 7468), and what is wrong with them in words.
 */
#ifndef MS_ENDPOINT_PEM_H
#define MS_ENDPOINT_PEM_H

#include <openssl/x509.h>

#include "multiserver.h"

/* "WHAT PATH: WHY", the path cut from its beginning to fit. Returns `code`. */
int ms__pem_error(ms_error *err, int code, const char *what, const char *path, const char *why, ...)
    __attribute__((format(printf, 5, 6)));

/* All certificates of a file, one at least, in its order; the caller frees them
 * (OSSL_STACK_OF_X509_free). `what` it is begins an error's message. 0; MS_EINVAL, MS_ESYSTEM,
 * MS_ENOMEM with *err. */
int ms__pem_certificates(STACK_OF(X509) * *out, const char *what, const char *path, ms_error *err);

/* The first private key of a file that is a secret; the caller frees it. As above. */
int ms__pem_key(EVP_PKEY **out, const char *what, const char *path, ms_error *err);

#endif
