/* The addresses of this machine's interfaces. */
#ifndef MS_TRANSPORT_INTERFACES_H
#define MS_TRANSPORT_INTERFACES_H

#include "addr/inet.h"
#include "loop/loop.h"

/* Many addresses, each once. Freed with ms__inets_free. */
struct ms__inets {
  union ms__inet *at;
  size_t count;
};

/* The addresses that peers can reach this machine's interfaces at: no loopback, none that only one
 * link knows, none that the system does not use or will not for long. False: no memory, or no
 * descriptor to ask with. */
bool ms__interfaces_list(const ms_allocator *a, struct ms__inets *out);
void ms__inets_free(const ms_allocator *a, struct ms__inets *all);

struct ms__watch;

/* From the loop: the interfaces' addresses may be others than before. Changes that come together
 * are told once. */
typedef void (*ms__watch_cb)(void *user);

/* NULL: no memory. */
struct ms__watch *ms__watch_new(struct ms__loop *loop, ms__watch_cb cb, void *user);

/* Tells soon, as if there were news; or in a few seconds, when they could not be heard now. */
void ms__watch_poke(struct ms__watch *watch);
void ms__watch_retry(struct ms__watch *watch);

/* No callback from now on. */
void ms__watch_close(struct ms__watch *watch);

#endif
