/* A peer that knows the keys of its box stream and abuses them: packets as an input says, each
 * sealed as it should be, so that what stands behind the tags is reached. */
#ifndef FUZZ_PACKETS_H
#define FUZZ_PACKETS_H

#include "fuzz.h"
#include "layer/shs_box.h"
#include "layer_driver.h"

/* Adds packets to *out until the input is at its end. `plain` gets what a reader must give for them
 * until *spoiled is set; `goodbye` is set where a goodbye comes before anything wrong. */
void packets_add(struct input *in, struct ms__box_writer *w, struct bytes *out, struct bytes *plain,
                 bool *spoiled, bool *goodbye);

#endif
