/* Standard input to a connection, and the connection to standard output.
 *
 * Both run in libuv's threads as plain reads and writes, whatever they are (file, pipe, terminal):
 * so a descriptor that is shared with other processes keeps its flags, and one that somebody made
 * non-blocking is waited for. One read and one write are under way at the most; a peer that does
 * not read stops our reading, and the other way round. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"

enum { PIECE = 65536, SILENCE_MSEC = 1000 };

/* What the reading thread does. Only one that waits can be told that nobody wants any more. */
enum taking { NOTHING, WAITS, TAKES, LEFT };

struct cli_stdio {
  uv_loop_t *loop;
  ms_conn *conn; /* NULL when it is over */
  void (*done)(int status, void *user);
  void *user;
  uv_work_t in, out;
  uv_timer_t silence;       /* of stdin after the peer's end */
  struct cli_linger linger; /* after stdin's, until the peer has said all */
  struct cli_progress progress;
  cli_closed_cb closed;
  uint32_t linger_msec;
  int timers; /* open */
  bool in_busy, out_busy, in_ended, in_is_file, in_is_terminal;
  bool in_gave;        /* a byte, at least */
  enum cli_hold hold;  /* our end */
  bool holds_end;      /* the peer's, until all is written out: it asks for ours */
  bool waits_for_peer; /* ours waits until the peer's stream is written out */
  bool silent;         /* standard input was, for too long after the peer's end */
  bool takes;          /* the connection is over, and the thread has taken something */
  bool peer_ended;
  _Atomic enum taking taking;
  char address[sizeof((ms_error *)0)->address]; /* of a connection that is over */
  int status;
  int in_error, out_error; /* errno; the threads' */
  size_t in_got;           /* the thread's */
  size_t in_at, in_n, out_n;
  char in_buf[PIECE], out_buf[PIECE];
};

static void fail(struct cli_stdio *s, const char *where, int error) {
  if (s->status == CLI_OK) s->status = cli_error("stdio", where, "%s", strerror(error));
  if (s->conn) ms_conn_abort(s->conn);
}

static void free_if_idle(struct cli_stdio *s) {
  if (s->timers == 0 && !s->in_busy) free(s);
}

static void timer_closed(struct cli_stdio *s) {
  s->timers--;
  free_if_idle(s);
}

static void on_silence_closed(uv_handle_t *handle) {
  timer_closed(handle->data);
}

static void on_linger_closed(uv_handle_t *handle) {
  timer_closed(((struct cli_linger *)handle->data)->user);
}

static void on_progress_closed(uv_handle_t *handle) {
  timer_closed((struct cli_stdio *)((char *)handle - offsetof(struct cli_stdio, progress.timer)));
}

/* Over when the connection is and all it gave has been written. libuv waits for its threads. */
static void finish(struct cli_stdio *s) {
  if (s->conn || s->out_busy || s->takes || !s->done) return;
  uv_close((uv_handle_t *)&s->silence, on_silence_closed);
  uv_close((uv_handle_t *)&s->linger.timer, on_linger_closed);
  uv_close((uv_handle_t *)&s->progress.timer, on_progress_closed);
  s->done(s->status, s->user);
  s->done = NULL;
  if (!s->in_busy) return;
  (void)fflush(stdout);
  _exit(s->status); /* a read that waits for a terminal or a pipe would keep the process for ever */
}

/* ---- In a thread ---- */

/* After a read or a write has failed: true when it is to be tried again, now that it can. */
static bool again(int fd, short event) {
  struct pollfd p = {.fd = fd, .events = event};
  if (errno == EINTR) return true;
  if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
  return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

static void wait_for_input(void) {
  struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
  while (poll(&p, 1, -1) < 0 && errno == EINTR)
    continue;
}

static void read_in(uv_work_t *work) {
  struct cli_stdio *s = work->data;
  ssize_t n;
  s->in_error = 0;
  s->in_got = 0;
  for (;;) {
    enum taking waits = WAITS;
    wait_for_input();
    if (!atomic_compare_exchange_strong(&s->taking, &waits, TAKES)) return;
    n = read(STDIN_FILENO, s->in_buf, sizeof s->in_buf);
    if (n >= 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) break;
    atomic_store(&s->taking, WAITS);
  }
  if (n < 0)
    s->in_error = errno;
  else
    s->in_got = (size_t)n;
}

static void write_out(uv_work_t *work) {
  struct cli_stdio *s = work->data;
  size_t at = 0;
  s->out_error = 0;
  while (at < s->out_n) {
    ssize_t n = write(STDOUT_FILENO, s->out_buf + at, s->out_n - at);
    if (n >= 0) {
      at += (size_t)n;
    } else if (!again(STDOUT_FILENO, POLLOUT)) {
      s->out_error = errno;
      return;
    }
  }
}

/* ---- What the peer has not had ---- */

/* Nobody else reads it any more. A device may be ready for nothing but its end, as /dev/null is. */
static bool input_is_ready(void) {
  struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
  char byte;
  int n;
  if (ioctl(STDIN_FILENO, FIONREAD, &n) == 0) return n > 0;
  return poll(&p, 1, 0) > 0 && p.revents & POLLIN && read(STDIN_FILENO, &byte, 1) > 0;
}

/* The connection has ended cleanly. Was there more to be sent? What a terminal or a pipe says after
 * that is nobody's loss; what it has said before is. */
static bool any_unsent(struct cli_stdio *s) {
  enum taking waits = WAITS;
  if (s->in_at < s->in_n) return true;
  if (s->in_ended || s->silent) return false;
  if (s->in_busy && !atomic_compare_exchange_strong(&s->taking, &waits, LEFT)) {
    s->takes = true; /* on_in knows */
    return false;
  }
  return input_is_ready();
}

static void lost_some(struct cli_stdio *s) {
  s->status = cli_error("connection", s->address,
                        "the peer has closed before it had all of standard input");
}

/* ---- stdin to the peer ---- */

static void read_more(struct cli_stdio *s);

static void on_silence(uv_timer_t *timer) {
  struct cli_stdio *s = timer->data;
  if (!s->conn || s->in_at < s->in_n) return;
  s->silent = true;
  ms_conn_close(s->conn);
}

/* After the peer's end, what standard input gives still goes out: a file to its end, a pipe until
 * it has been silent for a while, for it may never end. Nobody waits for a person. */
static void wait_for_stdin(struct cli_stdio *s) {
  if (!s->conn || !s->peer_ended || s->out_busy || s->in_ended || s->in_at < s->in_n ||
      s->in_is_file)
    return;
  if (s->in_is_terminal)
    ms_conn_close(s->conn);
  else
    (void)uv_timer_start(&s->silence, on_silence, s->linger_msec, 0);
}

static void on_late(ms_conn *conn, void *user) {
  struct cli_stdio *s = user;
  s->status = cli_error("connection", ms_conn_address(conn),
                        "the peer has not closed: what it has sent may not be all");
  ms_conn_abort(conn);
}

/* Where our end asks for the peer's, it waits until the peer has been silent; and where it tells
 * the peer that all has arrived, it waits until that is so. */
static void end_ours(struct cli_stdio *s) {
  s->waits_for_peer = (!s->peer_ended || s->out_busy) &&
                      (s->hold == CLI_HOLD || (s->hold == CLI_HOLD_SILENT && !s->in_gave));
  if (s->waits_for_peer) return;
  if (s->peer_ended)
    ms_conn_end(s->conn);
  else
    cli_linger_end(&s->linger, s->conn);
}

static void send_in(struct cli_stdio *s) {
  ptrdiff_t k;
  if (!s->conn || s->in_busy || s->in_ended) return;
  if (s->in_at < s->in_n) {
    k = ms_conn_write(s->conn, s->in_buf + s->in_at, s->in_n - s->in_at);
    if (k < 0) return; /* writing is over: on_close tells why */
    s->in_at += (size_t)k;
    if (s->in_at < s->in_n) return; /* on_writable goes on */
  }
  wait_for_stdin(s);
  read_more(s);
}

static void on_in(uv_work_t *work, int cancelled) {
  struct cli_stdio *s = work->data;
  (void)cancelled; /* never */
  s->in_busy = false;
  if (s->takes) {
    s->takes = false;
    if (s->in_got) lost_some(s);
    finish(s);
    return;
  }
  if (!s->done) {
    free_if_idle(s);
    return;
  }
  if (!s->conn) return;
  if (s->in_error) {
    fail(s, "stdin", s->in_error);
  } else if (s->in_got == 0) {
    s->in_ended = true;
    cli_progress_stop(&s->progress);
    end_ours(s);
  } else {
    s->in_gave = true;
    s->in_n = s->in_got;
    send_in(s);
  }
}

static void read_more(struct cli_stdio *s) {
  s->in_at = s->in_n = 0;
  s->in.data = s;
  s->in_busy = true;
  atomic_store(&s->taking, WAITS);
  (void)uv_queue_work(s->loop, &s->in, read_in, on_in);
}

/* The peer has ended, and all it gave is written out: what was to wait for that is done. */
static void end_if_written(struct cli_stdio *s) {
  if (!s->conn || !s->peer_ended || s->out_busy || s->status != CLI_OK) return;
  if (s->waits_for_peer) ms_conn_end(s->conn);
  wait_for_stdin(s);
}

/* ---- The peer to stdout ---- */

static void on_out(uv_work_t *work, int cancelled);

static void write_more(struct cli_stdio *s) {
  const uint8_t *p;
  size_t n;
  if (s->out_busy || !s->conn || s->status != CLI_OK) return;
  n = ms_conn_peek(s->conn, &p);
  if (n == 0) return;
  s->out_n = n < sizeof s->out_buf ? n : sizeof s->out_buf;
  memcpy(s->out_buf, p, s->out_n);
  if (!s->holds_end) ms_conn_consume(s->conn, s->out_n);
  s->out.data = s;
  s->out_busy = true;
  (void)uv_queue_work(s->loop, &s->out, write_out, on_out);
}

static void on_out(uv_work_t *work, int cancelled) {
  struct cli_stdio *s = work->data;
  (void)cancelled; /* never */
  s->out_busy = false;
  if (s->conn && s->holds_end) ms_conn_consume(s->conn, s->out_n);
  if (s->out_error) fail(s, "stdout", s->out_error);
  write_more(s);
  end_if_written(s);
  finish(s);
}

/* ---- The connection's events ---- */

static void on_readable(ms_conn *conn, void *user) {
  struct cli_stdio *s = user;
  (void)conn;
  cli_linger_heard(&s->linger);
  write_more(s);
}

static void on_writable(ms_conn *conn, void *user) {
  (void)conn;
  send_in(user);
}

static void on_end(ms_conn *conn, void *user) {
  struct cli_stdio *s = user;
  s->peer_ended = true;
  if (cli_linger_stop(&s->linger)) ms_conn_end(conn);
  if (ms_conn_half_closes(conn) || ms_conn_is_server(conn)) {
    end_if_written(s);
  } else {
    ms_conn_close(conn); /* a server that closes wants no more */
  }
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct cli_stdio *s = user;
  const char *what = s->status == CLI_OK ? "connection" : NULL; /* the first cause is told */
  s->conn = NULL;
  (void)cli_linger_stop(&s->linger);
  (void)snprintf(s->address, sizeof s->address, "%s", ms_conn_address(conn));
  if (!err && what && any_unsent(s)) lost_some(s);
  cli_progress_stop(&s->progress);
  if (err && err->code == MS_EABORTED && what)
    (void)cli_error(what, ms_conn_address(conn), "cut: it had not ended when it had to");
  if (s->closed)
    s->closed(s->user, what, conn, err);
  else if (err && what && err->code != MS_EABORTED)
    cli_say_error(MS_LOG_WARN, what, err);
  if (err) s->status = CLI_FAILED;
  finish(s);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_end = on_end, .on_writable = on_writable, .on_close = on_close};

void cli_stdio_start(uv_loop_t *loop, ms_conn *conn, const struct cli_stdio_opts *opts,
                     void (*done)(int status, void *user), void *user) {
  struct cli_stdio *s = calloc(1, sizeof *s);
  struct stat st;
  if (!s) {
    ms_conn_abort(conn);
    done(cli_error("stdio", NULL, "out of memory"), user);
    return;
  }
  s->loop = loop;
  s->conn = conn;
  s->done = done;
  s->user = user;
  s->closed = opts->closed;
  s->hold = opts->hold;
  s->holds_end = s->hold != CLI_HOLD_NEVER && !ms_conn_half_closes(conn);
  s->linger_msec = opts->linger_msec ? opts->linger_msec : SILENCE_MSEC;
  (void)uv_timer_init(loop, &s->silence);
  s->silence.data = s;
  cli_linger_init(&s->linger, loop, opts->linger_msec);
  s->linger.on_late = on_late;
  s->linger.user = s;
  s->timers = 3;
  s->in_is_file = fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode);
  s->in_is_terminal = isatty(STDIN_FILENO) == 1;
  cli_progress_start(&s->progress, loop, conn, opts->progress && s->in_is_file);
  ms_conn_handle(conn, &events, s);
  ms_conn_set_reset_on_shutdown(conn, true);
  ms_conn_set_read_first(conn, true);
  if (s->hold == CLI_HOLD && s->in_is_terminal) { /* it is not there to speak */
    s->in_ended = true;
    end_ours(s);
  } else {
    send_in(s);
  }
}
