/* The race of a dial: dead, silent, refusing and good places in every order; who wins, who is
 * dropped, what is told, and that nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop_fixture.h"

enum { ATTEMPTS = 64, TEXT = 256, STAGGER_MSEC = 250, LATE_MSEC = 300 };

/* What is told of the dial. */
static struct {
  int dialled;
  bool open;
  int closed;
  ms_error error;
  char address[TEXT];
  unsigned steps, begun; /* of attempts */
  struct {
    size_t alternative;
    int code;
    char address[TEXT];
  } passed_over[4];
  size_t passed_over_count;
  struct {
    uint32_t connect_msec;
    enum ms_step step;
    char place[TEXT], layers[TEXT], message[TEXT];
    uint32_t begun_msec, msec;
    int code;
    size_t alternative;
  } attempts[ATTEMPTS + 1]; /* by number */
  ms_dialer *dialer;
} race;

/* ---- Places ---- */

/* A port of 127.0.0.1 where nobody listens, for as long as the socket is open. */
static int dead(int *fd) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t n = sizeof a;
  *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(*fd >= 0 && bind(*fd, (struct sockaddr *)&a, n) == 0);
  assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &n), 0);
  return ntohs(a.sin_port);
}

/* One that connects and says nothing: nobody accepts there. */
static int silent(int *fd) {
  int port = dead(fd);
  assert_int_equal(listen(*fd, 16), 0);
  return port;
}

/* What has connected to a silent place was cut, and nothing of it remains. */
static void assert_cut(int listener) {
  char byte;
  int fd = accept(listener, NULL, NULL);
  assert_true(fd >= 0);
  for (;;) {
    ssize_t n = recv(fd, &byte, 1, 0);
    if (n <= 0) break; /* its hello, then the cut */
  }
  close(fd);
}

/* ---- Both sides ---- */

static bool admits, ponders;
static ms_conn *asked;
static uint32_t server_msec; /* 0: the default */

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  asked = conn;
  if (ponders) return;
  assert_int_equal(ms_conn_answer(conn, admits, NULL), 0);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
  race.closed++;
}

static const ms_conn_events conn_events = {.on_end = on_end, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_handle(conn, &conn_events, NULL);
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  assert_int_equal(race.dialled, 0);
  race.dialled++;
  race.open = conn != NULL;
  assert_true(race.open == (err == NULL));
  if (err) race.error = *err;
  assert_int_equal(ms_dial_attempts(race.dialer), race.begun);
  for (size_t i = 1; i <= race.begun; i++) {
    ms_attempt a;
    assert_true(ms_dial_attempt(race.dialer, i, &a));
    assert_int_equal(a.step, race.attempts[i].step);
    assert_true(a.step >= MS_STEP_OPEN); /* nothing goes on */
  }
  assert_false(ms_dial_attempt(race.dialer, race.begun + 1, &(ms_attempt){0}));
  if (!conn) return;
  (void)snprintf(race.address, sizeof race.address, "%s", ms_conn_address(conn));
  ms_conn_handle(conn, &conn_events, NULL);
  ms_conn_close(conn);
}

static void on_attempt(const ms_attempt *a, void *user) {
  (void)user;
  race.steps++;
  if (a->step == MS_STEP_PASSED_OVER) {
    size_t n = race.passed_over_count++;
    assert_true(a->number == 0 && a->error && race.begun == 0);
    race.passed_over[n].alternative = a->alternative;
    race.passed_over[n].code = a->error->code;
    (void)snprintf(race.passed_over[n].address, TEXT, "%s", a->address);
    return;
  }
  if (a->step == MS_STEP_CONNECT) race.attempts[a->number].connect_msec = a->msec;
  assert_true(a->number >= 1 && a->number <= ATTEMPTS);
  if (a->number > race.begun) race.begun = a->number;
  if (a->step == MS_STEP_LAYER) {
    strcat(race.attempts[a->number].layers, " ");
    strcat(race.attempts[a->number].layers, a->layer);
  }
  race.attempts[a->number].step = a->step;
  race.attempts[a->number].alternative = a->alternative;
  race.attempts[a->number].begun_msec = a->begun_msec;
  race.attempts[a->number].msec = a->msec;
  race.attempts[a->number].code = a->error ? a->error->code : 0;
  if (a->error) (void)snprintf(race.attempts[a->number].message, TEXT, "%s", a->error->message);
  (void)snprintf(race.attempts[a->number].place, TEXT, "%s", a->place);
}

/* ---- A world ---- */

struct world {
  struct fixture f;
  char good[TEXT]; /* net:127.0.0.1:PORT */
  char key[64];    /* the server's, base64 */
  char other[64];  /* somebody else's */
};

static void on_late(uv_timer_t *timer) {
  static const char *const twice[] = {"127.0.0.1", "127.0.0.1"};
  ms_resolve_answer(timer->data, twice, 2);
  uv_close((uv_handle_t *)timer, NULL);
}

static void on_resolve(ms_resolving *question, const char *host, void *user) {
  static const char *const one[] = {"127.0.0.1"}, *const dead_beside[] = {"127.0.0.9", "127.0.0.1",
                                                                          "127.0.0.8"};
  static const char *const many[] = {"127.0.0.2", "127.0.0.3", "::1", "127.0.0.4"};
  static uv_timer_t late;
  struct fixture *f = user;
  if (strcmp(host, "late.example") == 0) {
    late.data = question;
    assert_int_equal(uv_timer_init(&f->loop, &late), 0);
    assert_int_equal(uv_timer_start(&late, on_late, LATE_MSEC, 0), 0);
  } else if (strcmp(host, "many.example") == 0)
    ms_resolve_answer(question, many, 4);
  else if (strcmp(host, "one.example") == 0)
    ms_resolve_answer(question, one, 1);
  else if (strcmp(host, "dead.example") == 0)
    ms_resolve_answer(question, dead_beside, 3);
  else
    ms_resolve_answer(question, NULL, 0);
}

static void begin(struct world *w) {
  static ms_server_events events;
  static ms_ctx_opts opts;
  ms_error err;
  char both[TEXT];
  uint8_t other[32] = {1};
  memset(&race, 0, sizeof race);
  memset(w, 0, sizeof *w);
  admits = true;
  ponders = false;
  fixture_init(&w->f);
  events = fixture_events(on_connection);
  opts = fixture_opts(&w->f, w->f.server_id);
  opts.on_authorise = on_authorise;
  opts.accept_timeout_msec = server_msec;
  assert_int_equal(ms_ctx_new(&w->f.server, &opts, &err), 0);
  opts.accept_timeout_msec = 0;
  opts.identity = w->f.client_id;
  opts.on_resolve = on_resolve;
  opts.user = &w->f;
  assert_int_equal(ms_ctx_new(&w->f.client, &opts, &err), 0);
  assert_int_equal(ms_add(w->f.server, "net:127.0.0.1:0~shs", NULL, &err), 0);
  assert_int_equal(ms_add(w->f.client, "net~shs", NULL, &err), 0);
  assert_int_equal(ms_add(w->f.client, "net~noauth", NULL, &err), 1);
  assert_int_equal(ms_listen(w->f.server, &events, &w->f, &err), 0);
  fixture_until(&w->f, &w->f.ready, -1);
  (void)ms_stringify(w->f.server, MS_DEVICE, both, sizeof both);
  (void)snprintf(w->good, sizeof w->good, "%.*s", (int)strcspn(both, "~"), both);
  (void)sodium_bin2base64(w->key, sizeof w->key, ms_identity_key(w->f.server_id), 32,
                          sodium_base64_VARIANT_ORIGINAL);
  (void)sodium_bin2base64(w->other, sizeof w->other, other, 32, sodium_base64_VARIANT_ORIGINAL);
}

static int dial(struct world *w, const char *address, const ms_dial_opts *more) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  if (more) opts = *more;
  opts.on_dialled = on_dialled;
  opts.on_attempt = on_attempt;
  return ms_dial(w->f.client, &race.dialer, address, &opts, &race.error);
}

static void run(struct world *w, const char *address, const ms_dial_opts *more) {
  if (dial(w, address, more) < 0) fail_msg("%s: %s", address, race.error.message);
  fixture_until(&w->f, &race.dialled, 0);
}

static void end(struct world *w) {
  fixture_done(&w->f);
  assert_int_equal(race.dialled, 1);
}

static void assert_open(const struct world *w, unsigned winner) {
  if (!race.open) fail_msg("not open: %s", race.error.message);
  assert_int_equal(strncmp(race.address, w->good, strlen(w->good)), 0);
  assert_int_equal(race.attempts[winner].step, MS_STEP_OPEN);
  assert_string_equal(race.attempts[winner].layers, " shs");
}

/* ---- Scenarios ---- */

static void the_dead_and_the_good(void **state) {
  char address[1024];
  struct world w;
  int fd[3], port[3];
  (void)state;
  begin(&w);
  for (int i = 0; i < 3; i++)
    port[i] = dead(&fd[i]);
  (void)snprintf(
      address, sizeof address,
      "unknown:x~shs:%s;net:127.0.0.1~shs;net:127.0.0.1:%d~shs:%s;net:127.0.0.1:%d~shs:%s;"
      "net:127.0.0.1:%d~shs:%s;%s~shs:%s",
      w.key, port[0], w.key, port[1], w.key, port[2], w.key, w.good, w.key);
  run(&w, address, NULL);
  assert_open(&w, 4);
  for (int i = 1; i <= 3; i++) {
    assert_int_equal(race.attempts[i].step, MS_STEP_FAILED);
    assert_int_equal(race.attempts[i].code, MS_ECONNECT);
    assert_int_equal(race.attempts[i].alternative, i + 1);
    close(fd[i - 1]);
  }
  assert_int_equal(race.passed_over_count, 2);
  assert_int_equal(race.passed_over[0].alternative, 0);
  assert_int_equal(race.passed_over[0].code, MS_ENOSTACK);
  assert_int_equal(strncmp(race.passed_over[0].address, "unknown", 7), 0);
  assert_int_equal(race.passed_over[1].alternative, 1);
  assert_int_equal(race.passed_over[1].code, MS_EADDRESS);
  assert_true(race.attempts[4].begun_msec < STAGGER_MSEC); /* nobody waited */
  end(&w);
}

static void the_silent_and_the_good(void **state) {
  char address[1024];
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = silent(&fd);
  (void)snprintf(address, sizeof address, "net:127.0.0.1:%d~shs:%s;%s~shs:%s", port, w.key, w.good,
                 w.key);
  run(&w, address, NULL);
  assert_open(&w, 2);
  assert_true(race.attempts[2].begun_msec >= STAGGER_MSEC);
  assert_int_equal(race.attempts[1].step, MS_STEP_DROPPED);
  end(&w);
  assert_cut(fd);
  close(fd);
}

static void the_good_and_the_silent(void **state) {
  char address[1024];
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = silent(&fd);
  (void)snprintf(address, sizeof address, "%s~shs:%s;net:127.0.0.1:%d~shs:%s", w.good, w.key, port,
                 w.key);
  run(&w, address, NULL);
  assert_open(&w, 1);
  assert_int_equal(race.begun, 1);
  end(&w);
  close(fd);
}

/* A server that refuses under one name, and what is tried behind it: `more` alternatives, GOOD for
 * its host and port, PORT for its port, DEAD for one where nobody listens. */
static void after_a_refusal(const char *more, unsigned attempts, const char *untried) {
  char address[4096];
  struct world w;
  int fd, port, n;
  begin(&w);
  port = dead(&fd);
  admits = false;
  n = snprintf(address, sizeof address, "%s~shs:%s", w.good, w.key);
  for (; *more; more++) {
    char *at = address + n;
    size_t size = sizeof address - (size_t)n;
    if (*more == 'G')
      n += snprintf(at, size, "%s", w.good);
    else if (*more == 'P')
      n += snprintf(at, size, "%s", strrchr(w.good, ':') + 1);
    else if (*more == 'D')
      n += snprintf(at, size, "%d", port);
    else if (*more == 'K')
      n += snprintf(at, size, "%s", w.key);
    else if (*more == 'O')
      n += snprintf(at, size, "%s", w.other);
    else
      n += snprintf(at, size, "%c", *more);
  }
  run(&w, address, NULL);
  assert_false(race.open);
  assert_int_equal(race.error.code, MS_EREFUSED);
  assert_int_equal(race.error.phase, MS_PHASE_AUTHORISE);
  assert_int_equal(race.attempts[1].code, MS_EREFUSED);
  if (race.begun != attempts)
    fail_msg("%s: %u attempts, not %u: %s", address, race.begun, attempts, race.error.message);
  assert_true(!untried || strstr(race.error.message, untried));
  end(&w);
  close(fd);
}

static void the_refusing_and_what_is_tried_then(void **state) {
  (void)state;
  after_a_refusal("", 1, NULL);
  /* other ports and other keys are tried */
  after_a_refusal(";net:127.0.0.1:D~shs:K", 2, "of 2 attempts");
  after_a_refusal(";net:127.0.0.1:D~shs:O", 2, NULL);
  after_a_refusal(";G~shs:O", 2, NULL);
  /* and other hosts: "localhost" has ::1, where nobody listens, and the place that has refused */
  after_a_refusal(";net:[::1]:P~shs:K", 2, NULL);
  /* the same place is not */
  after_a_refusal(";G~shs:K", 1, "(alternatives not tried: 1)");
  after_a_refusal(";G~shs:K;net:127.0.0.1:D~shs:K", 2, "not tried: 1");
  /* nor under another name, with which its look-up begins; what it has beside is */
  after_a_refusal(";net:one.example:P~shs:K", 2, NULL);
  after_a_refusal(";net:dead.example:P~shs:K", 3, NULL);
}

/* A stranger has the address today: refused there, the peer is found at the next. */
static void the_stranger_and_the_good(void **state) {
  ms_stack_opts stranger = MS_OPTS_INIT(ms_stack_opts);
  char address[1024], place[TEXT] = "";
  ms_identity *id;
  struct world w;
  ms_error err;
  int stack;
  (void)state;
  begin(&w);
  assert_int_equal(ms_identity_generate(&id, &err), 0);
  stranger.identity = id;
  stranger.on_authorise = on_authorise;
  stack = ms_add(w.f.server, "net:127.0.0.1:0~shs", &stranger, &err);
  ms_identity_free(id);
  assert_true(stack >= 0);
  while (!ms_stringify_stack(w.f.server, stack, MS_DEVICE, place, sizeof place))
    (void)uv_run(&w.f.loop, UV_RUN_NOWAIT);
  (void)snprintf(address, sizeof address, "%.*s~shs:%s;%s~shs:%s", (int)strcspn(place, "~"), place,
                 w.key, w.good, w.key);
  run(&w, address, NULL);
  assert_open(&w, 2);
  assert_int_equal(race.attempts[1].code, MS_EREFUSED);
  end(&w);
}

/* The server's own time is over before it knows whether we may enter: the error says that this may
 * be why. */
static void a_refusal_that_may_be_a_timeout(void **state) {
  char address[1024];
  struct world w;
  (void)state;
  server_msec = 1200;
  begin(&w);
  server_msec = 0;
  ponders = true;
  (void)snprintf(address, sizeof address, "%s~shs:%s", w.good, w.key);
  run(&w, address, NULL);
  assert_int_equal(race.error.code, MS_EREFUSED);
  if (!strstr(race.error.message, " ms: ") || !strstr(race.error.message, "its own time"))
    fail_msg("\"%s\" does not name the server's time", race.error.message);
  assert_int_equal(ms_conn_answer(asked, false, NULL), MS_ESTATE);
  ponders = admits = false;
  race.dialled = 0;
  run(&w, address, NULL);
  if (strstr(race.error.message, "time"))
    fail_msg("\"%s\" names the server's time", race.error.message);
  end(&w);
}

/* Attempts that run when one is refused finish. */
static void a_refusal_leaves_what_runs(void **state) {
  ms_dial_opts quick = MS_OPTS_INIT(ms_dial_opts);
  char address[1024];
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  admits = false;
  port = silent(&fd);
  quick.stagger_msec = 1;
  quick.timeout_msec = 600;
  (void)snprintf(address, sizeof address, "net:127.0.0.1:%d~shs:%s;%s~shs:%s", port, w.key, w.good,
                 w.key);
  run(&w, address, &quick);
  assert_int_equal(race.begun, 2);
  assert_int_equal(race.attempts[2].code, MS_EREFUSED);
  assert_int_equal(race.attempts[1].code, MS_ETIMEDOUT);
  assert_true(race.attempts[1].msec >= 600);
  assert_int_equal(race.error.code, MS_EREFUSED);
  end(&w);
  close(fd);
}

static void addresses_of_one_host_take_turns(void **state) {
  static const char *const places[] = {"127.0.0.2", "[::1]", "127.0.0.3", "127.0.0.4"};
  char address[1024];
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = dead(&fd);
  (void)snprintf(address, sizeof address, "net:many.example:%d~shs:%s;net:no.example:1~shs:%s",
                 port, w.key, w.key);
  run(&w, address, NULL);
  assert_false(race.open);
  assert_int_equal(race.begun, 5);
  /* two of the first host, the second host, the rest of the first */
  for (int i = 0; i < 4; i++) {
    char place[64];
    (void)snprintf(place, sizeof place, "%s:%d", places[i], port);
    assert_string_equal(race.attempts[i < 2 ? i + 1 : i + 2].place, place);
  }
  assert_int_equal(race.attempts[3].code, MS_EUNKNOWNHOST);
  assert_string_equal(race.attempts[3].place, "");
  assert_non_null(strstr(race.error.message, "(the furthest of 5 attempts)"));
  end(&w);
  close(fd);
}

static void the_deadline_is_absolute(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[4096] = "";
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = silent(&fd);
  opts.timeout_msec = 700;
  opts.stagger_msec = 10;
  for (int i = 0; i < 12; i++)
    (void)snprintf(address + strlen(address), sizeof address - strlen(address),
                   "%snet:127.0.0.1:%d~shs:%s", i ? ";" : "", port, w.key);
  run(&w, address, &opts);
  assert_int_equal(race.begun, 8); /* at the same time; none of them has ended */
  assert_int_equal(race.error.code, MS_ETIMEDOUT);
  assert_string_equal(race.error.layer, "shs");
  for (unsigned i = 1; i <= race.begun; i++) {
    assert_int_equal(race.attempts[i].code, MS_ETIMEDOUT);
    assert_true(race.attempts[i].msec >= 700 && race.attempts[i].msec < 5000);
  }
  end(&w);
  close(fd);
}

/* Eight that say nothing, some of which do not even connect, keep nobody out for ever. */
static void who_is_slow_makes_room(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[4096] = "";
  struct world w;
  int fd, full, port[2];
  (void)state;
  begin(&w);
  port[0] = silent(&fd);
  port[1] = dead(&full);
  assert_int_equal(listen(full, 0), 0); /* the second already waits for its SYN to be answered */
  opts.stagger_msec = 10;
  for (int i = 0; i < 8; i++)
    (void)snprintf(address + strlen(address), sizeof address - strlen(address),
                   "net:127.0.0.1:%d~shs:%s;", port[i >= 4], w.key);
  (void)snprintf(address + strlen(address), sizeof address - strlen(address), "%s~shs:%s", w.good,
                 w.key);
  run(&w, address, &opts);
  assert_open(&w, 9);
  assert_int_equal(race.begun, 9);
  assert_int_equal(race.attempts[1].code, MS_ETIMEDOUT);
  assert_string_equal(race.attempts[1].message, "it was slow, and made room for others");
  assert_int_equal(race.attempts[1].step, MS_STEP_FAILED);
  assert_true(race.attempts[9].begun_msec >= 5000 && race.attempts[9].begun_msec < 7000);
  for (int i = 2; i <= 8; i++)
    assert_int_equal(race.attempts[i].step, MS_STEP_DROPPED);
  end(&w);
  close(fd);
  close(full);
}

/* The same when none of them connects. */
static void who_does_not_connect_makes_room(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[4096] = "";
  struct world w;
  int full, port;
  (void)state;
  begin(&w);
  port = dead(&full);
  assert_int_equal(listen(full, 0), 0);
  opts.stagger_msec = 10;
  opts.timeout_msec = 8000;
  for (int i = 0; i < 9; i++)
    (void)snprintf(address + strlen(address), sizeof address - strlen(address),
                   "net:127.0.0.1:%d~shs:%s;", port, w.key);
  (void)snprintf(address + strlen(address), sizeof address - strlen(address), "%s~shs:%s", w.good,
                 w.key);
  run(&w, address, &opts);
  assert_open(&w, 10);
  for (int i = 1; i <= 2; i++)
    assert_int_equal(race.attempts[i].code, MS_ETIMEDOUT);
  end(&w);
  close(full);
}

static void no_more_than_64_attempts(void **state) {
  char address[16384] = "";
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = dead(&fd);
  for (int i = 0; i < 100; i++)
    (void)snprintf(address + strlen(address), sizeof address - strlen(address),
                   "%snet:127.0.0.1:%d~shs:%s", i ? ";" : "", port, w.key);
  run(&w, address, NULL);
  assert_int_equal(race.begun, 64);
  assert_false(race.open);
  assert_non_null(strstr(race.error.message, "(the furthest of 64 attempts; not tried: 36)"));
  end(&w);
  close(fd);
}

static void policy(void **state) {
  static const char *const shs_first[] = {"ws~shs", "net~shs"};
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[1024];
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = dead(&fd);
  (void)snprintf(address, sizeof address, "net:127.0.0.1:%d~noauth;%s~shs:%s", port, w.good, w.key);
  opts.prefer = shs_first;
  opts.prefer_count = 2;
  run(&w, address, &opts);
  assert_open(&w, 1);
  assert_int_equal(race.attempts[1].alternative, 1);
  assert_int_equal(race.begun, 1);
  end(&w);

  begin(&w);
  opts = (ms_dial_opts)MS_OPTS_INIT(ms_dial_opts);
  opts.security = MS_SECURITY_KEY;
  run(&w, address, &opts); /* its good place is another world's by now */
  assert_int_equal(race.begun, 1);
  assert_int_equal(race.attempts[1].alternative, 1);
  (void)snprintf(address, sizeof address, "net:127.0.0.1:%d~noauth", port);
  assert_int_equal(dial(&w, address, &opts), MS_EINSECURE);
  opts.security = MS_SECURITY_SERVER;
  assert_int_equal(dial(&w, address, &opts), MS_EINSECURE);
  end(&w);
  close(fd);
}

/* A slow look-up takes nothing of the time that the first address has for itself. */
static void the_stagger_is_between_connects(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[1024];
  struct world w;
  int fd, port;
  (void)state;
  begin(&w);
  port = silent(&fd);
  opts.stagger_msec = 200;
  opts.timeout_msec = 1000;
  (void)snprintf(address, sizeof address, "net:late.example:%d~shs:%s", port, w.key);
  run(&w, address, &opts);
  assert_int_equal(race.begun, 2);
  assert_true(race.attempts[1].connect_msec >= LATE_MSEC);
  assert_true(race.attempts[2].connect_msec >= race.attempts[1].connect_msec + 200);
  end(&w);
  close(fd);
}

static void be_busy(uint64_t msec) {
  for (uint64_t begun = uv_hrtime(); uv_hrtime() < begun + msec * 1000000;)
    ;
}

/* An application may be busy between the loop's last poll and its dial. */
static void the_time_begins_with_the_dial(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[1024];
  struct world w;
  (void)state;
  begin(&w);
  (void)snprintf(address, sizeof address, "%s~shs:%s", w.good, w.key);
  opts.timeout_msec = 2000;
  uv_update_time(&w.f.loop);
  be_busy(2100);
  run(&w, address, &opts);
  assert_open(&w, 1);
  end(&w);
}

/* The loop comes to it when its time is over already. */
static void a_deadline_may_come_first(void **state) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char address[1024];
  struct world w;
  (void)state;
  begin(&w);
  (void)snprintf(address, sizeof address, "%s~shs:%s", w.good, w.key);
  opts.timeout_msec = 1;
  if (dial(&w, address, &opts) < 0) fail_msg("%s: %s", address, race.error.message);
  be_busy(20);
  fixture_until(&w.f, &race.dialled, 0);
  assert_int_equal(race.error.code, MS_ETIMEDOUT);
  assert_string_equal(race.error.address, address);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_dead_and_the_good),
      cmocka_unit_test(the_silent_and_the_good),
      cmocka_unit_test(the_good_and_the_silent),
      cmocka_unit_test(the_refusing_and_what_is_tried_then),
      cmocka_unit_test(the_stranger_and_the_good),
      cmocka_unit_test(a_refusal_that_may_be_a_timeout),
      cmocka_unit_test(a_refusal_leaves_what_runs),
      cmocka_unit_test(addresses_of_one_host_take_turns),
      cmocka_unit_test(the_deadline_is_absolute),
      cmocka_unit_test(who_is_slow_makes_room),
      cmocka_unit_test(who_does_not_connect_makes_room),
      cmocka_unit_test(no_more_than_64_attempts),
      cmocka_unit_test(policy),
      cmocka_unit_test(the_stagger_is_between_connects),
      cmocka_unit_test(the_time_begins_with_the_dial),
      cmocka_unit_test(a_deadline_may_come_first),
  };
  return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
