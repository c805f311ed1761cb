/* A stack being pumped: a connection's layers, edges and ends. This is what the public ms_conn is.
 *
 * The owner (src/dial, src/endpoint) gives it a wire, which moves bytes for it, and events, which
 * it fires. Nothing here knows libuv: the wire is a vtable, time is an argument.
 *
 * A connection lives from ms__conn_new until its `gone` event. The public functions on it
 * (ms_conn_peek and so on) are in conn.c; they only change edges and flags and mark the connection
 * dirty. All work is done by ms__conn_turn. */
#ifndef MS_CONN_CONN_H
#define MS_CONN_CONN_H

#include "conn/alarms.h"
#include "conn/edge.h"
#include "layer/layer.h"

/* Bytes carried: between application and stack, between stack and transport. */
struct ms__counts {
  uint64_t in, out, wire_in, wire_out;
};

/* Connections that want a turn, oldest first. */
struct ms__queue {
  ms_conn *first, *last;
  size_t count;
};

/* What all connections of one loop share. */
struct ms__env {
  const ms_allocator *allocator;
  struct ms__pool pool;
  uint32_t drain_msec;
  uint32_t idle_msec; /* what a server's connection may be idle, open; 0: for ever */
  /* What a peer that was answered (MS__KEEP) has to begin another request, and to finish it. */
  uint32_t rest_msec, again_msec;
  uint64_t idled; /* those that were so for too long */
  /* Those that want a turn. Of the others, which have much to do, some are in their handshakes. */
  struct ms__queue dirty, handshaking, busy;
  uint64_t spent;          /* work done since the loop last polled (turns.c) */
  uint64_t began;          /* when the first of it was, by `clock`; 0: none yet */
  uint64_t (*clock)(void); /* nanoseconds; NULL: none */
  ms_conn *holders_first,
      *holders_last;        /* those that hold buffers between two turns (eviction.c) */
  uint64_t starved;         /* so many of these had to go */
  uint64_t now;             /* of the last turn of any, msec */
  struct ms__counts counts; /* of all connections there ever were */
  struct ms__alarms alarms; /* of connections */
  bool ringing;             /* in ms__env_ring, which says at its end what is due */
  void *user;               /* of the next two */
  /* Called when the first connection wants a turn: the loop shall run ms__env_run before it polls,
   * and not wait in that. */
  void (*schedule)(struct ms__env *env);
  /* ms__env_ring is to be called at this time, whatever was asked for before (MS__NEVER: not at
   * all). */
  void (*alarm)(struct ms__env *env, uint64_t at);
};

void ms__env_init(struct ms__env *env, const ms_allocator *allocator, uint32_t largest_block);

/* No connection may be left. */
void ms__env_done(struct ms__env *env);

/* To be called before the loop polls: gives a turn to every connection that wants one now and has
 * little to do, and a share of the loop's time to those that have much. True when some wait still.
 */
bool ms__env_run(struct ms__env *env, uint64_t now);

/* When the first of the connections wants to be woken; MS__NEVER. */
static inline uint64_t ms__env_due(const struct ms__env *env) {
  return env->alarms.first ? env->alarms.first->at : MS__NEVER;
}

/* Gives a turn to those whose time has come, and a share of the loop's time to all of them. Those
 * that are left are due at once. */
void ms__env_ring(struct ms__env *env, uint64_t now);

static inline bool ms__env_waits(const struct ms__env *env) {
  return env->dirty.first || env->handshaking.first || env->busy.first;
}

/* What a wire is like; the pump takes it for a layer below layer 0. */
enum ms__wire_flags {
  MS__WIRE_NO_HALF = 1 /* one side's end asks for the other's, as with MS__NO_HALF */
};

/* The wire: moves bytes between the network and the lowest edges. What it has to say of its own it
 * says from the loop: it calls ms__conn_read_room, ms__conn_read_done and then one turn
 * (ms__conn_run). None of these operations calls the connection. The implementation is freed by its
 * own `close`, whenever it is ready. */
struct ms__wire {
  const struct ms__wire_ops *ops;
  unsigned flags; /* of ms__wire_flags */
};

struct ms__wire_ops {
  /* From now on it moves bytes for this connection. */
  void (*attach)(struct ms__wire *w, ms_conn *c);
  /* Writes at once what can be written: the count (0: would block), or a negative errno. */
  ptrdiff_t (*write)(struct ms__wire *w, const uint8_t *p, size_t n);
  /* Takes a block over (it copies *flight, whose bytes are then its own to give back to the pool)
   * and writes it in time; ms__conn_sent follows, once, unless the wire is closed before. 0 or a
   * negative errno, and then the block stays the connection's. */
  int (*send)(struct ms__wire *w, const struct ms__edge *flight);
  /* Ends our direction after all that was written. */
  void (*fin)(struct ms__wire *w);
  /* Reads at once what is there: the count, 0 for the end, or a negative errno (-EAGAIN: nothing
   * is). Asked for the rest where the connection was told ms__conn_has_more, or has not let the
   * wire read (ms__conn_may_read). */
  ptrdiff_t (*read)(struct ms__wire *w, uint8_t *p, size_t n);
  /* Starts or stops reading. */
  void (*reading)(struct ms__wire *w, bool on);
  /* A turn has seen to what was read. `inside`: that ends inside a frame or a handshake, the peer
   * has more to send. NULL: no matter. */
  void (*seen)(struct ms__wire *w, bool inside);
  /* How many bytes of what was written the other side has not taken: TCP's has not acknowledged
   * them, a unix socket's reader has not read them (SIZE_MAX: some, and nobody knows how many). Our
   * FIN is none of them. It can still be asked after a reset. */
  size_t (*untaken)(struct ms__wire *w);
  /* A negative errno: the other side is gone, both ways. 0: not as far as the system knows. Where
   * nothing is read any more, nothing else tells. */
  int (*lost)(struct ms__wire *w);
  /* Notices a peer that is gone without a word after about so many msec (UINT32_MAX: never). 0 or a
   * negative errno. NULL: the other side's end is told at once. */
  int (*keep)(struct ms__wire *w, uint32_t msec);
  /* The smoothed time to the other side and back, in microseconds; 0: not known. NULL: never. */
  uint32_t (*rtt)(const struct ms__wire *w);
  /* The descriptor under it, or -1. NULL: it has none. */
  int (*fd)(const struct ms__wire *w);
  /* Closes; `reset` where the transport can. No call of the connection's from now on. */
  void (*close)(struct ms__wire *w, bool reset);
};

/* What a connection tells its owner, always from a turn. */
struct ms__events {
  /* A layer asks. Answer with ms__conn_answer, now or later; the bytes are valid in here only. */
  void (*question)(ms_conn *c, const struct ms__question *q);
  void (*layer_up)(ms_conn *c, const struct ms__layer *layer); /* this one is up; may be NULL */
  void (*open)(ms_conn *c);                                    /* all are */
  void (*readable)(ms_conn *c);
  void (*end)(ms_conn *c);
  void (*writable)(ms_conn *c);
  /* What was answered with MS__KEEP has left, and the peer may ask again; may be NULL where no
   * layer says that. */
  void (*answered)(ms_conn *c);
  void (*close)(ms_conn *c, const ms_error *err); /* the last but `gone`; err NULL: clean */
  /* The connection has lingered to its end and is freed when this returns. */
  void (*gone)(ms_conn *c);
};

/* One layer in place. */
struct ms__slot {
  const struct ms__layer *layer;
  const void *opts;
  void *state, *scratch;
  uint64_t wake;
  /* the edges' change counts after the last handshake or decode, and after the last encode */
  uint32_t seen_in, seen_up, seen_app, seen_out;
  uint32_t in_left, out_left; /* the room that a FULL step left unused */
  uint32_t charged;           /* bytes of a library's that count as buffers */
  enum ms__step last_in : 8;  /* without WANT_ENCODE */
  enum ms__step last_out : 8;
  bool started : 1;   /* init has succeeded */
  bool stepped : 1;   /* handshake or decode has run since it was its turn */
  bool run_again : 1; /* run encode (or handshake) although nothing changed */
  bool asked : 1;     /* a question stands */
  bool fed : 1;       /* its handshake has been shown a byte */
  bool done : 1;      /* the peer's end has come through this layer */
  bool ended : 1;     /* our end has gone through this layer */
};

/* Why it is over; the first cause wins. */
struct ms__cause {
  int sys;
  int16_t code; /* 0: none */
  enum ms_phase phase : 8;
  const char *layer; /* NULL: none */
  char *why;         /* what the layer has to say, in memory of the environment's, or NULL */
};

/* What a connection holds of one direction between two turns. Times and counts are their low bits:
 * only differences matter. */
struct ms__hold {
  uint32_t held;   /* bytes of blocks */
  uint32_t since;  /* msec: since then it has let less through than it holds; with `held` */
  uint32_t passed; /* so many bytes had got through then */
};

enum ms__deadline { MS__NO_DEADLINE, MS__ATTEMPT, MS__IDLENESS, MS__REPLY, MS__DRAIN };

struct ms_conn {
  struct ms__env *env;
  struct ms__wire *wire; /* NULL once cut */
  const struct ms__events *events;
  void *owner; /* the events' */
  ms_conn *prev_dirty, *next_dirty;
  ms_conn *prev_holder, *next_holder; /* with `holds` */

  struct ms__slot *slots;       /* n of them, from the network */
  struct ms__edge *in, *out;    /* n + 1 each */
  struct ms__question question; /* to be told, when kind is not 0 */

  int8_t end_layer; /* the highest layer with HAS_END, or -1: "a" */
  int8_t failed_at; /* the layer that failed, -1: the transport; with `failed` */
  int8_t cut;       /* 0, or an ms_code: how the peer left below the end layer */
  uint8_t n, up;    /* layers; those whose handshake is over */
  uint8_t aside;    /* while an answer runs that keeps the connection: layers that stand aside */
  uint8_t looks;    /* in vain for what the other side has taken */
  enum ms__deadline deadline_of : 8;
  uint64_t whole_at;  /* with `aside`: counts.out when the answer is whole */
  uint64_t now;       /* of the running turn, or the last */
  uint64_t deadline;  /* of what `deadline_of` says */
  uint64_t until;     /* it is closed then; MS__NEVER */
  uint64_t armed;     /* what the alarm was last set to */
  uint32_t end_from;  /* where on the wire our end begins; the low bits */
  uint32_t need;      /* on_readable waits for so much */
  uint32_t idle_msec; /* how long it may carry nothing once it is open; 0: for ever */
  uint32_t read_seen; /* in[n].changes when readable last fired */
  uint32_t charged;   /* bytes of all its layers' that count as buffers */
  uint64_t opened_at; /* with `opened` */
  uint64_t seen;      /* bytes when the deadline was armed: carried with MS__IDLENESS, written with
                       * MS__REPLY, taken by the other side with MS__DRAIN */
  uint64_t look_at;   /* when to ask whether the peer is there, and what it has heard (heard.c) */
  struct ms__counts counts;
  struct ms__hold in_hold, out_hold;
  uint32_t flight, flight_len; /* the size of the block that the wire has, and what is in it */

  struct ms__cause cause;
  struct ms__alarm alarm;

  bool server : 1;
  bool apart : 1; /* slots and edges have a block of their own: some of them go (MS__SETUP) */
  bool in_turn : 1, progress : 1;
  bool dirty : 1;       /* it is in one of the environment's queues, */
  bool busy : 1;        /* in which; with `dirty` */
  bool handshaking : 1; /* with `busy`: it is in that of the handshakes */
  bool more : 1;        /* the wire has probably more to read */
  bool fed : 1;         /* it has read something since the last turn */
  bool short_of : 1;    /* of a buffer that is about to come; with `in_turn` */
  bool flying : 1;      /* the wire has a block */
  bool holds : 1;       /* it is among the environment's holders */
  bool unread : 1; /* what it has read waits for the application, and that does not wait for it */
  bool opened : 1; /* `open` was fired */
  bool answer_pending : 1; /* a question was told and is not answered: the application still holds
                              us */
  bool messages : 1, top_granted : 1;
  bool proved : 1; /* a handshake has shown who we are */
  bool closing : 1, aborted : 1, detached : 1, failed : 1;
  bool reset_on_shutdown : 1; /* ms_conn_set_reset_on_shutdown: a part must not be taken for it */
  bool broken : 1;            /* our end is no clean one (ms_conn_fail); with `closing` */
  bool said_all : 1;          /* with `aside`: the application has closed */
  bool resting : 1;           /* answered, and not a byte of another request has come */
  bool silent : 1;            /* with `failed`: the layer in its handshake heard no byte */
  bool implied : 1;           /* our end came from the peer's: later writes are EPIPE */
  bool short_write : 1;       /* `writable` is owed */
  bool write_over : 1, unsent : 1; /* the wire takes no more; something was lost by it */
  bool heard : 1;                  /* the other side has taken all that was before our end */
  bool end_sent : 1; /* the end layer's end has been taken by the wire, and all before it */
  bool fin_sent : 1, eof : 1; /* FIN out, FIN in */
  bool in_end : 1;            /* the peer's clean end has come */
  bool end_told : 1, close_told : 1;
  bool finished : 1; /* `close` may be fired */
  bool said : 1;     /* a failing layer had last words */
  bool drained : 1;  /* the drain deadline was armed */
  bool reading : 1;
  bool read_first : 1;  /* the application reads what came before it hears of a failure */
  bool reset_waits : 1; /* in the place of our end, for what it would take back */
  bool deferred : 1;    /* a failure waits for what came before it to be read: */
  int8_t deferred_at;   /* its layer, or -1 */
  int8_t deferred_code; /* an ms_code */
  int16_t deferred_sys; /* an errno, or 0 */
};

/* One layer to stand on the others. */
struct ms__layer_spec {
  const struct ms__layer *layer;
  const void *opts; /* valid until `gone` */
};

/* A connection over a wire, which it owns from now on (also when this fails). `deadline` is when
 * the attempt is over, absolute. The first turn is due at once. NULL when there is no memory; the
 * wire is closed then. */
ms_conn *ms__conn_new(struct ms__env *env, struct ms__wire *wire, bool server,
                      const struct ms__layer_spec *specs, size_t n, uint64_t deadline,
                      const struct ms__events *events, void *owner);

/* Runs the connection; frees it when it is over. Never called inside itself. */
void ms__conn_turn(ms_conn *c, uint64_t now);

/* The same from the wire, which has moved so many bytes: now, or when it is the connection's turn.
 */
void ms__conn_run(ms_conn *c, uint64_t now, size_t bytes);

/* Whatever is topmost carries bytes, not messages. Before the first turn only. */
void ms__conn_as_stream(ms_conn *c);

/* How much the wire may read at most when the loop says that there is something; 0: nothing, its
 * turn comes. */
size_t ms__conn_may_read(ms_conn *c);

/* What was there to read has filled the room there was: `read` will be called for the rest. To be
 * called before the turn. */
static inline void ms__conn_has_more(ms_conn *c) {
  c->more = true;
}

/* The wire is about to read: where to. n is 0 when there is no memory: then ms__conn_read_done is
 * told -ENOMEM. */
struct ms__dst ms__conn_read_room(ms_conn *c);

/* The wire has read n bytes; 0: end of the transport; negative: an errno (-ENOMEM: it may be asked
 * to read again all the same). Then call a turn. */
void ms__conn_read_done(ms_conn *c, ptrdiff_t n);

/* The block that `send` took has left, or failed with an errno (negative). Then call a turn. */
void ms__conn_sent(ms_conn *c, int status);

/* From `now` on it may carry nothing for so long (0: for ever); it is closed at that time, at the
 * latest (MS__NEVER: it is not). Both as soon as it is open, or an answer has begun, with which
 * they end. */
void ms__conn_set_idle(ms_conn *c, uint32_t msec, uint64_t now);
void ms__conn_set_until(ms_conn *c, uint64_t at);

/* While it is not open yet: its deadline is now, and it fails in the next turn. */
void ms__conn_expire(ms_conn *c);

/* One that was answered before is not wanted any more: our end, unless an answer runs. */
void ms__conn_dismiss(ms_conn *c);

/* Cuts one that lingers after its `close`, in the next turn. */
void ms__conn_kill_lingering(ms_conn *c);

/* Answers the question that stands. 0, or MS_ESTATE when there is none (any more). A connection
 * that has told a question is not gone before it is answered, or forgotten. */
int ms__conn_answer(ms_conn *c, const struct ms__answer *answer);

/* What it has carried, by the time `now`. */
void ms__conn_stat(const ms_conn *c, uint64_t now, ms_conn_stats *out);

/* As ms_conn_abort, but for our own reasons: what was asked is still to be answered. */
void ms__conn_evict(ms_conn *c);

/* The same with another cause than MS_EABORTED. */
void ms__conn_evict_for(ms_conn *c, int code, const char *why);

/* The question will not be answered. */
void ms__conn_forget_question(ms_conn *c);

/* ---- Inside the stack: what conn.c, pump.c and ends.c share ---- */

/* Adds to one of the counts, here and in the environment. */
#define MS__COUNT(c, what, n)     \
  do {                            \
    (c)->counts.what += (n);      \
    (c)->env->counts.what += (n); \
  } while (0)

/* Asks for a turn, or does not want it any more (turns.c). */
void ms__conn_mark(ms_conn *c);
void ms__conn_unmark(ms_conn *c);

/* It is to have a turn at this time, or not at all (MS__NEVER). */
void ms__conn_set_alarm(ms_conn *c, uint64_t at);

/* Asks for a turn before all that have much to do. */
void ms__conn_hurry(ms_conn *c);

/* Work was done for somebody. */
void ms__env_spend(struct ms__env *env, size_t bytes);

/* A share of a turn of the loop begins; what is left to do then waits for another. */
void ms__env_begin_share(struct ms__env *env);
bool ms__env_share_is_over(const struct ms__env *env);

/* Others have waited for long enough. */
bool ms__env_is_spent(const struct ms__env *env);

/* What a turn is made of (pump.c): what is due by the clock; up, events and down, once; and what it
 * leaves behind. */
void ms__conn_on_time(ms_conn *c);
void ms__conn_round(ms_conn *c);
void ms__conn_settle(ms_conn *c);

/* Acts on what the handshake or answer of layer i returned. */
void ms__handshake_result(ms_conn *c, size_t i, int result, const struct ms__port *port);

/* The wire has this block from now on, or not any more (eviction.c). */
void ms__hold_write_blocked(ms_conn *c, const struct ms__edge *flight);
void ms__hold_write_unblocked(ms_conn *c);

/* Takes note of what it holds when a turn is over; it is not among the holders any more. */
void ms__conn_note_holds(ms_conn *c);
void ms__conn_holds_nothing(ms_conn *c);

/* Buffers have run short: cuts whoever has held most for longest until so many bytes can be had,
 * and some to spare in a moment. `asks` is who needs them, and stays. False: they cannot. */
bool ms__env_make_room(struct ms__env *env, const ms_conn *asks, size_t bytes);

/* There was no room for so many bytes, but those that had to go give them back in their next turn,
 * which is before another of this one: it waits for that. False: there is nothing to wait for. */
bool ms__conn_waits(ms_conn *c, size_t bytes);

/* So many bytes of a library's count as this layer's from now on, others may have to go for them.
 * False: there are none to be had, and none count. */
bool ms__conn_charge(ms_conn *c, struct ms__slot *s, uint32_t bytes);

/* As ms__edge_open, for an edge of this connection's; others may have to go for it. */
bool ms__conn_open_edge(ms_conn *c, struct ms__edge *e, size_t room);

/* The same for what cannot wait: the pool is beyond its limit until those others have had their
 * next turn, by no more than they give back in it. */
bool ms__conn_open_edge_at_once(ms_conn *c, struct ms__edge *e, size_t room);

/* The deadline is that of idleness, where there is one. */
void ms__conn_arm_idleness(ms_conn *c);

/* Takes layer i out and all above: what the application writes goes to the edge below (keep.c). */
void ms__conn_detach(ms_conn *c, size_t i);

/* The same until so many bytes have been written and the application has closed. */
void ms__conn_stand_aside(ms_conn *c, size_t i, uint64_t length);

/* The application closes: true when that ends an answer and not the connection. */
bool ms__conn_ends_answer(ms_conn *c);

/* The answer ends the connection after all. */
void ms__conn_keep_no_more(ms_conn *c);

/* Layers that stand aside come back when the answer has left. */
void ms__conn_come_back(ms_conn *c);

/* The peer's end, below the end layer, is ours as well: what has no half-close has said it. */
void ms__conn_imply_end(ms_conn *c);

/* Gives the edges their capacities, which only grow. */
void ms__conn_size_edges(ms_conn *c);

/* The layers that have taken themselves out take no memory any more; if there is some to copy the
 * others to. Moves slots and edges. */
void ms__conn_pack(ms_conn *c);

/* Layer k has failed (-1: the transport); the first failure wins. `sys`: an errno, or 0. */
void ms__conn_fail(ms_conn *c, int k, int code, int sys);

/* The same for what was met in reading: what came before it has its turn in the layers above, and
 * is read by an application that wants to (ms_conn_set_read_first). Until then layer k and those
 * below read no more. */
void ms__conn_fail_in_order(ms_conn *c, int k, int code, int sys);

/* Lets such a failure happen once nothing is before it. */
void ms__conn_fail_deferred(ms_conn *c);

/* ---- What the other side has taken (heard.c) ---- */

/* Bytes that the other side has taken, as far as the transport can tell. What the transport keeps
 * with them may count, so that only a difference means something. */
uint64_t ms__conn_taken(const ms_conn *c);

/* The next byte on the wire is of our end. */
void ms__conn_end_begins(ms_conn *c);

/* Has all been taken that we had to say, but for our end itself? False while that is not out. */
bool ms__conn_heard(ms_conn *c);

/* Has all been taken that a reset would take back? Where an end is withheld, it waits for that. */
bool ms__conn_may_reset(ms_conn *c);

/* Sets the time to ask again, where that is of use; asks when it has come. */
void ms__conn_set_look(ms_conn *c);
void ms__conn_look(ms_conn *c);

/* ---- Ends ---- */

/* The wire takes no more. */
void ms__conn_write_failed(ms_conn *c);

/* The wire has taken all there was: has the end layer's end been part of it? */
void ms__conn_note_end_sent(ms_conn *c);

/* It has carried nothing for too long, or has had its time: a goodbye, unless what it carries is
 * one piece, and then MS_ETIMEDOUT. */
void ms__conn_close_idle(ms_conn *c);
void ms__conn_close_late(ms_conn *c);

/* Closes the wire for good, and gives back what was to be written; or the former alone. */
void ms__conn_cut(ms_conn *c, bool reset);
void ms__conn_close_wire(ms_conn *c, bool reset);

/* Sets the drain deadline once there is a reason; acts when it has passed. */
void ms__conn_arm_drain(ms_conn *c);
void ms__conn_drain_is_over(ms_conn *c);

/* After an end that has no half-close, the application has as long for the last it writes as a
 * closing connection has, while nothing of it moves; then the peer is told that it is not whole. */
void ms__conn_arm_reply(ms_conn *c);
void ms__conn_reply_is_late(ms_conn *c);

/* Fires `close` once there is a reason. */
void ms__conn_tell_close(ms_conn *c);

/* Nobody's any more, and nothing left to say or to wait for? Then it is freed. */
bool ms__conn_is_over(const ms_conn *c);
void ms__conn_free(ms_conn *c);

/* Wipes and frees a layer's state, or its scratch memory only. */
void ms__slot_free(ms_conn *c, struct ms__slot *s);
void ms__wipe_scratch(ms_conn *c, struct ms__slot *s);

/* Has the application a stream of it: is it open, or is a question being answered? */
static inline bool ms__conn_carries(const ms_conn *c) {
  return c->opened || c->detached || c->aside;
}

/* What comes in is nobody's any more. */
static inline bool ms__conn_discards(const ms_conn *c) {
  return c->closing || c->detached || c->failed || c->close_told;
}

#endif
