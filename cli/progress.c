/* How far a file has gone, on a terminal. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"

enum { EVERY_MSEC = 250 };

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

static void show(struct cli_progress *p) {
  uint64_t msec = uv_now(p->timer.loop) - p->started;
  ms_conn_stats n;
  char done[32], whole[32], rate[32];
  ms_conn_stat(p->conn, &n);
  amount(done, sizeof done, (double)n.out);
  amount(whole, sizeof whole, (double)p->size);
  amount(rate, sizeof rate, msec ? (double)n.out * 1000 / (double)msec : 0);
  (void)fprintf(stderr, "\r\033[K%s of %s (%" PRIu64 " %%), %s/s", done, whole,
                n.out * 100 / p->size, rate);
  (void)fflush(stderr);
}

static void on_tick(uv_timer_t *timer) {
  show(timer->data);
}

void cli_progress_start(struct cli_progress *p, uv_loop_t *loop, const ms_conn *conn,
                        uint64_t size) {
  p->conn = conn;
  p->size = size;
  p->started = uv_now(loop);
  p->on = size > 0 && isatty(STDERR_FILENO) == 1;
  (void)uv_timer_init(loop, &p->timer);
  p->timer.data = p;
  if (p->on) (void)uv_timer_start(&p->timer, on_tick, EVERY_MSEC, EVERY_MSEC);
}

void cli_progress_stop(struct cli_progress *p) {
  if (!p->on) return;
  uv_timer_stop(&p->timer);
  show(p);
  (void)fputc('\n', stderr);
  p->on = false;
}
