/* Text of strangers: what in it is no character, and what a terminal must not obey. */
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

size_t cli_character(const char *text, size_t n, uint32_t *c) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *s = (const unsigned char *)text;
  size_t k = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
  uint32_t code = s[0];
  *c = k == 1 ? code : CLI_NO_CHARACTER;
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

const char *cli_plural(uint64_t n) {
  return n == 1 ? "" : "s";
}

void cli_clean(char *s, size_t n) {
  uint32_t c;
  for (size_t k; n; s += k, n -= k) {
    k = cli_character(s, n, &c);
    if (c == CLI_NO_CHARACTER || is_hidden(c)) memset(s, '?', k);
  }
}
