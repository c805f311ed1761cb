/* What a layer is: a codec that never touches a socket, driven by the pump (src/conn/).
 *
 * Layers are numbered from the network. "In" is towards the application, "out" towards the network.
 * A layer reads wire_in and fills app_in (decode), reads app_out and fills wire_out (encode); in a
 * handshake it has the two wire ports only. The pump owns all four ports. docs/architecture.md says
 * when each slot is called. */
#ifndef MS_LAYER_LAYER_H
#define MS_LAYER_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "addr/inet.h"
#include "multiserver.h"

#define MS__NEVER UINT64_MAX /* a time that does not come */

/* Bytes to read: a layer advances p and lessens n. p is NULL only when n is 0. */
struct ms__src {
  const uint8_t *p;
  size_t n;
};

/* Room to fill: the same. */
struct ms__dst {
  uint8_t *p;
  size_t n;
};

/* What a layer may ask of the application. */
enum ms__question_kind {
  MS__ASK_KEY = 1, /* data: the peer's 32-byte key; may it enter? */
  MS__ASK_HEAD,    /* data: the head of an HTTP request that is no upgrade */
  MS__ASK_UPGRADE  /* no data: may it be a WebSocket? Asked by http where its options say so */
};

/* A question. `data` is valid in the application's callback only and may point into wire_in or the
 * state. */
struct ms__question {
  enum ms__question_kind kind;
  uint32_t len;
  const uint8_t *data;
};

/* An answer. No: refused (HTTP: with `status` and `head`, or 404; `keep` where another request may
 * follow on the connection, which waits `keep_sec` for it. An upgrade: 503, and nothing follows).
 */
struct ms__answer {
  bool yes, keep;
  int status;
  uint32_t keep_sec;
  const char *head;
};

struct ms__port {
  struct ms__src wire_in, app_out;
  struct ms__dst app_in, wire_out;
  uint64_t now;                 /* msec, monotonic; the only clock */
  uint64_t wake;                /* in and out: when `tick` is due, absolute, or MS__NEVER */
  void *scratch;                /* during the handshake only, else NULL */
  struct ms__question question; /* to be filled before returning MS__ASK */
  const char *why; /* in end, of an application that has failed: its sentence, or NULL */
  uint64_t length; /* to be filled before returning MS__KEEP: what the application shall write */
  bool
      proved; /* out: we have shown who we are; an end before DONE is a refusal, not a truncation */
  bool unread; /* in tick: nobody reads the transport for now, so that silence proves nothing */
};

/* What a step returns. A negative value is an ms_code: the layer has failed. */
enum ms__step {
  MS__IDLE,   /* all done that could be; stands between two frames, holds nothing */
  MS__MORE,   /* wants input and is inside a frame (or a handshake) */
  MS__FULL,   /* has bytes to give, inside or in its window, and no room, above or below */
  MS__ASK,    /* handshake: the application must answer `question` */
  MS__DONE,   /* handshake: over. decode: the peer's end has come. end: our end is written */
  MS__UNLINK, /* handshake of a set-up layer: over, take me out */
  MS__DETACH, /* answer: take me out and all above; the application now writes to my wire_out */
  MS__KEEP /* answer: the same, until it has written `length` bytes and closed: then I begin anew */
};
/* Or'ed into decode's and tick's result: run my encode, app_out may be empty. */
enum { MS__WANT_ENCODE = 0x100 };

enum ms__layer_flags {
  MS__SETUP = 1, /* ends with UNLINK; has no decode or encode */
  MS__NO_BYTES =
      2, /* set-up that never reads or writes a byte (noauth): does not count as "above" */
  MS__HAS_END = 4,   /* its end is visible in its own bytes */
  MS__NO_HALF = 8,   /* one side's end asks for the other's (ws) */
  MS__SECRET = 16,   /* every edge above it, and its state, are wiped before reuse */
  MS__MESSAGES = 32, /* topmost, its app edges carry records (struct ms__record) */
  MS__REPLIES = 64   /* decode writes wire_out (an alert), which is open for it where it can be */
};

/* What a layer learns at init. `opts` is the layer's own options structure, valid as long as the
 * connection; `scratch` is as in struct ms__port. `top`: only NO_BYTES layers stand above; granted
 * once. */
struct ms__role {
  bool server, top;
  const void *opts;
  void *scratch;
};

/* A record's header in the application edges of a topmost MESSAGES layer; `length` bytes follow. */
struct ms__record {
  uint32_t length;
  uint8_t type;
  uint8_t last;
};
enum { MS__RECORD_BYTES = 6 };

static inline void ms__record_write(uint8_t p[MS__RECORD_BYTES], const struct ms__record *r) {
  memcpy(p, &r->length, sizeof r->length);
  p[4] = r->type;
  p[5] = r->last;
}
static inline void ms__record_read(struct ms__record *out, const uint8_t p[MS__RECORD_BYTES]) {
  memcpy(&out->length, p, sizeof out->length);
  out->type = p[4];
  out->last = p[5];
}

/* The vtable. No slot may: call the application, look at a clock, allocate per packet, keep a
 * pointer into a port between two calls (an offset from the window's start may be kept), know its
 * neighbours. `st` is the state. */
struct ms__layer {
  const char *name;
  unsigned flags;
  size_t state;       /* bytes, zeroed by the pump */
  size_t scratch;     /* the same; wiped and freed when the handshake ends */
  uint32_t need_in;   /* the longest contiguous run of wire_in it may ever wait for */
  uint32_t room_up;   /* the most room in app_in that one decode may insist on */
  uint32_t room_down; /* the least room in wire_out for handshake, answer, encode, end */

  /* Bytes, about, that a library keeps for it besides in its handshake: they count as buffers. What
   * it keeps later belongs to an open connection, as `state` does. 0: none. */
  uint32_t keeps;

  /* Called when the layers below are up, not earlier. 0 or an ms_code. NULL: nothing to do. */
  int (*init)(void *st, const struct ms__role *role);

  /* Takes exactly its own bytes and leaves the rest. Must not touch the app ports, or guess at the
   * transport's end (the pump sees it). MORE, FULL, ASK, DONE, UNLINK or an ms_code. NULL: none. */
  int (*handshake)(void *st, struct ms__port *p);

  /* wire_in to app_in until input or room is wanting; checks room before each frame. app_in has
   * room_up at least. Must not write control frames: it sets state and says WANT_ENCODE. (A layer
   * that REPLIES writes wire_out here, which may be empty.) IDLE, MORE, FULL, DONE, or'ed with
   * WANT_ENCODE, or an ms_code. */
  int (*decode)(void *st, struct ms__port *p);

  /* app_out to wire_out, any amount, whole frames only, and what it owes the peer. When app_out
   * runs empty, all it holds is put out. Must not insist on more than one byte of input (a record's
   * header is never split). IDLE, FULL or an ms_code. */
  int (*encode)(void *st, struct ms__port *p);

  /* The application's answer to ASK. Results as handshake, DETACH and KEEP. Writes at most
   * room_down; the rest it keeps. A no is either an ms_code (MS_EREFUSED) or last words. */
  int (*answer)(void *st, struct ms__port *p, const struct ms__answer *a);

  /* `wake` has come; the pump has cleared it. The windows are empty. Changes state, re-arms `wake`
   * if it wants more. IDLE, WANT_ENCODE or an ms_code. Must not need room. */
  int (*tick)(void *st, struct ms__port *p);

  /* err = 0: writes our end. Else: last words, and nothing the peer could take for a clean end.
   * DONE, or FULL to be called again. NULL: nothing to say. */
  int (*end)(void *st, struct ms__port *p, int err);

  /* What was wrong, in a sentence, called once after a failure of this layer; `buf` is "". NULL, or
   * nothing written: what the ms_code says. No secret may be in it. */
  void (*explain)(const void *st, char *buf, size_t size);

  /* Releases and wipes what the state points to; the state may be all zero. NULL: nothing. The pump
   * wipes the state of a SECRET layer itself. */
  void (*wipe)(void *st);
};

/* ---- Bounds-checked helpers; none of them can pass a window's end ---- */

static inline size_t ms__min(size_t a, size_t b) {
  return a < b ? a : b;
}
static inline size_t ms__min3(size_t a, size_t b, size_t c) {
  return ms__min(ms__min(a, b), c);
}

/* Advances past n bytes; the caller has checked that they are there. */
static inline void ms__skip(struct ms__src *s, size_t n) {
  s->p += n;
  s->n -= n;
}
static inline void ms__fill(struct ms__dst *d, size_t n) {
  d->p += n;
  d->n -= n;
}

/* Copies as many bytes as source, room and `most` allow; returns how many. */
static inline size_t ms__copy(struct ms__dst *d, struct ms__src *s, size_t most) {
  size_t n = ms__min3(d->n, s->n, most);
  if (n) {
    memcpy(d->p, s->p, n);
    ms__fill(d, n);
    ms__skip(s, n);
  }
  return n;
}

/* Two bytes, most significant first. The caller has checked that they are there, or that there is
 * room. */
static inline uint16_t ms__take_be16(struct ms__src *s) {
  uint16_t v = (uint16_t)(s->p[0] << 8 | s->p[1]);
  ms__skip(s, 2);
  return v;
}
static inline void ms__put_be16(struct ms__dst *d, uint16_t v) {
  d->p[0] = (uint8_t)(v >> 8);
  d->p[1] = (uint8_t)v;
  ms__fill(d, 2);
}

/* ---- The layers of this build ---- */

extern const struct ms__layer ms__http;
extern const struct ms__layer ms__noauth;
extern const struct ms__layer ms__admit;
extern const struct ms__layer ms__proxy;
extern const struct ms__layer ms__shs;
extern const struct ms__layer ms__tls;
extern const struct ms__layer ms__ws;

/* Options of tls, kept until its handshake is over. */
struct ms__tls_opts {
  struct ssl_ctx_st *const *context; /* what is there when the handshake begins */
  const char *name;                  /* client: whom the certificate has to name */
};

/* Options of http; the pump's owner keeps them until its handshake is over. */
struct ms__http_opts {
  const char
      *path; /* client: what it asks for, query and all; server: the only one served, or "" */

  /* client */
  const char *host;     /* of the Host header: "pub.example", "[::1]:8989" */
  const char *userinfo; /* "user:password", percent-encoded, or NULL */

  /* server: browsers name the page's origin, other clients none */
  const char *const *origins; /* those that may enter, as in "https://app.example" */
  size_t origins_count;
  bool asks;        /* before an upgrade is granted: MS__ASK_UPGRADE */
  bool any_origin;  /* else the listed, and pages of the host that is asked */
  const char *name; /* which this host has besides "localhost" and its addresses, or "" */
  const struct ms__front *fronts; /* that are believed */
  size_t fronts_count;
  union ms__inet *peer; /* in and out: who asks; NULL: nobody in front is believed */
};

/* Has OpenSSL do once what a server of WebSocket needs: what is missing when it does so for the
 * first time is missing for ever after. False: no memory. */
bool ms__http_ready(void);

/* Options of proxy, a server's; kept until its handshake is over. */
struct ms__proxy_opts {
  union ms__inet *peer; /* out: who is behind the proxy */
};

/* Options of ws, kept as long as the connection. */
struct ms__ws_opts {
  uint32_t ping_msec; /* how long a peer may be silent before it is asked; 0: for ever */
  uint64_t frame_max, message_max; /* bytes; the latter where it is topmost */
  uint32_t fragments_max;          /* of a message */
  bool text;                       /* under nothing, text is bytes too */
};

/* Options of shs, kept until its handshake is over. */
struct ms__shs_opts {
  const uint8_t *network_key;  /* MS_KEY_BYTES */
  const ms_identity *identity; /* ours; a client with a seed uses the one made from it */
  const uint8_t *server_key;   /* client: MS_KEY_BYTES, whom we mean to reach; server: NULL */
};

#endif
