/* TLS between OpenSSL and our edges: two of our sides and, between them, a script that says how the
 * wire is cut, what room there is, what is written, and where a stranger writes on the wire. What
 * arrives is always the beginning of what the other side wrote; without a stranger all of it, and
 * then the end. */
#include <string.h>

#include "certificate.h"
#include "fuzz.h"
#include "layer_driver.h"

enum { STEPS = 200, OUT_MAX = 70000, WRITTEN_MAX = 100000, ROUNDS = 20000 };

struct side {
  struct side *peer;
  uint64_t state[32];
  struct bytes in;                    /* on the wire to this side, not taken yet */
  size_t shown;                       /* of it, so much has arrived */
  bool up, over, ending, said, ended; /* said: our end is on the wire */
  size_t written, sent, got;          /* bytes; byte i is of value i % 251 */
};

static uint8_t pattern[WRITTEN_MAX];

static void fail(struct side *s) {
  char why[256] = "";
  ms__tls.explain(s->state, why, sizeof why);
  REQUIRE(*why);
  s->over = true;
}

/* One call of a slot, with `room` in the one direction or the other. */
static void step(struct side *s, size_t room) {
  static uint8_t out[OUT_MAX], up[65536];
  size_t taken;
  int r;
  struct ms__port p = {.wire_in = {s->shown ? s->in.p : NULL, s->shown},
                       .wire_out = {out, room + ms__tls.room_down},
                       .app_in = {up, room}};
  if (s->over) return;
  if (!s->up) {
    r = ms__tls.handshake(s->state, &p);
    if (r == MS__DONE) s->up = true;
  } else {
    r = ms__tls.decode(s->state, &p);
    if (r == MS__DONE) s->ended = s->over = true;
  }
  taken = s->shown - p.wire_in.n;
  if (taken) memmove(s->in.p, s->in.p + taken, s->in.n - taken);
  s->in.n -= taken;
  s->shown -= taken;
  bytes_add(&s->peer->in, out, room + ms__tls.room_down - p.wire_out.n);
  REQUIRE(s->got + (room - p.app_in.n) <= s->peer->sent);
  REQUIRE(memcmp(up, pattern + s->got, room - p.app_in.n) == 0);
  s->got += room - p.app_in.n;
  if (r < 0) fail(s);
}

/* Encodes what has been written, and then the end. */
static void put_out(struct side *s, size_t room) {
  static uint8_t out[OUT_MAX];
  struct ms__port p = {.app_out = {pattern + s->sent, s->written - s->sent},
                       .wire_out = {out, room + ms__tls.room_down}};
  int r = MS__IDLE;
  if (!s->up || (s->over && !s->ended)) return;
  if (p.app_out.n) r = ms__tls.encode(s->state, &p);
  s->sent = s->written - p.app_out.n;
  if (r >= 0 && s->ending && s->sent == s->written && p.wire_out.n >= ms__tls.room_down) {
    (void)ms__tls.end(s->state, &p, 0);
    s->ending = false;
    s->said = true;
  }
  bytes_add(&s->peer->in, out, room + ms__tls.room_down - p.wire_out.n);
  if (r < 0) fail(s);
}

static void begin(struct side *s, struct side *peer, bool server, SSL_CTX *context) {
  static SSL_CTX *contexts[2];
  static struct ms__tls_opts opts[2];
  struct ms__role role = {.server = server, .opts = &opts[server]};
  contexts[server] = context;
  opts[server] = (struct ms__tls_opts){(struct ssl_ctx_st *const *)&contexts[server],
                                       server ? NULL : "localhost"};
  memset(s, 0, sizeof *s);
  s->peer = peer;
  REQUIRE(ms__tls.state <= sizeof s->state && ms__tls.init(s->state, &role) == 0);
}

static void make_contexts(SSL_CTX *contexts[2][2]) {
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (uint8_t)(i % 251);
  for (size_t i = 0; i < 2; i++) {
    certificate_contexts(&contexts[i][0], &contexts[i][1]);
    if (i) REQUIRE(SSL_CTX_set_max_proto_version(contexts[i][1], TLS1_2_VERSION));
  }
}

/* One line of the script; true: a stranger had his hands on the wire. */
static bool play(struct side *s, struct input *in) {
  size_t n, room;
  const uint8_t *p;
  switch (input_byte(in) % 7) {
    case 0: /* some bytes arrive */
      s->shown += ms__min(input_short(in), s->in.n - s->shown);
      room = input_short(in);
      step(s, room);
      return false;
    case 1:
      put_out(s, input_short(in));
      return false;
    case 2:
      n = input_short(in);
      if (s->written + n <= WRITTEN_MAX && !s->ending && !s->said) s->written += n;
      return false;
    case 3:
      s->ending = !s->said;
      return false;
    case 4: /* a turned bit */
      n = input_short(in);
      if (n < s->in.n) s->in.p[n] ^= (uint8_t)(1 << input_byte(in) % 8);
      return true;
    case 5: /* bytes of a stranger's */
      p = input_bytes(in, input_byte(in), &n);
      bytes_add(&s->in, p, n);
      return true;
    default:
      s->shown = s->in.n;
      step(s, 65535 - ms__tls.room_down);
      return false;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static SSL_CTX *contexts[2][2];
  static struct side sides[2];
  struct input in = {data, size};
  size_t version = input_byte(&in) % 2;
  bool strange = false;
  if (!contexts[0][0]) make_contexts(contexts);
  for (size_t i = 0; i < 2; i++)
    begin(&sides[i], &sides[1 - i], i == 1, contexts[version][i]);
  for (int i = 0; in.n && i < STEPS; i++)
    strange |= play(&sides[input_byte(&in) % 2], &in);
  for (size_t i = 0; i < 2; i++)
    sides[i].ending = !sides[i].said;
  for (int i = 0; i < ROUNDS && !strange && !(sides[0].ended && sides[1].ended); i++) {
    sides[i % 2].shown = sides[i % 2].in.n;
    step(&sides[i % 2], 1 + (size_t)i);
    put_out(&sides[i % 2], (size_t)i);
  }
  for (size_t i = 0; i < 2; i++) {
    REQUIRE(strange || (sides[i].ended && sides[i].got == sides[1 - i].written));
    ms__tls.wipe(sides[i].state);
    bytes_free(&sides[i].in);
  }
  return 0;
}
