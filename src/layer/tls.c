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
  ROOM = 512,         /* an alert, a key update, a record that is worth it */
  HELLO_MAX = 16384,  /* a ClientHello: those of browsers have some 2,000 bytes */
  KEEPS = 64 << 10    /* what OpenSSL keeps in a handshake, for the longest ClientHello */
};

/* Where a client's bytes stand, as long as its messages can be read (RFC 8446, sections 4 and 5.1).
 */
struct hello_scan {
  bool on;
  uint8_t head[5]; /* of a record: type, version, length; so many bytes of it are there: */
  uint8_t head_n;
  uint8_t message[4]; /* of a message: type, length; the same */
  uint8_t message_n;
  uint32_t record_left, message_left;
};
enum { RECORD_HEAD = 5, MESSAGE_HEAD = 4, CHANGE_CIPHER = 20, HANDSHAKE = 22, CLIENT_HELLO = 1 };

struct state {
  SSL *ssl;
  struct ms__port *port; /* while a step runs */
  size_t out_asked;      /* a write that OpenSSL wants to be asked for again */
  bool out_waits;        /* it wants input first */
  struct hello_scan hello;
  char why[160];
};

/* ---- How long a ClientHello may be ---- */

/* OpenSSL takes memory for up to 128 KiB as soon as a message says that it is so long, before a
 * byte of it has come. False: one is too long. */
static bool scan_message(struct state *s, const uint8_t *p, size_t n) {
  struct hello_scan *h = &s->hello;
  while (n && h->on) {
    size_t k = ms__min(n, h->message_left);
    h->message_left -= (uint32_t)k;
    p += k;
    n -= k;
    if (n == 0) break;
    h->message[h->message_n++] = *p++;
    n--;
    if (h->message_n < MESSAGE_HEAD) continue;
    h->message_n = 0;
    h->message_left = (uint32_t)h->message[1] << 16 | (uint32_t)h->message[2] << 8 | h->message[3];
    if (h->message[0] != CLIENT_HELLO) h->on = false; /* no other has to be waited for */
    if (h->on && h->message_left > HELLO_MAX) return false;
  }
  return true;
}

/* A ClientHello may be asked for once more, behind a change of cipher that means nothing in
 * TLS 1.3; in 1.2 all behind that is encrypted. */
static bool scan(struct state *s, const uint8_t *p, size_t n) {
  struct hello_scan *h = &s->hello;
  while (n && h->on) {
    size_t k = ms__min(n, h->record_left);
    if (h->head[0] == HANDSHAKE && !scan_message(s, p, k)) return false;
    h->record_left -= (uint32_t)k;
    p += k;
    n -= k;
    if (n == 0) break;
    h->head[h->head_n++] = *p++;
    n--;
    if (h->head_n < RECORD_HEAD) continue;
    h->head_n = 0;
    h->record_left = (uint32_t)h->head[3] << 8 | h->head[4];
    if (h->head[0] == CHANGE_CIPHER)
      h->on = SSL_version(s->ssl) == TLS1_3_VERSION;
    else if (h->head[0] != HANDSHAKE)
      h->on = false;
  }
  return true;
}

/* ---- The BIO ---- */

static int bio_read(BIO *bio, char *to, int n) {
  struct state *s = BIO_get_data(bio);
  size_t k = s->port && n > 0 ? ms__min((size_t)n, s->port->wire_in.n) : 0;
  BIO_clear_retry_flags(bio);
  if (k == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  if (!scan(s, s->port->wire_in.p, k)) {
    (void)snprintf(s->why, sizeof s->why, "a ClientHello of more than 16 KiB");
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
 * section 3). A name is compared and told without the dot at its end, and never with a common name
 * (RFC 9525, section 6). */
static bool set_name(SSL *ssl, const char *name) {
  char text[256];
  size_t n = ms__host_length(name);
  if (n == 0 || n >= sizeof text || *name == '.') return false;
  ms__text_copy(text, n + 1, name);
  if (ms__host_is_address(text)) {
    ms__host_without_zone(text); /* where it is reached, not what it is */
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text) == 1;
  }
  SSL_set_hostflags(ssl,
                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set1_host(ssl, text) == 1 &&
         SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, text) == 1;
}

/* ---- Why a certificate is not trusted ---- */

/* Its first name, of which only what cannot mislead a reader is shown. */
static void explain_name(X509 *cert, char *buf, size_t size) {
  GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  ms__text_copy(buf, size,
                names ? "it is for others" : "it has no subjectAltName, its common name is none");
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    struct ms__text t;
    if (name->type != GEN_DNS) continue;
    ms__text_init(&t, buf, size);
    ms__text_string(&t, "it is for ");
    for (int k = 0; k < ASN1_STRING_length(name->d.dNSName); k++) {
      char c = (char)ASN1_STRING_get0_data(name->d.dNSName)[k];
      ms__text_char(&t, c > 0x20 && c < 0x7f ? c : '?');
    }
    break;
  }
  GENERAL_NAMES_free(names);
}

static void explain_time(const char *word, const ASN1_TIME *time, char *buf, size_t size) {
  struct tm utc;
  char day[32] = "?";
  if (ASN1_TIME_to_tm(time, &utc) == 1) (void)strftime(day, sizeof day, "%Y-%m-%d %H:%M UTC", &utc);
  (void)snprintf(buf, size, "%s %s", word, day);
}

/* What OpenSSL's text leaves out, or "". */
static void explain(int error, X509 *cert, char *buf, size_t size) {
  *buf = '\0';
  switch (cert ? error : X509_V_OK) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      explain_name(cert, buf, size);
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      explain_time("on", X509_get0_notAfter(cert), buf, size);
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      explain_time("but from", X509_get0_notBefore(cert), buf, size);
      break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      (void)snprintf(buf, size, "nobody trusted here has issued it");
      break;
    default:
      break;
  }
}

/* Keeps the first thing that is wrong. */
static int on_verify(int ok, X509_STORE_CTX *store) {
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct state *s = SSL_get_app_data(ssl);
  int error = X509_STORE_CTX_get_error(store);
  char more[96];
  if (ok || *s->why) return ok;
  explain(error, X509_STORE_CTX_get_current_cert(store), more, sizeof more);
  (void)snprintf(s->why, sizeof s->why, "the certificate%s is not trusted: %s%s%s",
                 X509_STORE_CTX_get_error_depth(store) ? " of its issuer" : "",
                 X509_verify_cert_error_string(error), *more ? ": " : "", more);
  return ok;
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
  s->hello.on = role->server;
  if (role->server) return 0;
  if (SSL_get_verify_mode(s->ssl) & SSL_VERIFY_PEER) { /* else nothing is wrong with any */
    if (!SSL_set_app_data(s->ssl, s)) return MS_ENOMEM;
    SSL_set_verify(s->ssl, SSL_VERIFY_PEER, on_verify);
  }
  if (!opts->name || set_name(s->ssl, opts->name)) return 0;
  (void)snprintf(s->why, sizeof s->why, "no certificate can name '%.64s'", opts->name);
  return MS_EINVAL;
}

/* ---- Steps ---- */

/* What OpenSSL has against it; on_verify may have told already. What came first is the cause. */
static int failed(struct state *s) {
  unsigned long e = ERR_peek_error();
  const char *reason = e ? ERR_reason_error_string(e) : NULL;
  if (!*s->why)
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
  return result | MS__WANT_ENCODE;
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
    .keeps = KEEPS,
    .init = tls_init,
    .handshake = tls_handshake,
    .decode = tls_decode,
    .encode = tls_encode,
    .end = tls_end,
    .explain = tls_explain,
    .wipe = tls_wipe,
};
