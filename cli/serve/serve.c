/* serve: listen on stacks and do one thing with whoever comes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "serve.h"

enum { DRAIN_MSEC = 5000, SIGNALS = 4 };

struct server {
  uv_loop_t loop;
  uv_signal_t signals_of[SIGNALS];
  ms_ctx *ctx;
  int status;
  int signals;
  bool closing, ready; /* systemd knows of it */

  const struct cli_action *action;
  struct cli_actions actions;
  void *state; /* of the action */
  struct cli_serving serving;
  bool started; /* the action is */
  bool taken;   /* it has its one peer */

  /* options */
  struct cli_given given;
  char *dialled; /* what the action dials, or NULL */
  const char *key, *network, *scope_printed;
  struct cli_texts addresses, external, scope, origins, trusted, limits;
  const char *metrics_at;
  struct cli_metrics metrics;
  const char *http_root;
  struct cli_pages pages;
  ms_tls_opts tls;
  bool insecure_noauth, reuse_port, verbose, quiet;
  const char *log;
  uint32_t accept_msec;
  unsigned scopes, unix_mode;
  const char *unix_group;

  struct cli_allowed allowed;
  ms_identity *identity; /* while it starts */
  uint8_t network_key[MS_KEY_BYTES];
  struct cli_report report;
  struct cli_sockets inherited;
};

/* ---- The end ---- */

/* Children may live on for a while: signals are heard as long as the loop runs. */
static void on_closed(ms_ctx *ctx, void *user) {
  struct server *s = user;
  ms_ctx_free(ctx);
  s->ctx = NULL;
  cli_events_end(&s->report.events);
  for (size_t i = 0; i < SIGNALS; i++)
    uv_unref((uv_handle_t *)&s->signals_of[i]);
}

static void stop_action(const struct server *s, bool cut) {
  if (s->action->stop) s->action->stop(s->state, cut);
}

static void stop(struct server *s, uint32_t drain_msec) {
  if (!s->closing) cli_systemd_tell("STOPPING=1\n");
  s->closing = true;
  cli_metrics_close(&s->metrics);
  stop_action(s, drain_msec == 0);
  ms_ctx_close(s->ctx, drain_msec, on_closed, s);
}

/* The first signal drains, the second cuts. */
static void on_signal(uv_signal_t *handle, int number) {
  struct server *s = handle->data;
  bool again = s->signals++ > 0;
  (void)number;
  if (s->ctx)
    stop(s, again ? 0 : DRAIN_MSEC);
  else if (again)
    stop_action(s, true);
}

/* ---- Other signals ---- */

/* Who is in keeps the certificate that it came by. */
static void reload_tls(struct server *s) {
  ms_error err;
  if (!s->tls.cert && !s->tls.ca) return;
  for (int i = 0; ms_stack_name(s->ctx, i); i++) /* those that are dialled by, too */
    if (ms_reload_tls(s->ctx, i, &err) < 0) {
      (void)cli_error_from("reload", &err);
      return;
    }
  cli_note("certificates read again");
}

/* Who comes is judged by the new list, or by the old one after an error. */
static void on_hangup(uv_signal_t *handle, int number) {
  struct server *s = handle->data;
  (void)number;
  if (s->closing) return;
  if (s->ready) cli_systemd_reloading();
  reload_tls(s);
  cli_allowed_reload(&s->allowed, s->ctx);
  if (s->ready) cli_systemd_tell("READY=1\n");
}

/* The numbers so far. */
static void on_user(uv_signal_t *handle, int number) {
  struct server *s = handle->data;
  (void)number;
  if (s->closing) return;
  if (s->report.json) cli_report_stats(&s->report, s->ctx);
  if (!s->report.json || s->report.events.broken) cli_stats_note(s->ctx, s->metrics.events_lost);
}

/* What no event tells: who is turned away, that there are no descriptors, how a dial goes. Who
 * comes and goes the report tells. */
static void on_log(enum ms_log_level level, const char *text, void *user) {
  const struct server *s = user;
  if (level <= s->report.level && level != MS_LOG_INFO) cli_log(level, text);
}

/* Where no key is proved, that the stack is served at all is the operator's word. */
static void on_authorise(ms_conn *conn, const ms_peer *peer, void *user) {
  const struct server *s = user;
  (void)ms_conn_answer(conn, !peer->key || cli_allowed_has(&s->allowed, peer->key), NULL);
}

/* ---- Events ---- */

static void on_listen(ms_ctx *ctx, int stack, const ms_error *err, void *user) {
  struct server *s = user;
  cli_report_listen(&s->report, ctx, stack, err);
}

static void on_addresses(ms_ctx *ctx, void *user) {
  struct server *s = user;
  if (!s->closing) cli_report_addresses(&s->report, ctx);
}

static void on_ready(ms_ctx *ctx, size_t up, void *user) {
  struct server *s = user;
  const char *addresses = cli_report_ready(&s->report, ctx);
  if (up == 0 || !addresses) {
    s->status = up ? cli_error("serve", NULL, "out of memory") : CLI_FAILED; /* or each has told */
    stop(s, 0);
  } else if (!s->report.json) {
    (void)fprintf(s->action->writes_stdout ? stderr : stdout, "%s\n", addresses);
    if (!s->action->writes_stdout && cli_flush("serve") != CLI_OK) {
      s->status = CLI_FAILED;
      stop(s, DRAIN_MSEC);
    }
  }
  if (up && addresses && !*addresses)
    cli_note("nothing can be reached in the scope %s", s->scope_printed);
  cli_systemd_unused(&s->inherited, ctx);
  s->ready = up && !s->closing;
  if (s->ready) cli_systemd_tell("READY=1\n");
}

static void on_action_done(int status, void *user) {
  struct server *s = user;
  s->status = status;
  if (!s->closing) stop(s, DRAIN_MSEC);
}

static void on_connection(ms_conn *conn, void *user) {
  struct server *s = user;
  if (s->taken) {
    cli_fail(&s->report, conn, "another peer was first");
    return;
  }
  cli_report_connection(&s->report, conn);
  s->taken = s->action->one_peer;
  if (s->taken) ms_unlisten(s->ctx);
  s->action->take(s->state, conn);
}

static void on_failed(ms_conn *conn, const ms_error *err, void *user) {
  struct server *s = user;
  cli_report_failed(&s->report, conn, err);
}

static const ms_server_events events = {.on_listen = on_listen,
                                        .on_ready = on_ready,
                                        .on_connection = on_connection,
                                        .on_failed = on_failed,
                                        .on_addresses = on_addresses};

/* ---- Starting ---- */

static void on_request(ms_conn *conn, const ms_request *request, void *user) {
  struct server *s = user;
  cli_http_root(&s->pages, conn, request);
}

/* What is wrong with a stack the command line alone shows, but for the files that it names. */
static int refuse(const char *address, const ms_error *err) {
  if (err->code == MS_EINVAL && strcmp(err->layer, "tls") == 0)
    return cli_error("serve", NULL, "%s", err->message); /* whichever stack has it first */
  (void)cli_error_typed("serve", address, MS_ADDR_LISTEN, err);
  return err->code == MS_ENOMEM || err->code == MS_ESYSTEM ? CLI_FAILED : CLI_USAGE;
}

static int add_stack(struct server *s, const char *address, ms_stack_opts *opts) {
  struct cli_texts external = {0};
  bool ok = cli_external(&s->external, address, &external);
  char typed[CLI_TYPED];
  ms_error err;
  int r;
  opts->external = external.at;
  opts->external_count = external.count;
  r = ok ? ms_add(s->ctx, address, opts, &err) : MS_ENOMEM;
  cli_texts_free(&external);
  if (!ok) return cli_error("serve", NULL, "out of memory");
  if (r >= 0) return CLI_OK;
  if (r != MS_EINSECURE) return refuse(address, &err);
  cli_typed(address, typed, sizeof typed);
  (void)cli_error("serve", typed, "%s; --insecure-noauth lets anybody in", err.message);
  return CLI_USAGE;
}

/* What every socket that it makes is told. */
static ms_stack_opts sockets_of(const struct server *s) {
  ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
  opts.insecure_noauth = s->insecure_noauth;
  opts.unix_mode = s->unix_mode;
  opts.unix_group = s->unix_group;
  return opts;
}

static int add_stacks(struct server *s) {
  ms_stack_opts opts = sockets_of(s);
  int status;
  opts.reuse_port = s->reuse_port;
  opts.scopes = s->scopes;
  opts.origins = s->origins.at;
  opts.origins_count = s->origins.count;
  opts.trusted_proxies = s->trusted.at;
  opts.trusted_proxies_count = s->trusted.count;
  opts.stream = !s->action->messages;
  opts.tls = s->tls;
  opts.on_request = s->http_root ? on_request : NULL;
  opts.health_path = "/healthz";
  opts.request_user = s;
  for (size_t i = 0; i < s->addresses.count; i++)
    if ((status = add_stack(s, s->addresses.at[i], &opts)) != CLI_OK) return status;
  return CLI_OK;
}

static int dial_stacks(struct server *s) {
  if (!s->dialled) return CLI_OK;
  return cli_dial_stacks("serve", s->ctx, s->identity != NULL, &s->tls);
}

static bool any_shs(const struct server *s) {
  for (size_t i = 0; i < s->addresses.count; i++)
    if (strstr(s->addresses.at[i], "~shs")) return true;
  return false;
}

static bool needs_identity(const struct server *s) {
  return any_shs(s) || (s->dialled && strstr(s->dialled, "~shs"));
}

/* Before anything else is in the loop. */
static int start_action(struct server *s) {
  s->started = true;
  return s->action->start(s->state, &s->serving);
}

static int open_pages(struct server *s) {
  if (!s->http_root) return CLI_OK;
  if ((s->pages.folder = cli_http_root_open(s->http_root)) < 0) return CLI_FAILED;
  return cli_pages_open(&s->pages, &s->loop) ? CLI_OK : cli_error("serve", NULL, "out of memory");
}

static int get_identity(struct server *s) {
  if (!needs_identity(s)) return CLI_OK;
  if (cli_secret_get(s->key, &s->identity) != CLI_OK) return CLI_FAILED;
  memcpy(s->allowed.own, ms_identity_key(s->identity), sizeof s->allowed.own);
  return CLI_OK;
}

static int make_context(struct server *s) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_error err;
  const char *why;
  opts.loop = &s->loop;
  opts.identity = s->identity;
  opts.network_key = s->network_key;
  opts.on_authorise = on_authorise;
  opts.user = s;
  opts.on_log = on_log;
  opts.log_level = s->report.level;
  opts.accept_timeout_msec = s->accept_msec;
  (void)cli_limits(&s->limits, &opts.limits, &why);
  s->serving.descriptors = cli_descriptors(opts.limits.connections, s->action->descriptors);
  s->metrics.limits = opts.limits;
  opts.inherited = s->inherited.fds;
  opts.inherited_count = s->inherited.count;
  return ms_ctx_new(&s->ctx, &opts, &err) < 0 ? cli_error_from("serve", &err) : CLI_OK;
}

static int open_metrics(struct server *s) {
  ms_stack_opts sockets = sockets_of(s);
  if (s->report.json) s->metrics.events_lost = &s->report.events.lost_ever;
  if (!s->metrics_at) return CLI_OK;
  return cli_metrics_open(&s->metrics, &s->loop, s->ctx, s->metrics_at, &sockets);
}

static int begin_to_listen(struct server *s) {
  ms_error err;
  if (ms_listen(s->ctx, &events, s, &err) == 0) return CLI_OK;
  (void)cli_error_from("serve", &err);
  return err.code == MS_EINVAL ? CLI_USAGE : CLI_FAILED; /* EINVAL: no address says where */
}

static int (*const steps[])(struct server *s) = {start_action, open_pages,     get_identity,
                                                 make_context, add_stacks,     dial_stacks,
                                                 open_metrics, begin_to_listen};

static int start(struct server *s) {
  int status = CLI_OK;
  for (size_t i = 0; status == CLI_OK && i < sizeof steps / sizeof *steps; i++)
    status = steps[i](s);
  ms_identity_free(s->identity); /* the context has a copy */
  s->identity = NULL;
  if (status == CLI_OK) return CLI_OK;
  cli_metrics_close(&s->metrics);
  ms_ctx_free(s->ctx);
  return status;
}

static void watch_signals(struct server *s) {
  static const struct {
    int number;
    uv_signal_cb cb;
  } signals[SIGNALS] = {
      {SIGINT, on_signal}, {SIGTERM, on_signal}, {SIGHUP, on_hangup}, {SIGUSR1, on_user}};
  for (size_t i = 0; i < SIGNALS; i++) {
    (void)uv_signal_init(&s->loop, &s->signals_of[i]);
    s->signals_of[i].data = s;
    /* with nothing to read again it is a terminal that closes, unless it is systemd's reload */
    if (signals[i].number == SIGHUP && !s->allowed.file && !s->tls.cert && !s->tls.ca &&
        !cli_systemd_listens())
      continue;
    (void)uv_signal_start(&s->signals_of[i], signals[i].cb, signals[i].number);
  }
}

/* All is over: one that comes now ends nothing. libuv gives them back to the system, which may hand
 * them to a thread of the loop's: blocking them here is not enough. */
static void forget_signals(struct server *s) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigset_t over;
  (void)sigemptyset(&over);
  for (size_t i = 0; i < SIGNALS; i++)
    (void)sigaddset(&over, s->signals_of[i].signum);
  (void)sigprocmask(SIG_BLOCK, &over, NULL);
  for (size_t i = 0; i < SIGNALS; i++) {
    int number = s->signals_of[i].signum; /* 0 once it is closed */
    uv_close((uv_handle_t *)&s->signals_of[i], NULL);
    (void)sigaction(number, &ignore, NULL);
  }
}

static int serve(struct server *s) {
  if (cli_systemd_sockets(&s->inherited) != CLI_OK) return CLI_FAILED;
  if (cli_loop_open(&s->loop, "serve") != CLI_OK) return CLI_FAILED;
  s->status = start(s);
  if (s->status == CLI_OK) {
    if (cli_allowed_only_own(&s->allowed) && any_shs(s))
      cli_note("only this identity itself may enter: --allow KEY admits another, --allow-any all");
    watch_signals(s);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    forget_signals(s);
  }
  if (s->started && s->action->close) s->action->close(s->state);
  (void)uv_run(&s->loop, UV_RUN_DEFAULT);
  (void)uv_loop_close(&s->loop);
  return s->status;
}

/* ---- Options ---- */

static unsigned read_scope(const char *name) {
  static const struct {
    const char *name;
    enum ms_scope scope;
  } scopes[] = {
      {"device", MS_DEVICE}, {"local", MS_LOCAL}, {"private", MS_LOCAL}, {"public", MS_PUBLIC}};
  for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
    if (strcmp(name, scopes[i].name) == 0) return scopes[i].scope;
  return 0;
}

/* The device's, or the widest where the device is not among them. */
static const char *default_scope(unsigned scopes) {
  if (!scopes || scopes & MS_DEVICE) return "device";
  return scopes & MS_PUBLIC ? "public" : "local";
}

static int check_scopes(struct server *s) {
  static const char why[] = "is no scope: device, local (or private), public";
  for (size_t i = 0; i < s->scope.count; i++) {
    unsigned scope = read_scope(s->scope.at[i]);
    if (!scope) return cli_usage(&cli_serve, s->scope.at[i], why);
    s->scopes |= scope;
  }
  if (!s->scope_printed) s->scope_printed = default_scope(s->scopes);
  s->report.scope = (enum ms_scope)read_scope(s->scope_printed);
  if (!s->report.scope) return cli_usage(&cli_serve, s->scope_printed, why);
  return CLI_OK;
}

/* What the action dials, or NULL. */
static int read_dialled(struct server *s, ms_addr **out) {
  char what[64], why[sizeof((ms_error *)0)->message];
  const char *given = s->serving.argument;
  ms_error err = {.code = MS_ENOSTACK, .phase = MS_PHASE_MATCH};
  int status;
  *out = NULL;
  if (!s->action->dials) return CLI_OK;
  if ((status = cli_address_given(&cli_serve, given, &s->dialled)) != CLI_OK) return status;
  s->serving.argument = s->dialled;
  if (ms_addr_parse(out, s->dialled, strlen(s->dialled), MS_ADDR_DIAL, &err) == 0) {
    if (cli_can_dial(*out, s->tls.insecure, why, sizeof why)) return CLI_OK;
    (void)snprintf(err.message, sizeof err.message, "%s", why);
    ms_addr_free(*out);
    *out = NULL;
  }
  (void)snprintf(what, sizeof what, "serve: --%s", s->action->name);
  (void)cli_error_typed(what, s->dialled, MS_ADDR_DIAL, &err);
  return CLI_USAGE;
}

/* What the command line alone shows to be in vain shall not wait for the first peer. */
static int check_addresses(struct server *s) {
  ms_addr *dialled;
  int status = read_dialled(s, &dialled);
  if (status == CLI_OK) status = cli_unused_serving(&s->given, &s->addresses, dialled);
  ms_addr_free(dialled);
  return status;
}

/* How much is told: errors, and what makes one look, unless it is said otherwise. */
static int check_level(struct server *s) {
  static const char *const names[] = {"", "error", "warn", "info", "debug"};
  if (s->verbose + s->quiet + (s->log != NULL) > 1)
    return cli_usage(&cli_serve, "--log", "one of --log LEVEL, --verbose and --quiet is enough");
  s->report.level = s->verbose ? MS_LOG_INFO : s->quiet ? MS_LOG_ERROR : MS_LOG_WARN;
  if (!s->log) return CLI_OK;
  for (int i = MS_LOG_ERROR; i <= MS_LOG_DEBUG; i++) {
    if (strcmp(names[i], s->log) != 0) continue;
    s->report.level = (enum ms_log_level)i;
    return CLI_OK;
  }
  return cli_usage(&cli_serve, s->log, "is no level: error, warn, info, debug");
}

static int check_action(struct server *s) {
  size_t chosen = 0;
  char why[64];
  if (s->addresses.count == 0)
    return cli_usage(&cli_serve, NULL, "an address to listen on is missing, as net::0~shs");
  if (cli_actions_chosen(&s->actions, &cli_serve, &chosen) != CLI_OK) return CLI_USAGE;
  s->action = cli_action(chosen);
  s->state = s->actions.of[chosen].state;
  s->serving.argument = s->actions.of[chosen].argument;
  (void)snprintf(why, sizeof why, "and --%s both want standard output", s->action->name);
  if (s->report.json && s->action->writes_stdout) return cli_usage(&cli_serve, "--json", why);
  return cli_actions_read(&s->actions, &cli_serve, chosen);
}

static int check_network(struct server *s) {
  memcpy(s->network_key, ms_scuttlebutt_network_key, sizeof s->network_key);
  if (s->network && ms_key_parse(s->network_key, s->network, strlen(s->network), NULL) < 0)
    return cli_usage(&cli_serve, "--network-key", "is not 32 bytes of base64");
  return CLI_OK;
}

static int check_external(struct server *s) {
  const char *why, *wrong = cli_external_wrong(&s->external, &s->addresses, &why);
  return wrong ? cli_usage_typed(&cli_serve, wrong, why) : CLI_OK;
}

static int check_limits(struct server *s) {
  const char *why, *wrong = cli_limits(&s->limits, &(ms_limits){0}, &why);
  return wrong ? cli_usage(&cli_serve, wrong, why) : CLI_OK;
}

static int check_allowed(struct server *s) {
  return cli_allowed_check(&s->allowed, &cli_serve);
}

static int check_metrics(struct server *s) {
  const char *why = s->metrics_at ? cli_metrics_wrong(s->metrics_at) : NULL;
  return why ? cli_usage_typed(&cli_serve, s->metrics_at, why) : CLI_OK;
}

static int read_allowed(struct server *s) {
  return cli_allowed_read(&s->allowed, &cli_serve);
}

/* In this order: each may use what those before it have read. */
static int (*const checks[])(struct server *s) = {
    check_action, check_network, check_external, check_limits,    check_allowed,
    check_level,  check_metrics, check_scopes,   check_addresses, read_allowed,
};

static int check(struct server *s) {
  int status = CLI_OK;
  for (size_t i = 0; status == CLI_OK && i < sizeof checks / sizeof *checks; i++)
    status = checks[i](s);
  return status;
}

static void on_exit_unread(void *user) {
  stop_action(user, true);
}

static int run(int argc, char **argv) {
  struct server s = {.status = CLI_OK, .pages = {.folder = -1}};
  const struct cli_option own[] = {
      {"key", 0, CLI_TEXT, &s.key},
      {"network-key", 0, CLI_TEXT, &s.network},
      {"allow", 0, CLI_LIST, &s.allowed.given},
      {"allow-file", 0, CLI_TEXT, &s.allowed.file},
      {"allow-any", 0, CLI_FLAG, &s.allowed.any},
      {"scope", 0, CLI_LIST, &s.scope},
      {"external", 0, CLI_LIST, &s.external},
      {"print-addresses", 0, CLI_TEXT, &s.scope_printed},
      {"json", 0, CLI_FLAG, &s.report.json},
      {"origin", 0, CLI_LIST, &s.origins},
      {"trusted-proxy", 0, CLI_LIST, &s.trusted},
      {"http-root", 0, CLI_TEXT, &s.http_root},
      {"tls-cert", 0, CLI_TEXT, &s.tls.cert},
      {"tls-key", 0, CLI_TEXT, &s.tls.key},
      {"tls-ca", 0, CLI_TEXT, &s.tls.ca},
      {"tls-insecure", 0, CLI_FLAG, &s.tls.insecure},
      {"limit", 0, CLI_LIST, &s.limits},
      {"metrics", 0, CLI_TEXT, &s.metrics_at},
      {"insecure-noauth", 0, CLI_FLAG, &s.insecure_noauth},
      {"unix-mode", 0, CLI_MODE, &s.unix_mode},
      {"unix-group", 0, CLI_TEXT, &s.unix_group},
      {"reuse-port", 0, CLI_FLAG, &s.reuse_port},
      {"accept-timeout", 0, CLI_MSEC, &s.accept_msec},
      {"no-evict", 0, CLI_FLAG, &s.allowed.stay},
      {"verbose", 'v', CLI_FLAG, &s.verbose},
      {"quiet", 'q', CLI_FLAG, &s.quiet},
      {"log", 0, CLI_TEXT, &s.log},
  };
  struct cli_option options[sizeof own / sizeof *own + CLI_ALL_ACTION_OPTIONS];
  size_t count = cli_actions_options(&s.actions, options);
  int status = CLI_FAILED;
  memcpy(options + count, own, sizeof own);
  s.given = (struct cli_given){&cli_serve, options, count + sizeof own / sizeof *own};
  cli_report_init(&s.report, &s.loop);
  s.report.events.on_exit = on_exit_unread;
  s.report.events.user = &s;
  s.serving = (struct cli_serving){
      .loop = &s.loop, .report = &s.report, .done = on_action_done, .user = &s};
  if (!count) {
    (void)cli_error("serve", NULL, "out of memory");
  } else if (cli_options(&cli_serve, argc, argv, options, s.given.count, &s.addresses, &status) ==
             0) {
    status = check(&s);
    if (status == CLI_OK) status = serve(&s);
  }
  cli_actions_free(&s.actions);
  cli_address_forget(s.dialled);
  cli_report_free(&s.report);
  cli_allowed_free(&s.allowed);
  cli_texts_free(&s.scope);
  cli_texts_free(&s.external);
  cli_texts_free(&s.origins);
  cli_texts_free(&s.trusted);
  cli_texts_free(&s.limits);
  free(s.inherited.fds);
  cli_pages_close(&s.pages);
  cli_texts_free(&s.addresses);
  return status;
}

const struct cli_command cli_serve = {
    .name = "serve",
    .summary = "listen on one or more stacks",
    .help = cli_serve_help,
    .more = cli_serve_more,
    .run = run,
};
