#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const code_texts[] = {
    [-MS_OK] = "done",
    [-MS_EINVAL] = "invalid argument",
    [-MS_ENOMEM] = "out of memory",
    [-MS_EADDRESS] = "malformed address",
    [-MS_ENOSTACK] = "no stack understands this address",
    [-MS_EUNKNOWNHOST] = "unknown host",
    [-MS_ECONNECT] = "could not connect",
    [-MS_EADDRINUSE] = "address in use",
    [-MS_ELISTEN] = "could not listen",
    [-MS_EPROTO] = "the peer broke the protocol",
    [-MS_ECRYPTO] = "the peer's proof or tag is wrong",
    [-MS_EREFUSED] = "refused",
    [-MS_ETRUNCATED] = "the transport ended before the stream did",
    [-MS_ERESET] = "the connection was lost",
    [-MS_EPIPE] = "what was written cannot reach the peer",
    [-MS_ETIMEDOUT] = "timed out",
    [-MS_EABORTED] = "aborted",
    [-MS_ESTATE] = "not possible in this state",
    [-MS_EINSECURE] = "not without authentication",
    [-MS_ESYSTEM] = "the operating system refused",
};

static const char *const phase_texts[] = {
    [MS_PHASE_NONE] = "none",           [MS_PHASE_PARSE] = "parse",
    [MS_PHASE_MATCH] = "match",         [MS_PHASE_RESOLVE] = "resolve",
    [MS_PHASE_CONNECT] = "connect",     [MS_PHASE_LISTEN] = "listen",
    [MS_PHASE_HANDSHAKE] = "handshake", [MS_PHASE_AUTHORISE] = "authorise",
    [MS_PHASE_STREAM] = "stream",
};

const char *ms_code_text(int code) {
  if (code > 0 || code <= -(int)(sizeof code_texts / sizeof *code_texts)) return "unknown error";
  return code_texts[-code];
}

const char *ms_phase_text(enum ms_phase phase) {
  if ((size_t)phase >= sizeof phase_texts / sizeof *phase_texts) return "unknown phase";
  return phase_texts[phase];
}

static void begin(ms_error *err, int code, int sys, enum ms_phase phase, const char *layer) {
  memset(err, 0, sizeof *err);
  err->code = code;
  err->sys = sys;
  err->phase = phase;
  if (layer) ms__text_copy(err->layer, sizeof err->layer, layer);
}

int ms__error(ms_error *err, int code, enum ms_phase phase, const char *layer, const char *fmt,
              ...) {
  va_list ap;
  if (!err) return code;
  begin(err, code, 0, phase, layer);
  if (!fmt) {
    ms__text_copy(err->message, sizeof err->message, ms_code_text(code));
    return code;
  }
  va_start(ap, fmt);
  (void)vsnprintf(err->message, sizeof err->message, fmt, ap);
  va_end(ap);
  return code;
}

int ms__error_sys(ms_error *err, int code, int sys, enum ms_phase phase, const char *layer,
                  const char *fmt, ...) {
  va_list ap;
  char reason[96];
  size_t n;
  if (!err) return code;
  begin(err, code, sys, phase, layer);
  va_start(ap, fmt);
  (void)vsnprintf(err->message, sizeof err->message, fmt, ap);
  va_end(ap);
  if (strerror_r(sys, reason, sizeof reason) != 0)
    ms__text_copy(reason, sizeof reason, "unknown system error");
  n = strlen(err->message);
  (void)snprintf(err->message + n, sizeof err->message - n, ": %s", reason);
  return code;
}

void ms__error_address(ms_error *err, const char *address) {
  if (err) ms__text_copy(err->address, sizeof err->address, address);
}
