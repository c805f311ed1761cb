#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* Where standard error is the journal, how much a line matters (sd-daemon(3)). */
static const char *priority(enum ms_log_level level) {
  static const char *const marks[] = {"", "<3>", "<4>", "<6>", "<7>"};
  const char *stream = getenv("JOURNAL_STREAM");
  char own[64];
  struct stat st;
  if (!stream || fstat(STDERR_FILENO, &st) < 0) return "";
  (void)snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino);
  return strcmp(stream, own) == 0 ? marks[level] : "";
}

/* A line is one write: what several processes say does not mix. */
static int print(enum ms_log_level level, const char *what, const char *where, char *why) {
  char place[512] = "", line[2048];
  if (where && *where) {
    (void)snprintf(place, sizeof place, "%s", where);
    cli_clean(place, strlen(place));
  }
  cli_clean(why, strlen(why));
  (void)snprintf(line, sizeof line, "%smultiserver: %s: %s%s%s\n", priority(level), what, place,
                 *place ? ": " : "", why);
  (void)fputs(line, stderr);
  return CLI_FAILED;
}

int cli_error(const char *what, const char *where, const char *why, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, why);
  (void)vsnprintf(text, sizeof text, why, ap);
  va_end(ap);
  return print(MS_LOG_ERROR, what, where, text);
}

void cli_say(enum ms_log_level level, const char *what, const char *where, const char *why, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, why);
  (void)vsnprintf(text, sizeof text, why, ap);
  va_end(ap);
  (void)print(level, what, where, text);
}

void cli_why(const ms_error *err, char *buf, size_t size) {
  char place[64] = "";
  if (err->phase == MS_PHASE_PARSE)
    (void)snprintf(place, sizeof place, "at byte %zu: ", err->offset);
  else if (err->phase == MS_PHASE_HANDSHAKE || err->phase == MS_PHASE_AUTHORISE)
    (void)snprintf(place, sizeof place, "%s %s: ", err->layer, ms_phase_text(err->phase));
  (void)snprintf(buf, size, "%s%s", place, err->message);
}

void cli_say_error(enum ms_log_level level, const char *what, const ms_error *err) {
  char text[1024];
  cli_why(err, text, sizeof text);
  (void)print(level, what, err->address, text);
}

int cli_error_from(const char *what, const ms_error *err) {
  cli_say_error(MS_LOG_ERROR, what, err);
  return CLI_FAILED;
}

void cli_log(enum ms_log_level level, const char *text) {
  char line[1024], whole[sizeof line + 32];
  (void)snprintf(line, sizeof line, "%s", text);
  cli_clean(line, strlen(line));
  (void)snprintf(whole, sizeof whole, "%smultiserver: %s\n", priority(level), line);
  (void)fputs(whole, stderr);
}

void cli_note(const char *text, ...) {
  char line[1024];
  va_list ap;
  va_start(ap, text);
  (void)vsnprintf(line, sizeof line, text, ap);
  va_end(ap);
  cli_log(MS_LOG_INFO, line);
}

int cli_flush(const char *what) {
  if (fflush(stdout) != EOF && !ferror(stdout)) return CLI_OK;
  return cli_error(what, "stdout", "write failed");
}
