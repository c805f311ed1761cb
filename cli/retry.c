/* Dialling once more, later: each wait is about twice as long as the one before. */
#include <sodium.h>

#include "cli.h"

enum { FIRST_MSEC = 250, MOST_MSEC = 30000 };

void cli_retry_init(struct cli_retry *r, uv_loop_t *loop, uint32_t msec) {
  (void)uv_timer_init(loop, &r->timer);
  r->timer.data = r;
  r->failed = 0;
  r->until = msec ? uv_now(loop) + msec : UINT64_MAX;
  r->waits = false;
}

/* Somewhere in the second half of the step: those who were cut off together do not come together.
 */
static uint32_t next_wait(const struct cli_retry *r) {
  uint32_t step = FIRST_MSEC;
  for (unsigned i = 0; i < r->failed && step < MOST_MSEC; i++)
    step *= 2;
  if (step > MOST_MSEC) step = MOST_MSEC;
  return step / 2 + randombytes_uniform(step / 2 + 1);
}

static void on_timer(uv_timer_t *timer) {
  struct cli_retry *r = timer->data;
  r->waits = false;
  r->again(r->user);
}

uint32_t cli_retry_begin(struct cli_retry *r) {
  uint32_t msec = next_wait(r);
  if (uv_now(r->timer.loop) + msec > r->until) return 0;
  r->failed++;
  r->waits = true;
  (void)uv_timer_start(&r->timer, on_timer, msec, 0);
  return msec;
}

void cli_retry_stop(struct cli_retry *r) {
  r->waits = false;
  (void)uv_timer_stop(&r->timer);
}
