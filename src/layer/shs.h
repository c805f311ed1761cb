/* What tests need of the shs layer beyond its vtable. */
#ifndef MS_LAYER_SHS_H
#define MS_LAYER_SHS_H

#include "layer/layer.h"

/* Between init and the first step: the ephemeral secret that vectors prescribe. */
void ms__shs_set_ephemeral(void *scratch, const uint8_t secret[32]);

#endif
