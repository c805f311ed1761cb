/* What the files of the command share. */
#ifndef MS_CLI_CLI_H
#define MS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "multiserver.h"

/* Exit statuses. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* One subcommand. `run` gets its own arguments: argv[0] is the subcommand's name. Returns an exit
 * status. `help` is the whole text of --help. */
struct cli_command {
  const char *name, *summary, *help;
  int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_keygen, cli_id, cli_address, cli_serve, cli_connect;

/* One line on stderr: "multiserver: WHAT: WHERE: WHY". `where` may be NULL or "". Control characters
 * in it are shown escaped. */
void cli_error(const char *what, const char *where, const char *why, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from a library error: WHERE is its address, WHY its message with layer and phase. */
void cli_error_from(const char *what, const ms_error *err);

#endif
