/* Room in libuv's table of descriptors, ahead of time: where it cannot grow that table later, libuv
 * ends the process. */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "transport/sockets.h"

enum { RESERVE_MAX = 65536, TRIES = 16 };

struct reserve {
  uv_poll_t poll;
  struct ms__loop *loop;
  int fd;
};

static void on_closed(uv_handle_t *handle) {
  struct reserve *r = handle->data;
  struct ms__loop *loop = r->loop;
  (void)close(r->fd);
  ms__free(loop->env.allocator, r);
  ms__loop_release(loop);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  (void)poll;
  (void)status;
  (void)events;
}

/* The highest descriptor that there may be, or one near it; a copy of this one. Or -1. */
static int high_copy(int fd, size_t most) {
  int copy = -1;
  for (int i = 1; copy < 0 && i <= TRIES && (size_t)i < most; i++)
    copy = fcntl(fd, F_DUPFD_CLOEXEC, (int)most - i);
  return copy;
}

/* libuv asks for a power of two of pointers, with no way to say no. */
static bool has_memory(size_t most) {
  size_t n = 64;
  void *probe;
  while (n < most + 2)
    n *= 2;
  probe = malloc(n * sizeof(void *));
  free(probe);
  return probe != NULL;
}

int ms__reserve_watchers(struct ms__loop *loop, int fd) {
  struct rlimit limit;
  size_t most = RESERVE_MAX;
  struct reserve *r;
  int copy;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most) most = limit.rlim_cur;
  if (loop->uv->nwatchers >= most) return 0;
  if (!has_memory(most) || !(r = ms__malloc(loop->env.allocator, sizeof *r))) return -ENOMEM;
  copy = high_copy(fd, most);
  if (copy < 0 || uv_poll_init(loop->uv, &r->poll, copy) < 0) { /* none is left: none will come */
    if (copy >= 0) (void)close(copy);
    ms__free(loop->env.allocator, r);
    return 0;
  }
  r->poll.data = r;
  r->loop = loop;
  r->fd = copy;
  ms__loop_hold(loop);
  loop->armed++;
  (void)uv_poll_start(&r->poll, UV_READABLE, on_ready); /* here the table grows */
  uv_close((uv_handle_t *)&r->poll, on_closed);
  return 0;
}
