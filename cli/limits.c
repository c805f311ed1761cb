/* serve --limit NAME=NUMBER. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* "connections=1000", "idle=none". False: it is no such thing. */
static bool read_limit(const char *text, ms_limits *out) {
  uint32_t *const values[] = {&out->connections, &out->handshakes, &out->per_address,
                              &out->per_second, &out->idle_msec};
  static const char *const names[] = {"connections", "handshakes", "per-address",
                                      "per-second",  "idle-msec",  "buffered"};
  size_t n = strcspn(text, "="), i = 0;
  unsigned long long value;
  char *end;
  while (i < sizeof names / sizeof *names &&
         !(strlen(names[i]) == n && strncmp(names[i], text, n) == 0))
    i++;
  if (i == sizeof names / sizeof *names || text[n] != '=') return false;
  value = strtoull(text + n + 1, &end, 10);
  if (strcmp(text + n + 1, "none") == 0)
    value = UINT64_MAX;
  else if (text[n + 1] < '0' || text[n + 1] > '9' || *end || value == 0)
    return false;
  if (i == 5)
    out->buffered = value < SIZE_MAX ? (size_t)value : SIZE_MAX;
  else
    *values[i] = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
  return true;
}

const char *cli_limits(const struct cli_texts *texts, ms_limits *out) {
  for (size_t i = 0; i < texts->count; i++)
    if (!read_limit(texts->at[i], out)) return texts->at[i];
  return NULL;
}
