#include "loop/loop.h"

#include <stdarg.h>
#include <stdio.h>

/* It is there so that the poll does not wait. */
static void on_idle(uv_idle_t *handle) {
  (void)handle;
}

static void schedule(struct ms__env *env) {
  struct ms__loop *loop = env->user;
  uv_idle_start(&loop->idle, on_idle);
}

/* ---- Soon ---- */

void ms__soon(struct ms__loop *loop, struct ms__soon *s, void (*run)(struct ms__soon *soon)) {
  if (s->run) return;
  *s = (struct ms__soon){.run = run, .prev = loop->soon_last};
  *(s->prev ? &s->prev->next : &loop->soon_first) = s;
  loop->soon_last = s;
  loop->soon_count++;
  schedule(&loop->env);
}

void ms__soon_cancel(struct ms__loop *loop, struct ms__soon *s) {
  if (!s->run) return;
  *(s->prev ? &s->prev->next : &loop->soon_first) = s->next;
  *(s->next ? &s->next->prev : &loop->soon_last) = s->prev;
  loop->soon_count--;
  *s = (struct ms__soon){.run = NULL};
}

/* What is asked for meanwhile comes after the poll, but for what takes the place of one that was
 * cancelled. */
static void run_soon(struct ms__loop *loop) {
  for (size_t n = loop->soon_count; n > 0 && loop->soon_first; n--) {
    struct ms__soon *s = loop->soon_first;
    void (*run)(struct ms__soon * soon) = s->run;
    ms__soon_cancel(loop, s);
    run(s);
  }
}

/* ---- The handles ---- */

static void on_prepare(uv_prepare_t *handle) {
  struct ms__loop *loop = handle->data;
  run_soon(loop);
  /* where not all had their turn: poll, come back */
  if (!ms__env_run(&loop->env, uv_now(loop->uv)) && !loop->soon_first) uv_idle_stop(&loop->idle);
}

static void on_alarm(uv_timer_t *timer) {
  struct ms__loop *loop = timer->data;
  ms__env_ring(&loop->env, uv_now(loop->uv));
}

/* libuv runs a timer of no time at all before it polls: who has had a share waits for that. */
static void set_alarm(struct ms__env *env, uint64_t at) {
  struct ms__loop *loop = env->user;
  uint64_t now = uv_now(loop->uv), wait = at > now ? at - now : env->ringing;
  if (at == MS__NEVER)
    uv_timer_stop(&loop->alarm);
  else
    (void)uv_timer_start(&loop->alarm, on_alarm, wait, 0);
}

int ms__loop_init(struct ms__loop *loop, uv_loop_t *uv, const ms_allocator *allocator,
                  uint32_t block) {
  int r;
  ms__env_init(&loop->env, allocator, block);
  loop->env.schedule = schedule;
  loop->env.alarm = set_alarm;
  loop->env.user = loop;
  loop->env.clock = uv_hrtime;
  loop->uv = uv;
  loop->prepare.data = loop->idle.data = loop->alarm.data = loop;
  if ((r = uv_prepare_init(uv, &loop->prepare)) < 0) return r;
  if ((r = uv_idle_init(uv, &loop->idle)) < 0) return r;
  if ((r = uv_timer_init(uv, &loop->alarm)) < 0) return r;
  uv_prepare_start(&loop->prepare, on_prepare); /* each time: it begins to count work anew */
  uv_unref((uv_handle_t *)&loop->prepare);      /* nobody waits for that */
  loop->handles = 3;
  return 0;
}

static void on_close(uv_handle_t *handle) {
  struct ms__loop *loop = handle->data;
  if (--loop->handles > 0) return;
  ms__env_done(&loop->env);
  if (loop->on_closed) loop->on_closed(loop);
}

void ms__loop_close(struct ms__loop *loop) {
  uv_close((uv_handle_t *)&loop->prepare, on_close);
  uv_close((uv_handle_t *)&loop->idle, on_close);
  uv_close((uv_handle_t *)&loop->alarm, on_close);
}

void ms__loop_hold(struct ms__loop *loop) {
  loop->pending++;
}

void ms__loop_release(struct ms__loop *loop) {
  loop->pending--;
  if (loop->on_released) loop->on_released(loop);
}

void ms__loop_log(const struct ms__loop *loop, enum ms_log_level level, const char *fmt, ...) {
  char line[1024];
  va_list ap;
  if (!ms__loop_logs(loop, level)) return;
  va_start(ap, fmt);
  (void)vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  loop->on_log(level, line, loop->user);
}

struct ms__endpoint *ms__endpoint_find(const struct ms__loop *loop, const void *of) {
  struct ms__endpoint *e = loop->endpoints;
  while (e && e->of != of)
    e = e->next;
  return e;
}

void ms__endpoint_add(struct ms__loop *loop, struct ms__endpoint *e) {
  e->next = loop->endpoints;
  loop->endpoints = e;
}

void ms__endpoints_close(struct ms__loop *loop) {
  while (loop->endpoints) {
    struct ms__endpoint *e = loop->endpoints;
    loop->endpoints = e->next;
    e->close(e);
  }
}
