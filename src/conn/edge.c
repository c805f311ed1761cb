#include "conn/edge.h"

static void give(struct ms__pool *pool, struct ms__edge *e) {
  ms__pool_give(pool, e->block, e->size, e->secret ? e->high : 0);
  e->block = NULL;
  e->size = e->off = e->high = 0;
}

/* Moves to a block of another size. False when there is none. */
static bool move(struct ms__pool *pool, struct ms__edge *e, uint32_t size) {
  uint8_t *block = ms__pool_take(pool, size);
  if (!block) return false;
  if (e->block) {
    if (e->len) memcpy(block, e->block + e->off, e->len);
    give(pool, e);
  }
  e->block = block;
  e->size = size;
  e->high = e->len;
  return true;
}

bool ms__edge_open(struct ms__pool *pool, struct ms__edge *e, size_t room) {
  if (e->size < e->capacity) return move(pool, e, e->capacity);
  if (e->size - e->off - e->len < room) ms__edge_compact(e);
  return true;
}

void ms__edge_put(struct ms__edge *e, size_t n) {
  if (n == 0) return;
  e->len += (uint32_t)n;
  if (e->off + e->len > e->high) e->high = e->off + e->len;
  e->changes++;
}

void ms__edge_take(struct ms__edge *e, size_t n) {
  if (n == 0) return;
  e->off += (uint32_t)n;
  e->len -= (uint32_t)n;
  if (e->len == 0) e->off = 0;
  e->changes++;
}

void ms__edge_finish(struct ms__edge *e) {
  if (e->fin) return;
  e->fin = true;
  e->changes++;
}

void ms__edge_compact(struct ms__edge *e) {
  if (e->off == 0) return;
  memmove(e->block, e->block + e->off, e->len);
  e->off = 0;
}

void ms__edge_settle(struct ms__pool *pool, struct ms__edge *e) {
  uint32_t class;
  if (!e->block) return;
  if (e->len == 0) {
    give(pool, e);
    return;
  }
  class = ms__pool_class(pool, e->len);
  /* without memory for the smaller block, the large one serves as well */
  if (class < e->size / 2) (void)move(pool, e, class);
}

void ms__edge_drop(struct ms__pool *pool, struct ms__edge *e) {
  if (e->len) e->changes++;
  e->len = 0;
  if (e->block) give(pool, e);
}
