/* Origins of web pages (RFC 6454): whose script it is that opens a WebSocket. */
#ifndef MS_ADDR_ORIGIN_H
#define MS_ADDR_ORIGIN_H

#include <stddef.h>

enum { MS__ORIGIN_MAX = 320 }; /* the NUL included */

/* Writes the origin in the form in which browsers send it (RFC 6454, section 6.2): scheme and host
 * in small letters, without the port that is the scheme's own; a lone '/' behind it is dropped, as
 * in an address that was copied from a browser. "null", the origin of files and sandboxed frames,
 * stays what it is. NULL, or why it is no origin: `out` is undefined then. */
const char *ms__origin_parse(char out[MS__ORIGIN_MAX], const char *text, size_t length);

#endif
