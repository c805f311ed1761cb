/* The wire on libuv: a TCP or unix stream, and the block in flight. */
#ifndef MS_LOOP_STREAM_H
#define MS_LOOP_STREAM_H

#include "addr/inet.h"
#include "loop/loop.h"

struct ms__stream;

/* Told once: 0, or a negative errno. The wire may be closed in here. */
typedef void (*ms__stream_cb)(void *user, int status);

/* One that is not connected, of TCP or of unix sockets. NULL: no memory. */
struct ms__stream *ms__stream_new(struct ms__loop *loop, bool tcp);

/* Where a TCP wire is to be connected from, on any port. 0 or a negative errno. */
int ms__stream_bind(struct ms__stream *w, const union ms__inet *local);

/* Connects, to an address of so many bytes. 0 and `cb` comes from the loop, unless the wire is
 * closed before; 1, and it is connected already; or a negative errno. */
int ms__stream_connect(struct ms__stream *w, const struct sockaddr *address, socklen_t length,
                       ms__stream_cb cb, void *user);

/* Takes over a connected, non-blocking descriptor. 0 or a negative errno; then it stays the
 * caller's. */
int ms__stream_adopt(struct ms__stream *w, int fd);

/* The descriptor, or -1. */
int ms__stream_fd(const struct ms__stream *w);

/* Closes one that nobody was given the wire of; NULL is allowed. */
void ms__stream_close(struct ms__stream *w, bool reset);

/* What the pump sees of it. */
struct ms__wire *ms__stream_wire(struct ms__stream *w);

#endif
