/* Text of any bytes as JSON, and objects that are whole or not at all. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static json_t *clean_text(const char *s, size_t n) {
  char *clean = malloc(3 * n + 1), *p = clean;
  json_t *result;
  uint32_t c;
  if (!clean) return NULL;
  for (size_t k; n; s += k, n -= k) {
    k = cli_character(s, n, &c);
    if (c == CLI_NO_CHARACTER) {
      memcpy(p, "\xef\xbf\xbd", 3);
      p += 3;
    } else {
      memcpy(p, s, k);
      p += k;
    }
  }
  result = json_stringn(clean, (size_t)(p - clean));
  free(clean);
  return result;
}

json_t *cli_json_bytes(const char *s, size_t n) {
  json_t *whole = json_stringn(s, n);
  return whole ? whole : clean_text(s, n);
}

json_t *cli_json_text(const char *s) {
  return cli_json_bytes(s, strlen(s));
}

json_t *cli_json_with(json_t *o, const char *name, json_t *value) {
  if (json_object_set_new(o, name, value) == 0) return o;
  json_decref(o);
  return NULL;
}

json_t *cli_json_also(json_t *list, json_t *value) {
  if (json_array_append_new(list, value) == 0) return list;
  json_decref(list);
  return NULL;
}

/* Into a buffer that is large enough: jansson's json_dumps goes on when its own has not grown, and
 * leaves keys out. */
char *cli_json_line(json_t *o) {
  const size_t how = JSON_COMPACT | JSON_ENSURE_ASCII;
  size_t n = json_dumpb(o, NULL, 0, how);
  char *line = n ? malloc(n + 1) : NULL;
  if (line && json_dumpb(o, line, n, how) != n) {
    free(line);
    line = NULL;
  }
  if (line) line[n] = 0;
  json_decref(o);
  return line;
}
