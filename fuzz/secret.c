/* The file of an identity: any text. What is read is an identity that belongs together. */
#include <string.h>

#include "base/identity.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ms_identity *id;
  ms_error err;
  if (ms_identity_parse(&id, (const char *)data, size, &err) == 0) {
    struct ms_identity same;
    ms__identity_derive(&same, id->secret_key);
    REQUIRE(memcmp(&same, id, sizeof same) == 0);
    ms_identity_free(id);
  } else {
    REQUIRE(id == NULL && err.code == MS_EINVAL && err.message[0]);
  }
  return 0;
}
