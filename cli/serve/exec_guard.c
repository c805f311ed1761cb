/* serve's side of the keeper (exec.h): starts it, tells it, and notices when somebody kills it. */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"

enum { AGAIN_MSEC = 1000 }; /* between two, if the first has not lived that long */

/* ---- Telling ---- */

int cli_keeper_tell(const struct cli_keeper *k, const struct cli_keeper_message *m, int fd) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec bytes = {(void *)(uintptr_t)m, sizeof *m};
  struct msghdr h = {.msg_iov = &bytes, .msg_iovlen = 1};
  if (k->fd < 0) return -ENOTCONN;
  if (fd >= 0) {
    struct cmsghdr *c;
    h.msg_control = &control;
    h.msg_controllen = sizeof control;
    c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  return sendmsg(k->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void cli_keeper_tell_leader(const struct cli_keeper *k, uint64_t input, pid_t pid) {
  struct cli_keeper_message m = {.input = input, .pid = (int32_t)pid, .order = CLI_LEADS};
  int fd = -1;
#ifdef SYS_pidfd_open
  fd = (int)syscall(SYS_pidfd_open, pid, 0);
#endif
  if (fd < 0) return; /* later the number may be somebody else's */
  (void)cli_keeper_tell(k, &m, fd);
  (void)close(fd);
}

/* ---- Starting ---- */

static void free_handle(uv_handle_t *handle) {
  free(handle);
}

/* When it has not started any, the socket has ended, too. */
static void on_starter_exit(uv_process_t *process, int64_t status, int number) {
  (void)status;
  (void)number;
  uv_close((uv_handle_t *)process, free_handle);
}

/* It exits at once: the keeper is its child. */
static int start_process(uv_loop_t *loop, int fd) {
  char name[] = "multiserver", command[] = "exec-keeper";
  char *args[] = {name, command, NULL};
  uv_stdio_container_t stdio[CLI_KEEPER_FD + 1] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
  uv_process_options_t options = {.exit_cb = on_starter_exit, .file = "/proc/self/exe"};
  uv_process_t *process = malloc(sizeof *process);
  int r;
  if (!process) return UV_ENOMEM;
  stdio[STDERR_FILENO].flags = UV_INHERIT_FD;
  stdio[STDERR_FILENO].data.fd = STDERR_FILENO;
  stdio[CLI_KEEPER_FD].flags = UV_INHERIT_FD;
  stdio[CLI_KEEPER_FD].data.fd = fd;
  options.args = args;
  options.stdio = stdio;
  options.stdio_count = sizeof stdio / sizeof *stdio;
  options.flags = UV_PROCESS_DETACHED;
  r = uv_spawn(loop, process, &options);
  if (r < 0) uv_close((uv_handle_t *)process, free_handle);
  return r;
}

/* ---- Its life ---- */

static int begin(struct cli_keeper *k);

static void on_again(uv_timer_t *timer) {
  struct cli_keeper *k = timer->data;
  if (begin(k) == CLI_OK)
    k->on_started(k);
  else
    (void)uv_timer_start(timer, on_again, AGAIN_MSEC, 0);
}

static void on_watch_closed(uv_handle_t *handle) {
  struct cli_keeper *k = handle->data;
  bool lived = uv_now(k->loop) >= k->started + AGAIN_MSEC;
  if (!k->over) (void)uv_timer_start(&k->again, on_again, lived ? 0 : AGAIN_MSEC, 0);
}

static void leave(struct cli_keeper *k) {
  if (k->fd < 0) return;
  uv_close((uv_handle_t *)&k->watch, on_watch_closed);
  (void)close(k->fd);
  k->fd = -1;
}

/* It never says anything: its socket has ended. */
static void on_gone(uv_poll_t *watch, int status, int events) {
  (void)status;
  (void)events;
  (void)cli_error("exec", NULL, "the keeper of the commands' input is gone: there will be another");
  leave(watch->data);
}

static int begin(struct cli_keeper *k) {
  int fds[2], r;
  k->started = uv_now(k->loop);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
    return cli_error("exec", NULL, "no keeper of the commands' input: %s", strerror(errno));
  r = start_process(k->loop, fds[1]);
  (void)close(fds[1]);
  if (r == 0) r = uv_poll_init(k->loop, &k->watch, fds[0]);
  if (r < 0) {
    (void)close(fds[0]);
    return cli_error("exec", NULL, "no keeper of the commands' input: %s", uv_strerror(r));
  }
  k->fd = fds[0];
  k->watch.data = k;
  (void)uv_poll_start(&k->watch, UV_READABLE, on_gone);
  uv_unref((uv_handle_t *)&k->watch);
  return CLI_OK;
}

int cli_keeper_start(struct cli_keeper *k, uv_loop_t *loop) {
  k->loop = loop;
  k->fd = -1;
  (void)uv_timer_init(loop, &k->again);
  k->again.data = k;
  uv_unref((uv_handle_t *)&k->again);
  if (begin(k) != CLI_OK) return CLI_FAILED;
  (void)uv_run(loop, UV_RUN_DEFAULT); /* until it is nobody's child */
  return k->fd < 0 ? CLI_FAILED : CLI_OK;
}

void cli_keeper_end(struct cli_keeper *k) {
  if (!k->loop || k->over) return;
  k->over = true;
  leave(k);
  uv_close((uv_handle_t *)&k->again, NULL);
}
