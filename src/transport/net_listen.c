/* net: listening. The places of one host share a port, and the wildcard of IPv6 serves both
 * families unless another stack has IPv4's. */
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/net.h"

/* With port 0 and two families, the second family wants the port the first was given; when another
 * process has it, both try again. */
enum { BACKLOG = 511, PORT_TRIES = 16 };

/* ---- Wildcards ---- */

bool ms__net_is_ipv4_wildcard(const ms_section *section) {
  const char *host = section->host;
  return host && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::ffff:0.0.0.0") == 0);
}

bool ms__net_has_ipv4(const struct ms__beside *other) {
  return ms__net_is_ipv4_wildcard(other->section);
}

bool ms__net_has_every(const struct ms__beside *other) {
  return ((const struct ms__net_opts *)other->opts)->every;
}

bool ms__net_is_beside(const struct ms__others *others, bool (*is)(const struct ms__beside *other),
                       int port) {
  struct ms__beside other;
  for (size_t i = 0; port && others->at(others->user, i, &other); i++)
    if (other.section->port == port && is(&other)) return true;
  return false;
}

static bool leaves_ipv4(const struct ms__listen_request *r, int port) {
  const struct ms__net_opts *o = r->opts;
  return o->every && ms__net_is_beside(&r->others, ms__net_has_ipv4, port);
}

/* The wildcard of IPv6 serves both families, unless whoever opened it wanted otherwise, or the
 * other one belongs to another stack. */
static bool is_covered(const struct ms__listening *l, const struct ms__listen_request *r,
                       const struct ms__place *place) {
  if (place->inet.family != AF_INET || place->inet.v4.sin_addr.s_addr != htonl(INADDR_ANY))
    return false;
  if (leaves_ipv4(r, ms__inet_port(&place->inet))) return true;
  for (const struct ms__bound *b = l->bound; b; b = b->next) {
    const union ms__inet *bound = &b->socket.place.inet;
    if (bound->family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&bound->v6.sin6_addr) &&
        !b->socket.ipv6_only)
      return true;
  }
  return false;
}

/* ---- One socket ---- */

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

/* Who has the port is known where we have it ourselves: IPv4 may be part of what "::" serves. */
static int in_use(const struct ms__listen_request *r, const struct ms__place *place,
                  ms_error *err) {
  int port = ms__inet_port(&place->inet);
  struct ms__beside other;
  char address[sizeof err->address];
  bool found = false;
  for (size_t i = 0; !found && r->others.at(r->others.user, i, &other); i++) {
    struct ms__place at;
    found = other.listening && ms__listening_bound(other.listening, 0, &at) &&
            ms__inet_port(&at.inet) == port;
  }
  if (!found) return failed(EADDRINUSE, place, err);
  (void)ms__addr_format_safe(other.address, 0, address, sizeof address);
  ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, "net",
            "port %d is in use by this process' own %s%s", port, address,
            !ms__net_has_every(&other) ? ""
            : ms__net_is_ipv4_wildcard(r->section)
                ? ", which leaves IPv4 to what is there when it begins to listen"
                : ", which has both families");
  if (err) err->sys = EADDRINUSE;
  return MS_EADDRINUSE;
}

static bool is_ipv6_only(int fd) {
  int only = 0;
  socklen_t n = sizeof only;
  return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && only;
}

static void close_socket(struct ms__socket *s) {
  (void)close(s->fd);
}

/* 0 or an errno. */
static int set_options(int fd, const struct ms__place *place, bool reuse_port, bool ipv6_only) {
  int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) return errno;
  if (place->inet.family == AF_INET6) {
    /* "::" serves both families, a mapped address is IPv4's; the others are what they say */
    const struct in6_addr *a = &place->inet.v6.sin6_addr;
    int only = IN6_IS_ADDR_UNSPECIFIED(a) ? ipv6_only || place->inet.v6.sin6_scope_id
                                          : !IN6_IS_ADDR_V4MAPPED(a);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  return 0;
}

static int open_socket(const struct ms__listen_request *r, const struct ms__place *place,
                       struct ms__socket *out, ms_error *err) {
  const struct ms__net_opts *o = r->opts;
  int fd, sys;
  if (ms__inherited_take(o->inherited, place, out)) return 0;
  fd = socket(place->inet.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(errno, place, err);
  sys = set_options(fd, place, o->reuse_port, leaves_ipv4(r, ms__inet_port(&place->inet)));
  *out = (struct ms__socket){.fd = fd};
  if (sys == 0 && (bind(fd, (const struct sockaddr *)&place->address, place->length) < 0 ||
                   listen(fd, BACKLOG) < 0))
    sys = errno;
  if (sys == 0 && !ms__socket_place(fd, &ms__net, &out->place)) sys = errno;
  if (sys == 0) return 0;
  (void)close(fd);
  return sys == EADDRINUSE ? in_use(r, place, err) : failed(sys, place, err);
}

/* ---- All of them ---- */

/* This machine does not have the family, or has no address of it. */
static bool is_missing(const ms_error *err) {
  return err->sys == EAFNOSUPPORT || err->sys == EADDRNOTAVAIL;
}

/* `port`: where the places name none; 0: any. A machine without one of the families serves the
 * other. */
static int open_all(struct ms__listening *l, const struct ms__listen_request *r, int port,
                    ms_error *err) {
  int code = 0;
  for (size_t i = 0; i < r->places->count && (code == 0 || is_missing(err)); i++) {
    struct ms__place place = r->places->at[i];
    struct ms__socket socket;
    if (is_covered(l, r, &place)) continue;
    if (port) ms__inet_set_port(&place.inet, port);
    code = open_socket(r, &place, &socket, err);
    if (code < 0) continue;
    if (socket.place.inet.family == AF_INET6) socket.ipv6_only = is_ipv6_only(socket.fd);
    if (!port) port = ms__inet_port(&socket.place.inet);
    code = ms__listening_add(l, &socket, err);
  }
  if (code == 0 || (is_missing(err) && l->bound)) return 0;
  ms__listening_clear(l);
  return code;
}

static int check_open(const struct ms__listen_request *r, ms_error *err) {
  const struct ms__net_opts *o = r->opts;
  for (size_t i = 0; o->open && i < r->places->count; i++)
    if (!ms__inet_is_loopback(&r->places->at[i].inet))
      return ms__error(err, MS_EINSECURE, MS_PHASE_LISTEN, "net",
                       "without authentication it listens on loopback and unix sockets only");
  return 0;
}

int ms__net_listen(struct ms__loop *loop, const struct ms__listen_request *r,
                   struct ms__listening **out, ms_error *err) {
  static const struct ms__socket_kind kind = {
      .transport = &ms__net, .tcp = true, .close = close_socket};
  const struct ms__net_opts *o = r->opts;
  struct ms__listening *l;
  int code = check_open(r, err);
  if (code < 0) return code;
  if (!(l = ms__listening_new(loop, &kind, r)))
    return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, "net", NULL);
  l->inherited = o->inherited;
  /* after a suspension the same port, if it can be had */
  code = open_all(l, r, r->section->port > 0 ? r->section->port : r->port, err);
  for (int i = 1; code == MS_EADDRINUSE && r->section->port == 0 && i < PORT_TRIES; i++)
    code = open_all(l, r, 0, err);
  if (code < 0)
    ms__listening_free(l);
  else
    *out = l;
  return code;
}
