/* What a transport is: it turns a section of an address into wires, and is the only code that knows
 * what is under a wire. One file in this folder, one row of the table of protocols.
 * docs/architecture.md says where it stands.
 *
 * All callbacks come from the loop, never from inside a call of these; none comes after its
 * cancelling, or for what is closed. */
#ifndef MS_TRANSPORT_TRANSPORT_H
#define MS_TRANSPORT_TRANSPORT_H

#include <sys/socket.h>
#include <sys/un.h>

#include "addr/addr.h"
#include "base/text.h"
#include "loop/loop.h"

struct ms__transport;

/* Where a wire leads to or comes from, or where it is listened: a value, to be copied. Only its
 * transport knows what is in it; all others ask ms__place_text and the functions below. */
struct ms__place {
  const struct ms__transport *transport; /* NULL: nowhere */
  socklen_t length;                      /* of what follows */
  union {
    struct sockaddr_storage address;
    union ms__inet inet;   /* of net */
    struct sockaddr_un un; /* of unix */
    char name[128];        /* of memory */
  };
};

/* As snprintf: "192.0.2.1:8008", "[2001:db8::1]:8008", "/run/x/socket", "@name"; "" for nowhere. */
size_t ms__place_text(const struct ms__place *place, char *buf, size_t size);

bool ms__place_equal(const struct ms__place *a, const struct ms__place *b);

/* Whose it can be: MS_DEVICE where nobody comes from outside of this machine. */
unsigned ms__place_scope(const struct ms__place *place);

/* Its address; where it has none, *out has no family that knows one (addr/inet.h). */
void ms__place_ip(const struct ms__place *place, union ms__inet *out);

/* Its port, or 0. */
int ms__place_port(const struct ms__place *place);

/* Many. Belongs to who got it; freed with ms__places_free. */
struct ms__places {
  struct ms__place *at;
  size_t count;
};

void ms__places_free(const ms_allocator *a, struct ms__places *places);

/* ---- Where: resolving ---- */

/* Tells places (now the callee's), one or more, in the order in which they are to be tried, and
 * whether others may follow; or with an error, none and why, and nothing follows. The look-up may
 * be cancelled in here. What is listened on is told at once: nothing follows. */
typedef void (*ms__places_cb)(void *user, struct ms__places *places, bool more,
                              const ms_error *err);

/* No callback from now on; what the system still looks up holds nobody up. */
void ms__resolve_cancel(struct ms_resolving *lookup);

/* ---- Whereto: connecting ---- */

struct ms__connecting;

/* Told once: the wire, now the callee's; or NULL and why (`sys` EAGAIN: who listens has no room
 * now, and may have in a moment). */
typedef void (*ms__connected_cb)(void *user, struct ms__wire *wire, const ms_error *err);

/* ---- Listening ---- */

struct ms__listening;

struct ms__listen_events {
  /* Somebody has come from this place (or from nowhere). What is told when there is a wire to it;
   * NULL, and it is turned away, by a reset where there is one. The listening must not be closed in
   * here; in the others it may. */
  void *(*arrived)(void *user, const struct ms__place *peer);
  /* The wire, now the callee's; NULL: there was no memory for one. */
  void (*accepted)(void *arrival, struct ms__wire *wire);
  /* Somebody was turned away by the transport itself. `why` stays valid. */
  void (*refused)(void *user, const char *why);
};

/* Another stack of the context on the same transport, listening or not yet. */
struct ms__beside {
  const ms_section *section;
  const void *opts;
  const struct ms__listening *listening; /* NULL: it does not listen */
  const ms_addr *address;                /* all of it */
};

/* All of them: the i-th, or false when there are no more. */
struct ms__others {
  bool (*at)(const void *user, size_t i, struct ms__beside *out);
  const void *user;
};

/* What is listened on, and how. All is borrowed for the call, but for events and opts, which stay
 * valid until `unlisten`. */
struct ms__listen_request {
  const ms_section *section;
  const struct ms__places *places; /* all of them, as resolved; not of interest to `hosts` */
  int port;                        /* it had before it was suspended; 0: none */
  const void *opts;
  struct ms__others others;
  const struct ms__listen_events *events;
  void *user;
};

/* ---- The transport ---- */

enum ms__transport_flags {
  MS__BY_HOST = 1 /* its section has a host, and a port; its peers have IP addresses */
};

/* What a transport's options are made from: those of a stack, of a dial, or of both. */
struct ms__transport_config {
  const ms_section *section;
  const ms_allocator *allocator;
  /* a stack */
  const ms_stack_opts *stack; /* NULL: it is a dial's */
  unsigned scopes;            /* of ms_scope: where it is to be reached */
  bool open;                  /* nothing authenticates who comes, and nobody has asked for that */
  struct ms__inherited_set *inherited;
  /* a dial */
  const ms_dial_opts *dial; /* NULL: it is a stack's */
};

struct ms__transport {
  const char *name;
  unsigned flags;

  /* Its options: so many bytes, filled from what an application has said. Nobody else knows the
   * fields. 0; MS_EINVAL, MS_EINSECURE, MS_ENOMEM, MS_ESYSTEM with *err. NULL: it has none. */
  size_t options;
  int (*configure)(void *opts, const struct ms__transport_config *from, ms_error *err);

  /* Finds the places of a section, to connect to or to listen on. NULL: no memory. */
  struct ms_resolving *(*resolve)(struct ms__loop *loop, const ms_section *section,
                                  const void *opts, bool listen, ms__places_cb cb, void *user);

  /* Connects to one of them. NULL: no memory. */
  struct ms__connecting *(*connect)(struct ms__loop *loop, const struct ms__place *place,
                                    const void *opts, ms__connected_cb cb, void *user);

  /* Gives up before the callback. */
  void (*cancel)(struct ms__connecting *connecting);

  /* Listens on all places together: those of one host share a port. 0; or MS_ELISTEN,
   * MS_EADDRINUSE, MS_EINSECURE, MS_ENOMEM with *err, and nothing is left. NULL: it cannot. */
  int (*listen)(struct ms__loop *loop, const struct ms__listen_request *request,
                struct ms__listening **out, ms_error *err);

  /* Stops, and removes what it left behind. */
  void (*unlisten)(struct ms__listening *listening);

  /* The i-th place that is really listened on; false: there are no more. */
  bool (*bound)(const struct ms__listening *listening, size_t i, struct ms__place *out);

  /* The hosts under which peers in the scope reach it, each once. False: they are not known now.
   * NULL: its section says where it is, to this machine only. */
  bool (*hosts)(const struct ms__listening *listening, const struct ms__listen_request *of,
                enum ms_scope scope, void (*host)(void *user, const char *host), void *user);

  /* As the functions of ms__place. NULL: MS_DEVICE; no address. */
  size_t (*text)(const struct ms__place *place, char *buf, size_t size);
  unsigned (*scope)(const struct ms__place *place);
  void (*ip)(const struct ms__place *place, union ms__inet *out);

  /* Our own end of a wire. False: it has none, or the system does not tell. NULL: it has none. */
  bool (*local)(const struct ms__wire *wire, struct ms__place *out);
};

extern const struct ms__transport ms__memory, ms__net, ms__unix;

#endif
