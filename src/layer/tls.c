/* tls: TLS 1.2 and 1.3 by OpenSSL, whose records go straight between its buffers and our edges: a
 * BIO reads and writes the ports of the step that runs. What certificates are trusted is in the
 * SSL_CTX, whom we mean to reach in the options. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>

#include "addr/addr.h"
#include "layer/layer.h"

enum {
  RECORD_MAX = 16384, /* RFC 8446, section 5.1 */
  OVERHEAD = 100,     /* of a record, and what may go before it */
  ROOM = 512          /* an alert, a key update, a record that is worth it */
};

struct state {
  SSL *ssl;
  struct ms__port *port; /* while a step runs */
  size_t out_asked;      /* a write that OpenSSL wants to be asked for again */
  bool out_waits;        /* it wants input first */
  char why[160];
};

/* ---- The BIO ---- */

static int bio_read(BIO *bio, char *to, int n) {
  struct state *s = BIO_get_data(bio);
  size_t k = s->port && n > 0 ? ms__min((size_t)n, s->port->wire_in.n) : 0;
  BIO_clear_retry_flags(bio);
  if (k == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  memcpy(to, s->port->wire_in.p, k);
  ms__skip(&s->port->wire_in, k);
  return (int)k;
}

static int bio_write(BIO *bio, const char *from, int n) {
  struct state *s = BIO_get_data(bio);
  size_t k = s->port && n > 0 ? ms__min((size_t)n, s->port->wire_out.n) : 0;
  BIO_clear_retry_flags(bio);
  if (k == 0) {
    BIO_set_retry_write(bio);
    return -1;
  }
  memcpy(s->port->wire_out.p, from, k);
  ms__fill(&s->port->wire_out, k);
  return (int)k;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

/* One for the process, made when it is first needed; of two threads that make it one is right.
 * NULL: no memory. */
static const BIO_METHOD *get_method(void) {
  static _Atomic(BIO_METHOD *) kept;
  BIO_METHOD *method = atomic_load(&kept), *first = NULL;
  if (method) return method;
  method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "multiserver edges");
  if (!method) return NULL;
  (void)BIO_meth_set_read(method, bio_read);
  (void)BIO_meth_set_write(method, bio_write);
  (void)BIO_meth_set_ctrl(method, bio_ctrl);
  if (atomic_compare_exchange_strong(&kept, &first, method)) return method;
  BIO_meth_free(method);
  return first;
}

/* ---- Beginning ---- */

/* An address is compared with the certificate's addresses, and is no server name (RFC 6066,
 * section 3). */
static bool set_name(SSL *ssl, const char *name) {
  char address[64];
  if (ms__host_is_address(name)) {
    ms__text_copy(address, sizeof address, name);
    ms__host_without_zone(address); /* where it is reached, not what it is */
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address) == 1;
  }
  if (!*name) return false; /* OpenSSL would ask for no name at all */
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, name) == 1 &&
         SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                  (void *)(uintptr_t)name) == 1;
}

static int tls_init(void *st, const struct ms__role *role) {
  struct state *s = st;
  const struct ms__tls_opts *opts = role->opts;
  const BIO_METHOD *method = get_method();
  BIO *bio;
  s->ssl = method ? SSL_new(*opts->context) : NULL;
  bio = s->ssl ? BIO_new(method) : NULL;
  if (!bio) return MS_ENOMEM;
  BIO_set_data(bio, s);
  BIO_set_init(bio, 1);
  SSL_set_bio(s->ssl, bio, bio);
  if (role->server)
    SSL_set_accept_state(s->ssl);
  else
    SSL_set_connect_state(s->ssl);
  if (role->server || !opts->name || set_name(s->ssl, opts->name)) return 0;
  (void)snprintf(s->why, sizeof s->why, "no certificate can name '%.64s'", opts->name);
  return MS_EINVAL;
}

/* ---- Steps ---- */

/* What OpenSSL has against it. */
static int failed(struct state *s) {
  unsigned long e = ERR_peek_last_error();
  long verified = SSL_get_verify_result(s->ssl);
  const char *reason = e ? ERR_reason_error_string(e) : NULL;
  if (*s->why) return MS_EPROTO; /* what came first is the cause */
  if (verified != X509_V_OK && e && ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED)
    (void)snprintf(s->why, sizeof s->why, "the certificate is not trusted: %s",
                   X509_verify_cert_error_string(verified));
  else
    (void)snprintf(s->why, sizeof s->why, "TLS failed: %s", reason ? reason : "no reason given");
  ERR_clear_error();
  return MS_EPROTO;
}

/* What a call's result means; OK: it has done something. */
enum outcome { OK, WANTS_INPUT, WANTS_ROOM, ENDED, FAILED };

static enum outcome outcome_of(struct state *s, int r) {
  s->port = NULL;
  if (r > 0) return OK;
  switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
      return WANTS_INPUT;
    case SSL_ERROR_WANT_WRITE:
      return WANTS_ROOM;
    case SSL_ERROR_ZERO_RETURN:
      return ENDED;
    default:
      return FAILED;
  }
}

static void enter(struct state *s, struct ms__port *p) {
  ERR_clear_error();
  s->port = p;
}

static int tls_handshake(void *st, struct ms__port *p) {
  struct state *s = st;
  enter(s, p);
  switch (outcome_of(s, SSL_do_handshake(s->ssl))) {
    case OK:
      return MS__DONE;
    case WANTS_INPUT:
      return MS__MORE;
    case WANTS_ROOM:
      return MS__FULL;
    case ENDED:
    case FAILED:
      break;
  }
  return failed(s);
}

/* A write may have waited for what has been read. */
static int owed(struct state *s, int result) {
  if (!s->out_waits) return result;
  s->out_waits = false;
  return result | MS__OWES;
}

static int tls_decode(void *st, struct ms__port *p) {
  struct state *s = st;
  for (;;) {
    size_t n = 0;
    enum outcome outcome;
    if (p->app_in.n == 0)
      return owed(s, p->wire_in.n || SSL_has_pending(s->ssl) ? MS__FULL : MS__IDLE);
    enter(s, p);
    outcome = outcome_of(s, SSL_read_ex(s->ssl, p->app_in.p, p->app_in.n, &n));
    ms__fill(&p->app_in, n);
    switch (outcome) {
      case OK:
        break;
      case WANTS_INPUT:
      case WANTS_ROOM:
        return owed(s, SSL_has_pending(s->ssl) ? MS__MORE : MS__IDLE);
      case ENDED:
        return MS__DONE;
      case FAILED:
        return failed(s);
    }
  }
}

static int tls_encode(void *st, struct ms__port *p) {
  struct state *s = st;
  while (p->app_out.n) {
    size_t n = s->out_asked, done = 0;
    if (p->wire_out.n < ROOM) return MS__FULL;
    if (n == 0) n = ms__min3(p->app_out.n, p->wire_out.n - OVERHEAD, RECORD_MAX);
    enter(s, p);
    switch (outcome_of(s, SSL_write_ex(s->ssl, p->app_out.p, n, &done))) {
      case OK:
        s->out_asked = 0;
        ms__skip(&p->app_out, done);
        break;
      case WANTS_INPUT:
        s->out_asked = n;
        s->out_waits = true;
        return MS__IDLE;
      case WANTS_ROOM:
        s->out_asked = n;
        return MS__FULL;
      case ENDED:
      case FAILED:
        return failed(s);
    }
  }
  return MS__IDLE;
}

/* A failure has written its alert already; above it, close_notify would be a clean end. */
static int tls_end(void *st, struct ms__port *p, int err) {
  struct state *s = st;
  if (err) return MS__DONE;
  enter(s, p);
  (void)SSL_shutdown(s->ssl);
  s->port = NULL;
  ERR_clear_error();
  return MS__DONE;
}

static void tls_explain(const void *st, char *buf, size_t size) {
  (void)snprintf(buf, size, "%s", ((const struct state *)st)->why);
}

static void tls_wipe(void *st) {
  struct state *s = st;
  SSL_free(s->ssl);
}

const struct ms__layer ms__tls = {
    .name = "tls",
    .flags = MS__HAS_END | MS__SECRET | MS__REPLIES,
    .state = sizeof(struct state),
    .need_in = 1,
    .room_up = 1,
    .room_down = ROOM,
    .init = tls_init,
    .handshake = tls_handshake,
    .decode = tls_decode,
    .encode = tls_encode,
    .end = tls_end,
    .explain = tls_explain,
    .wipe = tls_wipe,
};
