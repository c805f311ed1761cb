/* serve --external HOST|SECTION: which of them is meant for which address. */
#include <string.h>

#include "cli.h"

/* "net:host:port", "wss://host"; an IPv6 address has brackets, or digits of hexadecimal numbers
 * only. */
static bool is_section(const char *external) {
  size_t n = strcspn(external, ":");
  return *external != '[' && external[n] && strspn(external, "0123456789abcdefABCDEF") < n;
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

/* "pub.example:443", "[::1]:443": what stands before the only colon is no transport. */
static bool is_host_and_port(const char *external) {
  const char *host = *external == '[' ? strchr(external, ']') : external;
  const char *colon = host ? strchr(host, ':') : NULL;
  if (!colon || !colon[1] || strspn(colon + 1, "0123456789") < strlen(colon + 1)) return false;
  for (size_t i = 0; cli_stack(i); i++)
    if (is_section_of(external, cli_stack(i))) return false;
  return true;
}

const char *cli_external_wrong(const struct cli_texts *given, const struct cli_texts *addresses,
                               const char **why) {
  for (size_t i = 0; i < given->count; i++) {
    bool used = !is_section(given->at[i]);
    for (size_t j = 0; j < addresses->count && !used; j++)
      used = is_section_of(given->at[i], addresses->at[j]);
    *why = is_host_and_port(given->at[i]) ? "is a host and a port: write net:HOST:PORT"
           : used                         ? NULL
                                          : "is external to nothing: no ADDRESS has its transport";
    if (*why) return given->at[i];
  }
  return NULL;
}
