#include "toys.h"

enum { TAG = 16, HEAD = 2 + TAG, CHUNK_MAX = 65535, MASK = 0x5a };

/* The handshake's messages, in order; the client says the odd ones. Each is filler and a tag; the
 * third begins with the client's key. */
enum { MESSAGES = 4, AUTH = 2 };
static const uint8_t lengths[MESSAGES] = {64, 64, 112, 80};

struct seal {
  bool server;
  uint64_t in_count, out_count; /* frames: part of the tags */
  bool in_chunk;
  uint16_t in_length;
};

struct handshake {
  const struct toy_opts *opts;
  uint8_t next; /* message */
  uint8_t key[MS_KEY_BYTES];
};

void toy_tag(uint8_t tag[16], uint64_t salt, const uint8_t *p, size_t n) {
  uint64_t a = 0x9e3779b97f4a7c15u ^ salt * 0xff51afd7ed558ccdu, b = ~a;
  for (size_t i = 0; i < n; i++) {
    a = (a ^ p[i]) * 0x100000001b3u;
    b = (b + p[i]) * 0xc4ceb9fe1a85ec53u;
  }
  a ^= a >> 29;
  b ^= b >> 31;
  memcpy(tag, &a, 8);
  memcpy(tag + 8, &b, 8);
}

static bool tag_is(const uint8_t *tag, uint64_t salt, const uint8_t *p, size_t n) {
  uint8_t right[TAG];
  toy_tag(right, salt, p, n);
  return memcmp(tag, right, TAG) == 0;
}

static int seal_init(void *st, const struct ms__role *role) {
  struct seal *s = st;
  struct handshake *h = role->scratch;
  s->server = role->server;
  h->opts = role->opts;
  return 0;
}

static void say(struct handshake *h, struct ms__port *p) {
  size_t n = lengths[h->next];
  memset(p->wire_out.p, 'A' + h->next, n);
  if (h->next == AUTH) memcpy(p->wire_out.p, h->opts->key, MS_KEY_BYTES);
  toy_tag(p->wire_out.p + n - TAG, h->next, p->wire_out.p, n - TAG);
  ms__fill(&p->wire_out, n);
  h->next++;
}

static int seal_handshake(void *st, struct ms__port *p) {
  struct seal *s = st;
  struct handshake *h = p->scratch;
  while (h->next < MESSAGES) {
    size_t n = lengths[h->next];
    if (h->next % 2 == (s->server ? 1 : 0)) {
      if (p->wire_out.n < n) return MS__FULL;
      say(h, p);
      continue;
    }
    if (h->next > AUTH) p->proved = true;
    if (p->wire_in.n < n) return MS__MORE;
    if (!tag_is(p->wire_in.p + n - TAG, h->next, p->wire_in.p, n - TAG)) return MS_ECRYPTO;
    memcpy(h->key, p->wire_in.p, sizeof h->key);
    ms__skip(&p->wire_in, n);
    h->next++;
    if (h->next > AUTH && s->server) {
      p->question = (struct ms__question){MS__ASK_KEY, sizeof h->key, h->key};
      return MS__ASK;
    }
  }
  return MS__DONE;
}

static int seal_answer(void *st, struct ms__port *p, const struct ms__answer *a) {
  if (!a->yes) return MS_EREFUSED;
  return seal_handshake(st, p);
}

static uint64_t salt(uint64_t count, bool server) {
  return 2 * count + 1000 + server;
}

static int seal_decode(void *st, struct ms__port *p) {
  struct seal *s = st;
  for (;;) {
    const uint8_t *from;
    if (!s->in_chunk) {
      if (p->wire_in.n < HEAD) return p->wire_in.n ? MS__MORE : MS__IDLE;
      if (!tag_is(p->wire_in.p + 2, salt(s->in_count++, !s->server), p->wire_in.p, 2))
        return MS_ECRYPTO;
      s->in_length = ms__take_be16(&p->wire_in);
      ms__skip(&p->wire_in, TAG);
      if (s->in_length == 0) return MS__DONE;
      s->in_chunk = true;
    }
    if (p->wire_in.n < (size_t)s->in_length + TAG) return MS__MORE;
    if (p->app_in.n < s->in_length) return MS__FULL;
    from = p->wire_in.p;
    if (!tag_is(from + s->in_length, salt(s->in_count++, !s->server), from, s->in_length))
      return MS_ECRYPTO;
    for (size_t i = 0; i < s->in_length; i++)
      p->app_in.p[i] = from[i] ^ MASK;
    ms__fill(&p->app_in, s->in_length);
    ms__skip(&p->wire_in, (size_t)s->in_length + TAG);
    s->in_chunk = false;
  }
}

static void put_head(struct seal *s, struct ms__port *p, size_t length) {
  uint8_t *head = p->wire_out.p;
  ms__put_be16(&p->wire_out, (uint16_t)length);
  toy_tag(p->wire_out.p, salt(s->out_count++, s->server), head, 2);
  ms__fill(&p->wire_out, TAG);
}

static int seal_encode(void *st, struct ms__port *p) {
  struct seal *s = st;
  while (p->app_out.n) {
    size_t k;
    if (p->wire_out.n <= HEAD + TAG) return MS__FULL;
    k = ms__min3(p->app_out.n, p->wire_out.n - HEAD - TAG, CHUNK_MAX);
    put_head(s, p, k);
    for (size_t i = 0; i < k; i++)
      p->wire_out.p[i] = p->app_out.p[i] ^ MASK;
    toy_tag(p->wire_out.p + k, salt(s->out_count++, s->server), p->wire_out.p, k);
    ms__fill(&p->wire_out, k + TAG);
    ms__skip(&p->app_out, k);
  }
  return MS__IDLE;
}

static int seal_end(void *st, struct ms__port *p, int err) {
  if (!err) put_head(st, p, 0);
  return MS__DONE;
}

const struct ms__layer toy_seal = {
    .name = "seal",
    .flags = MS__HAS_END | MS__SECRET,
    .state = sizeof(struct seal),
    .scratch = sizeof(struct handshake),
    .need_in = CHUNK_MAX + TAG,
    .room_up = CHUNK_MAX,
    .room_down = 112,
    .init = seal_init,
    .handshake = seal_handshake,
    .answer = seal_answer,
    .decode = seal_decode,
    .encode = seal_encode,
    .end = seal_end,
};
