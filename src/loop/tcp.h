/* Options of connected TCP sockets. All take a descriptor. */
#ifndef MS_LOOP_TCP_H
#define MS_LOOP_TCP_H

#include <stdint.h>

/* Packets leave at once (a packet is all the application has to say for now), and a peer that is
 * gone without a word is noticed after some two minutes. All of it is best effort. */
void ms__tcp_tune(int fd);

/* How soon such a peer is noticed, in msec, at the least some five seconds; UINT32_MAX: never. What
 * was written and is not acknowledged is not waited for any longer either. 0 or a negative errno.
 * (RFC 9293, section 3.8.4; RFC 5482) */
int ms__tcp_keep(int fd, uint32_t msec);

/* The smoothed round-trip time in microseconds (RFC 6298); 0: it is not known. */
uint32_t ms__tcp_rtt(int fd);

#endif
