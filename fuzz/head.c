/* The opening handshake of WebSocket, as a server and as a client: any bytes. However they are cut,
 * the result is the same, and so is what is taken and said. */
#include <string.h>

#include "fuzz.h"
#include "layer/http_head.h"
#include "layer_driver.h"

static const struct ms__http_opts opts = {.path = "", .host = "h.example", .name = "h.example"};

static void play(struct driver *d, bool server, const uint8_t *p, size_t n, size_t chunk) {
  driver_begin(d, &ms__http, server, &opts);
  if (!server) (void)driver_step(d, 0);
  d->wire_out.n = 0;
  for (size_t at = 0; at < n && (d->result == MS__MORE || at == 0); at += chunk) {
    bytes_add(&d->in, p + at, ms__min(chunk, n - at));
    (void)driver_step(d, 0);
  }
  if (d->result == MS__ASK) (void)driver_answer(d, false);
  if (d->result < 0) {
    char why[256] = "";
    ms__http.explain(d->state, why, sizeof why);
    REQUIRE(*why);
    driver_finish(d, d->result);
    REQUIRE(!server || (d->wire_out.n > 12 && memcmp(d->wire_out.p, "HTTP/1.1 ", 9) == 0));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input in = {data, size};
  bool server = input_byte(&in) & 1;
  size_t chunk = 1 + (size_t)input_byte(&in);
  struct driver whole, pieces;
  play(&whole, server, in.p, in.n, in.n + 1);
  play(&pieces, server, in.p, in.n, chunk);
  REQUIRE(whole.result == pieces.result);
  REQUIRE(whole.wire_out.n == pieces.wire_out.n);
  REQUIRE(!whole.wire_out.n || memcmp(whole.wire_out.p, pieces.wire_out.p, whole.wire_out.n) == 0);
  driver_end(&whole);
  driver_end(&pieces);
  return 0;
}
