/* The data of each kind of section (docs/behaviours.md, section 2). A new protocol is one line in
 * the table and, where its data has a shape of its own, one function to read and one to write it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "addr/addr.h"
#include "base/key.h"

/* The longest host of a ws URL, as browsers and Node have it. */
enum { WS_HOST_MAX = 255, WS_PORT = 80, WSS_PORT = 443 };

static bool bad(struct ms__reading *r, const char *where, const char *why) {
  r->why = why;
  r->at = where ? (size_t)(where - r->text) : 0;
  return false;
}

/* A copy in the spare room. */
static const char *keep(struct ms__reading *r, const char *s, size_t n) {
  char *copy = r->spare;
  memcpy(copy, s, n);
  copy[n] = '\0';
  r->spare += n + 1;
  return copy;
}

/* What JavaScript's separator-escape escapes when it writes. */
static void put(struct ms__text *t, const char *s) {
  for (; *s; s++) {
    if (*s == '!' || *s == '~') ms__text_char(t, '!');
    ms__text_char(t, *s);
  }
}

static void put_percent(struct ms__text *t, unsigned char c) {
  ms__text_char(t, '%');
  ms__text_char(t, "0123456789ABCDEF"[c >> 4]);
  ms__text_char(t, "0123456789ABCDEF"[c & 15]);
}

/* ---- Hosts ---- */

/* Resolvers and browsers take any host whose last label is a number for an IPv4 address, in four
 * notations ("0" is the wildcard). Only the usual one is taken here. */
static bool is_odd_ipv4(const char *host, size_t n) {
  char text[INET_ADDRSTRLEN];
  struct in_addr in4;
  size_t end = n && host[n - 1] == '.' ? n - 1 : n, start = end;
  while (start && host[start - 1] != '.')
    start--;
  if (start == end) return false;
  if (strspn(host + start, "0123456789") < end - start)
    return end - start >= 2 && host[start] == '0' && (host[start + 1] | 32) == 'x' &&
           strspn(host + start + 2, "0123456789abcdefABCDEF") >= end - start - 2;
  if (n >= sizeof text) return true;
  memcpy(text, host, n);
  text[n] = '\0';
  return inet_pton(AF_INET, text, &in4) != 1;
}

/* ---- net, onion: HOST:PORT ---- */

/* Keeps an IPv6 address in its canonical form. False: it is none. */
static bool keep_ipv6(ms_section *out, struct ms__reading *r, const char *host, size_t n) {
  if (!ms__host_ipv6(host, n, r->spare, n + MS__SECTION_SPARE)) return false;
  out->host = r->spare;
  r->spare += strlen(r->spare) + 1;
  return true;
}

/* An IPv6 address, with or without brackets and with or without a zone, or any other host as it
 * is. */
static bool read_host(ms_section *out, struct ms__reading *r, const char *host, size_t n) {
  const char *space = memchr(host, ' ', n);
  if (space) return bad(r, space, "a host has no spaces");
  if (n && host[0] == '[') {
    if (host[n - 1] == ']' && keep_ipv6(out, r, host + 1, n - 2)) return true;
    return bad(r, host, "brackets hold an IPv6 address and nothing else");
  }
  if (keep_ipv6(out, r, host, n)) return true;
  if (n && strspn(host, ":") >= n)
    return bad(r, host, "a host of colons only: the wildcard is written net::::8008");
  if (is_odd_ipv4(host, n)) return bad(r, host, "write an IPv4 address as four decimal numbers");
  out->host = keep(r, host, n);
  return true;
}

static bool read_port(ms_section *out, struct ms__reading *r, const char *port, size_t n) {
  if (n == 0) return bad(r, port, "the port is missing");
  if (!ms__port_parse(port, n, &out->port))
    return bad(r, port, "the port is not a number from 1 to 65535");
  if (out->port == 0 && r->use == MS_ADDR_DIAL) return bad(r, port, "port 0 can not be dialled");
  return true;
}

static bool read_net(ms_section *out, struct ms__reading *r, const char *data) {
  const char *colon = data ? strrchr(data, ':') : NULL;
  if (!data && r->use == MS_ADDR_LISTEN) return true;
  if (!colon) return bad(r, data, "host and port are needed, as in net:host:8008");
  if (!read_port(out, r, colon + 1, strlen(colon + 1))) return false;
  return read_host(out, r, data, (size_t)(colon - data));
}

static bool read_onion(ms_section *out, struct ms__reading *r, const char *data) {
  const char *colon = data ? strrchr(data, ':') : NULL;
  if (!data && r->use == MS_ADDR_LISTEN) return true;
  if (!colon || colon == data)
    return bad(r, data, "host and port are needed, as in onion:NAME.onion:8008");
  if (!read_port(out, r, colon + 1, strlen(colon + 1))) return false;
  return read_host(out, r, data, (size_t)(colon - data));
}

/* What stands before an '@' is no part of a host, but of what was taken for a URL: a password,
 * perhaps. */
static void write_host_port(struct ms__text *t, const ms_section *s, bool safe) {
  const char *host = s->host ? s->host : "", *at = strrchr(host, '@');
  if (s->port < 0) return;
  ms__text_char(t, ':');
  if (safe && at && !ms__host_is_address(host)) {
    ms__text_string(t, "...");
    host = at;
  }
  put(t, host);
  ms__text_char(t, ':');
  ms__text_uint(t, (unsigned long)s->port);
}

/* ---- ws, wss: a URL ---- */

/* WHATWG URL, which is what a browser dials; what deployed peers (url.parse of Node) would take for
 * another host is refused. */

/* The forbidden domain code points, and those that url.parse ends a host at. */
static bool is_host_char(char c) {
  return c > ' ' && c < 0x7f && !strchr("#%/:<>?@[\\]^|\"'`{}", c);
}

static bool is_zone_char(int c) {
  return c > ' ' && c < 0x7f && !strchr("%/:[]", c);
}

/* What stands in the brackets: an IPv6 address, and perhaps "%25" and a zone (RFC 6874), which is
 * kept as elsewhere: "fe80::1%eth0". */
static bool keep_ws_ipv6(ms_section *out, struct ms__reading *r, const char *host, size_t n) {
  char plain[WS_HOST_MAX + 1];
  const char *zone = memchr(host, '%', n);
  size_t k = zone ? (size_t)(zone - host) : n, i = k + 3;
  memcpy(plain, host, k);
  if (zone) {
    if (i >= n || memcmp(zone, "%25", 3) != 0) return false;
    plain[k++] = '%';
  }
  for (; i < n; i++) {
    int c = (unsigned char)host[i], low;
    if (c == '%') {
      if (n - i < 3 || (c = ms__hex(host[i + 1])) < 0 || (low = ms__hex(host[i + 2])) < 0)
        return false;
      c = c << 4 | low;
      i += 2;
    }
    if (!is_zone_char(c)) return false;
    plain[k++] = (char)c;
  }
  return keep_ipv6(out, r, plain, k);
}

static bool is_unreserved(char c) {
  char lower = (char)(c | 32);
  return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') || strchr("-._~", c);
}

/* "[fe80::1%25eth0]": in a zone all is written as %XX that need not stand for itself in a URL. */
static void put_ws_host(struct ms__text *t, const char *host) {
  bool zone = false;
  if (!strchr(host, ':')) {
    put(t, host);
    return;
  }
  ms__text_char(t, '[');
  for (; *host; host++) {
    char one[2] = {*host, '\0'};
    if (zone ? !is_unreserved(*host) : *host == '%')
      put_percent(t, (unsigned char)*host);
    else
      put(t, one);
    zone |= *host == '%';
  }
  ms__text_char(t, ']');
}

static bool read_ws_host(ms_section *out, struct ms__reading *r, const char *host, size_t n) {
  char *lower;
  if (n == 0) return bad(r, host, "the host is missing");
  if (n > WS_HOST_MAX) return bad(r, host, "the host has more than 255 bytes");
  if (host[0] == '[') {
    if (host[n - 1] == ']' && keep_ws_ipv6(out, r, host + 1, n - 2)) return true;
    return bad(r, host, "brackets hold an IPv6 address, its zone behind %25: [fe80::1%25eth0]");
  }
  for (size_t i = 0; i < n; i++) {
    if ((unsigned char)host[i] >= 0x80)
      return bad(r, host + i, "write this host in its ASCII form (xn--...)");
    if (!is_host_char(host[i])) return bad(r, host + i, "a host has no such character");
  }
  if (is_odd_ipv4(host, n)) return bad(r, host, "write an IPv4 address as four decimal numbers");
  lower = r->spare;
  out->host = keep(r, host, n);
  for (; *lower; lower++)
    if (*lower >= 'A' && *lower <= 'Z') *lower = (char)(*lower | 32);
  return true;
}

/* Keeps n bytes, those of `set`, spaces and all beyond ASCII written as %XX. */
static const char *keep_percent(struct ms__reading *r, const char *s, size_t n, const char *set) {
  struct ms__text t;
  const char *start = r->spare;
  ms__text_init(&t, r->spare, 3 * n + 1);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c > ' ' && c < 0x7f && !strchr(set, c)) {
      ms__text_char(&t, s[i]);
      continue;
    }
    put_percent(&t, c);
  }
  r->spare += t.len + 1;
  return start;
}

static bool read_ws_path(ms_section *out, struct ms__reading *r, const char *path) {
  const char *odd = strpbrk(path, "#\\");
  size_t n = strcspn(path, "?");
  if (odd && *odd == '#') return bad(r, odd, "a fragment (#) has no meaning here");
  if (odd) return bad(r, odd, "write / or %5C instead of a backslash");
  if (strcmp(path, "/") == 0) path = "";
  out->path = r->spare;
  if (*path == '?') *r->spare++ = '/';
  (void)keep_percent(r, path, strcspn(path, "?"), "\"<>`{}");
  if (!path[0] || !path[n]) return true;
  r->spare--; /* over the NUL */
  (void)keep_percent(r, path + n, strlen(path + n), "\"'<>");
  return true;
}

/* NAME or NAME:PASSWORD. An empty one says nothing. */
static bool read_userinfo(ms_section *out, struct ms__reading *r, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (s[i] == '%' && !(n - i > 2 && ms__hex(s[i + 1]) >= 0 && ms__hex(s[i + 2]) >= 0))
      return bad(r, s + i, "two hexadecimal digits follow a % here");
  if (n) out->userinfo = keep_percent(r, s, n, "\"<>@[]^`{|}");
  return true;
}

/* The part between "//" and the path: [USERINFO@]HOST[:PORT]. */
static bool read_authority(ms_section *out, struct ms__reading *r, const char *s, size_t n) {
  const char *host = s, *colon = NULL, *end = s + n;
  for (const char *p = s; p < end; p++)
    if (*p == '@') host = p + 1;
  if (host > s && !read_userinfo(out, r, s, (size_t)(host - 1 - s))) return false;
  for (const char *p = host; p < end; p++) {
    if (*p == ']')
      colon = NULL;
    else if (*p == ':' && !colon)
      colon = p;
  }
  if (host < end && *host == '[' && !memchr(host, ']', (size_t)(end - host)))
    return bad(r, host, "the bracket is not closed");
  out->port = ms__ws_port(out);
  if (colon && colon + 1 < end && !read_port(out, r, colon + 1, (size_t)(end - colon - 1)))
    return false;
  return read_ws_host(out, r, host, (size_t)((colon ? colon : end) - host));
}

/* On a unix socket: /PATH, or nothing. */
static bool read_ws_above(ms_section *out, struct ms__reading *r, const char *data) {
  out->transport = false;
  if (out->secure) return bad(r, NULL, "TLS is a section of its own below: tls:NAME~ws");
  if (!data || !*data) return true;
  if (*data != '/' || data[1] == '/')
    return bad(r, data, "what it stands on has the place: it is ws, or ws:/path");
  return read_ws_path(out, r, data);
}

static bool read_ws(ms_section *out, struct ms__reading *r, const char *data) {
  size_t n;
  out->path = "";
  if (r->above) return read_ws_above(out, r, data);
  if (!data && r->use == MS_ADDR_LISTEN) return true;
  if (!data || strncmp(data, "//", 2) != 0)
    return bad(r, data, "it is written as a URL: ws://host:port/path, wss://host/path");
  data += 2;
  n = strcspn(data, "/?#\\");
  return read_authority(out, r, data, n) && read_ws_path(out, r, data + n);
}

int ms__ws_port(const ms_section *s) {
  return s->secure ? WSS_PORT : WS_PORT;
}

static void write_ws(struct ms__text *t, const ms_section *s, bool safe) {
  const char *path = s->path ? s->path : "";
  if (!s->host) {
    if (*path) ms__text_char(t, ':');
    put(t, path);
    return;
  }
  ms__text_string(t, "://");
  if (s->userinfo && !safe) {
    put(t, s->userinfo);
    ms__text_char(t, '@');
  }
  put_ws_host(t, s->host);
  if (s->port != ms__ws_port(s)) {
    ms__text_char(t, ':');
    ms__text_uint(t, (unsigned long)s->port);
  }
  put(t, path);
}

/* ---- unix: PATH, or @NAME ---- */

static bool read_unix(ms_section *out, struct ms__reading *r, const char *data) {
  if (!data && r->use == MS_ADDR_LISTEN) return true;
  if (!data || !*data) return bad(r, data, "a path is needed, as in unix:/run/x/socket");
  if (strcmp(data, "@") == 0)
    return bad(r, data, "an abstract socket has a name, as in unix:@x; a file is unix:./@");
  out->path = keep(r, data, strlen(data));
  return true;
}

static void write_path(struct ms__text *t, const ms_section *s, bool safe) {
  (void)safe;
  if (!s->path) return;
  ms__text_char(t, ':');
  put(t, s->path);
}

static bool read_memory(ms_section *out, struct ms__reading *r, const char *data) {
  if (!data && r->use == MS_ADDR_LISTEN) return true;
  if (!data || !*data) return bad(r, data, "a name is needed, as in memory:x");
  if (strlen(data) > MS__MEMORY_NAME)
    return bad(r, data + MS__MEMORY_NAME, "the name is longer than 100 bytes");
  out->path = keep(r, data, strlen(data));
  return true;
}

/* ---- shs, noauth: KEY[:SEED] ---- */

/* As ms_key_parse. Anything else is a typing error, which must not become another key. */
static bool read_key(uint8_t out[MS_KEY_BYTES], const char *s, size_t n) {
  return ms_key_parse(out, s, n, NULL) == 0;
}

static bool read_shs(ms_section *out, struct ms__reading *r, const char *data) {
  const char *colon = data ? strchr(data, ':') : NULL;
  size_t n = colon ? (size_t)(colon - data) : data ? strlen(data) : 0;
  if (n == 0 && !colon) {
    if (r->use != MS_ADDR_DIAL) return true;
    return bad(r, data, "the peer's public key is missing: shs:KEY");
  }
  out->has_key = read_key(out->key, data, n);
  if (!out->has_key) return bad(r, data, "the key is not 32 bytes of base64");
  if (!colon) return true;
  if (r->use != MS_ADDR_DIAL) return bad(r, colon, "a seed is the dialling side's");
  out->has_seed = ms__base64_read(out->seed, MS_KEY_BYTES, colon + 1, strlen(colon + 1));
  return out->has_seed || bad(r, colon + 1, "the seed is not 32 bytes of base64");
}

static bool read_noauth(ms_section *out, struct ms__reading *r, const char *data) {
  if (!data || !*data) return true;
  out->has_key = read_key(out->key, data, strlen(data));
  return out->has_key || bad(r, data, "what follows noauth is no key: leave it out");
}

static void write_keys(struct ms__text *t, const ms_section *s, bool safe) {
  if (!s->has_key) return;
  ms__text_char(t, ':');
  ms__text_base64(t, s->key, sizeof s->key);
  if (!s->has_seed || safe) return;
  ms__text_char(t, ':');
  ms__text_base64(t, s->seed, sizeof s->seed);
}

/* ---- anything else ---- */

/* What an escaped ':' means in a protocol we do not know, we do not know: the data keeps its
 * escapes, those that mean nothing left out. */
static bool read_other(ms_section *out, struct ms__reading *r, const char *data) {
  const char *s = r->raw, *end = s + r->raw_length;
  char *p;
  out->name = keep(r, r->text, r->name_length);
  if (!data) return true;
  for (size_t skip = r->name_length + 1; skip; skip--)
    s += *s == '!' ? 2 : 1;
  out->data = p = r->spare;
  while (s < end) {
    bool escaped = *s == '!';
    if (escaped) s++;
    if (escaped && (*s == '!' || *s == '~' || *s == ':')) *p++ = '!';
    *p++ = *s++;
  }
  *p++ = '\0';
  r->spare = p;
  return true;
}

/* What is secret in it we do not know either. */
static void write_other(struct ms__text *t, const ms_section *s, bool safe) {
  if (!s->data || safe) return;
  ms__text_char(t, ':');
  ms__text_string(t, s->data);
}

/* ---- tls, tls:NAME ---- */

static bool read_tls(ms_section *out, struct ms__reading *r, const char *data) {
  if (!data || !*data) return true;
  if (keep_ipv6(out, r, data, strlen(data))) return true;
  return read_ws_host(out, r, data, strlen(data));
}

static void write_tls(struct ms__text *t, const ms_section *s, bool safe) {
  (void)safe;
  if (!s->host) return;
  ms__text_char(t, ':');
  put(t, s->host);
}

/* ---- The table ---- */

static const struct kind {
  const char *word; /* what stands before the ':' */
  const char *name;
  enum ms_section_kind kind;
  bool transport;
  bool secure;
  bool (*read)(ms_section *out, struct ms__reading *r,
               const char *data); /* data: NULL when no ':' */
  void (*write)(struct ms__text *t, const ms_section *s, bool safe);
} kinds[] = {
    {"net", "net", MS_SECTION_NET, true, false, read_net, write_host_port},
    {"ws", "ws", MS_SECTION_WS, true, false, read_ws, write_ws},
    {"wss", "ws", MS_SECTION_WS, true, true, read_ws, write_ws},
    {"onion", "onion", MS_SECTION_ONION, true, false, read_onion, write_host_port},
    {"unix", "unix", MS_SECTION_UNIX, true, false, read_unix, write_path},
    {"memory", "memory", MS_SECTION_MEMORY, true, false, read_memory, write_path},
    {"shs", "shs", MS_SECTION_SHS, false, false, read_shs, write_keys},
    {"noauth", "noauth", MS_SECTION_NOAUTH, false, false, read_noauth, write_keys},
    {"tls", "tls", MS_SECTION_TLS, false, false, read_tls, write_tls},
    {NULL, NULL, MS_SECTION_OTHER, false, false, read_other, write_other},
};

/* URL schemes are the one place where case does not count, and only where the URL shows. */
static bool is_word(const char *word, const char *s, size_t n, bool url) {
  if (strlen(word) != n) return false;
  for (size_t i = 0; i < n; i++)
    if (s[i] != word[i] && !(url && word[0] == 'w' && (s[i] | 32) == word[i])) return false;
  return true;
}

static bool is_name(const char *s, size_t n) {
  if (n < 2 || s[0] < 'a' || s[0] > 'z') return false;
  for (size_t i = 1; i < n; i++)
    if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
      return false;
  return true;
}

bool ms__section_read(ms_section *out, struct ms__reading *r) {
  const char *colon = strchr(r->text, ':'), *data = colon ? colon + 1 : NULL;
  size_t n = colon ? (size_t)(colon - r->text) : r->length;
  bool url = data && strncmp(data, "//", 2) == 0;
  const struct kind *k = kinds;
  r->name_length = n;
  while (k->word && !is_word(k->word, r->text, n, url))
    k++;
  r->named = k->word || is_name(r->text, n);
  if (!r->named && r->length == 0) return bad(r, NULL, "a section is empty");
  if (!r->named)
    return bad(r, NULL, "a section begins with a name: two or more of a-z, 0-9 and -, a-z first");
  memset(out, 0, sizeof *out);
  out->kind = k->kind;
  out->name = k->name;
  out->transport = k->transport;
  out->secure = k->secure;
  out->port = -1;
  return k->read(out, r, data);
}

void ms__section_format(struct ms__text *t, const ms_section *s, bool safe) {
  const struct kind *k = kinds;
  while (k->word && !(k->kind == s->kind && k->secure == s->secure))
    k++;
  ms__text_string(t, k->word ? k->word : s->name);
  k->write(t, s, safe);
}
