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
#include "transport/resolve.h"
#include "transport/sockets.h"
#include "transport/users.h"

enum { OWN_MODE = 0600, GROUP_MODE = 0660 };
enum { BACKLOG = 511, LOCK_TRIES = 10, LOCK_PAUSE_MSEC = 10 };

struct opts {
  mode_t mode; /* of the file; the owner may read and write */
  gid_t group; /* of it; (gid_t)-1: what the system gives it */
  bool asked;  /* for one of them */
  bool open;   /* nobody sees to who enters: our own user, and the group's */
  struct ms__inherited_set *inherited;
};

static const char *path_of(const struct ms__place *p) {
  return p->un.sun_path;
}

/* Is it no file, but a name of this network namespace's? */
static bool is_abstract(const struct ms__place *p) {
  return p->length > offsetof(struct sockaddr_un, sun_path) && !p->un.sun_path[0];
}

/* ---- Options ---- */

/* What is wrong with a mode; NULL: nothing. */
static const char *bad_mode(unsigned mode, bool group) {
  if (mode > 0777 || (mode & OWN_MODE) != OWN_MODE)
    return "is none of a socket: those are 0600 to 0777, the owner may read and write";
  if (group && !(mode & S_IWGRP)) return "does not let the group in: to connect is to write";
  return NULL;
}

static int find_group(const char *name, gid_t *out, const ms_allocator *a, ms_error *err) {
  int r = ms__group_find(name, out, a);
  if (r == 0) return 0;
  if (r == ENOMEM) return ms__error(err, MS_ENOMEM, MS_PHASE_NONE, NULL, NULL);
  if (r == ENOENT)
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, "unix", "there is no group '%.64s'", name);
  return ms__error_sys(err, MS_ESYSTEM, r, MS_PHASE_NONE, "unix",
                       "the group '%.64s' could not be looked up", name);
}

/* Who may open the socket that it makes. */
static int unix_configure(void *out, const struct ms__transport_config *from, ms_error *err) {
  const char *group = from->stack ? from->stack->unix_group : NULL, *why;
  unsigned mode = from->stack ? from->stack->unix_mode : 0;
  struct opts *o = out;
  bool asked = mode || group;
  if (!mode) mode = group ? GROUP_MODE : OWN_MODE;
  *o = (struct opts){.mode = mode,
                     .group = (gid_t)-1,
                     .asked = asked,
                     .open = from->open,
                     .inherited = from->inherited};
  if (!from->stack || !from->section->path || !*from->section->path) return 0;
  if (asked && from->section->path[0] == '@')
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, "unix",
                     "an abstract socket is no file: it has neither a mode nor a group");
  if ((why = bad_mode(mode, group != NULL)))
    return ms__error(err, MS_EINVAL, MS_PHASE_NONE, "unix", "the mode %04o %s", mode, why);
  if (mode & S_IWOTH && from->open)
    return ms__error(err, MS_EINSECURE, MS_PHASE_NONE, "unix",
                     "nothing authenticates who comes, and the mode %04o lets every user in", mode);
  return group ? find_group(group, &o->group, from->allocator, err) : 0;
}

/* ---- Where and whereto ---- */

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

static int read_place(const ms_section *section, struct ms__place *out, ms_error *err) {
  struct sockaddr_un *un = &out->un;
  size_t n = section->path ? strlen(section->path) : 0;
  memset(out, 0, sizeof *out);
  out->transport = &ms__unix;
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

static struct ms_resolving *unix_resolve(struct ms__loop *loop, const ms_section *section,
                                         const void *opts, bool listen, ms__places_cb cb,
                                         void *user) {
  struct ms__place place;
  ms_error err;
  bool known = read_place(section, &place, &err) == 0;
  (void)opts;
  (void)listen;
  return ms__resolve_known(loop, &place, known ? NULL : &err, cb, user);
}

static void cannot_connect(const struct ms__place *place, const union ms__inet *from, int status,
                           ms_error *err) {
  (void)place;
  (void)from;
  ms__error_sys(err, MS_ECONNECT, -status, MS_PHASE_CONNECT, NULL, "could not connect");
}

static struct ms__connecting *unix_connect(struct ms__loop *loop, const struct ms__place *place,
                                           const void *opts, ms__connected_cb cb, void *user) {
  (void)opts;
  return ms__socket_connect(loop, place, NULL, cannot_connect, cb, user);
}

static bool unix_local(const struct ms__wire *wire, struct ms__place *out) {
  return ms__socket_place(wire->ops->fd(wire), &ms__unix, out);
}

/* ---- Places ---- */

/* An abstract name is not ended. */
static size_t unix_text(const struct ms__place *p, char *buf, size_t size) {
  size_t start = offsetof(struct sockaddr_un, sun_path);
  size_t most = p->length > start ? p->length - start : 0;
  bool abstract = is_abstract(p);
  return (size_t)snprintf(buf, size, "%s%.*s", abstract ? "@" : "", (int)(most - abstract),
                          p->un.sun_path + abstract);
}

/* No address, and yet known to be somebody here. */
static void unix_ip(const struct ms__place *p, union ms__inet *out) {
  (void)p;
  out->family = AF_UNIX;
}

/* ---- Listening ---- */

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
static int let_in(struct ms__socket *s, const struct opts *o, ms_error *err) {
  bool regroup = o->group != (gid_t)-1, remode = o->mode != OWN_MODE;
  struct stat st;
  int r = 0, fd = open_file(path_of(&s->place), regroup || remode, &st);
  if (fd < 0)
    return ms__error_sys(err, MS_ELISTEN, errno, MS_PHASE_LISTEN, "unix",
                         "the file is not the one that was made just now");
  s->device = st.st_dev;
  s->inode = st.st_ino;
  if (regroup && fchownat(fd, "", (uid_t)-1, o->group, AT_EMPTY_PATH) < 0)
    r = ms__error_sys(err, MS_ELISTEN, errno, MS_PHASE_LISTEN, "unix",
                      "the file cannot be given to the group %lu", (unsigned long)o->group);
  else if (remode && set_mode(fd, o->mode) < 0)
    r = ms__error_sys(err, MS_ELISTEN, errno, MS_PHASE_LISTEN, "unix",
                      "the file cannot be given the mode %04o", (unsigned)o->mode);
  if (regroup) st.st_gid = o->group;
  if (o->mode & S_IWGRP && st.st_gid != ms__groups_unknown()) s->group = st.st_gid;
  (void)close(fd);
  return r;
}

static int failed(int sys, const struct ms__place *place, ms_error *err) {
  char name[sizeof place->un.sun_path + 1];
  (void)unix_text(place, name, sizeof name);
  if (sys == EADDRINUSE) {
    ms__error(err, MS_EADDRINUSE, MS_PHASE_LISTEN, "unix", "%s is in use by a running process%s",
              name, is_abstract(place) ? "" : ", or is no socket");
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

static int listen_at_file(struct ms__socket *s, const struct opts *o, ms_error *err) {
  int lock = lock_folder(path_of(&s->place)), sys = bind_file(s->fd, &s->place);
  int r = sys ? failed(sys, &s->place, err) : let_in(s, o, err);
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

static int open_socket(const struct ms__place *place, const struct opts *o, struct ms__socket *out,
                       ms_error *err) {
  int r, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(errno, place, err);
  *out = (struct ms__socket){
      .fd = fd, .place = *place, .unknown = ms__users_unknown(), .group = (gid_t)-1};
  r = is_abstract(place) ? listen_at_name(out, err) : listen_at_file(out, o, err);
  if (r < 0) close(fd);
  return r;
}

/* One that we are given may have any mode, and where it lets others in they are not turned away
 * behind somebody's back. */
static int take_inherited(const struct ms__loop *loop, const struct opts *o,
                          const struct ms__socket *s, ms_error *err) {
  if (o->asked)
    ms__loop_log(loop, MS_LOG_WARN,
                 "listen: unix:%s: who handed the socket over has set its mode and group "
                 "(SocketMode, SocketGroup): they stay as they are",
                 path_of(&s->place));
  if (!o->open || is_abstract(&s->place) || ms__unix_is_private(path_of(&s->place))) return 0;
  (void)ms__inherited_give(o->inherited, s);
  return ms__error(err, MS_EINSECURE, MS_PHASE_LISTEN, "unix",
                   "nothing authenticates who comes, and the mode of the socket and its folder let "
                   "other users in: give it mode 0600 (SocketMode=0600)");
}

static void close_socket(struct ms__socket *s) {
  if (!is_abstract(&s->place)) remove_file(s);
  (void)close(s->fd);
}

/* The mode of the file may be another since. */
static bool knows(const struct ms__socket *s, int fd, const ms_allocator *a) {
  return ms__unix_is_own_peer(fd, s->unknown) ||
         (s->group != (gid_t)-1 && ms__unix_is_member(fd, s->group, a));
}

static int unix_listen(struct ms__loop *loop, const struct ms__listen_request *request,
                       struct ms__listening **out, ms_error *err) {
  static const struct ms__socket_kind kind = {
      .transport = &ms__unix, .close = close_socket, .knows = knows};
  const struct ms__place *place = &request->places->at[0];
  const struct opts *o = request->opts;
  struct ms__listening *l = ms__listening_new(loop, &kind, request);
  struct ms__socket socket;
  int r;
  if (!l) return ms__error(err, MS_ENOMEM, MS_PHASE_LISTEN, "unix", NULL);
  l->inherited = o->inherited;
  l->open = o->open;
  if (ms__inherited_take(o->inherited, place, &socket))
    r = take_inherited(loop, o, &socket, err);
  else
    r = open_socket(place, o, &socket, err);
  if (r == 0) r = ms__listening_add(l, &socket, err);
  if (r < 0)
    ms__listening_free(l);
  else
    *out = l;
  return r;
}

const struct ms__transport ms__unix = {
    .name = "unix",
    .options = sizeof(struct opts),
    .configure = unix_configure,
    .resolve = unix_resolve,
    .connect = unix_connect,
    .cancel = ms__socket_cancel,
    .listen = unix_listen,
    .unlisten = ms__listening_free,
    .bound = ms__listening_bound,
    .text = unix_text,
    .ip = unix_ip,
    .local = unix_local,
};
