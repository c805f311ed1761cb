/* Two connections, the wires between them, a clock, and applications that check what they see.
 *
 * A world is made of a seed alone (world_make), run by a scheduler (world_run) and judged. The
 * first thing found wrong is kept as a text; the seed repeats it. */
#ifndef TEST_STACK_WORLD_H
#define TEST_STACK_WORLD_H

#include <sys/socket.h>

#include "base/identity.h"
#include "failing_memory.h"
#include "fake_wire.h"
#include "toys.h"

enum { FLOORS_MAX = 5 };

enum mode {
  WHOLE,      /* both directions to their ends */
  SLOW,       /* the same; applications read only when nothing else can happen */
  CLOSE,      /* one side closes, from outside or in its n-th callback */
  ABORT,      /* the same, aborts */
  BROKEN,     /* the same, has failed */
  FIN_AT,     /* a FIN after byte k */
  RST_AT,     /* a reset after byte k */
  UNANSWERED, /* the question is never answered */
  REFUSED,    /* it is answered with no */
  PLAIN,      /* an HTTP request that is no upgrade */
  NO_MEMORY,  /* the n-th allocation fails, once or from then on */
  FLIPPED,    /* a bit of byte k is turned */
  SPOILED,    /* a layer of the peer's breaks its protocol */
  MODES
};
extern const char *const mode_names[MODES];

struct world;

/* What an application does, and has seen. */
struct app {
  uint64_t to_send, accepted, received;
  uint64_t sent_messages, message_sent; /* whole messages written; bytes of the next */
  uint64_t got_messages, message_got;
  size_t message_next;                 /* length of the message being written */
  unsigned callbacks, act_in_callback; /* 0: never */
  uint64_t act_after; /* bytes received or accepted before it closes or aborts from outside */
  bool waits_for_end; /* ends only after the peer has */
  bool late;          /* answers later */
  bool lazy;          /* reads nothing in callbacks */
  bool opened, asked, asked_head, answered, blocked, ended, closed, broken, aborted, end_seen,
      close_seen, gone;
  bool reply_checked;
  int error;
};

struct side {
  struct world *world;
  bool server;
  struct ms__env env;
  struct fake_wire wire;
  struct fake_queue rx;
  ms_conn *conn;
  struct ms__layer_spec specs[FLOORS_MAX];
  size_t n;
  size_t bound; /* of the pool, by the capacities */
  struct app app;
};

struct world {
  uint64_t seed;
  struct rng rng;
  enum mode mode;
  const char *wrong; /* the first thing found wrong */
  bool verbose;
  uint64_t now, steps, step_limit;
  struct side sides[2]; /* client, server */
  struct toy_opts toys;
  struct ms__shs_opts shs[2];
  struct ms__http_opts http;
  struct ms__proxy_opts proxy;
  union ms__inet peer; /* as proxy has it */
  struct ms__ws_opts ws;
  struct ms__tls_opts tls[2];
  ms_identity identities[2];
  uint32_t block;
  bool secure;     /* a flipped byte must be noticed */
  bool ends_below; /* plain: the client's stack has an end of its own */
  bool yes;        /* the answer to a plain request */
  struct failing_memory memory;
};

/* Chooses everything from the seed. */
void world_make(struct world *w, uint64_t seed);

/* One line of what was chosen. */
void world_describe(const struct world *w, char *buf, size_t size);

/* Runs until nothing can happen, then judges. True: nothing is wrong. Frees everything. */
bool world_run(struct world *w);

/* Frees one that is not run. */
void world_free(struct world *w);

/* Keeps the first. */
void world_blame(struct world *w, const char *what);

/* ---- The applications ---- */

extern const struct ms__events app_events;

struct side *world_peer(const struct side *s);

/* May the application do something of itself, and does it. */
bool app_can_act(const struct side *s, bool quiet);
void app_act(struct side *s, bool quiet);

/* What must be true at the end, of one side. */
void app_judge(struct side *s);

#endif
