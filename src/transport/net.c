/* net: TCP over IPv4 and IPv6. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "loop/tcp.h"
#include "transport/net.h"
#include "transport/resolve.h"

enum { HOST = INET6_ADDRSTRLEN + 1 + IF_NAMESIZE };

/* ---- Options ---- */

static int net_configure(void *out, const struct ms__transport_config *from, ms_error *err) {
  const char *host = from->section->host, *local = from->dial ? from->dial->local_host : NULL;
  struct ms__net_opts *o = out;
  *o = (struct ms__net_opts){.open = from->open, .inherited = from->inherited};
  if (from->stack) {
    o->every = host && *host ? strcmp(host, "::") == 0 : from->scopes != MS_DEVICE;
    o->reuse_port = from->stack->reuse_port;
  }
  if (!local || ms__inet_read(&o->from, AF_INET, local, strlen(local)) ||
      uv_ip6_addr(local, 0, &o->from.v6) == 0) /* which may have a zone */
    return 0;
  return ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                   "local_host is no IPv4 or IPv6 address: \"%.64s\"", local);
}

/* ---- Where and whereto ---- */

static struct ms_resolving *net_resolve(struct ms__loop *loop, const ms_section *section,
                                        const void *opts, bool listen, ms__places_cb cb,
                                        void *user) {
  bool every = listen && ((const struct ms__net_opts *)opts)->every;
  const char *host = section->host && !every ? section->host : "";
  return ms__resolve_host(loop, host, section->port, every, cb, user);
}

static void cannot_connect(const struct ms__place *place, const union ms__inet *from, int status,
                           ms_error *err) {
  char host[HOST], local[HOST], own[HOST + sizeof " from "] = "";
  ms__inet_host(&place->inet, host, sizeof host);
  ms__inet_host(from, local, sizeof local);
  if (*local) (void)snprintf(own, sizeof own, " from %s", local);
  ms__error_sys(err, MS_ECONNECT, -status, MS_PHASE_CONNECT, NULL,
                "could not connect to port %d of %s%s", ms__inet_port(&place->inet), host, own);
}

static struct ms__connecting *net_connect(struct ms__loop *loop, const struct ms__place *place,
                                          const void *opts, ms__connected_cb cb, void *user) {
  const struct ms__net_opts *o = opts;
  return ms__socket_connect(loop, place, &o->from, cannot_connect, cb, user);
}

static bool net_local(const struct ms__wire *wire, struct ms__place *out) {
  return ms__socket_place(wire->ops->fd(wire), &ms__net, out);
}

/* ---- Places ---- */

static size_t net_text(const struct ms__place *p, char *buf, size_t size) {
  char host[HOST];
  ms__inet_host(&p->inet, host, sizeof host);
  if (!*host) return (size_t)snprintf(buf, size, "%s", "");
  return (size_t)snprintf(buf, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
                          ms__inet_port(&p->inet));
}

static unsigned net_scope(const struct ms__place *p) {
  char host[HOST];
  if (ms__inet_is_loopback(&p->inet)) return MS_DEVICE;
  ms__inet_host(&p->inet, host, sizeof host);
  return ms__host_scope(host);
}

static void net_ip(const struct ms__place *p, union ms__inet *out) {
  *out = p->inet;
}

const struct ms__transport ms__net = {
    .name = "net",
    .flags = MS__BY_HOST,
    .options = sizeof(struct ms__net_opts),
    .configure = net_configure,
    .resolve = net_resolve,
    .connect = net_connect,
    .cancel = ms__socket_cancel,
    .listen = ms__net_listen,
    .unlisten = ms__listening_free,
    .bound = ms__listening_bound,
    .hosts = ms__net_hosts,
    .text = net_text,
    .scope = net_scope,
    .ip = net_ip,
    .local = net_local,
};
