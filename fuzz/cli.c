/* What the command says while it is fuzzed goes nowhere, but is looked at. In the place of
 * cli/error.c. */
#include "../cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "fuzz.h"

int cli_error(const char *what, const char *where, const char *why, ...) {
  char line[2048];
  va_list args;
  va_start(args, why);
  (void)vsnprintf(line, sizeof line, why, args);
  va_end(args);
  REQUIRE(what && *what && *line && (!where || strlen(where) < SIZE_MAX));
  return CLI_FAILED;
}

int cli_error_from(const char *what, const ms_error *err) {
  REQUIRE(what && err->code < 0 && *err->message);
  return CLI_FAILED;
}

void cli_note(const char *text, ...) {
  REQUIRE(*text);
}

int cli_flush(const char *what) {
  REQUIRE(*what);
  return CLI_OK;
}
