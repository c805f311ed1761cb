/* Who may enter: keys on the command line, and a file of them that is read again on SIGHUP. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli.h"

enum { LINE_TEXT = 512, KEYS_MAX = 1 << 20 };

static const struct ms__file_rules rules = {.max = 1 << 28};

void cli_keys_free(struct cli_keys *keys) {
  free(keys->at);
  *keys = (struct cli_keys){NULL, 0};
}

bool cli_keys_has(const struct cli_keys *keys, const uint8_t *key) {
  for (size_t i = 0; i < keys->count; i++)
    if (sodium_memcmp(key, keys->at[i].bytes, MS_KEY_BYTES) == 0) return true;
  return false;
}

static bool add(struct cli_keys *keys, const uint8_t *key) {
  size_t n = keys->count;
  if ((n & (n - 1)) == 0) { /* at 0, 1, 2, 4, ... */
    struct cli_key *more = n < KEYS_MAX ? realloc(keys->at, (n ? 2 * n : 1) * sizeof *more) : NULL;
    if (!more) return false;
    keys->at = more;
  }
  memcpy(keys->at[keys->count++].bytes, key, MS_KEY_BYTES);
  return true;
}

bool cli_keys_add(struct cli_keys *keys, const char *text) {
  uint8_t key[MS_KEY_BYTES];
  return ms_key_parse(key, text, strlen(text), NULL) == 0 && add(keys, key);
}

/* How a line has been read. */
enum line { LINE_READ, LINE_OVER, LINE_LONG, LINE_NUL };

/* The next one, without its end, or LINE_OVER: the file is, or cannot be read. */
static enum line next_line(FILE *file, char line[LINE_TEXT]) {
  size_t n = 0;
  int c = getc(file);
  if (c == EOF) return LINE_OVER;
  for (; c != EOF && c != '\n'; c = getc(file)) {
    if (c == '\0') return LINE_NUL;
    if (n + 1 == LINE_TEXT) return LINE_LONG;
    line[n++] = (char)c;
  }
  line[n] = '\0';
  return LINE_READ;
}

/* "KEY", "KEY # whose", "# a comment" or nothing. Cuts the line up. False: none of these. */
static bool read_line(struct cli_keys *keys, char *line) {
  static const char blank[] = " \t\r";
  char *comment = strchr(line, '#'), *word;
  if (comment) *comment = '\0';
  word = strtok(line, blank);
  return !word || (cli_keys_add(keys, word) && !strtok(NULL, blank));
}

/* Takes every line. CLI_OK, or CLI_FAILED after an error line. */
static int read_lines(struct cli_keys *keys, FILE *file, const char *path) {
  char line[LINE_TEXT];
  enum line how;
  for (size_t number = 1; (how = next_line(file, line)) != LINE_OVER; number++) {
    if (how == LINE_NUL) return cli_error("allow", path, "line %zu has a NUL byte", number);
    if (how == LINE_LONG)
      return cli_error("allow", path, "line %zu is longer than a key can be", number);
    if (!read_line(keys, line))
      return cli_error("allow", path,
                       "line %zu is not a public key: 32 bytes of base64, alone but for a comment "
                       "after #",
                       number);
  }
  if (ferror(file)) return cli_error("allow", path, "cannot be read: %s", strerror(errno));
  return CLI_OK;
}

/* Goes to the beginning of the text. */
static int begin(FILE *file, const char *path) {
  char first[4];
  const char *why;
  size_t n = fread(first, 1, sizeof first, file), mark = ms__file_mark(first, n, &why);
  if (why) return cli_error("allow", path, "%s", why);
  if (ferror(file) || fseek(file, (long)mark, SEEK_SET) < 0)
    return cli_error("allow", path, "cannot be read: %s", strerror(errno));
  return CLI_OK;
}

/* Public keys: that this takes its time is no secret. */
static int compare(const void *a, const void *b) {
  return memcmp(((const struct cli_key *)a)->bytes, ((const struct cli_key *)b)->bytes,
                MS_KEY_BYTES);
}

const uint8_t *cli_keys_gone(const struct cli_keys *old, const struct cli_keys *now, size_t *i) {
  while (*i < old->count) {
    const struct cli_key *key = &old->at[(*i)++];
    if (!now->count || !bsearch(key, now->at, now->count, sizeof *key, compare)) return key->bytes;
  }
  return NULL;
}

int cli_keys_read(struct cli_keys *keys, const char *path) {
  struct cli_keys found = {NULL, 0};
  FILE *file;
  int fd, status;
  ms_error err;
  fd = ms__file_open(path, &rules, &err);
  file = fd >= 0 ? fdopen(fd, "r") : NULL;
  if (fd < 0) return cli_error_from("allow", &err);
  if (!file) {
    (void)close(fd);
    return cli_error("allow", NULL, "out of memory");
  }
  status = begin(file, path);
  if (status == CLI_OK) status = read_lines(&found, file, path);
  (void)fclose(file);
  if (status == CLI_OK) {
    if (found.count) qsort(found.at, found.count, sizeof *found.at, compare);
    cli_keys_free(keys);
    *keys = found;
  } else {
    cli_keys_free(&found);
  }
  return status;
}
