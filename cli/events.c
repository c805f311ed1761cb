/* Events on standard output, a line each. A thread writes them, so that nobody who has stopped
 * reading stops the server; what he would have to read is bounded, and what is more is counted. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* Bytes that wait; how long a reader has in the end. */
enum { WAITING_MAX = 1 << 20, PATIENCE_MSEC = 1000 };

static void write_more(struct cli_events *e);

/* In a thread. A descriptor that somebody has made non-blocking is waited for. */
static void write_out(uv_work_t *work) {
  struct cli_events *e = work->data;
  struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
  size_t at = 0;
  e->error = 0;
  while (at < e->writing.n) {
    ssize_t n = write(STDOUT_FILENO, e->writing.at + at, e->writing.n - at);
    if (n >= 0)
      at += (size_t)n;
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      (void)poll(&p, 1, -1);
    else if (errno != EINTR) {
      e->error = errno;
      return;
    }
  }
}

/* False: there is no room for it. */
static bool append(struct cli_events *e, const char *line, size_t n) {
  struct cli_lines *to = &e->waiting;
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

static void on_written(uv_work_t *work, int status) {
  struct cli_events *e = work->data;
  char *line;
  (void)status;
  e->busy = false;
  e->writing.n = 0;
  if (e->error) {
    (void)cli_error("serve", "stdout", "write failed: %s", strerror(e->error));
    e->broken = true;
    e->waiting.n = 0;
    e->on_broken(e->user);
  }
  if (e->lost && !e->broken && (line = cli_event_lost(e->lost))) {
    if (append(e, line, strlen(line))) e->lost = 0;
    free(line);
  }
  write_more(e);
  if (!e->busy && e->timed) uv_close((uv_handle_t *)&e->patience, on_timer_closed);
}

static void write_more(struct cli_events *e) {
  struct cli_lines lines = e->waiting;
  if (e->busy || lines.n == 0) return;
  e->waiting = e->writing;
  e->writing = lines;
  e->work.data = e;
  e->busy = uv_queue_work(e->loop, &e->work, write_out, on_written) == 0;
}

void cli_events_add(struct cli_events *e, const char *line) {
  if (e->broken) return;
  if ((!line || !append(e, line, strlen(line))) && e->lost++ == 0)
    cli_note("%s: from now on some are lost",
             line ? "nobody reads the events" : "no memory for events");
  write_more(e);
}

static void on_patience_over(uv_timer_t *timer) {
  const struct cli_events *e = timer->data;
  cli_exec_kill(e->loop);
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
  free(e->waiting.at);
  free(e->writing.at);
}
