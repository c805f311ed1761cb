/* Peers that mean no good, many in one process:
 *
 *   hostile KIND PORT COUNT [KEY]
 *
 * COUNT connections to 127.0.0.1:PORT, each of which does what KIND says, and is opened again when
 * it has been closed. Says "up" when all have been opened once, and "N closed, M bytes sent" when
 * its standard input ends; then all are reset. KEY is the server's, for those that prove one. One
 * loop, no thread, nothing that is not needed: what is measured is the server. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "layer/shs_steps.h"

enum { AT_ONCE = 64, TICK_MSEC = 50, ROUND = 65536, OPENING_MAX = 1 << 18 };

static const char upgrade[] =
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/* ---- What they say ---- */

struct text {
  uint8_t *at;
  size_t n;
};

static void add(struct text *t, const void *bytes, size_t n) {
  if (t->n + n > OPENING_MAX) abort(); /* ours */
  memcpy(t->at + t->n, bytes, n);
  t->n += n;
}

static void add_filled(struct text *t, int byte, size_t n) {
  if (t->n + n > OPENING_MAX) abort();
  memset(t->at + t->n, byte, n);
  t->n += n;
}

static void no_text(struct text *t) {
  (void)t;
}

static void garbage(struct text *t) {
  for (unsigned i = 0, a = 1; i < 64; i++, a = a * 1103515245u + 12345u)
    add_filled(t, (int)(a >> 16 & 0xff), 1);
}

/* The most that is not too much: the head is never whole. */
static void head(struct text *t) {
  static const char line[] = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
  add(t, line, sizeof line - 1);
  add_filled(t, 'a', 16000);
}

/* Records of a handshake message that is to have 131,000 bytes, and never has its last. */
static void client_hello(struct text *t) {
  static const uint8_t message[] = {1, 1, 0xff, 0xb8};
  for (unsigned i = 0; i < 8; i++) {
    const uint8_t record[] = {22, 3, 1, 0x3e, 0x80};
    add(t, record, sizeof record);
    if (i == 0) add(t, message, sizeof message);
    add_filled(t, 3, 16000 - (i == 0 ? sizeof message : 0));
  }
}

static void frames_of(struct text *t, uint8_t opcode, size_t n) {
  const uint8_t frame[] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | n), 0, 0, 0, 0};
  while (t->n + sizeof frame + n <= ROUND) {
    add(t, frame, sizeof frame);
    add_filled(t, 'x', n);
  }
}

static void pings(struct text *t) {
  frames_of(t, 9, 0);
}

static void tiny_frames(struct text *t) {
  frames_of(t, 2, 1);
}

static void bytes(struct text *t) {
  add_filled(t, 'x', ROUND);
}

static void page(struct text *t) {
  static const char request[] = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
  add(t, request, sizeof request - 1);
}

enum how { ONCE, DRIPPING, FLOODING };

static const struct kind {
  const char *name;
  void (*say)(struct text *t);
  enum how how;
  bool upgrades, reads;
  bool enters; /* by secret-handshake; then an unfinished packet */
} kinds[] = {
    {"silent", no_text, ONCE, false, true, false},
    {"drip", head, DRIPPING, false, true, false},
    {"hello", garbage, ONCE, false, true, false},
    {"head", head, ONCE, false, true, false},
    {"client-hello", client_hello, ONCE, false, true, false},
    {"unfinished", no_text, ONCE, false, true, true},
    {"pings", pings, FLOODING, true, true, false},
    {"frames", tiny_frames, FLOODING, true, true, false},
    {"bytes", bytes, FLOODING, false, true, false},
    {"slow", bytes, FLOODING, false, false, false},
    {"page", page, ONCE, false, false, false},
};

/* ---- Their life ---- */

struct peer {
  int fd; /* -1: not open */
  size_t at;
  bool upgraded, sent_upgrade, opened;
};

static struct {
  const struct kind *kind;
  struct sockaddr_in to;
  struct text text;
  struct peer *peers;
  size_t count, opened, pending;
  unsigned long closed;
  unsigned long long sent;
  int epoll;
  uint8_t key[MS_KEY_BYTES];
  ms_identity *me;
} all;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void set_events(const struct peer *p, uint32_t events, int how) {
  struct epoll_event e = {.events = events, .data.ptr = (void *)(uintptr_t)p};
  if (epoll_ctl(all.epoll, how, p->fd, &e) < 0) die("epoll_ctl");
}

/* ---- Those that come in ---- */

static bool send_all(int fd, const void *bytes, size_t n) {
  return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool receive_all(int fd, void *bytes, size_t n) {
  return recv(fd, bytes, n, MSG_WAITALL) == (ssize_t)n;
}

/* The handshake, waiting for each answer. */
static bool enter(int fd, struct ms__box_writer *out) {
  struct ms__shs_steps s;
  struct ms__box_reader in;
  uint8_t ephemeral[32], message[MS__SHS_AUTH];
  randombytes_buf(ephemeral, sizeof ephemeral);
  ms__shs_begin(&s, ms_scuttlebutt_network_key, ephemeral, all.key);
  ms__shs_write_hello(&s, message);
  if (!send_all(fd, message, MS__SHS_HELLO) || !receive_all(fd, message, MS__SHS_HELLO) ||
      ms__shs_read_hello(&s, message) < 0 || ms__shs_write_auth(&s, all.me, message) < 0 ||
      !send_all(fd, message, MS__SHS_AUTH) || !receive_all(fd, message, MS__SHS_ACCEPT) ||
      ms__shs_read_accept(&s, message) < 0)
    return false;
  ms__shs_finish(&s, false, &in, out);
  return true;
}

/* 17,466 bytes of a packet of 65,535, behind its header. */
static bool leave_unfinished(int fd) {
  static const uint8_t body[17466];
  struct ms__box_writer out;
  uint8_t header[18] = {0xff, 0xff}, box[MS__BOX_HEAD];
  if (!enter(fd, &out)) return false;
  (void)crypto_secretbox_easy(box, header, sizeof header, out.nonce, out.key);
  all.sent += sizeof box + sizeof body;
  return send_all(fd, box, sizeof box) && send_all(fd, body, sizeof body);
}

/* Blocks, for a second at the most: the others only wait. */
static bool come_in(const struct peer *p) {
  struct timeval patience = {.tv_sec = 1};
  bool done;
  (void)fcntl(p->fd, F_SETFL, 0);
  (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  done = leave_unfinished(p->fd);
  (void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
  return done;
}

/* ---- All of them ---- */

static void open_peer(struct peer *p) {
  int small = 4096;
  *p = (struct peer){.fd = socket(AF_INET, SOCK_STREAM, 0), .opened = p->opened};
  if (p->fd < 0) die("socket");
  (void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
  if (!all.kind->reads) (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (connect(p->fd, (struct sockaddr *)&all.to, sizeof all.to) < 0 && errno != EINPROGRESS) {
    (void)close(p->fd);
    p->fd = -1;
    return;
  }
  all.pending++;
  set_events(p, EPOLLOUT | (all.kind->reads ? EPOLLIN : 0), EPOLL_CTL_ADD);
}

static void close_peer(struct peer *p, bool reset) {
  struct linger now = {.l_onoff = 1};
  if (reset) (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (!p->opened) all.pending--;
  (void)close(p->fd);
  p->fd = -1;
  all.closed++;
}

/* One that has to be heard before more is said. */
static void on_opened(struct peer *p) {
  if (p->opened) return;
  p->opened = true;
  all.pending--;
  if (++all.opened == all.count) {
    (void)puts("up");
    (void)fflush(stdout);
  }
}

/* False: it is over. What has been sent is not sent again, but by those who flood. */
static bool say(struct peer *p) {
  size_t most = all.kind->how == DRIPPING ? 1 : all.text.n - p->at;
  ssize_t n;
  if (all.kind->upgrades && !p->sent_upgrade) {
    n = send(p->fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL);
    p->sent_upgrade = n > 0;
    return n > 0 || errno == EAGAIN;
  }
  if ((all.kind->upgrades && !p->upgraded) || most == 0 || p->at == all.text.n) return true;
  n = send(p->fd, all.text.at + p->at, most, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN;
  all.sent += (unsigned long long)n;
  p->at += (size_t)n;
  if (p->at == all.text.n && all.kind->how == FLOODING) p->at = 0;
  return true;
}

static bool wants_out(const struct peer *p) {
  if (all.kind->upgrades && !p->upgraded) return !p->sent_upgrade;
  return all.kind->how != DRIPPING && p->at < all.text.n;
}

static bool hear(struct peer *p) {
  static char room[ROUND];
  ssize_t n = recv(p->fd, room, sizeof room, 0);
  if (n > 0 && memmem(room, (size_t)n, "\r\n\r\n", 4)) p->upgraded = true;
  return n > 0 || (n < 0 && errno == EAGAIN);
}

static void on_event(struct peer *p, uint32_t events) {
  bool alive = true;
  if (p->fd < 0) return;
  if (events & (EPOLLERR | EPOLLHUP)) alive = false;
  if (alive && events & EPOLLOUT && all.kind->enters && !p->upgraded)
    alive = p->upgraded = come_in(p);
  if (alive && events & EPOLLOUT) on_opened(p);
  if (alive && events & EPOLLIN) alive = hear(p);
  if (alive && events & (EPOLLOUT | EPOLLIN) && all.kind->how != DRIPPING) alive = say(p);
  if (!alive)
    close_peer(p, false);
  else
    set_events(p, (wants_out(p) ? EPOLLOUT : 0) | (all.kind->reads ? EPOLLIN : 0), EPOLL_CTL_MOD);
}

/* Those that are closed come again, not all at once; those that drip say one more byte. */
static void tick(void) {
  for (size_t i = 0; i < all.count; i++) {
    struct peer *p = &all.peers[i];
    if (p->fd < 0 && all.pending < AT_ONCE) open_peer(p);
    if (p->fd >= 0 && p->opened && all.kind->how == DRIPPING && !say(p)) close_peer(p, false);
  }
}

static const struct kind *find(const char *name) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
  return NULL;
}

static bool read_key(const char *text) {
  size_t n;
  ms_error err;
  return text && ms_identity_generate(&all.me, &err) == 0 &&
         sodium_base642bin(all.key, sizeof all.key, text, strlen(text), NULL, &n, NULL,
                           sodium_base64_VARIANT_ORIGINAL) == 0 &&
         n == sizeof all.key;
}

static void run(void) {
  struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL}, got[256];
  if (epoll_ctl(all.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &in) < 0) die("stdin");
  for (;;) {
    int n = epoll_wait(all.epoll, got, 256, TICK_MSEC);
    bool over = false;
    for (int i = 0; i < n; i++)
      if (got[i].data.ptr)
        on_event(got[i].data.ptr, got[i].events);
      else
        over = true;
    if (over) return;
    tick();
  }
}

int main(int argc, char **argv) {
  struct rlimit files = {0};
  if (argc < 4 || !(all.kind = find(argv[1])) || (all.kind->enters && !read_key(argv[4]))) {
    (void)fprintf(stderr, "usage: hostile KIND PORT COUNT [KEY]; KIND is one of");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
      (void)fprintf(stderr, " %s", kinds[i].name);
    (void)fputc('\n', stderr);
    return 2;
  }
  (void)getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &files);
  all.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  all.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  all.count = (size_t)atol(argv[3]);
  all.peers = calloc(all.count, sizeof *all.peers);
  all.text.at = malloc(OPENING_MAX);
  all.epoll = epoll_create1(0);
  if (!all.peers || !all.text.at || all.epoll < 0) die("hostile");
  for (size_t i = 0; i < all.count; i++)
    all.peers[i].fd = -1;
  all.kind->say(&all.text);
  run();
  for (size_t i = 0; i < all.count; i++)
    if (all.peers[i].fd >= 0) close_peer(&all.peers[i], true);
  (void)printf("%lu closed, %llu bytes sent\n", all.closed, all.sent);
  ms_identity_free(all.me);
  free(all.peers);
  free(all.text.at);
  return 0;
}
