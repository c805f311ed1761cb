/* TLS session tickets: a client that was here a moment ago resumes its session. What it takes is in
 * the ticket, sealed; the server keeps two keys and nothing about anybody. */
#ifndef MS_ENDPOINT_TICKETS_H
#define MS_ENDPOINT_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

enum {
  MS__TICKET_SEC = 3600, /* what a ticket is good for, and the time until its key is followed by the
                            next */
  MS__TICKETS = 2        /* that a client gets with a new session */
};

/* Servers of this context issue tickets and take those that it has issued itself: another context
 * has other keys. `now` is a clock in seconds, MS__TICKET_SEC or more. False: no memory. */
bool ms__tickets_use(struct ssl_ctx_st *ctx, uint64_t (*now)(void));

#endif
