/* Chooses a world, runs it, judges it. */
#include "world.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "certificate.h"

const char *const mode_names[MODES] = {"whole",  "slow", "close",   "abort", "broken",
                                       "fin",    "rst",  "silence", "no",    "plain",
                                       "memory", "flip", "spoilt"};

enum { ATTEMPT_MSEC = 15000, DRAIN_MSEC = 5000, STEPS = 400000 };

void world_blame(struct world *w, const char *what) {
  if (!w->wrong) w->wrong = what;
}

/* ---- Choosing ---- */

static const struct ms__layer *const layers[] = {&toy_lp,   &toy_two, &toy_seal,   &toy_squash,
                                                 &toy_tls,  &toy_ask, &ms__noauth, &ms__shs,
                                                 &ms__http, &ms__ws,  &ms__tls,    &ms__proxy};
enum { LAYERS = sizeof layers / sizeof *layers };

static const void *opts_of(const struct world *w, const struct ms__layer *l, bool server) {
  if (l == &ms__shs) return &w->shs[server];
  if (l == &ms__http) return &w->http;
  if (l == &ms__proxy) return &w->proxy;
  if (l == &ms__ws) return &w->ws;
  if (l == &ms__tls) return &w->tls[server];
  return &w->toys;
}

static bool asks(const struct ms__layer *l) {
  return l == &toy_seal || l == &ms__shs;
}

static void add_spec(struct side *s, const struct ms__layer *l) {
  if (l == &ms__proxy && !s->server) l = &toy_herald;
  s->specs[s->n].layer = l;
  s->specs[s->n++].opts = opts_of(s->world, l, s->server);
}

static void choose_stack(struct world *w) {
  size_t n = rng_below(&w->rng, 5);
  bool asking = false;
  struct side *client = &w->sides[0], *server = &w->sides[1];
  for (size_t i = 0; i < n; i++) {
    const struct ms__layer *l = layers[rng_below(&w->rng, LAYERS)];
    if (w->mode == PLAIN && (l == &toy_two || l == &toy_ask || l == &ms__http || l == &ms__ws))
      l = &toy_lp;
    add_spec(client, l);
    add_spec(server, l);
  }
  for (size_t i = 0; i < server->n; i++)
    asking = asking || asks(server->specs[i].layer);
  if ((w->mode == UNANSWERED || w->mode == REFUSED) && !asking) {
    const struct ms__layer *l = rng_once_in(&w->rng, 2) ? &toy_seal : &ms__shs;
    add_spec(client, l);
    add_spec(server, l);
  }
  if (w->mode == SPOILED) {
    add_spec(client, &toy_lp);
    add_spec(server, &toy_lp);
    w->toys.spoils[rng_below(&w->rng, 2)] = 1 + (unsigned)rng_below(&w->rng, 2);
  }
  if (w->mode == PLAIN) { /* the client has what is below toy_ask; above it stands anything */
    client->n = server->n = rng_below(&w->rng, server->n + 1);
    for (size_t i = 0; i < client->n; i++)
      if (client->specs[i].layer->flags & MS__HAS_END) w->ends_below = true;
    add_spec(server, &toy_ask);
    while (server->n < FLOORS_MAX && rng_once_in(&w->rng, 2))
      add_spec(server, layers[rng_below(&w->rng, LAYERS)]);
  }
  for (size_t i = 0; i < server->n; i++) {
    const struct ms__layer *l = server->specs[i].layer;
    if (asks(l) || l == &toy_tls || l == &ms__tls) w->secure = true;
  }
}

static void choose_app(struct side *s, uint64_t most) {
  struct rng *rng = &s->world->rng;
  struct app *a = &s->app;
  a->to_send = rng_once_in(rng, 6) ? 0 : rng_size(rng, (size_t)most);
  a->late = rng_once_in(rng, 2);
  a->lazy = s->world->mode == SLOW || rng_once_in(rng, 4);
  a->act_after = UINT64_MAX;
}

static void choose_faults(struct world *w, uint64_t most) {
  struct side *s = &w->sides[rng_below(&w->rng, 2)];
  uint64_t at = rng_size(&w->rng, (size_t)most + 800) - 1;
  switch (w->mode) {
    case WHOLE:
    case SLOW:
      s->app.waits_for_end = rng_once_in(&w->rng, 2);
      break;
    case CLOSE:
    case ABORT:
    case BROKEN:
      if (rng_once_in(&w->rng, 2))
        s->app.act_after = rng_once_in(&w->rng, 3) ? 0 : at;
      else
        s->app.act_in_callback = 1 + (unsigned)rng_below(&w->rng, 12);
      /* one that leaves after all else still leaves */
      if (s->app.act_after != UINT64_MAX) s->app.act_after = ms__min(at, s->app.to_send);
      break;
    case FIN_AT:
    case RST_AT:
    case FLIPPED:
      s->rx.fault = w->mode == FIN_AT ? FAKE_FIN : w->mode == RST_AT ? FAKE_RST : FAKE_FLIP;
      s->rx.fault_at = at;
      break;
    case PLAIN:
      w->yes = !rng_once_in(&w->rng, 4);
      w->sides[0].app.to_send = w->toys.head;
      break;
    case NO_MEMORY:
      w->memory.fails_at = rng_size(&w->rng, 120);
      w->memory.forever = rng_once_in(&w->rng, 3);
      break;
    case UNANSWERED:
    case REFUSED:
    case SPOILED:
    case MODES:
      break;
  }
}

static uint32_t choose_block(struct rng *rng) {
  static const uint32_t blocks[] = {4400, 8300, 20000, 69632};
  return blocks[rng_below(rng, 4)];
}

/* The certificate is one for all worlds of a process. */
static void choose_certificate(struct world *w) {
  static SSL_CTX *contexts[2];
  if (!contexts[0]) certificate_contexts(&contexts[0], &contexts[1]);
  for (size_t i = 0; i < 2; i++)
    w->tls[i] = (struct ms__tls_opts){(struct ssl_ctx_st *const *)&contexts[i], "localhost"};
}

/* The keys are the same in all worlds: what they are changes nothing. */
static void choose_keys(struct world *w) {
  uint8_t seed[32] = {1};
  for (size_t i = 0; i < 2; i++) {
    seed[1] = (uint8_t)i;
    ms__identity_derive(&w->identities[i], seed);
    w->shs[i].network_key = ms_scuttlebutt_network_key;
    w->shs[i].identity = &w->identities[i];
  }
  w->shs[0].server_key = w->identities[1].public_key;
  memset(w->toys.key, 7, sizeof w->toys.key);
}

static void set_bound(struct side *s) {
  const ms_conn *c = s->conn;
  size_t most = 0;
  for (size_t i = 0; i <= c->n; i++) {
    s->bound += (size_t)c->in[i].capacity + c->out[i].capacity;
    if (c->in[i].capacity > most) most = c->in[i].capacity;
  }
  s->bound += 2 * most; /* a flight, and a block being moved */
  for (size_t i = 0; i < c->n; i++)
    s->bound += c->slots[i].layer->keeps;
}

static void make_side(struct world *w, size_t i) {
  struct side *s = &w->sides[i];
  s->wire.conn = s->conn = ms__conn_new(&s->env, &s->wire.wire, s->server, s->specs, s->n,
                                        w->now + ATTEMPT_MSEC, &app_events, s);
  if (s->conn) set_bound(s);
}

void world_make(struct world *w, uint64_t seed) {
  size_t sizes[2];
  bool large;
  uint64_t most;
  memset(w, 0, sizeof *w);
  w->seed = seed;
  w->rng.state = rng_mix(seed);
  w->mode = (enum mode)rng_below(&w->rng, MODES);
  w->block = choose_block(&w->rng);
  w->now = 1000;
  failing_memory_init(&w->memory);
  w->toys.ping_msec = rng_once_in(&w->rng, 2) ? 0 : 100 + rng_below(&w->rng, 20000);
  w->toys.pings = (unsigned)rng_below(&w->rng, 8);
  w->toys.head = w->mode == PLAIN || rng_once_in(&w->rng, 3) ? 16 + rng_below(&w->rng, 16384 - 16)
                                                             : 16 + rng_below(&w->rng, 300);
  w->toys.binary = w->toys.head % 2;
  w->proxy = (struct ms__proxy_opts){&w->peer};
  w->http = (struct ms__http_opts){.path = "/a?b", .host = "h", .any_origin = true, .name = ""};
  w->ws = (struct ms__ws_opts){(uint32_t)w->toys.ping_msec, 1 << 20, 1 << 20, 1 << 20, true};
  choose_certificate(w);
  choose_keys(w);
  large = rng_once_in(&w->rng, 4);
  sizes[0] = large ? 131072 : rng_size(&w->rng, 131072);
  sizes[1] = large ? 131072 : rng_size(&w->rng, 131072);
  most = 200000;
  for (size_t i = 0; i < 2; i++) {
    uint64_t limit = (uint64_t)sizes[i] * 1500 + 2000;
    if (limit < most) most = limit;
  }
  for (size_t i = 0; i < 2; i++) {
    struct side *s = &w->sides[i];
    s->world = w;
    s->server = i == 1;
    fake_queue_init(&s->rx, sizes[i]);
    ms__env_init(&s->env, &w->memory.allocator, w->block);
    s->env.drain_msec = DRAIN_MSEC;
    fake_wire_init(&s->wire, &w->rng, &s->env, &w->sides[!i].rx, &s->rx, &w->wrong);
    choose_app(s, most);
    if (large) s->app.to_send = most / 4 + rng_below(&w->rng, (size_t)most / 2);
  }
  choose_stack(w);
  choose_faults(w, most);
  if (rng_once_in(&w->rng, 6))
    w->sides[0].wire.wire.flags = w->sides[1].wire.wire.flags = MS__WIRE_NO_HALF;
  w->sides[0].wire.has_rst = w->sides[1].wire.has_rst = !rng_once_in(&w->rng, 5);
  w->sides[0].wire.takes_at_once = w->sides[1].wire.takes_at_once = rng_once_in(&w->rng, 2);
  w->step_limit = STEPS + 60 * most;
}

void world_describe(const struct world *w, char *buf, size_t size) {
  int n = snprintf(buf, size, "seed %llu: %s, block %u, queues %zu and %zu, sends %llu and %llu, ",
                   (unsigned long long)w->seed, mode_names[w->mode], w->block, w->sides[0].rx.size,
                   w->sides[1].rx.size, (unsigned long long)w->sides[0].app.to_send,
                   (unsigned long long)w->sides[1].app.to_send);
  for (size_t i = 0; i < w->sides[1].n && n > 0 && (size_t)n < size; i++)
    n +=
        snprintf(buf + n, size - (size_t)n, "%s%s", i ? "~" : "", w->sides[1].specs[i].layer->name);
  if (n > 0 && (size_t)n < size && !w->sides[1].n)
    (void)snprintf(buf + n, size - (size_t)n, "bare");
}

/* ---- Checks after each step ---- */

static void check_edge(struct world *w, const struct ms__edge *e) {
  if (e->len > e->capacity || (e->block && e->off + e->len > e->size))
    world_blame(w, "an edge holds more than it can");
  if (e->block && !e->len) world_blame(w, "an edge at rest owns a block");
  if (!e->block && e->len) world_blame(w, "an edge holds bytes in no block");
}

static void check_side(struct side *s) {
  const ms_conn *c = s->conn;
  if (!c || c->dirty) return;
  for (size_t i = 0; i <= c->n; i++) {
    check_edge(s->world, &c->in[i]);
    check_edge(s->world, &c->out[i]);
  }
  if (s->env.pool.peak_bytes > s->bound)
    world_blame(s->world, "more blocks than the capacities allow");
}

/* ---- Running ---- */

enum action { DELIVER, FINISH, RUN, ACT, TIMER, ACTIONS };

static bool can(const struct side *s, enum action action, bool quiet) {
  switch (action) {
    case DELIVER:
      return s->conn && fake_wire_can_deliver(&s->wire);
    case FINISH:
      return s->conn && fake_wire_can_finish(&s->wire);
    case RUN:
      return ms__env_waits(&s->env);
    case ACT:
      return app_can_act(s, quiet);
    case TIMER:
      return ms__env_due(&s->env) <= s->world->now;
    case ACTIONS:
      break;
  }
  return false;
}

static size_t piece(struct rng *rng) {
  switch (rng_below(rng, 4)) {
    case 0:
      return SIZE_MAX;
    case 1:
      return rng_once_in(rng, 4) ? 1 : 300;
    case 2:
      return 1 + rng_below(rng, 37);
    default:
      return rng_size(rng, 70000);
  }
}

static void act(struct side *s, enum action action, bool quiet) {
  struct world *w = s->world;
  if (w->verbose)
    printf("%8llu %s %s\n", (unsigned long long)w->now, s->server ? "server" : "client",
           (const char *[]){"deliver", "finish", "run", "act", "timer"}[action]);
  switch (action) {
    case DELIVER:
      fake_wire_deliver(&s->wire, w->now, piece(&w->rng));
      break;
    case FINISH:
      fake_wire_finish(&s->wire, w->now, piece(&w->rng));
      break;
    case RUN:
      (void)ms__env_run(&s->env, w->now);
      break;
    case ACT:
      app_act(s, quiet);
      break;
    case TIMER:
      ms__env_ring(&s->env, w->now);
      break;
    case ACTIONS:
      break;
  }
  check_side(s);
}

/* One thing of those that can happen, at random. False: none can. */
static bool step(struct world *w, bool quiet) {
  struct {
    struct side *side;
    enum action action;
  } can_happen[2 * ACTIONS];
  size_t n = 0, i;
  for (i = 0; i < 2; i++)
    for (enum action a = DELIVER; a < ACTIONS; a++)
      if (can(&w->sides[i], a, quiet)) {
        can_happen[n].side = &w->sides[i];
        can_happen[n++].action = a;
      }
  if (!n) return false;
  i = rng_below(&w->rng, n);
  act(can_happen[i].side, can_happen[i].action, quiet);
  return true;
}

/* Nothing can happen now: the slow read, or the clock goes on to the next deadline. */
static bool move_on(struct world *w) {
  uint64_t next = MS__NEVER;
  if (w->mode == SLOW && rng_once_in(&w->rng, 2) && step(w, true)) return true;
  for (size_t i = 0; i < 2; i++) {
    uint64_t due = ms__env_due(&w->sides[i].env);
    if (due < next) next = due;
  }
  if (next == MS__NEVER) return w->mode == SLOW && step(w, true);
  if (next > w->now) w->now = next;
  return true;
}

static void judge(struct world *w) {
  for (size_t i = 0; i < 2; i++) {
    struct side *s = &w->sides[i];
    app_judge(s);
    if (s->env.pool.out) world_blame(w, "a block is out at the end");
  }
}

void world_free(struct world *w) {
  for (size_t i = 0; i < 2; i++) {
    ms__env_done(&w->sides[i].env);
    fake_queue_free(&w->sides[i].rx);
  }
  if (w->memory.out) world_blame(w, "memory is left at the end");
}

bool world_run(struct world *w) {
  for (size_t i = 0; i < 2; i++)
    make_side(w, i);
  while (!w->wrong && (step(w, false) || move_on(w)))
    if (++w->steps > w->step_limit) world_blame(w, "it does not come to an end");
  if (!w->wrong) judge(w);
  if (w->wrong) return false; /* what is left is not worth freeing */
  world_free(w);
  return !w->wrong;
}
