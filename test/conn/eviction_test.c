/* Who has to go when buffers run short: those that have held most for longest without progress, for
 * which the application is not to blame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fake_wire.h"

enum { LEAST = 1 << 20, MANY = 80, FEW = 4, HEAD = 4, LONG = 40000, PART = 17500, QUEUE = 1 << 20 };

/* ---- A layer whose packets are seen in one piece ---- */

static int decode(void *st, struct ms__port *p) {
  (void)st;
  for (;;) {
    uint32_t n;
    if (p->wire_in.n < HEAD) return p->wire_in.n ? MS__MORE : MS__IDLE;
    memcpy(&n, p->wire_in.p, HEAD);
    if (p->wire_in.n < HEAD + n) return MS__MORE;
    if (p->app_in.n < n) return MS__FULL;
    ms__skip(&p->wire_in, HEAD);
    (void)ms__copy(&p->app_in, &p->wire_in, n);
  }
}

static int encode(void *st, struct ms__port *p) {
  (void)st;
  (void)ms__copy(&p->wire_out, &p->app_out, p->wire_out.n);
  return p->app_out.n ? MS__FULL : MS__IDLE;
}

static const struct ms__layer packets = {.name = "packets",
                                         .need_in = HEAD + LONG,
                                         .room_up = LONG,
                                         .room_down = 1,
                                         .decode = decode,
                                         .encode = encode};

/* ---- A layer that asks for its peer's key ---- */

static int ask(void *st, struct ms__port *p) {
  (void)st;
  if (p->wire_in.n < HEAD) return MS__MORE;
  ms__skip(&p->wire_in, HEAD);
  p->question = (struct ms__question){.kind = MS__ASK_KEY};
  return MS__ASK;
}

static int be_answered(void *st, struct ms__port *p, const struct ms__answer *answer) {
  static const uint8_t welcome[HEAD] = "yes";
  struct ms__src s = {welcome, HEAD};
  (void)st;
  (void)answer;
  ms__copy(&p->wire_out, &s, HEAD);
  return MS__DONE;
}

static const struct ms__layer asks = {.name = "asks",
                                      .need_in = HEAD,
                                      .room_up = 1,
                                      .room_down = HEAD,
                                      .handshake = ask,
                                      .answer = be_answered,
                                      .decode = decode,
                                      .encode = encode};

/* ---- Connections of one environment ---- */

struct peer {
  struct fake_queue to_us, from_us;
  struct fake_wire wire;
  ms_conn *conn; /* NULL: gone */
  bool paused;   /* the application does not read */
  bool wants;    /* it waits for more than there is */
  int questions, opens, writables, closes, code;
};

struct crowd {
  struct ms__env env;
  struct rng rng;
  const char *blame;
  uint64_t now;
  struct peer at[MANY];
  size_t n;
};

static void on_question(ms_conn *c, const struct ms__question *q) {
  struct peer *peer = c->owner;
  (void)q;
  peer->questions++;
}

static void on_open(ms_conn *c) {
  struct peer *peer = c->owner;
  peer->opens++;
}

static void on_end(ms_conn *c) {
  (void)c;
}

static void on_readable(ms_conn *c) {
  const struct peer *peer = c->owner;
  const uint8_t *p;
  if (peer->wants)
    ms_conn_need(c, ms_conn_peek(c, &p) + 1);
  else if (!peer->paused)
    ms_conn_consume(c, ms_conn_peek(c, &p));
}

static void on_writable(ms_conn *c) {
  struct peer *peer = c->owner;
  peer->writables++;
}

static void on_close(ms_conn *c, const ms_error *err) {
  struct peer *peer = c->owner;
  peer->closes++;
  peer->code = err ? err->code : 0;
}

static void on_gone(ms_conn *c) {
  struct peer *peer = c->owner;
  peer->conn = peer->wire.conn = NULL;
}

static const struct ms__events events = {.question = on_question,
                                         .open = on_open,
                                         .readable = on_readable,
                                         .end = on_end,
                                         .writable = on_writable,
                                         .close = on_close,
                                         .gone = on_gone};

static void begin(struct crowd *all, size_t limit) {
  memset(all, 0, sizeof *all);
  all->rng.state = 1; /* how writes are cut does not matter here */
  all->now = 1000;
  ms__env_init(&all->env, &ms__default_allocator, MS__BLOCK);
  all->env.drain_msec = 5000;
  all->env.pool.limit = limit;
}

static void run(struct crowd *all) {
  bool more = true;
  while (more) {
    more = false;
    while (ms__env_waits(&all->env))
      (void)ms__env_run(&all->env, all->now);
    for (size_t i = 0; i < all->n; i++) {
      struct peer *p = &all->at[i];
      if (p->conn && fake_wire_can_deliver(&p->wire))
        fake_wire_deliver(&p->wire, all->now, SIZE_MAX);
      else if (p->conn && fake_wire_can_finish(&p->wire))
        fake_wire_finish(&p->wire, all->now, SIZE_MAX);
      else
        continue;
      more = true;
    }
  }
  if (all->blame) fail_msg("%s", all->blame);
  assert_true(all->env.pool.out_bytes <= all->env.pool.limit);
}

static struct peer *come_over(struct crowd *all, const struct ms__layer *layer) {
  struct ms__layer_spec spec = {layer, NULL};
  struct peer *p = &all->at[all->n++];
  assert_true(all->n <= MANY);
  fake_queue_init(&p->to_us, QUEUE);
  fake_queue_init(&p->from_us, QUEUE);
  fake_wire_init(&p->wire, &all->rng, &all->env, &p->from_us, &p->to_us, &all->blame);
  p->wire.conn = p->conn =
      ms__conn_new(&all->env, &p->wire.wire, true, &spec, 1, MS__NEVER, &events, p);
  assert_non_null(p->conn);
  run(all);
  return p;
}

static struct peer *come(struct crowd *all) {
  return come_over(all, &packets);
}

/* So many bytes of a packet of `length`. */
static void put(struct crowd *all, struct peer *p, uint32_t length, size_t n) {
  static uint8_t bytes[HEAD + LONG];
  memcpy(bytes, &length, HEAD);
  assert_int_equal(fake_queue_put(&p->to_us, bytes, n), n);
  run(all);
}

static void pin(struct crowd *all, struct peer *p) {
  put(all, p, LONG, PART);
}

/* Others come until somebody has to go, one every so many milliseconds. */
static void until_short_every(struct crowd *all, uint64_t msec) {
  uint64_t before = all->env.starved;
  while (all->env.starved == before) {
    all->now += msec;
    pin(all, come(all));
  }
}

static void until_short(struct crowd *all) {
  until_short_every(all, 1);
}

static bool is_out(const struct peer *p) {
  if (p->closes) assert_int_equal(p->code, MS_ENOMEM);
  return p->closes > 0;
}

/* So many that it is enough when they go. */
static struct peer *few_pin(struct crowd *all) {
  struct peer *first = &all->at[all->n];
  for (int i = 0; i < FEW; i++)
    pin(all, come(all));
  return first;
}

static int count_out(const struct peer *first, int n) {
  int out = 0;
  for (int i = 0; i < n; i++)
    out += is_out(&first[i]);
  return out;
}

static void end(struct crowd *all) {
  for (size_t i = 0; i < all->n; i++)
    if (all->at[i].conn) ms_conn_abort(all->at[i].conn);
  run(all);
  for (size_t i = 0; i < all->n; i++) {
    assert_null(all->at[i].conn);
    assert_int_equal(all->at[i].closes, 1);
    fake_queue_free(&all->at[i].to_us);
    fake_queue_free(&all->at[i].from_us);
  }
  assert_null(all->env.holders_first);
  assert_int_equal(all->env.pool.out, 0);
  ms__env_done(&all->env);
}

/* ---- Cases ---- */

static struct crowd all;

/* Also at the least limit: whoever came first has held for longest, and nobody who holds nothing
 * goes. */
static void unfinished_packets_make_room(void **state) {
  struct peer *honest, *last;
  size_t out = 0;
  (void)state;
  begin(&all, LEAST);
  honest = come(&all);
  put(&all, honest, 100, HEAD + 100);
  for (size_t i = 1; i < MANY / 2; i++) {
    all.now += 10;
    last = come(&all);
    pin(&all, last);
    put(&all, honest, 100, HEAD + 100);
    assert_false(is_out(last)); /* there was room for whoever came last */
  }
  assert_false(is_out(honest));
  while (is_out(&all.at[1 + out]))
    out++;
  assert_true(out > 0);
  assert_int_equal(all.env.starved, out); /* the first, and no other */
  end(&all);
}

static void who_drips_makes_no_progress(void **state) {
  struct peer *drip, *came_later;
  (void)state;
  begin(&all, LEAST);
  drip = few_pin(&all);
  all.now += 20000;
  came_later = few_pin(&all);
  for (int i = 0; i < 50; i++) {
    all.now += 10;
    for (int j = 0; j < FEW; j++) {
      assert_int_equal(fake_queue_put(&drip[j].to_us, (const uint8_t *)"", 1), 1);
      run(&all);
    }
  }
  until_short(&all);
  assert_true(count_out(drip, FEW) > 0);
  assert_int_equal(count_out(came_later, FEW), 0);
  end(&all);
}

static void who_gets_packets_through_stays(void **state) {
  struct peer *slow, *stuck;
  (void)state;
  begin(&all, LEAST);
  slow = few_pin(&all); /* they always have one that is unfinished */
  all.now += 20000;
  stuck = few_pin(&all);
  for (int i = 0; i < 3; i++) {
    all.now += 10000;
    for (int j = 0; j < FEW; j++) {
      static uint8_t rest[HEAD + LONG - PART];
      assert_int_equal(fake_queue_put(&slow[j].to_us, rest, sizeof rest), sizeof rest);
      pin(&all, &slow[j]);
    }
  }
  until_short(&all);
  assert_int_equal(count_out(slow, FEW), 0);
  assert_true(count_out(stuck, FEW) > 0);
  end(&all);
}

/* More than the transport takes at once. */
static void send_much(struct crowd *crowd, struct peer *p) {
  static const uint8_t zeros[4096];
  while (!p->wire.flying) {
    while (ms_conn_write(p->conn, zeros, sizeof zeros) == (ptrdiff_t)sizeof zeros) {
    }
    (void)ms__env_run(&crowd->env, crowd->now);
    p->from_us.length = 0; /* it was read */
  }
}

static void who_does_not_read_goes_before_who_does(void **state) {
  struct peer *reads, *stuck;
  (void)state;
  begin(&all, LEAST);
  reads = come(&all);
  stuck = come(&all);
  stuck->wire.stuck = true;
  send_much(&all, reads);
  for (int i = 0; i < 20; i++) { /* it has a block in flight at all times */
    all.now += 1000;
    if (i == 10) send_much(&all, stuck);
    if (fake_wire_can_finish(&reads->wire)) fake_wire_finish(&reads->wire, all.now, SIZE_MAX);
    send_much(&all, reads);
  }
  reads->wire.stuck = true;
  until_short(&all);
  assert_true(is_out(stuck));
  assert_false(is_out(reads));
  end(&all);
}

static struct peer *leave_unread(struct crowd *crowd) {
  struct peer *unread = come(crowd);
  unread->paused = true;
  put(crowd, unread, LONG, HEAD + LONG);
  crowd->now += 100000;
  return unread;
}

/* That the application does not read is not the peer's fault; in the end it goes all the same. */
static void whom_the_application_leaves_unread_goes_last(void **state) {
  struct peer *unread;
  (void)state;
  begin(&all, LEAST);
  unread = leave_unread(&all);
  until_short_every(&all, 1000);
  assert_false(is_out(unread));
  for (size_t i = 1; i < all.n; i++)
    if (all.at[i].conn) ms_conn_abort(all.at[i].conn);
  run(&all);
  while (all.n < MANY && !is_out(unread)) {
    struct peer *p = come(&all);
    p->paused = true;
    all.now++;
    put(&all, p, LONG, HEAD + LONG);
  }
  assert_true(is_out(unread));
  end(&all);
}

/* Who has only just begun may be an honest one in its handshake. */
static void the_young_go_after_old_bytes_that_nobody_reads(void **state) {
  const struct peer *unread;
  (void)state;
  begin(&all, LEAST);
  unread = leave_unread(&all);
  until_short(&all);
  assert_true(is_out(unread));
  for (size_t i = 1; i < all.n; i++)
    assert_false(is_out(&all.at[i]));
  end(&all);
}

/* Those who came first went, who held `each` bytes; one less would not have made room for a block
 * with some to spare. */
static void assert_just_enough_went(size_t each) {
  assert_true((all.env.starved - 1) * each < MS__BLOCK + LEAST / 8);
  for (size_t i = 0; i < all.n; i++)
    assert_int_equal(is_out(&all.at[i]), i < all.env.starved);
}

/* Of a peer that does not read one block goes at once, the wire's. The application's own is coming,
 * and counts. */
static void no_more_go_than_it_takes(void **state) {
  static const uint8_t zeros[4096];
  (void)state;
  begin(&all, LEAST);
  while (all.env.starved == 0) {
    struct peer *p = come(&all);
    p->wire.stuck = true;
    all.now += 1000;
    send_much(&all, p);
    while (ms_conn_write(p->conn, zeros, sizeof zeros) == (ptrdiff_t)sizeof zeros) {
    }
    run(&all);
    assert_false(is_out(p));
  }
  assert_just_enough_went(2 * MS__BLOCK);
  end(&all);
}

/* Nothing of theirs can be had at once: whoever reads waits for it. */
static void who_reads_waits_for_what_is_coming(void **state) {
  (void)state;
  begin(&all, LEAST);
  while (all.env.starved == 0) {
    struct peer *p = come(&all);
    p->wants = true;
    all.now += 1000;
    put(&all, p, LONG, HEAD + LONG);
  }
  assert_just_enough_went(MS__BLOCK);
  end(&all);
}

static size_t say(struct peer *p, bool reserves) {
  static const uint8_t zeros[LONG];
  uint8_t *room;
  ptrdiff_t k = reserves ? (ptrdiff_t)ms_conn_reserve(p->conn, &room, LONG)
                         : ms_conn_write(p->conn, zeros, LONG);
  if (k < 0) fail_msg("write: %s", ms_code_text((int)k));
  if (reserves && k) ms_conn_commit(p->conn, LONG);
  return (size_t)k;
}

/* Until fewer than two blocks are left: who holds them holds what nobody can take at once. */
static void fill(struct crowd *crowd) {
  while (crowd->env.pool.out_bytes + 2 * MS__BLOCK <= LEAST) {
    struct peer *p = come(crowd);
    p->wants = true;
    put(crowd, p, LONG, HEAD + LONG);
  }
  crowd->now += 100000;
}

/* A write that finds no memory is told when it has come, however it is made. */
static void who_writes_waits_for_what_is_coming(void **state) {
  (void)state;
  for (int reserves = 0; reserves <= 1; reserves++) {
    struct peer *p;
    size_t i = 0;
    begin(&all, LEAST);
    while (all.n < FEW)
      (void)come(&all);
    fill(&all);
    do
      p = &all.at[i++];
    while (i < FEW && say(p, reserves) > 0);
    assert_int_equal(all.env.starved, 1);
    assert_true(ms_conn_write_blocked(p->conn));
    run(&all);
    assert_false(is_out(p));
    assert_int_equal(p->writables, 1);
    assert_true(say(p, reserves) > 0);
    end(&all);
  }
}

static unsigned looks;

static uint64_t count_looks(void) {
  return ++looks;
}

/* Whoever waits in a queue for what others give back in their next turn has none before that. */
static void who_waits_in_a_queue_does_not_spin(void **state) {
  static uint8_t bytes[HEAD + LONG];
  const uint32_t length = LONG;
  struct peer *waits;
  struct ms__dst d;
  size_t k;
  (void)state;
  begin(&all, LEAST);
  waits = come(&all);
  fill(&all);
  memcpy(bytes, &length, HEAD);
  assert_int_equal(fake_queue_put(&waits->to_us, bytes, sizeof bytes), sizeof bytes);
  ms__env_spend(&all.env, LEAST); /* the poll's share is over */
  d = ms__conn_read_room(waits->conn);
  k = fake_queue_get(&waits->to_us, d.p, d.n);
  ms__conn_read_done(waits->conn, (ptrdiff_t)k);
  ms__conn_run(waits->conn, all.now, k);
  assert_int_equal(all.env.busy.count, 1);
  all.env.clock = count_looks;
  looks = 0;
  (void)ms__env_run(&all.env, all.now);
  assert_true(all.env.starved > 0);
  assert_true(looks < 10);
  run(&all);
  assert_false(is_out(waits));
  end(&all);
}

/* The answer to a question is said when it is given. */
static void who_is_answered_has_what_is_coming(void **state) {
  static const struct ms__answer yes = {.yes = true};
  (void)state;
  begin(&all, LEAST);
  while (all.n < FEW) {
    struct peer *p = come_over(&all, &asks);
    put(&all, p, 0, HEAD);
    assert_int_equal(p->questions, 1);
  }
  fill(&all);
  for (size_t i = 0; i < FEW; i++)
    assert_int_equal(ms__conn_answer(all.at[i].conn, &yes), 0);
  assert_true(all.env.starved > 0);
  assert_true(all.env.pool.out_bytes > LEAST);
  run(&all);
  for (size_t i = 0; i < FEW; i++) {
    assert_false(is_out(&all.at[i]));
    assert_int_equal(all.at[i].opens, 1);
  }
  end(&all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unfinished_packets_make_room),
      cmocka_unit_test(who_drips_makes_no_progress),
      cmocka_unit_test(who_gets_packets_through_stays),
      cmocka_unit_test(who_does_not_read_goes_before_who_does),
      cmocka_unit_test(whom_the_application_leaves_unread_goes_last),
      cmocka_unit_test(the_young_go_after_old_bytes_that_nobody_reads),
      cmocka_unit_test(no_more_go_than_it_takes),
      cmocka_unit_test(who_reads_waits_for_what_is_coming),
      cmocka_unit_test(who_writes_waits_for_what_is_coming),
      cmocka_unit_test(who_waits_in_a_queue_does_not_spin),
      cmocka_unit_test(who_is_answered_has_what_is_coming),
  };
  return cmocka_run_group_tests_name("eviction", tests, NULL, NULL);
}
