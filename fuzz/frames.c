/* WebSocket's frames, both roles, as messages and as a stream: any bytes. However they are cut, the
 * same messages come, and the same failure. */
#include <string.h>

#include "fuzz.h"
#include "layer/ws_frame.h"
#include "layer_driver.h"

enum { ROOM = 300 };

static const struct ms__ws_opts opts = {
    .frame_max = 5000, .message_max = 6000, .fragments_max = 20, .text = false};

/* What came: the bytes, and where messages end. */
struct heard {
  struct bytes bytes, ends;
};

/* Takes what was decoded apart: records, in a fixed place for their borders. */
static void hear(struct heard *h, struct driver *d, bool top) {
  size_t at = 0;
  while (top && at < d->app_in.n) {
    struct ms__record r;
    REQUIRE(d->app_in.n - at >= MS__RECORD_BYTES);
    ms__record_read(&r, d->app_in.p + at);
    at += MS__RECORD_BYTES;
    REQUIRE(r.length <= d->app_in.n - at && (r.type == MS__WS_TEXT || r.type == MS__WS_BINARY));
    bytes_add(&h->bytes, d->app_in.p + at, r.length);
    at += r.length;
    if (r.last) bytes_add(&h->ends, &h->bytes.n, sizeof h->bytes.n);
    if (r.last) bytes_add(&h->ends, &r.type, 1);
  }
  if (!top) bytes_add(&h->bytes, d->app_in.p, d->app_in.n);
}

static void play(struct driver *d, struct heard *h, unsigned flags, const uint8_t *p, size_t n,
                 size_t chunk) {
  bool top = flags & 2;
  memset(h, 0, sizeof *h);
  driver_begin_at(d, &ms__ws, flags & 1, top, &opts);
  d->up = true;
  for (size_t at = 0; at < n && d->result >= 0 && (d->result & ~MS__WANT_ENCODE) != MS__DONE;
       at += chunk) {
    bytes_add(&d->in, p + at, ms__min(chunk, n - at));
    do
      (void)driver_step(d, ROOM);
    while (d->result >= 0 && (d->result & ~MS__WANT_ENCODE) == MS__FULL);
    if (d->result >= 0) {
      int r = d->result;
      driver_write(d, NULL, 0, 200);
      d->result = r;
    }
  }
  hear(h, d, top);
  d->wire_out.n = 0;
  driver_finish(d, d->result < 0 ? d->result : 0);
}

static bool is_prefix(const struct bytes *a, const struct bytes *b) {
  size_t n = a->n < b->n ? a->n : b->n;
  return n == 0 || memcmp(a->p, b->p, n) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input in = {data, size};
  unsigned flags = input_byte(&in);
  size_t chunk = 1 + (size_t)input_byte(&in);
  struct heard whole, pieces;
  struct driver a, b;
  play(&a, &whole, flags, in.p, in.n, in.n + 1);
  play(&b, &pieces, flags, in.p, in.n, chunk);
  /* a text that is none fails within a piece, whose beginning is dropped */
  REQUIRE(is_prefix(&whole.bytes, &pieces.bytes));
  REQUIRE(whole.ends.n == pieces.ends.n && is_prefix(&whole.ends, &pieces.ends));
  REQUIRE(a.wire_out.n == b.wire_out.n); /* our Close */
  bytes_free(&whole.bytes);
  bytes_free(&whole.ends);
  bytes_free(&pieces.bytes);
  bytes_free(&pieces.ends);
  driver_end(&a);
  driver_end(&b);
  return 0;
}
