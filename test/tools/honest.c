/* Honest peers of an echo, many in one process:
 *
 *   honest COUNT ADDRESS...
 *
 * COUNT connections to each ADDRESS. Each says 64 bytes, waits until they have come back, pauses
 * and says more. The first of each address stays for ever; every other one leaves by a goodbye
 * after 50 round trips and comes again. On each line of standard input it tells, as JSON, what has
 * been since the line before: round trips and their milliseconds (p50, p99, most), connections that
 * came in and the longest time that one took, those that were cut, those that could not come in,
 * and those that have waited for more than a second for an answer. */
#include <multiserver.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
  SIZE = 64,
  PAUSE_MSEC = 10,
  TRIPS = 50,
  SAMPLES = 1 << 20,
  LATE_MSEC = 1000,
  AGAIN_MSEC = 50
};

struct peer {
  const char *address;
  ms_conn *conn;
  uv_timer_t timer;
  uint64_t from; /* when it dialled, or said its 64 bytes */
  unsigned trips;
  size_t left; /* to come back */
  bool stays, leaves;
};

static struct {
  ms_ctx *ctx;
  uv_loop_t *loop;
  struct peer *peers;
  size_t count;
  float samples[SAMPLES];
  size_t trips;
  unsigned entered, cut, refused;
  double longest_entry;
  char why[512];
} all;

static double msec_since(uint64_t from) {
  return (double)(uv_hrtime() - from) / 1e6;
}

static void die(const char *what, const char *why) {
  (void)fprintf(stderr, "honest: %s: %s\n", what, why);
  exit(1);
}

static void dial(struct peer *p);

static void on_again(uv_timer_t *timer) {
  dial(timer->data);
}

static void say(struct peer *p) {
  uint8_t bytes[SIZE];
  memset(bytes, 'h', sizeof bytes);
  p->from = uv_hrtime();
  p->left = SIZE;
  (void)ms_conn_write(p->conn, bytes, sizeof bytes);
}

static void on_pause(uv_timer_t *timer) {
  struct peer *p = timer->data;
  if (p->conn) say(p);
}

static void on_readable(ms_conn *conn, void *user) {
  struct peer *p = user;
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  ms_conn_consume(conn, n);
  p->left -= n < p->left ? n : p->left;
  if (p->left || n == 0 || p->leaves) return;
  if (all.trips < SAMPLES) all.samples[all.trips] = (float)msec_since(p->from);
  all.trips++;
  p->leaves = ++p->trips == TRIPS && !p->stays;
  if (p->leaves)
    ms_conn_close(conn);
  else
    (void)uv_timer_start(&p->timer, on_pause, PAUSE_MSEC, 0);
}

/* In words that need no escape. */
static void note(const struct peer *p, const char *why) {
  (void)snprintf(all.why, sizeof all.why, "%s: %s", p->address, why);
  for (char *c = all.why; *c; c++)
    if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = '\'';
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct peer *p = user;
  (void)conn;
  p->conn = NULL;
  p->from = uv_hrtime();
  if (err || !p->leaves) {
    all.cut++;
    note(p, err ? err->message : "it has ended");
  }
  (void)uv_timer_start(&p->timer, on_again, AGAIN_MSEC, 0);
}

static const ms_conn_events events = {.on_readable = on_readable, .on_close = on_close};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct peer *p = user;
  double took = msec_since(p->from);
  if (took > all.longest_entry) all.longest_entry = took;
  if (err) {
    all.refused++;
    note(p, err->message);
    (void)uv_timer_start(&p->timer, on_again, AGAIN_MSEC, 0);
    return;
  }
  all.entered++;
  p->conn = conn;
  p->trips = 0;
  ms_conn_handle(conn, &events, p);
  say(p);
}

static void dial(struct peer *p) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  ms_error err;
  opts.on_dialled = on_dialled;
  opts.user = p;
  p->leaves = false;
  p->from = uv_hrtime();
  if (ms_dial(all.ctx, NULL, p->address, &opts, &err) < 0) die(p->address, err.message);
}

static int by_size(const void *a, const void *b) {
  float x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

static void tell(void) {
  size_t n = all.trips < SAMPLES ? all.trips : SAMPLES, late = 0;
  qsort(all.samples, n, sizeof *all.samples, by_size);
  for (size_t i = 0; i < all.count; i++)
    late += all.peers[i].conn ? all.peers[i].left && msec_since(all.peers[i].from) > LATE_MSEC
                              : msec_since(all.peers[i].from) > LATE_MSEC;
  (void)printf(
      "{\"event\":\"honest\",\"trips\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"most\":%.3f,"
      "\"entered\":%u,\"entry\":%.1f,\"cut\":%u,\"refused\":%u,\"late\":%zu,\"why\":\"%s\"}\n",
      all.trips, n ? (double)all.samples[n / 2] : 0, n ? (double)all.samples[n * 99 / 100] : 0,
      n ? (double)all.samples[n - 1] : 0, all.entered, all.longest_entry, all.cut, all.refused,
      late, all.why);
  (void)fflush(stdout);
  all.trips = 0;
  all.entered = all.cut = all.refused = 0;
  all.longest_entry = 0;
  all.why[0] = 0;
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  static char room[256];
  (void)handle;
  (void)size;
  *buf = uv_buf_init(room, sizeof room);
}

static void on_line(uv_stream_t *in, ssize_t n, const uv_buf_t *buf) {
  (void)in;
  (void)buf;
  if (n < 0) exit(0);
  tell();
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  (void)ms_conn_answer(conn, true, NULL);
}

static void begin(ms_identity *me) {
  static const char *const stacks[] = {"net~shs", "net", "ws~shs", "ws"};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_error err;
  opts.loop = all.loop;
  opts.identity = me;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  stack.stream = true;
  stack.tls.insecure = true;
  if (ms_ctx_new(&all.ctx, &opts, &err) < 0) die("context", err.message);
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
    if (ms_add(all.ctx, stacks[i], &stack, &err) < 0) die(stacks[i], err.message);
}

int main(int argc, char **argv) {
  static uv_pipe_t in;
  size_t each = argc > 2 ? (size_t)atol(argv[1]) : 0;
  ms_identity *me;
  ms_error err;
  if (each == 0 || ms_identity_generate(&me, &err) < 0) {
    (void)fprintf(stderr, "usage: honest COUNT ADDRESS...\n");
    return 2;
  }
  all.loop = uv_default_loop();
  begin(me);
  all.count = each * (size_t)(argc - 2);
  all.peers = calloc(all.count, sizeof *all.peers);
  if (!all.peers) die("peers", "out of memory");
  (void)uv_pipe_init(all.loop, &in, 0);
  (void)uv_pipe_open(&in, 0);
  (void)uv_read_start((uv_stream_t *)&in, on_alloc, on_line);
  for (size_t i = 0; i < all.count; i++) {
    struct peer *p = &all.peers[i];
    p->address = argv[2 + i / each];
    p->stays = i % each == 0;
    p->timer.data = p;
    (void)uv_timer_init(all.loop, &p->timer);
    dial(p);
  }
  return uv_run(all.loop, UV_RUN_DEFAULT);
}
