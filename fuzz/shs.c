#include "shs.h"

#include <string.h>

#include "layer/shs.h"
#include "layer/shs_steps.h"
#include "packets.h"

enum { TURNS = 8 };

/* Both sides' keys. In the mode of an honest peer they are the same for all inputs. */
struct world {
  uint8_t network_key[32], seed[32], ephemeral[32], server_key[32];
  struct ms_identity identity;
  struct ms__shs_opts opts;
};

static void begin(struct world *w, bool server, struct driver *d) {
  ms__identity_derive(&w->identity, w->seed);
  w->opts = (struct ms__shs_opts){w->network_key, &w->identity, server ? NULL : w->server_key};
  driver_begin(d, &ms__shs, server, &w->opts);
  ms__shs_set_ephemeral(d->scratch, w->ephemeral);
}

/* One step, and the answer to what it asks. True: there is more to do with what is there. Nothing
 * may be given before the handshake is over. */
static bool step(struct driver *d, bool yes, bool *ended) {
  size_t before = d->in.n;
  bool was_up = d->up;
  if (driver_step(d, d->in.n + 1) == MS__ASK) (void)driver_answer(d, yes);
  REQUIRE(was_up || d->app_in.n == 0);
  *ended = was_up && d->result == MS__DONE;
  if (d->result < 0 || *ended) return false;
  return d->result == MS__FULL || (d->in.n && (d->in.n < before || d->up != was_up));
}

/* Feeds bytes in pieces until they are at their end, or the stream is. */
static void feed(struct driver *d, const uint8_t *p, size_t n, size_t chunk, bool yes) {
  bool ended = false;
  if (chunk < n / 256) chunk = n / 256; /* or long inputs take their square */
  while (n && d->result >= 0 && !ended) {
    size_t k = n < chunk ? n : chunk;
    bytes_add(&d->in, p, k);
    p += k;
    n -= k;
    while (step(d, yes, &ended)) {
    }
  }
}

static void raw(bool server, struct input *in, size_t chunk, bool yes) {
  struct world w;
  struct driver d;
  input_fill(in, w.network_key, sizeof w.network_key);
  input_fill(in, w.seed, sizeof w.seed);
  input_fill(in, w.ephemeral, sizeof w.ephemeral);
  input_fill(in, w.server_key, sizeof w.server_key);
  begin(&w, server, &d);
  if (!server) (void)driver_step(&d, 1);
  feed(&d, in->p, in->n, chunk, yes);
  driver_end(&d);
}

/* Turns bytes of a message as the input says; true when it is another one now. */
static bool turn(struct input *in, uint8_t *message, size_t n) {
  uint8_t before[MS__SHS_AUTH];
  memcpy(before, message, n);
  for (unsigned i = input_byte(in) % TURNS; i > 0; i--) {
    size_t at = input_byte(in) % n;
    message[at] ^= input_byte(in);
  }
  return memcmp(before, message, n) != 0;
}

static void honest(bool server, struct input *in, size_t chunk, bool yes) {
  struct world w = {.network_key = {1}, .seed = {2}, .ephemeral = {3}};
  const uint8_t peer_seed[32] = {4}, peer_ephemeral[32] = {5};
  struct ms_identity peer;
  struct ms__shs_steps steps;
  struct driver d;
  uint8_t hello[MS__SHS_HELLO], proof[MS__SHS_AUTH];
  size_t n = server ? MS__SHS_AUTH : MS__SHS_ACCEPT, said;
  bool turned;
  struct bytes stream = {0}, expected = {0};
  struct ms__box_reader reader = {0};
  struct ms__box_writer writer;
  bool spoiled = false, goodbye = false;
  ms__identity_derive(&peer, peer_seed);
  memcpy(w.server_key, peer.public_key, sizeof w.server_key);
  begin(&w, server, &d);
  ms__shs_begin(&steps, w.network_key, peer_ephemeral,
                server ? w.identity.public_key : peer.public_key);
  ms__shs_write_hello(&steps, hello);
  turned = turn(in, hello, sizeof hello);
  if (!server) (void)driver_step(&d, 1); /* it speaks first */
  said = d.wire_out.n;
  feed(&d, hello, sizeof hello, chunk, yes);
  if (turned) { /* it has failed, and without a word */
    REQUIRE(d.result < 0 && d.wire_out.n == said);
    goto out;
  }
  REQUIRE(ms__shs_read_hello(&steps, d.wire_out.p) == 0);
  if (server) {
    REQUIRE(ms__shs_write_auth(&steps, &peer, proof) == 0);
  } else {
    REQUIRE(ms__shs_read_auth(&steps, &peer, d.wire_out.p + MS__SHS_HELLO) == 0);
    ms__shs_write_accept(&steps, &peer, proof);
  }
  turned = turn(in, proof, n);
  said = d.wire_out.n;
  feed(&d, proof, n, chunk, yes);
  REQUIRE((d.result < 0) == (turned || (server && !yes)));
  REQUIRE(d.up ? d.result >= 0 : d.wire_out.n == said);
  if (!d.up) goto out;
  ms__shs_finish(&steps, !server, &reader, &writer);
  packets_add(in, &writer, &stream, &expected, &spoiled, &goodbye);
  d.result = 0;
  feed(&d, stream.p, stream.n, chunk, yes);
  REQUIRE(d.app_in.n >= expected.n);
  REQUIRE(!expected.n || memcmp(d.app_in.p, expected.p, expected.n) == 0);
  if (!spoiled && stream.n) REQUIRE(d.result == (goodbye ? MS__DONE : MS__IDLE));
out:
  bytes_free(&stream);
  bytes_free(&expected);
  driver_end(&d);
}

int fuzz_shs(bool server, const uint8_t *data, size_t size) {
  struct input in = {data, size};
  uint8_t mode = input_byte(&in);
  size_t chunk = 1 + (size_t)input_byte(&in) * 4;
  if (mode & 1)
    honest(server, &in, chunk, !(mode & 2));
  else
    raw(server, &in, chunk, !(mode & 2));
  return 0;
}
