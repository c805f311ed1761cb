/* The command of a ledger's serve --exec:
 *
 *   ledger-peer DIR FILE [answer]
 *
 * Puts what it reads on standard input into DIR/got, and makes DIR/ended when that has ended: what
 * a command does that commits what it was given. Writes FILE to standard output, with `answer` only
 * then. DIR/pid has its process. Exits 0 when both are done. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 65536 };

static int open_in(const char *dir, const char *name, int flags) {
  char path[4096];
  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  return open(path, flags, 0600);
}

static bool write_all(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t k = write(fd, p, n);
    if (k < 0 && errno != EINTR) return false;
    if (k > 0) {
      p += k;
      n -= (size_t)k;
    }
  }
  return true;
}

/* 1: more may come; 0: the end; else what to exit with. */
static int take(int got, char *buf) {
  ssize_t n = read(STDIN_FILENO, buf, PIECE);
  if (n < 0) return errno == EINTR ? 1 : 3;
  if (n == 0) return 0;
  return write_all(got, buf, (size_t)n) ? 1 : 4;
}

/* The same of what it has to say. Standard output takes what it can. */
static int give(int from, char *buf) {
  ssize_t n = read(from, buf, 4096), k;
  if (n <= 0) return n == 0 ? 0 : 5;
  k = write(STDOUT_FILENO, buf, (size_t)n);
  if (k < 0) return 6;
  return lseek(from, k - n, SEEK_CUR) < 0 ? 7 : 1;
}

int main(int argc, char **argv) {
  static char buf[PIECE];
  int got, from, pid, in = 1, out = 1;
  bool answers = argc > 3 && strcmp(argv[3], "answer") == 0;
  if (argc < 3) return 2;
  pid = open_in(argv[1], "pid", O_WRONLY | O_CREAT | O_TRUNC);
  (void)dprintf(pid, "%d\n", (int)getpid());
  (void)close(pid);
  got = open_in(argv[1], "got", O_WRONLY | O_CREAT | O_APPEND);
  from = open(argv[2], O_RDONLY);
  if (got < 0 || from < 0) return 2;
  while (in == 1 || out == 1) {
    struct pollfd fds[] = {
        {.fd = in == 1 ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = out == 1 && !(answers && in) ? STDOUT_FILENO : -1, .events = POLLOUT}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return 8;
    if (fds[0].revents && (in = take(got, buf)) > 1) return in;
    if (in == 0 && fds[0].revents) (void)close(open_in(argv[1], "ended", O_WRONLY | O_CREAT));
    if (fds[1].revents && (out = give(from, buf)) > 1) return out;
  }
  return 0;
}
