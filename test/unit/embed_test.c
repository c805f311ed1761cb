/* What programs need that embed the library: keys and identities as text, options of other
 * versions, waking, what is open, and what is set on one connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
/* after those it needs */
#include <cmocka.h>

#include "loop_fixture.h"

enum { TEXT = 256 };

/* ---- Text ---- */

static void keys_are_read_as_they_are_written(void **state) {
  static const char *const wrong[] = {"",
                                      "@",
                                      "=",
                                      "KEY",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                                      "-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                      " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
                                      "@AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=.ed25518"};
  static const char *const forms[] = {"%.44s",         "%.43s",          "@%.44s.ed25519",
                                      "%.44s.ed25519", "@%.43s.ed25519", "@%.44s"};
  uint8_t key[MS_KEY_BYTES], read[MS_KEY_BYTES];
  char text[MS_KEY_TEXT], cut[8];
  ms_error err;
  (void)state;
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)(251 * i + 3);
  assert_int_equal(ms_key_format(key, text, sizeof text), MS_KEY_TEXT - 1);
  assert_int_equal(strlen(text), MS_KEY_TEXT - 1);
  assert_int_equal(ms_key_format(key, cut, sizeof cut), MS_KEY_TEXT - 1);
  assert_memory_equal(cut, text, sizeof cut - 1);
  assert_int_equal(cut[sizeof cut - 1], '\0');
  assert_int_equal(ms_key_format(key, NULL, 0), MS_KEY_TEXT - 1);
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    char form[TEXT];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(form, sizeof form, forms[i], text);
#pragma GCC diagnostic pop
    memset(read, 0, sizeof read);
    if (ms_key_parse(read, form, strlen(form), &err) < 0) fail_msg("%s: %s", form, err.message);
    assert_memory_equal(read, key, sizeof key);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (ms_key_parse(read, wrong[i], strlen(wrong[i]), &err) == 0)
      fail_msg("\"%s\" was taken for a key", wrong[i]);
    assert_int_equal(err.code, MS_EINVAL);
    assert_memory_equal(read, key, sizeof key); /* as it was */
  }
  assert_int_equal(ms_key_parse(read, text, 20, NULL), MS_EINVAL);
}

static void an_identity_is_read_as_it_is_written(void **state) {
  ms_identity *id, *again;
  char text[1024], cut[10];
  size_t n;
  ms_error err;
  (void)state;
  assert_int_equal(ms_identity_generate(&id, &err), 0);
  n = ms_identity_format(id, text, sizeof text);
  assert_true(n < sizeof text && strlen(text) == n);
  assert_int_equal(ms_identity_format(id, cut, sizeof cut), n);
  assert_int_equal(strlen(cut), sizeof cut - 1);
  assert_int_equal(ms_identity_parse(&again, text, n, &err), 0);
  assert_memory_equal(ms_identity_key(again), ms_identity_key(id), MS_KEY_BYTES);
  ms_identity_free(id);
  ms_identity_free(again);
}

static void the_version_is_a_number_too(void **state) {
  char text[32];
  (void)state;
  (void)snprintf(text, sizeof text, "%u.%u.%u", ms_version_number() >> 16,
                 ms_version_number() >> 8 & 255, ms_version_number() & 255);
  assert_string_equal(text, ms_version());
  assert_string_equal(text, MS_VERSION);
  assert_int_equal(MS_VERSION_NUMBER, ms_version_number());
}

/* ---- Options of other versions ---- */

static void on_never(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn, (void)err, (void)user;
  fail_msg("nothing was dialled");
}

static void options_grow(void **state) {
  union {
    ms_ctx_opts ctx;
    ms_stack_opts stack;
    ms_dial_opts dial;
    unsigned char bytes[4096];
  } o;
  ms_error err;
  ms_ctx *ctx;
  ms_identity *id;
  (void)state;
  assert_int_equal(ms_identity_generate(&id, &err), 0);
  /* an older header's: what it does not have is not looked at */
  memset(&o, 0xff, sizeof o);
  memset(&o, 0, offsetof(ms_ctx_opts, on_resolve));
  o.ctx.size = offsetof(ms_ctx_opts, on_resolve);
  o.ctx.identity = id;
  o.ctx.network_key = ms_scuttlebutt_network_key;
  assert_int_equal(ms_ctx_new(&ctx, &o.ctx, &err), 0);
  memset(&o, 0xff, sizeof o);
  o.stack.size = sizeof o.stack.size;
  assert_int_equal(ms_add(ctx, "net~shs", &o.stack, &err), 0);
  memset(&o, 0xff, sizeof o);
  o.dial.size = sizeof o.dial.size; /* without on_dialled */
  assert_int_equal(ms_dial(ctx, NULL, "net:127.0.0.1:1~noauth", &o.dial, &err), MS_EINVAL);
  assert_string_equal(err.message, "on_dialled is missing");
  /* a newer one's, as far as it asks for the default */
  memset(&o, 0, sizeof o);
  o.stack.size = sizeof o.stack + 40;
  assert_int_equal(ms_add(ctx, "net~noauth", &o.stack, &err), 1);
  o.bytes[sizeof o.stack + 39] = 1;
  assert_int_equal(ms_add(ctx, "net~noauth", &o.stack, &err), MS_EINVAL);
  assert_non_null(strstr(err.message, MS_VERSION));
  o.bytes[sizeof o.stack + 39] = 0;
  o.bytes[sizeof o.stack + 40] = 1; /* beyond it */
  assert_int_equal(ms_add(ctx, "net~noauth", &o.stack, &err), 2);
  /* none at all */
  for (size_t size = 0; size <= SIZE_MAX / 2; size = size ? size * 2 : sizeof size / 2) {
    if (size >= sizeof size && size <= 4096) continue;
    memset(&o, 0, sizeof o);
    o.dial.size = size;
    o.dial.on_dialled = on_never;
    assert_int_equal(ms_dial(ctx, NULL, "net:127.0.0.1:1~noauth", &o.dial, &err), MS_EINVAL);
    if (!strstr(err.message, "MS_OPTS_INIT")) fail_msg("a size of %zu: %s", size, err.message);
  }
  assert_int_equal(ms_ctx_new(&(ms_ctx *){0}, NULL, &err), MS_EINVAL);
  ms_ctx_free(ctx);
  ms_identity_free(id);
}

static void limits_have_defaults(void **state) {
  ms_limits l;
  (void)state;
  memset(&l, 0, sizeof l);
  ms_limits_default(&l);
  assert_true(l.connections && l.handshakes && l.per_address && l.per_second);
  assert_true(l.pages_per_address && l.pages_per_second && l.buffered && l.buffered_each);
  assert_int_equal(l.idle_msec, UINT32_MAX);
}

/* ---- Waking ---- */

static int woken;

static void on_wake(ms_ctx *ctx, void *user) {
  (void)ctx;
  assert_ptr_equal(user, &woken);
  woken++;
}

static void *wake(void *ctx) {
  struct timespec moment = {.tv_nsec = 20000000};
  (void)nanosleep(&moment, NULL); /* most likely the other thread waits by then; if not, no harm */
  ms_ctx_wake(ctx);
  return NULL;
}

static ms_ctx *signalled;

static void on_alarm(int number) {
  (void)number;
  ms_ctx_wake(signalled);
}

static void another_thread_wakes_the_loop(void **state) {
  struct sigaction action = {.sa_handler = on_alarm};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  pthread_t thread;
  ms_error err;
  ms_ctx *ctx;
  (void)state;
  opts.on_wake = on_wake;
  opts.user = &woken;
  for (int with = 0; with <= 1; with++) {
    woken = 0;
    if (!with) opts.on_wake = NULL;
    if (with) opts.on_wake = on_wake;
    assert_int_equal(ms_ctx_new(&ctx, &opts, &err), 0);
    (void)ms_ctx_run(ctx, 0);
    assert_int_equal(ms_ctx_timeout(ctx), -1); /* nothing else would end the wait */
    assert_int_equal(pthread_create(&thread, NULL, wake, ctx), 0);
    do
      assert_int_equal(ms_ctx_run(ctx, -1), 1);
    while (with && !woken);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* in a signal handler, and many at once */
    signalled = ctx;
    woken = 0;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    for (int i = 0; i < 3; i++)
      assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(ms_ctx_run(ctx, -1), 1);
    assert_true(woken == with);
    ms_ctx_free(ctx);
  }
}

/* ---- What is open ---- */

static struct {
  ms_conn *served[8], *dialled[8];
  int served_count, dialled_count, closed;
  ms_error served_error, dial_error, conn_error; /* the last */
  int dial_failed;
} seen;

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err && ms_conn_is_server(conn)) seen.served_error = *err;
  if (err && !ms_conn_is_server(conn)) seen.conn_error = *err;
  seen.closed++;
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static const ms_conn_events conn_events = {.on_end = on_end, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  (void)user;
  seen.served[seen.served_count++] = conn;
  ms_conn_handle(conn, &conn_events, NULL);
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err) {
    seen.dial_error = *err;
    seen.dial_failed++;
    return;
  }
  seen.dialled[seen.dialled_count++] = conn;
  ms_conn_handle(conn, &conn_events, NULL);
}

struct world {
  struct fixture f;
  char address[TEXT];
};

static void begin(struct world *w, const char *stack) {
  static ms_server_events events;
  ms_ctx_opts opts;
  ms_error err;
  memset(&seen, 0, sizeof seen);
  fixture_init(&w->f);
  events = fixture_events(on_connection);
  opts = fixture_opts(&w->f, w->f.server_id);
  opts.on_authorise = fixture_admit;
  assert_int_equal(ms_ctx_new(&w->f.server, &opts, &err), 0);
  opts = fixture_opts(&w->f, w->f.client_id);
  assert_int_equal(ms_ctx_new(&w->f.client, &opts, &err), 0);
  assert_int_equal(ms_add(w->f.server, stack, NULL, &err), 0);
  assert_int_equal(ms_add(w->f.client, "net~shs", NULL, &err), 0);
  assert_int_equal(ms_add(w->f.client, "unix~shs", NULL, &err), 1);
  assert_int_equal(ms_listen(w->f.server, &events, &w->f, &err), 0);
  fixture_until(&w->f, &w->f.ready, -1);
  (void)ms_stringify(w->f.server, MS_DEVICE, w->address, sizeof w->address);
}

/* One more connection, both of whose ends are open then. */
static void dial(struct world *w, const ms_identity *as) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  int served = seen.served_count, dialled = seen.dialled_count;
  ms_error err;
  opts.on_dialled = on_dialled;
  opts.identity = as;
  if (ms_dial(w->f.client, NULL, w->address, &opts, &err) < 0) fail_msg("%s", err.message);
  fixture_until(&w->f, &seen.dialled_count, dialled);
  if (seen.served_count == served) fixture_until(&w->f, &seen.served_count, served);
}

static size_t count(const ms_ctx *ctx) {
  size_t n = 0;
  for (const ms_conn *c = ms_conn_first(ctx); c; c = ms_conn_next(c))
    n++;
  return n;
}

static void those_of_a_key_are_evicted(void **state) {
  ms_identity *other;
  struct world w;
  ms_error err;
  (void)state;
  assert_int_equal(ms_identity_generate(&other, &err), 0);
  begin(&w, "net:127.0.0.1:0~shs");
  assert_null(ms_conn_first(w.f.server));
  dial(&w, NULL);
  dial(&w, other);
  dial(&w, NULL);
  ms_identity_free(other); /* it was copied */
  /* an identity of the dial's own, and the newest first */
  assert_memory_equal(ms_conn_key(seen.served[0]), ms_identity_key(w.f.client_id), MS_KEY_BYTES);
  assert_memory_not_equal(ms_conn_key(seen.served[1]), ms_conn_key(seen.served[0]), MS_KEY_BYTES);
  assert_int_equal(count(w.f.server), 3);
  assert_int_equal(count(w.f.client), 3);
  assert_ptr_equal(ms_conn_first(w.f.server), seen.served[2]);
  assert_ptr_equal(ms_conn_next(seen.served[2]), seen.served[1]);
  assert_ptr_equal(ms_conn_next(seen.served[1]), seen.served[0]);
  assert_null(ms_conn_next(seen.served[0]));
  /* both of one key, and nobody else; a client evicts nobody */
  assert_int_equal(ms_ctx_evict(w.f.client, ms_identity_key(w.f.server_id), "no"), 0);
  assert_int_equal(ms_ctx_evict(w.f.server, ms_identity_key(w.f.client_id), "you are not welcome"),
                   2);
  assert_int_equal(ms_ctx_evict(w.f.server, ms_identity_key(w.f.client_id), "go on"), 0);
  while (seen.closed < 4)
    fixture_until(&w.f, &seen.closed, seen.closed);
  assert_int_equal(seen.served_error.code, MS_EFAILED);
  assert_string_equal(seen.served_error.message, "you are not welcome");
  assert_int_equal(seen.conn_error.code, MS_ETRUNCATED);
  assert_int_equal(count(w.f.server), 1);
  assert_ptr_equal(ms_conn_first(w.f.server), seen.served[1]);
  /* ended on the way through them */
  dial(&w, NULL);
  for (ms_conn *c = ms_conn_first(w.f.server); c; c = ms_conn_next(c))
    ms_conn_abort(c);
  while (seen.closed < 8)
    fixture_until(&w.f, &seen.closed, seen.closed);
  assert_null(ms_conn_first(w.f.server));
  assert_null(ms_conn_first(w.f.client));
  fixture_done(&w.f);
}

/* Admitted, but not in yet: who is evicted then does not come in. */
static int answered;

static void evict_at_once(ms_conn *conn, const ms_peer *peer, void *user) {
  uint8_t key[MS_KEY_BYTES];
  (void)user;
  memcpy(key, peer->key, sizeof key);
  assert_int_equal(ms_ctx_evict(ms_conn_ctx(conn), key, "too early"), 0); /* it is asked for yet */
  assert_int_equal(ms_conn_answer(conn, true, NULL), 0);
  assert_int_equal(ms_ctx_evict(ms_conn_ctx(conn), key, "on second thoughts"), 1);
  assert_int_equal(ms_ctx_evict(ms_conn_ctx(conn), key, "once more"), 0);
  answered++;
}

static void the_admitted_are_evicted_before_they_are_in(void **state) {
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char at[TEXT];
  struct world w;
  ms_error err;
  int n;
  (void)state;
  begin(&w, "net:127.0.0.1:0~shs");
  stack.on_authorise = evict_at_once;
  n = ms_add(w.f.server, "net:127.0.0.1:0~shs", &stack, &err);
  assert_int_equal(n, 1);
  while (!ms_stringify_stack(w.f.server, n, MS_DEVICE, at, sizeof at))
    (void)uv_run(&w.f.loop, UV_RUN_NOWAIT);
  opts.on_dialled = on_dialled;
  assert_int_equal(ms_dial(w.f.client, NULL, at, &opts, &err), 0);
  fixture_until(&w.f, &w.f.failed, 0);
  assert_int_equal(answered, 1);
  assert_int_equal(seen.served_count, 0);
  assert_int_equal(w.f.failed_error.code, MS_EREFUSED);
  assert_string_equal(w.f.failed_error.message, "on second thoughts");
  fixture_done(&w.f);
}

/* ---- One connection ---- */

static void a_connection_has_a_place_of_its_own(void **state) {
  char local[TEXT / 2], port[TEXT], path[TEXT], stack[TEXT + 16];
  struct sockaddr_in in;
  socklen_t n = sizeof in;
  struct world w;
  (void)state;
  begin(&w, "net:127.0.0.1:0~shs");
  dial(&w, NULL);
  assert_true(ms_conn_local(seen.served[0], local, sizeof local) == strlen(local));
  (void)snprintf(port, sizeof port, "net:%s~shs:", local);
  assert_int_equal(strncmp(w.address, port, strlen(port)), 0);
  (void)ms_conn_local(seen.dialled[0], local, sizeof local);
  (void)snprintf(port, sizeof port, "net:%s~shs:", local);
  assert_int_equal(strncmp(ms_conn_address(seen.served[0]), port, strlen(port)), 0);
  assert_int_equal(getpeername(ms_conn_fd(seen.dialled[0]), (struct sockaddr *)(void *)&in, &n), 0);
  assert_non_null(strstr(w.address, ":"));
  ms_conn_abort(seen.dialled[0]);
  fixture_done(&w.f);

  begin(&w, "net:127.0.0.1:0~shs"); /* for its folder */
  (void)snprintf(path, sizeof path, "%s/s", w.f.dir);
  (void)snprintf(stack, sizeof stack, "unix:%s~shs", path);
  assert_int_equal(ms_add(w.f.server, stack, NULL, NULL), 1);
  while (!ms_stringify_stack(w.f.server, 1, MS_DEVICE, w.address, sizeof w.address))
    (void)uv_run(&w.f.loop, UV_RUN_NOWAIT);
  dial(&w, NULL);
  (void)ms_conn_local(seen.served[0], local, sizeof local);
  assert_string_equal(local, path);
  assert_int_equal(ms_conn_local(seen.dialled[0], local, sizeof local), 0);
  assert_int_equal(ms_conn_set_keepalive(seen.dialled[0], 10000), MS_EINVAL);
  fixture_done(&w.f);
}

static int option(const ms_conn *conn, int level, int name) {
  int value = -1;
  socklen_t n = sizeof value;
  assert_int_equal(getsockopt(ms_conn_fd(conn), level, name, &value, &n), 0);
  return value;
}

static void a_silent_network_is_missed(void **state) {
  struct world w;
  (void)state;
  begin(&w, "net:127.0.0.1:0~shs");
  dial(&w, NULL);
  assert_int_equal(ms_conn_set_keepalive(seen.served[0], 0), MS_EINVAL);
  assert_int_equal(ms_conn_set_keepalive(seen.served[0], 40000), 0);
  assert_int_equal(option(seen.served[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 40000);
  assert_int_equal(option(seen.served[0], SOL_SOCKET, SO_KEEPALIVE), 1);
  assert_int_equal(option(seen.served[0], IPPROTO_TCP, TCP_KEEPIDLE) +
                       option(seen.served[0], IPPROTO_TCP, TCP_KEEPCNT) *
                           option(seen.served[0], IPPROTO_TCP, TCP_KEEPINTVL),
                   40);
  assert_int_equal(ms_conn_set_keepalive(seen.served[0], UINT32_MAX), 0);
  assert_int_equal(option(seen.served[0], SOL_SOCKET, SO_KEEPALIVE), 0);
  assert_int_equal(option(seen.served[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  assert_int_equal(ms_conn_set_keepalive(seen.served[0], 1), 0);
  assert_int_equal(option(seen.served[0], IPPROTO_TCP, TCP_KEEPIDLE), 1);
  /* days, which are more than the system takes */
  assert_int_equal(ms_conn_set_keepalive(seen.served[0], UINT32_MAX - 1), 0);
  assert_int_equal(option(seen.served[0], IPPROTO_TCP, TCP_KEEPIDLE), 32767);
  assert_int_equal(option(seen.served[0], SOL_SOCKET, SO_KEEPALIVE), 1);
  fixture_done(&w.f);
}

static void a_connection_has_deadlines_of_its_own(void **state) {
  struct world w;
  uint64_t from;
  (void)state;
  begin(&w, "net:127.0.0.1:0~shs");
  for (int i = 0; i < 4; i++)
    dial(&w, NULL);
  /* idleness, of one that we have dialled; what is set last counts */
  ms_conn_set_idle(seen.dialled[0], 1);
  ms_conn_set_idle(seen.dialled[0], 150);
  from = uv_now(&w.f.loop);
  while (seen.closed < 2)
    fixture_until(&w.f, &seen.closed, seen.closed);
  assert_true(uv_now(&w.f.loop) - from >= 150);
  assert_int_equal(seen.conn_error.code, MS_ETIMEDOUT);
  assert_string_equal(seen.conn_error.message, "it carried nothing for too long");
  /* a deadline, whatever it carries */
  ms_conn_set_deadline(seen.served[1], 150);
  from = uv_now(&w.f.loop);
  while (seen.closed < 4) {
    if (seen.closed == 2) (void)ms_conn_write(seen.dialled[1], "x", 1);
    (void)uv_run(&w.f.loop, UV_RUN_NOWAIT);
  }
  assert_true(uv_now(&w.f.loop) - from >= 150);
  assert_int_equal(seen.served_error.code, MS_ETIMEDOUT);
  assert_string_equal(seen.served_error.message, "the time that it was given is over");
  /* taken back */
  ms_conn_set_deadline(seen.served[2], 50);
  ms_conn_set_deadline(seen.served[2], UINT32_MAX);
  ms_conn_set_idle(seen.served[2], 50);
  ms_conn_set_idle(seen.served[2], 0); /* the context's: never */
  ms_conn_set_idle(seen.dialled[2], 50);
  ms_conn_set_idle(seen.dialled[2], UINT32_MAX);
  ms_conn_set_deadline(seen.served[3], 300);
  while (seen.closed < 6)
    fixture_until(&w.f, &seen.closed, seen.closed);
  assert_int_equal(count(w.f.server), 1);
  assert_ptr_equal(ms_conn_first(w.f.server), seen.served[2]);
  fixture_done(&w.f);
}

static void what_waits_is_told(void **state) {
  static const char bytes[65536];
  ms_conn_stats n;
  struct world w;
  uint64_t written = 0;
  int rounds = 0;
  (void)state;
  begin(&w, "net:127.0.0.1:0~shs");
  dial(&w, NULL);
  ms_conn_stat(seen.dialled[0], &n);
  assert_int_equal(n.queued, 0);
  /* nobody reads at the other end: at last the library keeps what the system does not take */
  while (rounds < 200) {
    ptrdiff_t k = ms_conn_write(seen.dialled[0], bytes, sizeof bytes);
    assert_true(k >= 0);
    written += (uint64_t)k;
    rounds = k ? 0 : rounds + 1;
    (void)uv_run(&w.f.loop, UV_RUN_NOWAIT);
  }
  ms_conn_stat(seen.dialled[0], &n);
  assert_int_equal(n.out, written);
  assert_true(n.queued > 0 && n.queued <= written);
  assert_true(n.wire_out + n.queued >= written); /* nothing is left out */
  fixture_done(&w.f);
}

/* ---- Where it is dialled from ---- */

static void the_place_to_dial_from_is_chosen(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char local[TEXT];
  struct world w;
  ms_error err;
  (void)state;
  begin(&w, "net:127.0.0.1:0~shs");
  opts.on_dialled = on_dialled;
  opts.local_host = "127.0.0.77";
  assert_int_equal(ms_dial(w.f.client, NULL, w.address, &opts, &err), 0);
  fixture_until(&w.f, &seen.dialled_count, 0);
  (void)ms_conn_local(seen.dialled[0], local, sizeof local);
  assert_int_equal(strncmp(local, "127.0.0.77:", 11), 0);
#ifdef IP_BIND_ADDRESS_NO_PORT
  { /* its port is shared with dials to others */
    int late = 0;
    socklen_t n = sizeof late;
    assert_int_equal(
        getsockopt(ms_conn_fd(seen.dialled[0]), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, &n), 0);
    assert_int_equal(late, 1);
  }
#endif
  /* of the other family, and of another machine */
  opts.local_host = "::1";
  assert_int_equal(ms_dial(w.f.client, NULL, w.address, &opts, &err), 0);
  fixture_until(&w.f, &seen.dial_failed, 0);
  assert_int_equal(seen.dial_error.code, MS_ECONNECT);
  assert_int_equal(seen.dial_error.sys, EAFNOSUPPORT);
  assert_non_null(strstr(seen.dial_error.message, "from ::1"));
  opts.local_host = "192.0.2.1";
  assert_int_equal(ms_dial(w.f.client, NULL, w.address, &opts, &err), 0);
  fixture_until(&w.f, &seen.dial_failed, 1);
  assert_int_equal(seen.dial_error.sys, EADDRNOTAVAIL);
  for (int i = 0; i < 3; i++) {
    static const char *const wrong[] = {"localhost", "", "127.0.0.1:80"};
    opts.local_host = wrong[i];
    assert_int_equal(ms_dial(w.f.client, NULL, w.address, &opts, &err), MS_EINVAL);
    assert_non_null(strstr(err.message, "local_host"));
    /* also where nothing is dialled from it */
    assert_int_equal(ms_dial(w.f.client, NULL, "unix:/s~noauth", &opts, &err), MS_EINVAL);
  }
  fixture_done(&w.f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_are_read_as_they_are_written),
      cmocka_unit_test(an_identity_is_read_as_it_is_written),
      cmocka_unit_test(the_version_is_a_number_too),
      cmocka_unit_test(options_grow),
      cmocka_unit_test(limits_have_defaults),
      cmocka_unit_test(another_thread_wakes_the_loop),
      cmocka_unit_test(those_of_a_key_are_evicted),
      cmocka_unit_test(the_admitted_are_evicted_before_they_are_in),
      cmocka_unit_test(a_connection_has_a_place_of_its_own),
      cmocka_unit_test(a_silent_network_is_missed),
      cmocka_unit_test(a_connection_has_deadlines_of_its_own),
      cmocka_unit_test(what_waits_is_told),
      cmocka_unit_test(the_place_to_dial_from_is_chosen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
