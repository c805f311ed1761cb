#include "layer/shs_box.h"

#include <sodium.h>

enum { HEADER = 18 }; /* two bytes of length, the body's tag */

/* 24 bytes, most significant first, wrapping. */
static void next(uint8_t nonce[MS__BOX_NONCE]) {
  size_t i = MS__BOX_NONCE;
  while (i-- && ++nonce[i] == 0) {
  }
}

static void seal_header(struct ms__box_writer *w, struct ms__dst *out, const uint8_t *header,
                        const uint8_t *nonce) {
  (void)crypto_secretbox_easy(out->p, header, HEADER, nonce, w->key);
}

void ms__box_write(struct ms__box_writer *w, struct ms__dst *out, struct ms__src *in) {
  size_t n = ms__min3(in->n, out->n - MS__BOX_HEAD, MS__BOX_BODY);
  uint8_t header[HEADER], nonce[MS__BOX_NONCE];
  memcpy(nonce, w->nonce, sizeof nonce);
  next(w->nonce);
  header[0] = (uint8_t)(n >> 8);
  header[1] = (uint8_t)n;
  (void)crypto_secretbox_detached(out->p + MS__BOX_HEAD, header + 2, in->p, n, w->nonce, w->key);
  next(w->nonce);
  seal_header(w, out, header, nonce);
  ms__fill(out, MS__BOX_HEAD + n);
  ms__skip(in, n);
}

void ms__box_goodbye(struct ms__box_writer *w, struct ms__dst *out) {
  static const uint8_t zero[HEADER];
  seal_header(w, out, zero, w->nonce);
  next(w->nonce);
  ms__fill(out, MS__BOX_HEAD);
}

/* A header's 34 bytes. IDLE: a body follows. DONE: it was the goodbye. */
static int open_header(struct ms__box_reader *r, struct ms__src *in) {
  uint8_t header[HEADER];
  if (crypto_secretbox_open_easy(header, in->p, MS__BOX_HEAD, r->nonce, r->key) != 0)
    return MS_ECRYPTO;
  next(r->nonce);
  ms__skip(in, MS__BOX_HEAD);
  if (sodium_is_zero(header, sizeof header)) return MS__DONE;
  r->length = (uint16_t)(header[0] << 8 | header[1]);
  r->body = true;
  memcpy(r->tag, header + 2, sizeof r->tag);
  return MS__IDLE;
}

int ms__box_read(struct ms__box_reader *r, struct ms__src *in, struct ms__dst *out) {
  for (;;) {
    if (!r->body) {
      int result;
      if (in->n < MS__BOX_HEAD) return in->n ? MS__MORE : MS__IDLE;
      result = open_header(r, in);
      if (result != MS__IDLE) return result;
    }
    if (in->n < r->length) return MS__MORE;
    if (out->n < r->length) return MS__FULL;
    if (crypto_secretbox_open_detached(out->p, in->p, r->tag, r->length, r->nonce, r->key) != 0)
      return MS_ECRYPTO;
    next(r->nonce);
    ms__fill(out, r->length);
    ms__skip(in, r->length);
    r->body = false;
  }
}
