#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* What is no text to a reader, but tells his terminal what to do, or hides or reorders what he
 * reads: controls (C0 without the tab, DEL, C1), bidirectional marks, embeddings, overrides and
 * isolates, separators of lines, what has no width, tags, annotations, fillers, non-characters. Not
 * the selectors of variants (U+FE00 to U+FE0F), which belong to the character before. Ascending. */
static const struct {
  uint32_t first, last;
} hidden[] = {
    {0x0000, 0x0008},   {0x000a, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},
    {0x034f, 0x034f},   {0x061c, 0x061c},   {0x070f, 0x070f},   {0x115f, 0x1160},
    {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f},   {0x3164, 0x3164},   {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x13430, 0x1345f},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static bool is_hidden(uint32_t c) {
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden && c >= hidden[i].first; i++)
    if (c <= hidden[i].last) return true;
  return false;
}

/* How many bytes of UTF-8 (RFC 3629) the character at `s` has, and which it is; *c is 0 where they
 * are none. */
static size_t character(const unsigned char *s, size_t n, uint32_t *c) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t k = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
  uint32_t code = s[0];
  *c = k == 1 ? code : 0;
  if (k <= 1 || k > n || s[0] > 0xf4) return 1;
  code &= 0xffU >> (k + 1);
  for (size_t i = 1; i < k; i++) {
    if ((s[i] & 0xc0) != 0x80) return 1;
    code = code << 6 | (s[i] & 0x3f);
  }
  if (code < least[k] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 1;
  *c = code;
  return k;
}

void cli_clean(char *s, size_t n) {
  uint32_t c;
  for (size_t k; n; s += k, n -= k) {
    k = character((const unsigned char *)s, n, &c);
    if (is_hidden(c)) memset(s, '?', k);
  }
}

static int print(const char *what, const char *where, char *why) {
  char place[512] = "";
  if (where && *where) {
    (void)snprintf(place, sizeof place, "%s", where);
    cli_clean(place, strlen(place));
  }
  cli_clean(why, strlen(why));
  (void)fprintf(stderr, "multiserver: %s: %s%s%s\n", what, place, *place ? ": " : "", why);
  return CLI_FAILED;
}

int cli_error(const char *what, const char *where, const char *why, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, why);
  (void)vsnprintf(text, sizeof text, why, ap);
  va_end(ap);
  return print(what, where, text);
}

int cli_error_from(const char *what, const ms_error *err) {
  char text[1024], place[64] = "";
  if (err->phase == MS_PHASE_PARSE)
    (void)snprintf(place, sizeof place, "at byte %zu: ", err->offset);
  else if (err->phase == MS_PHASE_HANDSHAKE || err->phase == MS_PHASE_AUTHORISE)
    (void)snprintf(place, sizeof place, "%s %s: ", err->layer, ms_phase_text(err->phase));
  (void)snprintf(text, sizeof text, "%s%s", place, err->message);
  return print(what, err->address, text);
}

void cli_note(const char *text, ...) {
  char line[1024];
  va_list ap;
  va_start(ap, text);
  (void)vsnprintf(line, sizeof line, text, ap);
  va_end(ap);
  cli_clean(line, strlen(line));
  (void)fprintf(stderr, "multiserver: %s\n", line);
}

int cli_flush(const char *what) {
  if (fflush(stdout) != EOF && !ferror(stdout)) return CLI_OK;
  return cli_error(what, "stdout", "write failed");
}
