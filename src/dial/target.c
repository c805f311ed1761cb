/* One alternative of a dial: where it is in vain to try it again. */
#include "dial/dial.h"

/* Do they mean the same key, or none? */
static bool same_peer(const struct ms__target *one, const struct ms__target *other) {
  if (!one->key || !other->key) return one->key == other->key;
  return memcmp(one->key, other->key, MS_KEY_BYTES) == 0;
}

static bool same_text(const char *one, const char *other) {
  return one == other || (one && other && strcmp(one, other) == 0);
}

/* The path as well: what stands in front of a WebSocket tells servers apart by it. */
static bool same_name(const struct ms__target *one, const struct ms__target *other) {
  const ms_section *a = &one->alternative->sections[0], *b = &other->alternative->sections[0];
  return one->stack->transport == other->stack->transport && a->port == b->port &&
         same_text(a->host, b->host) && same_text(a->path, b->path);
}

/* Behind one network address there may be a server for each name, where names are told. */
static bool tells_name(const struct ms__target *t) {
  return t->alternative->sections[0].kind == MS_SECTION_WS;
}

void ms__target_refused(struct ms__target *t, const struct ms__target *by,
                        const struct ms__place *at) {
  size_t kept = t->next;
  if (!same_peer(t, by)) return;
  if (same_name(t, by)) t->refused = true;
  if (tells_name(t) || tells_name(by)) return;
  for (size_t i = t->next; i < t->places.count; i++)
    if (!ms__place_equal(&t->places.at[i], at)) t->places.at[kept++] = t->places.at[i];
  t->places.count = kept;
}
