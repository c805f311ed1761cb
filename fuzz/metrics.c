/* A request for the metrics, from any bytes: whatever has come so far is judged as one of a few
 * statuses, and a judgement stands whatever follows. */
#include "../cli/serve/metrics.c"

#include "fuzz.h"

static int judged(const uint8_t *data, size_t n) {
  struct request r = {.whole = false};
  int status = judge(&r, data, n);
  REQUIRE(status == 0 || status == 200 || status == 400 || status == 404 || status == 405 ||
          status == 431);
  REQUIRE(status != 200 || (r.whole && r.target >= (const char *)data &&
                            r.target + r.length <= (const char *)data + n));
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int before = 0;
  for (size_t n = 1; n <= size; n++) {
    int now = judged(data, n);
    REQUIRE(before == 0 || before == 431 || now == before);
    before = now;
  }
  return 0;
}
