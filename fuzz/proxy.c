/* The PROXY header, and what a request says about its peer: any bytes. However a header is cut, the
 * result is the same; a peer that is told of is on the internet, and one is told of only by a whole
 * header. */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "layer/forwarded.h"
#include "layer_driver.h"

struct told {
  union ms__inet peer;
  int result;
  size_t left;
};

static void check_peer(const struct told *t, bool whole) {
  REQUIRE(whole || t->peer.family == AF_UNSPEC);
  REQUIRE(t->peer.family == AF_UNSPEC || t->peer.family == AF_INET || t->peer.family == AF_INET6);
}

static void play(struct told *t, const uint8_t *p, size_t n, size_t chunk) {
  struct ms__proxy_opts opts = {&t->peer};
  struct driver d;
  memset(t, 0, sizeof *t);
  driver_begin(&d, &ms__proxy, true, &opts);
  for (size_t at = 0; at < n; at += chunk) {
    bytes_add(&d.in, p + at, ms__min(chunk, n - at));
    if (d.result == MS__UNLINK) continue;
    if (driver_step(&d, 0) < 0) break;
    REQUIRE(d.result == MS__UNLINK || d.result == MS__MORE);
    REQUIRE(d.result == MS__UNLINK || d.in.n < d.layer->need_in);
  }
  if (d.result < 0) {
    char why[256] = "";
    ms__proxy.explain(d.state, why, sizeof why);
    REQUIRE(*why && d.result == MS_EPROTO);
  }
  t->result = d.result;
  t->left = d.result < 0 ? 0 : d.in.n;
  check_peer(t, d.result >= 0);
  driver_end(&d);
}

/* `from`: AF_INET, or AF_UNIX: a peer that has no address, until one is told. */
static void forward(int from, const char *how, const uint8_t *p, size_t n) {
  struct ms__front all[3];
  struct ms__http_head head;
  struct told t;
  char text[64];
  memset(&t, 0, sizeof t);
  if (ms__http_parse(&head, true, p, n) != 0) return;
  (void)snprintf(text, sizeof text, "0.0.0.0/0=%s", how);
  REQUIRE(!ms__front_parse(&all[0], text, true));
  (void)snprintf(text, sizeof text, "::/0=%s", how);
  REQUIRE(!ms__front_parse(&all[1], text, true));
  (void)snprintf(text, sizeof text, "unix=%s", how);
  REQUIRE(!ms__front_parse(&all[2], text, true));
  REQUIRE(ms__inet_read(&t.peer, AF_INET, "192.0.2.1", 9));
  t.peer.family = (sa_family_t)from;
  if (ms__forwarded(&head, all, 3, &t.peer)) REQUIRE(t.peer.family == from);
  if (t.peer.family != AF_UNIX) check_peer(&t, true);
  REQUIRE(t.peer.family != AF_UNSPEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input in = {data, size};
  uint8_t flags = input_byte(&in);
  size_t chunk = 1 + (size_t)input_byte(&in);
  struct told whole, pieces;
  if (flags & 2) {
    forward(flags & 4 ? AF_UNIX : AF_INET, "x-forwarded-for", in.p, in.n);
    forward(flags & 4 ? AF_UNIX : AF_INET, "forwarded", in.p, in.n);
    return 0;
  }
  play(&whole, in.p, in.n, in.n + 1);
  play(&pieces, in.p, in.n, chunk);
  REQUIRE(whole.result == pieces.result && whole.left == pieces.left);
  REQUIRE(memcmp(&whole.peer, &pieces.peer, sizeof whole.peer) == 0);
  return 0;
}
