#include "toys.h"

struct lp {
  unsigned out_spoils;
  uint16_t in_left;
};

static int lp_init(void *st, const struct ms__role *role) {
  const struct toy_opts *opts = role->opts;
  ((struct lp *)st)->out_spoils = opts->spoils[role->server];
  return 0;
}

static int lp_decode(void *st, struct ms__port *p) {
  struct lp *s = st;
  for (;;) {
    if (s->in_left == 0) {
      if (p->wire_in.n < 2) return p->wire_in.n ? MS__MORE : MS__IDLE;
      s->in_left = ms__take_be16(&p->wire_in);
      if (s->in_left == 0) return MS_EPROTO;
    }
    if (p->wire_in.n == 0) return MS__MORE;
    if (p->app_in.n == 0) return MS__FULL;
    s->in_left = (uint16_t)(s->in_left - ms__copy(&p->app_in, &p->wire_in, s->in_left));
  }
}

static int lp_encode(void *st, struct ms__port *p) {
  struct lp *s = st;
  while (p->app_out.n) {
    size_t k;
    if (p->wire_out.n < 3) return MS__FULL;
    if (s->out_spoils && --s->out_spoils == 0) {
      ms__put_be16(&p->wire_out, 0);
      continue;
    }
    k = ms__min3(p->app_out.n, p->wire_out.n - 2, 65535);
    ms__put_be16(&p->wire_out, (uint16_t)k);
    ms__copy(&p->wire_out, &p->app_out, k);
  }
  return MS__IDLE;
}

const struct ms__layer toy_lp = {
    .name = "lp",
    .state = sizeof(struct lp),
    .need_in = 2,
    .room_up = 1,
    .room_down = 3,
    .init = lp_init,
    .decode = lp_decode,
    .encode = lp_encode,
};
