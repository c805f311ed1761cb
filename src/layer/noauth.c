/* noauth: nothing is proved and nothing is encrypted. For stacks that cannot leave the machine.
 *
 * This is also the template for a new layer. A layer is one constant: a name, what the pump has to
 * know of its needs, and the slots it has something to do in. noauth leaves nearly all of them out:
 *
 *   flags       SETUP: it takes itself out when its handshake is over, so it needs no decode and no
 *               encode, and costs nothing per byte. NO_BYTES: it never reads or writes one, so that
 *               the layer below may count itself the topmost.
 *   state       0: it remembers nothing. A layer that does declares a struct, puts its size here,
 *               and gets it zeroed as `st`. Fields of the reading direction begin with in_, those
 *               of the writing direction with out_; a slot touches its own direction only.
 *   need_in,    0: it waits for no bytes and insists on no room. A layer with frames says here how
 *   room_up,    long a piece of input it may have to see at once, how much room one decode may
 *   room_down   insist on above, and one handshake step, encode or end below.
 *   init        would check its options (role->opts) and draw its random numbers.
 *   handshake   would look at p->wire_in, take exactly its own bytes with ms__skip, write to
 *               p->wire_out with ms__fill, and answer MORE to be called again when more has come.
 *   answer      would go on after an ASK: only a layer that authenticates needs it.
 *   decode,     would turn bytes into bytes, whole frames at a time; see shs.c for both.
 *   encode
 *   end         would write an end that the peer can tell from a cut wire. Without one the end of
 *               the transport has to do.
 *   tick, wipe  are for layers with timers, and for those whose state points to other memory.
 *
 * To add a layer: copy this file, list it in layer.h and in the table of endpoint/table.c, give its
 * section a line in addr/section.c, and put it into the stack's test matrix. */
#include "layer/layer.h"

static int noauth_handshake(void *st, struct ms__port *p) {
  (void)st;
  (void)p;
  return MS__UNLINK;
}

const struct ms__layer ms__noauth = {
    .name = "noauth",
    .flags = MS__SETUP | MS__NO_BYTES,
    .handshake = noauth_handshake,
};
