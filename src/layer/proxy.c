/* proxy: the header by which something in front says whose connection this is (the PROXY protocol
 * of haproxy, versions 1 and 2), as a server's set-up layer. It is brought up for peers that are
 * believed and for no others. From these it has to come: where it may be missing, a client of one
 * that sends none could write its own.
 *
 * What tells of no internet address (UNKNOWN, LOCAL, unix sockets) leaves the peer what it is.
 * Version 2's further fields (TLVs) are passed over. */
#include <string.h>

#include "addr/addr.h"
#include "addr/inet.h"
#include "layer/layer.h"

enum {
  V1_MAX = 107, /* the longest line, its CRLF included */
  V1_BEGIN = 6,
  V2_BEGIN = 12,
  V2_HEAD = 16, /* signature, version and command, family and protocol, length */
  TCP4 = 0x11,
  TCP4_BYTES = 12, /* both addresses, both ports */
  TCP6 = 0x21,
  TCP6_BYTES = 36,
  V2_MAX = V2_HEAD + TCP6_BYTES,
  V1_WORDS = 6
};

static const char v1_begin[V1_BEGIN + 1] = "PROXY ";
static const uint8_t v2_begin[V2_BEGIN] = "\r\n\r\n\0\r\nQUIT\n";

struct state {
  const struct ms__proxy_opts *opts;
  bool over;      /* what is left of the header is passed over */
  uint16_t later; /* and is so long */
  const char *why;
};

static int proxy_init(void *st, const struct ms__role *role) {
  ((struct state *)st)->opts = role->opts;
  return 0;
}

static int bad(struct state *s, const char *why) {
  s->why = why;
  return MS_EPROTO;
}

/* Is what has come so far the beginning of it? */
static bool begins(const struct ms__src *in, const void *begin, size_t n) {
  return memcmp(in->p, begin, ms__min(in->n, n)) == 0;
}

/* ---- Version 1: one line ---- */

static bool read_port(const struct ms__src *word, uint16_t *out) {
  int port;
  if (word->n > 1 && word->p[0] == '0') return false;
  if (!ms__port_parse((const char *)word->p, word->n, &port)) return false;
  *out = (uint16_t)port;
  return true;
}

static bool is_word(const struct ms__src *word, const char *text) {
  return word->n == strlen(text) && memcmp(word->p, text, word->n) == 0;
}

/* "PROXY TCP4 192.0.2.1 198.51.100.1 5678 8989", without its CRLF. */
static bool read_line(union ms__inet *peer, const uint8_t *p, size_t n) {
  struct ms__src words[V1_WORDS] = {{NULL, 0}};
  union ms__inet from, to;
  const uint8_t *end = p + n;
  uint16_t from_port, to_port;
  size_t count = 0;
  int family;
  while (p && count < V1_WORDS) {
    const uint8_t *space = memchr(p, ' ', (size_t)(end - p));
    words[count++] = (struct ms__src){p, (size_t)((space ? space : end) - p)};
    p = space ? space + 1 : NULL;
  }
  if (is_word(&words[1], "UNKNOWN")) return true; /* whatever follows */
  if (count != V1_WORDS || p) return false;
  family = is_word(&words[1], "TCP4") ? AF_INET : AF_INET6;
  if ((family == AF_INET6 && !is_word(&words[1], "TCP6")) ||
      !ms__inet_read(&from, family, (const char *)words[2].p, words[2].n) ||
      !ms__inet_read(&to, family, (const char *)words[3].p, words[3].n) ||
      !read_port(&words[4], &from_port) || !read_port(&words[5], &to_port))
    return false;
  *peer = from;
  ms__inet_set_port(peer, from_port);
  return true;
}

static int read_v1(struct state *s, struct ms__src *in) {
  const uint8_t *end = memchr(in->p, '\n', ms__min(in->n, V1_MAX));
  size_t n;
  if (!end) return in->n < V1_MAX ? MS__MORE : bad(s, "the line of PROXY does not end");
  n = (size_t)(end - in->p);
  if (in->p[n - 1] != '\r' || !read_line(s->opts->peer, in->p, n - 1))
    return bad(s, "the line of PROXY is malformed");
  ms__skip(in, n + 1);
  return MS__UNLINK;
}

/* ---- Version 2: binary ---- */

static int read_v2(struct state *s, struct ms__src *in) {
  struct ms__src rest = *in;
  uint8_t command, protocol;
  uint16_t length;
  size_t need, n;
  if (in->n < V2_HEAD) return MS__MORE;
  command = in->p[V2_BEGIN];
  protocol = in->p[V2_BEGIN + 1];
  ms__skip(&rest, V2_BEGIN + 2);
  length = ms__take_be16(&rest);
  need = protocol == TCP4 ? TCP4_BYTES : protocol == TCP6 ? TCP6_BYTES : 0;
  if (command != 0x20 && command != 0x21) return bad(s, "the header is no PROXY of version 2");
  if (command == 0x20) need = 0; /* LOCAL: the proxy's own, to see whether we live */
  if (command == 0x21 && !need && protocol != 0 && protocol != 0x31)
    return bad(s, "PROXY tells of a peer that is not on TCP");
  if (length < need) return bad(s, "the PROXY header is too short for its addresses");
  if (rest.n < need) return MS__MORE;
  if (need) {
    n = protocol == TCP4 ? 4 : 16;
    ms__inet_make(s->opts->peer, n == 4 ? AF_INET : AF_INET6, rest.p,
                  (rest.p[2 * n] << 8 | rest.p[2 * n + 1]));
  }
  ms__skip(&rest, need);
  *in = rest;
  s->over = true;
  s->later = (uint16_t)(length - need);
  return MS__MORE;
}

/* ---- Either ---- */

static int pass_over(struct state *s, struct ms__src *in) {
  size_t n = ms__min(in->n, s->later);
  ms__skip(in, n);
  s->later = (uint16_t)(s->later - n);
  return s->later ? MS__MORE : MS__UNLINK;
}

static int proxy_handshake(void *st, struct ms__port *p) {
  struct state *s = st;
  struct ms__src *in = &p->wire_in;
  int r;
  if (s->over) return pass_over(s, in);
  if (in->n == 0) return MS__MORE;
  if (begins(in, v1_begin, V1_BEGIN)) return in->n < V1_BEGIN ? MS__MORE : read_v1(s, in);
  if (!begins(in, v2_begin, V2_BEGIN)) return bad(s, "the PROXY header is missing");
  r = in->n < V2_BEGIN ? MS__MORE : read_v2(s, in);
  return r == MS__MORE && s->over ? pass_over(s, in) : r;
}

static void proxy_explain(const void *st, char *buf, size_t size) {
  const struct state *s = st;
  ms__text_copy(buf, size, s->why ? s->why : "");
}

const struct ms__layer ms__proxy = {
    .name = "proxy",
    .flags = MS__SETUP,
    .state = sizeof(struct state),
    .need_in = V1_MAX,
    .init = proxy_init,
    .handshake = proxy_handshake,
    .explain = proxy_explain,
};
