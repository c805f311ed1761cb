#include "toys.h"

enum { HEAD = 3, TAG = 16, BODY_MAX = 16384, FRAME = HEAD + TAG };
enum { HELLO = 200, FLIGHT = 3000, FINISHED = 40, TICKET = 60, UPDATE_EVERY = 5 };
enum type { ALERT = 21, HANDSHAKE = 22, DATA = 23, UPDATE = 24, UPDATED = 25 };
enum alert { CLOSE_NOTIFY, BAD_RECORD };

struct tls {
  bool server;
  uint8_t step;
  uint16_t flight; /* bytes still to say, or to hear, of the server's flight */
  uint64_t in_count, out_count;
  size_t in_given; /* bytes of the front record that have been passed up; the record stays below */
  bool in_checked;
  bool out_alert, out_ticket, out_updated;
  unsigned out_records;
};

static int tls_init(void *st, const struct ms__role *role) {
  struct tls *s = st;
  s->server = role->server;
  s->flight = FLIGHT;
  return 0;
}

static void put_record(struct tls *s, struct ms__port *p, enum type type, const uint8_t *body,
                       uint8_t filler, size_t n) {
  uint8_t *start = p->wire_out.p;
  start[0] = (uint8_t)type;
  ms__fill(&p->wire_out, 1);
  ms__put_be16(&p->wire_out, (uint16_t)n);
  if (body)
    memcpy(p->wire_out.p, body, n);
  else
    memset(p->wire_out.p, filler, n);
  toy_tag(p->wire_out.p + n, s->out_count++ * 2 + s->server, start, HEAD + n);
  ms__fill(&p->wire_out, n + TAG);
}

/* The whole record in front: its body's length, or what to return without one. */
static int front_record(struct tls *s, const struct ms__src *in, size_t *n) {
  if (in->n < HEAD) return in->n ? MS__MORE : MS__IDLE;
  *n = (size_t)in->p[1] << 8 | in->p[2];
  if (*n > BODY_MAX) return MS_EPROTO;
  if (in->n < *n + FRAME) return MS__MORE;
  if (!s->in_checked) {
    uint8_t tag[TAG];
    toy_tag(tag, s->in_count * 2 + !s->server, in->p, HEAD + *n);
    if (memcmp(tag, in->p + HEAD + *n, TAG) != 0) return MS_ECRYPTO;
    s->in_checked = true;
  }
  return MS__DONE;
}

static void drop_record(struct tls *s, struct ms__src *in, size_t n) {
  ms__skip(in, n + FRAME);
  s->in_count++;
  s->in_given = 0;
  s->in_checked = false;
}

/* Its own errors are told to the peer inside the failing step, if there is room; else by `end`. */
static int fail(struct tls *s, struct ms__port *p, int code) {
  if (p->wire_out.n < FRAME + 1)
    s->out_alert = true;
  else
    put_record(s, p, ALERT, NULL, BAD_RECORD, 1);
  return code;
}

static int hear(struct tls *s, struct ms__port *p, size_t *n) {
  int r = front_record(s, &p->wire_in, n);
  if (r == MS__DONE && p->wire_in.p[0] != HANDSHAKE) r = MS_EPROTO;
  if (r < 0) return fail(s, p, r);
  return r == MS__IDLE ? MS__MORE : r;
}

static int tls_server(struct tls *s, struct ms__port *p) {
  size_t n;
  int r;
  if (s->step == 0) {
    if ((r = hear(s, p, &n)) != MS__DONE) return r;
    drop_record(s, &p->wire_in, n);
    s->step = 1;
  }
  while (s->flight) {
    if (p->wire_out.n <= FRAME) return MS__FULL;
    n = ms__min(s->flight, p->wire_out.n - FRAME);
    put_record(s, p, HANDSHAKE, NULL, 'f', n);
    s->flight = (uint16_t)(s->flight - n);
  }
  if ((r = hear(s, p, &n)) != MS__DONE) return r;
  drop_record(s, &p->wire_in, n);
  s->out_ticket = true;
  return MS__DONE;
}

static int tls_client(struct tls *s, struct ms__port *p) {
  size_t n;
  int r;
  if (s->step == 0) {
    put_record(s, p, HANDSHAKE, NULL, 'c', HELLO);
    s->step = 1;
  }
  while (s->flight) {
    if ((r = hear(s, p, &n)) != MS__DONE) return r;
    if (n > s->flight) return fail(s, p, MS_EPROTO);
    drop_record(s, &p->wire_in, n);
    s->flight = (uint16_t)(s->flight - n);
  }
  if (p->wire_out.n < FINISHED + FRAME) return MS__FULL;
  put_record(s, p, HANDSHAKE, NULL, 'd', FINISHED);
  return MS__DONE;
}

static int tls_handshake(void *st, struct ms__port *p) {
  struct tls *s = st;
  return s->server ? tls_server(s, p) : tls_client(s, p);
}

static int tls_decode(void *st, struct ms__port *p) {
  struct tls *s = st;
  int owes = 0;
  for (;;) {
    size_t n;
    int r = front_record(s, &p->wire_in, &n);
    if (r < 0) return fail(s, p, r);
    if (r != MS__DONE) return r | owes;
    if (p->wire_in.p[0] < ALERT || p->wire_in.p[0] > UPDATED) return fail(s, p, MS_EPROTO);
    switch ((enum type)p->wire_in.p[0]) {
      case DATA: {
        struct ms__src body = {p->wire_in.p + HEAD + s->in_given, n - s->in_given};
        if (n == 0) return fail(s, p, MS_EPROTO);
        s->in_given += ms__copy(&p->app_in, &body, body.n);
        if (body.n) return MS__FULL | owes;
        break;
      }
      case HANDSHAKE: /* a ticket */
      case UPDATED:
        break;
      case UPDATE:
        if (p->wire_out.n >= FRAME + 1) {
          put_record(s, p, UPDATED, NULL, 'u', 1);
        } else {
          s->out_updated = true;
          owes = MS__WANT_ENCODE;
        }
        break;
      case ALERT:
        if (n != 1) return fail(s, p, MS_EPROTO);
        r = p->wire_in.p[HEAD] == CLOSE_NOTIFY ? MS__DONE : MS_EPROTO;
        drop_record(s, &p->wire_in, n);
        return r;
    }
    drop_record(s, &p->wire_in, n);
  }
}

static int tls_encode(void *st, struct ms__port *p) {
  struct tls *s = st;
  if (s->out_ticket) {
    if (p->wire_out.n < TICKET + FRAME) return MS__FULL;
    put_record(s, p, HANDSHAKE, NULL, 't', TICKET);
    s->out_ticket = false;
  }
  if (s->out_updated) {
    if (p->wire_out.n < FRAME + 1) return MS__FULL;
    put_record(s, p, UPDATED, NULL, 'u', 1);
    s->out_updated = false;
  }
  while (p->app_out.n) {
    size_t k;
    if (p->wire_out.n <= 2 * FRAME + 1) return MS__FULL;
    if (++s->out_records % UPDATE_EVERY == 0) put_record(s, p, UPDATE, NULL, 'u', 1);
    k = ms__min3(p->app_out.n, p->wire_out.n - FRAME, BODY_MAX);
    put_record(s, p, DATA, p->app_out.p, 0, k);
    ms__skip(&p->app_out, k);
  }
  return MS__IDLE;
}

static int tls_end(void *st, struct ms__port *p, int err) {
  struct tls *s = st;
  if (!err)
    put_record(s, p, ALERT, NULL, CLOSE_NOTIFY, 1);
  else if (s->out_alert)
    put_record(s, p, ALERT, NULL, BAD_RECORD, 1);
  s->out_alert = false;
  return MS__DONE;
}

const struct ms__layer toy_tls = {
    .name = "tls",
    .flags = MS__REPLIES | MS__HAS_END,
    .state = sizeof(struct tls),
    .need_in = BODY_MAX + FRAME,
    .room_up = 1,
    .room_down = HELLO + FRAME,
    .init = tls_init,
    .handshake = tls_handshake,
    .decode = tls_decode,
    .encode = tls_encode,
    .end = tls_end,
};
