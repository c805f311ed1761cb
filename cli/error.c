#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* How many bytes of UTF-8 the character at `s` has. *shown: it is one, and no control (C0, DEL,
 * C1). */
static size_t character(const unsigned char *s, size_t n, bool *shown) {
  size_t k = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
  *shown = false;
  if (k == 1) *shown = (s[0] >= 0x20 && s[0] != 0x7f) || s[0] == '\t';
  if (k <= 1 || k > n || s[0] > 0xf4) return 1;
  for (size_t i = 1; i < k; i++)
    if ((s[i] & 0xc0) != 0x80) return 1;
  *shown = s[0] != 0xc2 || s[1] >= 0xa0;
  return k;
}

void cli_clean(char *s, size_t n) {
  bool shown;
  for (size_t k; n; s += k, n -= k) {
    k = character((const unsigned char *)s, n, &shown);
    if (!shown) memset(s, '?', k);
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
