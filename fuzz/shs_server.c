/* secret-handshake as a server. */
#include "shs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_shs(true, data, size);
}
