/* Tells when the addresses of this machine's interfaces may have changed: by Linux' rtnetlink(7),
 * elsewhere, or where that is not allowed, by the clock. */
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "transport/transport.h"

#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#endif

enum { SETTLE_MSEC = 200, EVERY_MSEC = 30000, READS = 64 };

struct ms__watch {
  struct ms__loop *loop;
  uv_poll_t poll;
  uv_timer_t timer; /* until it is quiet, or until it is looked at again */
  bool by_clock;    /* there is no socket, or it is of no use */
  int fd, handles;
  ms__watch_cb cb;
  void *user;
};

static int open_socket(void) {
#ifdef __linux__
  struct sockaddr_nl nl = {.nl_family = AF_NETLINK,
                           .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd >= 0 && bind(fd, (struct sockaddr *)&nl, sizeof nl) == 0) return fd;
  if (fd >= 0) close(fd);
#endif
  return -1;
}

static void on_time(uv_timer_t *timer) {
  struct ms__watch *w = timer->data;
  if (w->by_clock) (void)uv_timer_start(&w->timer, on_time, EVERY_MSEC, 0);
  w->cb(w->user);
}

void ms__watch_poke(struct ms__watch *w) {
  (void)uv_timer_start(&w->timer, on_time, SETTLE_MSEC, 0);
}

/* What they say is of no interest: the interfaces themselves are asked. More of it than the kernel
 * keeps is an error that reading takes away (ENOBUFS), and libuv stops to poll at errors. */
static void on_news(uv_poll_t *poll, int status, int events) {
  struct ms__watch *w = poll->data;
  char news[8192];
  ssize_t n = 1;
  (void)events;
  for (int i = 0; i < READS && (n > 0 || errno == EINTR || errno == ENOBUFS); i++)
    n = recv(w->fd, news, sizeof news, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)) {
    uv_poll_stop(poll);
    w->by_clock = true;
  } else if (status < 0) {
    w->loop->armed++;
    (void)uv_poll_start(poll, UV_READABLE, on_news);
  }
  ms__watch_poke(w);
}

static void on_closed(uv_handle_t *handle) {
  struct ms__watch *w = handle->data;
  struct ms__loop *loop = w->loop;
  if (--w->handles > 0) return;
  ms__free(loop->env.allocator, w);
  ms__loop_release(loop);
}

struct ms__watch *ms__watch_new(struct ms__loop *loop, ms__watch_cb cb, void *user) {
  struct ms__watch *w = ms__calloc(loop->env.allocator, sizeof *w);
  if (!w) return NULL;
  w->loop = loop;
  w->cb = cb;
  w->user = user;
  w->poll.data = w->timer.data = w;
  w->handles = 1;
  (void)uv_timer_init(loop->uv, &w->timer);
  w->fd = open_socket();
  if (w->fd >= 0 && uv_poll_init(loop->uv, &w->poll, w->fd) < 0) {
    close(w->fd);
    w->fd = -1;
  }
  if (w->fd >= 0) {
    w->handles = 2;
    loop->armed++;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_news);
  } else {
    w->by_clock = true;
    (void)uv_timer_start(&w->timer, on_time, EVERY_MSEC, 0);
  }
  ms__loop_hold(loop);
  return w;
}

void ms__watch_close(struct ms__watch *w) {
  if (w->fd >= 0) {
    uv_close((uv_handle_t *)&w->poll, on_closed);
    close(w->fd);
  }
  uv_close((uv_handle_t *)&w->timer, on_closed);
}
