#include "fake_wire.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

void fake_queue_init(struct fake_queue *q, size_t size) {
  memset(q, 0, sizeof *q);
  q->ring = malloc(size);
  q->size = size;
  if (!q->ring) abort();
}

void fake_queue_free(struct fake_queue *q) {
  free(q->ring);
}

static void put_byte(struct fake_queue *q, uint8_t byte) {
  q->ring[(q->from + q->length++) % q->size] = byte;
}

size_t fake_queue_put(struct fake_queue *q, const uint8_t *p, size_t n) {
  size_t k = 0;
  while (k < n) {
    if (q->fault != FAKE_NO_FAULT && q->total == q->fault_at) {
      enum fake_fault fault = q->fault;
      q->fault = FAKE_NO_FAULT;
      if (fault == FAKE_FLIP) {
        if (q->length == q->size) {
          q->fault = fault;
          break;
        }
        put_byte(q, p[k++] ^ 0x10);
        q->total++;
        continue;
      }
      q->severed = true;
      if (fault == FAKE_FIN) q->fin = true;
      if (fault == FAKE_RST) q->rst = true;
    }
    if (!q->severed && !q->abandoned) {
      if (q->length == q->size) break;
      put_byte(q, p[k]);
    }
    k++;
    q->total++;
  }
  return k;
}

size_t fake_queue_get(struct fake_queue *q, uint8_t *p, size_t n) {
  size_t k = 0;
  for (; k < n && q->length; k++, q->length--) {
    p[k] = q->ring[q->from];
    q->from = (q->from + 1) % q->size;
  }
  return k;
}

static bool is_dead(const struct fake_wire *w) {
  return w->tx->rst || w->rx->rst;
}

static size_t put(struct fake_wire *w, const uint8_t *p, size_t n) {
  size_t k = fake_queue_put(w->tx, p, n);
  if (w->tx->rst) w->rx->rst = true; /* a reset kills both directions */
  return k;
}

static void fake_attach(struct ms__wire *wire, ms_conn *conn) {
  ((struct fake_wire *)wire)->conn = conn;
}

static ptrdiff_t fake_write(struct ms__wire *wire, const uint8_t *p, size_t n) {
  struct fake_wire *w = (struct fake_wire *)wire;
  if (w->closed || w->fin || w->flying)
    *w->blame = "a write to a wire that is closed, ended or busy";
  if (is_dead(w)) return -ECONNRESET;
  if (w->tx->abandoned && rng_once_in(w->rng, 2)) {
    if (!w->rx->fin && w->has_rst) w->rx->rst = true;
    return -EPIPE;
  }
  if (w->stuck || rng_once_in(w->rng, 4)) return 0;
  return (ptrdiff_t)put(w, p, rng_once_in(w->rng, 2) ? n : rng_size(w->rng, n));
}

static int fake_send(struct ms__wire *wire, const struct ms__edge *flight) {
  struct fake_wire *w = (struct fake_wire *)wire;
  if (w->closed || w->fin || w->flying)
    *w->blame = "a send on a wire that is closed, ended or busy";
  if (!(w->request = ms__malloc(w->env->allocator, 200))) return -ENOMEM;
  w->flight = *flight;
  w->flying = true;
  return 0;
}

/* The ends of the end layer have both passed, or nobody waits for them (layer-interface, 6). */
static bool may_fin(const ms_conn *c) {
  if (c->closing || c->failed || c->detached || c->end_layer == -1) return true;
  return c->in_end && c->slots[c->end_layer].ended;
}

static void fake_fin(struct ms__wire *wire) {
  struct fake_wire *w = (struct fake_wire *)wire;
  if (w->closed || w->fin || w->flying) *w->blame = "a FIN on a wire that is closed, ended or busy";
  if (w->conn && !may_fin(w->conn)) *w->blame = "a FIN before both ends of the end layer";
  w->fin = true;
  if (!w->tx->severed) w->tx->fin = true;
}

/* A side that is gone has forgotten what it had not taken. */
static size_t fake_untaken(struct ms__wire *wire) {
  const struct fake_wire *w = (const struct fake_wire *)wire;
  if (w->closed) *w->blame = "a question to a wire that is closed";
  if (w->untaken) return w->untaken;
  return w->takes_at_once ? 0 : w->tx->length;
}

static int fake_lost(struct ms__wire *wire) {
  const struct fake_wire *w = (const struct fake_wire *)wire;
  if (w->closed) *w->blame = "a question to a wire that is closed";
  return is_dead(w) ? -ECONNRESET : w->tx->abandoned ? -EPIPE : 0;
}

static void fake_reading(struct ms__wire *wire, bool on) {
  struct fake_wire *w = (struct fake_wire *)wire;
  if (w->reading == on) *w->blame = "reading was switched to what it is";
  w->reading = on;
}

static void land(struct fake_wire *w) {
  ms__pool_give(&w->env->pool, w->flight.block, w->flight.size,
                w->flight.secret ? w->flight.high : 0);
  ms__free(w->env->allocator, w->request);
  w->flying = false;
}

static void fake_close(struct ms__wire *wire, bool reset) {
  struct fake_wire *w = (struct fake_wire *)wire;
  if (w->closed) *w->blame = "a wire was closed twice";
  w->closed = true;
  w->reading = false;
  if (w->flying) land(w);
  /* a system that still has something unread resets, too */
  if (w->rx->length && !w->rx->severed) reset = reset || rng_once_in(w->rng, 2);
  w->rx->abandoned = true;
  w->rx->length = 0;
  if (reset && w->has_rst && !(w->fin && w->tx->length == 0)) {
    w->tx->rst = true;
    if (rng_once_in(w->rng, 2)) w->tx->length = 0;
  } else if (!w->tx->severed) {
    w->tx->fin = true;
  }
  w->tx->severed = true;
}

static const struct ms__wire_ops ops = {
    .attach = fake_attach,
    .write = fake_write,
    .send = fake_send,
    .fin = fake_fin,
    .untaken = fake_untaken,
    .lost = fake_lost,
    .reading = fake_reading,
    .close = fake_close,
};

void fake_wire_init(struct fake_wire *w, struct rng *rng, struct ms__env *env,
                    struct fake_queue *tx, struct fake_queue *rx, const char **blame) {
  memset(w, 0, sizeof *w);
  w->wire.ops = &ops;
  w->rng = rng;
  w->env = env;
  w->tx = tx;
  w->rx = rx;
  w->has_rst = true;
  w->blame = blame;
}

bool fake_wire_can_deliver(const struct fake_wire *w) {
  return w->reading && !w->closed && (w->rx->length || w->rx->fin || w->rx->rst);
}

bool fake_wire_can_finish(const struct fake_wire *w) {
  if (!w->flying || w->stuck) return false;
  return is_dead(w) || w->tx->severed || w->tx->abandoned || w->tx->length < w->tx->size;
}

void fake_wire_deliver(struct fake_wire *w, uint64_t now, size_t most) {
  if (w->rx->length) {
    struct ms__dst d = ms__conn_read_room(w->conn);
    if (d.n == 0)
      ms__conn_read_done(w->conn, -ENOMEM);
    else
      ms__conn_read_done(w->conn, (ptrdiff_t)fake_queue_get(w->rx, d.p, ms__min(d.n, most)));
  } else {
    ms__conn_read_done(w->conn, w->rx->rst ? -ECONNRESET : 0);
  }
  ms__conn_turn(w->conn, now);
}

void fake_wire_finish(struct fake_wire *w, uint64_t now, size_t most) {
  struct ms__edge *e = &w->flight;
  int status = 0;
  if (is_dead(w)) {
    status = -ECONNRESET;
  } else {
    size_t k = put(w, e->block + e->off, ms__min(e->len, most));
    e->off += (uint32_t)k;
    e->len -= (uint32_t)k;
    if (e->len) return;
  }
  land(w);
  ms__conn_sent(w->conn, status);
  ms__conn_turn(w->conn, now);
}
