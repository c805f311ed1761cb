/* What a request for a page asks for: its target becomes a path below the folder or nothing, its
 * range lies within the file. The first line is the target, the second a range, the third a list of
 * tags. */
#include "../cli/serve/http_root.c"

#include "../cli/serve/http_condition.c"
#include "fuzz.h"

enum { LINE = 1024 };

/* The next line as text, its end cut off. */
static void next_line(struct input *in, char line[LINE]) {
  size_t n = 0;
  for (uint8_t c; in->n && (c = input_byte(in)) != '\n';)
    if (c && n + 1 < LINE) line[n++] = (char)c;
  line[n] = '\0';
}

static void check_target(const char *target) {
  char path[PATH_TEXT];
  if (!read_target(target, path)) return;
  REQUIRE(strlen(path) < PATH_TEXT && *path && path[strlen(path) - 1] != '/');
  if (is_hidden(path)) return;
  REQUIRE(strncmp(path, "../", 3) != 0 && !strstr(path, "/../") && strcmp(path, "..") != 0);
  REQUIRE(*type_of(path));
}

static void check_range(const char *text, int64_t size) {
  struct cli_part part = {-1, -1};
  int status = read_range(text, size, &part);
  REQUIRE(status == 200 || status == 206 || status == 416);
  if (status == 206) REQUIRE(part.at >= 0 && part.length > 0 && part.at <= size - part.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input in = {data, size};
  char line[LINE];
  next_line(&in, line);
  check_target(line);
  next_line(&in, line);
  for (unsigned bits = 0; bits < 62; bits += 6)
    check_range(line, (INT64_C(1) << bits) - (bits > 30));
  check_range(line, 0);
  next_line(&in, line);
  (void)has_etag(line, "\"5f\"", false);
  REQUIRE(!has_etag(line, "\"5f\"", true) || has_etag(line, "\"5f\"", false));
  return 0;
}
