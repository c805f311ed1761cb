/* serve --limit NAME=NUMBER. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* `wide`: a size_t, else a uint32_t. Where there is a range, what is out of it would not do what it
 * says: a context of less memory has no connections, and a connection never takes more than six
 * blocks, nor less than these of 1 KiB. */
static const struct limit {
  const char *name;
  size_t offset;
  bool wide;
  uint64_t least, most;
  const char *range;
} limits[] = {
    {"connections", offsetof(ms_limits, connections), false, 1, UINT64_MAX, NULL},
    {"handshakes", offsetof(ms_limits, handshakes), false, 1, UINT64_MAX, NULL},
    {"per-address", offsetof(ms_limits, per_address), false, 1, UINT64_MAX, NULL},
    {"per-second", offsetof(ms_limits, per_second), false, 1, UINT64_MAX, NULL},
    {"idle-msec", offsetof(ms_limits, idle_msec), false, 1, UINT64_MAX, NULL},
    {"buffered", offsetof(ms_limits, buffered), true, 1048576, UINT64_MAX,
     "is too little: at least 1048576"},
    {"buffered-each", offsetof(ms_limits, buffered_each), true, 6144, 417792,
     "is out of range: 6144 to 417792, the default"},
};

static const struct limit *find(const char *text, size_t n) {
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    if (strlen(limits[i].name) == n && strncmp(limits[i].name, text, n) == 0) return &limits[i];
  return NULL;
}

/* "connections=1000", "idle-msec=none". NULL, or what is wrong with it. */
static const char *read_limit(const char *text, ms_limits *out) {
  static const char no_limit[] =
      "is no limit: NAME=NUMBER, or NAME=none; the names are connections, handshakes, per-address, "
      "per-second, idle-msec, buffered, buffered-each";
  size_t n = strcspn(text, "=");
  const struct limit *limit = find(text, n);
  unsigned long long value;
  char *at = (char *)out, *end;
  if (!limit || text[n] != '=') return no_limit;
  value = strtoull(text + n + 1, &end, 10);
  if (strcmp(text + n + 1, "none") == 0)
    value = UINT64_MAX;
  else if (text[n + 1] < '0' || text[n + 1] > '9' || *end || value == 0)
    return no_limit;
  if (value < limit->least || value > limit->most) return limit->range;
  if (limit->wide) {
    size_t wide = value < SIZE_MAX ? (size_t)value : SIZE_MAX;
    memcpy(at + limit->offset, &wide, sizeof wide);
  } else {
    uint32_t narrow = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    memcpy(at + limit->offset, &narrow, sizeof narrow);
  }
  return NULL;
}

const char *cli_limits(const struct cli_texts *texts, ms_limits *out, const char **why) {
  for (size_t i = 0; i < texts->count; i++)
    if ((*why = read_limit(texts->at[i], out))) return texts->at[i];
  return NULL;
}
