/* memory: the transport between contexts of one process. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "echo.h"

enum { TEXT = 256, MEBI = 1 << 20 };

/* ---- Names ---- */

static void a_name_is_taken_once(void **state) {
  char address[TEXT];
  struct fixture f;
  ms_ctx_opts server, client;
  struct client c = {.total = 100};
  ms_error err;
  (void)state;
  begin(&f, &server, &client);
  serve(&f, &server, "memory:one~shs", address, sizeof address);
  assert_int_equal(strncmp(address, "memory:one~shs:", 15), 0);
  assert_int_equal(ms_add(f.server, "memory:one", NULL, &err), 1);
  fixture_until(&f, &f.listen_errors, 0);
  assert_int_equal(f.listen_error.code, MS_EADDRINUSE);
  assert_int_equal(f.listen_error.sys, EADDRINUSE);
  assert_int_equal(ms_remove(f.server, 0), 0); /* its name is free again */
  assert_int_equal(ms_add(f.server, "memory:one", NULL, &err), 2);
  fixture_until(&f, &f.listened, 2);
  dial_with(&f, &client, "memory", "memory:one", &c);
  fixture_until(&f, &c.closed, 0);
  assert_int_equal(c.error.code, 0);
  assert_int_equal(c.got, 100);
  fixture_done(&f);
}

static void nobody_listens(void **state) {
  struct fixture f;
  ms_ctx_opts server, client;
  struct client c = {.total = 1};
  (void)state;
  begin(&f, &server, &client);
  dial_with(&f, &client, "memory", "memory:nobody", &c);
  fixture_until(&f, &c.dialled, 0);
  assert_int_equal(c.error.code, MS_ECONNECT);
  assert_int_equal(c.error.sys, ECONNREFUSED);
  assert_non_null(strstr(c.error.message, "nobody in this process"));
  fixture_done(&f);
}

static void names_are_read(void **state) {
  static const char *const wrong[] = {"memory", "memory:", "memory:~shs"};
  char longest[7 + 100 + 1] = "memory:", longer[sizeof longest + 1];
  ms_addr *addr;
  ms_error err;
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(ms_addr_parse(&addr, wrong[i], strlen(wrong[i]), MS_ADDR_DIAL, &err),
                     MS_EADDRESS);
  memset(longest + 7, 'x', 100);
  longest[107] = '\0';
  (void)snprintf(longer, sizeof longer, "%sx", longest);
  assert_int_equal(ms_addr_parse(&addr, longer, strlen(longer), MS_ADDR_DIAL, &err), MS_EADDRESS);
  assert_int_equal(ms_addr_parse(&addr, longest, strlen(longest), MS_ADDR_DIAL, &err), 0);
  assert_int_equal(ms_addr_at(addr, 0)->sections[0].kind, MS_SECTION_MEMORY);
  assert_int_equal(strlen(ms_addr_at(addr, 0)->sections[0].path), 100);
  ms_addr_free(addr);
}

/* ---- Ends ---- */

static struct {
  ms_conn *conn;
  int opened, readable, ended, closed, writable;
  ms_error error;
} side[2]; /* of the client, of the server */

static size_t index_of(const ms_conn *conn) {
  return ms_conn_is_server(conn);
}

static void on_readable(ms_conn *conn, void *user) {
  (void)user;
  side[index_of(conn)].readable++;
}
static void on_end(ms_conn *conn, void *user) {
  (void)user;
  side[index_of(conn)].ended++;
}
static void on_writable(ms_conn *conn, void *user) {
  (void)user;
  side[index_of(conn)].writable++;
}
static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  size_t i = index_of(conn);
  (void)user;
  side[i].closed++;
  side[i].error.code = 0;
  if (err) side[i].error = *err;
}

static const ms_conn_events recording = {
    .on_readable = on_readable, .on_end = on_end, .on_writable = on_writable, .on_close = on_close};

static void record(ms_conn *conn, void *user) {
  size_t i = index_of(conn);
  side[i].conn = conn;
  side[i].opened++;
  ms_conn_handle(conn, &recording, user);
}

static void record_dialled(ms_conn *conn, const ms_error *err, void *user) {
  if (!conn) fail_msg("%s", err->message);
  record(conn, user);
}

/* Two ends of a bare stack. */
static void meet(struct fixture *f) {
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  ms_ctx_opts server, client;
  char address[TEXT];
  ms_error err;
  memset(side, 0, sizeof side);
  begin(f, &server, &client);
  serve(f, &server, "memory:ends", address, sizeof address);
  server_events.on_connection = record;
  assert_int_equal(ms_ctx_new(&f->client, &client, &err), 0);
  assert_int_equal(ms_add(f->client, "memory", NULL, &err), 0);
  dial.on_dialled = record_dialled;
  assert_int_equal(ms_dial(f->client, NULL, address, &dial, &err), 0);
  fixture_until(f, &side[0].opened, 0);
  fixture_until(f, &side[1].opened, 0);
}

static void one_direction_ends_and_the_other_goes_on(void **state) {
  const uint8_t *p;
  struct fixture f;
  (void)state;
  meet(&f);
  assert_int_equal(ms_conn_write(side[0].conn, "first", 5), 5);
  ms_conn_end(side[0].conn);
  fixture_until(&f, &side[1].readable, 0);
  assert_int_equal(ms_conn_peek(side[1].conn, &p), 5);
  ms_conn_consume(side[1].conn, 5);
  fixture_until(&f, &side[1].ended, 0);
  assert_int_equal(ms_conn_write(side[1].conn, "second", 6), 6);
  ms_conn_end(side[1].conn);
  fixture_until(&f, &side[0].readable, 0);
  assert_int_equal(ms_conn_peek(side[0].conn, &p), 6);
  ms_conn_consume(side[0].conn, 6);
  fixture_until(&f, &side[0].closed, 0);
  fixture_until(&f, &side[1].closed, 0);
  assert_int_equal(side[0].error.code, 0);
  assert_int_equal(side[1].error.code, 0);
  fixture_done(&f);
}

static void a_reset_is_no_end(void **state) {
  struct fixture f;
  (void)state;
  meet(&f);
  assert_int_equal(ms_conn_write(side[0].conn, "x", 1), 1);
  ms_conn_abort(side[0].conn);
  fixture_until(&f, &side[1].closed, 0);
  assert_int_equal(side[1].error.code, MS_ERESET);
  assert_int_equal(side[1].ended, 0);
  fixture_done(&f);
}

/* The other side reads nothing for now: a bounded amount is taken, and all of it arrives later. */
static void who_does_not_read_holds_the_other_up(void **state) {
  static uint8_t much[4 * MEBI];
  size_t written = 0, got = 0;
  const uint8_t *p;
  struct fixture f;
  (void)state;
  for (size_t i = 0; i < sizeof much; i++)
    much[i] = (uint8_t)(i * 31 >> 3);
  meet(&f);
  while (got < sizeof much) {
    ptrdiff_t k = ms_conn_write(side[0].conn, much + written, sizeof much - written);
    size_t n;
    assert_true(k >= 0);
    written += (size_t)k;
    for (int i = 0; i < 20; i++)
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    if (written < sizeof much && written - got > MEBI) fail_msg("%zu bytes wait", written - got);
    n = ms_conn_peek(side[1].conn, &p);
    assert_memory_equal(p, much + got, n);
    ms_conn_consume(side[1].conn, n);
    got += n;
  }
  fixture_done(&f);
}

/* ---- Threads ---- */

enum { DIALS = 40, BYTES = 200000 };

struct thread {
  ms_ctx *ctx;
  char address[TEXT];
  int left;      /* connections to come */
  bool is_ready; /* under the mutex */
  unsigned failed;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void echo_over(ms_conn *conn, const ms_error *err, void *user) {
  struct thread *t = user;
  (void)conn;
  t->failed += err != NULL;
  t->left--;
}

static const ms_conn_events echoing = {
    .on_readable = echo_pump, .on_writable = echo_pump, .on_end = echo_end, .on_close = echo_over};

static void on_come(ms_conn *conn, void *user) {
  ms_conn_handle(conn, &echoing, user);
}

static void on_up(ms_ctx *ctx, size_t up, void *user) {
  struct thread *t = user;
  assert_int_equal(up, 1);
  (void)pthread_mutex_lock(&mutex);
  (void)ms_stringify(ctx, MS_DEVICE, t->address, sizeof t->address);
  t->is_ready = true;
  (void)pthread_cond_signal(&condition);
  (void)pthread_mutex_unlock(&mutex);
}

static void on_done(ms_ctx *ctx, void *user) {
  (void)user;
  ms_ctx_free(ctx);
}

/* Runs a context with a loop of its own until nothing is left to come. */
static void run_out(struct thread *t) {
  while (t->left > 0)
    assert_int_equal(ms_ctx_run(t->ctx, 5000), 1);
  ms_ctx_close(t->ctx, 5000, on_done, NULL);
  while (ms_ctx_run(t->ctx, -1) == 1)
    continue;
}

static void *serve_in_thread(void *user) {
  static const ms_server_events events = {.on_ready = on_up, .on_connection = on_come};
  struct thread *t = user;
  ms_error err;
  assert_int_equal(ms_listen(t->ctx, &events, t, &err), 0);
  run_out(t);
  return NULL;
}

struct talk {
  struct thread *thread;
  size_t sent, got;
};

static void talk_on(ms_conn *conn, void *user) {
  static const uint8_t zeros[8192];
  struct talk *k = user;
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  ptrdiff_t w = 1;
  ms_conn_consume(conn, n);
  k->got += n;
  while (w > 0 && k->sent < BYTES) {
    size_t rest = BYTES - k->sent;
    w = ms_conn_write(conn, zeros, rest < sizeof zeros ? rest : sizeof zeros);
    if (w > 0) k->sent += (size_t)w;
  }
  if (k->sent == BYTES) ms_conn_end(conn);
}

static void talk_over(ms_conn *conn, const ms_error *err, void *user) {
  struct talk *k = user;
  (void)conn;
  k->thread->failed += err != NULL || k->got != BYTES;
  k->thread->left--;
}

static const ms_conn_events talking = {
    .on_readable = talk_on, .on_writable = talk_on, .on_close = talk_over};

static void on_talk(ms_conn *conn, const ms_error *err, void *user) {
  if (!conn) fail_msg("%s", err->message);
  ms_conn_handle(conn, &talking, user);
  talk_on(conn, user);
}

static void contexts_of_two_threads_talk(void **state) {
  struct talk talks[DIALS] = {{NULL, 0, 0}};
  struct thread server = {.left = DIALS}, client = {.left = DIALS};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_identity *ids[2];
  pthread_t thread;
  ms_error err;
  (void)state;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = fixture_admit;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(ms_identity_generate(&ids[i], &err), 0);
    opts.identity = ids[i];
    assert_int_equal(ms_ctx_new(i ? &client.ctx : &server.ctx, &opts, &err), 0);
    ms_identity_free(ids[i]);
  }
  assert_int_equal(ms_add(server.ctx, "memory:threads~shs", NULL, &err), 0);
  assert_int_equal(ms_add(client.ctx, "memory~shs", NULL, &err), 0);
  assert_int_equal(pthread_create(&thread, NULL, serve_in_thread, &server), 0);
  (void)pthread_mutex_lock(&mutex);
  while (!server.is_ready)
    (void)pthread_cond_wait(&condition, &mutex);
  (void)pthread_mutex_unlock(&mutex);
  for (int i = 0; i < DIALS; i++) {
    ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
    talks[i].thread = &client;
    dial.on_dialled = on_talk;
    dial.user = &talks[i];
    assert_int_equal(ms_dial(client.ctx, NULL, server.address, &dial, &err), 0);
  }
  run_out(&client);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(client.failed, 0);
  assert_int_equal(server.failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_name_is_taken_once),
      cmocka_unit_test(nobody_listens),
      cmocka_unit_test(names_are_read),
      cmocka_unit_test(one_direction_ends_and_the_other_goes_on),
      cmocka_unit_test(a_reset_is_no_end),
      cmocka_unit_test(who_does_not_read_holds_the_other_up),
      cmocka_unit_test(contexts_of_two_threads_talk),
  };
  return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
