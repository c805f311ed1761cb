/* An edge: the bounded buffer between two layers, or between a layer and the transport or the
 * application. It owns a block of the pool only while it holds bytes. */
#ifndef MS_CONN_EDGE_H
#define MS_CONN_EDGE_H

#include "conn/pool.h"
#include "layer/layer.h"

struct ms__edge {
  uint8_t *block;    /* NULL: none */
  uint32_t size;     /* of the block */
  uint32_t off, len; /* the bytes: block[off, off + len) */
  uint32_t high;     /* block[0, high) was written to: what a secret edge wipes */
  uint32_t capacity; /* the most bytes it may ever hold, the size of a block that receives */
  uint32_t changes;  /* raised by bytes in, bytes out and fin */
  bool fin;          /* nothing will follow */
  bool secret;       /* wiped before its block is reused */
};

/* Bytes that still fit, wherever in the block they lie. */
static inline size_t ms__edge_room(const struct ms__edge *e) {
  return e->capacity - e->len;
}

/* The bytes held, in one piece. */
static inline struct ms__src ms__edge_bytes(const struct ms__edge *e) {
  struct ms__src s = {e->len ? e->block + e->off : NULL, e->len};
  return s;
}

/* Makes `room` bytes of tail available where the capacity allows, in a block of full size: takes
 * one, moves to one, or compacts. False when the pool has none. */
bool ms__edge_open(struct ms__pool *pool, struct ms__edge *e, size_t room);

/* The room behind the last byte; the edge is open. */
static inline struct ms__dst ms__edge_tail(const struct ms__edge *e) {
  struct ms__dst d = {e->block + e->off + e->len, e->size - e->off - e->len};
  return d;
}

/* n bytes were written to the tail. */
void ms__edge_put(struct ms__edge *e, size_t n);

/* n bytes were taken from the front. */
void ms__edge_take(struct ms__edge *e, size_t n);

/* Nothing will follow. */
void ms__edge_finish(struct ms__edge *e);

/* Moves all bytes to the block's front. */
void ms__edge_compact(struct ms__edge *e);

/* At rest an edge that is empty owns no block, and a remainder that fits a class below half its
 * block moves there. */
void ms__edge_settle(struct ms__pool *pool, struct ms__edge *e);

/* Throws the bytes away and gives the block back. */
void ms__edge_drop(struct ms__pool *pool, struct ms__edge *e);

#endif
