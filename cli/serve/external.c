/* serve --external HOST|SECTION: which of them is meant for which address. */
#include <string.h>

#include "serve.h"

/* "net:host:port", "wss://host"; an IPv6 address has brackets, or digits of hexadecimal numbers
 * only. */
static bool is_section(const char *external) {
  size_t n = strcspn(external, ":");
  return *external != '[' && external[n] && strspn(external, "0123456789abcdefABCDEF") < n;
}

bool cli_external_is_section(const char *external) {
  return is_section(external);
}

/* ws and wss are one: what ends TLS in front of a ws stack is reached by wss. */
static size_t transport_of(const char *address) {
  size_t n = strcspn(address, ":~");
  return n == 3 && strncmp(address, "wss", 3) == 0 ? 2 : n;
}

static bool is_unix(const char *address) {
  return transport_of(address) == 4 && strncmp(address, "unix", 4) == 0;
}

/* What peers find in front of a unix socket: ws where that is spoken on it. */
static const char *spoken_on(const char *address) {
  const char *spoken = "net";
  const ms_alternative *a;
  ms_addr *addr;
  if (ms_addr_parse(&addr, address, strlen(address), MS_ADDR_LISTEN, NULL) < 0) return address;
  a = ms_addr_at(addr, 0);
  for (size_t i = 1; i < a->count; i++)
    if (a->sections[i].kind == MS_SECTION_WS) spoken = "ws";
  ms_addr_free(addr);
  return spoken;
}

static bool is_section_of(const char *external, const char *address) {
  size_t n;
  if (!is_section(external)) return false;
  if (is_unix(address)) address = spoken_on(address);
  n = transport_of(address);
  return transport_of(external) == n && strncmp(external, address, n) == 0;
}

bool cli_external(const struct cli_texts *given, const char *address, struct cli_texts *out) {
  bool ok = true;
  for (size_t i = 0; i < given->count; i++)
    if (is_section_of(given->at[i], address)) ok = ok && cli_texts_add(out, given->at[i]);
  if (out->count || is_unix(address)) return ok;
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
