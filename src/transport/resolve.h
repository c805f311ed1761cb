/* Hosts to places. */
#ifndef MS_TRANSPORT_RESOLVE_H
#define MS_TRANSPORT_RESOLVE_H

#include "transport/transport.h"

/* Looks a host and port up, for net. "" and localhost are loopback of both families, a literal
 * address is itself. `wildcard`: "" is the wildcard of both. The families take turns (RFC 8305,
 * section 4). NULL: no memory. */
struct ms_resolving *ms__resolve_host(struct ms__loop *loop, const char *host, int port,
                                      bool wildcard, ms__places_cb cb, void *user);

/* Tells of one place that is known; or, with `err`, why it is none. NULL: no memory. */
struct ms_resolving *ms__resolve_known(struct ms__loop *loop, const struct ms__place *place,
                                       const ms_error *err, ms__places_cb cb, void *user);

/* What the application's resolver was asked, and has not answered, is nobody's any more; all of it
 * has been cancelled. */
void ms__resolve_forget(struct ms__loop *loop);

#endif
