/* What serve says of its connections: lines for people on standard error, and with --json events on
 * standard output, one JSON object a line. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve.h"

enum { LINES_PER_SECOND = 10 }; /* of peers that failed */

/* RFC 3339 with milliseconds, UTC. */
static json_t *now(void) {
  struct timespec t;
  struct tm utc;
  char text[64];
  size_t n;
  (void)clock_gettime(CLOCK_REALTIME, &t);
  (void)gmtime_r(&t.tv_sec, &utc);
  n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  (void)snprintf(text + n, sizeof text - n, ".%03ldZ", t.tv_nsec / 1000000);
  return json_string(text);
}

/* Takes `fields` over, and puts them behind those that every event has. A line of malloc, or NULL:
 * no memory, also for `fields`. */
static char *make_event(const char *event, uint64_t id, json_t *fields) {
  json_t *o = cli_json_with(json_object(), "event", json_string(event));
  o = cli_json_with(o, "time", now());
  o = cli_json_with(o, "id", json_integer((json_int_t)id));
  if (o && json_object_update(o, fields) < 0) {
    json_decref(o);
    o = NULL;
  }
  json_decref(fields);
  return cli_json_line(o);
}

static void write_event(struct cli_report *r, const char *event, uint64_t id, json_t *fields) {
  char *line = make_event(event, id, fields);
  cli_events_add(&r->events, line);
  free(line);
}

static char *tell_lost(uint64_t count) {
  return make_event("lost", 0, json_pack("{s:I}", "count", (json_int_t)count));
}

void cli_report_init(struct cli_report *r, uv_loop_t *loop) {
  r->events.loop = loop;
  r->events.tell_lost = tell_lost;
}

/* The key of a peer: null, where none is proved. */
static json_t *remote_of(const ms_conn *conn) {
  const uint8_t *key = ms_conn_key(conn);
  char text[MS_KEY_TEXT];
  if (!key) return json_null();
  (void)ms_key_format(key, text, sizeof text);
  return json_string(text);
}

/* Of a connection, or with NULL of the stack of that number. */
static void write_error(struct cli_report *r, uint64_t id, const ms_conn *conn,
                        const ms_error *err) {
  json_t *o = json_object();
  o = cli_json_with(o, "address", cli_json_text(err->address));
  o = cli_json_with(o, "layer", json_string(err->layer));
  o = cli_json_with(o, "phase", json_string(ms_phase_text(err->phase)));
  o = cli_json_with(o, "code", json_string(ms_code_name(err->code)));
  o = cli_json_with(o, "message", cli_json_text(err->message));
  if (conn) o = cli_json_with(o, "remote", remote_of(conn));
  write_event(r, "error", id, o);
}

static const char *reason(const ms_error *err) {
  if (!err) return "end";
  switch ((enum ms_code)err->code) {
    case MS_ETRUNCATED:
    case MS_ERESET:
      return "truncated";
    case MS_EREFUSED:
      return "refused";
    case MS_ETIMEDOUT:
      return "timeout";
    case MS_EABORTED:
      return "aborted";
    case MS_EFAILED:
      return "failed";
    case MS_EGONE:
      return "gone";
    case MS_OK:
    case MS_EINVAL:
    case MS_ENOMEM:
    case MS_EADDRESS:
    case MS_ENOSTACK:
    case MS_EUNKNOWNHOST:
    case MS_ECONNECT:
    case MS_EADDRINUSE:
    case MS_ELISTEN:
    case MS_EPROTO:
    case MS_ECRYPTO:
    case MS_EPIPE:
    case MS_ESTATE:
    case MS_EINSECURE:
    case MS_ESYSTEM:
      break;
  }
  return "error";
}

static void write_closed(struct cli_report *r, const ms_conn *conn, const ms_error *err,
                         const struct cli_ending *ending) {
  ms_conn_stats n;
  json_t *o;
  ms_conn_stat(conn, &n);
  o = json_pack("{s:s, s:I, s:I}", "reason", reason(err), "in", (json_int_t)n.in, "out",
                (json_int_t)n.out);
  json_object_set_new(o, "remote", remote_of(conn));
  if (err) json_object_set_new(o, "message", cli_json_text(err->message));
  if (ending && ending->name) json_object_set_new(o, ending->name, json_integer(ending->number));
  if (ending && ending->cause) json_object_set_new(o, "cause", cli_json_text(ending->cause));
  write_event(r, "closed", ms_conn_id(conn), o);
}

/* What cannot be reached in the scope has no address: null. */
static json_t *address_value(const char *address) {
  if (!address) return NULL;
  return *address ? cli_json_text(address) : json_null();
}

/* Of stack number `stack`, or with -1 of all; of malloc, or NULL: no memory. */
static char *addresses_of(const struct cli_report *r, const ms_ctx *ctx, int stack) {
  size_t n = stack < 0 ? ms_stringify(ctx, r->scope, NULL, 0)
                       : ms_stringify_stack(ctx, stack, r->scope, NULL, 0);
  char *addresses = malloc(n + 1);
  if (addresses && stack < 0) (void)ms_stringify(ctx, r->scope, addresses, n + 1);
  if (addresses && stack >= 0) (void)ms_stringify_stack(ctx, stack, r->scope, addresses, n + 1);
  return addresses;
}

/* Keeps what was told of a stack. */
static void keep(struct cli_report *r, int stack, char *address) {
  size_t n = (size_t)stack + 1;
  if (n > r->listening_count) {
    char **grown = realloc(r->listening, n * sizeof *grown);
    if (!grown) {
      free(address);
      return;
    }
    memset(grown + r->listening_count, 0, (n - r->listening_count) * sizeof *grown);
    r->listening = grown;
    r->listening_count = n;
  }
  free(r->listening[stack]);
  r->listening[stack] = address;
}

void cli_report_listen(struct cli_report *r, const ms_ctx *ctx, int stack, const ms_error *err) {
  char *address;
  json_t *o;
  ms_error told;
  if (err) {
    size_t n = strlen(err->message);
    told = *err;
    if (err->code == MS_EINSECURE)
      (void)snprintf(told.message + n, sizeof told.message - n,
                     "; --insecure-noauth lets anybody in");
    err = &told;
    (void)cli_error_from("listen", err);
  }
  if (!r->json) return;
  if (err) {
    write_error(r, (uint64_t)stack, NULL, err);
    return;
  }
  address = addresses_of(r, ctx, stack);
  o = cli_json_with(json_object(), "address", address_value(address));
  write_event(r, "listening", (uint64_t)stack, o);
  if (address) keep(r, stack, address);
}

/* What was told of the stacks, as ms_stringify joins it. */
static char *joined(const struct cli_report *r) {
  size_t n = 1;
  char *all, *end;
  for (size_t i = 0; i < r->listening_count; i++)
    if (r->listening[i]) n += strlen(r->listening[i]) + 1;
  all = end = calloc(n, 1);
  for (size_t i = 0; all && i < r->listening_count; i++) {
    if (!r->listening[i] || !*r->listening[i]) continue;
    if (end > all) *end++ = ';';
    end = stpcpy(end, r->listening[i]);
  }
  return all;
}

const char *cli_report_ready(struct cli_report *r, const ms_ctx *ctx) {
  r->addresses = r->json ? joined(r) : addresses_of(r, ctx, -1);
  if (r->json) cli_report_addresses(r, ctx);
  return r->addresses;
}

void cli_report_addresses(struct cli_report *r, const ms_ctx *ctx) {
  char *addresses = addresses_of(r, ctx, -1);
  if (!addresses || !r->addresses || strcmp(addresses, r->addresses) == 0) {
    free(addresses);
    return;
  }
  free(r->addresses);
  r->addresses = addresses;
  if (r->json)
    write_event(r, "addresses", 0,
                cli_json_with(json_object(), "address", address_value(addresses)));
  else
    cli_note("now reached at: %s", *addresses ? addresses : "nothing");
}

static void tell_untold(struct cli_report *r) {
  if (r->untold)
    cli_note("%llu more line%s about peers", (unsigned long long)r->untold, cli_plural(r->untold));
  r->untold = 0;
}

/* Whoever floods us does not flood the log. */
static bool may_tell(struct cli_report *r) {
  uint64_t now = uv_hrtime() / 1000000000;
  if (now != r->second) {
    tell_untold(r);
    r->second = now;
    r->told = 0;
  }
  if (r->told++ < LINES_PER_SECOND) return true;
  r->untold++;
  return false;
}

/* Is a line of that level asked for, and has it room? */
static bool shall_tell(struct cli_report *r, enum ms_log_level level) {
  return level <= r->level && may_tell(r);
}

void cli_report_connection(struct cli_report *r, const ms_conn *conn) {
  json_t *o;
  if (shall_tell(r, MS_LOG_INFO))
    cli_say(MS_LOG_INFO, "peer", ms_conn_address(conn), "entered, as number %llu",
            (unsigned long long)ms_conn_id(conn));
  if (!r->json) return;
  o = json_object();
  o = cli_json_with(o, "address", cli_json_text(ms_conn_address(conn)));
  o = cli_json_with(o, "remote", remote_of(conn));
  o = cli_json_with(o, "stack", json_string(ms_conn_stack(conn)));
  write_event(r, "connection", ms_conn_id(conn), o);
}

/* Who is refused is told with its key, ready to be let in. False: nobody is, or has none. */
static bool explain_refusal(const ms_conn *conn, ms_error *err) {
  const uint8_t *key = ms_conn_key(conn);
  char text[MS_KEY_TEXT];
  if (err->code != MS_EREFUSED || !key) return false;
  (void)ms_key_format(key, text, sizeof text);
  (void)snprintf(err->message, sizeof err->message, "refused: no --allow has its key, %s", text);
  return true;
}

/* The events, too, are bounded so, and say what the line says. */
void cli_report_failed(struct cli_report *r, const ms_conn *conn, const ms_error *err) {
  ms_error told = *err;
  bool refused = explain_refusal(conn, &told);
  if (err->code == MS_EABORTED || err->code == MS_EGONE || !may_tell(r)) return; /* counted */
  if (r->level >= MS_LOG_WARN && refused)
    cli_say(MS_LOG_WARN, "peer", told.address, "%s", told.message);
  else if (r->level >= MS_LOG_WARN)
    cli_say_error(MS_LOG_WARN, "peer", &told);
  if (!r->json) return;
  write_error(r, ms_conn_id(conn), conn, &told);
  write_closed(r, conn, &told, NULL);
}

void cli_report_stats(struct cli_report *r, const ms_ctx *ctx) {
  json_t *o = json_object();
  ms_ctx_stats n;
  ms_ctx_stat(ctx, &n);
  for (size_t i = 0; i < CLI_STATS; i++)
    o = cli_json_with(o, cli_stats[i].name, json_integer((json_int_t)cli_stat(&n, i)));
  o = cli_json_with(o, "events_lost", json_integer((json_int_t)r->events.lost_ever));
  write_event(r, "stats", 0, o);
}

static void tell_left(const ms_conn *conn, const ms_error *err) {
  ms_conn_stats n;
  ms_conn_stat(conn, &n);
  cli_say(MS_LOG_INFO, "peer", ms_conn_address(conn),
          "%s, number %llu, after %.1f s, %llu byte%s in, %llu out", err ? reason(err) : "left",
          (unsigned long long)ms_conn_id(conn), (double)n.open_msec / 1000,
          (unsigned long long)n.in, cli_plural(n.in), (unsigned long long)n.out);
}

void cli_report_ended(struct cli_report *r, const char *what, const ms_conn *conn,
                      const ms_error *err, const struct cli_ending *ending) {
  bool theirs = ms_conn_is_server(conn) && err && err->code == MS_EGONE; /* no failure of ours */
  if (err && what && err->code != MS_EABORTED && !theirs && shall_tell(r, MS_LOG_WARN))
    cli_say_error(MS_LOG_WARN, what, err);
  if (!ms_conn_is_server(conn)) return;
  if (shall_tell(r, MS_LOG_INFO)) tell_left(conn, err);
  if (!r->json) return;
  if (err && !theirs) write_error(r, ms_conn_id(conn), conn, err);
  write_closed(r, conn, err, ending);
}

void cli_report_closed(struct cli_report *r, const char *what, const ms_conn *conn,
                       const ms_error *err) {
  cli_report_ended(r, what, conn, err, NULL);
}

const ms_error *cli_report_cut(struct cli_report *r, const char *what, const ms_conn *conn,
                               const ms_error *err, ms_error *told, const char *why) {
  if (shall_tell(r, MS_LOG_WARN)) cli_say(MS_LOG_WARN, what, ms_conn_address(conn), "%s", why);
  *told = *err;
  (void)snprintf(told->message, sizeof told->message, "%s", why);
  return told;
}

void cli_report_far(struct cli_report *r, const char *what, const char *peer, const ms_error *err,
                    const char *more) {
  char why[512];
  if (!shall_tell(r, MS_LOG_WARN)) return;
  cli_why(err, why, sizeof why);
  cli_say(MS_LOG_WARN, what, peer, "%s: %s%s", err->address, why, more);
}

static void on_failed(ms_conn *conn, const ms_error *err, void *user) {
  cli_report_closed(user, "serve", conn, err);
}

static const ms_conn_events failed = {.on_close = on_failed};

void cli_fail(struct cli_report *r, ms_conn *conn, const char *why) {
  ms_conn_handle(conn, &failed, r);
  ms_conn_fail(conn, why);
}

void cli_report_free(struct cli_report *r) {
  tell_untold(r);
  cli_events_free(&r->events);
  free(r->addresses);
  for (size_t i = 0; i < r->listening_count; i++)
    free(r->listening[i]);
  free(r->listening);
}
