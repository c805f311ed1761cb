/* Accepting under uv_poll: libuv's own uv_listen answers a lack of descriptors by accepting and
 * closing everything that waits, and so cannot pause. */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>

#include "base/mem.h"
#include "transport/sockets.h"

enum { ACCEPTS = 16, PAUSE_MSEC = 20, TELL_MSEC = 10000 };

struct ms__listener {
  struct ms__loop *loop;
  uv_poll_t poll;
  uv_timer_t pause;
  int fd, handles;
  bool closed;
  uint64_t told_at; /* when the log was told that it pauses, msec; 0: never */
  ms__accepted_cb cb;
  void *user;
};

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
  struct ms__listener *l = timer->data;
  l->loop->armed++;
  (void)uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

static void pause_listener(struct ms__listener *l, int error) {
  uint64_t now = uv_now(l->loop->uv);
  if (!l->told_at || now >= l->told_at + TELL_MSEC) {
    ms__loop_log(l->loop, MS_LOG_WARN, "cannot accept, and waits: %s", uv_strerror(-error));
    l->told_at = now ? now : 1;
  }
  l->loop->pauses++;
  if (l->loop->on_pause && l->loop->on_pause(l->loop)) return; /* the next poll says it again */
  uv_poll_stop(&l->poll);
  (void)uv_timer_start(&l->pause, on_pause_over, PAUSE_MSEC, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  struct ms__listener *l = poll->data;
  (void)events;
  if (status < 0) {
    pause_listener(l, -status);
    return;
  }
  for (int i = 0; i < ACCEPTS && !l->closed; i++) {
    struct ms__place peer = {.length = sizeof peer.address};
    int fd = accept4(l->fd, (struct sockaddr *)&peer.address, &peer.length,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      l->cb(l->user, fd, &peer);
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;
      case EINTR:
      case ECONNABORTED: /* that one peer is gone */
      case EPROTO:
      case EPERM:
        break;
      default: /* EMFILE and the like: who waits keeps waiting, and the loop does not spin */
        pause_listener(l, errno);
        return;
    }
  }
}

static void on_closed(uv_handle_t *handle) {
  struct ms__listener *l = handle->data;
  struct ms__loop *loop = l->loop;
  if (--l->handles > 0) return;
  ms__free(loop->env.allocator, l);
  ms__loop_release(loop);
}

struct ms__listener *ms__listener_new(struct ms__loop *loop, int fd, ms__accepted_cb cb,
                                      void *user) {
  struct ms__listener *l = ms__calloc(loop->env.allocator, sizeof *l);
  if (!l) return NULL;
  if (uv_poll_init(loop->uv, &l->poll, fd) < 0) {
    ms__free(loop->env.allocator, l);
    return NULL;
  }
  (void)uv_timer_init(loop->uv, &l->pause);
  l->loop = loop;
  l->poll.data = l->pause.data = l;
  l->handles = 2;
  l->fd = fd;
  l->cb = cb;
  l->user = user;
  ms__loop_hold(loop);
  loop->armed++;
  (void)uv_poll_start(&l->poll, UV_READABLE, on_ready);
  return l;
}

void ms__listener_close(struct ms__listener *l) {
  l->closed = true;
  uv_close((uv_handle_t *)&l->poll, on_closed);
  uv_close((uv_handle_t *)&l->pause, on_closed);
}
