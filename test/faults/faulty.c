/* A shim that is preloaded before the command and lets one call of the system fail:
 *
 *   FAULTY=KIND FAULTY_AT=N FAULTY_LOG=FILE LD_PRELOAD=libfaulty.so multiserver ...
 *
 * The N-th call of that kind fails, counted from main's start; `short` and `again` and `intr` go on
 * with every call after it up to FAULTY_TIMES (1). FILE gets "calls N" when the process exits,
 * "hit" when one has failed, and "abort" with those who called it. Its kinds are in the table
 * below. What the C library does inside itself is not seen, but for its allocations. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void faulty_disarm(void);

enum kind {
  NONE,
  ALLOC,
  FD,
  ACCEPT,
  DISK,
  DISK_IO,
  READ_IO,
  AGAIN,
  INTR,
  SHORT,
  RANDOM,
  FORK,
  THREAD,
  RESOLVE
};

static const struct {
  const char *name;
  enum kind kind;
  int error;
} kinds[] = {
    {"alloc", ALLOC, ENOMEM}, /* malloc, calloc, realloc, aligned ones */
    {"emfile", FD, EMFILE},   /* whatever makes a descriptor */
    {"enfile", FD, ENFILE},   /* the same of the whole system */
    {"accept-emfile", ACCEPT, EMFILE},
    {"accept-aborted", ACCEPT, ECONNABORTED},
    {"accept-nomem", ACCEPT, ENOMEM},
    {"enospc", DISK, ENOSPC},   /* writing and syncing regular files, writing stdout */
    {"eio", DISK_IO, EIO},      /* the same */
    {"read-eio", READ_IO, EIO}, /* reading regular files and standard input */
    {"again", AGAIN, EAGAIN},   /* reading and writing, of any descriptor that does not block */
    {"intr", INTR, EINTR},      /* whatever may be interrupted */
    {"short", SHORT, 0},        /* one byte is read or written in the place of more */
    {"random", RANDOM, ENOSYS}, /* getrandom */
    {"fork", FORK, EAGAIN},
    {"thread", THREAD, EAGAIN},
    {"resolve", RESOLVE, ENOMEM}, /* getaddrinfo */
};

static enum kind armed; /* NONE before the constructor and when the log is written */
static int error_of;
static long at, times = 1;
static atomic_long calls;
static const char *log_path;

static void note(const char *text, long n) {
  char line[64];
  int fd, k;
  if (!log_path) return;
  k = n < 0 ? snprintf(line, sizeof line, "%s\n", text)
            : snprintf(line, sizeof line, "%s %ld\n", text, n);
  fd =
      (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  (void)syscall(SYS_write, fd, line, (size_t)k);
  (void)syscall(SYS_close, fd);
}

/* Who is calling, beneath `text`. */
static void note_callers(const char *text) {
  void *frames[32];
  int n = backtrace(frames, 32), fd;
  note(text, -1);
  fd =
      log_path ? (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
  if (fd < 0) return;
  backtrace_symbols_fd(frames, n, fd);
  (void)syscall(SYS_close, fd);
}

/* Whether this call is to fail; errno is set then. */
static bool fails(enum kind kind) {
  long n;
  if (kind != armed) return false;
  n = atomic_fetch_add(&calls, 1) + 1;
  if (at == 0 || n < at || n >= at + times) return false;
  if (n == at) note_callers("hit");
  errno = error_of;
  return true;
}

static void on_crash(int number) {
  armed = NONE;
  note_callers("abort");
  (void)signal(number, SIG_DFL);
  (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
}

/* What a build for coverage does when the program is over is no matter of the program's. */
void faulty_disarm(void) {
  armed = NONE;
}

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("FAULTY"), *n = getenv("FAULTY_AT"), *most = getenv("FAULTY_TIMES");
  void *frames[4];
  (void)backtrace(frames, 4); /* loads what it needs */
  log_path = getenv("FAULTY_LOG");
  at = n ? atol(n) : 0;
  (void)signal(SIGSEGV, on_crash);
  if (most) times = atol(most);
  for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].name, name) == 0) {
      error_of = kinds[i].error;
      armed = kinds[i].kind;
    }
}

__attribute__((destructor)) static void end(void) {
  armed = NONE;
  note("calls", atomic_load(&calls));
}

/* Who leaves so has counted, too. */
void _exit(int status) {
  end();
  (void)syscall(SYS_exit_group, status);
  __builtin_unreachable();
}

void abort(void) {
  armed = NONE;
  note_callers("abort");
  (void)signal(SIGABRT, SIG_DFL);
  (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGABRT);
  __builtin_unreachable();
}

/* ---- Memory ---- */

void *malloc(size_t n) {
  return fails(ALLOC) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
  return fails(ALLOC) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
  return n && fails(ALLOC) ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n) {
  return fails(ALLOC) ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n) {
  if (fails(ALLOC)) return ENOMEM;
  *out = __libc_memalign(align, n);
  return *out ? 0 : ENOMEM;
}

/* ---- Descriptors ---- */

#define NEXT(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))
/* Calls the system's, found once. */
#define REAL(name, ...)            \
  ({                               \
    static __typeof__(&name) real; \
    if (!real) real = NEXT(name);  \
    real(__VA_ARGS__);             \
  })

static int mode_of(int flags, va_list args) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
}

int open(const char *path, int flags, ...) {
  va_list args;
  int mode;
  va_start(args, flags);
  mode = mode_of(flags, args);
  va_end(args);
  return fails(FD) || fails(INTR) ? -1 : REAL(open, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list args;
  int mode;
  va_start(args, flags);
  mode = mode_of(flags, args);
  va_end(args);
  return fails(FD) || fails(INTR) ? -1 : REAL(open64, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
  va_list args;
  int mode;
  va_start(args, flags);
  mode = mode_of(flags, args);
  va_end(args);
  return fails(FD) || fails(INTR) ? -1 : REAL(openat, dir, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) {
  return fails(FD) ? NULL : REAL(fopen, path, mode);
}

int socket(int domain, int type, int protocol) {
  return fails(FD) ? -1 : REAL(socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int fds[2]) {
  return fails(FD) ? -1 : REAL(socketpair, domain, type, protocol, fds);
}

int pipe(int fds[2]) {
  return fails(FD) ? -1 : REAL(pipe, fds);
}

int pipe2(int fds[2], int flags) {
  return fails(FD) ? -1 : REAL(pipe2, fds, flags);
}

int epoll_create1(int flags) {
  return fails(FD) ? -1 : REAL(epoll_create1, flags);
}

int eventfd(unsigned count, int flags) {
  return fails(FD) ? -1 : REAL(eventfd, count, flags);
}

int accept4(int fd, struct sockaddr *addr, socklen_t *n, int flags) {
  return fails(FD) || fails(ACCEPT) || fails(INTR) ? -1 : REAL(accept4, fd, addr, n, flags);
}

/* ---- Reading and writing ---- */

static bool is_regular(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Not what the loop has for itself: an eventfd, a pipe. */
static bool carries(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 &&
         (fd <= STDERR_FILENO || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
}

static bool does_not_block(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && flags & O_NONBLOCK;
}

static bool write_fails(int fd) {
  if ((armed == DISK || armed == DISK_IO) && (fd == STDOUT_FILENO || is_regular(fd)))
    return fails(armed);
  if ((armed == AGAIN || armed == INTR) && !carries(fd)) return false;
  return (armed == AGAIN && does_not_block(fd) && fails(AGAIN)) || fails(INTR);
}

static bool read_fails(int fd) {
  if (armed == READ_IO && (fd == STDIN_FILENO || is_regular(fd))) return fails(READ_IO);
  if ((armed == AGAIN || armed == INTR) && !carries(fd)) return false;
  return (armed == AGAIN && does_not_block(fd) && fails(AGAIN)) || fails(INTR);
}

/* libuv takes a short read of a socket for all there is, and with a hangup for the end: as the
 * kernel reads, it is. Everything may be written in part. */
static bool reads_short(int fd) {
  struct stat st;
  return armed == SHORT && fstat(fd, &st) == 0 && !S_ISSOCK(st.st_mode);
}

static size_t cut(int fd, size_t n) {
  return n > 1 && armed == SHORT && carries(fd) && fails(SHORT) ? 1 : n;
}

ssize_t write(int fd, const void *p, size_t n) {
  return write_fails(fd) ? -1 : REAL(write, fd, p, cut(fd, n));
}

ssize_t read(int fd, void *p, size_t n) {
  return read_fails(fd) ? -1 : REAL(read, fd, p, reads_short(fd) ? cut(fd, n) : n);
}

ssize_t __read_chk(int fd, void *p, size_t n, size_t room) {
  if (n > room) abort();
  return read(fd, p, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t offset) {
  return read_fails(fd) ? -1 : REAL(pread, fd, p, reads_short(fd) ? cut(fd, n) : n, offset);
}

ssize_t send(int fd, const void *p, size_t n, int flags) {
  return write_fails(fd) ? -1 : REAL(send, fd, p, cut(fd, n), flags);
}

ssize_t recv(int fd, void *p, size_t n, int flags) {
  return read_fails(fd) ? -1 : REAL(recv, fd, p, reads_short(fd) ? cut(fd, n) : n, flags);
}

/* The first piece, or one byte of it. */
static int cut_vector(int fd, const struct iovec *v, int count, struct iovec *one) {
  if (count < 1 || v[0].iov_len == 0 || armed != SHORT || !carries(fd) || !fails(SHORT))
    return count;
  *one = (struct iovec){.iov_base = v[0].iov_base, .iov_len = 1};
  return -1;
}

ssize_t writev(int fd, const struct iovec *v, int count) {
  struct iovec one;
  if (write_fails(fd)) return -1;
  return cut_vector(fd, v, count, &one) < 0 ? REAL(writev, fd, &one, 1)
                                            : REAL(writev, fd, v, count);
}

ssize_t readv(int fd, const struct iovec *v, int count) {
  struct iovec one;
  if (read_fails(fd)) return -1;
  return (reads_short(fd) ? cut_vector(fd, v, count, &one) : count) < 0 ? REAL(readv, fd, &one, 1)
                                                                        : REAL(readv, fd, v, count);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
  struct msghdr less = *m;
  struct iovec one;
  if (write_fails(fd)) return -1;
  if (!m->msg_control && cut_vector(fd, m->msg_iov, (int)m->msg_iovlen, &one) < 0) {
    less.msg_iov = &one;
    less.msg_iovlen = 1;
  }
  return REAL(sendmsg, fd, &less, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
  return read_fails(fd) ? -1 : REAL(recvmsg, fd, m, flags);
}

int fsync(int fd) {
  return write_fails(fd) ? -1 : REAL(fsync, fd);
}

/* ---- Waiting ---- */

int connect(int fd, const struct sockaddr *addr, socklen_t n) {
  return fails(INTR) ? -1 : REAL(connect, fd, addr, n);
}

int poll(struct pollfd *fds, nfds_t n, int msec) {
  return fails(INTR) ? -1 : REAL(poll, fds, n, msec);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int msec) {
  return fails(INTR) ? -1 : REAL(epoll_wait, fd, events, most, msec);
}

int epoll_pwait(int fd, struct epoll_event *events, int most, int msec, const sigset_t *set) {
  return fails(INTR) ? -1 : REAL(epoll_pwait, fd, events, most, msec, set);
}

pid_t waitpid(pid_t pid, int *status, int options) {
  return fails(INTR) ? -1 : REAL(waitpid, pid, status, options);
}

/* ---- Others ---- */

ssize_t getrandom(void *p, size_t n, unsigned flags) {
  return fails(RANDOM) ? -1 : REAL(getrandom, p, n, flags);
}

int getentropy(void *p, size_t n) {
  return fails(RANDOM) ? -1 : REAL(getentropy, p, n);
}

pid_t fork(void) {
  return fails(FORK) ? -1 : REAL(fork);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                   void *user) {
  return fails(THREAD) ? EAGAIN : REAL(pthread_create, thread, attr, run, user);
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out) {
  return fails(RESOLVE) ? EAI_MEMORY : REAL(getaddrinfo, host, port, hints, out);
}
