#include "loop/lookups.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* All of this is of malloc: threads that outlive the context come back to it, and an application's
 * allocator belongs to one thread. */

enum stage { WAITING, RUNNING, FOUND };

struct ms__lookup {
  struct ms__lookup *next; /* while it waits, or is found */
  enum stage stage;
  ms__found_cb cb; /* NULL: cancelled */
  void *user;
  int error, sys;
  struct addrinfo *found;
  char host[];
};

struct list {
  struct ms__lookup *first, **end;
};

/* What the loop and its threads share, under the mutex; freed by the last. */
struct ms__lookups {
  pthread_mutex_t mutex;
  unsigned threads;
  bool closed; /* the loop has gone */
  struct list waiting, found;

  /* the loop's alone */
  uv_async_t news; /* something is found; open until `closed` */
  size_t wanted;   /* look-ups that are not cancelled */
};

/* ---- Lists ---- */

static void add(struct list *list, struct ms__lookup *l) {
  l->next = NULL;
  *list->end = l;
  list->end = &l->next;
}

/* The first, or NULL. */
static struct ms__lookup *take_first(struct list *list) {
  struct ms__lookup *l = list->first;
  if (!l) return NULL;
  list->first = l->next;
  if (!list->first) list->end = &list->first;
  return l;
}

static void take(struct list *list, const struct ms__lookup *l) {
  struct ms__lookup **at = &list->first;
  while (*at != l)
    at = &(*at)->next;
  *at = l->next;
  if (!*at) list->end = at;
}

static void free_lookup(struct ms__lookup *l) {
  if (l->found) freeaddrinfo(l->found);
  free(l);
}

static void free_all(struct ms__lookups *all) {
  (void)pthread_mutex_destroy(&all->mutex);
  free(all);
}

/* ---- A thread ---- */

static void *work(void *arg) {
  static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
  struct ms__lookups *all = arg;
  struct ms__lookup *l;
  bool last;
  (void)pthread_mutex_lock(&all->mutex);
  while ((l = take_first(&all->waiting))) {
    l->stage = RUNNING;
    (void)pthread_mutex_unlock(&all->mutex);
    l->error = getaddrinfo(l->host, NULL, &hints, &l->found);
    l->sys = l->error == EAI_SYSTEM ? errno : 0;
    (void)pthread_mutex_lock(&all->mutex);
    l->stage = FOUND;
    if (!l->cb) {
      free_lookup(l);
      continue;
    }
    add(&all->found, l);
    (void)uv_async_send(&all->news);
  }
  last = --all->threads == 0 && all->closed;
  (void)pthread_mutex_unlock(&all->mutex);
  if (last) free_all(all);
  return NULL;
}

/* Signals are the application's threads'. */
static bool start_thread(struct ms__lookups *all) {
  sigset_t every, before;
  pthread_attr_t attr;
  pthread_t thread;
  bool ok;
  (void)sigfillset(&every);
  if (pthread_attr_init(&attr) != 0) return false;
  (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  (void)pthread_sigmask(SIG_SETMASK, &every, &before);
  ok = pthread_create(&thread, &attr, work, all) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  (void)pthread_attr_destroy(&attr);
  return ok;
}

/* ---- The loop's side ---- */

/* Only those that somebody waits for keep the loop alive. */
static void no_longer_wanted(struct ms__lookups *all) {
  if (--all->wanted == 0) uv_unref((uv_handle_t *)&all->news);
}

static void on_news(uv_async_t *news) {
  struct ms__lookups *all = news->data;
  for (;;) {
    struct ms__lookup *l;
    (void)pthread_mutex_lock(&all->mutex);
    l = take_first(&all->found);
    (void)pthread_mutex_unlock(&all->mutex);
    if (!l) return;
    no_longer_wanted(all);
    l->cb(l->user, l->error, l->sys, l->error ? NULL : l->found);
    free(l);
  }
}

static struct ms__lookups *lookups_of(struct ms__loop *loop) {
  struct ms__lookups *all = loop->lookups;
  if (all) return all;
  all = calloc(1, sizeof *all);
  if (!all || pthread_mutex_init(&all->mutex, NULL) != 0) {
    free(all);
    return NULL;
  }
  all->waiting.end = &all->waiting.first;
  all->found.end = &all->found.first;
  all->news.data = all;
  if (uv_async_init(loop->uv, &all->news, on_news) < 0) {
    free_all(all);
    return NULL;
  }
  loop->armed++;
  uv_unref((uv_handle_t *)&all->news);
  loop->lookups = all;
  return all;
}

struct ms__lookup *ms__lookup_begin(struct ms__loop *loop, const char *host, ms__found_cb cb,
                                    void *user) {
  struct ms__lookups *all = lookups_of(loop);
  struct ms__lookup *l = all ? calloc(1, sizeof *l + strlen(host) + 1) : NULL;
  if (!l) return NULL;
  l->cb = cb;
  l->user = user;
  (void)strcpy(l->host, host);
  (void)pthread_mutex_lock(&all->mutex);
  add(&all->waiting, l);
  if (all->threads < MS__LOOKUPS && start_thread(all)) all->threads++;
  if (all->threads == 0) {
    take(&all->waiting, l);
    free(l);
    l = NULL;
  }
  (void)pthread_mutex_unlock(&all->mutex);
  if (l && all->wanted++ == 0) uv_ref((uv_handle_t *)&all->news);
  return l;
}

void ms__lookup_cancel(struct ms__loop *loop, struct ms__lookup *l) {
  struct ms__lookups *all = loop->lookups;
  (void)pthread_mutex_lock(&all->mutex);
  l->cb = NULL;
  if (l->stage == WAITING) take(&all->waiting, l);
  if (l->stage == FOUND) take(&all->found, l);
  if (l->stage != RUNNING) free_lookup(l); /* else its thread does */
  (void)pthread_mutex_unlock(&all->mutex);
  no_longer_wanted(all);
}

static void on_closed(uv_handle_t *news) {
  struct ms__lookups *all = news->data;
  bool last;
  (void)pthread_mutex_lock(&all->mutex);
  all->closed = true;
  last = all->threads == 0;
  (void)pthread_mutex_unlock(&all->mutex);
  if (last) free_all(all);
}

/* A thread that still runs has nothing to tell: what it looks up is cancelled. */
void ms__lookups_close(struct ms__loop *loop) {
  if (loop->lookups) uv_close((uv_handle_t *)&loop->lookups->news, on_closed);
  loop->lookups = NULL;
}
