/* secret-handshake as a client. */
#include "shs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  return fuzz_shs(false, data, size);
}
