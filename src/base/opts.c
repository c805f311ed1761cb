#include "base/opts.h"

#include <string.h>

#include "base/error.h"

MS__OPTS_END(ms_ctx_opts, on_wake);
MS__OPTS_END(ms_stack_opts, unix_group);
MS__OPTS_END(ms_dial_opts, local_host);

enum { SIZE_MOST = 4096 }; /* what is larger was never initialised */

int ms__opts_read(void *out, size_t known, const void *given, ms_error *err) {
  const unsigned char *bytes = given;
  size_t size;
  if (!given) return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "there are no options");
  memcpy(&size, given, sizeof size);
  if (size < sizeof size || size > SIZE_MOST)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                     "opts was not initialised with MS_OPTS_INIT");
  for (size_t i = known; i < size; i++)
    if (bytes[i])
      return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                       "opts asks for what this version of the library (" MS_VERSION
                       ") does not have");
  memset(out, 0, known);
  memcpy(out, given, size < known ? size : known);
  memcpy(out, &known, sizeof known);
  return 0;
}
