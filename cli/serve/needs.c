/* Which options of serve nothing can use, beside those of every command (../needs.c). */
#include <stdio.h>
#include <string.h>

#include "serve.h"

/* What there is among the stacks that are served. */
enum has {
  SERVES_SHS = 4,      /* a key is proved */
  SERVES_OPEN = 8,     /* none is; and the metrics */
  SERVES_HOST = 16,    /* net, ws, wss */
  SERVES_WS = 32,      /* ws, wss, unix~ws */
  SERVES_TLS = 64,     /* wss, tls */
  SERVES_UNIX = 128,   /* unix */
  SERVES_FILE = 256,   /* unix, at a path that is no abstract name; and the metrics there */
  SERVES_TOLD = 512,   /* unix, and what stands in front tells of its peers */
  SERVES_FRONT = 1024, /* unix, and peers are told to come to what stands in front */
  ANYTHING = 2047
};

static bool is_per_address(const char *limit) {
  return strncmp(limit, "per-", 4) == 0;
}

static bool is_of_pages(const char *limit) {
  return strncmp(limit, "pages-", 6) == 0;
}

static bool is_of_unix(const char *trusted) {
  return strncmp(trusted, "unix", 4) == 0 && (!trusted[4] || trusted[4] == '=');
}

static bool is_of_hosts(const char *trusted) {
  return !is_of_unix(trusted);
}

static bool is_of_requests(const char *trusted) {
  const char *what = strchr(trusted, '=');
  return what && (strcmp(what, "=x-forwarded-for") == 0 || strcmp(what, "=forwarded") == 0);
}

static bool is_host(const char *external) {
  return !cli_external_is_section(external);
}

#define A_HOST "an ADDRESS of net, ws or wss"
#define A_WS   "an ADDRESS of ws or wss, or unix:PATH~ws"
#define A_FILE "an ADDRESS of unix:PATH, or --metrics there"

static const struct cli_need needs[] = {
    {"allow", SERVES_SHS, "an ADDRESS with ~shs: elsewhere everybody enters", NULL},
    {"allow-file", SERVES_SHS, "an ADDRESS with ~shs: elsewhere everybody enters", NULL},
    {"allow-any", SERVES_SHS, "an ADDRESS with ~shs: elsewhere everybody enters", NULL},
    {"insecure-noauth", SERVES_OPEN, "an ADDRESS without ~shs, or --metrics", NULL},
    {"origin", SERVES_WS, A_WS, NULL},
    {"http-root", SERVES_WS, A_WS, NULL},
    {"tls-cert", SERVES_TLS, "an ADDRESS of wss or with ~tls", NULL},
    {"tls-key", SERVES_TLS, "an ADDRESS of wss or with ~tls", NULL},
    {"trusted-proxy", SERVES_HOST | SERVES_TOLD, A_HOST, is_of_hosts},
    {"trusted-proxy", SERVES_UNIX, "an ADDRESS of unix", is_of_unix},
    {"trusted-proxy", SERVES_WS, A_WS, is_of_requests},
    {"scope", SERVES_HOST | SERVES_FRONT, A_HOST ": a unix socket is the device's", NULL},
    {"external", SERVES_HOST, A_HOST, is_host},
    {"reuse-port", SERVES_HOST, A_HOST, NULL},
    {"unix-mode", SERVES_FILE, A_FILE, NULL},
    {"unix-group", SERVES_FILE, A_FILE, NULL},
    {"limit", SERVES_HOST | SERVES_TOLD, A_HOST ", or --trusted-proxy unix=HOW", is_per_address},
    {"limit", SERVES_HOST | SERVES_TOLD, A_HOST ", or --trusted-proxy unix=HOW", is_of_pages},
    {"limit", SERVES_WS, A_WS, is_of_pages},
    {0},
};

static const struct cli_contrary contrary[] = {
    {"allow", "allow-any"}, {"allow-file", "allow-any"}, {0}};

/* ---- What there is ---- */

static unsigned section_served(const ms_section *s) {
  switch (s->kind) {
    case MS_SECTION_NET:
      return SERVES_HOST;
    case MS_SECTION_WS:
      return SERVES_WS | (s->transport ? SERVES_HOST : 0) | (s->secure ? SERVES_TLS : 0);
    case MS_SECTION_TLS:
      return SERVES_TLS;
    case MS_SECTION_SHS:
      return SERVES_SHS | CLI_SHS;
    case MS_SECTION_ONION: /* what this version does not serve is an error of its own, later */
    case MS_SECTION_OTHER:
      return ANYTHING;
    case MS_SECTION_UNIX:
    case MS_SECTION_MEMORY:
      return SERVES_UNIX | (s->path && *s->path == '@' ? 0 : SERVES_FILE);
    case MS_SECTION_NOAUTH:
      break;
  }
  return 0;
}

/* Of every alternative that can be read. */
static unsigned served(const ms_addr *addr) {
  const ms_alternative *a;
  unsigned all = 0;
  for (size_t i = 0; (a = ms_addr_at(addr, i)); i++) {
    unsigned has = 0;
    for (size_t j = 0; j < a->count; j++)
      has |= section_served(&a->sections[j]);
    all |= has | (has & SERVES_SHS ? 0 : SERVES_OPEN);
  }
  return all;
}

static bool has_entry(const struct cli_given *given, const char *name, bool (*is)(const char *)) {
  const struct cli_option *o = cli_option_of(given, name);
  const struct cli_texts *all = o ? o->value : NULL;
  for (size_t i = 0; all && i < all->count; i++)
    if (is(all->at[i])) return true;
  return false;
}

static unsigned of_metrics(const struct cli_given *given) {
  const struct cli_option *o = cli_option_of(given, "metrics");
  const char *at = o ? *(const char *const *)o->value : NULL;
  if (!at) return 0;
  return SERVES_OPEN | (strncmp(at, "unix:", 5) == 0 && at[5] != '@' ? SERVES_FILE : 0);
}

/* What stands in front of unix sockets. */
static unsigned of_fronts(const struct cli_given *given, unsigned has) {
  if (!(has & SERVES_UNIX)) return 0;
  return (has_entry(given, "trusted-proxy", is_of_unix) ? SERVES_TOLD : 0) |
         (has_entry(given, "external", cli_external_is_section) ? SERVES_FRONT : 0);
}

int cli_unused_serving(const struct cli_given *given, const struct cli_texts *addresses,
                       const ms_addr *forward) {
  unsigned has = forward ? cli_dials(forward) : 0;
  has |= of_metrics(given);
  for (size_t i = 0; i < addresses->count; i++) {
    const char *text = addresses->at[i];
    unsigned here;
    ms_error err;
    ms_addr *addr;
    if (ms_addr_parse(&addr, text, strlen(text), MS_ADDR_LISTEN, &err) < 0) {
      (void)cli_error_typed(given->command->name, text, MS_ADDR_LISTEN, &err);
      return err.code == MS_EADDRESS ? CLI_USAGE : CLI_FAILED;
    }
    here = served(addr);
    ms_addr_free(addr);
    if (here & SERVES_TLS && here != ANYTHING && !cli_is_given_by_name(given, "tls-cert"))
      return cli_usage_typed(given->command, text,
                             "a server of TLS needs a certificate: --tls-cert FILE");
    has |= here;
  }
  if (cli_unused_by_all(given, has) != CLI_OK) return CLI_USAGE;
  return cli_unused(given, needs, contrary, has | of_fronts(given, has));
}

static bool is_dialled(const ms_alternative *a) {
  for (size_t j = 0; cli_stack(j); j++)
    if (ms_addr_match(a, cli_stack(j))) return true;
  return false;
}

bool cli_can_dial(const ms_addr *addr, bool tls_insecure, char *why, size_t size) {
  const ms_alternative *a;
  *why = '\0';
  for (size_t i = 0; (a = ms_addr_at(addr, i)); i++) {
    const ms_section *tls = a->count > 1 ? &a->sections[1] : NULL;
    if (is_dialled(a)) {
      if (a->sections[0].kind != MS_SECTION_UNIX || tls_insecure || !tls ||
          tls->kind != MS_SECTION_TLS || tls->host)
        return true;
      (void)snprintf(
          why, size,
          "~tls over a unix socket has to say whom the certificate shall name: tls:NAME");
    } else if (!*why && !a->error.code) {
      cli_no_stack(a, why, size);
    }
  }
  return false;
}
