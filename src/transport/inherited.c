/* Descriptors that listen already: whoever started us opened them (systemd's socket activation). */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "transport/transport.h"

static bool is_same(const struct ms__place *a, const struct ms__place *b) {
  const void *x = &a->address, *y = &b->address;
  if (a->address.ss_family != b->address.ss_family || ms__place_port(a) != ms__place_port(b))
    return false;
  switch (a->address.ss_family) {
    case AF_INET:
      return ((const struct sockaddr_in *)x)->sin_addr.s_addr ==
             ((const struct sockaddr_in *)y)->sin_addr.s_addr;
    case AF_INET6:
      return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)x)->sin6_addr,
                                &((const struct sockaddr_in6 *)y)->sin6_addr);
    case AF_UNIX:
      return strcmp(((const struct sockaddr_un *)x)->sun_path,
                    ((const struct sockaddr_un *)y)->sun_path) == 0;
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
