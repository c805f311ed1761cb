/* The grammar: a list of alternatives, each a chain of sections (behaviours.md, section 2).
 *
 *   multi = addr (";" addr)*     addr = section ("~" section)*     section = name (":" data)*
 *
 * A list is cut at every ';' before anything is unescaped, because the deployed peers do so; then
 * each alternative at the '~' that no '!' stands before; then "!x" becomes x. */
#include <stdio.h>
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

static bool ends_with(const char *s, const char *end, const char *suffix) {
  size_t n = strlen(suffix);
  return (size_t)(end - s) >= n && memcmp(end - n, suffix, n) == 0;
}

/* Texts that people paste and that look like addresses (behaviours.md, "Legacy"). NULL: none. */
static const char *hint_for(const struct source *in) {
  const char *tilde = memchr(in->s, '~', (size_t)(in->end - in->s));
  const char *end = tilde ? tilde : in->end;
  const char *at = memchr(in->s, '@', (size_t)(end - in->s));
  if (in->end - in->s >= 4 && memcmp(in->s, "ssb:", 4) == 0)
    return "an ssb: URI is no multiserver address: take the address out of it";
  if (!at || !ends_with(in->s, end, ".ed25519")) return NULL;
  if (at == in->s) return "this is a key, not an address: write net:HOST:PORT~shs:KEY";
  if (at[-1] != ':' || memcmp(in->s, "shs:", 4) == 0) return NULL;
  return "this is a Scuttlebutt legacy address or invite: write net:HOST:PORT~shs:KEY, and the "
         "invite's seed as shs:KEY:SEED";
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

/* The section's name for an error, when it is short enough to be one. */
static const char *name_of(const char *text, char name[16]) {
  size_t n = strcspn(text, ":");
  if (n >= 16) return NULL;
  memcpy(name, text, n);
  name[n] = '\0';
  return name;
}

static bool read_section(const struct source *in, const char *s, const char *end,
                         struct arena *arena, ms_error *err) {
  struct ms__reading r = {.text = arena->text, .use = in->use};
  char name[16];
  if (!unescape(s, end, arena->text, &r.length))
    return fail(err, in, end - 1, NULL, "nothing follows this '!'");
  r.spare = arena->text + r.length + 1;
  if (!ms__section_read(arena->sections, &r))
    return fail(err, in, raw_position(s, r.at), name_of(r.text, name), r.why);
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
  if (hint)
    (void)fail(&out->error, in, in->s, NULL, hint);
  else
    (void)read_sections(in, arena, out);
}

/* ---- Lists ---- */

static const char *list_end(const char *s, const char *end) {
  const char *semi = memchr(s, ';', (size_t)(end - s));
  return semi ? semi : end;
}

/* What the input may need at the most; every section keeps at most twice its text and a little. */
static size_t sizes(const char *text, size_t length, size_t *alternatives, size_t *sections) {
  *alternatives = 0;
  *sections = 0;
  for (const char *s = text, *end = text + length; s <= end; s = list_end(s, end) + 1)
    if (list_end(s, end) > s) ++*alternatives;
  for (size_t i = 0; i < length; i++)
    if (text[i] == '~') ++*sections;
  *sections += *alternatives;
  if (*sections > *alternatives * MS__SECTIONS_MAX) *sections = *alternatives * MS__SECTIONS_MAX;
  return 3 * length + *sections * 160;
}

static int malformed(ms_error *err, size_t offset, const char *why) {
  (void)ms__error(err, MS_EADDRESS, MS_PHASE_PARSE, NULL, "%s", why);
  if (err) err->offset = offset;
  return MS_EADDRESS;
}

int ms_addr_parse(ms_addr **out, const char *text, size_t length, enum ms_addr_use use,
                  ms_error *err) {
  size_t alternatives, sections, room, size;
  struct source in = {.start = text, .use = use};
  struct arena arena;
  ms_addr *a;
  *out = NULL;
  if (length > MS_ADDRESS_MAX)
    return malformed(err, MS_ADDRESS_MAX, "an address has at most 65536 bytes");
  room = sizes(text, length, &alternatives, &sections);
  if (alternatives == 0) return malformed(err, 0, "the address is empty");
  if (alternatives > MS__ALTERNATIVES_MAX)
    return malformed(err, 0, "an address has at most 1024 alternatives");
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
  for (size_t i = 0; i < a->count; i++) {
    if (a->alternatives[i].error.code) continue;
    *out = a;
    return 0;
  }
  if (err) *err = a->alternatives[0].error;
  ms_addr_free(a);
  return MS_EADDRESS;
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
