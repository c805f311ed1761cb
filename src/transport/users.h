/* Users and groups, as unix sockets know them. */
#ifndef MS_TRANSPORT_USERS_H
#define MS_TRANSPORT_USERS_H

#include <sys/types.h>

#include "multiserver.h"

/* The number that users have who have none of their own here, in a user namespace that does not
 * know them all: it tells nothing. (uid_t)-1: all have one. */
uid_t ms__users_unknown(void);

/* The same of groups. */
gid_t ms__groups_unknown(void);

/* Is who has connected it our own user, or root? `unknown`: as above. */
bool ms__unix_is_own_peer(int fd, uid_t unknown);

/* Was who has connected it of this group then, be it by its supplementary groups? False also where
 * there is no memory to ask. */
bool ms__unix_is_member(int fd, gid_t group, const ms_allocator *a);

/* The group of that name, or number. 0, or an errno: ENOENT, there is none. */
int ms__group_find(const char *name, gid_t *out, const ms_allocator *a);

/* Do the mode of a unix socket's file, or a folder that it is in, keep all others out? */
bool ms__unix_is_private(const char *path);

#endif
