#include "toys.h"

enum { HEAD_MAX = 16384, REPLY_MAX = 64 };

struct ask {
  bool server, refused;
  const struct toy_opts *opts;
  size_t scanned; /* the head is looked at once, however it drips in */
  size_t said;
};

static int ask_init(void *st, const struct ms__role *role) {
  struct ask *s = st;
  s->server = role->server;
  s->opts = role->opts;
  return 0;
}

/* The length of the head in front, 0 while it is not all there. */
static size_t head_length(struct ask *s, const struct ms__src *in) {
  size_t i = s->scanned;
  for (; i + 4 <= in->n; i++)
    if (memcmp(in->p + i, "\r\n\r\n", 4) == 0) return i + 4;
  s->scanned = i;
  return 0;
}

static void put(struct ms__port *p, const char *text) {
  struct ms__src s = {(const uint8_t *)text, strlen(text)};
  ms__copy(&p->wire_out, &s, s.n);
}

static int ask_server(struct ask *s, struct ms__port *p) {
  size_t n = head_length(s, &p->wire_in);
  const uint8_t *head = p->wire_in.p;
  if (!n) return p->wire_in.n >= HEAD_MAX ? MS_EPROTO : MS__MORE;
  ms__skip(&p->wire_in, n);
  if (memcmp(head, "UP ", 3) == 0) {
    put(p, "101\r\n\r\n");
    return MS__UNLINK;
  }
  p->question = (struct ms__question){MS__ASK_HEAD, (uint32_t)n, head};
  return MS__ASK;
}

static int ask_client(struct ask *s, struct ms__port *p) {
  size_t n;
  while (s->said < s->opts->head) {
    size_t left = s->opts->head - s->said;
    uint8_t c = 'x';
    if (p->wire_out.n == 0) return MS__FULL;
    if (s->said < 3) c = (uint8_t) "UP "[s->said];
    if (left <= 4) c = (uint8_t) "\n\r\n\r"[left - 1];
    *p->wire_out.p = c;
    ms__fill(&p->wire_out, 1);
    s->said++;
  }
  n = head_length(s, &p->wire_in);
  if (!n) return p->wire_in.n >= REPLY_MAX ? MS_EPROTO : MS__MORE;
  if (memcmp(p->wire_in.p, "101", 3) != 0) return MS_EREFUSED;
  ms__skip(&p->wire_in, n);
  return MS__UNLINK;
}

static int ask_handshake(void *st, struct ms__port *p) {
  struct ask *s = st;
  return s->server ? ask_server(s, p) : ask_client(s, p);
}

static int ask_answer(void *st, struct ms__port *p, const struct ms__answer *a) {
  struct ask *s = st;
  s->refused = !a->yes;
  if (s->refused) return MS_EREFUSED;
  put(p, TOY_ASK_YES);
  return MS__DETACH;
}

static int ask_end(void *st, struct ms__port *p, int err) {
  struct ask *s = st;
  (void)err;
  if (s->refused) put(p, TOY_ASK_NO);
  return MS__DONE;
}

const struct ms__layer toy_ask = {
    .name = "ask",
    .flags = MS__SETUP,
    .state = sizeof(struct ask),
    .need_in = HEAD_MAX,
    .room_down = 64,
    .init = ask_init,
    .handshake = ask_handshake,
    .answer = ask_answer,
    .end = ask_end,
};
