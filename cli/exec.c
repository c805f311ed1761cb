/* serve --exec COMMAND: a child for each peer, whose standard input and output the peer is. The
 * child's exit is our end; the peer's end closes its standard input. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"

enum { PIECE = 16384, KILL_MSEC = 5000, REST_MSEC = 1000 };

struct child {
  struct cli_exec *exec;
  ms_conn *conn; /* NULL when it is over */
  uv_process_t process;
  uv_pipe_t in, out; /* the child's */
  uv_timer_t timer;  /* to the kill; after the exit, to the end of what others still write */
  uv_write_t write;
  int handles; /* open */
  bool running, in_closed, out_ended, peer_ended;
  char *piece; /* being written, or NULL */
};

/* ---- The end ---- */

static void on_handle_closed(uv_handle_t *handle) {
  struct child *c = handle->data;
  if (--c->handles == 0) free(c);
}

static void close_handle(void *handle) {
  if (!uv_is_closing(handle)) uv_close(handle, on_handle_closed);
}

static void close_all_when_over(struct child *c) {
  if (c->conn || c->running) return;
  close_handle(&c->process);
  close_handle(&c->in);
  close_handle(&c->out);
  close_handle(&c->timer);
}

static void close_input(struct child *c) {
  c->in_closed = true;
  close_handle(&c->in);
}

/* ---- The peer to the child ---- */

static void pump_in(struct child *c);

static void on_written(uv_write_t *request, int status) {
  struct child *c = request->data;
  free(c->piece);
  c->piece = NULL;
  if (status < 0 && status != UV_ECANCELED) close_input(c); /* it reads no more */
  pump_in(c);
}

/* What is left of `n` bytes after the pipe took what it could. */
static void write_rest(struct child *c, const uint8_t *p, size_t n) {
  uv_buf_t buf = uv_buf_init(malloc(n), (unsigned)n);
  c->write.data = c;
  if (buf.base) memcpy(buf.base, p, n);
  if (buf.base && uv_write(&c->write, (uv_stream_t *)&c->in, &buf, 1, on_written) == 0) {
    c->piece = buf.base;
    return;
  }
  free(buf.base);
  close_input(c);
}

/* A child that has closed its standard input has had enough: what comes is dropped, as a pipe to it
 * would be broken, and it may still speak. */
static void pump_in(struct child *c) {
  const uint8_t *p;
  size_t n;
  while (c->conn && !c->piece && (n = ms_conn_peek(c->conn, &p)) > 0) {
    size_t rest = n;
    if (!c->in_closed) {
      uv_buf_t buf = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
      int k = uv_try_write((uv_stream_t *)&c->in, &buf, 1);
      if (k < 0 && k != UV_EAGAIN) close_input(c);
      if (k > 0) rest -= (size_t)k;
    }
    if (rest && !c->in_closed) {
      size_t gone = n - rest;
      rest = rest < PIECE ? rest : PIECE;
      write_rest(c, p + gone, rest);
      n = gone + rest;
    }
    ms_conn_consume(c->conn, n);
  }
  if (c->peer_ended && !c->piece && !c->in_closed) close_input(c);
}

/* ---- The child to the peer ---- */

static void end_if_over(struct child *c) {
  if (c->conn && !c->running && c->out_ended) ms_conn_end(c->conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct child *c = handle->data;
  uint8_t *p = NULL;
  size_t n = c->conn ? ms_conn_reserve(c->conn, &p, 1) : 0;
  (void)suggested;
  *buf = uv_buf_init((char *)p, (unsigned)n);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct child *c = stream->data;
  (void)buf;
  if (n > 0) {
    ms_conn_commit(c->conn, (size_t)n);
    if (!c->running) uv_timer_again(&c->timer);
  } else if (n == UV_ENOBUFS) {
    uv_read_stop(stream); /* on_writable goes on */
  } else if (n < 0) {
    c->out_ended = true;
    uv_read_stop(stream);
    end_if_over(c);
  }
}

static void read_more(struct child *c) {
  if (c->conn && !c->out_ended) (void)uv_read_start((uv_stream_t *)&c->out, on_alloc, on_read);
}

/* ---- The child's life ---- */

/* It leads a group: those that it has started go with it. */
static void signal_child(struct child *c, int number) {
  if (c->running) (void)kill(-c->process.pid, number);
}

static void on_kill(uv_timer_t *timer) {
  signal_child(timer->data, SIGKILL);
}

/* Somebody else holds the child's standard output, and is silent. */
static void on_rest(uv_timer_t *timer) {
  struct child *c = timer->data;
  c->out_ended = true;
  uv_read_stop((uv_stream_t *)&c->out);
  end_if_over(c);
}

static void on_exit(uv_process_t *process, int64_t status, int number) {
  struct child *c = process->data;
  c->running = false;
  if (number) {
    if (c->conn) {
      (void)cli_error("exec", ms_conn_address(c->conn), "the command was killed by signal %d",
                      number);
      ms_conn_abort(c->conn); /* what it has said may be cut off */
    }
  } else if (status && c->conn) {
    (void)cli_error("exec", ms_conn_address(c->conn), "the command has exited with %d",
                    (int)status);
  }
  if (c->conn) {
    (void)uv_timer_start(&c->timer, on_rest, REST_MSEC, REST_MSEC);
    end_if_over(c);
  }
  close_all_when_over(c);
}

/* ---- The connection's events ---- */

static void on_readable(ms_conn *conn, void *user) {
  (void)conn;
  pump_in(user);
}

static void on_writable(ms_conn *conn, void *user) {
  (void)conn;
  read_more(user);
}

static void on_end(ms_conn *conn, void *user) {
  struct child *c = user;
  (void)conn;
  c->peer_ended = true;
  pump_in(c);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct child *c = user;
  c->conn = NULL;
  cli_report_closed(c->exec->report, "exec", conn, err);
  if (!c->out_ended) uv_read_stop((uv_stream_t *)&c->out);
  if (c->running) { /* there is nobody left to work for */
    signal_child(c, SIGTERM);
    (void)uv_timer_start(&c->timer, on_kill, KILL_MSEC, 0);
    close_input(c);
    close_handle(&c->out);
  }
  close_all_when_over(c);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_end = on_end, .on_writable = on_writable, .on_close = on_close};

/* ---- Starting ---- */

static int spawn(struct child *c, uv_loop_t *loop, const ms_conn *conn) {
  const uint8_t *key = ms_conn_key(conn);
  const char *path = getenv("PATH");
  char key_text[CLI_KEY_TEXT], env_key[32 + CLI_KEY_TEXT], env_address[1200], env_path[4096];
  char shell[] = "/bin/sh", flag[] = "-c", descriptors[24];
  /* programs that select() break where there are many descriptors */
  char limited[] = "ulimit -Sn \"$1\" && exec /bin/sh -c \"$0\"";
  char *command = (char *)(uintptr_t)c->exec->command;
  char *plain[] = {shell, flag, command, NULL};
  char *fewer[] = {shell, flag, limited, command, descriptors, NULL};
  char *env[4] = {env_path, env_address, NULL, NULL};
  uv_stdio_container_t stdio[3];
  uv_process_options_t options = {.exit_cb = on_exit, .file = shell, .env = env};
  (void)snprintf(descriptors, sizeof descriptors, "%lu", c->exec->descriptors);
  options.args = c->exec->descriptors ? fewer : plain;
  (void)snprintf(env_path, sizeof env_path, "PATH=%s", path ? path : "/usr/bin:/bin");
  (void)snprintf(env_address, sizeof env_address, "MULTISERVER_ADDRESS=%s", ms_conn_address(conn));
  if (key) {
    cli_key_text(key, key_text);
    (void)snprintf(env_key, sizeof env_key, "MULTISERVER_KEY=%s", key_text);
    env[2] = env_key;
  }
  stdio[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
  stdio[0].data.stream = (uv_stream_t *)&c->in;
  stdio[1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
  stdio[1].data.stream = (uv_stream_t *)&c->out;
  stdio[2].flags = UV_INHERIT_FD;
  stdio[2].data.fd = STDERR_FILENO;
  options.stdio = stdio;
  options.stdio_count = 3;
  options.flags = UV_PROCESS_DETACHED; /* a group, which an interrupt of ours does not reach */
  return uv_spawn(loop, &c->process, &options);
}

void cli_exec(struct cli_exec *exec, uv_loop_t *loop, ms_conn *conn) {
  struct child *c = calloc(1, sizeof *c);
  int r;
  if (!c) return; /* nobody takes it on, so it is closed */
  c->exec = exec;
  (void)uv_pipe_init(loop, &c->in, 0);
  (void)uv_pipe_init(loop, &c->out, 0);
  (void)uv_timer_init(loop, &c->timer);
  c->process.data = c->in.data = c->out.data = c->timer.data = c;
  c->handles = 4;
  r = spawn(c, loop, conn);
  c->process.data = c;
  c->running = r == 0;
  c->conn = conn;
  ms_conn_handle(conn, &events, c);
  if (r < 0) {
    (void)cli_error("exec", exec->command, "%s", uv_strerror(r));
    c->out_ended = c->in_closed = true;
    ms_conn_abort(conn);
    return;
  }
  read_more(c);
  pump_in(c);
}

static void kill_process(uv_handle_t *handle, void *user) {
  (void)user;
  if (handle->type == UV_PROCESS) signal_child(handle->data, SIGKILL);
}

void cli_exec_kill(uv_loop_t *loop) {
  uv_walk(loop, kill_process, NULL);
}

/* What our parent left open is not for children: libuv's own descriptors are not theirs anyway. */
void cli_exec_prepare(void) {
  DIR *dir = opendir("/proc/self/fd");
  long most = sysconf(_SC_OPEN_MAX);
  if (!dir) {
    for (int fd = 3; fd < most; fd++)
      (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return;
  }
  for (const struct dirent *e; (e = readdir(dir));) {
    int fd = atoi(e->d_name);
    if (fd > 2) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  (void)closedir(dir);
}
