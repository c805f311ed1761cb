/* Addresses: any bytes, read for every use. What is understood has one canonical form, which reads
 * as the same. */
#include <string.h>

#include "addr/addr.h"
#include "fuzz.h"

static const char *const stacks[] = {"net~shs",   "unix~noauth", "ws~shs",
                                     "onion~shs", "net",         "unix~ws~shs"};

static char *format(const ms_addr *addr) {
  size_t n = ms_addr_format(addr, SIZE_MAX, NULL, 0);
  char *text = malloc(n + 1);
  REQUIRE(text);
  REQUIRE(ms_addr_format(addr, SIZE_MAX, text, n + 1) == n);
  REQUIRE(strlen(text) == n);
  return text;
}

/* Formatting for errors, cut anywhere. */
static void format_safe(const ms_addr *addr) {
  char text[64];
  for (size_t i = 0; i < ms_addr_count(addr) && i < 8; i++)
    (void)ms__addr_format_safe(addr, i, text, sizeof text);
  (void)ms__addr_format_safe(addr, SIZE_MAX, text, 1);
}

static void check(const ms_addr *addr, size_t size, enum ms_addr_use use) {
  char *canonical = format(addr), *again;
  ms_addr *second;
  size_t usable = 0;
  for (size_t i = 0; i < ms_addr_count(addr); i++) {
    const ms_alternative *a = ms_addr_at(addr, i);
    REQUIRE(a->offset + a->length <= size);
    REQUIRE((a->sections == NULL) == (a->error.code != 0));
    REQUIRE(a->error.offset <= size);
    if (a->sections) usable++;
    for (size_t j = 0; j < sizeof stacks / sizeof *stacks; j++)
      (void)ms_addr_match(a, stacks[j]);
  }
  REQUIRE(usable > 0);
  REQUIRE(ms_addr_parse(&second, canonical, strlen(canonical), use, NULL) == 0);
  REQUIRE(ms_addr_count(second) == usable);
  again = format(second);
  REQUIRE(strcmp(canonical, again) == 0);
  format_safe(addr);
  ms_addr_free(second);
  free(again);
  free(canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (int use = MS_ADDR_DIAL; use <= MS_ADDR_STREAM; use++) {
    ms_addr *addr;
    ms_error err;
    if (ms_addr_parse(&addr, (const char *)data, size, (enum ms_addr_use)use, &err) == 0) {
      check(addr, size, (enum ms_addr_use)use);
      ms_addr_free(addr);
    } else {
      REQUIRE(addr == NULL && err.code < 0 && err.message[0]);
      REQUIRE(err.code != MS_EADDRESS || err.offset <= size);
    }
  }
  return 0;
}
