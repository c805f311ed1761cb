#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* A terminal shall not obey what a peer or a file has written. */
static void clean(char *s) {
  for (; *s; s++)
    if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
}

static int print(const char *what, const char *where, char *why) {
  char place[512] = "";
  if (where && *where) {
    (void)snprintf(place, sizeof place, "%s", where);
    clean(place);
  }
  clean(why);
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
  clean(line);
  (void)fprintf(stderr, "multiserver: %s\n", line);
}
