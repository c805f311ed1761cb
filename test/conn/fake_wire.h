/* A transport without a system: two byte queues between two wires, with everything that a network
 * does to bytes. It moves only when the test says so. */
#ifndef TEST_STACK_FAKE_WIRE_H
#define TEST_STACK_FAKE_WIRE_H

#include "conn/conn.h"
#include "rng.h"

/* What is done to a queue once so many bytes went into it. */
enum fake_fault { FAKE_NO_FAULT, FAKE_FIN, FAKE_RST, FAKE_FLIP };

/* One direction. */
struct fake_queue {
  uint8_t *ring;
  size_t size, from, length;
  uint64_t total; /* bytes ever put */
  enum fake_fault fault;
  uint64_t fault_at;
  bool fin, rst;  /* after the bytes */
  bool severed;   /* what is put is lost */
  bool abandoned; /* nobody reads any more */
};

struct fake_wire {
  struct ms__wire wire; /* first: the pump's pointer is ours */
  struct rng *rng;
  struct ms__env *env;
  ms_conn *conn;
  struct fake_queue *tx, *rx;
  struct ms__edge flight;
  void *request; /* what libuv's write request is: an allocation */
  bool flying, reading, closed, fin;
  bool has_rst;       /* no: as a unix socket, a reset looks like an end */
  bool stuck;         /* writes are accepted by nobody */
  bool takes_at_once; /* what is in the queue has been taken: TCP, whose system acknowledges */
  size_t untaken;     /* not 0: so much has not been */
  const char **blame; /* where to say what the pump did wrong */
};

void fake_queue_init(struct fake_queue *q, size_t size);
void fake_queue_free(struct fake_queue *q);

/* Joins two wires; the caller sets `conn` when it has one. */
void fake_wire_init(struct fake_wire *w, struct rng *rng, struct ms__env *env,
                    struct fake_queue *tx, struct fake_queue *rx, const char **blame);

/* Can it deliver, or finish a part of a pending write? */
bool fake_wire_can_deliver(const struct fake_wire *w);
bool fake_wire_can_finish(const struct fake_wire *w);

/* Does it, with a turn. */
void fake_wire_deliver(struct fake_wire *w, uint64_t now, size_t most);
void fake_wire_finish(struct fake_wire *w, uint64_t now, size_t most);

/* Bytes of a peer that has no stack. fake_get takes what is there. */
size_t fake_queue_put(struct fake_queue *q, const uint8_t *p, size_t n);
size_t fake_queue_get(struct fake_queue *q, uint8_t *p, size_t n);

#endif
