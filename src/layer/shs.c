/* shs: secret-handshake v1 and its box stream as a layer (docs/behaviours.md, section 6).
 *
 * The handshake lives in the scratch memory and is wiped with it; what stays is the two streams. A
 * failed check says nothing to the peer: it only ends. */
#include "layer/shs.h"

#include <sodium.h>

#include "base/identity.h"
#include "base/mem.h"
#include "layer/shs_steps.h"

/* What the next message is. */
enum step { HELLO, AUTH, ACCEPT };

struct handshake {
  struct ms__shs_steps steps;
  const struct ms__shs_opts *opts;
  enum step step;
};

struct state {
  bool server;
  struct ms__box_reader in;
  struct ms__box_writer out;
};

static int shs_init(void *st, const struct ms__role *role) {
  struct state *s = st;
  struct handshake *h = role->scratch;
  uint8_t ephemeral[32];
  s->server = role->server;
  h->opts = role->opts;
  randombytes_buf(ephemeral, sizeof ephemeral);
  ms__shs_begin(&h->steps, h->opts->network_key, ephemeral,
                role->server ? h->opts->identity->public_key : h->opts->server_key);
  ms__wipe(ephemeral, sizeof ephemeral);
  return 0;
}

void ms__shs_set_ephemeral(void *scratch, const uint8_t secret[32]) {
  struct handshake *h = scratch;
  struct ms__shs_steps old = h->steps;
  ms__shs_begin(&h->steps, old.network_key, secret, old.server);
  ms__wipe(&old, sizeof old);
}

const struct ms__box_reader *ms__shs_reader(const void *state) {
  return &((const struct state *)state)->in;
}

const struct ms__box_writer *ms__shs_writer(const void *state) {
  return &((const struct state *)state)->out;
}

static void write_hello(struct handshake *h, struct ms__port *p) {
  ms__shs_write_hello(&h->steps, p->wire_out.p);
  ms__fill(&p->wire_out, MS__SHS_HELLO);
}

/* The next message's bytes, or NULL while they are not all there. */
static const uint8_t *take(struct ms__port *p, size_t n) {
  const uint8_t *message = p->wire_in.p;
  if (p->wire_in.n < n) return NULL;
  ms__skip(&p->wire_in, n);
  return message;
}

static int finish(struct state *s, struct handshake *h) {
  ms__shs_finish(&h->steps, s->server, &s->in, &s->out);
  return MS__DONE;
}

static int client_step(struct state *s, struct handshake *h, struct ms__port *p) {
  const uint8_t *message;
  if (h->step == HELLO) {
    write_hello(h, p);
    h->step = AUTH;
  }
  if (h->step == AUTH) {
    if (!(message = take(p, MS__SHS_HELLO))) return MS__MORE;
    if (ms__shs_read_hello(&h->steps, message) < 0 ||
        ms__shs_write_auth(&h->steps, h->opts->identity, p->wire_out.p) < 0)
      return MS_ECRYPTO;
    ms__fill(&p->wire_out, MS__SHS_AUTH);
    h->step = ACCEPT;
  }
  p->proved = true;
  if (!(message = take(p, MS__SHS_ACCEPT))) return MS__MORE;
  if (ms__shs_read_accept(&h->steps, message) < 0) return MS_ECRYPTO;
  return finish(s, h);
}

static int server_step(struct handshake *h, struct ms__port *p) {
  const uint8_t *message;
  if (h->step == HELLO) {
    if (!(message = take(p, MS__SHS_HELLO))) return MS__MORE;
    if (ms__shs_read_hello(&h->steps, message) < 0) return MS_ECRYPTO;
    write_hello(h, p);
    h->step = AUTH;
  }
  if (!(message = take(p, MS__SHS_AUTH))) return MS__MORE;
  if (ms__shs_read_auth(&h->steps, h->opts->identity, message) < 0) return MS_ECRYPTO;
  p->question = (struct ms__question){MS__ASK_KEY, MS_KEY_BYTES, ms__shs_client(&h->steps)};
  return MS__ASK;
}

static int shs_handshake(void *st, struct ms__port *p) {
  struct state *s = st;
  return s->server ? server_step(p->scratch, p) : client_step(s, p->scratch, p);
}

static int shs_answer(void *st, struct ms__port *p, const struct ms__answer *a) {
  struct handshake *h = p->scratch;
  if (!a->yes) return MS_EREFUSED; /* without a word */
  ms__shs_write_accept(&h->steps, h->opts->identity, p->wire_out.p);
  ms__fill(&p->wire_out, MS__SHS_ACCEPT);
  return finish(st, h);
}

static int shs_decode(void *st, struct ms__port *p) {
  return ms__box_read(&((struct state *)st)->in, &p->wire_in, &p->app_in);
}

static int shs_encode(void *st, struct ms__port *p) {
  struct state *s = st;
  while (p->app_out.n) {
    if (p->wire_out.n <= MS__BOX_HEAD) return MS__FULL;
    ms__box_write(&s->out, &p->wire_out, &p->app_out);
  }
  return MS__IDLE;
}

static int shs_end(void *st, struct ms__port *p, int err) {
  if (!err) ms__box_goodbye(&((struct state *)st)->out, &p->wire_out);
  return MS__DONE;
}

const struct ms__layer ms__shs = {
    .name = "shs",
    .flags = MS__HAS_END | MS__SECRET,
    .state = sizeof(struct state),
    .scratch = sizeof(struct handshake),
    .need_in = MS__BOX_LONGEST,
    .room_up = MS__BOX_LONGEST,
    .room_down = MS__SHS_HELLO + MS__SHS_AUTH, /* a server may speak first: then both at once */
    .init = shs_init,
    .handshake = shs_handshake,
    .answer = shs_answer,
    .decode = shs_decode,
    .encode = shs_encode,
    .end = shs_end,
};
