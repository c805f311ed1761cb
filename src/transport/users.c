/* Who is at a unix socket, and whom its place in the file system keeps out. */
#define _GNU_SOURCE /* struct ucred, the e of fopen */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "transport/users.h"

enum { GROUP_LEAST = 1024, GROUP_MOST = 1 << 20 }; /* bytes of what the system knows of a group */

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
static unsigned unknown(const char *map_at, const char *overflow_at) {
  static const unsigned long all = 4294967295;
  unsigned long map[3], overflow = 65534;
  if (read_numbers(map_at, map, 3) && map[0] == 0 && map[2] == all) return (unsigned)-1;
  (void)read_numbers(overflow_at, &overflow, 1);
  return (unsigned)overflow;
}

uid_t ms__users_unknown(void) {
  return (uid_t)unknown("/proc/self/uid_map", "/proc/sys/kernel/overflowuid");
}

gid_t ms__groups_unknown(void) {
  return (gid_t)unknown("/proc/self/gid_map", "/proc/sys/kernel/overflowgid");
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

bool ms__unix_is_member(int fd, gid_t group, const ms_allocator *a) {
  struct ucred peer;
  socklen_t n = sizeof peer;
  bool found = false;
  gid_t *all;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || n != sizeof peer) return false;
  if (peer.gid == group) return true;
#ifdef SO_PEERGROUPS
  n = 0;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n) == 0 || errno != ERANGE) return false;
  if (!(all = ms__malloc(a, n))) return false;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &n) == 0)
    for (size_t i = 0; i < n / sizeof *all && !found; i++)
      found = all[i] == group;
  ms__free(a, all);
#else
  (void)a;
  (void)all;
#endif
  return found;
}

/* Digits are a number, whoever has it. */
static bool read_number(const char *name, gid_t *out) {
  uint64_t value = 0;
  size_t n = strlen(name);
  if (n == 0 || n > 10 || strspn(name, "0123456789") != n) return false;
  for (; *name; name++)
    value = value * 10 + (uint64_t)(*name - '0');
  *out = (gid_t)value;
  return value < (gid_t)-1; /* that one means none */
}

int ms__group_find(const char *name, gid_t *out, const ms_allocator *a) {
  struct group group, *found = NULL;
  int r = ERANGE;
  if (read_number(name, out)) return 0;
  for (size_t n = GROUP_LEAST; r == ERANGE && n <= GROUP_MOST; n *= 4) {
    char *buf = ms__malloc(a, n);
    if (!buf) return ENOMEM;
    r = getgrnam_r(name, &group, buf, n, &found);
    if (found) *out = found->gr_gid;
    ms__free(a, buf);
  }
  return r == 0 && !found ? ENOENT : r;
}

/* Ours, and without that permission for anybody else. An access control list shows in the bits of
 * the group. */
static bool keeps_out(const struct stat *st, mode_t permission) {
  return is_own(st->st_uid) && !(st->st_mode & permission);
}

bool ms__unix_is_private(const char *path) {
  char folder[PATH_MAX], real[PATH_MAX], *slash;
  struct stat st;
  if (!*path) return false;
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
