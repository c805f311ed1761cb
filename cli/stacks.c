/* The chains that this build dials. A new protocol adds its lines here, and to what --help lists of
 * address --stacks and connect --prefer. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct {
  const char *name;
  bool keyed; /* needs an identity */
} stacks[] = {
    {"net", false},         {"net~noauth", false},         {"net~shs", true},
    {"net~tls", false},     {"net~tls~noauth", false},     {"net~tls~shs", true},
    {"ws", false},          {"ws~noauth", false},          {"ws~shs", true},
    {"unix", false},        {"unix~noauth", false},        {"unix~shs", true},
    {"unix~tls", false},    {"unix~tls~noauth", false},    {"unix~tls~shs", true},
    {"unix~ws", false},     {"unix~ws~noauth", false},     {"unix~ws~shs", true},
    {"unix~tls~ws", false}, {"unix~tls~ws~noauth", false}, {"unix~tls~ws~shs", true},
};

const char *cli_stack(size_t i) {
  return i < sizeof stacks / sizeof *stacks ? stacks[i].name : NULL;
}

void cli_stacks_text(const char *between, char *buf, size_t size) {
  size_t n = 0;
  *buf = '\0';
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks && n < size; i++)
    n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? between : "", stacks[i].name);
}

int cli_dial_stacks(const char *what, ms_ctx *ctx, bool keyed, const ms_tls_opts *tls) {
  ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
  ms_error err;
  opts.stream = true;
  opts.tls = *tls;
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
    if ((keyed || !stacks[i].keyed) && ms_add(ctx, stacks[i].name, &opts, &err) < 0)
      return cli_error(what, NULL, "%s", err.message); /* whichever stack has the file first */
  return CLI_OK;
}

/* A context knows what makes a stack. */
void cli_no_stack(const ms_alternative *a, char *why, size_t size) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  char names[256] = "";
  ms_error err = {0};
  ms_ctx *ctx;
  int r;
  for (size_t i = 0; i < a->count; i++) {
    size_t n = strlen(names);
    (void)snprintf(names + n, sizeof names - n, "%s%s", i ? "~" : "", a->sections[i].name);
    if (a->sections[i].kind != MS_SECTION_OTHER && a->sections[i].kind != MS_SECTION_ONION)
      continue;
    (void)snprintf(why, size, "no stack understands it: there is no protocol \"%.32s\" here",
                   a->sections[i].name);
    return;
  }
  r = ms_ctx_new(&ctx, &opts, &err);
  if (r == 0) {
    r = ms_add(ctx, names, NULL, &err);
    ms_ctx_free(ctx);
  }
  (void)snprintf(why, size, "no stack understands it: %s%s", r == MS_ENOSTACK ? "" : "none is ",
                 r == MS_ENOSTACK ? err.message : names);
}
