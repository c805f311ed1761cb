/* Layers for the tests of the stack. Each has the shape of a real protocol, and none its purpose:
 * what they share is that the pump cannot tell them from the real ones. */
#ifndef TEST_STACK_TOYS_H
#define TEST_STACK_TOYS_H

#include "layer/layer.h"

/* Two-byte lengths; no handshake, no end of its own. */
extern const struct ms__layer toy_lp;

/* What ws is to the pump: a handshake of two messages, frames, pings by the clock, pongs owed, one
 * end for both directions, last words; messages when it is topmost. */
extern const struct ms__layer toy_two;

/* What shs2 is to the pump: four messages, the question of a key, then up to 65,535 bytes that are
 * given in one piece or not at all; every flipped byte is noticed. */
extern const struct ms__layer toy_seal;

/* What a compressor is to the pump: holds bytes inside in both directions, ends with a last block.
 */
extern const struct ms__layer toy_squash;

/* What TLS is to the pump: a flight written in parts, records given in parts, a reply written while
 * decoding, an alert written inside the failing step; every flipped byte is noticed. */
extern const struct ms__layer toy_tls;

/* What http is to the pump: a head of up to 16 KiB that ends in an upgrade or in a question. */
extern const struct ms__layer toy_ask;

/* The client of ms__proxy: it says whose connection this is, and is done. */
extern const struct ms__layer toy_herald;

/* Options of all of them. */
struct toy_opts {
  uint64_t ping_msec; /* two: between pings; 0: none */
  unsigned pings;     /* two: after so many it is silent, so that a test can end */
  size_t head;        /* toy_ask: the client's head is so long */
  bool binary;        /* herald: version 2 */
  unsigned spoils[2]; /* lp: which frame of the client's and the server's is broken; 0: none */
  uint8_t key[MS_KEY_BYTES]; /* seal: what the client says its key is */
};

/* What toy_ask answers, as the peer reads them. */
#define TOY_ASK_YES "200 here it is\r\n\r\n"
#define TOY_ASK_NO  "404 no such thing\r\n\r\n"

/* Sixteen bytes that depend on all of `p` and on `salt`. */
void toy_tag(uint8_t tag[16], uint64_t salt, const uint8_t *p, size_t n);

#endif
