/* serve --external HOST|SECTION: which of them is meant for which address. */
#include <string.h>

#include "cli.h"

/* "net:host:port", "wss://host"; an IPv6 address has digits of hexadecimal numbers only. */
static bool is_section(const char *external) {
  size_t n = strcspn(external, ":");
  return external[n] && strspn(external, "0123456789abcdefABCDEF") < n;
}

/* ws and wss are one: what ends TLS in front of a ws stack is reached by wss. */
static size_t transport_of(const char *address) {
  size_t n = strcspn(address, ":~");
  return n == 3 && strncmp(address, "wss", 3) == 0 ? 2 : n;
}

static bool is_section_of(const char *external, const char *address) {
  size_t n = transport_of(address);
  return is_section(external) && transport_of(external) == n && strncmp(external, address, n) == 0;
}

bool cli_external(const struct cli_texts *given, const char *address, struct cli_texts *out) {
  bool ok = true;
  if (strncmp(address, "unix", 4) == 0) return true;
  for (size_t i = 0; i < given->count; i++)
    if (is_section_of(given->at[i], address)) ok = ok && cli_texts_add(out, given->at[i]);
  if (out->count) return ok;
  for (size_t i = 0; i < given->count; i++)
    if (!is_section(given->at[i])) ok = ok && cli_texts_add(out, given->at[i]);
  return ok;
}

const char *cli_external_unused(const struct cli_texts *given, const struct cli_texts *addresses) {
  for (size_t i = 0; i < given->count; i++) {
    bool used = !is_section(given->at[i]);
    for (size_t j = 0; j < addresses->count && !used; j++)
      used = is_section_of(given->at[i], addresses->at[j]);
    if (!used) return given->at[i];
  }
  return NULL;
}
