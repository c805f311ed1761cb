/* Descriptors that listen already: whoever started us opened them (systemd's socket activation). */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/sockets.h"
#include "transport/users.h"

/* An IPv4 address is the same when it is written as IPv6. */
static bool is_same_inet(const union ms__inet *a, const union ms__inet *b) {
  uint8_t x[16], y[16];
  if (!ms__inet_bytes(a, x) || !ms__inet_bytes(b, y)) return false;
  if (ms__inet_port(a) != ms__inet_port(b) || memcmp(x, y, sizeof x) != 0) return false;
  return ms__inet_is_mapped(x) || a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

/* A path may be written in more than one way. */
static bool is_same_path(const char *a, const char *b) {
  struct stat x, y;
  if (strcmp(a, b) == 0) return true;
  return lstat(a, &x) == 0 && lstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_abstract(const struct ms__place *p) {
  return p->address.ss_family == AF_UNIX && p->length > offsetof(struct sockaddr_un, sun_path) &&
         !p->un.sun_path[0];
}

static bool is_same_name(const struct ms__place *a, const struct ms__place *b) {
  return a->length == b->length && memcmp(&a->un, &b->un, a->length) == 0;
}

static bool is_same(const struct ms__place *a, const struct ms__place *b) {
  if (is_abstract(a) || is_abstract(b)) return is_same_name(a, b);
  if (a->address.ss_family == AF_UNIX && b->address.ss_family == AF_UNIX)
    return is_same_path(a->un.sun_path, b->un.sun_path);
  return is_same_inet(&a->inet, &b->inet);
}

static bool has(int fd, int option, int wanted) {
  int value = -1;
  socklen_t n = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &n) == 0 && value == wanted;
}

bool ms__inherited_take(struct ms__inherited_set *all, const struct ms__place *place,
                        struct ms__socket *out) {
  for (size_t i = 0; all && i < all->count; i++) {
    struct ms__place own;
    int fd = all->at[i].fd, flags;
    if (all->at[i].taken || !ms__socket_place(fd, place->transport, &own) ||
        !is_same(&own, place) || !has(fd, SO_ACCEPTCONN, 1) || !has(fd, SO_TYPE, SOCK_STREAM))
      continue;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
      continue;
    *out = (struct ms__socket){.fd = fd, .place = own, .unknown = (uid_t)-1, .group = (gid_t)-1};
    if (own.address.ss_family == AF_UNIX) out->unknown = ms__users_unknown();
    all->at[i].taken = all->at[i].ours = true;
    return true;
  }
  return false;
}

bool ms__inherited_give(struct ms__inherited_set *all, const struct ms__socket *socket) {
  for (size_t i = 0; all && i < all->count; i++)
    if (all->at[i].taken && all->at[i].fd == socket->fd) {
      all->at[i].taken = false;
      return true;
    }
  return false;
}

void ms__inherited_close(struct ms__inherited_set *all) {
  for (size_t i = 0; all && i < all->count; i++) {
    if (!all->at[i].ours) continue;
    (void)close(all->at[i].fd); /* a unix socket's file stays: it is not ours */
    all->at[i] = (struct ms__inherited){.fd = -1, .taken = true};
  }
}
