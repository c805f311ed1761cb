/* Text of any bytes as JSON. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static json_t *clean_text(const char *s, size_t n) {
  char *clean = malloc(3 * n + 1), *p = clean;
  json_t *result;
  if (!clean) return NULL;
  for (size_t i = 0; i < n;) {
    size_t k = 1;
    json_t *one = NULL;
    for (; k <= 4 && i + k <= n; k++)
      if ((one = json_stringn(s + i, k))) break;
    if (one) {
      memcpy(p, s + i, k);
      p += k;
      i += k;
    } else {
      memcpy(p, "\xef\xbf\xbd", 3);
      p += 3;
      i++;
    }
    json_decref(one);
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
