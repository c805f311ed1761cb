/* Each connection of serve takes descriptors, and a process begins with few. */
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "cli.h"

enum { OTHERS = 96 }; /* listeners, who asks for metrics, files */

unsigned long cli_descriptors(uint32_t connections, unsigned each) {
  struct rlimit limit;
  unsigned long before;
  rlim_t wanted = connections == UINT32_MAX ? RLIM_INFINITY : (rlim_t)connections * each + OTHERS;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted) return 0;
  before = (unsigned long)limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) (void)getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted && wanted != RLIM_INFINITY)
    cli_note(
        "%llu descriptors are not enough for %lu connection%s: peers will wait for others to leave "
        "(ulimit -n, LimitNOFILE, --limit connections=N)",
        (unsigned long long)limit.rlim_cur, (unsigned long)connections, cli_plural(connections));
  return before;
}

int cli_loop_open(uv_loop_t *loop, const char *command) {
  int sys = ms__file_room();
  if (sys) return cli_error(command, NULL, "no event loop: %s (ulimit -n)", strerror(sys));
  return uv_loop_init(loop) < 0 ? cli_error(command, NULL, "no event loop") : CLI_OK;
}
