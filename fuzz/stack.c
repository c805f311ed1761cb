/* A connection, from the wire to the application, played by a script: which layers, what the peer
 * sends and in which pieces, what the application does and when, how the clock goes. It must come
 * to its end, tell it once, and leave nothing. */
#include <string.h>

#include "base/identity.h"
#include "conn/lone.h"
#include "fuzz.h"

enum { STEPS = 400, QUEUED = 200000, FOREVER_MSEC = 600000 };

static const struct ms__layer *const stacks[][5] = {
    {NULL},
    {&toy_lp},
    {&toy_two},
    {&toy_tls},
    {&toy_squash},
    {&toy_seal},
    {&ms__shs},
    {&ms__noauth, NULL},
    {&toy_lp, &toy_two},
    {&toy_lp, &toy_lp, &toy_lp},
    {&toy_ask, &toy_two},
    {&toy_ask, &toy_lp},
    {&toy_two, &toy_lp},
    {&toy_two, &toy_squash},
    {&toy_lp, &toy_squash, &toy_two},
    {&toy_lp, &toy_ask, &toy_two, &ms__noauth},
    {&ms__ws},
    {&ms__ws, &toy_lp},
    {&ms__http, &ms__ws},
    {&ms__http, &ms__ws, &toy_squash},
};
static const uint8_t zeros[65536];
static const uint32_t blocks[] = {4400, 8300, 20000, 69632};

/* ---- What a step of the script may be ---- */

static void put(struct lone *l, struct input *in, bool frame) {
  size_t n;
  const uint8_t *p = input_bytes(in, input_byte(in), &n);
  if (l->to_us.length + n + 2 > QUEUED || l->to_us.fin || l->to_us.rst) return;
  if (frame)
    lone_put_frame(l, p, n);
  else
    lone_put(l, p, n);
}

static void peer_bytes(struct lone *l, struct input *in) {
  put(l, in, false);
}

static void peer_frame(struct lone *l, struct input *in) {
  put(l, in, true);
}

static void peer_fin(struct lone *l, struct input *in) {
  (void)in;
  l->to_us.fin = true;
}

static void peer_rst(struct lone *l, struct input *in) {
  (void)in;
  l->to_us.rst = true;
}

static void run(struct lone *l, struct input *in) {
  (void)in;
  lone_run(l);
}

static void stuck(struct lone *l, struct input *in) {
  (void)in;
  l->wire.stuck = !l->wire.stuck;
}

static void wait_some(struct lone *l, struct input *in) {
  lone_wait(l, (uint64_t)input_byte(in) * 100);
}

static void reading(struct lone *l, struct input *in) {
  (void)in;
  l->paused = !l->paused;
}

static void deliver(struct lone *l, struct input *in) {
  size_t n = 1 + (size_t)input_byte(in);
  if (fake_wire_can_deliver(&l->wire)) fake_wire_deliver(&l->wire, l->now, n);
}

static void finish(struct lone *l, struct input *in) {
  size_t n = 1 + (size_t)input_byte(in);
  if (fake_wire_can_finish(&l->wire)) fake_wire_finish(&l->wire, l->now, n);
}

static void answer(struct lone *l, struct input *in) {
  struct ms__answer a = {.yes = input_byte(in) & 1, .status = 404, .head = "X: y\r\n"};
  (void)ms__conn_answer(l->conn, &a);
}

static void need(struct lone *l, struct input *in) {
  ms_conn_need(l->conn, input_short(in));
}

static void consume(struct lone *l, struct input *in) {
  const uint8_t *p;
  size_t n = ms_conn_peek(l->conn, &p);
  ms_message m;
  if (ms_conn_message(l->conn, &m) == 1)
    ms_conn_consume_message(l->conn, SIZE_MAX);
  else if (!ms_conn_messages(l->conn))
    ms_conn_consume(l->conn, n ? input_short(in) % (n + 1) : 0);
}

static void write_bytes(struct lone *l, struct input *in) {
  size_t n = input_short(in);
  REQUIRE(ms_conn_write(l->conn, zeros, n) <= (ptrdiff_t)n);
}

static void write_message(struct lone *l, struct input *in) {
  uint8_t type = input_byte(in);
  ms_message m = {zeros, input_short(in), type & 3, (type & 4) != 0};
  REQUIRE(ms_conn_write_message(l->conn, &m) <= (ptrdiff_t)m.length);
}

static void reserve(struct lone *l, struct input *in) {
  uint8_t *room;
  size_t n = input_short(in), k = ms_conn_reserve(l->conn, &room, n);
  if (k == 0) return;
  REQUIRE(k >= n);
  memset(room, 1, k);
  ms_conn_commit(l->conn, n);
}

static void end(struct lone *l, struct input *in) {
  (void)in;
  ms_conn_end(l->conn);
}

static void close_it(struct lone *l, struct input *in) {
  (void)in;
  ms_conn_close(l->conn);
}

static void abort_it(struct lone *l, struct input *in) {
  (void)in;
  ms_conn_abort(l->conn);
}

/* The order is that of the seeds (seeds.js). */
static const struct {
  void (*run)(struct lone *l, struct input *in);
  bool inside; /* is of the connection, while there is one */
} ops[] = {
    {peer_bytes, false}, {peer_frame, false}, {peer_fin, false}, {peer_rst, false},
    {run, false},        {deliver, true},     {finish, true},    {stuck, false},
    {wait_some, false},  {answer, true},      {reading, false},  {need, true},
    {consume, true},     {write_bytes, true}, {reserve, true},   {write_message, true},
    {end, true},         {close_it, true},    {abort_it, true},
};

/* ---- The play ---- */

static void drain(struct lone *l) {
  uint8_t text[4096];
  while (lone_take(l, text, sizeof text)) {
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct lone l;
  struct input in = {data, size};
  const struct ms__layer *const *layers =
      stacks[input_byte(&in) % (sizeof stacks / sizeof *stacks)];
  uint8_t flags = input_byte(&in);
  const uint8_t seed[32] = {1};
  struct ms_identity me;
  const struct ms__shs_opts opts = {ms_scuttlebutt_network_key, &me, me.public_key};
  size_t n = 0;
  ms__identity_derive(&me, seed);
  while (n < 5 && layers[n])
    n++;
  lone_begin(&l, flags & 1, layers, n, &opts, blocks[flags >> 1 & 3]);
  l.toys.ping_msec = flags & 8 ? 1000 : 0;
  l.toys.pings = 3;
  l.toys.head = 40;
  l.wire.has_rst = (flags & 16) != 0;
  l.paused = true;
  for (int i = 0; i < STEPS && in.n; i++) {
    size_t op = input_byte(&in) % (sizeof ops / sizeof *ops);
    if (l.conn || !ops[op].inside) ops[op].run(&l, &in);
    drain(&l);
  }
  l.wire.stuck = false;
  if (l.conn) ms_conn_abort(l.conn);
  lone_wait(&l, FOREVER_MSEC);
  lone_end(&l);
  return 0;
}
