/* Transports: they name places, open and listen on them, and hand descriptors to libuv; nothing
 * more. A new one is one file and one line in endpoint/table.c. */
#ifndef MS_TRANSPORT_TRANSPORT_H
#define MS_TRANSPORT_TRANSPORT_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "addr/inet.h"
#include "base/text.h"
#include "loop/loop.h"

/* One address of the operating system's. */
struct ms__place {
  union {
    struct sockaddr_storage address;
    union ms__inet inet;   /* of net */
    struct sockaddr_un un; /* of unix */
  };
  socklen_t length;
};

/* Is it a unix socket that is no file, but a name of this network namespace's? */
bool ms__place_is_abstract(const struct ms__place *place);

/* True for loopback addresses and unix sockets. */
bool ms__place_is_local(const struct ms__place *place);

/* The place that a socket is bound to; of a client's unix socket, none (its length is 0). False:
 * the system does not tell. */
bool ms__place_of(int fd, struct ms__place *out);

/* "192.0.2.1:8008", "[2001:db8::1]:8008", "/run/x/socket", "@name", or "" where there is none; as
 * snprintf does. */
size_t ms__place_format(const struct ms__place *place, char *buf, size_t size);

/* Many. Belongs to who got it; freed with ms__places_free. */
struct ms__places {
  struct ms__place *at;
  size_t count;
};

void ms__places_free(const ms_allocator *a, struct ms__places *places);

/* A socket that listens, and what is to be undone when it stops. */
struct ms__socket {
  int fd;
  struct ms__place place; /* as bound, the real port included */
  bool ipv6_only;         /* its wildcard is not that of IPv4 */
  dev_t device;           /* unix: the socket file, to unlink only our own */
  ino_t inode;
  uid_t unknown; /* unix: see ms__users_unknown */
  gid_t group;   /* unix: whose members its mode was meant to let in; (gid_t)-1: nobody's */
};

/* How to open one. */
struct ms__listening {
  bool reuse_port; /* net: beside others that say so, where the system has that */
  bool ipv6_only;  /* net: the wildcard of IPv6 leaves IPv4 to others */
  mode_t mode;     /* unix: of its file; the owner may read and write */
  gid_t group;     /* unix: of its file; (gid_t)-1: what the system gives it */
};

struct ms__transport {
  const char *name;

  /* Its places are found by host and port (ms__resolve), else by `place`; and so are its peers,
   * which have no address of their own otherwise. */
  bool by_host;
  /* 0 or an ms_code with *err. NULL when by_host. */
  int (*place)(const ms_section *section, struct ms__place *out, ms_error *err);

  /* Opens a non-blocking socket that listens on one place. 0 or an ms_code with *err. */
  int (*listen)(const struct ms__place *place, const struct ms__listening *how,
                struct ms__socket *out, ms_error *err);

  /* Closes it, and removes what it left behind. */
  void (*unlisten)(struct ms__socket *socket);

  /* Sets the options of a connected descriptor. NULL: none. */
  void (*tune)(int fd);

  /* Is who has connected this descriptor, which the socket has accepted, our own user, root, or of
   * the socket's group? NULL: that can't be known. */
  bool (*knows_peer)(const struct ms__socket *socket, int fd, const ms_allocator *a);
};

extern const struct ms__transport ms__net, ms__unix;

/* ---- Users, of unix sockets (users.c) ---- */

/* The number that users have who have none of their own here, in a user namespace that does not
 * know them all: it tells nothing. (uid_t)-1: all have one. */
uid_t ms__users_unknown(void);

/* The same of groups. */
gid_t ms__groups_unknown(void);

/* Is who has connected it our own user, or root? `unknown`: as above. */
bool ms__unix_is_own_peer(int fd, uid_t unknown);

/* Was who has connected it of this group then, be it by its supplementary groups? False also where
 * there is no memory to ask. */
bool ms__unix_is_member(int fd, gid_t group, const ms_allocator *a);

/* The group of that name, or number. 0, or an errno: ENOENT, there is none. */
int ms__group_find(const char *name, gid_t *out, const ms_allocator *a);

/* Do the mode of a unix socket's file, or a folder that it is in, keep all others out? */
bool ms__unix_is_private(const struct ms__place *place);

/* ---- Inherited sockets ---- */

/* A descriptor that whoever started us has opened. */
struct ms__inherited {
  int fd;
  bool taken; /* it is listened on */
  bool ours;  /* it was, at least once */
};

/* Takes the one that listens at this place. False: there is none. A unix socket's file may be open
 * to anybody. */
bool ms__inherited_take(struct ms__inherited *all, size_t count, const struct ms__place *place,
                        struct ms__socket *out);

/* It is not listened on any more; it stays open, as whoever opened it holds the place all the same.
 * False: it is none of them. */
bool ms__inherited_give(struct ms__inherited *all, size_t count, const struct ms__socket *socket);

/* Closes those that are ours. */
void ms__inherited_close(struct ms__inherited *all, size_t count);

/* ---- Looking up ---- */

/* Told once, from the loop: places (now the callee's), or none and why. */
typedef void (*ms__lookup_cb)(void *user, struct ms__places *places, const ms_error *err);

/* Looks a host and port up. "" and localhost are loopback of both families, a literal address is
 * itself. `wildcard`: "" is the wildcard of both. NULL: no memory. */
struct ms_resolving *ms__resolve(struct ms__loop *loop, const char *host, int port, bool wildcard,
                                 ms__lookup_cb cb, void *user);

/* No callback from now on; what the system still looks up holds nobody up. */
void ms__resolve_cancel(struct ms_resolving *lookup);

/* What the application's resolver was asked, and has not answered, is nobody's any more; all of it
 * has been cancelled. */
void ms__resolve_forget(struct ms__loop *loop);

/* ---- Interfaces ---- */

/* Many addresses, each once. Freed with ms__inets_free. */
struct ms__inets {
  union ms__inet *at;
  size_t count;
};

/* The addresses that peers can reach this machine's interfaces at: no loopback, none that only one
 * link knows, none that the system does not use or will not for long. False: no memory, or no
 * descriptor to ask with. */
bool ms__interfaces_list(const ms_allocator *a, struct ms__inets *out);
void ms__inets_free(const ms_allocator *a, struct ms__inets *all);

struct ms__watch;

/* From the loop: the interfaces' addresses may be others than before. Changes that come together
 * are told once. */
typedef void (*ms__watch_cb)(void *user);

/* NULL: no memory. */
struct ms__watch *ms__watch_new(struct ms__loop *loop, ms__watch_cb cb, void *user);

/* Tells soon, as if there were news; or in a few seconds, when they could not be heard now. */
void ms__watch_poke(struct ms__watch *watch);
void ms__watch_retry(struct ms__watch *watch);

/* No callback from now on. */
void ms__watch_close(struct ms__watch *watch);

/* ---- Accepting ---- */

struct ms__listener;

/* A descriptor, connected and non-blocking; now the callee's. */
typedef void (*ms__accepted_cb)(void *user, int fd, const struct ms__place *peer);

/* Has libuv make room for all descriptors that the process may have (65,536 of them at the most),
 * with the help of any that can be polled. 0, or -ENOMEM. */
int ms__reserve_watchers(struct ms__loop *loop, int fd);

/* Accepts on a socket that listens, which stays the caller's, a bounded number a turn; without
 * descriptors it pauses and goes on. NULL: no memory. */
struct ms__listener *ms__listener_new(struct ms__loop *loop, int fd, ms__accepted_cb cb,
                                      void *user);

/* Stops. The socket may be closed at once. */
void ms__listener_close(struct ms__listener *listener);

#endif
