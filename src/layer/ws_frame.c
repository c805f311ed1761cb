#include "layer/ws_frame.h"

#include <string.h>

#include "multiserver.h"

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, SHORT = 0x7f };

static uint64_t be(const uint8_t *p, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++)
    v = v << 8 | p[i];
  return v;
}

static bool is_opcode(unsigned opcode) {
  return opcode <= MS__WS_BINARY || (opcode >= MS__WS_CLOSE && opcode <= MS__WS_PONG);
}

int ms__ws_head_read(struct ms__ws_head *out, const uint8_t *p, size_t n) {
  size_t at = 2, length;
  if (n < 1) return 0;
  if ((p[0] & RESERVED) || !is_opcode(p[0] & OPCODE)) return MS_EPROTO;
  out->opcode = (enum ms__ws_opcode)(p[0] & OPCODE);
  out->fin = (p[0] & FIN) != 0;
  if (n < 2) return 0;
  out->masked = (p[1] & MASKED) != 0;
  out->length = p[1] & SHORT;
  if (out->opcode >= MS__WS_CLOSE && (!out->fin || out->length > MS__WS_CONTROL_MAX))
    return MS_EPROTO;
  length = out->length < 126 ? 0 : out->length == 126 ? 2 : 8;
  if (n < at + length) return 0;
  if (length) {
    out->length = be(p + at, length);
    if (out->length < (length == 2 ? 126 : 65536) || out->length >> 63) return MS_EPROTO;
    at += length;
  }
  if (!out->masked) return (int)at;
  if (n < at + sizeof out->mask) return 0;
  memcpy(out->mask, p + at, sizeof out->mask);
  return (int)(at + sizeof out->mask);
}

size_t ms__ws_head_write(const struct ms__ws_head *head, uint8_t *p) {
  size_t at = 2, length = head->length < 126 ? 0 : head->length < 65536 ? 2 : 8;
  p[0] = (uint8_t)((head->fin ? FIN : 0) | head->opcode);
  p[1] = (uint8_t)((head->masked ? MASKED : 0) | (length == 0   ? (int)head->length
                                                  : length == 2 ? 126
                                                                : 127));
  for (size_t i = length; i-- > 0;)
    p[at++] = (uint8_t)(head->length >> 8 * i);
  if (head->masked) {
    memcpy(p + at, head->mask, sizeof head->mask);
    at += sizeof head->mask;
  }
  return at;
}

void ms__ws_mask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t mask[4], size_t phase) {
  uint8_t turned[8];
  uint64_t word, bytes;
  for (size_t i = 0; i < sizeof turned; i++)
    turned[i] = mask[(phase + i) & 3];
  memcpy(&word, turned, sizeof word);
  for (; n >= sizeof word; n -= sizeof word) {
    memcpy(&bytes, from, sizeof bytes);
    bytes ^= word;
    memcpy(to, &bytes, sizeof bytes);
    from += sizeof bytes;
    to += sizeof bytes;
  }
  for (size_t i = 0; i < n; i++)
    to[i] = from[i] ^ turned[i];
}

/* Those of the RFC, those registered since (1012 to 1014), and the two ranges for others. */
bool ms__ws_code_is_valid(unsigned code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}
