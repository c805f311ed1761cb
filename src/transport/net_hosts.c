/* net: the hosts that peers reach a stack by (docs/behaviours.md, section 3). */
#include <string.h>

#include "transport/interfaces.h"
#include "transport/net.h"

enum { HOST = 256 };

/* Does one of its sockets take connections of the family? */
static bool serves(const struct ms__listening *l, int family) {
  for (const struct ms__bound *b = l->bound; b; b = b->next) {
    const union ms__inet *a = &b->socket.place.inet;
    bool mapped = a->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr);
    if (family == AF_INET ? !b->socket.ipv6_only : a->family == AF_INET6 && !mapped) return true;
  }
  return false;
}

static bool is_on_loopback(const struct ms__listening *l) {
  for (const struct ms__bound *b = l->bound; b; b = b->next)
    if (!ms__inet_is_loopback(&b->socket.place.inet)) return false;
  return true;
}

/* The addresses of this machine's interfaces that are in the scope. False: they are not known. */
static bool tell_interfaces(const struct ms__listening *l, enum ms_scope scope,
                            void (*tell)(void *user, const char *host), void *user) {
  const ms_allocator *a = l->loop->env.allocator;
  struct ms__inets all;
  if (!ms__interfaces_list(a, &all)) return false;
  for (size_t i = 0; i < all.count; i++) {
    char host[64];
    ms__inet_host(&all.at[i], host, sizeof host);
    if (serves(l, all.at[i].family) && (ms__host_scope(host) & (unsigned)scope)) tell(user, host);
  }
  ms__inets_free(a, &all);
  return true;
}

/* How this machine reaches a wildcard: by the loopback of one family where another stack has the
 * other one on the same port. */
static const char *loopback(const struct ms__listening *l, const struct ms__listen_request *r) {
  const struct ms__net_opts *o = r->opts;
  int port = ms__inet_port(&l->bound->socket.place.inet);
  if (o->every && ms__net_is_beside(&r->others, ms__net_has_ipv4, port)) return "::1";
  return ms__net_is_ipv4_wildcard(r->section) &&
                 ms__net_is_beside(&r->others, ms__net_has_every, port)
             ? "127.0.0.1"
             : "localhost";
}

bool ms__net_hosts(const struct ms__listening *l, const struct ms__listen_request *r,
                   enum ms_scope scope, void (*tell)(void *user, const char *host), void *user) {
  const char *host = r->section->host;
  char bare[HOST];
  if (scope != MS_DEVICE && is_on_loopback(l)) return true;
  if (!host || !*host || ms__host_is_wildcard(host)) {
    if (scope != MS_DEVICE) return tell_interfaces(l, scope, tell, user);
    tell(user, loopback(l, r));
    return true;
  }
  ms__text_copy(bare, sizeof bare, host);
  ms__host_without_mapping(bare);
  if (scope != MS_DEVICE) ms__host_without_zone(bare);
  tell(user, bare);
  return true;
}
