/* serve --chat: a room. Lines reach all others; who reads too slowly is dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

enum { LINE = 4096, NAME = 8, TOLD = 10 };

struct room {
  struct cli_report *report;
  struct guest *guests;
  unsigned long numbers; /* given to guests without a key */
};

struct guest {
  struct guest *prev, *next;
  struct room *room;
  ms_conn *conn;
  char name[32];
  bool gone;           /* our goodbye is said */
  const char *dropped; /* why; NULL: it was not by us */
  size_t n;            /* bytes of the line so far */
  bool too_long;       /* the line is longer than LINE: it is skipped */
  char line[LINE];
};

/* A line to one guest, whole or not at all. One who leaves, or is closed, hears no more. */
static void tell(struct guest *to, const char *text, size_t n) {
  ptrdiff_t k = to->gone ? MS_EPIPE : ms_conn_write(to->conn, text, n);
  if (k == MS_EPIPE || k == (ptrdiff_t)n) return;
  to->dropped = k < 0 ? ms_code_text((int)k) : "dropped: it reads too slowly";
  to->gone = true;
  ms_conn_abort(to->conn);
}

static void tell_others(const struct guest *from, const char *text, size_t n) {
  for (struct guest *g = from->room->guests; g; g = g->next)
    if (g != from) tell(g, text, n);
}

static const struct guest *named(const struct room *room, const char *name) {
  const struct guest *g = room->guests;
  while (g && strcmp(g->name, name) != 0)
    g = g->next;
  return g;
}

/* What a guest has entered as: the beginning of its key, and a number where somebody has that, as
 * from another terminal of the same machine. */
static void name_guest(struct room *room, struct guest *g, const uint8_t *key) {
  char text[MS_KEY_TEXT];
  if (!key) {
    (void)snprintf(g->name, sizeof g->name, "guest-%lu", ++room->numbers);
    return;
  }
  (void)ms_key_format(key, text, sizeof text);
  (void)snprintf(g->name, sizeof g->name, "%.*s", NAME, text);
  for (unsigned long i = 2; named(room, g->name); i++)
    (void)snprintf(g->name, sizeof g->name, "%.*s-%lu", NAME, text, i);
}

/* Who you are, who is here, and how to leave. */
static void greet(struct guest *g) {
  char text[512];
  size_t n, others = 0;
  int k = snprintf(text, sizeof text, "* welcome: you are %s, and ", g->name);
  n = (size_t)k;
  for (const struct guest *o = g->next; o; o = o->next, others++)
    if (others < TOLD)
      n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", others ? ", " : "", o->name);
  if (!others)
    n += (size_t)snprintf(text + n, sizeof text - n, "nobody else is");
  else if (others > TOLD)
    n += (size_t)snprintf(text + n, sizeof text - n, " and %zu more %s", others - TOLD,
                          others - TOLD == 1 ? "is" : "are");
  else
    n += (size_t)snprintf(text + n, sizeof text - n, "%s", others == 1 ? " is" : " are");
  n += (size_t)snprintf(text + n, sizeof text - n,
                        " here. A line reaches all others; Ctrl-D leaves.\n");
  tell(g, text, n);
}

static void announce(const struct guest *who, const char *what) {
  char text[64];
  int n = snprintf(text, sizeof text, "* %s %s\n", who->name, what);
  tell_others(who, text, (size_t)n);
}

static void say(struct guest *g) {
  char text[sizeof g->name + 2 + LINE + 1];
  size_t at;
  while (g->n && g->line[g->n - 1] == '\r')
    g->n--;
  if (g->n == 0) return;
  at = (size_t)snprintf(text, sizeof text, "%s: ", g->name);
  memcpy(text + at, g->line, g->n);
  cli_clean(text + at, g->n);
  at += g->n;
  text[at++] = '\n';
  tell_others(g, text, at);
}

static void end_of_line(struct guest *g) {
  static const char sorry[] = "* a line has at most 4096 bytes: yours was not passed on\n";
  if (g->too_long)
    tell(g, sorry, sizeof sorry - 1);
  else
    say(g);
  g->n = 0;
  g->too_long = false;
}

static void on_readable(ms_conn *conn, void *user) {
  struct guest *g = user;
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  for (size_t i = 0; i < n; i++) {
    if (p[i] == '\n')
      end_of_line(g);
    else if (g->n == LINE)
      g->too_long = true;
    else
      g->line[g->n++] = (char)p[i];
  }
  ms_conn_consume(conn, n);
}

static void on_end(ms_conn *conn, void *user) {
  struct guest *g = user;
  if (g->n) end_of_line(g);
  g->gone = true;
  ms_conn_end(conn);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct guest *g = user;
  ms_error cut;
  if (err && err->code == MS_EABORTED && g->dropped)
    err = cli_report_cut(g->room->report, "chat", conn, err, &cut, g->dropped);
  cli_report_closed(g->room->report, "chat", conn, err);
  if (g->prev)
    g->prev->next = g->next;
  else
    g->room->guests = g->next;
  if (g->next) g->next->prev = g->prev;
  announce(g, "left");
  free(g);
}

static const ms_conn_events events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_close};

static int start(void *state, struct cli_serving *s) {
  ((struct room *)state)->report = s->report;
  return CLI_OK;
}

static void take(void *state, ms_conn *conn) {
  struct room *room = state;
  struct guest *g = calloc(1, sizeof *g);
  if (!g) {
    cli_fail(room->report, conn, "out of memory");
    return;
  }
  g->room = room;
  g->conn = conn;
  name_guest(room, g, ms_conn_key(conn));
  g->next = room->guests;
  if (g->next) g->next->prev = g;
  room->guests = g;
  ms_conn_handle(conn, &events, g);
  greet(g);
  announce(g, "joined");
}

const struct cli_action cli_action_chat = {
    .name = "chat",
    .help = "a room: lines reach all others",
    .descriptors = 1,
    .size = sizeof(struct room),
    .start = start,
    .take = take,
};
