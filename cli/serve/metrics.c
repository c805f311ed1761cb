/* serve --metrics ADDRESS: the context's numbers in the text format of Prometheus, version 0.0.4,
 * over HTTP. One request a connection. */
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "serve.h"

enum { REQUEST_MAX = 8192, TEXT = 16384, DEADLINE_MSEC = 5000 };

/* Of those who ask, ROOM may stay for as long as that, or what the system's limit of descriptors
 * leaves; BURST for a moment, in which whoever has something to ask has said it. */
enum { ROOM = 64, BURST = 256, MOMENT_MSEC = 50 };

#define STAT(name, unit, counter, help) \
  { #name, unit, help, counter, offsetof(ms_ctx_stats, name), sizeof((ms_ctx_stats *)0)->name }
const struct cli_stat cli_stats[CLI_STATS] = {
    STAT(open, "", false, "connections that are open"),
    STAT(pending, "", false, "connections whose stack is not up yet"),
    STAT(dials, "", false, "dials that run"),
    STAT(buffered, "_bytes", false, "bytes of buffers in use"),
    STAT(buffer_peak, "_bytes", false, "the most bytes of buffers there ever were"),
    STAT(accepted, "", true, "sockets accepted"),
    STAT(entered, "", true, "peers that came in"),
    STAT(answered, "", true, "peers that asked for pages"),
    STAT(requests, "", true, "requests answered with a page, or for /healthz"),
    STAT(refused, "", true, "peers that were not admitted"),
    STAT(failed, "", true, "peers that did not come in otherwise"),
    STAT(over_connections, "", true, "peers turned away: too many connections"),
    STAT(over_address, "", true, "peers turned away: too many of one address"),
    STAT(over_rate, "", true, "peers turned away: too many of one address in a second"),
    STAT(over_pages, "", true, "requests answered 503: too many pages of one address"),
    STAT(handshakes_evicted, "", true, "handshakes that made room for others"),
    STAT(over_buffers, "", true,
         "connections cut: they held buffers for long, and others needed them"),
    STAT(probed, "", true, "peers that left before they had said a byte"),
    STAT(idled, "", true, "connections closed because they were idle"),
    STAT(dialled, "", true, "dials that succeeded"),
    STAT(dial_failed, "", true, "dials that failed or were aborted"),
    STAT(in, "_bytes", true, "bytes received by applications"),
    STAT(out, "_bytes", true, "bytes written by applications"),
    STAT(wire_in, "_bytes", true, "bytes received by transports"),
    STAT(wire_out, "_bytes", true, "bytes sent by transports"),
    STAT(pauses, "", true, "times a listener paused for want of descriptors"),
};
#undef STAT

uint64_t cli_stat(const ms_ctx_stats *stats, size_t i) {
  const char *at = (const char *)stats + cli_stats[i].offset;
  uint64_t value;
  size_t small;
  if (cli_stats[i].size == sizeof value) {
    memcpy(&value, at, sizeof value);
    return value;
  }
  memcpy(&small, at, sizeof small);
  return small;
}

void cli_stats_note(const ms_ctx *ctx, const uint64_t *events_lost) {
  ms_ctx_stats stats;
  char line[2048] = "";
  size_t n = 0;
  ms_ctx_stat(ctx, &stats);
  for (size_t i = 0; i < CLI_STATS && n < sizeof line; i++)
    n += (size_t)snprintf(line + n, sizeof line - n, "%s%s=%llu", i ? " " : "", cli_stats[i].name,
                          (unsigned long long)cli_stat(&stats, i));
  if (events_lost && n < sizeof line)
    (void)snprintf(line + n, sizeof line - n, " events_lost=%llu",
                   (unsigned long long)*events_lost);
  cli_note("%s", line);
}

static size_t write_text(const struct cli_metrics *m, char *buf, size_t size) {
  ms_ctx_stats stats;
  size_t n = cli_limits_text(&m->limits, buf, size);
  ms_ctx_stat(m->of, &stats);
  for (size_t i = 0; i < CLI_STATS; i++) {
    const struct cli_stat *s = &cli_stats[i];
    const char *suffix = s->counter ? "_total" : "";
    char name[64];
    int k;
    (void)snprintf(name, sizeof name, "multiserver_%s%s%s", s->name, s->unit, suffix);
    k = snprintf(buf + n, size - n, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, s->help, name,
                 s->counter ? "counter" : "gauge", name, (unsigned long long)cli_stat(&stats, i));
    if (k < 0 || (size_t)k >= size - n) break;
    n += (size_t)k;
  }
  if (m->events_lost) {
    static const char name[] = "multiserver_events_lost_total";
    int k = snprintf(buf + n, size - n,
                     "# HELP %s events of --json that were not written\n"
                     "# TYPE %s counter\n%s %llu\n",
                     name, name, name, (unsigned long long)*m->events_lost);
    if (k > 0 && (size_t)k < size - n) n += (size_t)k;
  }
  return n;
}

/* ---- HTTP ---- */

struct request {
  bool whole, head;
  const char *target; /* in the bytes received, which are one piece */
  size_t length;
};

static int on_url(http_parser *parser, const char *p, size_t n) {
  struct request *r = parser->data;
  if (!r->target) r->target = p;
  r->length += n;
  return 0;
}

static int on_headers(http_parser *parser) {
  ((struct request *)parser->data)->whole = true;
  return 2;
}

/* In any form, and whatever is asked of it. */
static bool has_path(const struct request *r, const char *path) {
  struct http_parser_url url = {0};
  if (http_parser_parse_url(r->target, r->length, 0, &url) != 0) return false;
  return url.field_data[UF_PATH].len == strlen(path) &&
         memcmp(r->target + url.field_data[UF_PATH].off, path, strlen(path)) == 0;
}

/* The status that the bytes deserve; 0: there have to be more. */
static int judge(struct request *r, const uint8_t *p, size_t n) {
  http_parser_settings settings;
  http_parser parser;
  http_parser_settings_init(&settings);
  settings.on_url = on_url;
  settings.on_headers_complete = on_headers;
  http_parser_init(&parser, HTTP_REQUEST);
  parser.data = r;
  (void)http_parser_execute(&parser, &settings, (const char *)p, n);
  if (HTTP_PARSER_ERRNO(&parser) != HPE_OK) return 400;
  if (!r->whole) return n >= REQUEST_MAX ? 431 : 0;
  r->head = parser.method == HTTP_HEAD;
  if (parser.method != HTTP_GET && !r->head) return 405;
  return has_path(r, "/metrics") || has_path(r, "/") ? 200 : 404;
}

static void answer(ms_conn *conn, const struct cli_metrics *m, int status, bool head_only) {
  char text[TEXT], head[256];
  size_t n = status == 200 ? write_text(m, text, sizeof text) : 0;
  int k =
      snprintf(head, sizeof head,
               "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; version=0.0.4; "
               "charset=utf-8\r\n%sContent-Length: %zu\r\n\r\n",
               status, http_status_str((enum http_status)status),
               status == 405 ? "Allow: GET, HEAD\r\n" : "", n);
  (void)ms_conn_write(conn, head, (size_t)k);
  if (!head_only) (void)ms_conn_write(conn, text, n);
  ms_conn_close(conn);
}

/* One who asks. */
struct cli_scrape {
  struct cli_metrics *metrics;
  struct cli_scrape *older, *newer;
  ms_conn *conn;
  uint64_t came; /* by the loop's clock */
  bool leaves;
  uv_timer_t deadline; /* of all of it: bytes that drip buy no time */
};

static void enlist(struct cli_scrape *s) {
  struct cli_metrics *m = s->metrics;
  s->older = m->newest;
  *(s->older ? &s->older->newer : &m->oldest) = s;
  m->newest = s;
  m->count++;
}

static void leave(struct cli_scrape *s) {
  struct cli_metrics *m = s->metrics;
  if (s->leaves) return;
  s->leaves = true;
  *(s->older ? &s->older->newer : &m->oldest) = s->newer;
  *(s->newer ? &s->newer->older : &m->newest) = s->older;
  m->count--;
}

static void cut(struct cli_scrape *s) {
  leave(s);
  (void)uv_timer_stop(&s->deadline);
  ms_conn_abort(s->conn);
}

/* The oldest first: who has come to ask has done so. */
static void make_room(struct cli_metrics *m) {
  uint64_t now = uv_now(m->loop);
  while (m->count > m->burst || (m->count > m->room && now >= m->oldest->came + MOMENT_MSEC))
    cut(m->oldest);
}

static void on_readable(ms_conn *conn, void *user) {
  const struct cli_scrape *s = user;
  struct request request = {.whole = false};
  const uint8_t *p;
  size_t n = ms_conn_peek(conn, &p);
  int status = judge(&request, p, n);
  if (status)
    answer(conn, s->metrics, status, request.head);
  else
    ms_conn_need(conn, n + 1);
}

static void on_end(ms_conn *conn, void *user) {
  (void)user;
  ms_conn_close(conn);
}

static void on_deadline(uv_timer_t *timer) {
  cut(timer->data);
}

static void on_moment(uv_timer_t *timer) {
  struct cli_scrape *s = timer->data;
  (void)uv_timer_start(timer, on_deadline, DEADLINE_MSEC - MOMENT_MSEC, 0);
  make_room(s->metrics);
}

static void on_timer_closed(uv_handle_t *handle) {
  free(handle->data);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct cli_scrape *s = user;
  (void)conn;
  (void)err;
  leave(s);
  uv_close((uv_handle_t *)&s->deadline, on_timer_closed);
}

static const ms_conn_events conn_events = {
    .on_readable = on_readable, .on_end = on_end, .on_close = on_close};

/* ---- The server ---- */

static void on_connection(ms_conn *conn, void *user) {
  struct cli_metrics *m = user;
  struct cli_scrape *s = calloc(1, sizeof *s);
  if (!s) return; /* it is closed */
  s->metrics = m;
  s->conn = conn;
  s->came = uv_now(m->loop);
  s->deadline.data = s;
  (void)uv_timer_init(m->loop, &s->deadline);
  (void)uv_timer_start(&s->deadline, on_moment, MOMENT_MSEC, 0);
  ms_conn_handle(conn, &conn_events, s);
  enlist(s);
  make_room(m);
}

/* Peers need descriptors more than those who ask for numbers. */
static void set_room(struct cli_metrics *m) {
  struct rlimit limit;
  m->room = ROOM;
  m->burst = BURST;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  if (limit.rlim_cur / 8 < m->room) m->room = (unsigned)(limit.rlim_cur / 8);
  if (limit.rlim_cur / 2 < m->burst) m->burst = (unsigned)(limit.rlim_cur / 2);
}

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  char address[512];
  (void)user;
  (void)ms_stringify_stack(ctx, stack, MS_DEVICE, address, sizeof address);
  if (err)
    (void)cli_error_from("metrics", err);
  else
    cli_note("metrics at %s", address);
}

/* Who gets here may ask. */
static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  (void)ms_conn_answer(conn, true, NULL);
}

/* Who is turned away. */
static void on_log(enum ms_log_level level, const char *text, void *user) {
  (void)level;
  (void)user;
  cli_note("metrics: %s", text);
}

static const ms_server_events events = {.on_connection = on_connection, .on_listen = on_listen};

const char *cli_metrics_wrong(const char *address) {
  bool plain = !strchr(address, '~') &&
               (strncmp(address, "net:", 4) == 0 || strncmp(address, "unix:", 5) == 0);
  return plain ? NULL : "metrics are served at net:HOST:PORT or unix:PATH";
}

int cli_metrics_open(struct cli_metrics *m, uv_loop_t *loop, const ms_ctx *of, const char *address,
                     const ms_stack_opts *stack) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_error err;
  int r;
  opts.loop = loop;
  opts.limits.connections = UINT32_MAX; /* make_room has another */
  opts.on_authorise = on_authorise;
  opts.on_log = on_log;
  m->of = of;
  m->loop = loop;
  set_room(m);
  if (ms_ctx_new(&m->ctx, &opts, &err) < 0) return cli_error_from("metrics", &err);
  r = ms_add(m->ctx, address, stack, &err);
  if (r >= 0 && (r = ms_listen(m->ctx, &events, m, &err)) == 0) return CLI_OK;
  ms_ctx_free(m->ctx);
  m->ctx = NULL;
  if (r == MS_EINSECURE)
    return cli_error("metrics", address, "%s; --insecure-noauth lets anybody ask", err.message);
  (void)cli_error_typed("metrics", address, MS_ADDR_LISTEN, &err);
  return r == MS_EINVAL ? CLI_USAGE : CLI_FAILED;
}

static void on_closed(ms_ctx *ctx, void *user) {
  (void)user;
  ms_ctx_free(ctx);
}

void cli_metrics_close(struct cli_metrics *m) {
  if (m->ctx) ms_ctx_close(m->ctx, 0, on_closed, NULL);
  m->ctx = NULL;
}
