#include "addr/origin.h"

#include <stdbool.h>
#include <string.h>

#include "addr/addr.h"

static const char scheme_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
static const char digits[] = "0123456789";

static const struct {
  const char *scheme;
  int port;
} own_ports[] = {{"http://", 80}, {"https://", 443}};

static bool is_own_port(const char *origin, int port) {
  for (size_t i = 0; i < sizeof own_ports / sizeof *own_ports; i++)
    if (strncmp(own_ports[i].scheme, origin, strlen(own_ports[i].scheme)) == 0)
      return port == own_ports[i].port;
  return false;
}

/* What stands where an origin has to end. */
static const char *refuse(char c) {
  if (c == '/' || c == '?' || c == '#') return "has a path: an origin ends with its host or port";
  if (c == '@') return "has a user in it: an origin is a scheme, a host and a port";
  if ((unsigned char)c >= 0x80) return "has to be in ASCII, as browsers send it: xn--...";
  return "has no host that pages can come from";
}

/* The host at *s, which is moved behind it. NULL, or why it is none. */
static const char *read_host(struct ms__text *t, const char **s) {
  char address[64];
  size_t n = strspn(*s, name_bytes);
  if (**s == '[') {
    n = strcspn(*s, "]");
    if (!(*s)[n] || !ms__host_ipv6(*s + 1, n - 1, address, sizeof address) || strchr(address, '%'))
      return "has no IPv6 address in its brackets";
    ms__text_char(t, '[');
    ms__text_string(t, address);
    n++;
    ms__text_char(t, ']');
  } else {
    ms__text_bytes(t, *s, n);
  }
  *s += n;
  if (**s && **s != ':') return refuse(**s);
  return n ? NULL : "names no host";
}

static const char *read_origin(struct ms__text *t, const char *s) {
  const char *start = s, *why;
  size_t n = strspn(s, scheme_bytes);
  int port;
  if (n == 0 || strncmp(s + n, "://", 3) != 0)
    return "is no origin, as https://app.example or http://localhost:3000";
  ms__text_bytes(t, s, n + 3);
  s += n + 3;
  if ((why = read_host(t, &s)) || !*s) return why;
  n = strspn(++s, digits);
  if (s[n]) return refuse(s[n]);
  if (!ms__port_parse(s, n, &port) || port == 0)
    return "has a port that is no number from 1 to 65535";
  if (is_own_port(start, port)) return NULL;
  ms__text_char(t, ':');
  ms__text_uint(t, (unsigned long)port);
  return NULL;
}

const char *ms__origin_parse(char out[MS__ORIGIN_MAX], const char *text, size_t length) {
  char lower[MS__ORIGIN_MAX];
  struct ms__text t;
  if (length >= MS__ORIGIN_MAX - 8) return "is too long"; /* an IPv6 address may grow */
  for (size_t i = 0; i < length; i++)
    lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
  if (length > 1 && lower[length - 1] == '/' && lower[length - 2] != '/') length--;
  lower[length] = '\0';
  ms__text_init(&t, out, MS__ORIGIN_MAX);
  if (strlen(lower) != length) return "has a NUL in it";
  if (strcmp(lower, "null") != 0) return read_origin(&t, lower);
  ms__text_string(&t, lower);
  return NULL;
}
