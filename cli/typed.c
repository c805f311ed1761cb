/* An address as somebody has typed it: shown again in an error, and what may have been meant. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum {
  KEY_LEAST = 40,   /* so many characters of base64 may be a key, or a seed */
  SUGGESTED = 1024, /* for longer addresses nothing is suggested */
  NAME = 16
};

/* ---- Text that grows ---- */

/* What does not fit is cut. */
struct line {
  char *buf;
  size_t size, n;
};

static void put(struct line *l, const char *s, size_t n) {
  for (size_t i = 0; i < n && l->n + 1 < l->size; i++)
    l->buf[l->n++] = s[i];
  l->buf[l->n] = '\0';
}

static void put_text(struct line *l, const char *s) {
  put(l, s, strlen(s));
}

/* The length up to one of these, or the end; "!x" is an x that stands for itself, but for a ';'. */
static size_t until(const char *s, const char *stops) {
  size_t n = 0;
  while (s[n] && !strchr(stops, s[n]))
    n += s[n] == '!' && s[n + 1] && s[n + 1] != ';' ? 2 : 1;
  return n;
}

static size_t base64_run(const char *s) {
  size_t n = 0;
  while (s[n] && (isalnum((unsigned char)s[n]) || strchr("+/=", s[n])))
    n++;
  return n;
}

/* Where the last '@' of n characters stands; 0: nowhere behind the first. */
static size_t last_at(const char *s, size_t n) {
  while (n > 1 && s[n - 1] != '@')
    n--;
  return n > 1 ? n - 1 : 0;
}

/* Is there a ':' that begins no port? Then what is before a later '@' may be a password. */
static bool has_odd_colon(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    size_t digits = s[i] == ':' ? strspn(s + i + 1, "0123456789") : 0;
    if (s[i] == ':' && (digits == 0 || !strchr("/?~;", s[i + 1 + digits]))) return true;
  }
  return false;
}

/* A query, or a fragment, up to the next section: its values may be secrets. "": neither. */
static size_t put_query(struct line *l, const char *s) {
  const char *p = s;
  while (*p == '?' || *p == '&' || *p == '#') {
    size_t name = 1 + until(p + 1, "=&#~;");
    put(l, p, p[name] == '=' ? name + 1 : 1);
    put_text(l, "...");
    p += name + until(p + name, "&#~;");
  }
  return (size_t)(p - s);
}

/* "//user:password@host/path" and its like, up to the next section; slashes may lack, and a
 * password may have some. */
static size_t put_url(struct line *l, const char *s) {
  size_t n = until(s, "~;"), from = *s == '/' ? 1U + (s[1] == '/') : 0;
  size_t host = last_at(s + from, until(s + from, "/?~;")), any = last_at(s + from, n - from);
  if (!host && any && has_odd_colon(s + from, any)) host = any;
  put(l, s, from);
  if (host) put_text(l, "...");
  host += from;
  from = host + until(s + host, "?#~;");
  put(l, s + host, from - host);
  return from + put_query(l, s + from);
}

/* ---- Names ---- */

static const char *const known[] = {"net", "unix", "ws", "wss", "tls", "shs", "noauth", "onion"};

/* What the same is called elsewhere. */
static const struct {
  const char *typed, *meant;
} others[] = {{"tcp", "net"},         {"tcp4", "net"},    {"tcp6", "net"},
              {"socket", "unix"},     {"sock", "unix"},   {"file", "unix"},
              {"http", "ws"},         {"https", "wss"},   {"websocket", "ws"},
              {"ssl", "tls"},         {"none", "noauth"}, {"secret-handshake", "shs"},
              {"anonymous", "noauth"}};

/* One letter more, less or another, or two the other way round? */
static bool is_near(const char *a, const char *b) {
  size_t i = 0, n = strlen(a), m = strlen(b);
  while (a[i] && a[i] == b[i])
    i++;
  if (n == m)
    return strcmp(a + i, b + i) == 0 || strcmp(a + i + 1, b + i + 1) == 0 ||
           (a[i] == b[i + 1] && a[i + 1] == b[i] && strcmp(a + i + 2, b + i + 2) == 0);
  if (n == m + 1) return strcmp(a + i + 1, b + i) == 0;
  return m == n + 1 && strcmp(a + i, b + i + 1) == 0;
}

/* The name of the protocol that may be meant by one in small letters, or NULL. */
static const char *meant(const char *name) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i], name) == 0) return known[i];
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strcmp(others[i].typed, name) == 0) return others[i].meant;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (is_near(name, known[i])) return known[i];
  return NULL;
}

/* The name of a section of n characters, in small letters; how long it is. */
static size_t name_of(const char *s, size_t n, char name[NAME]) {
  size_t k = strcspn(s, ":~;");
  if (k > n) k = n;
  (void)snprintf(name, NAME, "%.*s", (int)(k < NAME ? k : NAME - 1), s);
  for (char *c = name; *c; c++)
    *c = (char)tolower((unsigned char)*c);
  return k;
}

/* The same of a first section, the ':' behind whose name may lack before a '/'. */
static size_t transport_name(const char *s, size_t n, char name[NAME]) {
  size_t k = strcspn(s, "/:~;");
  if (k && k < n && s[k] == '/' && name_of(s, k, name) == k && meant(name)) return k;
  return name_of(s, n, name);
}

/* ---- Without secrets ---- */

/* What may be a key or a seed, however it is written: base64 of URLs and %XX are none here. */
static size_t key_run(const char *s) {
  size_t n = 0;
  while (s[n] && (isalnum((unsigned char)s[n]) || strchr("+/=-_%", s[n])))
    n++;
  return n;
}

/* A protocol that has keys, or may be meant to be it. */
static bool is_shs(const char *name) {
  const char *protocol = meant(name);
  return protocol && strcmp(protocol, "shs") == 0;
}

/* One that has none, named as it is: its data is a host or a path. */
static bool is_keyless(const char *name) {
  const char *protocol = meant(name);
  return protocol && strcmp(protocol, name) == 0 && !is_shs(name);
}

/* Is what stands in this transform a public key, if it is one at all? */
static bool has_public_key(const char *section) {
  char name[NAME];
  size_t n = until(section, "~;"), k = name_of(section, n, name);
  return k == n || k >= KEY_LEAST || *section == '@' || is_shs(name) || is_keyless(name);
}

/* How many keys this alternative has, or what may be one; two may stand without anything between.
 */
static unsigned keys_of(const char *s) {
  unsigned keys = 0;
  while (*s && *s != ';') {
    size_t n = key_run(s);
    keys += (unsigned)(n / KEY_LEAST);
    s += n ? n : 1;
  }
  return keys;
}

/* A key that is all there is may be the seed of the alternative before. */
static bool is_alone(const char *s) {
  size_t n = key_run(s);
  return n >= KEY_LEAST && *s != '/' && until(s, ";") == n;
}

/* A first section that is a URL: the length of its name and ':', or 0. */
static size_t url_name(const char *s) {
  char name[NAME];
  size_t k = name_of(s, until(s, "~;"), name);
  const char *protocol = meant(name);
  return s[k] == ':' && protocol && *protocol == 'w' ? k + 1 : 0;
}

/* "net:user:password@host:port", or without a name: how much of it was put, up to the '@'; 0: it is
 * no such thing, but a path, or the key of an old address. */
static size_t put_user(struct line *l, const char *s) {
  char name[NAME];
  size_t n = until(s, "~;"), at = last_at(s, n), k = name_of(s, n, name);
  const char *protocol = meant(name);
  if (!at || s[at - 1] == ':' || strchr("/.", *s) || (protocol && strcmp(protocol, "unix") == 0))
    return 0;
  if (protocol && k < at) put(l, s, k + 1);
  put_text(l, "...");
  return at;
}

/* What is not shown of a transform, be it ever so short; up to its end. */
struct hidden {
  size_t from;
  const char *as; /* NULL: nothing is hidden */
};

/* In KEY:SEED none of the two, for they may have changed places. Behind a key alone an invite has
 * its seed. */
static struct hidden hidden_of(const char *section, bool behind_key) {
  static const char one[] = "...", two[] = "...:...";
  char name[NAME];
  size_t n = until(section, "~;"), k = name_of(section, n, name);
  if (k == n) return (struct hidden){0, behind_key && n >= NAME && !meant(name) ? one : NULL};
  if (k >= KEY_LEAST || *section == '@') return (struct hidden){0, two};
  if (is_shs(name))
    return (struct hidden){k + 1, memchr(section + k + 1, ':', n - k - 1) ? two : NULL};
  return (struct hidden){k + 1, !is_keyless(name) && n - k > NAME ? one : NULL};
}

/* ":SEED" behind a key of so many characters that has no section of its own: its length, or 0. A
 * port is none. */
static size_t seed_behind(const char *key, size_t n) {
  static const char suffix[] = ".ed25519";
  const char *s = key + n;
  size_t k;
  if (n < KEY_LEAST) return 0;
  if (strncmp(s, suffix, sizeof suffix - 1) == 0) s += sizeof suffix - 1;
  k = until(s, "~;");
  return *s == ':' && 1 + strspn(s + 1, "0123456789") < k ? (size_t)(s - key) - n + k : 0;
}

/* How much of the text was put. `hide`: no key is shown. */
static size_t put_some(struct line *l, const char *s, bool hide) {
  size_t n = key_run(s), seed = seed_behind(s, n);
  if (strncmp(s, "//", 2) == 0) return put_url(l, s);
  if (*s == '?' || *s == '#') return put_query(l, s);
  if (*s == '!' && s[1] && s[1] != ';') {
    put(l, s, 2);
    return 2;
  }
  if (n >= KEY_LEAST && (hide || seed))
    put_text(l, seed ? "...:..." : "...");
  else
    put(l, s, n ? n : 1);
  return (n ? n : 1) + seed;
}

/* Of two keys one is a seed, and which is for nobody to say who has mistyped them; what stands in a
 * protocol that nobody knows may be one. */
void cli_typed(const char *text, char *buf, size_t size) {
  struct line l = {buf, size, 0};
  bool hide = false, behind_key = false, begins = true;
  put(&l, "", 0);
  for (const char *s = text; *s;) {
    size_t name = begins ? url_name(s) : 0, user = begins && !name ? put_user(&l, s) : 0;
    if (begins) {
      hide = keys_of(s) > 1 || is_alone(s);
      behind_key = false;
    }
    s += user;
    begins = *s == ';';
    behind_key |= *s == '@' || key_run(s) >= KEY_LEAST;
    if (name) {
      put(&l, s, name);
      s += name;
      s += put_url(&l, s);
    } else if (*s == '~') {
      struct hidden h = hidden_of(s + 1, behind_key);
      hide |= !has_public_key(s + 1);
      put(&l, s, 1 + (h.as ? h.from : 0));
      if (h.as) put_text(&l, h.as);
      s += 1 + (h.as ? until(s + 1, "~;") : 0);
    } else {
      s += put_some(&l, s, hide);
    }
  }
}

/* ---- What may have been meant ---- */

/* How much of HOST:PORT and what follows is the host; 0: it is no such thing. */
static size_t host_of(const char *s, size_t n) {
  size_t k = *s == '[' ? strcspn(s, "]~;") + 1 : strcspn(s, ":~;");
  return k && k < n && s[k] == ':' ? k : 0;
}

/* HOST:PORT or PORT, with a key behind another ':' perhaps; a URL's "//" and its path are left out.
 */
static void put_net(struct line *l, const char *s, size_t n) {
  size_t host, port, key = 0;
  if (n > 2 && s[0] == '/' && s[1] == '/') {
    s += 2;
    n = strcspn(s, "/?~;");
  }
  put_text(l, "net:");
  if (n && strspn(s, "0123456789") >= n) put_text(l, ":");
  if (n > 1 && s[0] == '*' && s[1] == ':') { /* every interface */
    put_text(l, "::");
    s++;
    n--;
  }
  host = host_of(s, n);
  port = host ? host + 1 + strspn(s + host + 1, "0123456789") : 0;
  if (host && port < n && s[port] == ':') key = base64_run(s + port + 1);
  if (key < KEY_LEAST || port + 1 + key != n) {
    put(l, s, n);
    return;
  }
  put(l, s, port);
  put_text(l, "~shs:");
  put(l, s + port + 1, key);
}

/* Skips the slashes that stand before what a transport is given: how many. A path keeps one where
 * no ':' was before it. */
static size_t slashes(const char **data, const char *name, char before) {
  const char *s = *data;
  size_t n = strspn(s, "/");
  if (strcmp(name, "net") == 0) n = n == 2 ? 0 : 1; /* a URL has a path, too: put_net */
  if (strcmp(name, "unix") == 0) n = before != ':' ? n - 1 : n >= 2 ? 2 : 0;
  *data += n;
  return n;
}

/* The first section, n characters of it. */
static void put_transport(struct line *l, const char *s, size_t n) {
  char typed[NAME];
  size_t k = transport_name(s, n, typed);
  const char *name = meant(typed), *data = s + k + (k < n && s[k] == ':');
  size_t rest = n - (size_t)(data - s);
  if (name && *data == '/') rest -= slashes(&data, name, s[k]);
  if (*s == '/' || *s == '.' || (*s == '@' && k == n && n < KEY_LEAST)) { /* a path */
    put_text(l, "unix:");
    put(l, s, n);
  } else if (!name && (*s == '[' || strspn(k < n ? data : s, "0123456789"))) { /* a host */
    put_net(l, s, n);
  } else if (name && strcmp(name, "net") == 0) {
    put_net(l, data, rest);
  } else {
    put_text(l, name ? name : typed);
    put_text(l, ":");
    if (name && *name == 'w') put_text(l, "//");
    put(l, data, rest);
  }
}

static void put_transform(struct line *l, const char *s, size_t n) {
  char typed[NAME];
  size_t k = name_of(s, n, typed);
  if (k >= KEY_LEAST || (*s == '@' && n > KEY_LEAST)) { /* a key alone */
    put_text(l, "shs:");
    k = 0;
  } else {
    put_text(l, meant(typed) ? meant(typed) : typed);
  }
  put(l, s + k, n - k);
}

/* Every alternative, section by section. */
static void correct(struct line *l, const char *s) {
  bool first = true;
  while (*s) {
    size_t n = strcspn(s, "~;");
    if (first)
      put_transport(l, s, n);
    else
      put_transform(l, s, n);
    s += n;
    first = *s == ';';
    if (*s) put(l, s++, 1);
  }
}

static bool has_query(const ms_section *s) {
  return s->kind == MS_SECTION_WS && s->path && strchr(s->path, '?');
}

/* Can it be used, all of it, and has it nothing that must not be shown? Of two keys one is a seed
 * that has been mistyped. */
static bool is_good(const char *text, enum ms_addr_use use) {
  ms_addr *addr;
  const ms_alternative *a;
  bool good = true;
  if (ms_addr_parse(&addr, text, strlen(text), use, NULL) < 0) return false;
  for (size_t i = 0; (a = ms_addr_at(addr, i)); i++) {
    unsigned keys = 0;
    good = good && !a->error.code && a->count && a->sections[0].transport;
    for (size_t j = 0; good && j < a->count; j++) {
      const ms_section *s = &a->sections[j];
      keys += s->has_key;
      good = keys <= 1 && s->kind != MS_SECTION_OTHER && s->kind != MS_SECTION_ONION &&
             !s->has_seed && !s->userinfo && !has_query(s) &&
             (j == 0 || !s->transport || s->kind == MS_SECTION_WS);
    }
  }
  ms_addr_free(addr);
  return good;
}

/* What may be meant by a blank before this: ';' where an address begins, '~' where a transform
 * does, else nothing, NUL. */
static char joint(const char *s) {
  char name[NAME];
  size_t n = strcspn(s, "~;, \t"), k = transport_name(s, n, name);
  const char *protocol = meant(name);
  if (protocol && strchr("st", *protocol)) return '~';
  if (protocol && strcmp(protocol, "noauth") == 0) return '~';
  return (protocol && k < n) || (*s && strchr("/.[", *s)) || host_of(s, n) ? ';' : '\0';
}

/* What stands around an address that was copied: blanks, quotes, and commas for ';'. Does it seem
 * to be several, with a blank or a comma between them? */
static bool bare(const char *text, char *out, size_t size) {
  static const char around[] = " \t\"'`<>", blank[] = " \t";
  struct line l = {out, size, 0};
  bool several = false;
  size_t n;
  text += strspn(text, around);
  for (n = strlen(text); n && strchr(around, text[n - 1]); n--) {
  }
  put(&l, "", 0);
  for (size_t i = 0; i < n; i++) {
    const char *next = text + i + 1 + strspn(text + i + 1, blank);
    char c = text[i];
    if (c == ',' || ((c == ' ' || c == '\t') && l.n && !strchr(";~:", out[l.n - 1])))
      several |= joint(next) == ';';
    if (c == ' ' || c == '\t') c = l.n && !strchr(";~:", out[l.n - 1]) ? joint(next) : '\0';
    if (c == ',') c = ';';
    if (c) put(&l, &c, 1);
  }
  return several;
}

void cli_did_you_mean(const char *text, enum ms_addr_use use, char *buf, size_t size) {
  char typed[SUGGESTED], better[SUGGESTED + 64];
  struct line l = {better, sizeof better, 0};
  const char *join = "";
  bool at_file;
  *buf = '\0';
  if (strlen(text) >= sizeof typed) return;
  if (bare(text, typed, sizeof typed)) join = "; alternatives are joined by ';'";
  at_file = *typed == '@' && strchr(typed, ':');
  put(&l, "", 0);
  correct(&l, typed + at_file);
  if (strcmp(better, text) != 0 && is_good(better, use))
    (void)snprintf(buf, size, "%s%s did you mean %s?", join, *join ? ":" : ";", better);
  else
    (void)snprintf(buf, size, "%s", join);
}

int cli_error_typed(const char *what, const char *text, enum ms_addr_use use, const ms_error *err) {
  char typed[CLI_TYPED], meant_by_it[CLI_MEANT], place[64] = "";
  cli_typed(text, typed, sizeof typed);
  cli_did_you_mean(text, use, meant_by_it, sizeof meant_by_it);
  if (err->phase == MS_PHASE_PARSE)
    (void)snprintf(place, sizeof place, "at byte %zu: ", err->offset);
  return cli_error(what, typed, "%s%s%s", place, err->message, meant_by_it);
}

int cli_usage_typed(const struct cli_command *command, const char *text, const char *why) {
  char typed[CLI_TYPED];
  cli_typed(text, typed, sizeof typed);
  return cli_usage(command, typed, why);
}
