/* The addresses of this machine's interfaces, and when they may have changed: by Linux'
 * rtnetlink(7), elsewhere, or where that is not allowed, by the clock. */
#define _GNU_SOURCE /* SOCK_NONBLOCK, the e of fopen */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "transport/interfaces.h"

#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#endif

enum { SETTLE_MSEC = 200, RETRY_MSEC = 5000, EVERY_MSEC = 30000, READS = 64 };

struct ms__watch {
  struct ms__loop *loop;
  uv_poll_t poll;
  uv_timer_t timer; /* until it is quiet, or until it is looked at again */
  bool by_clock;    /* there is no socket, or it is of no use */
  int fd, handles;
  ms__watch_cb cb;
  void *user;
};

/* ---- What there is ---- */

void ms__inets_free(const ms_allocator *a, struct ms__inets *all) {
  ms__free(a, all->at);
  all->at = NULL;
  all->count = 0;
}

#ifdef __linux__
/* IPv6 addresses that nobody shall dial: still being tried (RFC 4862), somebody else's as well, no
 * longer preferred, made for our own connections (RFC 8981). */
enum { FLAGS = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TEMPORARY };

/* Drops them from the list. /proc/net/if_inet6: the address in hexadecimal, the interface's index,
 * the prefix, the scope, the flags, and the name. Where it can't be read all stay. */
static void drop_unusable(struct ms__inets *all) {
  FILE *f = fopen("/proc/net/if_inet6", "re");
  char hex[33];
  unsigned flags;
  while (f && fscanf(f, "%32s %*x %*x %*x %x %*s", hex, &flags) == 2) {
    uint8_t bytes[16];
    size_t n = 0;
    if (!(flags & FLAGS) ||
        sodium_hex2bin(bytes, sizeof bytes, hex, strlen(hex), NULL, NULL, NULL) != 0)
      continue;
    for (size_t i = 0; i < all->count; i++)
      if (all->at[i].family != AF_INET6 ||
          memcmp(&all->at[i].v6.sin6_addr, bytes, sizeof bytes) != 0)
        all->at[n++] = all->at[i];
    all->count = n;
  }
  if (f) (void)fclose(f);
}
#else
static void drop_unusable(struct ms__inets *all) {
  (void)all;
}
#endif

static bool has(const struct ms__inets *all, const union ms__inet *a) {
  uint8_t x[16], y[16];
  (void)ms__inet_bytes(a, x);
  for (size_t i = 0; i < all->count; i++)
    if (ms__inet_bytes(&all->at[i], y) && memcmp(x, y, sizeof x) == 0) return true;
  return false;
}

bool ms__interfaces_list(const ms_allocator *a, struct ms__inets *out) {
  uv_interface_address_t *found;
  int n;
  *out = (struct ms__inets){NULL, 0};
  if (uv_interface_addresses(&found, &n) < 0) return false;
  out->at = ms__calloc(a, (size_t)(n > 0 ? n : 1) * sizeof *out->at);
  for (int i = 0; out->at && i < n; i++) {
    union ms__inet one = {0};
    if (found[i].address.address4.sin_family == AF_INET)
      one.v4 = found[i].address.address4;
    else
      one.v6 = found[i].address.address6;
    ms__inet_set_port(&one, 0);
    /* without its zone nobody can dial a link-local address */
    if (ms__inet_is_loopback(&one) || has(out, &one) ||
        (one.family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&one.v6.sin6_addr)))
      continue;
    if (one.family == AF_INET6) one.v6.sin6_scope_id = 0;
    out->at[out->count++] = one;
  }
  uv_free_interface_addresses(found, n);
  if (out->at) drop_unusable(out);
  return out->at != NULL;
}

/* ---- When it changes ---- */

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

/* News that does not end is told all the same: the first of it sets the time. */
void ms__watch_poke(struct ms__watch *w) {
  if (!uv_is_active((uv_handle_t *)&w->timer) || uv_timer_get_due_in(&w->timer) > SETTLE_MSEC)
    (void)uv_timer_start(&w->timer, on_time, SETTLE_MSEC, 0);
}

void ms__watch_retry(struct ms__watch *w) {
  (void)uv_timer_start(&w->timer, on_time, RETRY_MSEC, 0);
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
