/* The event loop of a subcommand. */
#include <string.h>

#include "base/file.h"
#include "cli.h"

int cli_loop_open(uv_loop_t *loop, const char *command) {
  int sys = ms__file_room();
  if (sys) return cli_error(command, NULL, "no event loop: %s (ulimit -n)", strerror(sys));
  return uv_loop_init(loop) < 0 ? cli_error(command, NULL, "no event loop") : CLI_OK;
}
