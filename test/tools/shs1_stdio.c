#include "shs1_stdio.h"

#include <sodium.h>
#include <unistd.h>

#include "layer_driver.h"

enum { ROOM = 512 };

void shs1_hex(const char *text, uint8_t *out, size_t n) {
  size_t got;
  const char *end;
  if (sodium_hex2bin(out, n, text, strlen(text), NULL, &got, &end) != 0 || got != n || *end) {
    (void)fprintf(stderr, "%zu bytes of hex are needed\n", n);
    exit(2);
  }
}

/* Writes what the driver has for the peer. */
static bool flush(struct driver *d) {
  size_t at = 0;
  while (at < d->wire_out.n) {
    ssize_t k = write(STDOUT_FILENO, d->wire_out.p + at, d->wire_out.n - at);
    if (k <= 0) return false;
    at += (size_t)k;
  }
  d->wire_out.n = 0;
  return true;
}

static void tell_outcome(struct driver *d) {
  const struct ms__box_writer *out = ms__shs_writer(d->state);
  const struct ms__box_reader *in = ms__shs_reader(d->state);
  bytes_add(&d->wire_out, out->key, sizeof out->key);
  bytes_add(&d->wire_out, out->nonce, sizeof out->nonce);
  bytes_add(&d->wire_out, in->key, sizeof in->key);
  bytes_add(&d->wire_out, in->nonce, sizeof in->nonce);
}

int shs1_run(bool server, const struct ms__shs_opts *opts) {
  struct driver d;
  int status = 1;
  driver_begin(&d, &ms__shs, server, opts);
  while (d.result >= 0 && !d.up) {
    uint8_t piece[256];
    ssize_t n;
    if (driver_step(&d, ROOM) == MS__ASK) (void)driver_answer(&d, true);
    if (d.result < 0) break;
    if (d.up) tell_outcome(&d);
    if (!flush(&d)) break;
    if (d.up) {
      status = 0;
      break;
    }
    n = read(STDIN_FILENO, piece, sizeof piece);
    if (n <= 0) break;
    bytes_add(&d.in, piece, (size_t)n);
  }
  driver_end(&d);
  return status;
}
