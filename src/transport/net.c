/* net: TCP over IPv4 and IPv6. */
#define _GNU_SOURCE /* SOCK_NONBLOCK, TCP_KEEPIDLE */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/transport.h"

enum { BACKLOG = 511, KEEP_IDLE_SEC = 60, KEEP_EVERY_SEC = 15, KEEP_PROBES = 4 };
enum { KEEP_MOST_MSEC = 65534000 }; /* Linux: no time of it has more than 32,767 seconds */

/* 0 or a negative errno. */
static int set_probes(int fd, int idle_sec, int every_sec) {
  int probes = KEEP_PROBES, r = 0;
#ifdef TCP_KEEPIDLE
  r |= setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_sec, sizeof idle_sec);
#endif
#ifdef TCP_KEEPINTVL
  r |= setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_sec, sizeof every_sec);
  r |= setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
#endif
  return r < 0 ? -errno : 0;
}

/* Packets leave at once (a packet is all the application has to say for now), and a peer that is
 * gone without a word is noticed after some two minutes. All of it is best effort. */
static void net_tune(int fd) {
  int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)set_probes(fd, KEEP_IDLE_SEC, KEEP_EVERY_SEC);
}

/* The idle time and four probes make up the whole; the least of each is a second. What was written
 * and is not acknowledged is not waited for any longer either. */
static int net_keep(int fd, uint32_t msec) {
  int on = msec != UINT32_MAX, idle, every;
  unsigned most;
  if (msec > KEEP_MOST_MSEC) msec = KEEP_MOST_MSEC;
  idle = (int)(msec / 2000);
  every = (int)(msec / (2000 * KEEP_PROBES));
  most = on ? msec : 0;
  if (idle < 1) idle = 1;
  if (every < 1) every = 1;
#ifdef TCP_USER_TIMEOUT
  if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof most) < 0) return -errno;
#else
  (void)most;
#endif
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0) return -errno;
  return on ? set_probes(fd, idle, every) : 0;
}

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
    .tune = net_tune,
    .keep = net_keep,
};
