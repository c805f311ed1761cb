/* What the public entry points share: the context, its stacks, and the sessions between a
 * connection and what the application knows of it. */
#ifndef MS_ENDPOINT_CTX_H
#define MS_ENDPOINT_CTX_H

#include "addr/addr.h"
#include "addr/front.h"
#include "base/identity.h"
#include "endpoint/limits.h"
#include "endpoint/tls.h"
#include "transport/resolve.h"
#include "transport/sockets.h"
#include "transport/transport.h"

enum {
  MS__STACK_SECTIONS = 8, /* an address has at most so many sections */
  MS__SECTION_LAYERS = 3  /* a section stands for at most so many layers */
};

/* What a section stands for. One line a protocol (table.c). */
struct ms__section_impl {
  enum ms_section_kind kind;
  bool secure;                                        /* as in ms_section */
  const struct ms__transport *transport;              /* NULL: a transform */
  const struct ms__layer *layers[MS__SECTION_LAYERS]; /* from the network; NULL: no more */
  bool authenticates;                                 /* the peer's key is proved by it */
};

/* NULL: this build does not have it. */
const struct ms__section_impl *ms__section_impl(const ms_section *section);

/* Do these sections make a stack of this build? 0, or MS_ENOSTACK with *err, which tells the first
 * that is out of place, by its number and name, and why. */
int ms__sections_check(const ms_section *sections, size_t count, ms_error *err);

/* An identity in guarded memory, with the network key it is used on. */
struct ms__keys {
  ms_identity *identity; /* NULL: none */
  uint8_t network_key[MS_KEY_BYTES];
  bool has_network_key;
};

/* It lives as long as it is in the list, or a connection or a dial uses it. */
struct ms__stack {
  struct ms_ctx *ctx;
  size_t users;
  bool removed;
  int number;    /* -1: not in the list yet */
  char *name;    /* "net~shs" */
  ms_addr *addr; /* as given, one alternative */
  const ms_section *sections;
  size_t count;
  size_t ws_at; /* the section that is WebSocket; MS__STACK_SECTIONS: none */
  const struct ms__transport *transport;
  const struct ms__section_impl *impl[MS__STACK_SECTIONS]; /* of each section */
  size_t keys_count;                                       /* sections that prove a key */
  bool authenticated;
  struct ms__http_opts http; /* of a server */
  struct ms__ws_opts ws;
  struct ms__tls tls;
  struct ms__tls_opts tls_server;
  char **origins;           /* of http */
  struct ms__front *fronts; /* that are believed about their peers */
  size_t fronts_count;
  bool stream; /* bytes, not messages */
  ms_request_cb on_request;
  void *request_user;
  char *health_path; /* NULL: none */
  struct ms__keys keys;
  ms_authorise_cb on_authorise;
  void *user;
  unsigned scopes;
  ms_addr **external; /* one section each, port 0 or -1 where the real one is meant */
  size_t external_count;
  bool insecure_noauth;
  void *transport_opts; /* as its `configure` has made them; NULL: it has none */

  /* listening */
  struct ms_resolving *lookup;
  struct ms__listening *listening; /* NULL: it does not */
  int port;                        /* of it, or of the last one */
  bool due;                        /* it has still to report */
};

/* What a client asks for, copied: the address it was dialled by is gone when its handshake may
 * still linger. */
struct ms__http_request {
  struct ms__http_opts opts;
  char text[]; /* host, path and user information */
};

/* What the layers of one section are told. */
struct ms__section_setup {
  struct ms__shs_opts shs;
  struct ms__tls_opts tls; /* outbound */
  ms_identity *own;        /* outbound: of this dial, or made from a seed; NULL: the stack's */
  bool has_key;            /* the peer's in this section: whom we mean, or who has asked */
  uint8_t key[MS_KEY_BYTES];
};

/* What the layers of a connection are told, for as long as its stack is being brought up. */
struct ms__setup {
  struct ms__session *older, *newer; /* inbound: among those whose handshake is not over, by age */
  uint64_t handshaking_since;        /* msec */
  bool spoke;              /* it is among those that speak, as far as admission has looked */
  const char *evicted_for; /* by us, and counted so: why; else NULL */
  struct ms__http_request *request;    /* outbound: where http is part of it */
  bool fronted;                        /* inbound: from a trusted proxy, and */
  union ms__inet front;                /* whom its requests come from, as far as no field tells */
  struct ms__proxy_opts proxy;         /* with `fronted`, and */
  struct ms__http_opts http;           /* this in the place of the stack's */
  struct ms__section_setup sections[]; /* as many as the stack has */
};

/* A connection and what is known of it, from before its first turn until it is gone. */
struct ms__session {
  struct ms__session *prev, *next;
  struct ms__stack *stack;
  ms_conn *conn;
  const ms_conn_events *events; /* NULL: nobody has taken it on */
  void *user, *auth;
  struct ms__attempt *attempt; /* outbound, until it is open or has failed */
  union ms__inet peer;     /* inbound: where it comes from, as far as what stands in front tells */
  char *address;           /* made when first asked for; outbound: from the beginning */
  struct ms__setup *setup; /* NULL once it is open */
  struct ms__source *source; /* inbound: whose address it is counted under */
  uint64_t id;
  bool server, open, has_key;
  bool handshaking;  /* its handshake is not over */
  bool lingers;      /* it has failed, and only its last words are on their way */
  bool counted;      /* it is counted against the limits */
  bool paid;         /* the page that it may ask for is counted already */
  bool answered;     /* it has asked for pages; with `events` an answer runs */
  uint32_t requests; /* so many */
  enum ms__use use;  /* what it is counted as, with `source` */
  uint8_t key[MS_KEY_BYTES];
};

/* Those in their handshakes, by age: the oldest first. */
struct ms__handshakes {
  struct ms__session *first, *last;
};

/* Turning away is told once a second at the most. */
struct ms__log_throttle {
  uint64_t told_at; /* msec; 0: never */
  uint64_t suppressed;
  const char *why; /* the last of these */
};

struct ms_ctx {
  struct ms__loop loop;
  ms_allocator allocator;
  struct ms__keys keys;
  ms_authorise_cb on_authorise;
  ms_wake_cb on_wake;
  void *user;
  uint32_t accept_msec, dial_msec;
  struct ms__stack **stacks; /* by number; NULL: gone. Read with ms__stack_at */
  size_t stack_count;

  const ms_server_events *events; /* NULL until ms_listen */
  void *events_user;
  size_t listening_due, listening_up; /* until ready_told */
  uv_timer_t timer;                   /* the deadline of closing */
  struct ms__soon starter;            /* are all ready? */
  uv_async_t wake;                    /* ms_ctx_wake */

  struct ms__session *sessions;
  struct ms_dialer *dialers;
  bool unlistened, ready_told, closing, done_told;
  void (*done)(ms_ctx *ctx, void *user);
  void *done_user;
  bool suspended, suspending; /* the latter until all has ended */
  void (*suspended_cb)(ms_ctx *ctx, void *user);
  void *suspended_user;
  struct ms__watch *watch; /* of the interfaces; NULL: nobody asks, or nothing listens */
  bool has_told;           /* `told` is set */
  uint8_t told[32];        /* a hash of the addresses that the application knows */

  /* a loop of its own (run.c) */
  uv_loop_t *own;      /* NULL: the loop is borrowed */
  bool running, freed; /* inside ms_ctx_run; ms_ctx_free was called in there */
  bool loop_closed;    /* nothing of the context's is in the loop any more */
  unsigned armed_seen; /* loop.armed when the loop last polled */

  struct ms__inherited_set inherited; /* descriptors that listen already */
  struct ms__limits limits;
  size_t inbound, handshaking;            /* sessions of peers; those in their handshakes */
  struct ms__handshakes silent, speaking; /* the latter have given us something to answer */
  struct ms__log_throttle throttle, probes;

  /* for ms_ctx_stat */
  uint64_t last_id; /* of a session */
  size_t open, pending, dials;
  uint64_t accepted, entered, answered, refused, failed, dialled, dial_failed;
  uint64_t over_connections, over_address, over_rate, over_pages, handshakes_evicted, probed,
      requests;
};

/* ---- a loop of the context's own (run.c) ---- */

/* 0, or an ms_code with *err. NULL is allowed when freeing; nothing may be left in the loop. */
int ms__own_loop_new(const ms_allocator *a, uv_loop_t **out, ms_error *err);
void ms__own_loop_free(const ms_allocator *a, uv_loop_t *loop);

/* The present, for a deadline: a loop knows only when it last polled, and its application may have
 * been busy since. */
uint64_t ms__ctx_now(struct ms_ctx *ctx);

/* ---- stacks (stack.c) ---- */

/* Copies keys. 0, or MS_ENOMEM with *err; what was kept is to be dropped all the same. */
int ms__keys_keep(struct ms__keys *keys, const ms_identity *identity, const uint8_t *network_key,
                  ms_error *err);
void ms__keys_drop(struct ms__keys *keys);

/* The stack of that number, or NULL when there is none (any more). */
struct ms__stack *ms__stack_at(const struct ms_ctx *ctx, size_t i);

/* Somebody uses it beside the list, or does not any more. */
void ms__stack_hold(struct ms__stack *stack);
void ms__stack_release(struct ms__stack *stack);

/* What has to be there before the stack of these sections is dialled. 0, MS_EINVAL or MS_ENOMEM
 * with *err. */
int ms__stack_prepare(struct ms__stack *stack, const ms_section *sections, ms_error *err);

/* Frees all. */
void ms__stacks_free(struct ms_ctx *ctx);

/* Is there a WebSocket in it? */
bool ms__stack_has_ws(const struct ms__stack *stack);

/* Does its address say where to listen? */
bool ms__stack_has_place(const struct ms__stack *stack);

/* Closing has perhaps come to its end. */
void ms__ctx_check_done(struct ms_ctx *ctx);

/* ---- sessions (session.c) ---- */

/* Why one that is slow was evicted. */
#define MS__EVICTED "it was slow, and made room for others"

/* A session for a connection to be, in the context's list; its keys are those of the stack. NULL:
 * no memory. */
struct ms__session *ms__session_new(struct ms__stack *stack, bool server);

/* Brings up the stack of these sections (the stack's own, or those of the address that is dialled)
 * on a connected wire, which is taken over. 0 or MS_ENOMEM; then the session is gone. */
int ms__session_bring_up(struct ms__session *session, struct ms__wire *wire,
                         const ms_section *sections, uint64_t deadline);

/* The peer's key in the i-th section is this. */
void ms__session_set_key(struct ms__session *session, size_t i, const uint8_t *key);

/* Ends one that is not open, and that the caller has counted. `why` stays valid. */
void ms__session_evict(struct ms__session *session, const char *why);

/* What the application knows of a connection. */
static inline const struct ms__session *ms__session_of(const ms_conn *conn) {
  return conn->owner;
}

/* Frees one that was never brought up. */
void ms__session_free(struct ms__session *session);

/* Somebody asks for a page (request.c), whose answer has left. */
void ms__session_asked(struct ms__session *session, const struct ms__question *q);
void ms__session_answered(struct ms__session *session);

/* ---- who comes (admission.c) ---- */

/* May one more peer come in? It is counted then, until ms__admission_leave. */
bool ms__admission_enter(struct ms__session *session);

/* One who was accepted may not come in, whoever it is. `why` stays valid. */
void ms__admission_refuse(struct ms_ctx *ctx, const char *why);

/* Who is behind a trusted proxy may be known now: false when that one has too many. */
bool ms__admission_name(struct ms__session *session);

/* It wants to be a WebSocket: asked wherever who it is or what it wants was not known when it came
 * in. False, and it is counted as turned away, when there are too many of its kind; or, with no
 * `evicted_for`, there is no memory. */
bool ms__admission_session(struct ms__session *session);

/* It asks for a page. TOO_MANY and TOO_FAST are counted. */
enum ms__verdict ms__admission_asks(struct ms__session *session);

/* It may ask for another. It makes room as a handshake does. */
void ms__admission_rests(struct ms__session *session);

/* Its handshake is over. Or it has failed, and it is the first to make room. */
void ms__admission_opened(struct ms__session *session);
void ms__admission_failed(struct ms__session *session);

/* It has come and gone without a word. */
void ms__admission_probed(struct ms__session *session, const char *address);

/* Nobody comes any more: what is suppressed of those turned away is told. */
void ms__admission_close(struct ms_ctx *ctx);

/* There are no descriptors: handshakes that have had their time give way, the silent ones before
 * any other. False: there are none. */
bool ms__admission_make_room(struct ms_ctx *ctx);

/* It is gone. */
void ms__admission_leave(struct ms__session *session);

/* ---- listening (listen.c) ---- */

/* Has ms_listen been called, and nothing undone it? */
bool ms__listening(const struct ms_ctx *ctx);

/* What its transport is asked for, but for the places. */
void ms__stack_request(struct ms__stack *stack, struct ms__listen_request *out);

/* Begins to listen, where the stack has a place: it will report. 0 or MS_ENOMEM. */
int ms__stack_start(struct ms__stack *stack);

/* Listens no more, and does not report any more. */
void ms__stack_stop(struct ms__stack *stack);

/* All of them. When starting fails, with MS_ENOMEM, none is started. */
int ms__stacks_start(struct ms_ctx *ctx);
void ms__stacks_stop(struct ms_ctx *ctx);

/* ---- what is advertised (advertise.c) ---- */

/* As ms_stringify; *whole is false when the interfaces could not be asked. */
size_t ms__advertise(const struct ms_ctx *ctx, enum ms_scope scope, char *buf, size_t size,
                     bool *whole);

/* ---- what changes in the addresses (address_watch.c) ---- */

/* They are told from now on, where somebody wants to hear of them. 0 or MS_ENOMEM. */
int ms__addresses_watch(struct ms_ctx *ctx);

/* The application knows those of now. */
void ms__addresses_known(struct ms_ctx *ctx);

/* They may have changed. */
void ms__addresses_changed(struct ms_ctx *ctx);

/* No more of it. */
void ms__addresses_unwatch(struct ms_ctx *ctx);

/* ---- dialling (dial/) ---- */

struct ms__attempt;

/* A layer of an attempt's is up. */
void ms__dial_layer_up(struct ms__attempt *attempt, const char *layer);

/* Its session is open, or has failed before it was. */
void ms__dial_open(struct ms__attempt *attempt, struct ms__session *session);
void ms__dial_failed(struct ms__attempt *attempt, const ms_error *err);

/* Every dial of the context is aborted. */
void ms__dial_abort_all(struct ms_ctx *ctx);

#endif
