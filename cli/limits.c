/* serve --limit NAME=NUMBER. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* `wide`: a size_t, else a uint32_t. */
static const struct limit {
  const char *name;
  size_t offset;
  bool wide;
} limits[] = {
    {"connections", offsetof(ms_limits, connections), false},
    {"handshakes", offsetof(ms_limits, handshakes), false},
    {"per-address", offsetof(ms_limits, per_address), false},
    {"per-second", offsetof(ms_limits, per_second), false},
    {"idle-msec", offsetof(ms_limits, idle_msec), false},
    {"buffered", offsetof(ms_limits, buffered), true},
    {"buffered-each", offsetof(ms_limits, buffered_each), true},
};

static const struct limit *find(const char *text, size_t n) {
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    if (strlen(limits[i].name) == n && strncmp(limits[i].name, text, n) == 0) return &limits[i];
  return NULL;
}

/* "connections=1000", "idle-msec=none". False: it is no such thing. */
static bool read_limit(const char *text, ms_limits *out) {
  size_t n = strcspn(text, "=");
  const struct limit *limit = find(text, n);
  unsigned long long value;
  char *at = (char *)out, *end;
  if (!limit || text[n] != '=') return false;
  value = strtoull(text + n + 1, &end, 10);
  if (strcmp(text + n + 1, "none") == 0)
    value = UINT64_MAX;
  else if (text[n + 1] < '0' || text[n + 1] > '9' || *end || value == 0)
    return false;
  if (limit->wide) {
    size_t wide = value < SIZE_MAX ? (size_t)value : SIZE_MAX;
    memcpy(at + limit->offset, &wide, sizeof wide);
  } else {
    uint32_t narrow = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    memcpy(at + limit->offset, &narrow, sizeof narrow);
  }
  return true;
}

const char *cli_limits(const struct cli_texts *texts, ms_limits *out) {
  for (size_t i = 0; i < texts->count; i++)
    if (!read_limit(texts->at[i], out)) return texts->at[i];
  return NULL;
}
