/* The pump on a libuv loop: one prepare handle runs what is dirty before the loop polls. */
#ifndef MS_LOOP_LOOP_H
#define MS_LOOP_LOOP_H

#include <uv.h>

#include "conn/conn.h"

/* Something to do soon: from the loop, before it polls, and not from where it was asked for. All
 * zero at first; its memory is the caller's. */
struct ms__soon {
  void (*run)(struct ms__soon *soon); /* NULL: it is not due */
  struct ms__soon *prev, *next;
};

/* What a transport owns once in a loop, and shares between its wires: made when it is first needed,
 * closed with the context. */
struct ms__endpoint {
  const void *of; /* whose: only its transport knows what it is */
  void (*close)(struct ms__endpoint *endpoint);
  struct ms__endpoint *next;
};

struct ms__loop {
  struct ms__env env;
  uv_loop_t *uv;
  uv_prepare_t prepare; /* runs the connections that want a turn */
  struct ms__soon *soon_first, *soon_last;
  size_t soon_count;
  uv_idle_t idle;   /* while some do the loop does not wait in its poll */
  uv_timer_t alarm; /* the first of the connections' */
  size_t pending;   /* wires, listeners and look-ups that libuv has not let go of yet */
  size_t wires;     /* of these, wires */
  unsigned armed;   /* raised when libuv is asked to watch something it polls only from now on */
  int handles;      /* of these three, open */
  uint64_t pauses;  /* times a listener had to wait for descriptors */
  void (*on_released)(struct ms__loop *loop); /* `pending` is one less; may be NULL */
  void (*on_closed)(struct ms__loop *loop);   /* after ms__loop_close */
  /* A listener has to wait for descriptors. True: some come back at once. May be NULL. */
  bool (*on_pause)(struct ms__loop *loop);
  ms_resolve_cb on_resolve;       /* NULL: the system's */
  struct ms_resolving *questions; /* asked and not answered */
  struct ms__lookups *lookups;    /* the system's resolver (loop/lookups.c); NULL: not used yet */
  struct ms__endpoint *endpoints;
  ms_log_cb on_log; /* NULL: none */
  enum ms_log_level log_level;
  void *user; /* for the last two hooks */
};

/* Shall such a line be made at all? */
static inline bool ms__loop_logs(const struct ms__loop *loop, enum ms_log_level level) {
  return loop->on_log && level <= loop->log_level;
}

/* A line for the log; nothing secret. */
void ms__loop_log(const struct ms__loop *loop, enum ms_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* `block`: the size of the largest buffer, MS__BLOCK or less. 0 or a negative errno. */
int ms__loop_init(struct ms__loop *loop, uv_loop_t *uv, const ms_allocator *allocator,
                  uint32_t block);

/* Closes the handles; on_closed comes from the loop. Nothing may be pending. */
void ms__loop_close(struct ms__loop *loop);

/* Has `run` called once, after all that were asked for before. One that is due already stays where
 * it is. */
void ms__soon(struct ms__loop *loop, struct ms__soon *soon, void (*run)(struct ms__soon *soon));

/* It is not called any more; nothing where it was not due. */
void ms__soon_cancel(struct ms__loop *loop, struct ms__soon *soon);

/* The one of this owner, or NULL; adds one; closes all. */
struct ms__endpoint *ms__endpoint_find(const struct ms__loop *loop, const void *of);
void ms__endpoint_add(struct ms__loop *loop, struct ms__endpoint *endpoint);
void ms__endpoints_close(struct ms__loop *loop);

/* Something that libuv must let go of begins, or has ended. */
void ms__loop_hold(struct ms__loop *loop);
void ms__loop_release(struct ms__loop *loop);

#endif
