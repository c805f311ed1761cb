/* Writing addresses, and matching them against stacks. */
#include <string.h>

#include "addr/addr.h"

static void format_one(struct ms__text *t, const ms_alternative *a, bool safe) {
  for (size_t i = 0; i < a->count; i++) {
    if (i) ms__text_char(t, '~');
    ms__section_format(t, &a->sections[i], safe);
  }
}

static size_t format(const ms_addr *addr, size_t i, char *buf, size_t size, bool safe) {
  const ms_alternative *a = i == SIZE_MAX ? NULL : ms_addr_at(addr, i);
  struct ms__text t;
  ms__text_init(&t, buf, size);
  if (a) {
    format_one(&t, a, safe);
    return t.len;
  }
  for (size_t j = 0; i == SIZE_MAX && j < ms_addr_count(addr); j++) {
    a = ms_addr_at(addr, j);
    if (!a->sections) continue;
    if (t.len) ms__text_char(&t, ';');
    format_one(&t, a, safe);
  }
  return t.len;
}

size_t ms_addr_format(const ms_addr *addr, size_t i, char *buf, size_t size) {
  return format(addr, i, buf, size, false);
}

size_t ms__addr_format_safe(const ms_addr *addr, size_t i, char *buf, size_t size) {
  return format(addr, i, buf, size, true);
}

bool ms_addr_match(const ms_alternative *a, const char *stack) {
  if (!a->sections) return false;
  for (size_t i = 0; i < a->count; i++) {
    size_t n = strlen(a->sections[i].name);
    if (i && *stack++ != '~') return false;
    if (strncmp(stack, a->sections[i].name, n) != 0) return false;
    stack += n;
  }
  return *stack == '\0';
}
