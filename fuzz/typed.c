/* An address as somebody has typed it, any bytes: nothing that may be a seed is shown, and what is
 * suggested can be used. */
#include <stdlib.h>
#include <string.h>

#include "../cli/cli.h"
#include "fuzz.h"

/* A seed that is a key elsewhere in the address is none. */
static bool is_key(const ms_addr *addr, const uint8_t *seed) {
  bool found = false;
  for (size_t i = 0; i < ms_addr_count(addr); i++)
    for (size_t j = 0; j < ms_addr_at(addr, i)->count; j++)
      found |= memcmp(ms_addr_at(addr, i)->sections[j].key, seed, MS_KEY_BYTES) == 0;
  return found;
}

/* Once less than it was typed: it may stand elsewhere, too, where it is no secret. */
static void check_less(const char *text, const char *typed, const char *secret) {
  size_t n = 0;
  if (!strstr(text, secret)) return; /* it is read in another form than it is written in */
  for (; (text = strstr(text, secret)); text++)
    n++;
  for (; (typed = strstr(typed, secret)); typed++)
    REQUIRE(--n > 0);
}

static void check_hidden(const char *text, const char *typed) {
  ms_addr *addr;
  if (ms_addr_parse(&addr, text, strlen(text), MS_ADDR_DIAL, NULL) < 0 &&
      ms_addr_from_legacy(&addr, text, strlen(text), NULL) < 0)
    return;
  for (size_t i = 0; i < ms_addr_count(addr); i++)
    for (size_t j = 0; j < ms_addr_at(addr, i)->count; j++) {
      const ms_section *s = &ms_addr_at(addr, i)->sections[j];
      char seed[MS_KEY_TEXT], url[512];
      (void)ms_key_format(s->seed, seed, sizeof seed - 1); /* without its '=' */
      if (s->has_seed && !is_key(addr, s->seed)) check_less(text, typed, seed);
      if (s->userinfo && snprintf(url, sizeof url, "//%s@", s->userinfo) < (int)sizeof url)
        check_less(text, typed, url);
    }
  ms_addr_free(addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1), typed[CLI_TYPED], meant[CLI_MEANT];
  REQUIRE(text);
  memcpy(text, data, size);
  text[size] = '\0';
  cli_typed(text, typed, sizeof typed);
  REQUIRE(strlen(typed) < sizeof typed);
  check_hidden(text, typed);
  for (int use = MS_ADDR_DIAL; use <= MS_ADDR_LISTEN; use++) {
    ms_addr *addr;
    char *from, *to;
    cli_did_you_mean(text, (enum ms_addr_use)use, meant, sizeof meant);
    from = strstr(meant, "did you mean ");
    REQUIRE(from || !*meant || strcmp(meant, "; alternatives are joined by ';'") == 0);
    if (!from) continue;
    from += strlen("did you mean ");
    to = strrchr(meant, '?');
    REQUIRE(to && to[1] == '\0');
    *to = '\0';
    REQUIRE(strcmp(from, text) != 0);
    REQUIRE(ms_addr_parse(&addr, from, strlen(from), (enum ms_addr_use)use, NULL) == 0);
    for (size_t i = 0; i < ms_addr_count(addr); i++)
      for (size_t j = 0; j < ms_addr_at(addr, i)->count; j++)
        REQUIRE(!ms_addr_at(addr, i)->sections[j].has_seed);
    ms_addr_free(addr);
  }
  free(text);
  return 0;
}
