/* Identities as text and in files, in the format of Scuttlebutt's ~/.ssb/secret: a JSON object
 * between lines of comment.
 *
 * Read by hand and in place: the text never leaves guarded memory, and a general JSON library
 * copies what it reads to where only a hook of the whole process could wipe it. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/identity.h"
#include "base/key.h"
#include "base/mem.h"
#include "base/text.h"

enum { SECRET_MAX = 65536, PATH_TEXT = 4096 };

/* ---- Reading text ---- */

/* Bytes of the text, not ended. */
struct slice {
  char *s; /* NULL: not there */
  size_t n;
};

struct reader {
  char *s;
  size_t n, at;
};

/* Lines that begin with '#' are comments; they keep their place, so that errors name the line. */
static void blank_comments(char *s, size_t n) {
  bool comment = false, start = true;
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '\n') {
      comment = false;
      start = true;
      continue;
    }
    if (start && s[i] == '#') comment = true;
    if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r') start = false;
    if (comment) s[i] = ' ';
  }
}

/* The next byte that is no white space, or NUL at the end. */
static char peek(struct reader *r) {
  while (r->at < r->n && strchr(" \t\r\n", r->s[r->at]) && r->s[r->at])
    r->at++;
  return r->at < r->n ? r->s[r->at] : '\0';
}

static bool take(struct reader *r, char c) {
  if (peek(r) != c) return false;
  r->at++;
  return true;
}

/* A string as it stands between its quotes. */
static bool take_string(struct reader *r, struct slice *out) {
  size_t from;
  if (!take(r, '"')) return false;
  from = r->at;
  for (; r->at < r->n && (unsigned char)r->s[r->at] >= 0x20; r->at++) {
    if (r->s[r->at] == '"') {
      *out = (struct slice){r->s + from, r->at++ - from};
      return true;
    }
    if (r->s[r->at] == '\\') r->at++;
  }
  if (r->at > r->n) r->at = r->n;
  return false;
}

/* A value of any kind; *out is set when it is a string. What is in a nested value is nobody's
 * business but its brackets and strings. */
static bool take_value(struct reader *r, struct slice *out) {
  size_t depth = 0, from;
  struct slice ignored;
  char c = peek(r);
  *out = (struct slice){NULL, 0};
  if (c == '"') return take_string(r, out);
  if (c != '{' && c != '[') {
    static const char literal[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    for (from = r->at; r->at < r->n && r->s[r->at] && strchr(literal, r->s[r->at]);)
      r->at++;
    return r->at > from;
  }
  do {
    c = peek(r);
    if (c == '\0') return false;
    if (c == '"') {
      if (!take_string(r, &ignored)) return false;
      continue;
    }
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    r->at++;
  } while (depth);
  return true;
}

struct members {
  struct slice curve, public, private;
};

static struct slice *member(struct members *m, const struct slice *name) {
  static const struct {
    const char *name;
    size_t offset;
  } known[] = {{"curve", offsetof(struct members, curve)},
               {"public", offsetof(struct members, public)},
               {"private", offsetof(struct members, private)}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (name->n == strlen(known[i].name) && memcmp(name->s, known[i].name, name->n) == 0)
      return (struct slice *)(void *)((char *)m + known[i].offset);
  return NULL;
}

/* One object and nothing else. False: it is not; r->at is where. */
static bool read_object(struct reader *r, struct members *out) {
  if (!take(r, '{')) return false;
  if (!take(r, '}')) {
    do {
      struct slice name, value, *place;
      if (!take_string(r, &name) || !take(r, ':') || !take_value(r, &value)) return false;
      if ((place = member(out, &name))) *place = value;
    } while (take(r, ','));
    if (!take(r, '}')) return false;
  }
  return peek(r) == '\0' && r->at == r->n;
}

/* Exactly `size` bytes of base64, with or without the suffix. */
static bool read_base64(struct slice in, uint8_t *out, size_t size) {
  size_t n = 0;
  if (!in.s) return false;
  for (size_t i = 0; i < in.n; i++) { /* some writers escape the '/' */
    if (in.s[i] == '\\' && i + 1 < in.n && in.s[i + 1] == '/') i++;
    in.s[n++] = in.s[i];
  }
  return ms__key_read(out, size, in.s, n);
}

static int bad(ms_error *err, const char *why) {
  return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "%s", why);
}

/* Not the text around it, which may be the secret. */
static int not_json(const struct reader *r, ms_error *err) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < r->at && i < r->n; i++) {
    column++;
    if (r->s[i] == '\n') {
      line++;
      column = 1;
    }
  }
  return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                   "line %zu, column %zu: this is not a JSON object", line, column);
}

/* Takes `text` apart in place. `kept` is guarded memory for what is read. */
static int parse(char *text, size_t n, struct ms_identity *kept, ms_error *err) {
  struct reader r = {text, n, 0};
  struct members m = {{0}, {0}, {0}};
  uint8_t public_key[MS_KEY_BYTES], last[MS_KEY_BYTES], seed[MS_KEY_BYTES];
  const char *why;
  size_t mark = ms__file_mark(text, n, &why), nul;
  if (why) return bad(err, why);
  if ((nul = ms__file_nul(text, n)))
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "line %zu has a NUL byte", nul);
  r.s += mark;
  r.n -= mark;
  blank_comments(r.s, r.n);
  if (!read_object(&r, &m)) return not_json(&r, err);
  if (m.curve.s && (m.curve.n != 7 || memcmp(m.curve.s, "ed25519", 7) != 0))
    return bad(err, "the curve is not ed25519");
  if (!read_base64(m.private, kept->secret_key, sizeof kept->secret_key))
    return bad(err, "\"private\" is not 64 bytes of base64");
  if (!read_base64(m.public, public_key, sizeof public_key))
    return bad(err, "\"public\" is not 32 bytes of base64");
  memcpy(seed, kept->secret_key, sizeof seed);
  memcpy(last, kept->secret_key + sizeof seed, sizeof last);
  ms__identity_derive(kept, seed);
  ms__wipe(seed, sizeof seed);
  if (sodium_memcmp(kept->public_key, public_key, sizeof public_key) != 0 ||
      sodium_memcmp(kept->public_key, last, sizeof last) != 0)
    return bad(err, "\"public\" and \"private\" do not belong together");
  return 0;
}

/* Guarded memory for a text and for the identity in it. */
static int begin(char **text, ms_identity **out, ms_error *err) {
  *text = NULL;
  *out = NULL;
  if (sodium_init() < 0)
    return ms__error(err, MS_ESYSTEM, MS_PHASE_NONE, NULL, "libsodium cannot start");
  *text = sodium_malloc(SECRET_MAX);
  *out = sodium_malloc(sizeof **out);
  if (*text && *out) return 0;
  sodium_free(*text);
  sodium_free(*out);
  *out = NULL;
  return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, "no guarded memory for an identity");
}

/* Takes both; `n` may be an error already. */
static int finish(char *text, ptrdiff_t n, ms_identity **out, ms_error *err) {
  int r = n < 0            ? (int)n
          : n < SECRET_MAX ? parse(text, (size_t)n, *out, err)
                           : bad(err, "is longer than an identity can be");
  sodium_free(text);
  if (r == 0) {
    (void)sodium_mprotect_readonly(*out);
    return 0;
  }
  sodium_free(*out);
  *out = NULL;
  return r;
}

int ms_identity_parse(ms_identity **out, const char *text, size_t length, ms_error *err) {
  char *copy;
  int r = begin(&copy, out, err);
  if (r < 0) return r;
  if (length > SECRET_MAX) length = SECRET_MAX;
  if (length) memcpy(copy, text, length);
  return finish(copy, (ptrdiff_t)length, out, err);
}

/* ---- Files ---- */

static int failed(ms_error *err, int sys, const char *path, const char *what) {
  (void)ms__error_sys(err, MS_ESYSTEM, sys, MS_PHASE_NONE, NULL, "%s", what);
  ms__error_address(err, path);
  return MS_ESYSTEM;
}

int ms_identity_load(ms_identity **out, const char *path, ms_error *err) {
  static const struct ms__file_rules rules = {.max = SECRET_MAX - 1, .secret = true};
  char *text;
  ptrdiff_t n;
  int fd, r;
  *out = NULL;
  fd = ms__file_open(path, &rules, err);
  if (fd < 0) return fd;
  r = begin(&text, out, err);
  if (r == 0) {
    n = ms__file_read(fd, path, text, SECRET_MAX, err);
    r = finish(text, n, out, err);
    if (n >= 0 && r < 0) ms__error_address(err, path);
  }
  (void)close(fd);
  return r;
}

size_t ms_identity_format(const ms_identity *id, char *buf, size_t size) {
  struct ms__text t;
  ms__text_init(&t, buf, size);
  ms__text_string(&t,
                  "# This is your secret: whoever has it can be you. Show it to nobody.\n"
                  "# The id at the end is public; peers know you by it.\n"
                  "{\n"
                  "  \"curve\": \"ed25519\",\n"
                  "  \"public\": \"");
  ms__text_base64(&t, id->public_key, sizeof id->public_key);
  ms__text_string(&t, ".ed25519\",\n  \"private\": \"");
  ms__text_base64(&t, id->secret_key, sizeof id->secret_key);
  ms__text_string(&t, ".ed25519\",\n  \"id\": \"@");
  ms__text_base64(&t, id->public_key, sizeof id->public_key);
  ms__text_string(&t, ".ed25519\"\n}\n");
  return t.len;
}

static int write_identity(int fd, const ms_identity *id) {
  char text[1024];
  size_t n = ms_identity_format(id, text, sizeof text), at = 0;
  int sys = 0;
  while (at < n && !sys) {
    ssize_t k = write(fd, text + at, n - at);
    if (k > 0)
      at += (size_t)k;
    else if (k < 0 && errno != EINTR)
      sys = errno;
  }
  if (!sys && fsync(fd) < 0) sys = errno;
  ms__wipe(text, sizeof text);
  return sys;
}

int ms_identity_save(const ms_identity *identity, const char *path, ms_error *err) {
  char temporary[PATH_TEXT];
  int fd, sys;
  if ((size_t)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= sizeof temporary)
    return failed(err, ENAMETOOLONG, path, "cannot be written");
  fd = mkstemp(temporary); /* 0600 */
  if (fd < 0) return failed(err, errno, path, "cannot be written");
  sys = write_identity(fd, identity);
  if (close(fd) < 0 && !sys) sys = errno;
  /* it appears whole, and never in the place of another */
  if (!sys && link(temporary, path) < 0) sys = errno;
  (void)unlink(temporary);
  if (sys == EEXIST) {
    (void)failed(err, sys, path, "is not overwritten");
    return MS_ESYSTEM;
  }
  return sys ? failed(err, sys, path, "cannot be written") : 0;
}
