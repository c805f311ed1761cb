/* The box stream of secret-handshake: packets of at most 4,096 bytes, each under its own nonces
 * (docs/behaviours.md, section 6, "Box stream"). One struct a direction. Like the deployed readers,
 * ours takes whatever a header can say: an empty packet, and bodies of up to 65,535 bytes. */
#ifndef MS_LAYER_SHS_BOX_H
#define MS_LAYER_SHS_BOX_H

#include "layer/layer.h"

enum {
  MS__BOX_KEY = 32,
  MS__BOX_NONCE = 24,
  MS__BOX_TAG = 16,
  MS__BOX_HEAD = 34,      /* tag, then the sealed header: length and the body's tag */
  MS__BOX_BODY = 4096,    /* the longest body that is written */
  MS__BOX_LONGEST = 65535 /* and read */
};

/* Writing: the next packet's nonce. */
struct ms__box_writer {
  uint8_t key[MS__BOX_KEY], nonce[MS__BOX_NONCE];
};

/* Reading: the next box's nonce; between a header and its body, what the header said. */
struct ms__box_reader {
  uint8_t key[MS__BOX_KEY], nonce[MS__BOX_NONCE];
  uint8_t tag[MS__BOX_TAG];
  uint16_t length; /* of that body */
  bool body;       /* a body comes next */
};

/* Seals up to 4,096 bytes of `in` as one packet. Both are advanced. `in` is not empty, and `out`
 * has room for a header and one byte at least. */
void ms__box_write(struct ms__box_writer *w, struct ms__dst *out, struct ms__src *in);

/* The goodbye: MS__BOX_HEAD bytes, for which `out` has room. */
void ms__box_goodbye(struct ms__box_writer *w, struct ms__dst *out);

/* Opens packets while there is input and room. IDLE between two packets, MORE inside one, FULL when
 * a whole packet has no room, DONE at the goodbye; MS_ECRYPTO. */
int ms__box_read(struct ms__box_reader *r, struct ms__src *in, struct ms__dst *out);

#endif
