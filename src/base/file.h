/* Files that an operator names: keys, certificates, lists. The command includes this as well. */
#ifndef MS_BASE_FILE_H
#define MS_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "multiserver.h"

/* What a file may be. */
struct ms__file_rules {
  size_t max;  /* bytes */
  bool secret; /* not open to others: see ms__file_exposed */
};

/* Opens one to be read, without ever waiting: a FIFO, a device, a socket or a folder is an error.
 * A descriptor, or MS_EINVAL, MS_ESYSTEM with *err, which has the path as its address. */
int ms__file_open(const char *path, const struct ms__file_rules *rules, ms_error *err);

/* Reads on, until the end or `size` bytes. How many, or MS_ESYSTEM with *err (as above). */
ptrdiff_t ms__file_read(int fd, const char *path, char *buf, size_t size, ms_error *err);

/* Editors mark a text: how many of its first bytes are the mark of UTF-8 (3 or 0), which is none of
 * it. *why is NULL, or what is wrong with a text that is UTF-16 or UTF-32. */
size_t ms__file_mark(const char *text, size_t n, const char **why);

/* The line, from 1, of the first NUL, which no text has and which would hide what is behind it; 0:
 * there is none. */
size_t ms__file_nul(const char *text, size_t n);

/* Is an open file no secret? It is ours and its group or others may open it, or it is anybody's and
 * everybody may (as OpenSSH has it). A file that root has given to a group of its own to read, as
 * Debian's ssl-cert, is one for root, too. Then, with *err: MS_EINVAL, else 0. */
int ms__file_exposed(int fd, const char *path, ms_error *err);

/* Are there descriptors for a loop of libuv's, which ends the process where it gets none? 0, or an
 * errno. */
int ms__file_room(void);

#endif
