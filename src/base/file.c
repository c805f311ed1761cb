#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int unreadable(ms_error *err, int sys, const char *path) {
  (void)ms__error_sys(err, MS_ESYSTEM, sys, MS_PHASE_NONE, NULL, "cannot be read");
  ms__error_address(err, path);
  return MS_ESYSTEM;
}

static const char *kind_of(mode_t mode) {
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "something else";
}

int ms__file_exposed(int fd, const char *path, ms_error *err) {
  struct stat st;
  bool ours, to_a_group;
  if (fstat(fd, &st) < 0) return unreadable(err, errno, path);
  ours = st.st_uid == geteuid();
  to_a_group = st.st_uid == 0 && st.st_gid != 0 && !(st.st_mode & (S_IWGRP | S_IXGRP));
  if (!(st.st_mode & S_IRWXO) && (!ours || to_a_group || !(st.st_mode & S_IRWXG))) return 0;
  (void)ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                  "is no secret: %s may open it (its mode is %04o; chmod %s makes it one)",
                  st.st_mode & S_IRWXO ? "everybody" : "its group", (unsigned)st.st_mode & 07777,
                  ours ? "600" : "o=");
  ms__error_address(err, path);
  return MS_EINVAL;
}

static int check(int fd, const char *path, const struct ms__file_rules *rules, ms_error *err) {
  struct stat st;
  if (fstat(fd, &st) < 0) return unreadable(err, errno, path);
  if (S_ISDIR(st.st_mode)) return unreadable(err, EISDIR, path);
  if (!S_ISREG(st.st_mode))
    (void)ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "is %s: it has to be a file",
                    kind_of(st.st_mode));
  else if (st.st_size > 0 && (size_t)st.st_size > rules->max)
    (void)ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL,
                    "is too large: %lld bytes, where %zu are the most", (long long)st.st_size,
                    rules->max);
  else
    return rules->secret ? ms__file_exposed(fd, path, err) : 0;
  ms__error_address(err, path);
  return MS_EINVAL;
}

/* What cannot be opened without waiting, a socket or a device that is not there, is named, too. */
static int not_opened(int sys, const char *path, ms_error *err) {
  struct stat st;
  if ((sys != ENXIO && sys != ENODEV) || stat(path, &st) < 0 || S_ISREG(st.st_mode))
    return unreadable(err, sys, path);
  (void)ms__error(err, MS_EINVAL, MS_PHASE_NONE, NULL, "is %s: it has to be a file",
                  kind_of(st.st_mode));
  ms__error_address(err, path);
  return MS_EINVAL;
}

int ms__file_open(const char *path, const struct ms__file_rules *rules, ms_error *err) {
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), r;
  if (fd < 0) return not_opened(errno, path, err);
  r = check(fd, path, rules, err);
  if (r == 0) return fd;
  (void)close(fd);
  return r;
}

ptrdiff_t ms__file_read(int fd, const char *path, char *buf, size_t size, ms_error *err) {
  size_t n = 0;
  while (n < size) {
    ssize_t k = read(fd, buf + n, size - n);
    if (k > 0)
      n += (size_t)k;
    else if (k == 0)
      break;
    else if (errno != EINTR)
      return unreadable(err, errno, path);
  }
  return (ptrdiff_t)n;
}

/* The first character of a text is ASCII here, whatever is in the rest: in two or four bytes some
 * are zero. */
size_t ms__file_mark(const char *text, size_t n, const char **why) {
  static const struct {
    const char *mark;
    size_t n;
  } others[] = {{"\xff\xfe", 2}, {"\xfe\xff", 2}, {"\0\0\xfe\xff", 4}};
  bool wide = n >= 2 && !text[0] != !text[1];
  *why = NULL;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    wide |= n >= others[i].n && memcmp(text, others[i].mark, others[i].n) == 0;
  if (wide) *why = "is UTF-16 or UTF-32: it has to be UTF-8";
  return n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

size_t ms__file_nul(const char *text, size_t n) {
  const char *nul = n ? memchr(text, '\0', n) : NULL;
  size_t line = 1;
  for (const char *p = text; nul && p < nul; p++)
    line += *p == '\n';
  return nul ? line : 0;
}

int ms__file_room(void) {
  int fds[8], sys = 0;
  size_t n = 0;
  while (n < sizeof fds / sizeof *fds && !sys)
    if ((fds[n] = open("/", O_RDONLY | O_CLOEXEC)) < 0)
      sys = errno;
    else
      n++;
  while (n > 0)
    (void)close(fds[--n]);
  return sys;
}
