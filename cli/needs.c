/* Which options nothing can use: what each needs of the addresses, and what it makes no sense
 * beside. An option that does nothing is a mistake, often one that leaves a door open: --allow
 * where ~shs was forgotten. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* Of every command; serve has more (serve/needs.c). */
static const struct cli_need needs[] = {
    {"key", CLI_SHS, "an address with ~shs", NULL},
    {"network-key", CLI_SHS, "an address with ~shs", NULL},
    {"tls-ca", CLI_DIALS_TLS, "a dialled address (of --forward, in serve) of wss or with ~tls",
     NULL},
    {"tls-insecure", CLI_DIALS_TLS,
     "a dialled address (of --forward, in serve) of wss or with ~tls", NULL},
    {0},
};

static const struct cli_contrary contrary[] = {{"tls-ca", "tls-insecure"}, {0}};

/* ---- What there is ---- */

static unsigned section_dialled(const ms_section *s) {
  if (s->kind == MS_SECTION_SHS) return CLI_SHS;
  return s->kind == MS_SECTION_TLS || s->secure ? CLI_DIALS_TLS : 0;
}

unsigned cli_dials(const ms_addr *addr) {
  const ms_alternative *a;
  unsigned has = 0;
  for (size_t i = 0; (a = ms_addr_at(addr, i)); i++)
    for (size_t j = 0; j < a->count; j++)
      has |= section_dialled(&a->sections[j]);
  return has;
}

/* ---- What is given ---- */

bool cli_is_given(const struct cli_option *o) {
  switch (o->kind) {
    case CLI_FLAG:
      return *(const bool *)o->value;
    case CLI_TEXT:
      return *(const char *const *)o->value != NULL;
    case CLI_LIST:
      return ((const struct cli_texts *)o->value)->count > 0;
    case CLI_MODE:
      return *(const unsigned *)o->value != 0;
    case CLI_MSEC:
      return *(const uint32_t *)o->value != 0;
  }
  return false;
}

const struct cli_option *cli_option_of(const struct cli_given *given, const char *name) {
  for (size_t i = 0; i < given->count; i++)
    if (strcmp(given->options[i].name, name) == 0) return &given->options[i];
  return NULL;
}

bool cli_is_given_by_name(const struct cli_given *given, const char *name) {
  const struct cli_option *o = cli_option_of(given, name);
  return o && cli_is_given(o);
}

/* The entry that the need is about, or NULL: there is none. */
static const char *entry_of(const struct cli_need *need, const struct cli_option *o) {
  const struct cli_texts *all = o->value;
  for (size_t i = 0; o->kind == CLI_LIST && i < all->count; i++)
    if (need->value(all->at[i])) return all->at[i];
  return NULL;
}

static int check_need(const struct cli_given *given, const struct cli_need *need,
                      const struct cli_option *o, unsigned has) {
  const char *entry = need->value ? entry_of(need, o) : "";
  char where[128], why[256], typed[CLI_TYPED];
  if (strcmp(need->option, o->name) != 0 || need->needs & has || !cli_is_given(o) || !entry)
    return CLI_OK;
  cli_typed(entry, typed, sizeof typed);
  (void)snprintf(where, sizeof where, "--%s%s%.100s", o->name, *entry ? " " : "", typed);
  (void)snprintf(why, sizeof why, "nothing here can use it: it needs %s", need->words);
  return cli_usage(given->command, where, why);
}

int cli_unused(const struct cli_given *given, const struct cli_need *all,
               const struct cli_contrary *against, unsigned has) {
  char where[64], why[128];
  for (size_t i = 0; i < given->count; i++)
    for (const struct cli_need *need = all; need->option; need++)
      if (check_need(given, need, &given->options[i], has) != CLI_OK) return CLI_USAGE;
  for (; against->option; against++) {
    if (!cli_is_given_by_name(given, against->option) ||
        !cli_is_given_by_name(given, against->beside))
      continue;
    (void)snprintf(where, sizeof where, "--%s", against->option);
    (void)snprintf(why, sizeof why, "makes no sense beside --%s", against->beside);
    return cli_usage(given->command, where, why);
  }
  return CLI_OK;
}

int cli_unused_by_all(const struct cli_given *given, unsigned has) {
  return cli_unused(given, needs, contrary, has);
}

int cli_unused_dialling(const struct cli_given *given, const ms_addr *addr) {
  return cli_unused_by_all(given, cli_dials(addr));
}
