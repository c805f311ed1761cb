/* Hosts to addresses. */
#include <netdb.h>
#include <netinet/in.h>

#include "addr/addr.h"
#include "base/error.h"
#include "base/mem.h"
#include "loop/lookups.h"
#include "transport/resolve.h"

/* More addresses of one name and family than this are left out. */
enum { FAMILY_MAX = 32 };

struct ms_resolving {
  struct ms__soon soon;      /* first; what needs no look-up is told later all the same */
  struct ms__lookup *lookup; /* the system's; NULL: it has ended, or there is none */
  struct ms__loop *loop;
  ms__places_cb cb; /* NULL: cancelled */
  void *user;
  char *host;                       /* for the application's resolver; NULL: not its */
  bool asked;                       /* it has been asked, and has not answered */
  struct ms_resolving *prev, *next; /* among those asked */
  struct ms__places places;
  ms_error error;
  int port;
};

static void free_it(struct ms_resolving *l) {
  struct ms__loop *loop = l->loop;
  ms__soon_cancel(loop, &l->soon);
  ms__places_free(loop->env.allocator, &l->places);
  ms__free(loop->env.allocator, l->host);
  ms__free(loop->env.allocator, l);
  ms__loop_release(loop);
}

/* The families take turns, beginning with that of the first (RFC 8305, section 4). */
static void interleave(struct ms__places *places) {
  for (size_t i = 1; i < places->count; i++) {
    struct ms__place other;
    size_t j = i;
    while (j < places->count && places->at[j].inet.family == places->at[i - 1].inet.family)
      j++;
    if (j == places->count) return;
    other = places->at[j];
    memmove(&places->at[i + 1], &places->at[i], (j - i) * sizeof other);
    places->at[i] = other;
  }
}

static void tell(struct ms_resolving *l) {
  struct ms__places places = l->places;
  ms__places_cb cb = l->cb;
  l->cb = NULL;
  if (cb) {
    l->places.at = NULL;
    interleave(&places);
    cb(l->user, &places, false, l->error.code ? &l->error : NULL);
  }
  free_it(l);
}

static void ask(struct ms_resolving *l) {
  struct ms__loop *loop = l->loop;
  char *host = l->host; /* the answer may free the question */
  l->host = NULL;
  l->asked = true;
  l->next = loop->questions;
  if (l->next) l->next->prev = l;
  loop->questions = l;
  loop->on_resolve(l, host, loop->user);
  ms__free(loop->env.allocator, host);
}

static void on_soon(struct ms__soon *soon) {
  struct ms_resolving *l = (struct ms_resolving *)soon; /* its first member */
  if (l->host)
    ask(l);
  else
    tell(l);
}

static void no_longer_asked(struct ms_resolving *l) {
  l->asked = false;
  if (l->prev)
    l->prev->next = l->next;
  else
    l->loop->questions = l->next;
  if (l->next) l->next->prev = l->prev;
}

/* Room for `count` places. */
static bool make_places(struct ms_resolving *l, size_t count) {
  size_t n = count < 2 * FAMILY_MAX ? count : 2 * FAMILY_MAX;
  l->places.at = ms__calloc(l->loop->env.allocator, (n ? n : 1) * sizeof *l->places.at);
  return l->places.at != NULL;
}

/* One more, unless its family is not the internet's, or has enough of them. */
static void add_place(struct ms_resolving *l, const struct addrinfo *found) {
  struct ms__places *all = &l->places;
  struct ms__place *p;
  size_t same = 0;
  for (size_t i = 0; i < all->count; i++)
    if (all->at[i].inet.family == found->ai_family) same++;
  if ((found->ai_family != AF_INET && found->ai_family != AF_INET6) || same == FAMILY_MAX) return;
  p = &all->at[all->count++];
  p->transport = &ms__net;
  memcpy(&p->address, found->ai_addr, found->ai_addrlen);
  p->length = found->ai_addrlen;
  ms__inet_set_port(&p->inet, l->port);
}

static bool keep(struct ms_resolving *l, const struct addrinfo *found) {
  size_t n = 0;
  for (const struct addrinfo *i = found; i; i = i->ai_next)
    n++;
  if (!make_places(l, n)) return false;
  for (const struct addrinfo *i = found; i; i = i->ai_next)
    add_place(l, i);
  return true;
}

static void unknown(struct ms_resolving *l, int sys, const char *why) {
  ms__error(&l->error, MS_EUNKNOWNHOST, MS_PHASE_RESOLVE, "net", "unknown host: %s", why);
  l->error.sys = sys;
}

static void on_found(void *user, int error, int sys, struct addrinfo *found) {
  struct ms_resolving *l = user;
  l->lookup = NULL;
  if (error)
    unknown(l, sys, sys ? strerror(sys) : gai_strerror(error));
  else if (!keep(l, found))
    ms__error(&l->error, MS_ENOMEM, MS_PHASE_RESOLVE, "net", NULL);
  else if (l->places.count == 0)
    unknown(l, 0, "it has no address");
  if (found) freeaddrinfo(found);
  tell(l);
}

/* Both families of the loopback or the wildcard: IPv6 first, as a dial prefers it. */
static bool both(struct ms_resolving *l, bool wildcard) {
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
  struct addrinfo b = {.ai_family = AF_INET, .ai_addrlen = sizeof v4};
  struct addrinfo a = {.ai_family = AF_INET6, .ai_addrlen = sizeof v6, .ai_next = &b};
  v4.sin_addr.s_addr = htonl(wildcard ? INADDR_ANY : INADDR_LOOPBACK);
  if (!wildcard) v6.sin6_addr = in6addr_loopback;
  a.ai_addr = (struct sockaddr *)(void *)&v6;
  b.ai_addr = (struct sockaddr *)(void *)&v4;
  return keep(l, &a);
}

static struct ms_resolving *make(struct ms__loop *loop, ms__places_cb cb, void *user) {
  struct ms_resolving *l = ms__calloc(loop->env.allocator, sizeof *l);
  if (!l) return NULL;
  l->loop = loop;
  l->cb = cb;
  l->user = user;
  ms__loop_hold(loop);
  return l;
}

static void no_memory(struct ms_resolving *l) {
  ms__error(&l->error, MS_ENOMEM, MS_PHASE_RESOLVE, "net", NULL);
}

struct ms_resolving *ms__resolve_known(struct ms__loop *loop, const struct ms__place *place,
                                       const ms_error *err, ms__places_cb cb, void *user) {
  struct ms_resolving *l = make(loop, cb, user);
  if (!l) return NULL;
  if (err)
    l->error = *err;
  else if (!make_places(l, 1))
    no_memory(l);
  else
    l->places.at[l->places.count++] = *place;
  ms__soon(loop, &l->soon, on_soon);
  return l;
}

struct ms_resolving *ms__resolve_host(struct ms__loop *loop, const char *host, int port,
                                      bool wildcard, ms__places_cb cb, void *user) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
  struct addrinfo *found = NULL;
  struct ms_resolving *l = make(loop, cb, user);
  bool here = true;
  if (!l) return NULL;
  l->port = port;
  if (ms__host_is_loopback_name(host)) {
    here = both(l, wildcard && !*host);
  } else if (getaddrinfo(host, NULL, &hints, &found) == 0) {
    here = keep(l, found);
    freeaddrinfo(found);
  } else if (loop->on_resolve) {
    here = (l->host = ms__strdup(loop->env.allocator, host)) != NULL;
  } else {
    l->lookup = ms__lookup_begin(loop, host, on_found, l);
    if (l->lookup) return l;
    here = false;
  }
  if (!here) no_memory(l);
  ms__soon(l->loop, &l->soon, on_soon);
  return l;
}

void ms__resolve_cancel(struct ms_resolving *l) {
  l->cb = NULL;
  if (l->asked) return; /* its answer finds nobody */
  if (l->lookup) ms__lookup_cancel(l->loop, l->lookup);
  free_it(l);
}

void ms__resolve_forget(struct ms__loop *loop) {
  while (loop->questions) {
    struct ms_resolving *l = loop->questions;
    no_longer_asked(l);
    free_it(l);
  }
}

/* A literal address; what is none is passed over. */
static void add_literal(struct ms_resolving *l, const char *text) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
  struct addrinfo *found;
  if (getaddrinfo(text, NULL, &hints, &found) != 0) return;
  add_place(l, found);
  freeaddrinfo(found);
}

void ms_resolve_answer(ms_resolving *l, const char *const *addresses, size_t count) {
  no_longer_asked(l);
  if (!l->cb) { /* nobody waits */
    free_it(l);
    return;
  }
  if (!make_places(l, count)) {
    ms__error(&l->error, MS_ENOMEM, MS_PHASE_RESOLVE, "net", NULL);
  } else {
    for (size_t i = 0; i < count; i++)
      add_literal(l, addresses[i]);
    if (l->places.count == 0) unknown(l, 0, "it has no address");
  }
  ms__soon(l->loop, &l->soon, on_soon); /* callbacks come from the loop */
}
