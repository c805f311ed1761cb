/* Our frame codec and wslay's hear the same: random frames, good, bent and broken, the same
 * messages and the same close code.
 *
 *   test-wslay-frames [SEEDS [FIRST]]    20,000 seeds from 1 on, unless told
 */
#include <stdio.h>
#include <stdlib.h>

#include <wslay/wslay.h>

#include "layer/ws_frame.h"
#include "layer_driver.h"
#include "rng.h"

enum { FRAMES = 12, MESSAGE_MAX = 3000, ROOM = 512 };

/* Messages, each its opcode, length and bytes; and how it ended. */
struct heard {
  struct bytes messages;
  unsigned code; /* of the Close sent; 0: none, 1005: an empty one */
  bool cut;      /* by a Close inside a message */
};

static void hear(struct heard *h, uint8_t opcode, const void *p, size_t n) {
  bytes_add(&h->messages, &opcode, 1);
  bytes_add(&h->messages, &n, sizeof n);
  bytes_add(&h->messages, p, n);
}

/* ---- What is said ---- */

static void add_frame(struct bytes *b, struct rng *rng, bool masked, unsigned first,
                      const uint8_t *p, size_t n) {
  struct ms__ws_head h = {MS__WS_BINARY, false, masked, {0}, n};
  uint8_t head[MS__WS_HEAD_MAX], *body = malloc(n + 1);
  size_t k;
  if (!body) abort();
  for (size_t i = 0; i < 4; i++)
    h.mask[i] = (uint8_t)rng_below(rng, 256);
  k = ms__ws_head_write(&h, head);
  head[0] = (uint8_t)first;
  if (masked)
    ms__ws_mask(body, p, n, h.mask, 0);
  else if (n)
    memcpy(body, p, n);
  bytes_add(b, head, k);
  bytes_add(b, body, n);
  free(body);
}

static size_t some_text(struct rng *rng, uint8_t *p, size_t n) {
  static const char *const pieces[] = {"a", "hello", "\xc3\xa9", "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80"};
  size_t k = 0;
  while (k + 5 < n && !rng_once_in(rng, 20)) {
    const char *piece = pieces[rng_below(rng, sizeof pieces / sizeof *pieces)];
    memcpy(p + k, piece, strlen(piece));
    k += strlen(piece);
  }
  if (k && rng_once_in(rng, 12)) p[rng_below(rng, k)] = (uint8_t)rng_below(rng, 256);
  return k;
}

static size_t some_close(struct rng *rng, uint8_t *p) {
  static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1007, 1011, 3000, 4999,
                                   999,  1004, 1005, 1006, 1016, 2999, 5000, 0};
  uint16_t code = codes[rng_below(rng, sizeof codes / sizeof *codes)];
  p[0] = (uint8_t)(code >> 8);
  p[1] = (uint8_t)code;
  if (rng_once_in(rng, 4)) return 0; /* wslay takes one byte for none, which it is not */
  return 2 + some_text(rng, p + 2, 60);
}

static void say(struct bytes *b, struct rng *rng, bool masked) {
  bool open = false;
  size_t frames = 1 + rng_below(rng, FRAMES);
  for (size_t i = 0; i < frames; i++) {
    uint8_t p[MESSAGE_MAX] = {0};
    size_t n = some_text(rng, p, rng_once_in(rng, 10) ? sizeof p : 200);
    unsigned opcode = open ? 0 : 1 + (unsigned)rng_below(rng, 2), fin = !rng_once_in(rng, 3);
    if (rng_once_in(rng, 5)) { /* a control frame */
      opcode = 8 + (unsigned)rng_below(rng, 3);
      if (opcode == 8 && !rng_once_in(rng, 3)) opcode = 9;
      fin = 1;
      n = opcode == 8 ? some_close(rng, p) : ms__min(n, MS__WS_CONTROL_MAX);
    } else {
      open = !fin;
    }
    if (rng_once_in(rng, 30)) opcode = (unsigned)rng_below(rng, 16);
    add_frame(b, rng, rng_once_in(rng, 60) ? !masked : masked,
              fin << 7 | opcode | (rng_once_in(rng, 60) ? 0x40u : 0), p, n);
  }
  for (size_t i = 0; i < 3; i++) /* so that no header stays cut: we judge it sooner than wslay */
    add_frame(b, rng, masked, 0x89, NULL, 0);
  if (rng_once_in(rng, 10) && b->n) b->p[rng_below(rng, b->n)] ^= (uint8_t)(1 << rng_below(rng, 8));
}

/* ---- Ours ---- */

static void hear_records(struct heard *h, const struct bytes *records) {
  struct bytes message = {NULL, 0, 0};
  for (size_t at = 0; at < records->n;) {
    struct ms__record r;
    ms__record_read(&r, records->p + at);
    at += MS__RECORD_BYTES;
    bytes_add(&message, records->p + at, r.length);
    at += r.length;
    if (!r.last) continue;
    hear(h, r.type, message.p, message.n);
    message.n = 0;
  }
  bytes_free(&message);
}

static unsigned code_of(const struct bytes *b, bool masked) {
  const uint8_t *p = b->p, *mask = p + 2;
  if (b->n == (masked ? 6u : 2u)) return 1005;
  p += masked ? 6 : 2;
  return masked ? (unsigned)((p[0] ^ mask[0]) << 8 | (p[1] ^ mask[1]))
                : (unsigned)(p[0] << 8 | p[1]);
}

static void play_ours(struct heard *h, bool server, const struct bytes *b, struct rng *rng) {
  const struct ms__ws_opts opts = {
      .frame_max = MESSAGE_MAX, .message_max = MESSAGE_MAX, .fragments_max = 1000};
  size_t chunk = 1 + rng_below(rng, 300), at = 0;
  struct driver d;
  int result;
  driver_begin(&d, &ms__ws, server, &opts);
  d.up = true;
  do { /* what follows a Close is nobody's */
    size_t n = ms__min(chunk, b->n - at);
    result = driver_feed(&d, b->p + at, n, n, ROOM);
    at += n;
  } while (at < b->n && result >= 0 && (result & ~MS__WANT_ENCODE) != MS__DONE);
  hear_records(h, &d.app_in);
  if (result < 0 || (result & ~MS__WANT_ENCODE) == MS__DONE) {
    d.wire_out.n = 0;
    driver_finish(&d, result < 0 ? result : 0);
    h->code = code_of(&d.wire_out, !server);
    h->cut = result == MS_ETRUNCATED;
  }
  driver_end(&d);
}

/* ---- wslay ---- */

struct theirs {
  const struct bytes *b;
  size_t at;
  struct heard *heard;
  bool odd; /* a Close of one byte */
};

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags,
                       void *user) {
  struct theirs *t = user;
  size_t n = ms__min(len, t->b->n - t->at);
  (void)flags;
  if (n == 0) {
    wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  memcpy(buf, t->b->p + t->at, n);
  t->at += n;
  return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *user) {
  (void)ctx;
  (void)data;
  (void)flags;
  (void)user;
  return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *user) {
  (void)ctx;
  (void)user;
  memset(buf, 0, len);
  return 0;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
                       void *user) {
  struct theirs *t = user;
  (void)ctx;
  if (arg->opcode < MS__WS_CLOSE) hear(t->heard, arg->opcode, arg->msg, arg->msg_length);
  if (arg->opcode == MS__WS_CLOSE && arg->msg_length == 1)
    t->odd = true; /* which it takes for none */
}

static void play_wslay(struct heard *h, bool server, const struct bytes *b) {
  struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                            .send_callback = on_send,
                                            .genmask_callback = on_mask,
                                            .on_msg_recv_callback = on_message};
  struct theirs t = {b, 0, h, false};
  wslay_event_context_ptr ctx;
  if ((server ? wslay_event_context_server_init(&ctx, &callbacks, &t)
              : wslay_event_context_client_init(&ctx, &callbacks, &t)) != 0)
    abort();
  wslay_event_config_set_max_recv_msg_length(ctx, MESSAGE_MAX);
  if (wslay_event_recv(ctx) != 0) { /* a malformed frame; wslay closes without a code */
    h->code = MS__WS_PROTOCOL;
    wslay_event_context_free(ctx);
    return;
  }
  (void)wslay_event_send(ctx);
  if (wslay_event_get_close_sent(ctx)) {
    h->code = wslay_event_get_status_code_sent(ctx);
    if (h->code == 1006) h->code = 1005;
    if (t.odd) h->code = MS__WS_PROTOCOL;
  }
  wslay_event_context_free(ctx);
}

/* ---- Both ---- */

/* A Close may have two faults, a code that cannot be and a reason that is no text. Which of them is
 * told is anybody's choice. One inside a message is an end for wslay, and none for us. */
static bool same_code(const struct heard *ours, unsigned theirs) {
  if (ours->cut)
    return ours->code == MS__WS_PROTOCOL && (theirs == MS__WS_NORMAL || theirs == MS__WS_NO_CODE);
  return ours->code == theirs || (ours->code == MS__WS_PROTOCOL && theirs == MS__WS_BAD_DATA);
}

static bool same(uint64_t seed) {
  struct rng rng = {.state = rng_mix(seed)};
  struct bytes said = {NULL, 0, 0};
  struct heard ours = {0}, theirs = {0};
  bool server = rng_once_in(&rng, 2), good;
  say(&said, &rng, server);
  play_ours(&ours, server, &said, &rng);
  play_wslay(&theirs, server, &said);
  good = same_code(&ours, theirs.code) && ours.messages.n == theirs.messages.n &&
         (ours.messages.n == 0 || memcmp(ours.messages.p, theirs.messages.p, ours.messages.n) == 0);
  if (!good)
    (void)printf(
        "seed %llu (%s): ours closes with %u after %zu bytes of messages, wslay with %u "
        "after %zu\n",
        (unsigned long long)seed, server ? "server" : "client", ours.code, ours.messages.n,
        theirs.code, theirs.messages.n);
  bytes_free(&said);
  bytes_free(&ours.messages);
  bytes_free(&theirs.messages);
  return good;
}

int main(int argc, char **argv) {
  unsigned long seeds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, failed = 0;
  unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
  if (sodium_init() < 0) return 1;
  for (unsigned long i = 0; i < seeds && failed < 10; i++)
    if (!same(first + i)) failed++;
  (void)printf("%lu seeds, %lu failed\n", seeds, failed);
  return failed != 0;
}
