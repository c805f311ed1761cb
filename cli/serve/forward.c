/* serve --forward ADDRESS: a bridge between any two stacks. Each side stops reading when the other
 * does not take what was read; ends are carried over one by one, and a failure of one side is one
 * of the other, once it has had what came before. Whoever is left over ends, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

/* How long a side whose other side has left in peace may take to end without another byte. */
enum { LEFT_OVER_MSEC = 5000 };

/* How long a peer waits for a dial that fails, unless --retry-for says. */
enum { RETRY_MSEC = 5000 };

struct bridges {
  struct cli_serving *serving;
  uint32_t retry_msec; /* --retry-for; 0: not given */
  struct bridge *first;
};

struct bridge;

struct side {
  struct bridge *bridge;
  struct side *other;
  ms_conn *conn;            /* NULL: not yet, or no more */
  struct cli_linger linger; /* of our end to it */
  bool ended;               /* its peer has ended */
};

struct bridge {
  struct bridges *all;
  struct bridge *prev, *next;
  struct side in, out;
  char *peer; /* where it is, for lines; NULL: no memory */
  ms_dialer *dialer;
  struct cli_retry retry; /* of the dial, as long as it has never opened */
  uv_timer_t patience;    /* with the one that is left over */
  int timers;             /* open */
  char cause[520];        /* what has failed at the far side, or "" */
  bool told;              /* the first failure: what it makes fail is no other */
};

static struct cli_report *report_of(const struct bridge *b) {
  return b->all->serving->report;
}

static bool is_dialling(const struct bridge *b) {
  return b->dialer || b->retry.waits;
}

static void timer_closed(struct bridge *b) {
  if (--b->timers > 0) return;
  free(b->peer);
  free(b);
}

static void on_patience_closed(uv_handle_t *handle) {
  timer_closed(handle->data);
}

static void on_linger_closed(uv_handle_t *handle) {
  const struct cli_linger *l = handle->data;
  timer_closed(((struct side *)l->user)->bridge);
}

static void on_retry_closed(uv_handle_t *handle) {
  const struct cli_retry *r = handle->data;
  timer_closed(r->user);
}

static void free_if_over(struct bridge *b) {
  if (b->in.conn || b->out.conn || is_dialling(b)) return;
  *(b->prev ? &b->prev->next : &b->all->first) = b->next;
  if (b->next) b->next->prev = b->prev;
  uv_close((uv_handle_t *)&b->retry.timer, on_retry_closed);
  uv_close((uv_handle_t *)&b->patience, on_patience_closed);
  uv_close((uv_handle_t *)&b->in.linger.timer, on_linger_closed);
  uv_close((uv_handle_t *)&b->out.linger.timer, on_linger_closed);
}

/* ---- One that is left over ---- */

static const char left[] = "the other side of the bridge has left before it had all";

static bool has_bytes(const struct side *s) {
  const uint8_t *p;
  return ms_conn_peek(s->conn, &p) > 0;
}

static void on_patience_over(uv_timer_t *timer) {
  struct bridge *b = timer->data;
  struct side *s = b->in.conn ? &b->in : &b->out;
  if (s->conn) ms_conn_fail(s->conn, left);
}

/* What it still says reaches nobody: that must not look like a success to it. */
static void leave_over(struct side *s) {
  if (has_bytes(s))
    ms_conn_fail(s->conn, left);
  else if (!s->ended)
    (void)uv_timer_start(&s->bridge->patience, on_patience_over, LEFT_OVER_MSEC, 0);
}

/* ---- From one side to the other ---- */

/* As much as goes. Where the other takes no more, its end is near, and on_close has the rest. */
static void pump(const struct side *from) {
  const uint8_t *p;
  size_t n;
  ptrdiff_t k;
  if (!from->conn || !from->other->conn) return;
  n = ms_conn_peek(from->conn, &p);
  k = n ? ms_conn_write(from->other->conn, p, n) : 0;
  if (k > 0) ms_conn_consume(from->conn, (size_t)k);
  if (k == MS_ENOMEM) ms_conn_fail(from->other->conn, ms_code_text(MS_ENOMEM));
}

static void on_readable(ms_conn *conn, void *user) {
  struct side *s = user;
  (void)conn;
  cli_linger_heard(&s->linger);
  if (!s->other->conn && !is_dialling(s->bridge))
    leave_over(s);
  else
    pump(s);
}

static void on_writable(ms_conn *conn, void *user) {
  (void)conn;
  pump(((struct side *)user)->other);
}

/* All has gone to this one that the other has said. It is not waited for where it has ended itself,
 * or where the other waits for both: a peer without half-close has waited before its end. */
static void end(struct side *s) {
  const ms_conn *other = s->other->conn;
  if (!s->conn) return;
  if (s->ended || (other && !ms_conn_half_closes(other)))
    ms_conn_end(s->conn);
  else
    cli_linger_end(&s->linger, s->conn);
}

static void on_late(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_fail(conn, "the peer has not closed: what it has sent may not be all");
}

static void on_end(ms_conn *conn, void *user) {
  struct side *s = user;
  s->ended = true;
  if (cli_linger_stop(&s->linger)) ms_conn_end(conn);
  end(s->other);
}

static void keep_cause(struct bridge *b, const ms_error *err) {
  (void)snprintf(b->cause, sizeof b->cause, "%s: %s", err->address, err->message);
}

/* A failure, in the words of the side that has failed first. */
static void tell(struct bridge *b, const ms_error *err, const char *more) {
  keep_cause(b, err);
  cli_report_far(report_of(b), "forward", b->peer, err, more);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct side *s = user, *other = s->other;
  struct bridge *b = s->bridge;
  struct cli_ending ending = {.cause = *b->cause ? b->cause : NULL};
  s->conn = NULL;
  (void)cli_linger_stop(&s->linger);
  if (err && s == &b->out) {
    if (!b->told && err->code != MS_EABORTED) tell(b, err, "");
    keep_cause(b, err);
  }
  cli_report_ended(report_of(b), s == &b->out || b->told ? NULL : "forward", conn, err, &ending);
  if (err) b->told = true;
  if (b->dialer) ms_dial_abort(b->dialer);
  cli_retry_stop(&b->retry);
  if (other->conn && (err || !s->ended))
    ms_conn_fail(other->conn, err ? "the other side of the bridge has failed" : left);
  else if (other->conn)
    leave_over(other);
  free_if_over(b);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_end = on_end, .on_writable = on_writable, .on_close = on_close};

static void take_side(struct side *s, ms_conn *conn) {
  s->conn = conn;
  ms_conn_handle(conn, &events, s);
  ms_conn_set_reset_on_shutdown(conn, true);
  ms_conn_set_read_first(conn, true);
}

/* ---- Dialling ---- */

/* To the peer. Where the target is, and why it is not, is for our own log. */
static const char unreachable[] = "the other side of the bridge cannot be reached";

static void give_up(struct bridge *b) {
  if (b->in.conn) ms_conn_fail(b->in.conn, unreachable);
  free_if_over(b);
}

/* The peer waits meanwhile. */
static void failed(struct bridge *b, const ms_error *err) {
  uint32_t msec = b->in.conn ? cli_retry_begin(&b->retry) : 0;
  char again[32] = "";
  if (msec) (void)snprintf(again, sizeof again, "; again in %.1f s", (double)msec / 1000);
  tell(b, err, again);
  b->told = !msec;
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct bridge *b = user;
  const ms_dialer *dialer = b->dialer;
  b->dialer = NULL;
  if (err) {
    if (err->code != MS_EABORTED) {
      failed(b, err);
      if (!b->retry.waits && report_of(b)->level >= MS_LOG_WARN) cli_attempts(dialer);
    }
    if (!b->retry.waits) give_up(b);
    return;
  }
  *b->cause = '\0';
  take_side(&b->out, conn);
  pump(&b->in);
  if (b->in.ended) end(&b->out);
}

static void init_side(struct side *s, struct bridge *b, struct side *other, uv_loop_t *loop) {
  s->bridge = b;
  s->other = other;
  cli_linger_init(&s->linger, loop, 0);
  s->linger.on_late = on_late;
  s->linger.user = s;
}

static void dial(void *user) {
  struct bridge *b = user;
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  ms_error err;
  opts.on_dialled = on_dialled;
  opts.user = b;
  if (ms_dial(ms_conn_ctx(b->in.conn), &b->dialer, b->all->serving->argument, &opts, &err) == 0)
    return;
  if (err.code != MS_ESTATE) tell(b, &err, ""); /* else we are closing: what was before is it */
  b->told = true;
  ms_conn_fail(b->in.conn, unreachable);
}

static void take(void *state, ms_conn *conn) {
  struct bridges *all = state;
  uv_loop_t *loop = all->serving->loop;
  struct bridge *b = calloc(1, sizeof *b);
  if (!b) { /* nobody takes it on */
    cli_fail(all->serving->report, conn, "out of memory");
    return;
  }
  b->all = all;
  b->next = all->first;
  if (b->next) b->next->prev = b;
  all->first = b;
  init_side(&b->in, b, &b->out, loop);
  init_side(&b->out, b, &b->in, loop);
  (void)uv_timer_init(loop, &b->patience);
  b->patience.data = b;
  cli_retry_init(&b->retry, loop, all->retry_msec ? all->retry_msec : RETRY_MSEC);
  b->retry.again = dial;
  b->retry.user = b;
  b->timers = 4;
  b->peer = strdup(ms_conn_address(conn));
  take_side(&b->in, conn);
  dial(b);
}

/* ---- The action ---- */

/* Who waits for a far side has nothing to be drained: no end of it could come through any more. */
static void stop(void *state, bool cut) {
  const struct bridges *all = state;
  (void)cut; /* the context cuts the others */
  for (const struct bridge *b = all->first; b; b = b->next)
    if (is_dialling(b) && b->in.conn) ms_conn_abort(b->in.conn);
}

static int start(void *state, struct cli_serving *s) {
  ((struct bridges *)state)->serving = s;
  return CLI_OK;
}

const struct cli_action cli_action_forward = {
    .name = "forward",
    .argument = "ADDRESS",
    .help =
        "a bridge to any other address; one with a seed as @FILE, for a\n"
        "command line is no secret. What other tools call a local listener\n"
        "or a tunnel is this, from net:127.0.0.1:PORT (see the examples).\n"
        "A dial that fails is repeated while its peer waits (--retry-for);\n"
        "a pair that was open ends, and is not resumed. A peer that waits\n"
        "when serve is stopped is cut at once",
    .options = {{.name = "retry-for",
                 .argument = "MSEC",
                 .kind = CLI_MSEC,
                 .offset = offsetof(struct bridges, retry_msec),
                 .about = "dials",
                 .help = "how long a peer waits for a --forward that is not reached: it is\n"
                         "dialled again after 0.25 seconds, twice as long each time, up to\n"
                         "30 (default 5000)"}},
    .dials = true,
    .descriptors = 2,
    .size = sizeof(struct bridges),
    .start = start,
    .take = take,
    .stop = stop,
};
