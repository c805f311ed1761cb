/* What the transports of sockets have in common: sockets that listen, those that whoever started us
 * has opened, and connecting. */
#ifndef MS_TRANSPORT_SOCKETS_H
#define MS_TRANSPORT_SOCKETS_H

#include <sys/types.h>

#include "transport/transport.h"

/* A socket that listens, and what is to be undone when it stops. */
struct ms__socket {
  int fd;
  struct ms__place place; /* as bound, the real port included */
  bool ipv6_only;         /* net: its wildcard is not that of IPv4 */
  dev_t device;           /* unix: the socket file, to unlink only our own */
  ino_t inode;
  uid_t unknown; /* unix: see ms__users_unknown */
  gid_t group;   /* unix: whose members its mode was meant to let in; (gid_t)-1: nobody's */
};

/* The place that a socket is bound to, as this transport's; false: the system does not tell. */
bool ms__socket_place(int fd, const struct ms__transport *transport, struct ms__place *out);

/* ---- Inherited sockets (inherited.c) ---- */

/* A descriptor that whoever started us has opened. */
struct ms__inherited {
  int fd;
  bool taken; /* it is listened on */
  bool ours;  /* it was, at least once */
};

struct ms__inherited_set {
  struct ms__inherited *at;
  size_t count;
};

/* Takes the one that listens at this place. False: there is none. A unix socket's file may be open
 * to anybody. */
bool ms__inherited_take(struct ms__inherited_set *all, const struct ms__place *place,
                        struct ms__socket *out);

/* It is not listened on any more; it stays open, as whoever opened it holds the place all the same.
 * False: it is none of them. */
bool ms__inherited_give(struct ms__inherited_set *all, const struct ms__socket *socket);

/* Closes those that are ours. */
void ms__inherited_close(struct ms__inherited_set *all);

/* ---- Accepting (listener.c, reserve.c) ---- */

struct ms__listener;

/* A descriptor, connected and non-blocking; now the callee's. The place's transport is not set. */
typedef void (*ms__accepted_cb)(void *user, int fd, const struct ms__place *peer);

/* Accepts on a socket that listens, which stays the caller's, a bounded number a turn; without
 * descriptors it pauses and goes on. NULL: no memory. */
struct ms__listener *ms__listener_new(struct ms__loop *loop, int fd, ms__accepted_cb cb,
                                      void *user);

/* Stops. The socket may be closed at once. */
void ms__listener_close(struct ms__listener *listener);

/* Has libuv make room for all descriptors that the process may have (65,536 of them at the most),
 * with the help of any that can be polled. 0, or -ENOMEM. */
int ms__reserve_watchers(struct ms__loop *loop, int fd);

/* ---- Listening (sockets.c) ---- */

/* How a transport's sockets differ. */
struct ms__socket_kind {
  const struct ms__transport *transport;
  bool tcp;
  /* Closes it, and removes what it left behind. */
  void (*close)(struct ms__socket *socket);
  /* May who has connected this descriptor come in, though nothing authenticates it? NULL: yes. */
  bool (*knows)(const struct ms__socket *socket, int fd, const ms_allocator *a);
};

struct ms__bound {
  struct ms__bound *next;
  struct ms__socket socket;
  struct ms__listener *listener;
  struct ms__listening *listening;
};

struct ms__listening {
  struct ms__loop *loop;
  const struct ms__socket_kind *kind;
  const struct ms__listen_events *events;
  void *user;
  struct ms__inherited_set *inherited; /* where its sockets may come from */
  struct ms__bound *bound;             /* a list */
  bool open;                           /* as in ms__transport_config */
};

/* One without sockets yet. NULL: no memory. */
struct ms__listening *ms__listening_new(struct ms__loop *loop, const struct ms__socket_kind *kind,
                                        const struct ms__listen_request *request);

/* Accepts on one more, which is now the listening's also when this fails. 0, or MS_ENOMEM. */
int ms__listening_add(struct ms__listening *l, const struct ms__socket *socket, ms_error *err);

/* Closes all its sockets; or it with them, and NULL is allowed. */
void ms__listening_clear(struct ms__listening *l);
void ms__listening_free(struct ms__listening *l);

/* As the slot. */
bool ms__listening_bound(const struct ms__listening *l, size_t i, struct ms__place *out);

/* ---- Connecting (sockets.c) ---- */

/* As the slot, from an address where one is given (not NULL, and not without a family). `explain`
 * writes the error of a place from a negative errno. */
struct ms__connecting *ms__socket_connect(struct ms__loop *loop, const struct ms__place *place,
                                          const union ms__inet *from,
                                          void (*explain)(const struct ms__place *place,
                                                          const union ms__inet *from, int status,
                                                          ms_error *err),
                                          ms__connected_cb cb, void *user);
void ms__socket_cancel(struct ms__connecting *connecting);

#endif
