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

/* The length of the section's name where `text` begins with it, or 0. */
static size_t name_in(const ms_section *s, const char *text) {
  size_t n = strlen(s->name);
  if (strncmp(text, s->name, n) != 0) return 0;
  return s->secure && text[n] == 's' ? n + 1 : n;
}

bool ms_addr_match(const ms_alternative *a, const char *stack) {
  if (!a->sections) return false;
  for (size_t i = 0; i < a->count; i++) {
    size_t n;
    if (i && *stack++ != '~') return false;
    if (!(n = name_in(&a->sections[i], stack))) return false;
    stack += n;
  }
  return *stack == '\0';
}
