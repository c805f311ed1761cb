/* unix: stream sockets in the file system. */
#define _GNU_SOURCE /* SOCK_NONBLOCK, flock */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/transport.h"

enum { BACKLOG = 511, LOCK_TRIES = 10, LOCK_PAUSE_MSEC = 10 };

static const char *path_of(const struct ms__place *p) {
  return p->un.sun_path;
}

static int unix_place(const ms_section *section, struct ms__place *out, ms_error *err) {
  struct sockaddr_un *un = &out->un;
  size_t n = section->path ? strlen(section->path) : 0;
  memset(out, 0, sizeof *out);
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

static int failed(int sys, const char *path, ms_error *err) {
  if (sys == EADDRINUSE) {
    ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, "unix",
              "%s is in use by a running process, or is no socket", path);
    if (err) err->sys = sys;
    return MS_EADDRINUSE;
  }
  return ms__error_sys(err, MS_ELISTEN, sys, MS_PHASE_LISTEN, "unix", "cannot listen on %s", path);
}

static int unix_listen(const struct ms__place *place, bool reuse_port, struct ms__socket *out,
                       ms_error *err) {
  const struct sockaddr *address = (const struct sockaddr *)&place->address;
  int lock, sys;
  struct stat st;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  (void)reuse_port; /* a path has one listener */
  if (fd < 0) return failed(errno, path_of(place), err);
  /* bind gives the file the socket's own mode: so it is 0600 from its first moment, and the
   * process' umask, which all threads share, stays as it is */
  if (fchmod(fd, S_IRUSR | S_IWUSR) < 0) {
    sys = errno;
    close(fd);
    return failed(sys, path_of(place), err);
  }
  lock = lock_folder(path_of(place));
  sys = bind(fd, address, place->length) < 0 ? errno : 0;
  if (sys == EADDRINUSE && is_stale(place) && unlink(path_of(place)) == 0)
    sys = bind(fd, address, place->length) < 0 ? errno : 0;
  if (sys == 0 && listen(fd, BACKLOG) < 0) {
    sys = errno;
    (void)unlink(path_of(place));
  }
  memset(out, 0, sizeof *out);
  if (sys == 0 && lstat(path_of(place), &st) == 0) {
    out->device = st.st_dev;
    out->inode = st.st_ino;
  }
  if (lock >= 0) close(lock);
  if (sys) {
    close(fd);
    return failed(sys, path_of(place), err);
  }
  out->fd = fd;
  out->place = *place;
  out->unknown = ms__users_unknown();
  return 0;
}

static void unix_unlisten(struct ms__socket *s) {
  struct stat st;
  if (s->fd < 0) return;
  /* another process may have taken the place over since */
  if (lstat(path_of(&s->place), &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
    (void)unlink(path_of(&s->place));
  close(s->fd);
  s->fd = -1;
}

/* The mode of the file may be another since. */
static bool unix_is_own_peer(const struct ms__socket *s, int fd) {
  return ms__unix_is_own_peer(fd, s->unknown);
}

const struct ms__transport ms__unix = {
    .name = "unix",
    .by_host = false,
    .place = unix_place,
    .listen = unix_listen,
    .unlisten = unix_unlisten,
    .is_own_peer = unix_is_own_peer,
};
