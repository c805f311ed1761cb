/* address: check an address and write it in its canonical form. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* ---- Which stacks ---- */

/* Why `name` is no stack, or NULL. */
static const char *check_stack(const char *name) {
  const char *why = NULL;
  const ms_alternative *a;
  ms_addr *addr;
  if (ms_addr_parse(&addr, name, strlen(name), MS_ADDR_LISTEN, NULL) < 0)
    return "names no stack: as in net~shs,unix~noauth";
  a = ms_addr_at(addr, 0);
  for (size_t i = 0; !why && i < a->count; i++) {
    const ms_section *s = &a->sections[i];
    if (s->kind == MS_SECTION_OTHER)
      why = "names a protocol that is not known here";
    else if (s->transport != (i == 0))
      why = "a stack is one transport, then what stands on it: as in net~shs";
  }
  if (!why && (ms_addr_count(addr) != 1 || !ms_addr_match(a, name)))
    why = "names only, as in net~shs; ws stands for wss too";
  ms_addr_free(addr);
  return why;
}

/* Adds the names of LIST ("net~shs,unix~noauth"), which it cuts up. Why it can't be, or NULL. */
static const char *read_stacks(char *list, struct cli_texts *stacks) {
  for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
    const char **more, *why = check_stack(name);
    if (why) return why;
    more = realloc(stacks->at, (stacks->count + 1) * sizeof *more);
    if (!more) return "out of memory";
    stacks->at = more;
    stacks->at[stacks->count++] = name;
  }
  return stacks->count ? NULL : "names no stack";
}

/* The stack that understands it, or NULL. */
static const char *understood_by(const ms_alternative *a, const struct cli_texts *stacks) {
  for (size_t i = 0; i < stacks->count; i++)
    if (ms_addr_match(a, stacks->at[i])) return stacks->at[i];
  return NULL;
}

/* Why none of the stacks does. No secret is in it. */
static void why_not(const ms_alternative *a, ms_error *err) {
  *err = a->error;
  if (!err->code) cli_no_stack(a, err->message, sizeof err->message);
}

/* ---- JSON ---- */

static json_t *base64_of(bool has, const uint8_t *bytes) {
  char text[MS_KEY_TEXT];
  if (!has) return json_null();
  (void)ms_key_format(bytes, text, MS_KEY_TEXT);
  return json_string(text);
}

static json_t *section_of(const ms_section *s) {
  json_t *o = json_object();
  o = cli_json_with(o, "name", json_string(s->name));
  if (s->host) o = cli_json_with(o, "host", json_string(s->host));
  if (s->port >= 0) o = cli_json_with(o, "port", json_integer(s->port));
  if (s->path) o = cli_json_with(o, "path", json_string(s->path));
  if (s->kind == MS_SECTION_WS) o = cli_json_with(o, "secure", json_boolean(s->secure));
  if (s->kind == MS_SECTION_SHS) {
    o = cli_json_with(o, "key", base64_of(s->has_key, s->key));
    o = cli_json_with(o, "seed", base64_of(s->has_seed, s->seed));
  }
  return o;
}

static json_t *text_of(const ms_addr *addr, size_t i) {
  size_t n = ms_addr_format(addr, i, NULL, 0);
  char *canonical = malloc(n + 1);
  json_t *text = NULL;
  if (canonical) {
    (void)ms_addr_format(addr, i, canonical, n + 1);
    text = cli_json_bytes(canonical, n);
  }
  free(canonical);
  return text;
}

static json_t *alternative_of(const ms_addr *addr, size_t i, const char *input,
                              const struct cli_texts *stacks) {
  const ms_alternative *a = ms_addr_at(addr, i);
  const char *stack = understood_by(a, stacks);
  json_t *o =
      cli_json_with(json_object(), "address",
                    a->sections ? text_of(addr, i) : cli_json_bytes(input + a->offset, a->length));
  json_t *sections;
  ms_error err;
  o = cli_json_with(o, "understood", json_boolean(stack != NULL));
  if (!stack) {
    why_not(a, &err);
    return cli_json_with(o, "reason", json_string(err.message));
  }
  sections = json_array();
  for (size_t j = 0; j < a->count; j++)
    sections = cli_json_also(sections, section_of(&a->sections[j]));
  o = cli_json_with(o, "stack", json_string(stack));
  return cli_json_with(o, "sections", sections);
}

static json_t *refused_of(const char *s, size_t n, const ms_error *err) {
  json_t *o = cli_json_with(json_object(), "address", cli_json_bytes(s, n));
  o = cli_json_with(o, "understood", json_false());
  return cli_json_with(o, "reason", json_string(err->message));
}

/* What could not be read at all: one by one, the alternatives and what is wrong with each. */
static json_t *with_refused(json_t *list, const char *input, const ms_error *whole) {
  size_t length = strlen(input), n;
  for (const char *s = input; length <= MS_ADDRESS_MAX && *s; s += n + (s[n] == ';')) {
    ms_addr *addr;
    ms_error err;
    if ((n = strcspn(s, ";")) == 0) continue;
    if (ms_addr_parse(&addr, s, n, MS_ADDR_DIAL, &err) == 0) { /* the whole is at fault, not it */
      ms_addr_free(addr);
      err = *whole;
    }
    list = cli_json_also(list, refused_of(s, n, &err));
  }
  return list;
}

/* `addr` is NULL when nothing of the input could be read: then `err` says why. */
static int print_json(const char *input, const ms_addr *addr, const ms_error *err, bool legacy,
                      const struct cli_texts *stacks) {
  json_t *root = cli_json_with(json_object(), "input", cli_json_bytes(input, strlen(input)));
  json_t *list = json_array();
  char *line;
  for (size_t i = 0; addr && i < ms_addr_count(addr); i++)
    list = cli_json_also(list, alternative_of(addr, i, input, stacks));
  if (!addr && legacy)
    list = cli_json_also(list, refused_of(input, strlen(input), err));
  else if (!addr)
    list = with_refused(list, input, err);
  line = cli_json_line(cli_json_with(root, "alternatives", list));
  if (!line) return cli_error("address", NULL, "out of memory");
  (void)puts(line);
  free(line);
  return cli_flush("address");
}

/* ---- Text ---- */

static int print_canonical(const ms_addr *addr) {
  size_t n = ms_addr_format(addr, SIZE_MAX, NULL, 0);
  char *s = malloc(n + 1);
  if (!s) return cli_error("address", NULL, "out of memory");
  (void)ms_addr_format(addr, SIZE_MAX, s, n + 1);
  (void)puts(s);
  free(s);
  return cli_flush("address");
}

/* Why none is understood: the first alternative's fault. */
static int not_understood(const char *input, const ms_addr *addr, const ms_error *whole) {
  ms_error err = *whole;
  if (addr) why_not(ms_addr_at(addr, 0), &err);
  return cli_error_typed("address", input, MS_ADDR_DIAL, &err);
}

static int check(const char *input, bool json, bool legacy, const struct cli_texts *stacks) {
  ms_addr *addr;
  ms_error err = {0};
  bool understood = false;
  int status = CLI_OK;
  int r = legacy ? ms_addr_from_legacy(&addr, input, strlen(input), &err)
                 : ms_addr_parse(&addr, input, strlen(input), MS_ADDR_DIAL, &err);
  for (size_t i = 0; r == 0 && i < ms_addr_count(addr); i++)
    understood |= understood_by(ms_addr_at(addr, i), stacks) != NULL;
  if (json)
    status = print_json(input, addr, &err, legacy, stacks);
  else if (understood)
    status = print_canonical(addr);
  if (!understood) status = not_understood(input, addr, &err);
  ms_addr_free(addr);
  return status;
}

static int run(int argc, char **argv) {
  const char *list = NULL;
  bool json = false, legacy = false;
  const struct cli_option options[] = {
      {"json", 0, CLI_FLAG, &json},
      {"legacy", 0, CLI_FLAG, &legacy},
      {"stacks", 0, CLI_TEXT, &list},
  };
  struct cli_texts rest = {0}, stacks = {0};
  char *copy = NULL, *address = NULL, all[1024] = ""; /* every chain that this build dials */
  const char *why;
  int status;
  if (cli_options(&cli_address, argc, argv, options, sizeof options / sizeof *options, &rest,
                  &status) != 0)
    goto out;
  if (rest.count != 1) {
    status = cli_usage(
        &cli_address, rest.count ? rest.at[1] : NULL,
        rest.count ? "one address is enough: join alternatives by ';'" : "an address is missing");
    goto out;
  }
  cli_stacks_text(",", all, sizeof all);
  copy = strdup(list ? list : all);
  if (!copy) {
    status = cli_error("address", NULL, "out of memory");
    goto out;
  }
  why = read_stacks(copy, &stacks);
  status = why ? cli_usage(&cli_address, "--stacks", why)
               : cli_address_given(&cli_address, rest.at[0], &address);
  if (status == CLI_OK) status = check(address, json, legacy, &stacks);
out:
  cli_address_forget(address);
  free(copy);
  cli_texts_free(&stacks);
  cli_texts_free(&rest);
  return status;
}

const struct cli_command cli_address = {
    .name = "address",
    .summary = "check an address and write it in its canonical form",
    .help =
        "usage: multiserver address [OPTIONS] ADDRESS\n"
        "\n"
        "Reads an address, says what is wrong with it or prints its canonical form. One with a\n"
        "seed is given as @FILE or as -, the first line of standard input: a command line is no\n"
        "secret.\n"
        "\n"
        "  --json         print one JSON object: the input, and every alternative taken apart\n"
        "  --legacy       translate one of Scuttlebutt's old addresses, HOST:PORT:@KEY.ed25519, "
        "or\n"
        "                 an invite, the same with ~SEED\n"
        "  --stacks LIST  what shall be understood, joined by commas (default: all that can be\n"
        "                 dialled; onion may be named as well, ws is wss, too): net, net~noauth,\n"
        "                 net~shs, net~tls, net~tls~noauth, net~tls~shs, ws, ws~noauth, ws~shs,\n"
        "                 unix, unix~noauth, unix~shs, unix~tls, unix~tls~noauth, unix~tls~shs,\n"
        "                 unix~ws, unix~ws~noauth, unix~ws~shs, unix~tls~ws, unix~tls~ws~noauth,\n"
        "                 unix~tls~ws~shs\n"
        "\n"
        "exit status: 0 when at least one alternative is understood in whole, else 1; 2 on\n"
        "wrong usage\n"
        "\n"
        "examples:\n"
        "  multiserver address 'net:[::1]:08008~shs:@KEY.ed25519'\n"
        "  multiserver address --legacy 'pub.example:8008:@KEY.ed25519~SEED'\n"
        "  multiserver address --json --stacks ws~shs 'wss://pub.example/path~shs:KEY'\n",
    .run = run,
};
