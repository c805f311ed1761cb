/* Scuttlebutt's legacy addresses: any bytes. What is translated is one address, which is
 * understood.
 */
#include <string.h>

#include "fuzz.h"
#include "multiserver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ms_addr *addr, *again;
  ms_error err;
  char text[16384];
  if (ms_addr_from_legacy(&addr, (const char *)data, size, &err) < 0) {
    REQUIRE(addr == NULL && err.code == MS_EADDRESS && err.message[0] && err.offset <= size);
    return 0;
  }
  REQUIRE(ms_addr_count(addr) == 1);
  REQUIRE(ms_addr_match(ms_addr_at(addr, 0), "net~shs") ||
          ms_addr_match(ms_addr_at(addr, 0), "onion~shs"));
  REQUIRE(ms_addr_format(addr, 0, text, sizeof text) < sizeof text);
  REQUIRE(ms_addr_parse(&again, text, strlen(text), MS_ADDR_DIAL, NULL) == 0);
  ms_addr_free(again);
  ms_addr_free(addr);
  return 0;
}
