/* The system's resolver. getaddrinfo(3) takes as long as it likes, and nothing can stop it: so each
 * look-up has a thread of its own, up to LOOKUPS of them a loop, and those that nobody wants any
 * more hold nobody up, neither other look-ups nor the end. */
#ifndef MS_LOOP_LOOKUPS_H
#define MS_LOOP_LOOKUPS_H

#include <netdb.h>

#include "loop/loop.h"

enum { MS__LOOKUPS = 32 }; /* at the same time; more wait for one of these to end */

struct ms__lookup;

/* Told once, from the loop: 0 and what was found, to be given to freeaddrinfo, or an error of
 * getaddrinfo's (`sys`: the errno of EAI_SYSTEM). The look-up is gone. */
typedef void (*ms__found_cb)(void *user, int error, int sys, struct addrinfo *found);

/* Looks up the stream addresses of a host. NULL: there is no memory or no thread for it. */
struct ms__lookup *ms__lookup_begin(struct ms__loop *loop, const char *host, ms__found_cb cb,
                                    void *user);

/* No callback from now on. */
void ms__lookup_cancel(struct ms__loop *loop, struct ms__lookup *lookup);

/* The loop ends; all look-ups have been cancelled. */
void ms__lookups_close(struct ms__loop *loop);

#endif
