/* multiserver as a guest in a program that has a libuv loop already: this one has a timer of its
 * own, which goes on whether anybody listens or not, and tells the time to all who are connected.
 *
 *   ./example-clock SOCKET MSEC      prints the address
 *   multiserver connect 'ADDRESS'    reads the time */
#include <multiserver.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* What the program was before multiserver came: a loop, a timer, a signal. */
struct program {
  uv_loop_t loop;
  uv_timer_t tick;
  uv_signal_t interrupt;
  unsigned long ticks;
  ms_ctx *ctx;
  struct listener *listeners;
};

struct listener {
  struct listener *prev, *next;
  struct program *program;
  ms_conn *conn;
};

static void on_tick(uv_timer_t *timer) {
  struct program *p = timer->data;
  char text[64];
  int n = snprintf(text, sizeof text, "tick %lu\n", ++p->ticks);
  for (struct listener *l = p->listeners; l; l = l->next)
    ms_conn_write(l->conn, text, (size_t)n); /* who does not read misses some */
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_end(conn);
}

static void on_readable(ms_conn *conn, void *user) {
  const uint8_t *bytes;
  (void)user;
  ms_conn_consume(conn, ms_conn_peek(conn, &bytes));
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct listener *l = user;
  (void)conn;
  (void)err;
  if (l->prev)
    l->prev->next = l->next;
  else
    l->program->listeners = l->next;
  if (l->next) l->next->prev = l->prev;
  free(l);
}

static const ms_conn_events conn_events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  struct listener *l = calloc(1, sizeof *l);
  if (!l) return; /* nobody takes the connection on, so it fails */
  l->program = user;
  l->conn = conn;
  l->next = l->program->listeners;
  if (l->next) l->next->prev = l;
  l->program->listeners = l;
  ms_conn_handle(conn, &conn_events, l);
}

/* Nobody proves a key to noauth: who may open the socket may read the time. */
static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer, (void)user;
  ms_conn_answer(conn, true, NULL);
}

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  char address[1024];
  (void)stack;
  (void)user;
  if (err) {
    fprintf(stderr, "%s: %s\n", err->address, err->message);
    return;
  }
  ms_stringify(ctx, MS_DEVICE, address, sizeof address);
  puts(address);
  fflush(stdout);
}

static const ms_server_events server_events = {.on_listen = on_listen,
                                               .on_connection = on_connection};

/* The library leaves the loop before the program does. */
static void on_closed(ms_ctx *ctx, void *user) {
  struct program *p = user;
  ms_ctx_free(ctx);
  uv_close((uv_handle_t *)&p->tick, NULL);
  uv_close((uv_handle_t *)&p->interrupt, NULL);
}

static void on_interrupt(uv_signal_t *signal, int number) {
  struct program *p = signal->data;
  (void)number;
  ms_ctx_close(p->ctx, 2000, on_closed, p);
}

int main(int argc, char **argv) {
  struct program p = {.ticks = 0};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  char socket[1024];
  unsigned long msec;
  ms_error err;

  if (argc != 3 || (msec = strtoul(argv[2], NULL, 10)) == 0) {
    fprintf(stderr, "usage: %s SOCKET MSEC\n", argv[0]);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  uv_loop_init(&p.loop);
  uv_timer_init(&p.loop, &p.tick);
  uv_signal_init(&p.loop, &p.interrupt);
  p.tick.data = p.interrupt.data = &p;
  uv_timer_start(&p.tick, on_tick, msec, msec);
  uv_signal_start(&p.interrupt, on_interrupt, SIGINT);

  opts.loop = &p.loop;
  opts.on_authorise = on_authorise;
  snprintf(socket, sizeof socket, "unix:%s~noauth", argv[1]);
  if (ms_ctx_new(&p.ctx, &opts, &err) < 0 || ms_add(p.ctx, socket, NULL, &err) < 0 ||
      ms_listen(p.ctx, &server_events, &p, &err) < 0) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  uv_run(&p.loop, UV_RUN_DEFAULT);
  return uv_loop_close(&p.loop) == 0 ? 0 : 1; /* nothing is left in it */
}
