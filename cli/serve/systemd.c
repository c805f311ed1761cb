/* What systemd hands to a service and wants to hear of it: sd_listen_fds(3), sd_notify(3). */
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "serve.h"

enum { FIRST = 3 };

/* A decimal number from the environment, which is not for children; -1: none. */
static long take_number(const char *name) {
  const char *text = getenv(name);
  long value =
      text && *text && strspn(text, "0123456789") == strlen(text) ? strtol(text, NULL, 10) : -1;
  (void)unsetenv(name);
  return value;
}

int cli_systemd_sockets(struct cli_sockets *out) {
  long pid = take_number("LISTEN_PID"), told = take_number("LISTEN_FDS");
  size_t n = 0;
  (void)unsetenv("LISTEN_FDNAMES");
  if (pid != (long)getpid() || told <= 0) return CLI_OK;
  while (n < (size_t)told && fcntl(FIRST + (int)n, F_SETFD, FD_CLOEXEC) == 0)
    n++;
  if (n < (size_t)told)
    cli_note(
        "LISTEN_FDS promises %ld socket%s, but descriptor %d is not open: those before are used",
        told, cli_plural((uint64_t)told), FIRST + (int)n);
  if (n == 0) return CLI_OK;
  out->fds = malloc(n * sizeof *out->fds);
  if (!out->fds) return cli_error("serve", NULL, "out of memory");
  out->count = n;
  for (size_t i = 0; i < n; i++)
    out->fds[i] = FIRST + (int)i;
  return CLI_OK;
}

static bool is_stream(int fd) {
  int type = 0;
  socklen_t n = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

/* "unix:PATH" or "unix:@NAME" of n bytes; false: no ADDRESS can say it. */
static bool name_unix(const char *path, size_t n, char *out, size_t size) {
  char *end = stpcpy(out, "unix:");
  ms_addr *addr;
  bool fits;
  if (*path) n = strnlen(path, n);
  if (2 * n + sizeof "unix:" > size) return false;
  for (size_t i = 0; i < n; i++) {
    if (path[i] == '!' || path[i] == '~') *end++ = '!';
    *end++ = i == 0 && !path[i] ? '@' : path[i];
  }
  *end = '\0';
  fits = !memchr(out, '\0', (size_t)(end - out)) && !strchr(out, ';') &&
         ms_addr_parse(&addr, out, strlen(out), MS_ADDR_LISTEN, NULL) == 0;
  if (fits) ms_addr_free(addr);
  return fits;
}

/* A NUL is shown as what cli_clean makes of other controls. */
static void describe_unix(const char *path, size_t n, char *out, size_t size) {
  size_t at = (size_t)snprintf(out, size, "the %s socket ", *path ? "unix" : "abstract");
  if (*path) n = strnlen(path, n);
  for (size_t i = 0; i < n && at + 1 < size; i++)
    out[at++] = path[i] ? path[i] : i ? '?' : '@';
  out[at] = '\0';
}

/* As an ADDRESS would begin, "net:HOST:PORT" or "unix:PATH"; in words where none would. */
static void name_socket(int fd, char *out, size_t size) {
  struct sockaddr_storage a = {0};
  const char *path = ((const struct sockaddr_un *)(const void *)&a)->sun_path;
  const size_t before = offsetof(struct sockaddr_un, sun_path);
  socklen_t n = sizeof a;
  bool named = getsockname(fd, (struct sockaddr *)&a, &n) == 0, stream = is_stream(fd);
  char host[128], port[8], unix_name[256];
  if (named && a.ss_family == AF_UNIX && n > before &&
      name_unix(path, n - before, unix_name, sizeof unix_name))
    (void)snprintf(out, size, "%s%s", stream ? "" : "messages at ", unix_name);
  else if (named && a.ss_family == AF_UNIX && n > before)
    describe_unix(path, n - before, out, size);
  else if (named && a.ss_family != AF_UNIX &&
           getnameinfo((struct sockaddr *)&a, n, host, sizeof host, port, sizeof port,
                       NI_NUMERICHOST | NI_NUMERICSERV) == 0)
    (void)snprintf(out, size, stream ? "net:%s:%s" : "UDP, %s:%s", host, port);
  else
    (void)snprintf(out, size, "descriptor %d", fd);
}

void cli_systemd_unused(const struct cli_sockets *sockets, const ms_ctx *ctx) {
  for (size_t i = 0; i < sockets->count; i++) {
    char name[256];
    if (!ms_ctx_inherited_left(ctx, sockets->fds[i])) continue;
    name_socket(sockets->fds[i], name, sizeof name);
    cli_note("systemd listens on %s, which no ADDRESS is: nobody is served there", name);
  }
}

/* A path, or "@NAME"; NULL: nobody. */
static const char *notify_socket(void) {
  const char *path = getenv("NOTIFY_SOCKET");
  return path && (*path == '/' || *path == '@') ? path : NULL;
}

bool cli_systemd_listens(void) {
  return notify_socket() != NULL;
}

void cli_systemd_tell(const char *state) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  /* who does not read must not stop us, and READY must not be lost for a moment's want of room */
  const struct timeval patience = {.tv_sec = 1};
  const char *path = notify_socket();
  size_t n = path ? strlen(path) : 0;
  int fd;
  if (n == 0 || n >= sizeof to.sun_path) return;
  memcpy(to.sun_path, path, n);
  if (*path == '@') to.sun_path[0] = '\0'; /* Linux' abstract names */
  fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) return;
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  (void)sendto(fd, state, strlen(state), 0, (struct sockaddr *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
  (void)close(fd);
}

void cli_systemd_reloading(void) {
  char state[96];
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
                 (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
  cli_systemd_tell(state);
}
