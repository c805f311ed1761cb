/* Who is at a unix socket, and whom its place in the file system keeps out. */
#define _GNU_SOURCE /* struct ucred, the e of fopen */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/transport.h"

/* What the file begins with; as many numbers, or false. */
static bool read_numbers(const char *path, unsigned long *out, size_t count) {
  FILE *f = fopen(path, "re");
  size_t n = 0;
  if (!f) return false;
  while (n < count && fscanf(f, "%lu", &out[n]) == 1)
    n++;
  (void)fclose(f);
  return n == count;
}

/* user_namespaces(7): where not every user has a number, those without one all seem to be the same,
 * who may be one with a number, too. A system that does not tell is taken for such a one. */
uid_t ms__users_unknown(void) {
  static const unsigned long all = 4294967295;
  unsigned long map[3], overflow = 65534;
  if (read_numbers("/proc/self/uid_map", map, 3) && map[0] == 0 && map[2] == all) return (uid_t)-1;
  (void)read_numbers("/proc/sys/kernel/overflowuid", &overflow, 1);
  return (uid_t)overflow;
}

static bool is_own(uid_t user) {
  return user == 0 || user == geteuid();
}

/* Whoever connected it, or made the two ends. */
bool ms__unix_is_own_peer(int fd, uid_t unknown) {
  struct ucred peer;
  socklen_t n = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || n != sizeof peer) return false;
  return is_own(peer.uid) && peer.uid != unknown;
}

/* Ours, and without that permission for anybody else. An access control list shows in the bits of
 * the group. */
static bool keeps_out(const struct stat *st, mode_t permission) {
  return is_own(st->st_uid) && !(st->st_mode & permission);
}

bool ms__unix_is_private(const struct ms__place *place) {
  const char *path = place->un.sun_path;
  char folder[PATH_MAX], real[PATH_MAX], *slash;
  struct stat st;
  if (place->length <= offsetof(struct sockaddr_un, sun_path) || !*path) return false;
  if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && keeps_out(&st, S_IWGRP | S_IWOTH))
    return true;
  (void)snprintf(folder, sizeof folder, "%s", path);
  slash = strrchr(folder, '/');
  if (slash) slash[slash == folder] = '\0';
  if (!realpath(slash ? folder : ".", real)) return false;
  do { /* who may not pass one folder gets to nothing below it */
    if (stat(*real ? real : "/", &st) == 0 && keeps_out(&st, S_IXGRP | S_IXOTH)) return true;
    slash = strrchr(real, '/');
    if (slash) *slash = '\0';
  } while (slash);
  return false;
}
