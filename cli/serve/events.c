/* Events on standard output, a line each. A thread writes them, so that nobody who has stopped
 * reading stops the server; what he would have to read is bounded, and what is more is counted. Nor
 * does it stop when he has left, or a disk is full: each event is tried, for he may come back. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve.h"

/* Bytes that wait; how long a reader has in the end; between two lines about a failure. */
enum { WAITING_MAX = 1 << 20, PATIENCE_MSEC = 1000, TELL_MSEC = 600000 };

static void write_more(struct cli_events *e);

/* ---- In the thread ---- */

/* How many bytes were written; fewer than n with `error` set. A descriptor that somebody has made
 * non-blocking is waited for. */
static size_t put(struct cli_events *e, const char *p, size_t n) {
  struct pollfd stdout_fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
  size_t at = 0;
  while (at < n) {
    ssize_t k = write(STDOUT_FILENO, p + at, n - at);
    if (k > 0) {
      at += (size_t)k;
      e->torn = p[at - 1] != '\n';
    } else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      (void)poll(&stdout_fd, 1, -1);
    } else if (k < 0 && errno != EINTR) {
      e->error = errno;
      break;
    }
  }
  return at;
}

/* Half a line that was written before a failure is one of its own. */
static void write_out(uv_work_t *work) {
  struct cli_events *e = work->data;
  size_t n = e->note ? strlen(e->note) : 0;
  e->error = 0;
  e->written = 0;
  if (e->torn && put(e, "\n", 1) == 0) return;
  if (n && (put(e, e->note, n) < n || put(e, "\n", 1) == 0)) return;
  e->noted = n > 0;
  e->written = put(e, e->writing.at, e->writing.n);
}

/* ---- In the loop ---- */

/* False: there is no room for it. */
static bool append(struct cli_events *e, const char *line, size_t n) {
  struct cli_lines *to = &e->waiting;
  if (to->n == 0) {
    to->lost_before += e->lost;
    e->lost = 0;
  }
  if (n + 1 > WAITING_MAX - to->n) return false;
  if (to->n + n + 1 > to->size) {
    size_t size = to->size ? 2 * to->size : 4096;
    char *grown;
    while (size < to->n + n + 1)
      size *= 2;
    grown = realloc(to->at, size);
    if (!grown) return false;
    to->at = grown;
    to->size = size;
  }
  memcpy(to->at + to->n, line, n);
  to->n += n;
  to->at[to->n++] = '\n';
  return true;
}

static void on_timer_closed(uv_handle_t *handle) {
  ((struct cli_events *)handle->data)->timed = false;
}

/* What was not written is lost, before whatever waits. */
static void count_unwritten(struct cli_events *e) {
  const char *p = e->writing.at + e->written, *end = e->writing.at + e->writing.n;
  uint64_t lines = 0;
  for (; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
    lines++;
  e->lost_ever += lines;
  *(e->waiting.n ? &e->waiting.lost_before : &e->lost) +=
      lines + (e->noted ? 0 : e->writing.lost_before);
}

static void tell_failure(struct cli_events *e) {
  uint64_t now = uv_now(e->loop);
  if (e->broken || (e->told_at && now < e->told_at + TELL_MSEC)) return;
  (void)cli_error("serve", "stdout", "write failed: %s: events are lost, and peers served",
                  strerror(e->error));
  e->told_at = now ? now : 1;
}

static void on_written(uv_work_t *work, int status) {
  struct cli_events *e = work->data;
  (void)status;
  e->busy = false;
  if (e->error) tell_failure(e);
  count_unwritten(e); /* there may have been no memory to tell of those before */
  e->broken = e->error != 0;
  e->writing.n = 0;
  e->writing.lost_before = 0;
  free(e->note);
  e->note = NULL;
  write_more(e);
  if (!e->busy && e->timed) uv_close((uv_handle_t *)&e->patience, on_timer_closed);
}

/* Lines that wait, and how many were lost before them; or that alone, unless it was just seen that
 * nobody hears it. */
static void write_more(struct cli_events *e) {
  struct cli_lines *from = &e->waiting, lines;
  if (e->busy || (from->n == 0 && (e->broken || e->lost == 0))) return;
  if (from->n == 0) {
    from->lost_before += e->lost;
    e->lost = 0;
  }
  e->note = from->lost_before ? e->tell_lost(from->lost_before) : NULL;
  if (from->n == 0 && !e->note) return; /* no memory: with the next line, then */
  lines = *from;
  *from = e->writing;
  e->writing = lines;
  e->noted = false;
  e->work.data = e;
  e->busy = uv_queue_work(e->loop, &e->work, write_out, on_written) == 0;
}

static void lose(struct cli_events *e, const char *why) {
  e->lost_ever++;
  if (e->lost++ == 0) cli_note("%s: from now on some are lost", why);
}

void cli_events_add(struct cli_events *e, const char *line) {
  if (!line)
    lose(e, "no memory for events");
  else if (!append(e, line, strlen(line)))
    lose(e, "nobody reads the events");
  write_more(e);
}

static void on_patience_over(uv_timer_t *timer) {
  const struct cli_events *e = timer->data;
  if (e->on_exit) e->on_exit(e->user);
  _exit(cli_error("serve", "stdout", "nobody reads the last %zu bytes of events",
                  e->writing.n + e->waiting.n));
}

void cli_events_end(struct cli_events *e) {
  if (!e->busy || e->timed) return;
  e->timed = true;
  (void)uv_timer_init(e->loop, &e->patience);
  e->patience.data = e;
  (void)uv_timer_start(&e->patience, on_patience_over, PATIENCE_MSEC, 0);
}

void cli_events_free(struct cli_events *e) {
  if (e->lost_ever)
    cli_note("%llu event%s not written", (unsigned long long)e->lost_ever,
             e->lost_ever == 1 ? " was" : "s were");
  free(e->waiting.at);
  free(e->writing.at);
}
