/* How far a file has gone, on a terminal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"

enum { EVERY_MSEC = 250, LINE = 128, WIDTH = 80 };

/* "12.3 MB": three digits or more. */
static void amount(char *text, size_t size, double bytes) {
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < sizeof units / sizeof *units) {
    bytes /= 1000;
    unit++;
  }
  (void)snprintf(text, size, unit && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

/* What standard input has left from where it was begun; 0: nothing, or it is no file. */
static uint64_t size_of(const struct cli_progress *p) {
  struct stat st;
  if (fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < p->from) return 0;
  return (uint64_t)(st.st_size - p->from);
}

/* Columns that may be written to without a second line. They change with the window. */
static size_t room(void) {
  struct winsize window;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col == 0) return WIDTH - 1;
  return window.ws_col - 1U;
}

/* The most that there is room for, and perhaps nothing. A file that becomes another while it is
 * sent has no whole. */
static void describe(const struct cli_progress *p, char line[LINE]) {
  uint64_t msec = uv_now(p->timer.loop) - p->started;
  char done[24], whole[24], rate[24], part[24] = "";
  size_t most = room();
  ms_conn_stats n;
  ms_conn_stat(p->conn, &n);
  amount(done, sizeof done, (double)n.out);
  amount(whole, sizeof whole, (double)p->size);
  amount(rate, sizeof rate, msec ? (double)n.out * 1000 / (double)msec : 0);
  if (n.out <= p->size && size_of(p) == p->size)
    (void)snprintf(part, sizeof part, "%" PRIu64 " %%", n.out * 100 / p->size);
  if (*part)
    (void)snprintf(line, LINE, "%s of %s (%s), %s/s", done, whole, part, rate);
  else
    (void)snprintf(line, LINE, "%s, %s/s", done, rate);
  if (strlen(line) > most) (void)snprintf(line, LINE, "%s", *part ? part : done);
  if (strlen(line) > most) *line = '\0';
}

static void on_tick(uv_timer_t *timer) {
  char line[LINE];
  describe(timer->data, line);
  (void)fprintf(stderr, "\r\033[K%s", line);
  (void)fflush(stderr);
}

void cli_progress_start(struct cli_progress *p, uv_loop_t *loop, const ms_conn *conn, bool wanted) {
  const char *term = getenv("TERM");
  p->conn = conn;
  p->from = lseek(STDIN_FILENO, 0, SEEK_CUR);
  p->size = wanted && p->from >= 0 ? size_of(p) : 0;
  p->started = uv_now(loop);
  p->on = p->size > 0 && isatty(STDERR_FILENO) == 1;
  p->dumb = !term || !*term || strcmp(term, "dumb") == 0;
  (void)uv_timer_init(loop, &p->timer);
  p->timer.data = p;
  if (p->on && !p->dumb) (void)uv_timer_start(&p->timer, on_tick, EVERY_MSEC, EVERY_MSEC);
}

void cli_progress_stop(struct cli_progress *p) {
  char line[LINE];
  if (!p->on) return;
  uv_timer_stop(&p->timer);
  describe(p, line);
  if (!p->dumb)
    (void)fprintf(stderr, "\r\033[K%s\n", line);
  else if (*line)
    (void)fprintf(stderr, "%s\n", line);
  p->on = false;
}
