/* net: TCP over IPv4 and IPv6. */
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/error.h"
#include "loop/tcp.h"
#include "transport/transport.h"

enum { BACKLOG = 511 };

static int failed(int sys, const struct ms__place *place, ms_error *err) {
  char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  ms__inet_host(&place->inet, host, sizeof host);
  if (sys == EADDRINUSE) {
    ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, "net",
              "port %d of %s is in use: choose another, or 0 for any", ms__inet_port(&place->inet),
              host);
    if (err) err->sys = sys;
    return MS_EADDRINUSE;
  }
  return ms__error_sys(err, MS_ELISTEN, sys, MS_PHASE_LISTEN, "net",
                       "cannot listen on port %d of %s", ms__inet_port(&place->inet), host);
}

static int net_listen(const struct ms__place *place, const struct ms__listening *how,
                      struct ms__socket *out, ms_error *err) {
  int family = place->address.ss_family, on = 1, sys, fd;
  fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(errno, place, err);
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (how->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) goto out;
  if (family == AF_INET6) {
    /* "::" serves both families, a mapped address is IPv4's; the others are what they say */
    const struct in6_addr *a = &place->inet.v6.sin6_addr;
    int only = IN6_IS_ADDR_UNSPECIFIED(a) ? how->ipv6_only || place->inet.v6.sin6_scope_id
                                          : !IN6_IS_ADDR_V4MAPPED(a);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  if (bind(fd, (const struct sockaddr *)&place->address, place->length) < 0 ||
      listen(fd, BACKLOG) < 0)
    goto out;
  memset(out, 0, sizeof *out);
  out->place.length = sizeof out->place.address;
  if (getsockname(fd, (struct sockaddr *)&out->place.address, &out->place.length) < 0) goto out;
  out->fd = fd;
  return 0;
out:
  sys = errno;
  close(fd);
  return failed(sys, place, err);
}

static void net_unlisten(struct ms__socket *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}

const struct ms__transport ms__net = {
    .name = "net",
    .by_host = true,
    .listen = net_listen,
    .unlisten = net_unlisten,
    .tune = ms__tcp_tune,
};
