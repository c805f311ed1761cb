/* The applications: they write a known pattern, check what arrives, and end in the ways that the
 * mode says. */
#include <stdio.h>

#include "world.h"

struct side *world_peer(const struct side *s) {
  return &s->world->sides[!s->server];
}

/* ---- The pattern ---- */

/* Runs of equal bytes, so that a compressor has something to hold; no two places alike for long.
 * All is ASCII, which a message of text may have to be. */
static uint8_t pattern(bool server, uint64_t at) {
  uint64_t run = at >> 7;
  uint64_t z = rng_mix(2 * run + server);
  if (z & 3) z = rng_mix(at) + server;
  return (uint8_t)(z >> 8 & 0x7f);
}

/* The byte at a place of what a side writes. A plain request's client writes the request. */
static uint8_t content(const struct side *s, uint64_t at) {
  uint64_t left = s->app.to_send - at;
  if (s->server || s->world->mode != PLAIN) return pattern(s->server, at);
  if (at < 4) return (uint8_t) "GET "[at];
  return left <= 4 ? (uint8_t) "\n\r\n\r"[left - 1] : 'x';
}

static size_t message_length(bool server, uint64_t n) {
  uint64_t z = rng_mix(3 * n + server + 77);
  return z % 4 == 0 ? z % 7 : z % 9000;
}

static uint8_t message_type(uint64_t n) {
  return n % 3 ? 2 : 1;
}

/* ---- Writing ---- */

static bool content_is_random(const struct side *s) {
  return s->world->mode == FLIPPED && !s->world->secure;
}

static void cannot_write(struct side *s, int code) {
  if (code == MS_EPIPE) {
    s->app.ended = true; /* nothing more to be said */
  } else {
    s->app.aborted = true;
    ms_conn_abort(s->conn);
  }
}

static void write_bytes(struct side *s, size_t n) {
  struct app *a = &s->app;
  struct rng *rng = &s->world->rng;
  uint8_t buf[8192], *p = buf;
  ptrdiff_t r;
  size_t room;
  if (rng_once_in(rng, 3)) { /* straight into the edge */
    room = ms_conn_reserve(s->conn, &p, rng_once_in(rng, 2) ? n : 1);
    if (!room) {
      a->blocked = s->conn->short_write && s->conn->out[s->conn->n].len > 0;
      return;
    }
    n = ms__min(n, room);
    for (size_t i = 0; i < n; i++)
      p[i] = content(s, a->accepted + i);
    ms_conn_commit(s->conn, n);
    a->accepted += n;
    return;
  }
  for (size_t i = 0; i < n; i++)
    buf[i] = content(s, a->accepted + i);
  r = ms_conn_write(s->conn, buf, n);
  if (r < 0) {
    cannot_write(s, (int)r);
    return;
  }
  if ((size_t)r > n) world_blame(s->world, "a write accepted more than it was given");
  a->accepted += (uint64_t)r;
  a->blocked = (size_t)r < n;
}

/* The rest of the message in hand, or a part of it. */
static void write_message(struct side *s, size_t most) {
  struct app *a = &s->app;
  uint8_t buf[8192];
  size_t whole = message_length(s->server, a->sent_messages);
  size_t left = whole - a->message_sent, n = ms__min3(left, most, sizeof buf);
  ms_message m = {buf, n, message_type(a->sent_messages), n == left};
  ptrdiff_t r;
  for (size_t i = 0; i < n; i++)
    buf[i] = content(s, a->accepted + i);
  r = ms_conn_write_message(s->conn, &m);
  if (r == MS_ENOMEM && n == 0 && s->conn->short_write) {
    a->blocked = true;
    return;
  }
  if (r < 0) {
    cannot_write(s, (int)r);
    return;
  }
  a->accepted += (uint64_t)r;
  a->message_sent += (uint64_t)r;
  a->blocked = (size_t)r < n;
  if ((size_t)r == n && m.last) {
    a->sent_messages++;
    a->message_sent = 0;
  }
}

static bool wants_to_write(const struct side *s) {
  const struct app *a = &s->app;
  if (a->ended || a->closed || a->aborted || a->close_seen || a->blocked) return false;
  if (!a->opened && !s->conn->detached) return false;
  return a->accepted < a->to_send || (s->conn->messages && a->message_sent);
}

static void write_some(struct side *s) {
  struct app *a = &s->app;
  bool burst = rng_once_in(&s->world->rng, 3); /* as much as goes in */
  do {
    size_t n = rng_size(&s->world->rng, 8192);
    if (!wants_to_write(s)) return;
    if (s->conn->messages)
      write_message(s, n);
    else
      write_bytes(s, ms__min(n, (size_t)(a->to_send - a->accepted)));
  } while (burst);
}

/* ---- Reading ---- */

static void check_bytes(struct side *s, const uint8_t *p, size_t n) {
  struct app *a = &s->app;
  const struct app *peer = &world_peer(s)->app;
  for (size_t i = 0; i < n && !content_is_random(s); i++) {
    if (a->received + i >= peer->accepted) {
      world_blame(s->world, "bytes arrived that nobody wrote");
      break;
    }
    if (p[i] != content(world_peer(s), a->received + i)) {
      world_blame(s->world, "a byte is not the one that was written");
      break;
    }
  }
  a->received += n;
}

static void read_messages(struct side *s, size_t most) {
  struct app *a = &s->app;
  ms_message m;
  while (most-- && ms_conn_message(s->conn, &m) == 1) {
    size_t whole = message_length(!s->server, a->got_messages);
    check_bytes(s, m.data, m.length);
    a->message_got += m.length;
    if (!content_is_random(s)) {
      if (m.type != message_type(a->got_messages))
        world_blame(s->world, "a message's type is wrong");
      if (a->message_got > whole || (m.last && a->message_got != whole))
        world_blame(s->world, "a message's boundary is lost");
    }
    if (m.last) {
      a->got_messages++;
      a->message_got = 0;
    }
    ms_conn_consume_message(s->conn, SIZE_MAX);
  }
}

/* A plain request's client: the answer's head comes first. */
static size_t check_reply(struct side *s, const uint8_t *p, size_t n) {
  const char *head = s->world->yes ? TOY_ASK_YES : TOY_ASK_NO;
  struct app *a = &s->app;
  size_t length = strlen(head);
  if (!s->server && s->world->mode == PLAIN && !a->reply_checked) {
    if (n < length) return 0;
    if (memcmp(p, head, length) != 0) world_blame(s->world, "the reply's head is wrong");
    a->reply_checked = true;
    return length;
  }
  return SIZE_MAX;
}

static void read_some(struct side *s, bool all) {
  struct rng *rng = &s->world->rng;
  const uint8_t *p;
  size_t n = ms_conn_peek(s->conn, &p), k, head;
  if (s->conn->messages) {
    read_messages(s, all ? SIZE_MAX : rng_size(rng, 4));
    return;
  }
  if (!n) return;
  head = check_reply(s, p, n);
  if (head != SIZE_MAX) {
    if (head == 0) ms_conn_need(s->conn, strlen(s->world->yes ? TOY_ASK_YES : TOY_ASK_NO));
    ms_conn_consume(s->conn, head);
    if (head) ms_conn_need(s->conn, 1);
    return;
  }
  k = all ? n : rng_size(rng, n);
  check_bytes(s, p, k);
  ms_conn_consume(s->conn, k);
}

/* ---- Ending ---- */

static bool all_written(const struct side *s) {
  const struct app *a = &s->app;
  return a->accepted >= a->to_send && !a->message_sent;
}

static bool wants_to_end(const struct side *s) {
  const struct app *a = &s->app;
  if (a->ended || a->closed || a->aborted || a->close_seen) return false;
  if (!a->opened && !s->conn->detached) return false;
  return all_written(s) && (!a->waits_for_end || a->end_seen);
}

static void leave(struct side *s) {
  struct app *a = &s->app;
  if (a->closed || a->aborted) return;
  if (s->world->mode == ABORT) {
    a->aborted = true;
    ms_conn_abort(s->conn);
  } else if (s->world->mode == BROKEN) { /* an end that is asked for may be on its way */
    a->closed = true;
    a->broken = a->opened && !a->ended;
    ms_conn_fail(s->conn, "it has failed");
  } else {
    a->closed = true;
    ms_conn_close(s->conn);
  }
}

static bool leaves_now(const struct side *s) {
  const struct app *a = &s->app;
  enum mode mode = s->world->mode;
  return (mode == CLOSE || mode == ABORT || mode == BROKEN) && a->act_after != UINT64_MAX &&
         !a->closed && !a->aborted && !a->close_seen && a->received + a->accepted >= a->act_after &&
         (a->opened || a->act_after == 0);
}

static void answer(struct side *s) {
  const struct world *w = s->world;
  struct ms__answer yes = {.yes = s->app.asked_head ? w->yes : w->mode != REFUSED};
  s->app.answered = true;
  if (ms__conn_answer(s->conn, &yes) != 0 && w->mode != NO_MEMORY)
    world_blame(s->world, "a standing question could not be answered");
}

/* ---- Events ---- */

static void count_callback(struct side *s) {
  struct app *a = &s->app;
  if (a->close_seen) world_blame(s->world, "an event after on_close");
  if (a->aborted) world_blame(s->world, "an event after an abort");
  if (++a->callbacks == a->act_in_callback) leave(s);
}

static void on_question(ms_conn *c, const struct ms__question *q) {
  struct side *s = c->owner;
  struct world *w = s->world;
  struct app *a = &s->app;
  uint8_t sum = 0;
  if (a->asked && !a->answered) world_blame(w, "a second question before the first was answered");
  if (!s->server) world_blame(w, "a client was asked");
  for (size_t i = 0; i < q->len; i++)
    sum = (uint8_t)(sum + q->data[i]); /* a sanitizer's chance */
  if (q->kind == MS__ASK_KEY && memcmp(q->data, w->toys.key, MS_KEY_BYTES) != 0 && w->secure &&
      memcmp(q->data, w->identities[0].public_key, MS_KEY_BYTES) != 0)
    world_blame(w, "the question shows another key");
  if (q->kind == MS__ASK_HEAD && w->mode == PLAIN && (q->len != w->toys.head || sum == 255))
    world_blame(w, "the question does not show the request");
  a->asked = true;
  a->asked_head = q->kind == MS__ASK_HEAD;
  a->answered = false;
  count_callback(s);
  if (!a->late && w->mode != UNANSWERED && !a->aborted && !a->closed) answer(s);
}

static void on_open(ms_conn *c) {
  struct side *s = c->owner;
  if (s->app.opened) world_blame(s->world, "opened twice");
  s->app.opened = true;
  count_callback(s);
  if (!s->app.lazy) write_some(s);
}

/* Is there something to read? */
static bool has_news(const ms_conn *c) {
  const uint8_t *p;
  ms_message m;
  return ms_conn_messages(c) ? ms_conn_message(c, &m) == 1 : ms_conn_peek(c, &p) > 0;
}

static void on_readable(ms_conn *c) {
  struct side *s = c->owner;
  if (s->app.closed) world_blame(s->world, "readable after close");
  if (!has_news(c)) world_blame(s->world, "readable without a byte");
  count_callback(s);
  if (!s->app.lazy && !s->app.aborted) read_some(s, rng_once_in(&s->world->rng, 2));
}

static void on_end(ms_conn *c) {
  struct side *s = c->owner;
  struct world *w = s->world;
  const struct app *peer = &world_peer(s)->app;
  bool faked = w->mode == FIN_AT || (w->mode == PLAIN) || !s->wire.has_rst;
  if (s->app.end_seen) world_blame(w, "on_end twice");
  if (s->app.closed) world_blame(w, "on_end after close");
  s->app.end_seen = true;
  count_callback(s);
  if (content_is_random(s) || (faked && c->end_layer == -1)) return;
  if (w->mode == PLAIN) return;
  if (peer->broken) world_blame(w, "on_end, and the peer has failed");
  if (!peer->ended && !peer->closed) world_blame(w, "on_end, and the peer has not ended");
  if (s->app.received != peer->accepted) world_blame(w, "on_end, and bytes are missing");
}

static void on_writable(ms_conn *c) {
  struct side *s = c->owner;
  s->app.blocked = false;
  count_callback(s);
  if (!s->app.lazy) write_some(s);
}

static void on_close(ms_conn *c, const ms_error *err) {
  struct side *s = c->owner;
  struct app *a = &s->app;
  if (a->close_seen) world_blame(s->world, "on_close twice");
  a->close_seen = true;
  a->callbacks++;
  a->error = err ? err->code : 0;
  if (s->conn->in_turn == false) world_blame(s->world, "on_close outside of a turn");
  if (!err && !a->end_seen && !a->closed && !c->detached)
    world_blame(s->world, "closed without an error and without an end");
  if (a->aborted && a->error != MS_EABORTED && a->error == 0)
    world_blame(s->world, "an abort that is no error");
}

static void on_gone(ms_conn *c) {
  struct side *s = c->owner;
  if (!s->app.close_seen) world_blame(s->world, "gone without on_close");
  if (s->app.gone) world_blame(s->world, "gone twice");
  s->app.gone = true;
  s->conn = NULL;
  s->wire.conn = NULL;
}

const struct ms__events app_events = {
    .question = on_question,
    .open = on_open,
    .readable = on_readable,
    .end = on_end,
    .writable = on_writable,
    .close = on_close,
    .gone = on_gone,
};

/* ---- Of itself ---- */

static bool can_read(const struct side *s, bool quiet) {
  if (s->app.aborted || s->app.close_seen) return false;
  if (s->world->mode == SLOW && !quiet) return false;
  return has_news(s->conn);
}

static bool can_answer(const struct side *s) {
  return s->app.asked && !s->app.answered && s->world->mode != UNANSWERED && !s->conn->failed &&
         !s->app.close_seen && !s->app.aborted;
}

/* Asked, and over before the answer: it is due all the same, and finds no question. */
static bool owes_answer(const struct side *s) {
  return s->app.close_seen && s->app.asked && !s->app.answered;
}

bool app_can_act(const struct side *s, bool quiet) {
  if (!s->conn) return false;
  if (s->app.close_seen) return owes_answer(s);
  return can_answer(s) || leaves_now(s) || wants_to_write(s) || wants_to_end(s) ||
         can_read(s, quiet);
}

void app_act(struct side *s, bool quiet) {
  struct rng *rng = &s->world->rng;
  if (owes_answer(s)) {
    const struct ms__answer yes = {.yes = true};
    s->app.answered = true;
    if (ms__conn_answer(s->conn, &yes) != MS_ESTATE)
      world_blame(s->world, "an answer to a question that is void");
  } else if (can_answer(s)) {
    answer(s);
  } else if (leaves_now(s)) {
    leave(s);
  } else if (can_read(s, quiet) && (rng_once_in(rng, 2) || !wants_to_write(s))) {
    read_some(s, rng_once_in(rng, 3));
  } else if (wants_to_write(s)) {
    write_some(s);
  } else if (wants_to_end(s)) {
    s->app.ended = true;
    ms_conn_end(s->conn);
  }
}

/* ---- The verdict ---- */

void app_judge(struct side *s) {
  struct world *w = s->world;
  const struct app *a = &s->app, *peer = &world_peer(s)->app;
  if (!a->gone && w->mode == NO_MEMORY && !a->callbacks) return; /* it was never made */
  if (!a->close_seen) world_blame(w, "no on_close");
  if (!a->gone) world_blame(w, "a connection is left");
  switch (w->mode) {
    case WHOLE:
    case SLOW:
      if (a->error) world_blame(w, "a whole exchange ends in an error");
      if (!a->end_seen) world_blame(w, "a whole exchange without its end");
      if (a->received != peer->accepted) world_blame(w, "a whole exchange lost bytes");
      if (a->accepted < a->to_send) world_blame(w, "not all could be written");
      break;
    case UNANSWERED:
      if (a->opened && s->server) world_blame(w, "open without an answer");
      if (!a->error) world_blame(w, "unanswered, and no error");
      if (s->server && a->error != MS_ETIMEDOUT) world_blame(w, "unanswered, and no timeout");
      break;
    case REFUSED:
      if (a->opened) world_blame(w, "refused, and open");
      if (a->error != MS_EREFUSED) world_blame(w, "refused, and the error is another");
      break;
    case PLAIN:
      if (s->server && a->error != (w->yes ? 0 : MS_EREFUSED))
        world_blame(w, "the request's server ends in another error");
      if (!s->server && !a->reply_checked && (w->yes || !w->ends_below))
        world_blame(w, "no reply came");
      if (!s->server && w->yes && (a->error || !a->end_seen))
        world_blame(w, "the request's client has no clean end");
      if (!s->server && w->yes && a->received != peer->accepted)
        world_blame(w, "the reply's body is not whole");
      if (!s->server && !w->yes && a->received) world_blame(w, "a body after a refusal");
      break;
    case FLIPPED:
      if (w->secure && !a->error && a->received != peer->accepted && !a->closed)
        world_blame(w, "a flipped byte was not noticed");
      break;
    case ABORT:
      if (a->aborted && !a->error) world_blame(w, "an abort without an error");
      break;
    case SPOILED:
      if (w->toys.spoils[!s->server] && peer->accepted > 65535 && !a->error)
        world_blame(w, "a broken frame was not noticed");
      break;
    case BROKEN:
      if (a->broken && !a->error) world_blame(w, "a failed application without an error");
      break;
    case CLOSE:
    case FIN_AT:
    case RST_AT:
    case NO_MEMORY:
    case MODES:
      break;
  }
}
