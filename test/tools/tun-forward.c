/* A long and bad way between two network namespaces: carries IP packets between a TUN device in
 * each, late, in another order, twice or not at all.
 *
 *   tun-forward PID PID DEVICE [delay=MSEC] [jitter=MSEC] [loss=N] [duplicate=N] [reorder=N]
 * [seed=N]
 *
 * The namespaces are those of the two processes; a device DEVICE is made in both, and configured by
 * whoever waits for the word "ready". Every packet takes `delay` and a random part of `jitter`; of
 * a thousand, so many are lost, come twice, or overtake all others. It ends with its standard
 * input. */
#define _GNU_SOURCE /* setns */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 2048, WAITING = 8192, WAYS = 2, MSEC = 1000000 };

struct packet {
  uint64_t due, number; /* nsec; in the order of coming */
  int to;
  uint32_t length;
  uint8_t bytes[PACKET];
};

static struct { uint64_t delay, jitter, loss, duplicate, reorder, seed; } way = {.seed = 1};

static struct packet *waiting[WAITING]; /* a heap, the next at [0] */
static size_t count;

static void die(const char *what) {
  (void)fprintf(stderr, "tun-forward: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 * MSEC + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static uint64_t random_below(uint64_t n) {
  uint64_t z = way.seed += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return n ? (z ^ z >> 31) % n : 0;
}

/* ---- Those on their way ---- */

static int is_before(const struct packet *a, const struct packet *b) {
  return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void put(struct packet *p) {
  size_t i = count++;
  for (; i && is_before(p, waiting[(i - 1) / 2]); i = (i - 1) / 2)
    waiting[i] = waiting[(i - 1) / 2];
  waiting[i] = p;
}

static struct packet *take(void) {
  struct packet *first = waiting[0], *last = waiting[--count];
  size_t i = 0;
  for (size_t next; (next = 2 * i + 1) < count; i = next) {
    if (next + 1 < count && is_before(waiting[next + 1], waiting[next])) next++;
    if (!is_before(waiting[next], last)) break;
    waiting[i] = waiting[next];
  }
  waiting[i] = last;
  return first;
}

/* A full queue drops, as a router's does. */
static void send_off(int to, const uint8_t *bytes, size_t length) {
  static uint64_t number;
  struct packet *p;
  if (count == WAITING || random_below(1000) < way.loss) return;
  p = malloc(sizeof *p);
  if (!p) die("malloc");
  p->due = now();
  if (random_below(1000) >= way.reorder)
    p->due += way.delay * MSEC + random_below(way.jitter * MSEC + 1);
  p->number = number++;
  p->to = to;
  p->length = (uint32_t)length;
  memcpy(p->bytes, bytes, length);
  put(p);
}

static void arrive(void) {
  struct packet *p = take();
  (void)!write(p->to, p->bytes, p->length); /* a device that is down takes none */
  free(p);
}

/* ---- The devices ---- */

static int open_device(const char *pid, const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  char path[64];
  int fd;
  (void)snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) die(path);
  (void)close(fd);
  fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) die("/dev/net/tun");
  return fd;
}

static void read_option(const char *text) {
  static const struct {
    const char *name;
    uint64_t *value;
  } options[] = {{"delay=", &way.delay},         {"jitter=", &way.jitter},   {"loss=", &way.loss},
                 {"duplicate=", &way.duplicate}, {"reorder=", &way.reorder}, {"seed=", &way.seed}};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (strncmp(text, options[i].name, strlen(options[i].name)) == 0) {
      *options[i].value = strtoull(text + strlen(options[i].name), NULL, 10);
      return;
    }
  (void)fprintf(stderr, "tun-forward: %s: is no option\n", text);
  exit(2);
}

static int wait_msec(void) {
  uint64_t t = now();
  if (count == 0) return -1;
  return waiting[0]->due <= t ? 0 : (int)((waiting[0]->due - t) / MSEC + 1);
}

int main(int argc, char **argv) {
  struct pollfd fds[WAYS + 1] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
  if (argc < 4) {
    (void)fprintf(stderr, "usage: tun-forward PID PID DEVICE [OPTION=N]...\n");
    return 2;
  }
  for (int i = 4; i < argc; i++)
    read_option(argv[i]);
  for (int i = 0; i < WAYS; i++)
    fds[i].fd = open_device(argv[1 + i], argv[3]);
  (void)puts("ready");
  (void)fflush(stdout);
  while (!(fds[WAYS].revents & (POLLIN | POLLHUP))) {
    if (poll(fds, WAYS + 1, wait_msec()) < 0 && errno != EINTR) die("poll");
    for (int i = 0; i < WAYS; i++) {
      uint8_t bytes[PACKET];
      ssize_t n;
      while ((n = read(fds[i].fd, bytes, sizeof bytes)) > 0)
        for (int copies = random_below(1000) < way.duplicate ? 2 : 1; copies; copies--)
          send_off(fds[!i].fd, bytes, (size_t)n);
    }
    while (count && waiting[0]->due <= now())
      arrive();
  }
  return 0;
}
