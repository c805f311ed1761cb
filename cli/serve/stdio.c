/* serve --stdio: one peer on standard input and output. */
#include "serve.h"

struct one {
  struct cli_serving *serving;
};

static void on_closed(void *user, const char *what, const ms_conn *conn, const ms_error *err) {
  const struct one *one = user;
  cli_report_closed(one->serving->report, what, conn, err);
}

static void on_done(int status, void *user) {
  const struct one *one = user;
  one->serving->done(status, one->serving->user);
}

static int start(void *state, struct cli_serving *s) {
  ((struct one *)state)->serving = s;
  return CLI_OK;
}

static void take(void *state, ms_conn *conn) {
  const struct cli_stdio_opts opts = {.hold = CLI_HOLD_SILENT, .closed = on_closed};
  const struct one *one = state;
  cli_stdio_start(one->serving->loop, conn, &opts, on_done, state);
}

const struct cli_action cli_action_stdio = {
    .name = "stdio",
    .help =
        "one peer on standard input and output, then exit; where standard\n"
        "input gives nothing, our end comes when all of the peer's stream\n"
        "is written out, and the peer's exit status 0 means that",
    .one_peer = true,
    .writes_stdout = true,
    .descriptors = 1,
    .size = sizeof(struct one),
    .start = start,
    .take = take,
};
