/* A dial, inside: its targets, and the attempts that race for it. Its life and the public face
 * stand in dial.c, the order of attempts in race.c, one attempt in attempt.c. */
#ifndef MS_DIAL_DIAL_H
#define MS_DIAL_DIAL_H

#include "endpoint/ctx.h"

enum {
  MS__IN_FLIGHT = 8,      /* attempts at the same time */
  MS__ATTEMPTS = 64,      /* attempts of one dial */
  MS__ATTEMPT_TEXT = 1152 /* what is told of one: an address and a place */
};

/* One alternative and the stack that understands it. */
struct ms__target {
  struct ms_dialer *dialer;
  const ms_alternative *alternative;
  struct ms__stack *stack;
  size_t index;                /* in the address */
  const uint8_t *key;          /* whom it reaches, or NULL */
  bool refused;                /* its key has refused us at this host and port */
  void *opts;                  /* of its transport, as this dial has them; NULL: none */
  bool asked;                  /* its places are being looked up, or known */
  struct ms_resolving *lookup; /* more of them may follow; NULL: that is over */
  struct ms__attempt *waiter;  /* for the first of them */
  struct ms__places places;
  size_t next;  /* of them */
  size_t tried; /* attempts that have begun */
};

/* One place of one target, from its look-up to its whole stack up. Kept to the end of the dial, for
 * whoever asks what has happened. */
struct ms__attempt {
  struct ms__attempt *next;
  struct ms_dialer *dialer;
  struct ms__target *target;
  unsigned number; /* from 1 */
  struct ms__place place;
  struct ms__connecting *connecting; /* to it */
  struct ms__session *session;       /* bringing up its stack */
  uint64_t begun, at;                /* by the loop's clock: its beginning, its last step */
  uint64_t again;                    /* when it is to connect once more; 0: not */
  bool expired;                      /* its time is over, and its session about to fail */
  bool early;                        /* it makes room for another */
  enum ms_step step;                 /* the last */
  char layer[16];                    /* with it */
  ms_error error;                    /* with MS_STEP_FAILED */
};

struct ms_dialer {
  struct ms_dialer *prev, *next;
  struct ms_ctx *ctx;
  ms_dialled_cb on_dialled;
  ms_attempt_cb on_attempt;
  void *user;
  ms_addr *addr;
  struct ms__target *targets; /* the preferred first */
  size_t count;
  struct ms__attempt *first, **last; /* a list */
  unsigned attempts, in_flight;      /* those that have begun; those that run */
  uint64_t begun, deadline;
  uint64_t next_at; /* when the next attempt may begin */
  uint32_t stagger_msec;
  ms_identity *identity; /* in the place of the stacks'; NULL: none */
  enum ms_security security;
  uv_timer_t step, timeout;
  int handles;
  bool over, aborted;
  bool passed_over; /* ms__dial_pass_over has told */
  char shown[MS__ATTEMPT_TEXT];
};

/* ---- Its life (dial.c) ---- */

/* The one callback. `conn` or `err`. */
void ms__dial_finish(struct ms_dialer *d, ms_conn *conn, const ms_error *err);

/* Tells of the alternatives that are not tried at all, before the first attempt. False: the dial
 * was given up meanwhile. */
bool ms__dial_pass_over(struct ms_dialer *d);

/* An error of the dial as a whole: its address without seeds. */
void ms__dial_error(const struct ms_dialer *d, int code, enum ms_phase phase, ms_error *err);

/* ---- The race (race.c) ---- */

/* Something has changed: the next step comes from the loop. */
void ms__race_go_on(struct ms_dialer *d);

/* An attempt has failed: the next need not wait. */
void ms__race_lost(struct ms_dialer *d, const struct ms__attempt *a);

/* The deadline has passed. */
void ms__race_timeout(struct ms_dialer *d);

/* The step timer's. */
void ms__race_step(uv_timer_t *timer);

/* ---- Targets (target.c) ---- */

/* A peer has refused us `at` a place of the target `by` (which may be the same as `t`). Where `t`
 * means the same key, it is not tried at the same host and port (or path) any more, nor, where
 * names are not told to the server, at the same network address under another name. */
void ms__target_refused(struct ms__target *t, const struct ms__target *by,
                        const struct ms__place *at);

/* ---- Attempts (attempt.c) ---- */

/* Begins one at the target's next place. */
void ms__attempt_begin(struct ms__target *t);

/* The peer had no room for it: once more. */
void ms__attempt_again(struct ms__attempt *a);

/* Has it neither failed nor won? */
bool ms__attempt_runs(const struct ms__attempt *a);

/* It has failed: tells, and the race goes on. */
void ms__attempt_fail(struct ms__attempt *a, const ms_error *err);

/* Lets go of what it holds, and tells nobody. */
void ms__attempt_drop(struct ms__attempt *a);

/* Tells that it is not needed any more. */
void ms__attempt_dropped(struct ms__attempt *a);

/* What is told of it, in the dialer's `shown`. */
void ms__attempt_show(const struct ms__attempt *a, ms_attempt *out);

#endif
