/* Places: what others than their transports may know of them. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "transport/transport.h"

size_t ms__place_text(const struct ms__place *p, char *buf, size_t size) {
  if (p->transport) return p->transport->text(p, buf, size);
  return (size_t)snprintf(buf, size, "%s", "");
}

bool ms__place_equal(const struct ms__place *a, const struct ms__place *b) {
  return a->transport == b->transport && a->length == b->length &&
         memcmp(&a->address, &b->address, a->length) == 0;
}

unsigned ms__place_scope(const struct ms__place *p) {
  return p->transport && p->transport->scope ? p->transport->scope(p) : MS_DEVICE;
}

void ms__place_ip(const struct ms__place *p, union ms__inet *out) {
  memset(out, 0, sizeof *out);
  if (p->transport && p->transport->ip) p->transport->ip(p, out);
}

int ms__place_port(const struct ms__place *p) {
  union ms__inet ip;
  ms__place_ip(p, &ip);
  return ms__inet_port(&ip);
}

void ms__places_free(const ms_allocator *a, struct ms__places *places) {
  ms__free(a, places->at);
  places->at = NULL;
  places->count = 0;
}
