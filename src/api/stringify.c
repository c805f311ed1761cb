/* What a server advertises (behaviours.md, section 3). */
#include "api/ctx.h"

/* One address of a stack: the section with its real port, and its own key. */
static void add_section(struct ms__text *t, const struct ms__stack *s, const ms_section *section) {
  ms_section place = *section;
  if (t->len) ms__text_char(t, ';');
  if (place.port <= 0) place.port = s->port;
  ms__section_format(t, &place, true);
  for (size_t i = 1; i < s->count; i++) {
    ms_section own = {.kind = s->sections[i].kind, .name = s->sections[i].name, .port = -1};
    if (s->impl[i]->authenticates) {
      own.has_key = true;
      memcpy(own.key, s->keys.identity->public_key, MS_KEY_BYTES);
    }
    ms__text_char(t, '~');
    ms__section_format(t, &own, true);
  }
}

static void add(struct ms__text *t, const struct ms__stack *s, const char *host) {
  ms_section place = s->sections[0];
  place.host = host;
  add_section(t, s, &place);
}

/* The addresses of this machine's interfaces that are in the scope. */
static void add_interfaces(struct ms__text *t, const struct ms__stack *s, enum ms_scope scope) {
  uv_interface_address_t *all;
  int n;
  if (uv_interface_addresses(&all, &n) < 0) return;
  for (int i = 0; i < n; i++) {
    char host[64];
    const struct sockaddr_in6 *in6 = &all[i].address.address6;
    int family = all[i].address.address4.sin_family;
    bool serves = false;
    if (all[i].is_internal) continue;
    if (family == AF_INET)
      (void)uv_ip4_name(&all[i].address.address4, host, sizeof host);
    else
      (void)uv_ip6_name(in6, host, sizeof host);
    for (const struct ms__bound *b = s->bound; b; b = b->next)
      if (b->socket.place.address.ss_family == family ||
          b->socket.place.address.ss_family == AF_INET6)
        serves = true;
    /* without its zone nobody can dial a link-local address */
    if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) continue;
    if (serves && (ms__host_scope(host) & (unsigned)scope)) add(t, s, host);
  }
  uv_free_interface_addresses(all, n);
}

/* What a front says is taken at its word; a host alone does not take loopback off this machine.
 * False: there is nothing external. */
static bool add_external(struct ms__text *t, const struct ms__stack *s, const char *host) {
  bool on_loopback = host && *host && ms__host_scope(host) == MS_DEVICE, any = false;
  for (size_t i = 0; i < s->external_count; i++) {
    const ms_section *place = &ms_addr_at(s->external[i], 0)->sections[0];
    if (on_loopback && place->port <= 0) continue;
    add_section(t, s, place);
    any = true;
  }
  return any;
}

static void add_stack(struct ms__text *t, const struct ms__stack *s, enum ms_scope scope) {
  const char *host = s->sections[0].host;
  char bare[256];
  if (!s->listens || !(s->scopes & (unsigned)scope)) return;
  if (scope != MS_DEVICE && !s->authenticated) return;
  if (!s->transport->by_host) {
    add(t, s, host);
    return;
  }
  if (scope == MS_PUBLIC && add_external(t, s, host)) return;
  if (!host || !*host || ms__host_is_wildcard(host)) {
    if (scope == MS_DEVICE)
      add(t, s, "localhost");
    else
      add_interfaces(t, s, scope);
    return;
  }
  if (scope != MS_DEVICE && ms__host_scope(host) == MS_DEVICE) return;
  ms__text_copy(bare, sizeof bare, host);
  ms__host_without_mapping(bare);
  if (scope != MS_DEVICE) ms__host_without_zone(bare);
  add(t, s, bare);
}

size_t ms_stringify(const ms_ctx *ctx, enum ms_scope scope, char *buf, size_t size) {
  struct ms__text t;
  ms__text_init(&t, buf, size);
  for (size_t i = 0; i < ctx->stack_count; i++)
    if (ms__stack_at(ctx, i)) add_stack(&t, ctx->stacks[i], scope);
  return t.len;
}

size_t ms_stringify_stack(const ms_ctx *ctx, int stack, enum ms_scope scope, char *buf,
                          size_t size) {
  const struct ms__stack *s = stack < 0 ? NULL : ms__stack_at(ctx, (size_t)stack);
  struct ms__text t;
  ms__text_init(&t, buf, size);
  if (s) add_stack(&t, s, scope);
  return t.len;
}
