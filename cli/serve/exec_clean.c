/* --exec-clean: the exit statuses with which a command has succeeded. */
#include <stdlib.h>
#include <string.h>

#include "exec.h"

bool cli_statuses_have(const struct cli_statuses *statuses, int status) {
  return status >= 0 && status < 256 && statuses->has[status];
}

const char *cli_statuses_read(struct cli_statuses *out, const char *text) {
  memset(out, 0, sizeof *out);
  if (strcmp(text, "any") == 0) {
    memset(out->has, true, sizeof out->has);
    return NULL;
  }
  for (;;) {
    size_t digits = strspn(text, "0123456789");
    long status = digits && digits < 4 ? strtol(text, NULL, 10) : -1;
    if (status < 0 || status > 255) return "is no list of exit statuses: 0,1,24, or any";
    out->has[status] = true;
    text += digits;
    if (!*text) return NULL;
    if (*text++ != ',') return "is no list of exit statuses: 0,1,24, or any";
  }
}
