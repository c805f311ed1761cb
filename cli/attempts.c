/* What is told of the attempts of a dial, and what to do about a failed one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* `which` attempt, and when. The address is cut: what comes after it matters more. */
static void note(const char *which, const ms_attempt *a) {
  const ms_error *err = a->error;
  if (err)
    cli_note("%s failed: %.256s: %s %s: %s", which, a->address, err->layer,
             ms_phase_text(err->phase), err->message);
  else
    cli_note("%s %s: %.256s: %s%s%s", which, ms_step_text(a->step), a->address, a->layer,
             *a->layer && *a->place ? " " : "", a->place);
}

void cli_attempt(const ms_attempt *a) {
  char which[64];
  if (a->step == MS_STEP_PASSED_OVER) {
    cli_note("%5u ms  alternative %zu is passed over: %.256s%s%s", a->msec, a->alternative + 1,
             a->address, *a->address ? ": " : "", a->error->message);
    return;
  }
  (void)snprintf(which, sizeof which, "%5u ms  attempt %u", a->msec, a->number);
  note(which, a);
}

void cli_attempts(const ms_dialer *dialer) {
  ms_attempt a;
  for (size_t i = 1; ms_dial_attempts(dialer) > 1 && ms_dial_attempt(dialer, i, &a); i++) {
    char which[64];
    (void)snprintf(which, sizeof which, "attempt %u (%u-%u ms)", a.number, a.begun_msec, a.msec);
    note(which, &a);
  }
}

/* What one code stands for, but needs advice of its own. */
enum { NO_TLS = 1, NO_INTERFACE, NO_CHAIN };

static int code_of(const ms_error *err, const char *host) {
  static const char no_tls[] = "TLS failed: "; /* of a certificate it speaks otherwise */
  if (strcmp(err->layer, "tls") == 0 && strncmp(err->message, no_tls, sizeof no_tls - 1) == 0)
    return NO_TLS;
  if (err->code == MS_EUNKNOWNHOST && host && strchr(host, '%')) return NO_INTERFACE;
  if (err->code == MS_ENOSTACK && *err->layer) return NO_CHAIN; /* each of its protocols is known */
  return err->code;
}

/* The first line that fits; 0 and "" fit everything. */
static const struct {
  enum ms_phase phase;
  int code, sys;
  const char *layer, *advice;
} lines[] = {
    {MS_PHASE_PARSE, 0, 0, "",
     "an alternative is as in net:HOST:PORT~shs:KEY: see multiserver address --help"},
    {MS_PHASE_MATCH, NO_CHAIN, 0, "",
     "its protocols do not make a stack in this order: multiserver address --help lists those that "
     "do"},
    {MS_PHASE_MATCH, MS_ENOSTACK, 0, "",
     "use a version of multiserver that has this protocol, or another address"},
    {MS_PHASE_RESOLVE, NO_INTERFACE, 0, "",
     "what stands after the '%' is an interface of this machine: ip link lists them"},
    {MS_PHASE_RESOLVE, MS_EUNKNOWNHOST, 0, "",
     "check the spelling of the name, and that DNS works here"},
    {MS_PHASE_RESOLVE, MS_ETIMEDOUT, 0, "",
     "the name server does not answer: check the network and DNS"},
    {MS_PHASE_CONNECT, 0, ECONNREFUSED, "",
     "nobody listens there: is the server running, and on this port?"},
    {MS_PHASE_CONNECT, 0, ENOENT, "unix",
     "there is no such socket: is the server running, is the path right?"},
    {MS_PHASE_CONNECT, 0, EACCES, "unix", "the socket belongs to another user"},
    {MS_PHASE_CONNECT, 0, ENETUNREACH, "",
     "this machine has no route there: is the network up, does it have IPv6?"},
    {MS_PHASE_CONNECT, 0, EHOSTUNREACH, "",
     "the network does not reach that host: is it on, is it the right address?"},
    {MS_PHASE_CONNECT, 0, EINVAL, "", "a link-local address needs its interface: fe80::1%eth0"},
    {MS_PHASE_CONNECT, 0, EMFILE, "", "this process is out of descriptors: ulimit -n"},
    {MS_PHASE_CONNECT, 0, ENFILE, "", "this machine is out of descriptors: sysctl fs.file-max"},
    {MS_PHASE_CONNECT, MS_ETIMEDOUT, 0, "unix", "the server is busy, or stopped"},
    {MS_PHASE_CONNECT, MS_ETIMEDOUT, 0, "",
     "no answer at all: a firewall drops it, or the host is off"},
    {MS_PHASE_CONNECT, 0, ETIMEDOUT, "",
     "no answer at all: a firewall drops it, or the host is off"},
    {MS_PHASE_HANDSHAKE, MS_ERESET, 0, "ws", NULL}, /* the peer itself has said why */
    {MS_PHASE_HANDSHAKE, MS_ETIMEDOUT, 0, "",
     "something accepts there and says nothing: is it the right port and protocol?"},
    {MS_PHASE_CONNECT, 0, ECONNRESET, "",
     "the server hung up on us: its limits, a ban, or another protocol there"},
    {MS_PHASE_HANDSHAKE, MS_ERESET, 0, "",
     "the server hung up on us: its limits, a ban, or another protocol there"},
    {MS_PHASE_HANDSHAKE, MS_ETRUNCATED, 0, "shs",
     "the server hung up on us: another --network-key or protocol there, its limits, or a ban"},
    {MS_PHASE_HANDSHAKE, MS_ETRUNCATED, 0, "tls",
     "the server hung up on our greeting: is it TLS on this port?"},
    {MS_PHASE_HANDSHAKE, NO_TLS, 0, "tls",
     "the server does not agree with us: is it TLS on this port, 1.2 or 1.3, under this name?"},
    {MS_PHASE_HANDSHAKE, 0, 0, "tls",
     "check the name and the clock; --tls-ca FILE trusts a certificate of your own"},
    {MS_PHASE_HANDSHAKE, 0, 0, "http",
     "a server is there, but no WebSocket: check the path, and what stands in front"},
    {MS_PHASE_HANDSHAKE, 0, 0, "shs",
     "the server does not take our greeting: is it this protocol, and the same --network-key?"},
};

const char *cli_advice(const ms_error *err, const char *host) {
  int code = code_of(err, host);
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    if (lines[i].phase == err->phase && (!lines[i].code || lines[i].code == code) &&
        (!lines[i].sys || lines[i].sys == err->sys) &&
        (!*lines[i].layer || strcmp(lines[i].layer, err->layer) == 0))
      return lines[i].advice;
  return NULL;
}
