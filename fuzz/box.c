/* The reader of the box stream: bytes of any kind under a key that the input names, and honest and
 * lying packets under that key. However the bytes are cut, the result is the same. */
#include <string.h>

#include "packets.h"

/* Reads it all in pieces. The last result. */
static int read_all(const struct ms__box_writer *key, const struct bytes *all, size_t chunk,
                    struct bytes *plain) {
  struct ms__box_reader r = {0};
  static uint8_t out[MS__BOX_LONGEST];
  size_t shown = 0, at = 0;
  int result = MS__IDLE;
  memcpy(r.key, key->key, sizeof r.key);
  memcpy(r.nonce, key->nonce, sizeof r.nonce);
  while (result >= 0 && result != MS__DONE && shown < all->n) {
    shown = all->n - shown < chunk ? all->n : shown + chunk;
    do {
      uint8_t *window = malloc(shown - at + 1); /* no byte more than is shown */
      struct ms__src in = {window, shown - at};
      struct ms__dst dst = {out, sizeof out};
      REQUIRE(window);
      memcpy(window, all->p + at, shown - at);
      result = ms__box_read(&r, &in, &dst);
      REQUIRE(in.n <= shown - at && dst.n <= sizeof out);
      bytes_add(plain, out, sizeof out - dst.n);
      at = shown - in.n;
      free(window);
    } while (result == MS__FULL);
  }
  return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input in = {data, size};
  uint8_t mode = input_byte(&in);
  size_t chunk = 1 + (size_t)input_byte(&in) * 16;
  struct ms__box_writer key, w;
  struct bytes all = {0}, expected = {0}, whole = {0}, pieces = {0};
  bool spoiled = false, goodbye = false;
  int result;
  input_fill(&in, key.key, sizeof key.key);
  input_fill(&in, key.nonce, sizeof key.nonce);
  w = key;
  if (mode & 1) {
    packets_add(&in, &w, &all, &expected, &spoiled, &goodbye);
  } else {
    bytes_add(&all, in.p, in.n);
    spoiled = true;
  }
  chunk += all.n / 256; /* or long inputs take their square */
  result = read_all(&key, &all, SIZE_MAX, &whole);
  REQUIRE(read_all(&key, &all, chunk, &pieces) == result);
  REQUIRE(whole.n == pieces.n && (!whole.n || memcmp(whole.p, pieces.p, whole.n) == 0));
  if (mode & 1) {
    REQUIRE(whole.n >= expected.n);
    REQUIRE(!expected.n || memcmp(whole.p, expected.p, expected.n) == 0);
    if (!spoiled) REQUIRE(result == (goodbye ? MS__DONE : MS__IDLE) && whole.n == expected.n);
  }
  bytes_free(&all);
  bytes_free(&expected);
  bytes_free(&whole);
  bytes_free(&pieces);
  return 0;
}
