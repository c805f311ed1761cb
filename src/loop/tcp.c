#define _GNU_SOURCE /* TCP_KEEPIDLE, struct tcp_info */
#include "loop/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { KEEP_IDLE_SEC = 60, KEEP_EVERY_SEC = 15, KEEP_PROBES = 4 };
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

void ms__tcp_tune(int fd) {
  int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)set_probes(fd, KEEP_IDLE_SEC, KEEP_EVERY_SEC);
}

/* The idle time and four probes make up the whole; the least of each is a second. */
int ms__tcp_keep(int fd, uint32_t msec) {
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

uint32_t ms__tcp_rtt(int fd) {
#ifdef TCP_INFO
  struct tcp_info info;
  socklen_t n = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_rtt : 0;
#else
  (void)fd;
  return 0;
#endif
}
