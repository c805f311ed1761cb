/* Scuttlebutt's legacy addresses and invites (docs/behaviours.md, section 2, "Legacy"), read from
 * the right: HOST[:PORT]:@KEY.ed25519[~SEED]. */
#include <string.h>

#include "addr/addr.h"
#include "base/error.h"
#include "base/mem.h"

enum { LEGACY_MAX = 4096, PORT = 8008 };

/* Bytes of the input. */
struct slice {
  const char *s;
  size_t n;
};

struct legacy {
  struct slice host, key, seed; /* seed.s NULL: none */
  int port;
};

static int bad(ms_error *err, const struct slice *in, const char *where, const char *why) {
  (void)ms__error(err, MS_EADDRESS, MS_PHASE_PARSE, NULL, "%s", why);
  if (err) err->offset = (size_t)(where - in->s);
  return MS_EADDRESS;
}

static const char *last(struct slice in, char c) {
  for (size_t i = in.n; i > 0; i--)
    if (in.s[i - 1] == c) return in.s + i - 1;
  return NULL;
}

/* HOST or HOST:PORT, where HOST may be an IPv6 address with colons of its own. */
static void read_place(struct slice in, struct legacy *out) {
  char ipv6[128];
  const char *colon = last(in, ':');
  out->host = in;
  out->port = PORT;
  if (!colon) return;
  if (!ms__port_parse(colon + 1, (size_t)(in.s + in.n - colon - 1), &out->port)) {
    out->port = PORT;
    return;
  }
  out->host.n = (size_t)(colon - in.s);
  if (memchr(in.s, ':', out->host.n) && !ms__host_ipv6(in.s, out->host.n, ipv6, sizeof ipv6) &&
      ms__host_ipv6(in.s, in.n, ipv6, sizeof ipv6)) { /* the last colon was the address's own */
    out->host = in;
    out->port = PORT;
  }
}

static int read_legacy(struct slice in, struct legacy *out, ms_error *err) {
  const char *tilde = memchr(in.s, '~', in.n), *at;
  struct slice head = {in.s, tilde ? (size_t)(tilde - in.s) : in.n};
  out->seed = (struct slice){tilde ? tilde + 1 : NULL, tilde ? in.n - head.n - 1 : 0};
  at = last(head, '@');
  if (!at) return bad(err, &in, in.s, "no key: a legacy address is HOST:PORT:@KEY.ed25519");
  if (at == in.s || at[-1] != ':')
    return bad(err, &in, at, "':' stands before the key: HOST:PORT:@KEY.ed25519");
  out->key = (struct slice){at + 1, (size_t)(in.s + head.n - at - 1)};
  if (memchr(out->key.s, ':', out->key.n)) /* where the section would begin a seed */
    return bad(err, &in, out->key.s, "the key is not 32 bytes of base64");
  read_place((struct slice){in.s, (size_t)(at - 1 - in.s)}, out);
  if (out->host.n == 0) return bad(err, &in, in.s, "the host is missing");
  if (out->port == 0) return bad(err, &in, in.s + out->host.n + 1, "port 0 can not be dialled");
  return 0;
}

/* A host as data of a section; the section's reader judges it. */
static void add_escaped(struct ms__text *t, struct slice in) {
  for (size_t i = 0; i < in.n; i++) {
    if (in.s[i] == '!' || in.s[i] == '~') ms__text_char(t, '!');
    ms__text_char(t, in.s[i]);
  }
}

static bool is_onion(struct slice host) {
  static const char end[] = ".onion";
  size_t n = sizeof end - 1;
  return host.n > n && memcmp(host.s + host.n - n, end, n) == 0;
}

int ms_addr_from_legacy(ms_addr **out, const char *text, size_t length, ms_error *err) {
  struct slice in = {text, length};
  struct legacy legacy;
  struct ms__text t;
  char address[2 * LEGACY_MAX + 64];
  ms_error why;
  int r;
  *out = NULL;
  if (length == 0) return bad(err, &in, text, "the address is empty");
  if (length > LEGACY_MAX) return bad(err, &in, text, "a legacy address has at most 4096 bytes");
  if (memchr(text, ';', length) || memchr(text, 0, length))
    return bad(err, &in, text, "a legacy address is one alone, without ';'");
  if ((r = read_legacy(in, &legacy, err)) < 0) return r;
  ms__text_init(&t, address, sizeof address);
  ms__text_string(&t, is_onion(legacy.host) ? "onion:" : "net:");
  add_escaped(&t, legacy.host);
  ms__text_char(&t, ':');
  ms__text_uint(&t, (unsigned long)legacy.port);
  ms__text_string(&t, "~shs:");
  add_escaped(&t, legacy.key);
  if (legacy.seed.s) {
    ms__text_char(&t, ':');
    add_escaped(&t, legacy.seed);
  }
  r = ms_addr_parse(out, address, t.len, MS_ADDR_DIAL, &why);
  ms__wipe(address, sizeof address); /* the seed */
  if (r == 0) return 0;
  if (r != MS_EADDRESS) return ms__error(err, r, MS_PHASE_PARSE, NULL, NULL);
  /* where in the text it was given: it failed in one of three parts */
  if (strcmp(why.layer, "shs") != 0) return bad(err, &in, legacy.host.s, why.message);
  return bad(err, &in, strstr(why.message, "seed") ? legacy.seed.s : legacy.key.s, why.message);
}
