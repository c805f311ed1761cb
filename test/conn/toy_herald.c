#include "toys.h"

enum { VERSION_2 = 28 };

static const char version_1[] = "PROXY TCP6 2001:db8::1 ::1 5678 443\r\n";
static const char version_2[] =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x16\x2e\1\xbb";

static int herald_init(void *st, const struct ms__role *role) {
  *(const struct toy_opts **)st = role->opts;
  return 0;
}

static int herald_handshake(void *st, struct ms__port *p) {
  const struct toy_opts *opts = *(const struct toy_opts **)st;
  struct ms__src header = {(const uint8_t *)version_1, sizeof version_1 - 1};
  if (opts->binary) header = (struct ms__src){(const uint8_t *)version_2, VERSION_2};
  ms__copy(&p->wire_out, &header, header.n);
  return MS__UNLINK;
}

const struct ms__layer toy_herald = {
    .name = "herald",
    .flags = MS__SETUP,
    .state = sizeof(const struct toy_opts *),
    .room_down = sizeof version_1,
    .init = herald_init,
    .handshake = herald_handshake,
};
