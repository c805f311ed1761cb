/* Each connection of serve takes descriptors, and a process begins with few. */
#include <sys/resource.h>

#include "serve.h"

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
