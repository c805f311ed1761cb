/* A storm of dials, aborted at seeded moments: of every one there is exactly one word, and nothing
 * is left of any: no descriptor, no timer, no byte, at either side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failing_memory.h"
#include "loop_fixture.h"
#include "rng.h"

enum { DIALS = 10000, WARM_UP = 200, AT_ONCE = 256, TEXT = 512, PLACES = 7 };

/* Of the loop, until a dial is aborted: at most so many for one half of them, and for the other, as
 * a turn does a bounded piece of what so many have to do. */
enum { EARLY = 48, LATE = 1024 };

/* One dial of the storm, and its connection if it comes to that. */
static struct dial {
  ms_dialer *dialer; /* NULL: on_dialled has come */
  ms_conn *conn;
  unsigned turns; /* left until it is aborted */
  bool busy, cut;
} dials[AT_ONCE];

static struct {
  unsigned begun, told, opened, closed, refused;
  unsigned aborted, cut; /* before they were open, and after */
  unsigned served, serves_closed;
} seen;

static struct rng rng;

static unsigned below(unsigned n) {
  return (unsigned)rng_below(&rng, n);
}

static size_t descriptors(void) {
  size_t n = 0;
  DIR *dir = opendir("/proc/self/fd");
  while (readdir(dir))
    n++;
  closedir(dir);
  return n;
}

/* ---- The server ---- */

/* Half of them are answered at once, yes or no, the others later: `asked` waits. */
enum { ASKED = 4096 };
static ms_conn *asked[ASKED];
static size_t asked_count;

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  if (below(2) && asked_count < ASKED)
    asked[asked_count++] = conn;
  else
    (void)ms_conn_answer(conn, below(4) > 0, NULL);
}

static void answer_one(void) {
  if (asked_count == 0) return;
  (void)ms_conn_answer(asked[--asked_count], below(4) > 0, NULL); /* the peer may be gone */
}

static void serve_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
  seen.serves_closed++;
}

static void serve_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static const ms_conn_events serve_events = {.on_end = serve_end, .on_close = serve_close};

static void on_connection(ms_conn *conn, void *user) {
  (void)user;
  seen.served++;
  ms_conn_handle(conn, &serve_events, NULL);
}

/* ---- The dials ---- */

static void conn_close(ms_conn *conn, const ms_error *err, void *user) {
  struct dial *d = user;
  (void)conn;
  (void)err;
  assert_non_null(d->conn); /* once */
  d->conn = NULL;
  d->busy = false;
  seen.closed++;
}

static const ms_conn_events conn_events = {.on_close = conn_close};

static void abort_now(struct dial *d) {
  if (d->dialer) {
    ms_dial_abort(d->dialer);
    if (below(2)) ms_dial_abort(d->dialer); /* twice is once */
  } else if (d->conn) {
    seen.cut += !d->cut;
    d->cut = true;
    if (below(2))
      ms_conn_abort(d->conn);
    else
      ms_conn_close(d->conn);
  }
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct dial *d = user;
  assert_non_null(d->dialer); /* once */
  d->dialer = NULL;
  seen.told++;
  if (!conn) {
    if (err->code == MS_EABORTED) seen.aborted++;
    if (err->code == MS_EREFUSED) seen.refused++;
    d->busy = false;
    return;
  }
  seen.opened++;
  if (below(8) == 0) { /* nobody takes it on */
    d->busy = false;
    seen.closed++;
    return;
  }
  d->conn = conn;
  ms_conn_handle(conn, &conn_events, d);
  if (below(8) == 0) abort_now(d);
}

static void on_resolve(ms_resolving *question, const char *host, void *user) {
  static const char *const many[] = {"127.0.0.1", "::1"};
  (void)user;
  ms_resolve_answer(question, many, strcmp(host, "many.example") == 0 ? 2 : 0);
}

/* A port of 127.0.0.1 that listens and never accepts (`backlog` > 0), or where nobody listens. */
static int place(int backlog, int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t n = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0);
  assert_true(backlog == 0 || listen(fd, backlog) == 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
  *port = ntohs(a.sin_port);
  return fd;
}

/* So many aborted dials, and then until nothing of them is left at either side. */
static void storm(struct fixture *f, char places[][TEXT], int deaf, unsigned many) {
  static const uint8_t kinds[] = {0, 1, 2, 3, 4, 4, 4, 4, 5, 6};
  ms_ctx_stats n = {.pending = 1};
  memset(&seen, 0, sizeof seen);
  while (seen.aborted + seen.cut < many || seen.told < seen.begun || seen.closed < seen.opened) {
    for (size_t i = 0; i < AT_ONCE; i++) {
      struct dial *d = &dials[i];
      ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
      ms_error err;
      char address[4 * TEXT] = "";
      if (d->busy) {
        if (d->turns && --d->turns == 0) abort_now(d);
        if (!d->turns && !d->dialer && d->conn) abort_now(d); /* it opened at the last moment */
        continue;
      }
      if (seen.aborted + seen.cut >= many) continue;
      for (unsigned k = 1 + below(3); k; k--)
        (void)snprintf(address + strlen(address), sizeof address - strlen(address), "%s;",
                       places[kinds[below(sizeof kinds)]]);
      opts.on_dialled = on_dialled;
      opts.user = d;
      opts.stagger_msec = 1 + below(4);
      if (below(8) == 0) opts.timeout_msec = 1 + below(200);
      *d = (struct dial){.turns = 1 + below(below(2) ? EARLY : LATE), .busy = true};
      if (ms_dial(f->client, &d->dialer, address, &opts, &err) < 0)
        fail_msg("%s: %s", address, err.message);
      if (++seen.begun % AT_ONCE == 0) fixture_gets_on(f);
      if (below(16) == 0) abort_now(d); /* before its first turn */
    }
    if (below(2)) answer_one();
    for (int fd; (fd = accept(deaf, NULL, NULL)) >= 0;)
      close(fd);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
  }
  while (asked_count)
    answer_one();
  while (n.open || n.pending || n.buffered) {
    for (int fd; (fd = accept(deaf, NULL, NULL)) >= 0;)
      close(fd);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    ms_ctx_stat(f->server, &n);
  }
  for (int i = 0; i < 10; i++) /* libuv closes in the next turns */
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
  print_message("%u dials: %u open, %u refused; aborted: %u before, %u after\n", seen.told,
                seen.opened, seen.refused, seen.aborted, seen.cut);
}

static void aborts_at_any_moment(void **state) {
  struct fixture f;
  struct failing_memory memory[2];
  ms_server_events events = {.on_connection = on_connection};
  ms_ctx_opts server, client;
  char places[PLACES][TEXT], key[64], served[3][TEXT];
  int dead, deaf, port;
  size_t before, warmed_up;
  ms_error err;
  (void)state;
  rng_begin(&rng);
  fixture_init(&f);
  failing_memory_init(&memory[0]);
  failing_memory_init(&memory[1]);
  server = fixture_opts(&f, f.server_id);
  client = fixture_opts(&f, f.client_id);
  server.allocator = &memory[0].allocator;
  client.allocator = &memory[1].allocator;
  server.on_authorise = on_authorise;
  client.on_resolve = on_resolve;
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  assert_int_equal(ms_ctx_new(&f.client, &client, &err), 0);
  (void)snprintf(places[0], TEXT, "unix:%s/s~shs", f.dir);
  assert_int_equal(ms_add(f.server, "net:127.0.0.1:0~shs", NULL, &err), 0);
  assert_int_equal(ms_add(f.server, "ws://127.0.0.1:0/p~shs", NULL, &err), 1);
  assert_int_equal(ms_add(f.server, places[0], NULL, &err), 2);
  assert_int_equal(ms_add(f.client, "net~shs", NULL, &err), 0);
  assert_int_equal(ms_add(f.client, "ws~shs", NULL, &err), 1);
  assert_int_equal(ms_add(f.client, "unix~shs", NULL, &err), 2);
  assert_int_equal(ms_listen(f.server, &events, &f, &err), 0);
  for (int i = 0; i < 3; i++) {
    while (ms_stringify_stack(f.server, i, MS_DEVICE, served[i], TEXT) == 0)
      (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    (void)snprintf(places[i], TEXT, "%s", served[i]);
  }
  (void)sodium_bin2base64(key, sizeof key, ms_identity_key(f.server_id), 32,
                          sodium_base64_VARIANT_ORIGINAL);
  dead = place(0, &port);
  (void)snprintf(places[3], TEXT, "net:127.0.0.1:%d~shs:%s", port, key);
  deaf = place(64, &port);
  (void)snprintf(places[4], TEXT, "net:127.0.0.1:%d~shs:%s", port, key);
  port = atoi(strstr(served[0], "0.1:") + 4);
  (void)snprintf(places[5], TEXT, "net:many.example:%d~shs:%s", port, key);
  (void)snprintf(places[6], TEXT, "net:none.example:%d~shs:%s", port, key);
  /* a loop keeps a descriptor from its first connection on */
  storm(&f, places, deaf, WARM_UP);
  before = descriptors();
  warmed_up = seen.begun;
  storm(&f, places, deaf, DIALS);
  assert_true(seen.cut > DIALS / 100 && seen.aborted > DIALS / 100 && seen.refused > 0);
  assert_int_equal(descriptors(), before);
  assert_int_equal(seen.served, seen.serves_closed);
  {
    ms_ctx_stats n;
    ms_ctx_stat(f.client, &n);
    assert_int_equal(n.open + n.pending + n.dials + n.buffered, 0);
    assert_int_equal(n.dialled + n.dial_failed, warmed_up + seen.begun);
  }
  close(dead);
  close(deaf);
  fixture_done(&f); /* the loop closes: no timer is left either */
  assert_int_equal(memory[0].out, 0);
  assert_int_equal(memory[1].out, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(aborts_at_any_moment)};
  return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
