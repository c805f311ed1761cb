/* unix: stream sockets in the file system, and Linux' abstract ones. */
#define _GNU_SOURCE /* SOCK_NONBLOCK, O_PATH, flock */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/transport.h"

enum { OWN_MODE = S_IRUSR | S_IWUSR };
enum { BACKLOG = 511, LOCK_TRIES = 10, LOCK_PAUSE_MSEC = 10 };

static const char *path_of(const struct ms__place *p) {
  return p->un.sun_path;
}

bool ms__place_is_abstract(const struct ms__place *p) {
  return p->address.ss_family == AF_UNIX && p->length > offsetof(struct sockaddr_un, sun_path) &&
         !p->un.sun_path[0];
}

/* unix(7): a NUL and the name, whose length is that of the address; nothing ends it. */
static int abstract_place(const char *name, struct ms__place *out, ms_error *err) {
  size_t n = strlen(name);
#ifdef __linux__
  if (n < sizeof out->un.sun_path) {
    memcpy(out->un.sun_path + 1, name, n);
    out->un.sun_family = AF_UNIX;
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    return 0;
  }
  return ms__error(err, MS_EADDRESS, MS_PHASE_CONNECT, "unix",
                   "the name has %zu bytes, an abstract socket's may have %zu", n,
                   sizeof out->un.sun_path - 1);
#else
  return ms__error(err, MS_EADDRESS, MS_PHASE_CONNECT, "unix",
                   "this system has no abstract sockets: a file of that name is unix:./@...");
#endif
}

static int unix_place(const ms_section *section, struct ms__place *out, ms_error *err) {
  struct sockaddr_un *un = &out->un;
  size_t n = section->path ? strlen(section->path) : 0;
  memset(out, 0, sizeof *out);
  if (n > 1 && section->path[0] == '@') return abstract_place(section->path + 1, out, err);
  if (n == 0)
    return ms__error(err, MS_EADDRESS, MS_PHASE_CONNECT, "unix",
                     "a path is needed: unix:/run/x/socket");
  if (n >= sizeof un->sun_path)
    return ms__error(err, MS_EADDRESS, MS_PHASE_CONNECT, "unix",
                     "the path has %zu bytes, a socket's may have %zu", n, sizeof un->sun_path - 1);
  un->sun_family = AF_UNIX;
  memcpy(un->sun_path, section->path, n + 1);
  out->length = sizeof *un;
  return 0;
}

/* Is there a socket file that nobody listens on? */
static bool is_stale(const struct ms__place *place) {
  struct stat st;
  bool stale = false;
  int fd;
  if (lstat(path_of(place), &st) < 0 || !S_ISSOCK(st.st_mode)) return false;
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  if (connect(fd, (const struct sockaddr *)&place->address, place->length) < 0)
    stale = errno == ECONNREFUSED;
  close(fd);
  return stale;
}

/* The folder's lock: between "nobody listens there" and "now we do" no other process of ours may do
 * the same. Anybody who may read the folder can hold it, so it is not waited for long, and the rest
 * goes on without it: -1. */
static int lock_folder(const char *path) {
  static const struct timespec pause = {0, LOCK_PAUSE_MSEC * 1000000};
  char folder[sizeof(struct sockaddr_un)];
  char *slash;
  int fd;
  ms__text_copy(folder, sizeof folder, path);
  slash = strrchr(folder, '/');
  if (!slash)
    ms__text_copy(folder, sizeof folder, ".");
  else
    slash[slash == folder] = '\0';
  fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    (void)nanosleep(&pause, NULL);
  }
  if (fd >= 0) close(fd);
  return -1;
}

/* A descriptor of the file that has just been bound, for nothing but what it is; -1 and an errno.
 * Whoever may write the folder may have put another in its place: ours is a socket that is there
 * once, and nobody else's where its mode or group are to change. */
static int open_file(const char *path, bool changes, struct stat *st) {
  int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  if (fstat(fd, st) == 0 && S_ISSOCK(st->st_mode) && st->st_nlink == 1 &&
      (!changes || st->st_uid == geteuid()))
    return fd;
  (void)close(fd);
  errno = ESTALE;
  return -1;
}

/* proc(5): the mode of a file that is known by a descriptor of O_PATH. */
static int set_mode(int fd, mode_t mode) {
  char path[sizeof "/proc/self/fd/-2147483648"];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return chmod(path, mode);
}

/* First the group, then what the group may. Nobody gets in before it listens. Notes what to unlink,
 * and whose members the mode lets in. */
static int let_in(struct ms__socket *s, const struct ms__listening *how, ms_error *err) {
  bool regroup = how->group != (gid_t)-1, remode = how->mode != OWN_MODE;
  struct stat st;
  int r = 0, fd = open_file(path_of(&s->place), regroup || remode, &st);
  if (fd < 0)
    return ms__error_sys(err, MS_ELISTEN, errno, MS_PHASE_LISTEN, "unix",
                         "the file is not the one that was made just now");
  s->device = st.st_dev;
  s->inode = st.st_ino;
  if (regroup && fchownat(fd, "", (uid_t)-1, how->group, AT_EMPTY_PATH) < 0)
    r = ms__error_sys(err, MS_ELISTEN, errno, MS_PHASE_LISTEN, "unix",
                      "the file cannot be given to the group %lu", (unsigned long)how->group);
  else if (remode && set_mode(fd, how->mode) < 0)
    r = ms__error_sys(err, MS_ELISTEN, errno, MS_PHASE_LISTEN, "unix",
                      "the file cannot be given the mode %04o", (unsigned)how->mode);
  if (regroup) st.st_gid = how->group;
  if (how->mode & S_IWGRP && st.st_gid != ms__groups_unknown()) s->group = st.st_gid;
  (void)close(fd);
  return r;
}

static int failed(int sys, const struct ms__place *place, ms_error *err) {
  char name[sizeof place->un.sun_path + 1];
  (void)ms__place_format(place, name, sizeof name);
  if (sys == EADDRINUSE) {
    ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, "unix", "%s is in use by a running process%s",
              name, ms__place_is_abstract(place) ? "" : ", or is no socket");
    if (err) err->sys = sys;
    return MS_EADDRINUSE;
  }
  return ms__error_sys(err, MS_ELISTEN, sys, MS_PHASE_LISTEN, "unix", "cannot listen on %s", name);
}

static int bind_to(int fd, const struct ms__place *place) {
  return bind(fd, (const struct sockaddr *)&place->address, place->length) < 0 ? errno : 0;
}

/* Binds a descriptor to its file, mode 0600. 0 or an errno. */
static int bind_file(int fd, const struct ms__place *place) {
  int sys;
  /* bind gives the file the socket's own mode: so it is 0600 from its first moment, and the
   * process' umask, which all threads share, stays as it is */
  if (fchmod(fd, OWN_MODE) < 0) return errno;
  sys = bind_to(fd, place);
  if (sys == EADDRINUSE && is_stale(place) && unlink(path_of(place)) == 0) sys = bind_to(fd, place);
  return sys;
}

/* Another process may have taken the place over since. */
static void remove_file(const struct ms__socket *s) {
  struct stat st;
  if (lstat(path_of(&s->place), &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
    (void)unlink(path_of(&s->place));
}

static int listen_at_file(struct ms__socket *s, const struct ms__listening *how, ms_error *err) {
  int lock = lock_folder(path_of(&s->place)), sys = bind_file(s->fd, &s->place);
  int r = sys ? failed(sys, &s->place, err) : let_in(s, how, err);
  if (r == 0 && listen(s->fd, BACKLOG) < 0) r = failed(errno, &s->place, err);
  if (r < 0) remove_file(s);
  if (lock >= 0) close(lock);
  return r;
}

/* It has no mode: anybody may connect. */
static int listen_at_name(struct ms__socket *s, ms_error *err) {
  int sys = bind_to(s->fd, &s->place);
  if (sys == 0 && listen(s->fd, BACKLOG) < 0) sys = errno;
  return sys ? failed(sys, &s->place, err) : 0;
}

static int unix_listen(const struct ms__place *place, const struct ms__listening *how,
                       struct ms__socket *out, ms_error *err) {
  int r, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(errno, place, err);
  *out = (struct ms__socket){
      .fd = fd, .place = *place, .unknown = ms__users_unknown(), .group = (gid_t)-1};
  r = ms__place_is_abstract(place) ? listen_at_name(out, err) : listen_at_file(out, how, err);
  if (r < 0) close(fd);
  return r;
}

static void unix_unlisten(struct ms__socket *s) {
  if (s->fd < 0) return;
  if (!ms__place_is_abstract(&s->place)) remove_file(s);
  close(s->fd);
  s->fd = -1;
}

/* The mode of the file may be another since. */
static bool unix_knows_peer(const struct ms__socket *s, int fd, const ms_allocator *a) {
  return ms__unix_is_own_peer(fd, s->unknown) ||
         (s->group != (gid_t)-1 && ms__unix_is_member(fd, s->group, a));
}

const struct ms__transport ms__unix = {
    .name = "unix",
    .by_host = false,
    .place = unix_place,
    .listen = unix_listen,
    .unlisten = unix_unlisten,
    .knows_peer = unix_knows_peer,
};
