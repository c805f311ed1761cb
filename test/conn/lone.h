/* One connection whose peer is the test: bytes are put into one queue and taken from the other. */
#ifndef TEST_STACK_LONE_H
#define TEST_STACK_LONE_H

#include "fake_wire.h"
#include "toys.h"

#define LAYERS(...)                               \
  (const struct ms__layer *const[]){__VA_ARGS__}, \
      sizeof((const struct ms__layer *const[]){__VA_ARGS__}) / sizeof(struct ms__layer *)

enum { BLOCK = 4400, CLIENT = 0, SERVER = 1 };

struct lone {
  struct rng rng;
  struct ms__env env;
  struct fake_queue to_us, from_us;
  struct fake_wire wire;
  struct toy_opts toys;
  ms_conn *conn; /* NULL: gone */
  const char *blame;
  uint64_t now;
  bool echo, paused; /* writes back what it reads; reads nothing */
  size_t head, body; /* not 0: reads a head, then asks for a body at once */
  unsigned questions, opens, readables, writables, ends, closes;
  int error;
  char message[256]; /* of that */
  uint8_t got[4096]; /* what the application read, its first bytes */
  size_t got_n, read_n;
};

/* A connection over `n` layers; each gets `l->toys` as its options, shs gets `opts`. */
void lone_begin(struct lone *l, bool server, const struct ms__layer *const *layers, size_t n,
                const void *opts, uint32_t block);

/* Lets everything happen that can without the clock. Fails when it does not stop. */
void lone_run(struct lone *l);

/* The clock goes on, and what is due happens. */
void lone_wait(struct lone *l, uint64_t msec);

/* The peer's bytes, and an lp frame of them. */
void lone_put(struct lone *l, const void *p, size_t n);
void lone_put_frame(struct lone *l, const void *p, size_t n);

/* What the connection has sent since: at most n bytes. */
size_t lone_take(struct lone *l, void *p, size_t n);

/* It has sent these since, and no more. */
void lone_expect(struct lone *l, const char *bytes, size_t n);

/* A server over toy_two and, unless it is NULL, another layer; open. */
void lone_begin_two(struct lone *l, const struct ms__layer *above);

/* Nothing may be left; the connection must be gone. */
void lone_end(struct lone *l);

#endif
