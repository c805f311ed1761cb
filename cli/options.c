#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

int cli_usage(const struct cli_command *command, const char *where, const char *why) {
  (void)cli_error(command->name, where, "%s (multiserver %s --help tells more)", why,
                  command->name);
  return CLI_USAGE;
}

int cli_one_address(const struct cli_command *command, const struct cli_texts *rest,
                    const char *network, uint8_t network_key[MS_KEY_BYTES]) {
  memcpy(network_key, ms_scuttlebutt_network_key, MS_KEY_BYTES);
  if (rest->count == 0) return cli_usage(command, NULL, "an address is missing");
  if (rest->count > 1)
    return cli_usage(command, rest->at[1], "one address is enough: join alternatives by ';'");
  if (network && ms_key_parse(network_key, network, strlen(network), NULL) < 0)
    return cli_usage(command, "--network-key", "is not 32 bytes of base64");
  return CLI_OK;
}

/* ---- Arguments ---- */

int cli_help(const struct cli_command *command) {
  (void)fputs(command->help, stdout);
  if (command->more) command->more();
  return cli_flush("help");
}

bool cli_texts_add(struct cli_texts *texts, const char *text) {
  const char **more = realloc(texts->at, (texts->count + 1) * sizeof *more);
  if (!more) return false;
  texts->at = more;
  texts->at[texts->count++] = text;
  return true;
}

void cli_texts_free(struct cli_texts *texts) {
  free(texts->at);
  texts->at = NULL;
  texts->count = 0;
}

/* 1 to a day, decimal. */
static bool read_msec(const char *text, uint32_t *out) {
  uint32_t value = 0;
  if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 8) return false;
  for (; *text; text++)
    value = value * 10 + (uint32_t)(*text - '0');
  *out = value;
  return value >= 1 && value <= 86400000;
}

/* Three digits of octal, or four with a 0 first. */
static bool read_mode(const char *text, unsigned *out) {
  if (*text == '0' && strlen(text) == 4) text++;
  if (strlen(text) != 3 || strspn(text, "01234567") != 3) return false;
  *out = (unsigned)strtoul(text, NULL, 8);
  return *out != 0;
}

static const struct cli_option *find(const struct cli_option *options, size_t count,
                                     const char *arg, size_t n) {
  for (size_t i = 0; i < count; i++) {
    if (arg[1] == '-' && strlen(options[i].name) == n && strncmp(arg + 2, options[i].name, n) == 0)
      return &options[i];
    if (arg[1] != '-' && arg[1] == options[i].letter && arg[2] == '\0') return &options[i];
  }
  return NULL;
}

/* Why the value can't be, or NULL. */
static const char *set(const struct cli_option *o, const char *value) {
  switch (o->kind) {
    case CLI_FLAG:
      *(bool *)o->value = true;
      return NULL;
    case CLI_TEXT:
      *(const char **)o->value = value;
      return NULL;
    case CLI_LIST:
      return cli_texts_add(o->value, value) ? NULL : "out of memory";
    case CLI_MSEC:
      return read_msec(value, o->value) ? NULL : "is a number of milliseconds, 1 to 86400000";
    case CLI_MODE:
      return read_mode(value, o->value) ? NULL : "is the mode of a file in octal, as 0660";
  }
  return NULL;
}

int cli_options(const struct cli_command *command, int argc, char **argv,
                const struct cli_option *options, size_t count, struct cli_texts *rest,
                int *status) {
  bool only_rest = false;
  *status = CLI_USAGE;
  for (int i = 1; i < argc; i++) {
    const char *arg = argv[i], *equals = strchr(arg, '='), *value = NULL, *why;
    const struct cli_option *o;
    size_t n;
    if (only_rest || arg[0] != '-' || arg[1] == '\0') {
      if (!cli_texts_add(rest, arg)) return cli_usage(command, arg, "out of memory");
      continue;
    }
    if (strcmp(arg, "--") == 0) {
      only_rest = true;
      continue;
    }
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
      *status = cli_help(command);
      return 1;
    }
    n = arg[1] != '-' ? 0 : equals ? (size_t)(equals - arg - 2) : strlen(arg) - 2;
    o = find(options, count, arg, n);
    if (!o) return cli_usage(command, arg, "there is no such option");
    if (o->kind == CLI_FLAG && equals) return cli_usage(command, arg, "takes no value");
    if (o->kind != CLI_FLAG) {
      value = equals && arg[1] == '-' ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
      if (!value) return cli_usage(command, arg, "a value is missing");
    }
    if ((why = set(o, value))) return cli_usage(command, arg, why);
  }
  return 0;
}
