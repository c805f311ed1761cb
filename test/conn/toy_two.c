#include "toys.h"

enum { HELLO = 8, HEAD = 4, DATA_MAX = 65535 };
enum type { TEXT = 1, BINARY, PING, PONG, END, ALERT };

struct two {
  bool server, messages, hello_sent;
  const struct toy_opts *opts;
  bool in_frame, in_last;
  uint8_t in_type;
  uint16_t in_left;
  bool out_ping, out_pong, out_record, out_last;
  uint8_t out_type;
  uint32_t out_left;
  unsigned out_pings;
};

static int two_init(void *st, const struct ms__role *role) {
  struct two *s = st;
  s->server = role->server;
  s->messages = role->top;
  s->opts = role->opts;
  s->out_pings = s->opts->pings;
  return 0;
}

static void put(struct ms__port *p, const void *from, size_t n) {
  struct ms__src s = {from, n};
  ms__copy(&p->wire_out, &s, n);
}

static int two_handshake(void *st, struct ms__port *p) {
  struct two *s = st;
  const char *mine = s->server ? "two+yes!" : "two+try?",
             *theirs = s->server ? "two+try?" : "two+yes!";
  if (!s->server && !s->hello_sent) {
    put(p, mine, HELLO);
    s->hello_sent = true;
  }
  if (p->wire_in.n < HELLO) return MS__MORE;
  if (memcmp(p->wire_in.p, theirs, HELLO) != 0) return MS_EPROTO;
  ms__skip(&p->wire_in, HELLO);
  if (s->server) put(p, mine, HELLO);
  if (s->opts->ping_msec) p->wake = p->now + s->opts->ping_msec;
  return MS__DONE;
}

/* The frame's bytes, or as many as there are and room for. */
static int take_data(struct two *s, struct ms__port *p) {
  size_t k = ms__min(s->in_left, p->wire_in.n);
  if (s->in_left && !k) return MS__MORE;
  if (s->messages) {
    struct ms__record r = {0};
    if (p->app_in.n < MS__RECORD_BYTES + (s->in_left > 0)) return MS__FULL;
    k = ms__min(k, p->app_in.n - MS__RECORD_BYTES);
    r.length = (uint32_t)k;
    r.last = s->in_last && k == s->in_left;
    memcpy(p->app_in.p, &r.length, sizeof r.length);
    p->app_in.p[4] = s->in_type;
    p->app_in.p[5] = r.last;
    ms__fill(&p->app_in, MS__RECORD_BYTES);
  } else if (p->app_in.n == 0) {
    return MS__FULL;
  }
  s->in_left = (uint16_t)(s->in_left - ms__copy(&p->app_in, &p->wire_in, k));
  s->in_frame = s->in_left > 0;
  return MS__IDLE;
}

static int two_decode(void *st, struct ms__port *p) {
  struct two *s = st;
  int owes = 0;
  for (;;) {
    if (s->in_frame) {
      int r = take_data(s, p);
      if (r != MS__IDLE) return r | owes;
      continue;
    }
    if (p->wire_in.n < HEAD) return (p->wire_in.n ? MS__MORE : MS__IDLE) | owes;
    s->in_type = p->wire_in.p[0];
    s->in_last = p->wire_in.p[1] != 0;
    ms__skip(&p->wire_in, 2);
    s->in_left = ms__take_be16(&p->wire_in);
    if (s->in_type < TEXT || s->in_type > ALERT) return MS_EPROTO;
    switch ((enum type)s->in_type) {
      case TEXT:
      case BINARY:
        if (!s->in_left && !s->messages) return MS_EPROTO;
        s->in_frame = true;
        break;
      case PING:
        s->out_pong = true;
        owes = MS__WANT_ENCODE;
        break;
      case PONG:
        break;
      case END:
        return s->in_left ? MS_EPROTO : MS__DONE;
      case ALERT:
        return MS_EPROTO;
    }
  }
}

static void put_head(struct ms__port *p, enum type type, bool last, size_t n) {
  const uint8_t head[2] = {(uint8_t)type, last};
  put(p, head, 2);
  ms__put_be16(&p->wire_out, (uint16_t)n);
}

static bool put_owed(struct ms__port *p, bool *owed, enum type type) {
  if (!*owed) return true;
  if (p->wire_out.n < HEAD) return false;
  put_head(p, type, true, 0);
  *owed = false;
  return true;
}

/* The next frame's type and length: from the record in hand, or of bytes. */
static void next_frame(struct two *s, struct ms__port *p) {
  if (!s->messages) {
    s->out_type = BINARY;
    s->out_last = true;
    s->out_left = (uint32_t)p->app_out.n;
  } else if (!s->out_record) {
    memcpy(&s->out_left, p->app_out.p, sizeof s->out_left);
    s->out_type = p->app_out.p[4];
    s->out_last = p->app_out.p[5] != 0;
    ms__skip(&p->app_out, MS__RECORD_BYTES);
    s->out_record = true;
  }
}

static int two_encode(void *st, struct ms__port *p) {
  struct two *s = st;
  if (!put_owed(p, &s->out_pong, PONG) || !put_owed(p, &s->out_ping, PING)) return MS__FULL;
  while (p->app_out.n || s->out_record) {
    size_t k;
    if (p->wire_out.n <= HEAD) return MS__FULL;
    next_frame(s, p);
    k = ms__min3(s->out_left, p->wire_out.n - HEAD, DATA_MAX);
    put_head(p, (enum type)s->out_type, s->out_last && k == s->out_left, k);
    ms__copy(&p->wire_out, &p->app_out, k);
    s->out_left -= (uint32_t)k;
    if (!s->out_left) s->out_record = false;
  }
  return MS__IDLE;
}

static int two_tick(void *st, struct ms__port *p) {
  struct two *s = st;
  if (s->out_pings == 0) return MS__IDLE;
  s->out_pings--;
  s->out_ping = true;
  p->wake = p->now + s->opts->ping_msec;
  return MS__WANT_ENCODE;
}

static int two_end(void *st, struct ms__port *p, int err) {
  (void)st;
  put_head(p, err ? ALERT : END, true, 0);
  return MS__DONE;
}

const struct ms__layer toy_two = {
    .name = "two",
    .flags = MS__HAS_END | MS__NO_HALF | MS__MESSAGES,
    .state = sizeof(struct two),
    .need_in = HELLO,
    .room_up = MS__RECORD_BYTES + 1,
    .room_down = HELLO,
    .init = two_init,
    .handshake = two_handshake,
    .decode = two_decode,
    .encode = two_encode,
    .tick = two_tick,
    .end = two_end,
};
