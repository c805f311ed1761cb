/* What this build's sections stand for. A new protocol is one line here. */
#include "base/error.h"
#include "endpoint/ctx.h"

static const struct ms__section_impl table[] = {
    {MS_SECTION_NET, false, &ms__net, {NULL}, false},
    {MS_SECTION_WS, false, &ms__net, {&ms__http, &ms__ws}, false},
    {MS_SECTION_WS, true, &ms__net, {&ms__tls, &ms__http, &ms__ws}, false},
    {MS_SECTION_WS, false, NULL, {&ms__http, &ms__ws}, false},
    {MS_SECTION_TLS, false, NULL, {&ms__tls}, false},
    {MS_SECTION_UNIX, false, &ms__unix, {NULL}, false},
    {MS_SECTION_MEMORY, false, &ms__memory, {NULL}, false},
    {MS_SECTION_SHS, false, NULL, {&ms__shs}, true},
    {MS_SECTION_NOAUTH, false, NULL, {&ms__noauth}, false},
};

const struct ms__section_impl *ms__section_impl(const ms_section *section) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].kind == section->kind && table[i].secure == section->secure &&
        (table[i].transport != NULL) == section->transport)
      return &table[i];
  return NULL;
}

/* Over TCP it is a transport, and above a layer that proves a key it would keep nobody out. */
static bool may_be_ws(const ms_section *sections, size_t i) {
  return sections[0].kind == MS_SECTION_UNIX &&
         (i == 1 || (i == 2 && sections[1].kind == MS_SECTION_TLS));
}

static bool has_tls_below(const ms_section *sections, size_t i) {
  while (i > 0 && sections[i - 1].kind != MS_SECTION_TLS)
    i--;
  return i > 0;
}

/* Why section i may not stand where it stands, all before it may; or NULL. */
static const char *misplaced(const ms_section *sections, size_t i) {
  const ms_section *s = &sections[i];
  const struct ms__section_impl *impl = ms__section_impl(s);
  if (!impl) return "this build does not have this protocol";
  if (i == 0 && !impl->transport) return "a stack begins with a transport, this is a transform";
  if (i > 0 && impl->transport) return "a transport stands first in a stack, nowhere else";
  if (i > 0 && sections[i - 1].kind == MS_SECTION_NOAUTH) return "nothing can follow noauth";
  if (i > 0 && s->kind == MS_SECTION_WS && !may_be_ws(sections, i))
    return "it stands on unix, or on tls over unix, nowhere else";
  if (s->kind == MS_SECTION_TLS && has_tls_below(sections, i)) return "it stands once in a stack";
  return NULL;
}

int ms__sections_check(const ms_section *sections, size_t count, ms_error *err) {
  const char *why;
  if (count > MS__STACK_SECTIONS)
    return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, NULL, "it has too many sections");
  for (size_t i = 0; i < count; i++)
    if ((why = misplaced(sections, i)))
      return ms__error(err, MS_ENOSTACK, MS_PHASE_MATCH, sections[i].name, "section %zu, %s: %s",
                       i + 1, sections[i].name, why);
  return 0;
}
