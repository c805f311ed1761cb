/* Who is behind the proxies that an HTTP request came through. */
#ifndef MS_LAYER_FORWARDED_H
#define MS_LAYER_FORWARDED_H

#include "addr/cidr.h"
#include "layer/http_head.h"

/* As long as *peer is one of the trusted, the entry that it appended to X-Forwarded-For (or, where
 * there is none, to Forwarded, RFC 7239) is the peer in its place: in the end it is the rightmost
 * that is not trusted. An entry that can't be read ends it; at most 32 are. A port that is not told
 * is 0. */
void ms__forwarded(const struct ms__http_head *head, const struct ms__cidr *trusted, size_t count,
                   union ms__inet *peer);

#endif
