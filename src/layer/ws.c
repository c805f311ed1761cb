/* ws: WebSocket's framing (RFC 6455, sections 5 to 7) as a layer. The opening handshake is the http
 * layer's, below.
 *
 * Topmost it has messages: the application exchanges records with it, a frame becomes one or more.
 * Under another layer it is a stream: binary frames whose borders mean nothing. Nothing of a frame
 * is kept: its payload goes on as it comes. */
#include <sodium.h>
#include <stdio.h>

#include "base/utf8.h"
#include "layer/layer.h"
#include "layer/ws_frame.h"

enum {
  PONGS = 256, /* room for pings that are still to be answered: a length and the bytes */
  MASKS = 64,  /* random bytes, drawn at once */
  CONTROL_ROOM = MS__WS_HEAD_MAX + MS__WS_CONTROL_MAX,
  CODE_BYTES = 2,
  REASON = MS__WS_CONTROL_MAX - CODE_BYTES
};

struct state {
  const struct ms__ws_opts *opts;
  bool server, top;

  /* the frame being read */
  bool in_frame, in_fin;
  uint8_t in_mask[4];
  uint8_t in_phase; /* of the mask */
  uint64_t in_left; /* of its payload */
  /* the message being read */
  uint8_t in_type; /* 0: none */
  uint32_t in_fragments;
  uint64_t in_bytes;
  struct ms__utf8 in_utf8;

  /* what is read and still to be answered */
  union {
    uint8_t pongs[PONGS];
    char reason[REASON + 1]; /* of the peer's Close, after which nothing is answered */
  };
  size_t pongs_length;
  bool ping;          /* one of ours is to be sent */
  uint8_t ping_count; /* the payload of the last: an answer to an earlier one proves less */
  bool heard, pinged; /* since the last tick; our ping is out */
  /* Does the peer read? Data that it may not have read yet excuses its silence. */
  bool unproved;   /* data has gone out since the last ping that was answered */
  bool data_since; /* and since the last ping */

  /* the record being written */
  bool out_record, out_last, out_message; /* inside a record; of a message; inside a message */
  uint8_t out_type;
  uint32_t out_left;
  uint8_t out_masks[MASKS];
  size_t out_masks_left;

  /* ends */
  uint16_t code;   /* of the Close that we send; 0: none was given */
  bool ended;      /* ours is written */
  bool closed;     /* the peer's Close has come */
  const char *why; /* what is wrong with the peer */
};

static int ws_init(void *st, const struct ms__role *role) {
  struct state *s = st;
  s->opts = role->opts;
  s->server = role->server;
  s->top = role->top;
  return 0;
}

/* ---- Reading ---- */

static int wrong(struct state *s, enum ms__ws_code code, const char *why) {
  s->code = (uint16_t)code;
  s->why = why;
  return MS_EPROTO;
}

/* The oldest are forgotten where there are too many: the RFC asks for an answer to the last only.
 */
static void keep_pong(struct state *s, const uint8_t *payload, size_t n) {
  while (s->pongs_length + 1 + n > PONGS) {
    size_t first = 1 + (size_t)s->pongs[0];
    memmove(s->pongs, s->pongs + first, s->pongs_length -= first);
  }
  s->pongs[s->pongs_length++] = (uint8_t)n;
  if (n) memcpy(s->pongs + s->pongs_length, payload, n);
  s->pongs_length += n;
}

/* 0: a Close without a code. */
static bool is_clean(unsigned code) {
  return code == MS__WS_NORMAL || code == 0;
}

/* The peer's own words, for people: UTF-8, in which no control (C0, DEL, C1) does something to a
 * terminal or a log. */
static void keep_reason(struct state *s, const uint8_t *text, size_t n) {
  char *to = s->reason;
  s->pongs_length = 0;
  for (size_t i = 0; i < n; i++) {
    bool c1 = text[i] == 0xc2 && text[i + 1] < 0xa0; /* U+0080 to U+009F */
    *to++ = text[i] < ' ' || text[i] == 0x7f || c1 ? '?' : (char)text[i];
    i += c1;
  }
  *to = '\0';
}

/* A Close is the end where it says that all is well and no message is unfinished. One who leaves
 * says so with a code of its own; every other is a failure. It is answered with the same code. */
static int read_close(struct state *s, const uint8_t *payload, size_t n) {
  struct ms__utf8 u = {0};
  unsigned code = n < CODE_BYTES ? MS__WS_NO_CODE : (unsigned)(payload[0] << 8 | payload[1]);
  if (n == 1) return wrong(s, MS__WS_PROTOCOL, "a Close of one byte");
  if (n && !ms__ws_code_is_valid(code))
    return wrong(s, MS__WS_PROTOCOL, "an impossible close code");
  if (n && (!ms__utf8_read(&u, payload + CODE_BYTES, n - CODE_BYTES) || u.left))
    return wrong(s, MS__WS_BAD_DATA, "the reason of a Close is not UTF-8");
  s->closed = true;
  if (n) s->code = (uint16_t)code;
  keep_reason(s, payload + CODE_BYTES, n ? n - CODE_BYTES : 0);
  if (s->code == MS__WS_GOING_AWAY) return MS_EGONE;
  if (!is_clean(s->code)) return MS_ERESET;
  if (!s->in_type) return MS__DONE;
  s->why = "the peer has closed inside a message";
  s->code = MS__WS_PROTOCOL;
  return MS_ETRUNCATED;
}

/* A control frame, whole. DONE: the peer's end. */
static int read_control(struct state *s, const struct ms__ws_head *h, const uint8_t *masked) {
  uint8_t payload[MS__WS_CONTROL_MAX];
  size_t n = (size_t)h->length;
  if (h->masked)
    ms__ws_mask(payload, masked, n, h->mask, 0);
  else
    memcpy(payload, masked, n);
  switch (h->opcode) {
    case MS__WS_CLOSE:
      return read_close(s, payload, n);
    case MS__WS_PING:
      keep_pong(s, payload, n);
      return MS__WANT_ENCODE;
    default: /* a Pong: what was sent before that ping has been read */
      if (n == 1 && payload[0] == s->ping_count) s->unproved = s->data_since;
      return 0;
  }
}

/* May this data frame come now? */
static int begin_frame(struct state *s, const struct ms__ws_head *h) {
  if (h->opcode == MS__WS_CONTINUATION ? !s->in_type : s->in_type)
    return wrong(s, MS__WS_PROTOCOL,
                 s->in_type ? "a message begins inside another" : "a continuation of nothing");
  if (h->length > s->opts->frame_max) return wrong(s, MS__WS_TOO_BIG, "a frame is too long");
  if (h->opcode == MS__WS_TEXT && !s->top && !s->opts->text)
    return wrong(s, MS__WS_UNACCEPTABLE, "text where only binary messages can be");
  if (h->opcode != MS__WS_CONTINUATION) {
    s->in_type = (uint8_t)h->opcode;
    s->in_bytes = s->in_fragments = 0;
    s->in_utf8 = (struct ms__utf8){0};
  }
  s->in_bytes += h->length;
  if (s->top && s->in_bytes > s->opts->message_max)
    return wrong(s, MS__WS_TOO_BIG, "a message is too long");
  if (++s->in_fragments > s->opts->fragments_max)
    return wrong(s, MS__WS_TOO_BIG, "a message has too many fragments");
  s->in_frame = true;
  s->in_fin = h->fin;
  s->in_left = h->length;
  s->in_phase = 0;
  if (h->masked)
    memcpy(s->in_mask, h->mask, sizeof s->in_mask);
  else
    memset(s->in_mask, 0, sizeof s->in_mask);
  return 0;
}

/* Some bytes of the payload. False: the text is none. */
static bool move_payload(struct state *s, struct ms__port *p, size_t n) {
  uint8_t *to = p->app_in.p;
  if (s->server)
    ms__ws_mask(to, p->wire_in.p, n, s->in_mask, s->in_phase);
  else if (n)
    memcpy(to, p->wire_in.p, n);
  s->in_phase = (uint8_t)((s->in_phase + n) & 3);
  s->in_left -= n;
  if (s->in_type == MS__WS_TEXT && s->top && !ms__utf8_read(&s->in_utf8, to, n)) return false;
  ms__skip(&p->wire_in, n);
  ms__fill(&p->app_in, n);
  return true;
}

static void end_frame(struct state *s) {
  s->in_frame = false;
  if (s->in_fin) s->in_type = 0;
}

/* Payload to bytes. IDLE: the frame is over. */
static int read_bytes(struct state *s, struct ms__port *p) {
  while (s->in_left) {
    size_t n = ms__min(p->wire_in.n, p->app_in.n);
    if (n > s->in_left) n = (size_t)s->in_left;
    if (n == 0) return p->wire_in.n ? MS__FULL : MS__MORE;
    (void)move_payload(s, p, n);
  }
  end_frame(s);
  return MS__IDLE;
}

/* Payload to records. IDLE: the frame is over. */
static int read_records(struct state *s, struct ms__port *p) {
  while (s->in_left || s->in_fin) { /* an empty fragment says nothing */
    struct ms__record r = {.type = s->in_type};
    struct ms__dst before = p->app_in;
    size_t n;
    if (p->app_in.n < MS__RECORD_BYTES + (s->in_left ? 1u : 0u)) return MS__FULL;
    n = ms__min(p->wire_in.n, p->app_in.n - MS__RECORD_BYTES);
    if (n > s->in_left) n = (size_t)s->in_left;
    if (s->in_left && n == 0) return MS__MORE;
    r.length = (uint32_t)n;
    r.last = s->in_fin && n == s->in_left;
    ms__fill(&p->app_in, MS__RECORD_BYTES);
    if (!move_payload(s, p, n) || (r.last && s->in_utf8.left)) {
      p->app_in = before;
      return wrong(s, MS__WS_BAD_DATA, "a text is not UTF-8");
    }
    ms__record_write(before.p, &r);
    if (s->in_left == 0) break;
  }
  end_frame(s);
  return MS__IDLE;
}

/* The next frame's header, and all of a control frame. IDLE, also with WANT_ENCODE: go on; MORE: it
 * is not whole; DONE: the peer's end. */
static int read_head(struct state *s, struct ms__port *p) {
  struct ms__ws_head h;
  int n = ms__ws_head_read(&h, p->wire_in.p, p->wire_in.n), r;
  if (n < 0) return wrong(s, MS__WS_PROTOCOL, "a malformed frame");
  if (n == 0) return MS__MORE;
  if (h.masked != s->server)
    return wrong(s, MS__WS_PROTOCOL,
                 s->server ? "a client's frame is not masked" : "a server's frame is masked");
  if (h.opcode < MS__WS_CLOSE) {
    ms__skip(&p->wire_in, (size_t)n);
    return begin_frame(s, &h);
  }
  if (p->wire_in.n < (size_t)n + (size_t)h.length) return MS__MORE;
  r = read_control(s, &h, p->wire_in.p + n);
  ms__skip(&p->wire_in, (size_t)n + (size_t)h.length);
  return r;
}

static int ws_decode(void *st, struct ms__port *p) {
  struct state *s = st;
  int owes = 0;
  if (p->wire_in.n) {
    s->heard = true;
    s->pinged = false;
  }
  if (p->wake == MS__NEVER && s->opts->ping_msec) p->wake = p->now + s->opts->ping_msec;
  for (;;) {
    int r;
    if (!s->in_frame) {
      r = read_head(s, p);
      if (r == MS__MORE && p->wire_in.n == 0 && !s->in_type) return MS__IDLE | owes;
      if (r < 0) return r;
      owes |= r & MS__WANT_ENCODE;
      r &= ~MS__WANT_ENCODE;
      if (r != MS__IDLE) return r | owes;
      if (!s->in_frame) continue;
    }
    r = s->top ? read_records(s, p) : read_bytes(s, p);
    if (r < 0) return r;
    if (r != MS__IDLE) return r | owes;
  }
}

/* ---- Writing ---- */

static void draw_mask(struct state *s, uint8_t mask[4]) {
  if (s->out_masks_left == 0) {
    randombytes_buf(s->out_masks, sizeof s->out_masks);
    s->out_masks_left = sizeof s->out_masks;
  }
  s->out_masks_left -= 4;
  memcpy(mask, s->out_masks + s->out_masks_left, 4);
}

/* A whole frame; there is room for it. */
static void put_frame(struct state *s, struct ms__dst *out, enum ms__ws_opcode opcode, bool fin,
                      const uint8_t *payload, size_t n) {
  struct ms__ws_head h = {.opcode = opcode, .fin = fin, .masked = !s->server, .length = n};
  if (h.masked) draw_mask(s, h.mask);
  ms__fill(out, ms__ws_head_write(&h, out->p));
  if (opcode < MS__WS_CLOSE) s->unproved = s->data_since = true;
  if (n && h.masked)
    ms__ws_mask(out->p, payload, n, h.mask, 0);
  else if (n)
    memcpy(out->p, payload, n);
  ms__fill(out, n);
}

static int write_bytes(struct state *s, struct ms__port *p) {
  while (p->app_out.n) {
    size_t n;
    if (p->wire_out.n < CONTROL_ROOM) return MS__FULL;
    n = ms__min(p->app_out.n, p->wire_out.n - MS__WS_HEAD_MAX);
    put_frame(s, &p->wire_out, MS__WS_BINARY, true, p->app_out.p, n);
    ms__skip(&p->app_out, n);
  }
  return MS__IDLE;
}

/* What is visible of the record; FULL where it would become a needlessly short fragment. */
static int write_record(struct state *s, struct ms__port *p) {
  size_t n = ms__min(s->out_left, p->app_out.n);
  enum ms__ws_opcode opcode;
  bool fin;
  if (p->wire_out.n < CONTROL_ROOM) return MS__FULL;
  n = ms__min(n, p->wire_out.n - MS__WS_HEAD_MAX);
  opcode = s->out_message ? MS__WS_CONTINUATION : (enum ms__ws_opcode)s->out_type;
  fin = s->out_last && n == s->out_left;
  if (n || fin) {
    put_frame(s, &p->wire_out, opcode, fin, p->app_out.p, n);
    s->out_message = !fin;
  }
  ms__skip(&p->app_out, n);
  s->out_left -= (uint32_t)n;
  if (s->out_left == 0) s->out_record = false;
  return MS__IDLE;
}

static int write_records(struct state *s, struct ms__port *p) {
  while (p->app_out.n || (s->out_record && s->out_left == 0)) {
    int r;
    if (!s->out_record) {
      struct ms__record record;
      ms__record_read(&record, p->app_out.p);
      ms__skip(&p->app_out, MS__RECORD_BYTES);
      s->out_record = true;
      s->out_left = record.length;
      s->out_last = record.last != 0;
      s->out_type = record.type == MS__WS_TEXT ? MS__WS_TEXT : MS__WS_BINARY;
    }
    if ((r = write_record(s, p)) != MS__IDLE) return r;
  }
  return MS__IDLE;
}

static int ws_encode(void *st, struct ms__port *p) {
  struct state *s = st;
  while (s->pongs_length) {
    size_t n = s->pongs[0];
    if (p->wire_out.n < CONTROL_ROOM) return MS__FULL;
    put_frame(s, &p->wire_out, MS__WS_PONG, true, s->pongs + 1, n);
    memmove(s->pongs, s->pongs + 1 + n, s->pongs_length -= 1 + n);
  }
  if (s->ping) {
    if (p->wire_out.n < CONTROL_ROOM) return MS__FULL;
    s->ping_count++;
    put_frame(s, &p->wire_out, MS__WS_PING, true, &s->ping_count, 1);
    s->ping = s->data_since = false;
  }
  return s->top ? write_records(s, p) : write_bytes(s, p);
}

/* ---- Time and ends ---- */

/* A peer that was silent for an interval is asked, and is gone when it is silent for one more; but
 * not one that may have to read first what we have sent. Whether it is there at all is then the
 * transport's to find out. While we do not read, and so would not answer, we say that we are here
 * (RFC 6455, section 5.5.3: a Pong that was not asked for). */
static int ws_tick(void *st, struct ms__port *p) {
  struct state *s = st;
  if (s->ended || s->closed) return MS__IDLE; /* nothing may follow a Close */
  p->wake = p->now + s->opts->ping_msec;
  if (p->unread) {
    s->heard = true; /* when reading goes on, it has an interval of its own */
    if (!s->pongs_length) keep_pong(s, NULL, 0);
    return MS__WANT_ENCODE;
  }
  if (s->heard) {
    s->heard = false;
    return MS__IDLE;
  }
  if (s->pinged && !s->unproved) {
    s->why = "the peer does not answer a ping";
    return MS_ETIMEDOUT;
  }
  s->pinged = s->ping = true;
  return MS__WANT_ENCODE;
}

/* As much of a reason as a Close has room for: whole characters. */
static size_t put_reason(uint8_t *to, const char *why) {
  size_t n = ms__min(strlen(why), MS__WS_CONTROL_MAX - CODE_BYTES);
  memcpy(to, why, n);
  for (; n; n--) {
    struct ms__utf8 u = {0};
    if (ms__utf8_read(&u, to, n) && !u.left) break;
  }
  return n;
}

static int ws_end(void *st, struct ms__port *p, int err) {
  struct state *s = st;
  unsigned code = s->code;
  uint8_t payload[MS__WS_CONTROL_MAX];
  size_t n = 0;
  if (!s->closed && !err) code = MS__WS_NORMAL;
  if (err && is_clean(code)) code = MS__WS_INTERNAL;
  payload[0] = (uint8_t)(code >> 8);
  payload[1] = (uint8_t)code;
  s->ended = true;
  if (code) n = CODE_BYTES;
  if (code == MS__WS_INTERNAL && p->why) n += put_reason(payload + n, p->why);
  put_frame(s, &p->wire_out, MS__WS_CLOSE, true, payload, n);
  return MS__DONE;
}

static void ws_explain(const void *st, char *buf, size_t size) {
  const struct state *s = st;
  if (s->why)
    (void)snprintf(buf, size, "%s%s%s", s->why, s->closed && *s->reason ? ": " : "",
                   s->closed ? s->reason : "");
  else if (s->closed)
    (void)snprintf(buf, size, "the peer %s: close code %u%s%s",
                   s->code == MS__WS_GOING_AWAY ? "went away" : "broke it off", s->code,
                   *s->reason ? ": " : "", s->reason);
}

const struct ms__layer ms__ws = {
    .name = "ws",
    .flags = MS__HAS_END | MS__NO_HALF | MS__MESSAGES,
    .state = sizeof(struct state),
    .need_in = CONTROL_ROOM, /* a control frame is read at once */
    .room_up = MS__RECORD_BYTES + 1,
    .room_down = CONTROL_ROOM,
    .init = ws_init,
    .decode = ws_decode,
    .encode = ws_encode,
    .tick = ws_tick,
    .end = ws_end,
    .explain = ws_explain,
};
