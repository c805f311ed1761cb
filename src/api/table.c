/* What this build's sections stand for. A new protocol is one line here. */
#include "api/ctx.h"

static const struct ms__section_impl table[] = {
    {MS_SECTION_NET, &ms__net, NULL, false},
    {MS_SECTION_UNIX, &ms__unix, NULL, false},
    {MS_SECTION_SHS, NULL, &ms__shs, true},
    {MS_SECTION_NOAUTH, NULL, &ms__noauth, false},
};

const struct ms__section_impl *ms__section_impl(enum ms_section_kind kind) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].kind == kind) return &table[i];
  return NULL;
}
