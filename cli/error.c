#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

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
