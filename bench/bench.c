/* Our side of the benchmark (run.js): a server and the clients that measure, over the public face
 * of the library only.
 *
 *   bench-ms serve                             prints its address; "stat" on stdin prints numbers
 *   bench-ms bulk ADDRESS BYTES WRITE          sends so much in writes of so many bytes
 *   bench-ms handshakes ADDRESS N PARALLEL     connects and closes
 *   bench-ms ping ADDRESS N                    64 bytes there and back
 *   bench-ms idle ADDRESS N                    connects, says so, and stays until stdin ends
 *
 * The server echoes pings (a client's first byte is 'p') and counts what else comes, checking a
 * byte of each piece; at the peer's end it answers with the count. */
#include <multiserver.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

enum { PATTERN = 65536, PING = 64 };

static uint8_t pattern[2 * PATTERN];
static ms_ctx *ctx;

static void die(const char *what, const char *why) {
  fprintf(stderr, "bench-ms: %s: %s\n", what, why);
  exit(1);
}

static void make_pattern(void) {
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (uint8_t)((i % PATTERN) * 7 + ((i % PATTERN) >> 8));
  pattern[0] = pattern[PATTERN] = 'b';
}

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long size = 0, resident = 0;
  if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2) die("statm", "cannot be read");
  fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

/* ---- The server ---- */

struct peer {
  uint64_t got;
  bool echo;
};

static unsigned long served;

static void serve_readable(ms_conn *conn, void *user) {
  struct peer *p = user;
  const uint8_t *bytes;
  size_t n = ms_conn_peek(conn, &bytes);
  if (n == 0) return;
  if (p->got == 0) p->echo = bytes[0] == 'p';
  if (p->echo) {
    ptrdiff_t k = ms_conn_write(conn, bytes, n);
    if (k <= 0) return;
    n = (size_t)k;
  } else if (bytes[0] != pattern[p->got % PATTERN]) {
    die("server", "the bytes are not those that were sent");
  }
  p->got += n;
  ms_conn_consume(conn, n);
}

static void serve_end(ms_conn *conn, void *user) {
  struct peer *p = user;
  char text[32];
  int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)p->got);
  if (!p->echo && p->got) ms_conn_write(conn, text, (size_t)n);
  ms_conn_end(conn);
}

static void serve_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err; /* idle clients are cut */
  free(user);
}

static const ms_conn_events serve_events = {.on_readable = serve_readable,
                                            .on_writable = serve_readable,
                                            .on_end = serve_end,
                                            .on_close = serve_close};

static void on_connection(ms_conn *conn, void *user) {
  struct peer *p = calloc(1, sizeof *p);
  (void)user;
  if (!p) die("server", "out of memory");
  served++;
  ms_conn_handle(conn, &serve_events, p);
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  ms_conn_answer(conn, true, NULL);
}

static void on_listen(ms_ctx *ms, int stack, const ms_error *err, void *user) {
  char address[256];
  (void)stack;
  (void)user;
  if (err) die("listen", err->message);
  ms_stringify(ms, MS_DEVICE, address, sizeof address);
  puts(address);
  fflush(stdout);
}

static const ms_server_events server_events = {.on_listen = on_listen,
                                               .on_connection = on_connection};

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  static char room[256];
  (void)handle;
  (void)size;
  *buf = uv_buf_init(room, sizeof room);
}

/* "stat", or the end. */
static void on_command(uv_stream_t *in, ssize_t n, const uv_buf_t *buf) {
  (void)in;
  (void)buf;
  if (n < 0) exit(0);
  printf("{\"cpu\":%.6f,\"rss\":%ld,\"served\":%lu}\n", cpu_seconds(), resident_bytes(), served);
  fflush(stdout);
}

static void watch_stdin(uv_pipe_t *in) {
  uv_pipe_init(uv_default_loop(), in, 0);
  if (uv_pipe_open(in, STDIN_FILENO) < 0) die("stdin", "is not a pipe");
  uv_read_start((uv_stream_t *)in, on_alloc, on_command);
}

/* ---- The clients ---- */

static struct {
  const char *address;
  uint64_t n, done, sent; /* bytes, connections or pings */
  uint64_t warm;          /* pings that do not count */
  size_t write;
  void (*opened)(ms_conn *conn);
  const ms_conn_events *events;
  uint64_t from; /* ns */
  double cpu;
  char answer[32];
  size_t answered, pong;
  double *times;
} job;

static double seconds(void) {
  return (double)(uv_hrtime() - job.from) / 1e9;
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  if (err) die(err->address, err->message);
  ms_conn_handle(conn, job.events, NULL);
  job.opened(conn);
}

static void dial(void) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  ms_error err;
  opts.on_dialled = on_dialled;
  opts.timeout_msec = 60000;
  if (ms_dial(ctx, NULL, job.address, &opts, &err) < 0) die(job.address, err.message);
}

static void begin_clock(void) {
  job.from = uv_hrtime();
  job.cpu = cpu_seconds();
}

static void write_pattern(ms_conn *conn, void *user) {
  (void)user;
  while (job.sent < job.n) {
    size_t left = job.n - job.sent < job.write ? (size_t)(job.n - job.sent) : job.write;
    ptrdiff_t k = ms_conn_write(conn, pattern + job.sent % PATTERN, left);
    if (k < 0) die("write", ms_code_text((int)k));
    job.sent += (uint64_t)k;
    if ((size_t)k < left) return;
  }
  ms_conn_end(conn);
}

static void bulk_opened(ms_conn *conn) {
  begin_clock();
  write_pattern(conn, NULL);
}

static void bulk_readable(ms_conn *conn, void *user) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  (void)user;
  if (job.answered + n >= sizeof job.answer) die("bulk", "a strange answer");
  memcpy(job.answer + job.answered, p, n);
  job.answered += n;
  ms_conn_consume(conn, n);
}

static void bulk_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  if (err) die(err->address, err->message);
  if (strtoull(job.answer, NULL, 10) != job.n) die("bulk", "not all of it has arrived");
  printf("{\"wall\":%.6f,\"cpu\":%.6f}\n", seconds(), cpu_seconds() - job.cpu);
  exit(0);
}

static const ms_conn_events bulk_events = {
    .on_readable = bulk_readable, .on_writable = write_pattern, .on_close = bulk_close};

static void close_at_once(ms_conn *conn) {
  ms_conn_close(conn);
}

static void next_handshake(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)user;
  if (err) die(err->address, err->message);
  if (++job.done == job.n) {
    printf("{\"wall\":%.6f,\"cpu\":%.6f}\n", seconds(), cpu_seconds() - job.cpu);
    exit(0);
  }
  if (job.sent < job.n) {
    job.sent++;
    dial();
  }
}

static const ms_conn_events handshake_events = {.on_close = next_handshake};

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void ping(ms_conn *conn) {
  static const uint8_t text[PING] = "p";
  job.from = uv_hrtime();
  job.pong = 0;
  if (ms_conn_write(conn, text, sizeof text) != sizeof text) die("ping", "no room");
}

static void pong(ms_conn *conn, void *user) {
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  (void)user;
  ms_conn_consume(conn, n);
  if ((job.pong += n) < PING) return;
  if (job.done >= job.warm) job.times[job.done - job.warm] = seconds() * 1e6;
  if (++job.done < job.n + job.warm) {
    ping(conn);
    return;
  }
  qsort(job.times, job.n, sizeof *job.times, by_size);
  printf("{\"p50\":%.2f,\"p99\":%.2f}\n", job.times[job.n / 2], job.times[job.n * 99 / 100]);
  exit(0);
}

static void closed_early(ms_conn *conn, const ms_error *err, void *user) {
  (void)user;
  die(ms_conn_address(conn), err ? err->message : "it has ended");
}

static const ms_conn_events ping_events = {.on_readable = pong, .on_close = closed_early};

static void idle_opened(ms_conn *conn) {
  (void)conn;
  if (job.sent < job.n) {
    job.sent++;
    dial();
  }
  if (++job.done < job.n) return;
  puts("{\"ready\":true}");
  fflush(stdout);
}

static const ms_conn_events idle_events = {.on_close = closed_early};

/* ---- Starting ---- */

/* $MS_TRANSPORT: net, unless it is ws. */
static const char *stack(bool server) {
  const char *transport = getenv("MS_TRANSPORT");
  if (transport && strcmp(transport, "ws") == 0) return server ? "ws://127.0.0.1:0~shs" : "ws~shs";
  return server ? "net:127.0.0.1:0~shs" : "net~shs";
}

static void start(bool server) {
  const uint8_t seed[MS_KEY_BYTES] = {server ? 1 : 2};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_identity *id;
  ms_error err;
  struct rlimit files;
  signal(SIGPIPE, SIG_IGN);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  make_pattern();
  if (ms_identity_from_seed(&id, seed, &err) < 0) die("identity", err.message);
  opts.loop = uv_default_loop();
  opts.identity = id;
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  opts.accept_timeout_msec = 60000;
  opts.limits.connections = opts.limits.handshakes = UINT32_MAX;
  if (ms_ctx_new(&ctx, &opts, &err) < 0 || ms_add(ctx, stack(server), NULL, &err) < 0 ||
      (server && ms_listen(ctx, &server_events, NULL, &err) < 0))
    die("start", err.message);
  ms_identity_free(id);
}

static int usage(void) {
  fputs(
      "usage: bench-ms serve | bulk ADDRESS BYTES WRITE | handshakes ADDRESS N PARALLEL |\n"
      "       ping ADDRESS N | idle ADDRESS N\n",
      stderr);
  return 2;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  uint64_t third = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
  uv_pipe_t in;
  if (strcmp(what, "serve") == 0) {
    start(true);
    watch_stdin(&in);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  }
  if (argc < 4) return usage();
  job.address = argv[2];
  job.n = strtoull(argv[3], NULL, 10);
  start(false);
  begin_clock();
  if (strcmp(what, "bulk") == 0 && third >= 1 && third <= PATTERN) {
    job.write = (size_t)third;
    job.opened = bulk_opened;
    job.events = &bulk_events;
    dial();
  } else if (strcmp(what, "handshakes") == 0) {
    job.opened = close_at_once;
    job.events = &handshake_events;
    for (job.sent = 0; job.sent < third && job.sent < job.n; job.sent++)
      dial();
  } else if (strcmp(what, "ping") == 0) {
    job.times = calloc(job.n, sizeof *job.times);
    if (!job.times) die("ping", "out of memory");
    job.warm = job.n / 4;
    job.opened = ping;
    job.events = &ping_events;
    dial();
  } else if (strcmp(what, "idle") == 0) {
    job.opened = idle_opened;
    job.events = &idle_events;
    watch_stdin(&in);
    for (job.sent = 0; job.sent < 32 && job.sent < job.n; job.sent++)
      dial();
  } else {
    return usage();
  }
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
