/* Who is behind the proxies that an HTTP request came through. */
#ifndef MS_LAYER_FORWARDED_H
#define MS_LAYER_FORWARDED_H

#include "addr/front.h"
#include "layer/http_head.h"

/* *peer is one of the fronts that say in a field of HTTP (X-Forwarded-For, or Forwarded, RFC 7239)
 * who is behind them, each by an entry that it appends. As long as *peer is one that does so in
 * this field, its entry is the peer in its place: in the end it is the rightmost that is not such a
 * front. One that can't be read, or says that it is not told, ends it; at most 32 are read. A port
 * that is not told is 0. NULL, or what is wrong when the first entry is missing or no entry; *peer
 * is as it was then. */
const char *ms__forwarded(const struct ms__http_head *head, const struct ms__front *fronts,
                          size_t count, union ms__inet *peer);

#endif
