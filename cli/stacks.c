/* The chains that this build dials. A new protocol adds its lines here. */
#include <string.h>

#include "cli.h"

static const struct {
  const char *name;
  bool keyed; /* needs an identity */
} stacks[] = {
    {"net~shs", true},         {"net~tls~shs", true}, {"unix~tls~shs", true},
    {"net~tls", false},        {"unix~tls", false},   {"ws~shs", true},
    {"unix~shs", true},        {"net~noauth", false}, {"ws~noauth", false},
    {"unix~noauth", false},    {"net", false},        {"ws", false},
    {"unix", false},           {"unix~ws~shs", true}, {"unix~tls~ws~shs", true},
    {"unix~ws~noauth", false}, {"unix~ws", false},    {"unix~tls~ws", false},
};

const char *cli_stack(size_t i) {
  return i < sizeof stacks / sizeof *stacks ? stacks[i].name : NULL;
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
