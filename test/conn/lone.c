#include "lone.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

enum { QUEUE = 1 << 18, STEPS = 100000 };

static void on_question(ms_conn *c, const struct ms__question *q) {
  struct lone *l = c->owner;
  (void)q;
  l->questions++;
}

static void on_open(ms_conn *c) {
  ((struct lone *)c->owner)->opens++;
}

static void on_readable(ms_conn *c) {
  struct lone *l = c->owner;
  const uint8_t *p;
  size_t n;
  l->readables++;
  if (l->paused) return;
  n = ms_conn_peek(c, &p);
  if (l->head) {
    n = l->head;
    l->head = 0;
    ms_conn_need(c, l->body);
  }
  for (size_t i = 0; i < n && l->got_n < sizeof l->got; i++)
    l->got[l->got_n++] = p[i];
  l->read_n += n;
  if (l->echo) assert_int_equal(ms_conn_write(c, p, n), n);
  ms_conn_consume(c, n);
}

static void on_end(ms_conn *c) {
  ((struct lone *)c->owner)->ends++;
}

static void on_writable(ms_conn *c) {
  uint8_t *room;
  ((struct lone *)c->owner)->writables++;
  (void)ms_conn_reserve(c, &room, 1 << 20); /* more than there can ever be */
}

static void on_close(ms_conn *c, const ms_error *err) {
  struct lone *l = c->owner;
  l->closes++;
  l->error = err ? err->code : 0;
  if (err) memcpy(l->message, err->message, sizeof l->message);
}

static void on_gone(ms_conn *c) {
  struct lone *l = c->owner;
  l->conn = l->wire.conn = NULL;
}

static const struct ms__events events = {
    .question = on_question,
    .open = on_open,
    .readable = on_readable,
    .end = on_end,
    .writable = on_writable,
    .close = on_close,
    .gone = on_gone,
};

static const struct ms__http_opts http_opts = {
    .path = "", .host = "h", .any_origin = true, .name = ""};
static const struct ms__ws_opts ws_opts = {1000, 1 << 20, 1 << 20, 1000, true};

void lone_begin(struct lone *l, bool server, const struct ms__layer *const *layers, size_t n,
                const void *opts, uint32_t block) {
  struct ms__layer_spec specs[8];
  memset(l, 0, sizeof *l);
  l->now = 1000;
  fake_queue_init(&l->to_us, QUEUE);
  fake_queue_init(&l->from_us, QUEUE);
  ms__env_init(&l->env, &ms__default_allocator, block);
  l->env.drain_msec = 5000;
  fake_wire_init(&l->wire, &l->rng, &l->env, &l->from_us, &l->to_us, &l->blame);
  l->wire.takes_at_once = true;
  for (size_t i = 0; i < n; i++) {
    specs[i].layer = layers[i];
    specs[i].opts = layers[i] == &ms__shs    ? opts
                    : layers[i] == &ms__http ? (const void *)&http_opts
                    : layers[i] == &ms__ws   ? (const void *)&ws_opts
                                             : &l->toys;
  }
  l->wire.conn = l->conn =
      ms__conn_new(&l->env, &l->wire.wire, server, specs, n, l->now + 15000, &events, l);
  assert_non_null(l->conn);
}

static bool step(struct lone *l) {
  if (ms__env_waits(&l->env)) {
    (void)ms__env_run(&l->env, l->now);
  } else if (l->conn && fake_wire_can_deliver(&l->wire)) {
    fake_wire_deliver(&l->wire, l->now, SIZE_MAX);
  } else if (l->conn && fake_wire_can_finish(&l->wire)) {
    fake_wire_finish(&l->wire, l->now, SIZE_MAX);
  } else if (ms__env_due(&l->env) <= l->now) {
    ms__env_ring(&l->env, l->now);
  } else {
    return false;
  }
  return true;
}

void lone_run(struct lone *l) {
  size_t steps = 0;
  while (step(l))
    if (++steps > STEPS) fail_msg("it does not come to rest");
  if (l->blame) fail_msg("%s", l->blame);
}

void lone_wait(struct lone *l, uint64_t msec) {
  uint64_t until = l->now + msec;
  lone_run(l);
  while (ms__env_due(&l->env) <= until) {
    l->now = ms__env_due(&l->env);
    lone_run(l);
  }
  l->now = until;
}

void lone_put(struct lone *l, const void *p, size_t n) {
  assert_int_equal(fake_queue_put(&l->to_us, p, n), n);
}

void lone_put_frame(struct lone *l, const void *p, size_t n) {
  const uint8_t head[2] = {(uint8_t)(n >> 8), (uint8_t)n};
  lone_put(l, head, 2);
  lone_put(l, p, n);
}

size_t lone_take(struct lone *l, void *p, size_t n) {
  return fake_queue_get(&l->from_us, p, n);
}

void lone_expect(struct lone *l, const char *bytes, size_t n) {
  uint8_t buf[4096];
  assert_int_equal(lone_take(l, buf, sizeof buf), n);
  if (n) assert_memory_equal(buf, bytes, n);
}

void lone_begin_two(struct lone *l, const struct ms__layer *above) {
  if (above)
    lone_begin(l, SERVER, LAYERS(&toy_two, above), NULL, BLOCK);
  else
    lone_begin(l, SERVER, LAYERS(&toy_two), NULL, BLOCK);
  lone_put(l, "two+try?", 8);
  lone_run(l);
  lone_expect(l, "two+yes!", 8);
  assert_int_equal(l->opens, 1);
}

void lone_end(struct lone *l) {
  assert_null(l->conn);
  assert_int_equal(l->closes, 1);
  assert_int_equal(l->env.pool.out, 0);
  ms__env_done(&l->env);
  fake_queue_free(&l->to_us);
  fake_queue_free(&l->from_us);
}
