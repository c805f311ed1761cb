/* net, inside: its options, and what its files share. */
#ifndef MS_TRANSPORT_NET_H
#define MS_TRANSPORT_NET_H

#include "transport/sockets.h"

struct ms__net_opts {
  bool every;      /* listening: both families, on every interface */
  bool reuse_port; /* listening: beside others that say so, where the system has that */
  bool open;       /* listening: nobody sees to who enters, so that it stays on loopback */
  struct ms__inherited_set *inherited;
  union ms__inet from; /* connecting: from here; without a family, the system chooses */
};

/* Slots of its listening (net_listen.c) and advertising (net_hosts.c). */
int ms__net_listen(struct ms__loop *loop, const struct ms__listen_request *request,
                   struct ms__listening **out, ms_error *err);
bool ms__net_hosts(const struct ms__listening *listening, const struct ms__listen_request *of,
                   enum ms_scope scope, void (*host)(void *user, const char *host), void *user);

/* 0.0.0.0 alone: IPv4 is its own then, and no part of what "::" serves on the same port. */
bool ms__net_is_ipv4_wildcard(const ms_section *section);

/* Does another stack, which `is` one of those, have the port, whether it listens yet or not? 0 is
 * nobody's. */
bool ms__net_is_beside(const struct ms__others *others, bool (*is)(const struct ms__beside *other),
                       int port);

/* Is the other one of these? */
bool ms__net_has_ipv4(const struct ms__beside *other);
bool ms__net_has_every(const struct ms__beside *other);

#endif
