/* The grammar: a list of alternatives, each a chain of sections (docs/behaviours.md, section 2).
 *
 *   multi = addr (";" addr)*     addr = section ("~" section)*     section = name (":" data)*
 *
 * A list is cut at every ';' before anything is unescaped, because the deployed peers do so; then
 * each alternative at the '~' that no '!' stands before; then "!x" becomes x. */
#include <string.h>

#include "addr/addr.h"
#include "base/error.h"
#include "base/mem.h"

struct ms_addr {
  size_t size; /* of this one piece of memory */
  size_t count;
  ms_alternative *alternatives;
};

/* Where in one piece of memory the parts of an ms_addr go. */
struct arena {
  ms_alternative *alternatives;
  ms_section *sections;
  char *text;
};

/* An alternative while it is read. */
struct source {
  const char *start;   /* of the whole input */
  const char *s, *end; /* of the alternative */
  enum ms_addr_use use;
};

/* ---- Errors ---- */

static bool fail(ms_error *err, const struct source *in, const char *where, const char *layer,
                 const char *why) {
  (void)ms__error(err, MS_EADDRESS, MS_PHASE_PARSE, layer, "%s", why);
  err->offset = (size_t)(where - in->start);
  return false;
}

/* KEY.ed25519 that ends at `end`, with the '@' before it the first of the text. NULL: no such key.
 */
static const char *feed_key(const char *s, const char *end) {
  static const char suffix[] = ".ed25519";
  size_t n = sizeof suffix - 1;
  const char *at = memchr(s, '@', (size_t)(end - s));
  if (!at || memchr(at + 1, '@', (size_t)(end - at - 1))) return NULL;
  return (size_t)(end - at) > n && memcmp(end - n, suffix, n) == 0 ? at : NULL;
}

static const char uri_hint[] = "an ssb: URI is no multiserver address: take the address out of it";
static const char legacy_hint[] =
    "this is a Scuttlebutt legacy address: it is translated by `multiserver address --legacy` and "
    "ms_addr_from_legacy";
static const char invite_hint[] =
    "this is a Scuttlebutt invite: it is translated by `multiserver address --legacy` and "
    "ms_addr_from_legacy";

/* Texts that people paste and that look like addresses (docs/behaviours.md, section 2, "Legacy").
 * NULL: none. */
static const char *hint_for(const struct source *in) {
  size_t n = (size_t)(in->end - in->s);
  const char *tilde = memchr(in->s, '~', n), *end = tilde ? tilde : in->end, *at;
  if (n >= 4 && memcmp(in->s, "ssb:", 4) == 0) return uri_hint;
  if (*in->s == '@') return "this is a key, not an address: write net:HOST:PORT~shs:KEY";
  /* An invite has a seed and nothing else after '~'. A section of another name there makes it an
   * address whose transport we do not know. */
  if (tilde && memchr(tilde, ':', (size_t)(in->end - tilde))) return NULL;
  at = feed_key(in->s, end);
  if (!at || at == in->s || at[-1] != ':' || memcmp(in->s, "shs:", 4) == 0 ||
      memcmp(in->s, "noauth:", 7) == 0 || memcmp(in->s, "unix:@", 6) == 0)
    return NULL;
  return tilde ? invite_hint : legacy_hint;
}

/* The same of a section whose escapes have hidden it: its canonical form would be such a text. */
static const char *hint_for_section(const struct source *in, const ms_alternative *a) {
  const ms_section *s = &a->sections[0];
  const char *tilde = memchr(in->s, '~', (size_t)(in->end - in->s)), *at;
  if (s->kind != MS_SECTION_OTHER || !s->data) return NULL;
  if (strcmp(s->name, "ssb") == 0) return uri_hint;
  if (a->count > 1 && tilde && memchr(tilde, ':', (size_t)(in->end - tilde))) return NULL;
  at = feed_key(s->data, s->data + strlen(s->data));
  if (!at || (at != s->data && at[-1] != ':')) return NULL;
  return a->count > 1 ? invite_hint : legacy_hint;
}

/* ---- Checks of the raw text ---- */

/* The length of the UTF-8 sequence at p, or 0 (RFC 3629). */
static size_t utf8_length(const unsigned char *p, const unsigned char *end) {
  unsigned char c = *p;
  size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;
  if (n == 1) return 1;
  if (c < 0xc2 || c > 0xf4 || (size_t)(end - p) < n) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
      (c == 0xf4 && p[1] > 0x8f))
    return 0;
  return n;
}

static bool check_text(const struct source *in, ms_error *err) {
  const unsigned char *end = (const unsigned char *)in->end;
  size_t n;
  for (const unsigned char *p = (const unsigned char *)in->s; p < end; p += n) {
    n = utf8_length(p, end);
    if (n == 0) return fail(err, in, (const char *)p, NULL, "this is not UTF-8");
    if (*p < 0x20 || *p == 0x7f)
      return fail(err, in, (const char *)p, NULL, "an address has no control characters");
  }
  return true;
}

/* ---- Sections ---- */

/* Where in the raw text the i-th unescaped byte stands. */
static const char *raw_position(const char *raw, size_t i) {
  while (i--)
    raw += *raw == '!' ? 2 : 1;
  return raw;
}

/* Unescapes [s, end) into `out`, which has room for it and a NUL. False: nothing follows a '!'. */
static bool unescape(const char *s, const char *end, char *out, size_t *length) {
  char *p = out;
  for (; s < end; s++) {
    if (*s == '!' && ++s == end) return false;
    *p++ = *s;
  }
  *p = '\0';
  *length = (size_t)(p - out);
  return true;
}

static const char *section_end(const char *s, const char *end) {
  for (; s < end && *s != '~'; s++)
    if (*s == '!' && s + 1 < end) s++;
  return s;
}

static bool read_section(const struct source *in, const char *s, const char *end,
                         struct arena *arena, ms_error *err) {
  struct ms__reading r = {.text = arena->text,
                          .raw = s,
                          .raw_length = (size_t)(end - s),
                          .use = in->use,
                          .above = s > in->s};
  char name[sizeof err->layer];
  if (!unescape(s, end, arena->text, &r.length))
    return fail(err, in, end - 1, NULL, "nothing follows this '!': write !! for a '!'");
  r.spare = arena->text + r.length + 1;
  if (!ms__section_read(arena->sections, &r)) {
    size_t n = r.named && r.name_length < sizeof name ? r.name_length : 0;
    memcpy(name, r.text, n);
    name[n] = '\0';
    return fail(err, in, raw_position(s, r.at), name, r.why);
  }
  arena->text = r.spare;
  arena->sections++;
  return true;
}

static bool read_sections(const struct source *in, struct arena *arena, ms_alternative *out) {
  const ms_section *first = arena->sections;
  const char *s = in->s;
  size_t n = 0;
  for (;;) {
    const char *end = section_end(s, in->end);
    if (++n > MS__SECTIONS_MAX)
      return fail(&out->error, in, s, NULL, "an address has at most 16 sections");
    if (!read_section(in, s, end, arena, &out->error)) return false;
    if (n > 1 && first->kind == MS_SECTION_NET && arena->sections[-1].kind == MS_SECTION_WS)
      return fail(&out->error, in, s, "ws",
                  "over TCP it is a transport, ws://HOST:PORT/PATH, with TLS wss://");
    if (end == in->end) break;
    s = end + 1;
  }
  out->sections = first;
  out->count = n;
  return true;
}

static void read_alternative(const struct source *in, struct arena *arena) {
  ms_alternative *out = arena->alternatives++;
  const char *hint = hint_for(in);
  out->offset = (size_t)(in->s - in->start);
  out->length = (size_t)(in->end - in->s);
  if (!check_text(in, &out->error)) return;
  if (!hint && read_sections(in, arena, out)) hint = hint_for_section(in, out);
  if (!hint) return;
  out->sections = NULL;
  out->count = 0;
  (void)fail(&out->error, in, in->s, NULL, hint);
}

/* ---- Lists ---- */

static const char *list_end(const char *s, const char *end) {
  const char *semi = memchr(s, ';', (size_t)(end - s));
  return semi ? semi : end;
}

/* What the input may need at the most: each section its unescaped text and what it keeps. */
static size_t sizes(const char *text, size_t length, size_t *alternatives, size_t *sections) {
  *alternatives = 0;
  *sections = 0;
  for (const char *s = text, *end = text + length; s <= end; s = list_end(s, end) + 1)
    if (list_end(s, end) > s) ++*alternatives;
  for (size_t i = 0; i < length; i++)
    if (text[i] == '~') ++*sections;
  *sections += *alternatives;
  if (*sections > *alternatives * MS__SECTIONS_MAX) *sections = *alternatives * MS__SECTIONS_MAX;
  return 4 * length + *sections * (MS__SECTION_SPARE + 1);
}

static int malformed(ms_error *err, size_t offset, const char *why) {
  (void)ms__error(err, MS_EADDRESS, MS_PHASE_PARSE, NULL, "%s", why);
  if (err) err->offset = offset;
  return MS_EADDRESS;
}

/* Takes the result when it can be used; else frees it. What is written must be readable again, so
 * the canonical form has the input's limit too. */
static int finish(ms_addr **out, ms_addr *a, ms_error *err) {
  size_t i = 0;
  while (i < a->count && a->alternatives[i].error.code)
    i++;
  if (i == a->count) {
    if (err) *err = a->alternatives[0].error;
  } else if (ms_addr_format(a, SIZE_MAX, NULL, 0) > MS_ADDRESS_MAX) {
    (void)malformed(err, 0, "the canonical form of the address has more than 65536 bytes");
  } else {
    *out = a;
    return 0;
  }
  ms_addr_free(a);
  return MS_EADDRESS;
}

int ms_addr_parse(ms_addr **out, const char *text, size_t length, enum ms_addr_use use,
                  ms_error *err) {
  size_t alternatives, sections, room, size;
  struct source in = {.start = text, .use = use};
  struct arena arena;
  ms_addr *a;
  *out = NULL;
  if (length == 0) return malformed(err, 0, "the address is empty");
  if (length > MS_ADDRESS_MAX)
    return malformed(err, MS_ADDRESS_MAX, "an address has at most 65536 bytes");
  room = sizes(text, length, &alternatives, &sections);
  if (alternatives == 0) return malformed(err, 0, "the address is empty");
  if (alternatives > MS__ALTERNATIVES_MAX)
    return malformed(err, 0, "an address has at most 4096 alternatives");
  size = sizeof *a + alternatives * sizeof *arena.alternatives + sections * sizeof *arena.sections +
         room;
  a = ms__calloc(&ms__default_allocator, size);
  if (!a) return ms__error(err, MS_ENOMEM, MS_PHASE_PARSE, NULL, NULL);
  a->size = size;
  a->count = alternatives;
  a->alternatives = (ms_alternative *)(a + 1);
  arena.alternatives = a->alternatives;
  arena.sections = (ms_section *)(a->alternatives + alternatives);
  arena.text = (char *)(arena.sections + sections);
  for (const char *s = text, *end = text + length; s <= end; s = in.end + 1) {
    in.s = s;
    in.end = list_end(s, end);
    if (in.end > in.s) read_alternative(&in, &arena);
  }
  return finish(out, a, err);
}

void ms_addr_free(ms_addr *addr) {
  if (!addr) return;
  ms__wipe(addr, addr->size); /* seeds and user information */
  ms__free(&ms__default_allocator, addr);
}

size_t ms_addr_count(const ms_addr *addr) {
  return addr->count;
}

const ms_alternative *ms_addr_at(const ms_addr *addr, size_t i) {
  return i < addr->count ? &addr->alternatives[i] : NULL;
}
