/* What this build's sections stand for. A new protocol is one line here. */
#include "api/ctx.h"

static const struct ms__section_impl table[] = {
    {MS_SECTION_NET, false, &ms__net, {NULL}, false},
    {MS_SECTION_WS, false, &ms__net, {&ms__http, &ms__ws}, false},
    {MS_SECTION_WS, true, &ms__net, {&ms__tls, &ms__http, &ms__ws}, false},
    {MS_SECTION_WS, false, NULL, {&ms__http, &ms__ws}, false},
    {MS_SECTION_TLS, false, NULL, {&ms__tls}, false},
    {MS_SECTION_UNIX, false, &ms__unix, {NULL}, false},
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
