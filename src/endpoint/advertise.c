/* What a server advertises (docs/behaviours.md, section 3). */
#include <strings.h>

#include "endpoint/ctx.h"

enum { HOST = 256 };

/* One address of a stack: the section with its real port, what stands on it from the `above`-th on,
 * and its own key. */
static void add_section(struct ms__text *t, const struct ms__stack *s, const ms_section *section,
                        size_t above) {
  ms_section place = *section;
  if (t->len) ms__text_char(t, ';');
  if (place.port <= 0) place.port = s->port;
  ms__section_format(t, &place, true);
  for (size_t i = above; i < s->count; i++) {
    ms_section own = {.kind = s->sections[i].kind,
                      .name = s->sections[i].name,
                      .host = s->sections[i].host,
                      .path = s->sections[i].path,
                      .port = -1};
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
  add_section(t, s, &place, 1);
}

/* Whatever its host is called, nobody else reaches it. */
static bool is_on_device(const struct ms__stack *s) {
  struct ms__place place;
  for (size_t i = 0; s->transport->bound(s->listening, i, &place); i++)
    if (ms__place_scope(&place) != MS_DEVICE) return false;
  return true;
}

/* As peers write it. */
static void make_bare(char *bare, size_t size, const char *host) {
  ms__text_copy(bare, size, host);
  ms__host_without_mapping(bare);
  ms__host_without_zone(bare);
}

/* Is the i-th external one told already? */
static bool is_repeated(const struct ms__stack *s, size_t i) {
  const ms_section *a = &ms_addr_at(s->external[i], 0)->sections[0];
  char one[HOST], other[HOST];
  make_bare(one, sizeof one, a->host);
  for (size_t j = 0; j < i; j++) {
    const ms_section *b = &ms_addr_at(s->external[j], 0)->sections[0];
    make_bare(other, sizeof other, b->host);
    if (strcasecmp(one, other) == 0 && a->port == b->port && a->secure == b->secure &&
        (!a->path || strcmp(a->path, b->path) == 0))
      return true;
  }
  return false;
}

/* What a front says is taken at its word; a host alone does not take loopback off this machine.
 * False: there is nothing external. */
static bool add_external(struct ms__text *t, const struct ms__stack *s) {
  bool any = false;
  for (size_t i = 0; i < s->external_count; i++) {
    ms_section place = ms_addr_at(s->external[i], 0)->sections[0];
    char bare[HOST];
    if ((is_on_device(s) && place.port <= 0) || is_repeated(s, i)) continue;
    make_bare(bare, sizeof bare, place.host);
    place.host = bare;
    add_section(t, s, &place,
                !(s->transport->flags & MS__BY_HOST) && ms__stack_has_ws(s) ? s->ws_at + 1 : 1);
    any = true;
  }
  return any;
}

struct adding {
  struct ms__text *t;
  const struct ms__stack *s;
};

static void add_host(void *user, const char *host) {
  const struct adding *a = user;
  add(a->t, a->s, host);
}

/* False: what is under its hosts is not known. */
static bool add_stack(struct ms__text *t, struct ms__stack *s, enum ms_scope scope) {
  struct adding adding = {t, s};
  struct ms__listen_request of;
  if (!s->listening || !(s->scopes & (unsigned)scope)) return true;
  if (scope != MS_DEVICE && !s->authenticated) return true;
  if (scope == MS_PUBLIC && add_external(t, s)) return true;
  if (!s->transport->hosts) {
    if (scope == MS_DEVICE) add(t, s, s->sections[0].host);
    return true;
  }
  ms__stack_request(s, &of);
  return s->transport->hosts(s->listening, &of, scope, add_host, &adding);
}

size_t ms__advertise(const struct ms_ctx *ctx, enum ms_scope scope, char *buf, size_t size,
                     bool *whole) {
  struct ms__text t;
  ms__text_init(&t, buf, size);
  *whole = true;
  for (size_t i = 0; i < ctx->stack_count; i++)
    if (ms__stack_at(ctx, i) && !add_stack(&t, ctx->stacks[i], scope)) *whole = false;
  return t.len;
}

size_t ms_stringify(const ms_ctx *ctx, enum ms_scope scope, char *buf, size_t size) {
  bool whole;
  return ms__advertise(ctx, scope, buf, size, &whole);
}

size_t ms_stringify_stack(const ms_ctx *ctx, int stack, enum ms_scope scope, char *buf,
                          size_t size) {
  struct ms__stack *s = stack < 0 ? NULL : ms__stack_at(ctx, (size_t)stack);
  struct ms__text t;
  ms__text_init(&t, buf, size);
  if (s) (void)add_stack(&t, s, scope);
  return t.len;
}
