#include "endpoint/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

enum { CERTIFICATES_MAX = 1 << 20, KEY_MAX = 64 << 10, PATH_SHOWN = 100 };

int ms__pem_error(ms_error *err, int code, const char *what, const char *path, const char *why,
                  ...) {
  size_t n = strlen(path), cut = n > PATH_SHOWN ? n - PATH_SHOWN : 0;
  char text[sizeof err->message];
  va_list ap;
  va_start(ap, why);
  (void)vsnprintf(text, sizeof text, why, ap);
  va_end(ap);
  return ms__error(err, code, MS_PHASE_NONE, "tls", "%s %s%s: %s", what, cut ? "..." : "",
                   path + cut, text);
}

/* ---- A file and its blocks ---- */

struct file {
  const char *what, *path;
  char *text; /* guarded: there may be a key in it. It ends in NUL. */
  size_t n, mark;
};

/* "-----BEGIN LABEL-----" to "-----END LABEL-----". */
struct block {
  const char *at;
  size_t n;
  size_t number, line; /* from 1 */
  char label[48];
  bool whole;
};

static const char begins[] = "-----BEGIN ";

/* ASN.1 of any kind begins so. */
static bool is_binary(const struct file *f) {
  return f->n >= 4 && f->text[0] == 0x30 && strlen(f->text) < f->n;
}

static int read_file(struct file *f, size_t max, bool secret, ms_error *err) {
  struct ms__file_rules rules = {.max = max, .secret = secret};
  const char *encoding;
  ms_error why;
  size_t nul;
  ptrdiff_t n;
  int fd = ms__file_open(f->path, &rules, &why);
  if (fd < 0) return ms__pem_error(err, MS_EINVAL, f->what, f->path, "%s", why.message);
  f->text = sodium_malloc(max + 1);
  n = f->text ? ms__file_read(fd, f->path, f->text, max, &why) : MS_ENOMEM;
  (void)close(fd);
  if (n >= 0) {
    f->n = (size_t)n;
    f->text[n] = '\0';
    f->mark = ms__file_mark(f->text, f->n, &encoding);
    nul = is_binary(f) ? 0 : ms__file_nul(f->text, f->n);
    if (!encoding && !nul) return 0;
    sodium_free(f->text);
    f->text = NULL;
    if (nul && !encoding)
      return ms__pem_error(err, MS_EINVAL, f->what, f->path, "line %zu has a NUL byte", nul);
    return ms__pem_error(err, MS_EINVAL, f->what, f->path, "%s", encoding);
  }
  if (!f->text) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
  sodium_free(f->text);
  f->text = NULL;
  return ms__pem_error(err, MS_EINVAL, f->what, f->path, "%s", why.message);
}

/* At the beginning of a line; what editors put before the first one is none of it. */
static const char *find_begin(const struct file *f, const char *from) {
  for (const char *p = from; (p = strstr(p, begins)); p++)
    if (p == f->text || p == f->text + f->mark || p[-1] == '\n') return p;
  return NULL;
}

static bool next_block(const struct file *f, struct block *b) {
  const char *from = b->at ? b->at + b->n : f->text, *p = find_begin(f, from), *label, *next, *end;
  char closing[sizeof b->label + 24];
  size_t n;
  if (!p) return false;
  for (b->line = 1, end = f->text; end < p; end++)
    b->line += *end == '\n';
  label = p + sizeof begins - 1;
  n = strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ");
  if (n >= sizeof b->label) n = sizeof b->label - 1;
  memcpy(b->label, label, n);
  b->label[n] = '\0';
  (void)snprintf(closing, sizeof closing, "-----END %s-----", b->label);
  next = find_begin(f, p + 1);
  if (!next) next = f->text + strlen(f->text);
  end = strstr(p, closing);
  b->whole = end && end < next;
  b->at = p;
  b->n = b->whole ? (size_t)(end - p) + strlen(closing) : (size_t)(next - p);
  b->number++;
  return true;
}

static bool is_certificate(const struct block *b) {
  return strcmp(b->label, "CERTIFICATE") == 0 || strcmp(b->label, "X509 CERTIFICATE") == 0 ||
         strcmp(b->label, "TRUSTED CERTIFICATE") == 0;
}

static bool is_key(const struct block *b) {
  static const char name[] = "PRIVATE KEY";
  size_t n = strlen(b->label), k = sizeof name - 1;
  return n >= k && strcmp(b->label + n - k, name) == 0;
}

static bool has(const struct block *b, const char *word) {
  size_t k = strlen(word);
  for (size_t i = 0; i + k <= b->n; i++)
    if (memcmp(b->at + i, word, k) == 0) return true;
  return false;
}

/* ---- What is wrong ---- */

static int bad(const struct file *f, ms_error *err, const char *why) {
  ERR_clear_error();
  return ms__pem_error(err, MS_EINVAL, f->what, f->path, "%s", why);
}

static int broken(const struct file *f, const struct block *b, ms_error *err) {
  unsigned long e = ERR_peek_error();
  const char *reason = e ? ERR_reason_error_string(e) : NULL;
  ERR_clear_error();
  if (!b->whole) reason = "its -----END line is missing";
  return ms__pem_error(err, MS_EINVAL, f->what, f->path, "block %zu (%s, line %zu) is broken: %s",
                       b->number, b->label, b->line, reason ? reason : "it cannot be read");
}

static const char *of_binary(const struct file *f) {
  const unsigned char *p = (const unsigned char *)f->text, *q = p;
  X509 *certificate;
  PKCS12 *pkcs12;
  if (!is_binary(f)) return NULL;
  if ((certificate = d2i_X509(NULL, &q, (long)f->n))) {
    X509_free(certificate);
    return "is in DER: openssl x509 -inform DER -in FILE makes PEM of it";
  }
  q = p;
  if ((pkcs12 = d2i_PKCS12(NULL, &q, (long)f->n))) {
    PKCS12_free(pkcs12);
    return "is PKCS#12: openssl pkcs12 -in FILE makes PEM of it";
  }
  return "is in DER: openssl pkey -inform DER -in FILE makes PEM of a key";
}

/* There is no block of the kind that is wanted; `other` is the first that there is. */
static int none(const struct file *f, const struct block *other, bool key, ms_error *err) {
  const char *wanted = key ? "private key" : "certificate", *binary = of_binary(f);
  if (f->n == 0) return bad(f, err, "is empty");
  if (binary) return bad(f, err, binary);
  if (!other->at)
    return ms__pem_error(err, MS_EINVAL, f->what, f->path,
                         "has no %s in it: PEM begins with -----BEGIN %s-----", wanted,
                         key ? "PRIVATE KEY" : "CERTIFICATE");
  return ms__pem_error(err, MS_EINVAL, f->what, f->path, "has no %s in it, only: %s%s", wanted,
                       other->label,
                       strstr(other->label, "REQUEST") ? ", which is yet to be signed" : "");
}

/* ---- Certificates ---- */

static int add_certificate(STACK_OF(X509) * to, const struct file *f, const struct block *b,
                           ms_error *err) {
  BIO *bio = BIO_new_mem_buf(b->at, (int)b->n);
  X509 *certificate = bio ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
  BIO_free(bio);
  if (!certificate) return broken(f, b, err);
  if (sk_X509_push(to, certificate) > 0) return 0;
  X509_free(certificate);
  return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
}

int ms__pem_certificates(STACK_OF(X509) * *out, const char *what, const char *path, ms_error *err) {
  struct file f = {.what = what, .path = path};
  struct block b = {.at = NULL}, first;
  int r = read_file(&f, CERTIFICATES_MAX, false, err);
  *out = NULL;
  if (r < 0) return r;
  first = b;
  *out = sk_X509_new_null();
  if (!*out) r = ms__error(err, MS_ENOMEM, MS_PHASE_NONE, "tls", NULL);
  while (r == 0 && next_block(&f, &b)) {
    if (!first.at) first = b;
    if (is_certificate(&b)) r = b.whole ? add_certificate(*out, &f, &b, err) : broken(&f, &b, err);
  }
  if (r == 0 && sk_X509_num(*out) == 0) r = none(&f, &first, false, err);
  sodium_free(f.text);
  if (r == 0) return 0;
  sk_X509_pop_free(*out, X509_free);
  *out = NULL;
  return r;
}

/* ---- Keys ---- */

/* A key under a password is no key for a server that starts by itself: nobody is asked. */
static int no_password(char *buf, int size, int writes, void *user) {
  (void)buf;
  (void)size;
  (void)writes;
  (void)user;
  return -1;
}

static int read_key(EVP_PKEY **out, const struct file *f, const struct block *b, ms_error *err) {
  BIO *bio;
  if (!b->whole) return broken(f, b, err);
  if (strncmp(b->label, "OPENSSH", 7) == 0)
    return bad(f, err, "is in OpenSSH's own form: ssh-keygen -p -m PEM -f FILE makes PEM of it");
  if (strncmp(b->label, "ENCRYPTED", 9) == 0 || has(b, "ENCRYPTED\n") || has(b, "ENCRYPTED\r"))
    return bad(
        f, err,
        "is under a password, which nobody is asked for: openssl pkey -in FILE takes it off");
  bio = BIO_new_mem_buf(b->at, (int)b->n);
  *out = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
  BIO_free(bio);
  return *out ? 0 : broken(f, b, err);
}

int ms__pem_key(EVP_PKEY **out, const char *what, const char *path, ms_error *err) {
  struct file f = {.what = what, .path = path};
  struct block b = {.at = NULL}, first;
  int r = read_file(&f, KEY_MAX, true, err);
  bool found = false;
  *out = NULL;
  if (r < 0) return r;
  first = b;
  while (!found && next_block(&f, &b)) {
    if (!first.at) first = b;
    found = is_key(&b);
  }
  r = found ? read_key(out, &f, &b, err) : none(&f, &first, true, err);
  sodium_free(f.text);
  return r;
}
