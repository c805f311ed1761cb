/* serve --exec COMMAND: a command for each peer, whose standard input and output the peer is. The
 * command's exit is our end, a clean one if its status is; the peer's end ends its input. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"

/* A command for each peer. */
struct commands {
  struct cli_serving *serving;
  const char *clean_given;   /* --exec-clean, or NULL */
  struct cli_statuses clean; /* with these a command has succeeded */
  struct child *children;
  struct cli_keeper keeper;
};

enum { KILL_MSEC = 5000, UNREAD_MSEC = 30000, TAKEN_LEAST = 4096, REST_MSEC = 1000, WHY = 128 };

struct child {
  struct commands *all;
  struct child *prev, *next;
  ms_conn *conn; /* NULL when it is over */
  uv_process_t process;
  uv_poll_t in; /* our end of its input */
  uv_pipe_t out;
  uv_timer_t timer; /* to the kill; after the exit, to the end of what others still write */
  int in_fd;
  uint64_t input; /* its end of it, as the keeper has it */
  uint64_t taken; /* by the peer when its time began */
  int handles;    /* open */
  bool spawned, running;
  bool stopped;       /* its group was told to end, and outlives it no longer than KILL_MSEC */
  bool killed;        /* nobody is left of it but for those whom nobody has waited for */
  bool in_over;       /* the peer has ended, and all is said; or nobody reads it */
  bool out_over;      /* all has been read, as far as anybody waits for it */
  const char *ending; /* "status" or "signal" once it has ended; NULL: not yet */
  int number;         /* of that */
  char why[WHY];      /* there is no clean end; "": there is */
};

/* ---- The end ---- */

static void leave(struct child *c) {
  if (c->prev)
    c->prev->next = c->next;
  else
    c->all->children = c->next;
  if (c->next) c->next->prev = c->prev;
}

static void on_handle_closed(uv_handle_t *handle) {
  struct child *c = handle->data;
  if (--c->handles == 0) free(c);
}

static void close_handle(void *handle) {
  if (!uv_is_closing(handle)) uv_close(handle, on_handle_closed);
}

/* Whom the command has left behind with its input did not hear it end, and shall not take our going
 * for that. */
static void drop_input(struct child *c) {
  struct cli_keeper_message m = {.input = c->input, .order = CLI_KILL};
  struct pollfd p = {.fd = c->in_fd};
  if (c->in_fd < 0) return;
  if (!c->in_over && poll(&p, 1, 0) == 0) (void)cli_keeper_tell(&c->all->keeper, &m, -1);
  close_handle(&c->in);
  (void)close(c->in_fd);
  c->in_fd = -1;
}

/* A group outlives its leader. While it has a member nobody else is given its number. */
static bool has_group(const struct child *c) {
  return c->running || (c->spawned && !c->killed && kill(-c->process.pid, 0) == 0);
}

static void close_all_when_over(struct child *c) {
  if (c->conn || c->running || (c->stopped && has_group(c))) return;
  leave(c);
  drop_input(c);
  if (c->spawned) close_handle(&c->process);
  close_handle(&c->out);
  close_handle(&c->timer);
}

/* ---- The peer to the command ---- */

/* What the command has said goes out, and then no clean end. */
static void give_up(struct child *c, const char *why, const char *detail) {
  char text[WHY];
  (void)snprintf(text, sizeof text, "%s: %s", why, detail);
  if (c->conn) ms_conn_fail(c->conn, text);
}

static void on_room(uv_poll_t *in, int status, int events);

/* How much of n bytes it takes, or -1: on_room goes on, or it is given up. A command that has
 * closed its standard input has had enough: what comes is dropped, as a pipe to it would be broken,
 * and it may still speak. */
static ssize_t offer(struct child *c, const uint8_t *p, size_t n) {
  ssize_t k;
  if (c->in_over) return (ssize_t)n;
  do
    k = send(c->in_fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (k < 0 && errno == EINTR);
  if (k >= 0) return k;
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    (void)uv_poll_start(&c->in, UV_WRITABLE, on_room);
  } else if (errno == EPIPE || errno == ECONNRESET) {
    c->in_over = true;
    return (ssize_t)n;
  } else {
    give_up(c, "the command does not get its input", strerror(errno));
  }
  return -1;
}

static void pump_in(struct child *c) {
  const uint8_t *p;
  size_t n;
  while (c->conn && (n = ms_conn_peek(c->conn, &p)) > 0) {
    ssize_t k = offer(c, p, n);
    if (k < 0) return;
    ms_conn_consume(c->conn, (size_t)k);
  }
}

static void on_room(uv_poll_t *in, int status, int events) {
  struct child *c = in->data;
  (void)status; /* sending tells the same */
  (void)events;
  (void)uv_poll_stop(in);
  pump_in(c);
}

/* ---- The command to the peer ---- */

static void end_if_over(struct child *c) {
  if (!c->conn || c->running || !c->out_over) return;
  if (*c->why)
    ms_conn_fail(c->conn, c->why);
  else
    ms_conn_end(c->conn);
}

static void wait_for_rest(struct child *c);

/* By its peer. */
static uint64_t taken(const struct child *c) {
  ms_conn_stats n;
  ms_conn_stat(c->conn, &n);
  return n.wire_out - n.unacknowledged;
}

static bool has_output(const struct child *c) {
  struct pollfd p = {.events = POLLIN};
  return uv_fileno((const uv_handle_t *)&c->out, &p.fd) == 0 && poll(&p, 1, 0) > 0;
}

/* Somebody else holds the command's standard output, and is silent; or we had no time for it. */
static void on_rest(uv_timer_t *timer) {
  struct child *c = timer->data;
  if (has_output(c)) {
    wait_for_rest(c);
    return;
  }
  c->out_over = true;
  (void)uv_read_stop((uv_stream_t *)&c->out);
  if (!*c->why)
    (void)snprintf(c->why, WHY,
                   "the command has exited, and something that it left behind holds its output");
  end_if_over(c);
}

/* What a command that has failed has said is kept for a peer that still takes of it. */
static void on_unread(uv_timer_t *timer) {
  struct child *c = timer->data;
  if ((int64_t)(taken(c) - c->taken) >= TAKEN_LEAST) {
    wait_for_rest(c);
    return;
  }
  c->out_over = true;
  end_if_over(c);
  ms_conn_abort(c->conn);
}

/* While the peer takes nothing, and so nothing is read, nobody's silence counts; and a command that
 * has succeeded waits for its peer until that is idle. */
static void wait_for_rest(struct child *c) {
  if (c->running || !c->conn || c->out_over) return;
  if (uv_is_active((uv_handle_t *)&c->out)) {
    (void)uv_timer_start(&c->timer, on_rest, REST_MSEC, 0);
  } else if (*c->why) {
    c->taken = taken(c);
    (void)uv_timer_start(&c->timer, on_unread, UNREAD_MSEC, 0);
  } else {
    uv_timer_stop(&c->timer);
  }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct child *c = handle->data;
  uint8_t *p = NULL;
  size_t n = c->conn ? ms_conn_reserve(c->conn, &p, 1) : 0;
  (void)suggested;
  *buf = uv_buf_init((char *)p, (unsigned)n);
}

/* There was no room to read into. Nobody comes back to one that has none for want of memory. */
static void stop_reading(struct child *c) {
  (void)uv_read_stop((uv_stream_t *)&c->out);
  wait_for_rest(c);
  if (c->conn && !ms_conn_write_blocked(c->conn) && ms_conn_write(c->conn, "", 0) == 0)
    give_up(c, "the command's output is lost", "out of memory");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct child *c = stream->data;
  (void)buf;
  if (n > 0) {
    ms_conn_commit(c->conn, (size_t)n);
    wait_for_rest(c);
  } else if (n == UV_ENOBUFS) {
    stop_reading(c);
  } else if (n < 0) {
    if (n != UV_EOF && !*c->why)
      (void)snprintf(c->why, WHY, "the command's output is lost: %s", uv_strerror((int)n));
    c->out_over = true;
    (void)uv_read_stop(stream);
    end_if_over(c);
  }
}

static void read_more(struct child *c) {
  if (!c->conn || c->out_over) return;
  (void)uv_read_start((uv_stream_t *)&c->out, on_alloc, on_read);
  wait_for_rest(c);
}

/* ---- The command's life ---- */

/* It leads a group: those that it has started go with it. */
static void signal_child(struct child *c, int number) {
  if (!c->running && !(c->stopped && has_group(c))) return;
  (void)kill(-c->process.pid, number);
  if (number == SIGKILL) c->killed = true;
}

static void on_kill(uv_timer_t *timer) {
  struct child *c = timer->data;
  signal_child(c, SIGKILL);
  close_all_when_over(c);
}

static void stop_child(struct child *c) {
  c->stopped = true;
  signal_child(c, SIGTERM);
  (void)uv_timer_start(&c->timer, on_kill, KILL_MSEC, 0);
}

static void on_late(uv_timer_t *timer) {
  stop_child(timer->data);
}

static void on_exit(uv_process_t *process, int64_t status, int number) {
  struct child *c = process->data;
  c->running = false;
  c->ending = number ? "signal" : "status";
  c->number = number ? number : (int)status;
  if (number)
    (void)snprintf(c->why, WHY, "the command was killed by signal %d", number);
  else if (!cli_statuses_have(&c->all->clean, (int)status))
    (void)snprintf(c->why, WHY, "the command has exited with %d", (int)status);
  if (!c->stopped) uv_timer_stop(&c->timer);
  wait_for_rest(c);
  end_if_over(c);
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

/* All that came before has been sent to the command. */
static void on_end(ms_conn *conn, void *user) {
  struct child *c = user;
  (void)conn;
  if (!c->in_over) (void)shutdown(c->in_fd, SHUT_WR);
  c->in_over = true;
}

/* There is nobody left to work for. A command that has had all of its input may still do something
 * with it; no other hears an end of it before it is gone. */
static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct child *c = user;
  const struct cli_ending ending = {.name = c->ending, .number = c->number};
  ms_error cut;
  c->conn = NULL;
  if (err && err->code == MS_EABORTED) /* not by us */
    err = cli_report_cut(c->all->serving->report, "exec", conn, err, &cut,
                         "cut: the command had not ended when it had to");
  cli_report_ended(c->all->serving->report, "exec", conn, err, &ending);
  (void)uv_read_stop((uv_stream_t *)&c->out);
  if (c->running) {
    (void)uv_poll_stop(&c->in);
    if (err || !c->in_over)
      stop_child(c);
    else
      (void)uv_timer_start(&c->timer, on_late, KILL_MSEC, 0);
    close_handle(&c->out);
  }
  close_all_when_over(c);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_end = on_end, .on_writable = on_writable, .on_close = on_close};

/* ---- Starting ---- */

/* The standard input is `in`, from which nothing else of ours is inherited. */
static int spawn(struct child *c, uv_loop_t *loop, int in) {
  int r;
  const uint8_t *key = ms_conn_key(c->conn);
  const char *path = getenv("PATH");
  char key_text[MS_KEY_TEXT], env_key[32 + MS_KEY_TEXT], env_address[1200], env_path[4096];
  char shell[] = "/bin/sh", flag[] = "-c", descriptors[24];
  /* programs that select() break where there are many descriptors */
  char limited[] = "ulimit -Sn \"$1\" && exec /bin/sh -c \"$0\"";
  char *command = (char *)(uintptr_t)c->all->serving->argument;
  char *plain[] = {shell, flag, command, NULL};
  char *fewer[] = {shell, flag, limited, command, descriptors, NULL};
  char *env[4] = {env_path, env_address, NULL, NULL};
  uv_stdio_container_t stdio[3];
  uv_process_options_t options = {.exit_cb = on_exit, .file = shell, .env = env};
  (void)snprintf(descriptors, sizeof descriptors, "%lu", c->all->serving->descriptors);
  options.args = c->all->serving->descriptors ? fewer : plain;
  (void)snprintf(env_path, sizeof env_path, "PATH=%s", path ? path : "/usr/bin:/bin");
  (void)snprintf(env_address, sizeof env_address, "MULTISERVER_ADDRESS=%s",
                 ms_conn_address(c->conn));
  if (key) {
    (void)ms_key_format(key, key_text, MS_KEY_TEXT);
    (void)snprintf(env_key, sizeof env_key, "MULTISERVER_KEY=%s", key_text);
    env[2] = env_key;
  }
  stdio[0].flags = UV_INHERIT_FD;
  stdio[0].data.fd = in;
  stdio[1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
  stdio[1].data.stream = (uv_stream_t *)&c->out;
  stdio[2].flags = UV_INHERIT_FD;
  stdio[2].data.fd = STDERR_FILENO;
  options.stdio = stdio;
  options.stdio_count = 3;
  options.flags = UV_PROCESS_DETACHED; /* a group, which an interrupt of ours does not reach */
  cli_core_filter("0x33");             /* a command's core is its own */
  r = uv_spawn(loop, &c->process, &options);
  cli_core_filter("0");
  return r;
}

/* A pair of sockets, of which one is the command's: that, or a negative errno. */
static int make_input(struct child *c, uv_loop_t *loop) {
  struct stat theirs;
  int fds[2], r;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) return -errno;
  r = fstat(fds[1], &theirs) < 0 ? -errno : uv_poll_init(loop, &c->in, fds[0]);
  if (r < 0) {
    (void)close(fds[0]);
    (void)close(fds[1]);
    return r;
  }
  c->in_fd = fds[0];
  c->in.data = c;
  c->handles++;
  c->input = (uint64_t)theirs.st_ino;
  return fds[1];
}

/* The keeper has the input before there is anybody to read it. */
static int start_child(struct child *c, uv_loop_t *loop) {
  struct cli_keeper_message m = {.order = CLI_KEEP};
  int theirs = make_input(c, loop), r;
  if (theirs < 0) return theirs;
  m.input = c->input;
  r = cli_keeper_tell(&c->all->keeper, &m, c->in_fd);
  if (r == 0) {
    r = spawn(c, loop, theirs);
    c->process.data = c;
    c->handles++;
    c->spawned = true;
    c->running = r == 0;
  }
  (void)close(theirs);
  if (c->running) cli_keeper_tell_leader(&c->all->keeper, c->input, c->process.pid);
  return r;
}

static void take(void *state, ms_conn *conn) {
  struct commands *all = state;
  uv_loop_t *loop = all->serving->loop;
  struct child *c = calloc(1, sizeof *c);
  int r;
  if (!c) {
    cli_fail(all->serving->report, conn, "the command could not be started: out of memory");
    return;
  }
  c->all = all;
  c->conn = conn;
  c->in_fd = -1;
  (void)uv_pipe_init(loop, &c->out, 0);
  (void)uv_timer_init(loop, &c->timer);
  c->out.data = c->timer.data = c;
  c->handles = 2;
  c->next = all->children;
  if (c->next) c->next->prev = c;
  all->children = c;
  ms_conn_handle(conn, &events, c);
  ms_conn_set_reset_on_shutdown(conn, true); /* nothing of ours may end it but the command */
  if ((r = start_child(c, loop)) < 0) {
    c->in_over = c->out_over = true;
    give_up(c, "the command could not be started", uv_strerror(r));
    return;
  }
  read_more(c);
  pump_in(c);
}

/* ---- All of them ---- */

/* They are gone later: the loop runs until then, longer than the context. */
static void stop(void *state, bool cut) {
  const struct commands *all = state;
  for (struct child *c = cut ? all->children : NULL; c; c = c->next) {
    signal_child(c, SIGKILL);
    if (c->stopped && !c->running) (void)uv_timer_start(&c->timer, on_kill, 0, 0);
  }
}

static void on_keeper(struct cli_keeper *k) {
  const struct commands *all = (struct commands *)((char *)k - offsetof(struct commands, keeper));
  for (struct child *c = all->children; c; c = c->next) {
    struct cli_keeper_message m = {.input = c->input, .order = CLI_KEEP};
    if (c->in_fd < 0 || cli_keeper_tell(k, &m, c->in_fd) < 0) continue;
    if (c->running) cli_keeper_tell_leader(k, c->input, c->process.pid);
  }
}

/* What our parent left open is not for children: libuv's own descriptors are not theirs anyway. */
static void close_on_exec(void) {
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

/* ---- The action ---- */

static const char *read_options(void *state, const char **where) {
  struct commands *all = state;
  *where = all->clean_given;
  return cli_statuses_read(&all->clean, all->clean_given ? all->clean_given : "0");
}

static int start(void *state, struct cli_serving *s) {
  struct commands *all = state;
  all->serving = s;
  close_on_exec();
  all->keeper.on_started = on_keeper;
  return cli_keeper_start(&all->keeper, s->loop);
}

static void close_keeper(void *state) {
  cli_keeper_end(&((struct commands *)state)->keeper);
}

const struct cli_action cli_action_exec = {
    .name = "exec",
    .argument = "COMMAND",
    .help =
        "a shell command for each peer, which is its standard input and\n"
        "output; its environment is PATH, MULTISERVER_ADDRESS and, where\n"
        "the peer has one, MULTISERVER_KEY. Both are sockets: what opens\n"
        "/dev/stdin by name wants a pipe, as in 'cat | COMMAND'",
    .options = {{.name = "exec-clean",
                 .argument = "LIST",
                 .kind = CLI_TEXT,
                 .offset = offsetof(struct commands, clean_given),
                 .about = "commands",
                 .heading = "commands of --exec",
                 .help = "the exit statuses with which a command has succeeded, as 0,1 for\n"
                         "grep, or any (default: 0). With every other, and of a command\n"
                         "that a signal has killed, the peer gets all output and then no\n"
                         "clean end; so it is when what the command has left behind holds\n"
                         "its output and is silent for a second. A peer that takes less\n"
                         "than 4 KiB of that output in 30 seconds after a failure is cut.\n"
                         "A pipeline shows the status of its last command only. A peer\n"
                         "that is lost takes its command with it (SIGTERM, after 5 seconds\n"
                         "SIGKILL), and so does serve when it is killed: a process\n"
                         "exec-keeper sees to it that no command takes either for the end\n"
                         "of its input"}},
    .descriptors = 3,
    .size = sizeof(struct commands),
    .read = read_options,
    .start = start,
    .take = take,
    .stop = stop,
    .close = close_keeper,
};
