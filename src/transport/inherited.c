/* Descriptors that listen already: whoever started us opened them (systemd's socket activation). */
#include <fcntl.h>
#include <string.h>

#include "transport/transport.h"

static bool is_same(const struct ms__place *a, const struct ms__place *b) {
  if (a->address.ss_family != b->address.ss_family) return false;
  switch (a->address.ss_family) {
    case AF_INET:
      return a->inet.v4.sin_port == b->inet.v4.sin_port &&
             a->inet.v4.sin_addr.s_addr == b->inet.v4.sin_addr.s_addr;
    case AF_INET6:
      return a->inet.v6.sin6_port == b->inet.v6.sin6_port &&
             IN6_ARE_ADDR_EQUAL(&a->inet.v6.sin6_addr, &b->inet.v6.sin6_addr);
    case AF_UNIX:
      return strcmp(a->un.sun_path, b->un.sun_path) == 0;
    default:
      return false;
  }
}

static bool is_listening(int fd) {
  int on = 0;
  socklen_t n = sizeof on;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on;
}

bool ms__inherited_take(int *fds, size_t count, const struct ms__place *place,
                        struct ms__socket *out) {
  for (size_t i = 0; i < count; i++) {
    struct ms__place own = {.length = sizeof own.address};
    int flags;
    if (fds[i] < 0 || getsockname(fds[i], (struct sockaddr *)&own.address, &own.length) < 0 ||
        !is_same(&own, place) || !is_listening(fds[i]))
      continue;
    flags = fcntl(fds[i], F_GETFL);
    if (flags < 0 || fcntl(fds[i], F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0)
      continue;
    /* no inode: its file stays when we stop */
    *out = (struct ms__socket){.fd = fds[i], .place = own};
    fds[i] = -1;
    return true;
  }
  return false;
}
