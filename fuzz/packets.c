#include "packets.h"

#include <sodium.h>

enum { KINDS = 5, PACKETS_MAX = 64 };

static void advance(uint8_t nonce[MS__BOX_NONCE]) {
  for (size_t i = MS__BOX_NONCE; i-- && ++nonce[i] == 0;) {
  }
}

/* A header that says anything, in an honest box; `body` of its own length follows in the clear. */
static void lie(struct input *in, struct ms__box_writer *w, struct bytes *out) {
  uint8_t header[18], box[MS__BOX_HEAD];
  const uint8_t *body;
  size_t n;
  input_fill(in, header, sizeof header);
  (void)crypto_secretbox_easy(box, header, sizeof header, w->nonce, w->key);
  advance(w->nonce);
  bytes_add(out, box, sizeof box);
  body = input_bytes(in, input_byte(in), &n);
  bytes_add(out, body, n);
}

/* A body of up to 65,535 bytes, as some writers make them; length 0 is an empty packet. */
static void add_packet(struct input *in, struct ms__box_writer *w, size_t length, struct bytes *out,
                       struct bytes *plain) {
  uint8_t header[18], box[MS__BOX_HEAD], first[MS__BOX_NONCE];
  uint8_t *body = calloc(1, length + 1), *sealed = malloc(length + 1);
  if (!body || !sealed) abort();
  memset(body, input_byte(in), length);
  header[0] = (uint8_t)(length >> 8);
  header[1] = (uint8_t)length;
  memcpy(first, w->nonce, sizeof first);
  advance(w->nonce);
  (void)crypto_secretbox_detached(sealed, header + 2, body, length, w->nonce, w->key);
  advance(w->nonce);
  (void)crypto_secretbox_easy(box, header, sizeof header, first, w->key);
  bytes_add(out, box, sizeof box);
  bytes_add(out, sealed, length);
  bytes_add(plain, body, length);
  free(body);
  free(sealed);
}

void packets_add(struct input *in, struct ms__box_writer *w, struct bytes *out, struct bytes *plain,
                 bool *spoiled, bool *goodbye) {
  struct bytes ignored = {0};
  for (int i = 0; i < PACKETS_MAX && in->n; i++) {
    struct bytes *to = *spoiled || *goodbye ? &ignored : plain;
    uint8_t box[MS__BOX_HEAD];
    struct ms__dst dst = {box, sizeof box};
    const uint8_t *raw;
    size_t n;
    switch (input_byte(in) % KINDS) {
      case 0:
        add_packet(in, w, 1 + input_byte(in), out, to);
        break;
      case 1:
        add_packet(in, w, input_short(in), out, to);
        break;
      case 2:
        ms__box_goodbye(w, &dst);
        bytes_add(out, box, sizeof box);
        if (!*spoiled) *goodbye = true;
        break;
      case 3:
        lie(in, w, out);
        *spoiled = *spoiled || !*goodbye;
        break;
      case 4:
        raw = input_bytes(in, input_byte(in), &n);
        bytes_add(out, raw, n);
        *spoiled = *spoiled || (n && !*goodbye);
        break;
    }
  }
  bytes_free(&ignored);
}
