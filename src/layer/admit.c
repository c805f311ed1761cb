/* admit: asks the application whether a peer may enter of whom nothing is proved. A server's layer,
 * on top of a stack whose other layers do not ask. It never reads or writes a byte. */
#include "layer/layer.h"

static int admit_handshake(void *st, struct ms__port *p) {
  (void)st;
  p->question = (struct ms__question){.kind = MS__ASK_KEY};
  return MS__ASK;
}

static int admit_answer(void *st, struct ms__port *p, const struct ms__answer *a) {
  (void)st;
  (void)p;
  return a->yes ? MS__UNLINK : MS_EREFUSED;
}

const struct ms__layer ms__admit = {
    .name = "admit",
    .flags = MS__SETUP | MS__NO_BYTES,
    .handshake = admit_handshake,
    .answer = admit_answer,
};
