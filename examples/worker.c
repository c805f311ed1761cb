/* A server whose answers take time: a thread of its own works on them, and wakes the loop with
 * each. The library is used by one thread alone; what the two hand over lies in queues under a
 * mutex.
 *
 *   ./example-worker            prints the address
 *   multiserver connect 'ADDRESS'    a number a line, and how many primes are below it comes back
 */
#include <multiserver.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A question, and then its answer. A connection may be gone by then: it is named by its number. */
struct job {
  struct job *next;
  uint64_t conn;
  unsigned long below, primes;
};

struct queue {
  struct job *first, **last;
};

struct server {
  ms_ctx *ctx;
  pthread_t worker;
  pthread_mutex_t mutex; /* of what follows */
  pthread_cond_t more;
  struct queue questions, answers;
  bool over;
};

static volatile sig_atomic_t interrupted;
static ms_ctx *woken_by_signal;

static void put(struct queue *q, struct job *job) {
  job->next = NULL;
  *q->last = job;
  q->last = &job->next;
}

/* All there is. */
static struct job *take(struct queue *q) {
  struct job *all = q->first;
  q->first = NULL;
  q->last = &q->first;
  return all;
}

/* ---- The worker's thread ---- */

static unsigned long primes_below(unsigned long n) {
  unsigned long count = 0;
  for (unsigned long i = 2; i < n; i++) {
    unsigned long j = 2;
    while (j * j <= i && i % j)
      j++;
    count += j * j > i;
  }
  return count;
}

static void *work(void *user) {
  struct server *s = user;
  pthread_mutex_lock(&s->mutex);
  while (!s->over) {
    struct job *job = s->questions.first;
    if (!job) {
      pthread_cond_wait(&s->more, &s->mutex);
      continue;
    }
    s->questions.first = job->next;
    if (!job->next) s->questions.last = &s->questions.first;
    pthread_mutex_unlock(&s->mutex);
    job->primes = primes_below(job->below);
    pthread_mutex_lock(&s->mutex);
    put(&s->answers, job);
    ms_ctx_wake(s->ctx); /* the one function that other threads may call */
  }
  pthread_mutex_unlock(&s->mutex);
  return NULL;
}

/* ---- The loop's thread ---- */

static ms_conn *find(const ms_ctx *ctx, uint64_t id) {
  ms_conn *c = ms_conn_first(ctx);
  while (c && ms_conn_id(c) != id)
    c = ms_conn_next(c);
  return c;
}

static void on_wake(ms_ctx *ctx, void *user) {
  struct server *s = user;
  struct job *job, *next;
  pthread_mutex_lock(&s->mutex);
  job = take(&s->answers);
  pthread_mutex_unlock(&s->mutex);
  for (; job; job = next) {
    ms_conn *conn = find(ctx, job->conn);
    char text[64];
    int n = snprintf(text, sizeof text, "%lu\n", job->primes);
    next = job->next;
    if (conn) ms_conn_write(conn, text, (size_t)n); /* who does not read misses some */
    free(job);
  }
}

static void ask(struct server *s, ms_conn *conn, unsigned long below) {
  struct job *job = calloc(1, sizeof *job);
  if (!job) {
    ms_conn_fail(conn, "out of memory");
    return;
  }
  job->conn = ms_conn_id(conn);
  job->below = below < 1000000 ? below : 1000000;
  pthread_mutex_lock(&s->mutex);
  put(&s->questions, job);
  pthread_cond_signal(&s->more);
  pthread_mutex_unlock(&s->mutex);
}

static void on_readable(ms_conn *conn, void *user) {
  const uint8_t *bytes, *end;
  size_t n = ms_conn_peek(conn, &bytes);
  while (n && (end = memchr(bytes, '\n', n))) {
    size_t k = (size_t)(end - bytes) + 1;
    ask(user, conn, strtoul((const char *)bytes, NULL, 10)); /* it ends at the line's end */
    ms_conn_consume(conn, k);
    n = ms_conn_peek(conn, &bytes);
  }
  if (n > 64) ms_conn_fail(conn, "a number has fewer digits");
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn, (void)err, (void)user; /* its answers find nobody */
}

static const ms_conn_events conn_events = {.on_readable = on_readable, .on_close = on_close};

static void on_connection(ms_conn *conn, void *user) {
  ms_conn_set_idle(conn, 60000); /* nobody stays for nothing */
  ms_conn_handle(conn, &conn_events, user);
}

static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer, (void)user;
  ms_conn_answer(conn, true, NULL);
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  char address[1024];
  (void)up, (void)user;
  ms_stringify(ctx, MS_DEVICE, address, sizeof address);
  puts(address);
  fflush(stdout);
}

static const ms_server_events server_events = {.on_ready = on_ready,
                                               .on_connection = on_connection};

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
  ms_ctx_wake(woken_by_signal);
}

static void free_jobs(struct job *job) {
  while (job) {
    struct job *next = job->next;
    free(job);
    job = next;
  }
}

int main(void) {
  struct server s = {.mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_identity *id = NULL;
  ms_error err;

  s.questions.last = &s.questions.first;
  s.answers.last = &s.answers.first;
  signal(SIGPIPE, SIG_IGN);
  opts.network_key = ms_scuttlebutt_network_key;
  opts.on_authorise = on_authorise;
  opts.on_wake = on_wake;
  opts.user = &s;
  if (ms_identity_generate(&id, &err) < 0) goto failed;
  opts.identity = id;
  if (ms_ctx_new(&s.ctx, &opts, &err) < 0 || ms_add(s.ctx, "net:127.0.0.1:0~shs", NULL, &err) < 0 ||
      ms_listen(s.ctx, &server_events, &s, &err) < 0)
    goto failed;
  ms_identity_free(id);
  woken_by_signal = s.ctx;
  signal(SIGINT, on_interrupt);
  pthread_create(&s.worker, NULL, work, &s);

  while (!interrupted)
    ms_ctx_run(s.ctx, -1);

  pthread_mutex_lock(&s.mutex);
  s.over = true;
  pthread_cond_signal(&s.more);
  pthread_mutex_unlock(&s.mutex);
  pthread_join(s.worker, NULL); /* nobody calls ms_ctx_wake after ms_ctx_free */
  ms_ctx_close(s.ctx, 1000, NULL, NULL);
  while (ms_ctx_run(s.ctx, -1) == 1) {
  }
  ms_ctx_free(s.ctx);
  free_jobs(s.questions.first);
  free_jobs(s.answers.first);
  return 0;

failed:
  fprintf(stderr, "%s\n", err.message);
  ms_identity_free(id);
  ms_ctx_free(s.ctx);
  return 1;
}
