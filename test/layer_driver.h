/* Plays the pump for one layer, without time, questions answered by the test: input arrives in
 * pieces, room is what the test gives. */
#ifndef TEST_LAYER_DRIVER_H
#define TEST_LAYER_DRIVER_H

#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "base/identity.h"
#include "layer/layer.h"

struct bytes {
  uint8_t *p;
  size_t n, size;
};

static inline void bytes_add(struct bytes *b, const void *p, size_t n) {
  if (b->n + n > b->size) {
    b->size = 2 * (b->n + n);
    b->p = realloc(b->p, b->size);
    if (!b->p) abort();
  }
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
}

static inline void bytes_free(struct bytes *b) {
  free(b->p);
  memset(b, 0, sizeof *b);
}

/* Somebody new. */
static inline void random_identity(struct ms_identity *out) {
  uint8_t seed[MS_KEY_BYTES];
  randombytes_buf(seed, sizeof seed);
  ms__identity_derive(out, seed);
}

struct driver {
  const struct ms__layer *layer;
  void *state, *scratch;
  bool up, asked, proved;
  int result;            /* of the last step */
  struct bytes in;       /* wire_in, not yet taken */
  struct bytes wire_out; /* all that was written */
  struct bytes app_in;   /* all that was decoded */
  uint8_t question[MS_KEY_BYTES];
};

static inline void driver_begin_at(struct driver *d, const struct ms__layer *layer, bool server,
                                   bool top, const void *opts) {
  struct ms__role role = {.server = server, .top = top, .opts = opts};
  memset(d, 0, sizeof *d);
  d->layer = layer;
  d->state = calloc(1, layer->state + 1);
  d->scratch = role.scratch = calloc(1, layer->scratch + 1);
  if (!d->state || !d->scratch) abort();
  d->result = layer->init ? layer->init(d->state, &role) : 0;
}

static inline void driver_begin(struct driver *d, const struct ms__layer *layer, bool server,
                                const void *opts) {
  driver_begin_at(d, layer, server, true, opts);
}

static inline void driver_end(struct driver *d) {
  free(d->state);
  free(d->scratch);
  bytes_free(&d->in);
  bytes_free(&d->wire_out);
  bytes_free(&d->app_in);
}

/* What a step wrote into its `room`, checked. */
static inline void driver_wrote(struct bytes *to, const uint8_t *out, size_t room, size_t left) {
  if (left > room) {
    (void)fprintf(stderr, "a step wrote more than its %zu bytes of room\n", room);
    abort();
  }
  bytes_add(to, out, room - left);
}

/* One step with all the input there is. Decoding has `room` bytes of room; a handshake what the
 * layer says that it needs, and not one more. */
static inline int driver_step(struct driver *d, size_t room) {
  uint8_t *out = malloc(room + d->layer->room_down + 1);
  struct ms__port p = {.wire_in = {d->in.n ? d->in.p : NULL, d->in.n}};
  size_t left;
  if (!out) abort();
  if (!d->up) {
    room = d->layer->room_down;
    p.scratch = d->scratch;
    p.wire_out = (struct ms__dst){out, room};
    d->result = d->layer->handshake(d->state, &p);
    driver_wrote(&d->wire_out, out, room, p.wire_out.n);
    if (d->result == MS__DONE) d->up = true;
    if (d->result == MS__ASK) {
      d->asked = true;
      if (p.question.len)
        memcpy(d->question, p.question.data, ms__min(p.question.len, sizeof d->question));
    }
    d->proved |= p.proved;
  } else {
    p.app_in = (struct ms__dst){out, room};
    d->result = d->layer->decode(d->state, &p);
    driver_wrote(&d->app_in, out, room, p.app_in.n);
  }
  left = p.wire_in.n;
  if (left) memmove(d->in.p, d->in.p + (d->in.n - left), left);
  d->in.n = left;
  free(out);
  return d->result;
}

static inline int driver_answer(struct driver *d, bool yes) {
  uint8_t out[512];
  struct ms__port p = {.scratch = d->scratch, .wire_out = {out, sizeof out}};
  struct ms__answer a = {.yes = yes};
  d->asked = false;
  d->result = d->layer->answer(d->state, &p, &a);
  bytes_add(&d->wire_out, out, sizeof out - p.wire_out.n);
  if (d->result == MS__DONE) d->up = true;
  return d->result;
}

/* Feeds bytes in pieces of `chunk` and steps until nothing more happens. Questions are answered
 * with yes. The last result. */
static inline int driver_feed(struct driver *d, const uint8_t *p, size_t n, size_t chunk,
                              size_t room) {
  for (;;) {
    size_t k = n < chunk ? n : chunk, before;
    bytes_add(&d->in, p, k);
    p = k ? p + k : p;
    n -= k;
    do {
      bool was_up = d->up;
      before = d->in.n;
      if (driver_step(d, room) == MS__ASK) (void)driver_answer(d, true);
      if (was_up && (d->result & ~MS__WANT_ENCODE) == MS__DONE)
        return d->result; /* the peer's end */
    } while (d->result >= 0 && (d->result == MS__FULL || (d->in.n && d->in.n < before)));
    if (d->result < 0 || n == 0) return d->result;
  }
}

/* Writes through encode, with `room` at a time. */
static inline void driver_write(struct driver *d, const uint8_t *p, size_t n, size_t room) {
  struct ms__src src = {p, n};
  uint8_t *out = malloc(room);
  int r;
  if (!out) abort();
  do {
    struct ms__port port = {.app_out = src, .wire_out = {out, room}};
    r = d->layer->encode(d->state, &port);
    src = port.app_out;
    bytes_add(&d->wire_out, out, room - port.wire_out.n);
  } while (r == MS__FULL);
  d->result = r;
  free(out);
}

static inline void driver_finish(struct driver *d, int err) {
  uint8_t out[512];
  struct ms__port p = {.wire_out = {out, sizeof out}};
  d->result = d->layer->end(d->state, &p, err);
  bytes_add(&d->wire_out, out, sizeof out - p.wire_out.n);
}

#endif
