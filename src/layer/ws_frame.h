/* WebSocket frames (RFC 6455, section 5), without state: headers, masks, close codes. */
#ifndef MS_LAYER_WS_FRAME_H
#define MS_LAYER_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ms__ws_opcode {
  MS__WS_CONTINUATION = 0,
  MS__WS_TEXT = 1,
  MS__WS_BINARY = 2,
  MS__WS_CLOSE = 8, /* from here on: control frames */
  MS__WS_PING = 9,
  MS__WS_PONG = 10
};

/* Close codes (section 7.4.1). */
enum ms__ws_code {
  MS__WS_NORMAL = 1000,
  MS__WS_GOING_AWAY = 1001,
  MS__WS_PROTOCOL = 1002,
  MS__WS_UNACCEPTABLE = 1003,
  MS__WS_NO_CODE = 1005, /* never on the wire: the Close was empty */
  MS__WS_BAD_DATA = 1007,
  MS__WS_TOO_BIG = 1009,
  MS__WS_INTERNAL = 1011
};

enum { MS__WS_HEAD_MAX = 14, MS__WS_CONTROL_MAX = 125 };

struct ms__ws_head {
  enum ms__ws_opcode opcode;
  bool fin, masked;
  uint8_t mask[4];
  uint64_t length; /* of the payload, in bytes */
};

/* Reads a header from n bytes: its length; 0 when it is not whole; MS_EPROTO when it can not be
 * one: a reserved bit or opcode, a length not written in the shortest way or beyond 63 bits, a
 * control frame that is long or a fragment. */
int ms__ws_head_read(struct ms__ws_head *out, const uint8_t *p, size_t n);

/* Writes one, in the shortest way; `p` has room for MS__WS_HEAD_MAX. Its length. */
size_t ms__ws_head_write(const struct ms__ws_head *head, uint8_t *p);

/* Copies n bytes under a mask, of which `phase` bytes (modulo 4) have been used. `to` may be
 * `from`. */
void ms__ws_mask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t mask[4], size_t phase);

/* May a peer close with it? */
bool ms__ws_code_is_valid(unsigned code);

#endif
