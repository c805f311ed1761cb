/* Who is read from in a turn of the loop whose time is used up, and who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conn/conn.h"

enum {
  CROWD = 20,
  SHARE = 400000, /* as in src/conn/turns.c */
  STEP = SHARE / 4,
  LITTLE = 4096
};

static uint64_t ticks;

/* Whoever looks has spent a quarter of a share. */
static uint64_t slow_clock(void) {
  return ticks += STEP;
}

/* ---- A handshake that never ends ---- */

static int be_dripped_on(void *st, struct ms__port *p) {
  (void)st;
  ms__skip(&p->wire_in, p->wire_in.n);
  return MS__MORE;
}

static const struct ms__layer drips = {
    .name = "drips", .need_in = 1, .room_up = 1, .room_down = 1, .handshake = be_dripped_on};

/* ---- A wire that always has a byte ---- */

struct visitor {
  struct ms__wire wire; /* first: the pump's pointer is ours */
  ms_conn *conn;
  int reads;
};

static void read_byte(struct visitor *v) {
  assert_true(ms__conn_read_room(v->conn).n > 0);
  ms__conn_read_done(v->conn, 1);
  v->reads++;
}

static void attach(struct ms__wire *wire, ms_conn *conn) {
  ((struct visitor *)wire)->conn = conn;
}

static ptrdiff_t be_read(struct ms__wire *wire, uint8_t *p, size_t n) {
  (void)n;
  *p = 0;
  ((struct visitor *)wire)->reads++;
  return 1;
}

static void set_reading(struct ms__wire *wire, bool on) {
  (void)wire;
  (void)on;
}

static void be_closed(struct ms__wire *wire, bool reset) {
  (void)wire;
  (void)reset;
}

static size_t untaken(struct ms__wire *wire) {
  (void)wire;
  return 0;
}

static const struct ms__wire_ops ops = {.untaken = untaken,
                                        .attach = attach,
                                        .read = be_read,
                                        .reading = set_reading,
                                        .close = be_closed};

static void nothing(ms_conn *c) {
  (void)c;
}

static void on_readable(ms_conn *c) {
  const uint8_t *p;
  ms_conn_consume(c, ms_conn_peek(c, &p));
}

static void on_close(ms_conn *c, const ms_error *err) {
  (void)c;
  (void)err;
}

static const struct ms__events events = {.open = nothing,
                                         .readable = on_readable,
                                         .end = nothing,
                                         .writable = nothing,
                                         .close = on_close,
                                         .gone = nothing};

static void come(struct ms__env *env, struct visitor *v, const struct ms__layer *layer) {
  struct ms__layer_spec spec = {layer, NULL};
  *v = (struct visitor){.wire = {.ops = &ops}};
  v->conn = ms__conn_new(env, &v->wire, true, &spec, layer ? 1 : 0, MS__NEVER, &events, v);
  assert_non_null(v->conn);
}

/* The loop says that there is something to read. */
static size_t poll_tells(struct visitor *v) {
  size_t most = ms__conn_may_read(v->conn);
  if (!most) return 0;
  read_byte(v);
  ms__conn_run(v->conn, 0, 1);
  return most;
}

/* ---- Cases ---- */

/* A byte of each is read at last, and nobody who is in waits for that. */
static void a_crowd_in_its_handshake_has_a_share(void **state) {
  struct visitor crowd[CROWD], honest;
  struct ms__env env;
  int at_once = 0;
  (void)state;
  ms__env_init(&env, &ms__default_allocator, MS__BLOCK);
  for (int i = 0; i < CROWD; i++)
    come(&env, &crowd[i], &drips);
  come(&env, &honest, NULL);
  while (ms__env_waits(&env))
    (void)ms__env_run(&env, 0);
  env.clock = slow_clock;
  for (int i = 0; i < CROWD; i++)
    at_once += poll_tells(&crowd[i]) > 0;
  assert_in_range(at_once, 1, SHARE / STEP + 1);
  assert_int_equal(env.handshaking.count, CROWD - at_once);
  for (int i = 0; i < CROWD; i++) /* the next poll says so, too */
    if (!crowd[i].reads) assert_int_equal(poll_tells(&crowd[i]), 0);
  assert_int_equal(poll_tells(&honest), LITTLE);
  assert_int_equal(honest.reads, 1);
  for (int read = at_once; env.handshaking.count > 0;) {
    int before = read;
    (void)ms__env_run(&env, 0);
    read = CROWD - (int)env.handshaking.count;
    assert_in_range(read - before, 1, SHARE / STEP + 1);
  }
  for (int i = 0; i < CROWD; i++) {
    assert_int_equal(crowd[i].reads, 1);
    ms_conn_abort(crowd[i].conn);
  }
  ms_conn_abort(honest.conn);
  while (ms__env_waits(&env))
    (void)ms__env_run(&env, 0);
  ms__env_done(&env);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_crowd_in_its_handshake_has_a_share),
  };
  return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
