/* serve --limit NAME=NUMBER. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

/* What is out of a range would not do what it says: a context of less memory has no connections,
 * and a connection takes no more than six blocks, and no less than six of 1 KiB. */
static const struct limit {
  const char *name, *metric;
  size_t offset;
  bool wide;            /* a size_t, else a uint32_t */
  bool msec;            /* told in seconds */
  uint64_t least, most; /* 0: none */
  const char *range;    /* what is said of the others */
} limits[] = {
    {.name = "connections", .metric = "connections", .offset = offsetof(ms_limits, connections)},
    {.name = "handshakes", .metric = "handshakes", .offset = offsetof(ms_limits, handshakes)},
    {.name = "per-address", .metric = "per_address", .offset = offsetof(ms_limits, per_address)},
    {.name = "per-second", .metric = "per_second", .offset = offsetof(ms_limits, per_second)},
    {.name = "pages-per-address",
     .metric = "pages_per_address",
     .offset = offsetof(ms_limits, pages_per_address)},
    {.name = "pages-per-second",
     .metric = "pages_per_second",
     .offset = offsetof(ms_limits, pages_per_second)},
    {.name = "idle-msec",
     .metric = "idle_seconds",
     .offset = offsetof(ms_limits, idle_msec),
     .msec = true},
    {.name = "buffered",
     .metric = "buffered_bytes",
     .offset = offsetof(ms_limits, buffered),
     .wide = true,
     .least = 1048576,
     .range = "is too little: at least 1048576"},
    {.name = "buffered-each",
     .metric = "buffered_each_bytes",
     .offset = offsetof(ms_limits, buffered_each),
     .wide = true,
     .least = 6144,
     .most = 417792,
     .range = "is out of range: 6144 to 417792, the default"},
};
enum { LIMITS = sizeof limits / sizeof *limits };

static const struct limit *find(const char *text, size_t n) {
  for (size_t i = 0; i < LIMITS; i++)
    if (strlen(limits[i].name) == n && strncmp(limits[i].name, text, n) == 0) return &limits[i];
  return NULL;
}

static void put(ms_limits *out, const struct limit *limit, uint64_t value) {
  char *at = (char *)out + limit->offset;
  if (limit->wide) {
    size_t wide = value < SIZE_MAX ? (size_t)value : SIZE_MAX;
    memcpy(at, &wide, sizeof wide);
  } else {
    uint32_t narrow = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    memcpy(at, &narrow, sizeof narrow);
  }
}

/* UINT64_MAX: none. */
static uint64_t get(const ms_limits *from, const struct limit *limit) {
  const char *at = (const char *)from + limit->offset;
  size_t wide;
  uint32_t narrow;
  if (limit->wide) {
    memcpy(&wide, at, sizeof wide);
    return wide < SIZE_MAX ? wide : UINT64_MAX;
  }
  memcpy(&narrow, at, sizeof narrow);
  return narrow < UINT32_MAX ? narrow : UINT64_MAX;
}

/* "connections=1000", "idle-msec=none". NULL, or what is wrong with it. */
static const char *read_limit(const char *text, ms_limits *out) {
  static const char no_limit[] =
      "is no limit: NAME=NUMBER, or NAME=none; the names are connections, handshakes, per-address, "
      "per-second, pages-per-address, pages-per-second, idle-msec, buffered, buffered-each";
  size_t n = strcspn(text, "=");
  const struct limit *limit = find(text, n);
  unsigned long long value;
  char *end;
  if (!limit || text[n] != '=') return no_limit;
  value = strtoull(text + n + 1, &end, 10);
  if (strcmp(text + n + 1, "none") == 0)
    value = UINT64_MAX;
  else if (text[n + 1] < '0' || text[n + 1] > '9' || *end || value == 0)
    return no_limit;
  if (value < limit->least || (limit->most && value > limit->most)) return limit->range;
  put(out, limit, value);
  return NULL;
}

const char *cli_limits(const struct cli_texts *texts, ms_limits *out, const char **why) {
  ms_limits_default(out);
  for (size_t i = 0; i < texts->count; i++)
    if ((*why = read_limit(texts->at[i], out))) return texts->at[i];
  return NULL;
}

size_t cli_limits_text(const ms_limits *of, char *buf, size_t size) {
  size_t n = 0;
  for (size_t i = 0; i < LIMITS; i++) {
    const struct limit *l = &limits[i];
    uint64_t value = get(of, l);
    char text[32] = "+Inf";
    int k;
    if (value < UINT64_MAX)
      (void)snprintf(text, sizeof text, "%.15g", (double)value / (l->msec ? 1000 : 1));
    k = snprintf(buf + n, size - n,
                 "# HELP multiserver_limit_%s what --limit %s is\n"
                 "# TYPE multiserver_limit_%s gauge\nmultiserver_limit_%s %s\n",
                 l->metric, l->name, l->metric, l->metric, text);
    if (k < 0 || (size_t)k >= size - n) break;
    n += (size_t)k;
  }
  return n;
}
