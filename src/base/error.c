#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define CODE(code, text) [-(code)] = {#code, text}
static const struct {
  const char *name, *text;
} codes[] = {
    CODE(MS_OK, "done"),
    CODE(MS_EINVAL, "invalid argument"),
    CODE(MS_ENOMEM, "out of memory"),
    CODE(MS_EADDRESS, "malformed address"),
    CODE(MS_ENOSTACK, "no stack understands this address"),
    CODE(MS_EUNKNOWNHOST, "unknown host"),
    CODE(MS_ECONNECT, "could not connect"),
    CODE(MS_EADDRINUSE, "address in use"),
    CODE(MS_ELISTEN, "could not listen"),
    CODE(MS_EPROTO, "the peer broke the protocol"),
    CODE(MS_ECRYPTO, "the peer's proof or tag is wrong"),
    CODE(MS_EREFUSED, "refused"),
    CODE(MS_ETRUNCATED, "the transport ended before the stream did"),
    CODE(MS_ERESET, "the connection was lost"),
    CODE(MS_EPIPE, "what was written cannot reach the peer"),
    CODE(MS_ETIMEDOUT, "timed out"),
    CODE(MS_EABORTED, "aborted"),
    CODE(MS_ESTATE, "not possible in this state"),
    CODE(MS_EINSECURE, "not without authentication"),
    CODE(MS_ESYSTEM, "the operating system refused"),
    CODE(MS_EGONE, "the peer went away"),
    CODE(MS_EFAILED, "the application has failed"),
};

static const char *const phase_texts[] = {
    [MS_PHASE_NONE] = "none",           [MS_PHASE_PARSE] = "parse",
    [MS_PHASE_MATCH] = "match",         [MS_PHASE_RESOLVE] = "resolve",
    [MS_PHASE_CONNECT] = "connect",     [MS_PHASE_LISTEN] = "listen",
    [MS_PHASE_HANDSHAKE] = "handshake", [MS_PHASE_AUTHORISE] = "authorise",
    [MS_PHASE_STREAM] = "stream",
};

static bool is_code(int code) {
  return code <= 0 && code > -(int)(sizeof codes / sizeof *codes) && codes[-code].name;
}

const char *ms_code_text(int code) {
  return is_code(code) ? codes[-code].text : "unknown error";
}

const char *ms_code_name(int code) {
  return is_code(code) ? codes[-code].name : "unknown";
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
