/* Runs of equal bytes: a count of 1 to 255 and the byte. A count of 0 is the last block. */
#include "toys.h"

enum { HELD = 96, RUN_MAX = 255, FINAL = 0xfe, BROKEN = 0xee };

struct squash {
  uint8_t in_byte, in_left;
  uint8_t out_byte, out_run;
  uint8_t out_held[HELD]; /* tokens not put out yet */
  uint8_t out_from, out_to;
};

static int squash_decode(void *st, struct ms__port *p) {
  struct squash *s = st;
  for (;;) {
    while (s->in_left && p->app_in.n) {
      *p->app_in.p = s->in_byte;
      ms__fill(&p->app_in, 1);
      s->in_left--;
    }
    if (s->in_left) return MS__FULL;
    if (p->wire_in.n < 2) return p->wire_in.n ? MS__MORE : MS__IDLE;
    s->in_left = p->wire_in.p[0];
    s->in_byte = p->wire_in.p[1];
    ms__skip(&p->wire_in, 2);
    if (!s->in_left) return s->in_byte == FINAL ? MS__DONE : MS_EPROTO;
  }
}

static void hold_run(struct squash *s) {
  if (!s->out_run) return;
  s->out_held[s->out_to++] = s->out_run;
  s->out_held[s->out_to++] = s->out_byte;
  s->out_run = 0;
}

static int squash_encode(void *st, struct ms__port *p) {
  struct squash *s = st;
  for (;;) {
    struct ms__src held = {s->out_held + s->out_from, (size_t)(s->out_to - s->out_from)};
    s->out_from = (uint8_t)(s->out_from + ms__copy(&p->wire_out, &held, held.n));
    if (held.n) return MS__FULL;
    s->out_from = s->out_to = 0;
    if (!p->app_out.n) {
      if (!s->out_run) return MS__IDLE;
      hold_run(s);
    }
    while (p->app_out.n && s->out_to + 2 <= HELD) {
      if (s->out_run && (s->out_run == RUN_MAX || *p->app_out.p != s->out_byte)) {
        hold_run(s);
        continue;
      }
      s->out_byte = *p->app_out.p;
      s->out_run++;
      ms__skip(&p->app_out, 1);
    }
  }
}

static int squash_end(void *st, struct ms__port *p, int err) {
  (void)st;
  p->wire_out.p[0] = 0;
  p->wire_out.p[1] = err ? BROKEN : FINAL;
  ms__fill(&p->wire_out, 2);
  return MS__DONE;
}

const struct ms__layer toy_squash = {
    .name = "squash",
    .flags = MS__HAS_END,
    .state = sizeof(struct squash),
    .need_in = 2,
    .room_up = 1,
    .room_down = 2,
    .decode = squash_decode,
    .encode = squash_encode,
    .end = squash_end,
};
