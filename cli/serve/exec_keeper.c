/* The keeper (exec.h): a process that does nothing but hold the input of commands open, until their
 * other ends are closed, or serve is gone. Then it kills the commands, and lets go when nobody is
 * left who could take that for an end. */
#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC, prctl */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec.h"

/* Whoever is not gone after so many rounds cannot be killed by us: it is waited for. */
enum { ROUNDS = 12, PAUSE_MAX_MSEC = 256 };

/* A command. */
struct kept {
  uint64_t input;
  int fd;          /* ours of its input; -1: nobody has the other end, or it has ended */
  pid_t pid;       /* its group's leader; 0: unknown, or gone */
  int leader;      /* the same as a pidfd, or -1 */
  unsigned rounds; /* of killing, to come */
};

struct keeper {
  struct kept *at;
  struct pollfd *polls; /* serve, then two for each: input, leader */
  size_t n, size;
  bool alone; /* serve is gone */
};

/* ---- Keeping ---- */

static struct kept *find(const struct keeper *k, uint64_t input) {
  for (size_t i = k->n; i-- > 0;) /* the youngest first: it is mostly that one */
    if (k->at[i].input == input) return &k->at[i];
  return NULL;
}

static void close_fd(int *fd) {
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
}

/* Without memory it goes, and serve hears of that. */
static void keep(struct keeper *k, uint64_t input, int fd) {
  if (fd < 0) return;
  if (k->n == k->size) {
    size_t size = k->size ? 2 * k->size : 16;
    struct kept *at = realloc(k->at, size * sizeof *at);
    struct pollfd *polls = at ? realloc(k->polls, (2 * size + 1) * sizeof *polls) : NULL;
    if (!at || !polls) _exit(CLI_FAILED);
    k->at = at;
    k->polls = polls;
    k->size = size;
  }
  k->at[k->n++] = (struct kept){.input = input, .fd = fd, .leader = -1};
}

static void obey(struct keeper *k, const struct cli_keeper_message *m, int fd) {
  struct kept *e = m->order == CLI_KEEP ? NULL : find(k, m->input);
  switch ((enum cli_keeper_order)m->order) {
    case CLI_KEEP:
      keep(k, m->input, fd);
      return;
    case CLI_LEADS:
      if (e) {
        e->pid = (pid_t)m->pid;
        e->leader = fd;
        return;
      }
      break;
    case CLI_KILL:
      if (e) e->rounds = ROUNDS;
      break;
  }
  close_fd(&fd);
}

/* One message. False: there is none now, or serve is gone. */
static bool hear(struct keeper *k) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct cli_keeper_message m;
  struct iovec bytes = {&m, sizeof m};
  struct msghdr h = {.msg_iov = &bytes,
                     .msg_iovlen = 1,
                     .msg_control = &control,
                     .msg_controllen = sizeof control};
  const struct cmsghdr *c;
  int fd = -1;
  ssize_t n = recvmsg(CLI_KEEPER_FD, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && errno == EINTR) return true;
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS)) k->alone = true;
  if (n <= 0) return false;
  c = CMSG_FIRSTHDR(&h);
  if (c && c->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(c), sizeof fd);
  if (n == sizeof m) obey(k, &m, fd);
  return true;
}

/* Lets go of what is over. */
static void look(struct keeper *k) {
  size_t left = 0;
  for (size_t i = 0; i < k->n; i++) {
    struct kept *e = &k->at[i];
    const struct pollfd *p = k->polls + 1 + 2 * i;
    if (p[0].fd >= 0 && p[0].revents & (POLLHUP | POLLERR)) close_fd(&e->fd);
    if (p[1].fd >= 0 && p[1].revents) {
      close_fd(&e->leader);
      e->pid = 0;
    }
    if (e->fd >= 0 || e->leader >= 0) k->at[left++] = *e;
  }
  k->n = left;
}

static void wait_for_news(struct keeper *k, int msec) {
  struct pollfd one, *polls = k->polls ? k->polls : &one; /* before there is any command */
  polls[0] = (struct pollfd){.fd = k->alone ? -1 : CLI_KEEPER_FD, .events = POLLIN};
  for (size_t i = 0; i < k->n; i++) {
    polls[1 + 2 * i] = (struct pollfd){.fd = k->at[i].fd};
    polls[2 + 2 * i] = (struct pollfd){.fd = k->at[i].leader, .events = POLLIN};
  }
  if (poll(polls, 2 * k->n + 1, msec) < 0) return;
  look(k);
  if (!polls[0].revents) return;
  while (hear(k))
    ;
}

/* ---- Killing ---- */

static bool is_to_die(const struct keeper *k, const char *link) {
  unsigned long long inode;
  if (sscanf(link, "socket:[%llu]", &inode) != 1) return false;
  for (size_t i = 0; i < k->n; i++)
    if (k->at[i].rounds && k->at[i].fd >= 0 && k->at[i].input == inode) return true;
  return false;
}

static bool holds_input(const struct keeper *k, pid_t pid) {
  char path[64], link[64];
  const struct dirent *e;
  bool found = false;
  DIR *dir;
  (void)snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
  if (!(dir = opendir(path))) return false;
  while (!found && (e = readdir(dir))) {
    ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof link - 1);
    if (n <= 0) continue;
    link[n] = '\0';
    found = is_to_die(k, link);
  }
  (void)closedir(dir);
  return found;
}

/* A command is a session of its own; its shell may have made more groups in it. */
static bool is_of_session(const struct keeper *k, pid_t session) {
  for (size_t i = 0; i < k->n; i++)
    if (k->at[i].rounds && k->at[i].pid && k->at[i].pid == session) return true;
  return false;
}

/* Those that have left their session, too, as long as they have the input. */
static void kill_all(const struct keeper *k) {
  const struct dirent *e;
  DIR *dir;
  for (size_t i = 0; i < k->n; i++)
    if (k->at[i].rounds && k->at[i].pid) (void)kill(-k->at[i].pid, SIGKILL);
  if (!(dir = opendir("/proc"))) return;
  while ((e = readdir(dir))) {
    pid_t pid = (pid_t)atol(e->d_name);
    if (pid <= 1 || pid == getpid()) continue;
    if (is_of_session(k, getsid(pid)) || holds_input(k, pid)) (void)kill(pid, SIGKILL);
  }
  (void)closedir(dir);
}

/* An input that serve has ended is over, whoever still has it: it answers nothing to be sent. */
static void let_ended_go(struct keeper *k) {
  for (size_t i = 0; i < k->n; i++)
    if (k->at[i].fd >= 0 && send(k->at[i].fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        errno == EPIPE)
      close_fd(&k->at[i].fd);
}

static unsigned most_rounds(const struct keeper *k) {
  unsigned most = 0;
  for (size_t i = 0; i < k->n; i++)
    if (k->at[i].rounds > most) most = k->at[i].rounds;
  return most;
}

/* How long until the next round, or -1. */
static int kill_round(struct keeper *k) {
  unsigned most = most_rounds(k);
  int pause = 1 << (ROUNDS - most);
  if (!most) return -1;
  kill_all(k);
  for (size_t i = 0; i < k->n; i++)
    if (k->at[i].rounds) k->at[i].rounds--;
  return pause < PAUSE_MAX_MSEC ? pause : PAUSE_MAX_MSEC;
}

/* What is under way is killed: how many. */
static size_t lose_serve(struct keeper *k) {
  let_ended_go(k);
  wait_for_news(k, 0); /* what is over already is not under way */
  for (size_t i = 0; i < k->n; i++)
    k->at[i].rounds = ROUNDS;
  return k->n;
}

/* ---- The process ---- */

static void run(struct keeper *k) {
  size_t lost;
  while (!k->alone)
    wait_for_news(k, kill_round(k));
  lost = lose_serve(k);
  while (k->n)
    wait_for_news(k, kill_round(k));
  if (lost)
    cli_note("exec: serve is gone without a word: %zu command%s killed", lost,
             lost == 1 ? " was" : "s were");
}

/* Neither a terminal nor who stops the service by a signal is meant for it: it goes when serve
 * does.
 */
static void be_left_alone(void) {
  struct rlimit limit;
  for (int number = 1; number < NSIG; number++)
    if (number != SIGCHLD) (void)signal(number, SIG_IGN);
  (void)prctl(PR_SET_NAME, "exec-keeper");
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (chdir("/") < 0) return; /* it may stand in the way of a file system that is to be unmounted */
}

static int start(int argc, char **argv) {
  struct keeper k = {0};
  int type = 0;
  socklen_t n = sizeof type;
  (void)argc;
  (void)argv;
  if (getsockopt(CLI_KEEPER_FD, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET) {
    (void)cli_error("usage", "exec-keeper", "is a part of serve --exec, which starts it");
    return CLI_USAGE;
  }
  switch (fork()) { /* nobody's child: serve counts its commands by their exits */
    case 0:
      break;
    case -1:
      return cli_error("exec-keeper", NULL, "%s", strerror(errno));
    default:
      _exit(CLI_OK);
  }
  be_left_alone();
  run(&k);
  free(k.at);
  free(k.polls);
  return CLI_OK;
}

const struct cli_command cli_exec_keeper = {.name = "exec-keeper", .run = start};
