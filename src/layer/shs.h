/* What tests need of the shs layer beyond its vtable. */
#ifndef MS_LAYER_SHS_H
#define MS_LAYER_SHS_H

#include "layer/shs_box.h"

/* Between init and the first step: the ephemeral secret that vectors prescribe. */
void ms__shs_set_ephemeral(void *scratch, const uint8_t secret[32]);

/* After the handshake: the keys and nonces it came to. */
const struct ms__box_reader *ms__shs_reader(const void *state);
const struct ms__box_writer *ms__shs_writer(const void *state);

#endif
