/* connect: standard input and output over any address. */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "cli.h"

struct options {
  struct cli_given given;
  const char *key, *network;
  uint8_t network_key[MS_KEY_BYTES];
  const char *security;
  struct cli_texts prefer;
  uint32_t timeout_msec, linger_msec, retry_msec;
  bool verbose, receive, retry;
  ms_tls_opts tls;
};

struct session {
  uv_loop_t *loop;
  ms_ctx *ctx;
  const char *typed;
  ms_addr *addr; /* until it has been reached */
  struct cli_me me;
  bool legacy;
  ms_dialer *dialer;
  const struct options *opts;
  struct cli_retry retry;
  int status;
  bool verbose;
  bool keyless; /* the peer has not proved a key */
  struct cli_stdio_opts stdio;
};

static void on_ctx_closed(ms_ctx *ctx, void *user) {
  (void)user;
  ms_ctx_free(ctx);
}

/* It may have waited for a greeting, and hung up on what we said. */
static void note_silence(const struct session *s) {
  ms_ctx_stats stats;
  ms_ctx_stat(s->ctx, &stats);
  if (s->keyless && stats.in == 0)
    cli_note(
        "the peer has ended without a word, and no section of the address proves its key: is "
        "one missing, as ~shs:KEY?");
}

static void end(struct session *s, int status, uint32_t drain_msec) {
  s->status = status;
  if (!uv_is_closing((uv_handle_t *)&s->retry.timer))
    uv_close((uv_handle_t *)&s->retry.timer, NULL);
  ms_ctx_close(s->ctx, drain_msec, on_ctx_closed, NULL);
}

static void on_done(int status, void *user) {
  struct session *s = user;
  note_silence(s);
  end(s, status, 1000);
}

static void add(ms_error *err, const char *more) {
  size_t n = strlen(err->message);
  (void)snprintf(err->message + n, sizeof err->message - n, "%s", more);
}

/* check says what to do about some errors. */
static int tell_other(const struct session *s, const ms_error *err) {
  const ms_alternative *a = ms_addr_at(s->addr, 0);
  ms_error told = *err;
  if (err->phase < MS_PHASE_CONNECT) return cli_error_typed("connect", s->typed, MS_ADDR_DIAL, err);
  if (cli_advice(err, a && a->count ? a->sections[0].host : NULL))
    add(&told, " (multiserver check ADDRESS tells more)");
  return cli_error_from("connect", &told);
}

/* A refusal tells who was refused. */
static int tell(const struct session *s, const ms_error *err) {
  char key[MS_KEY_TEXT];
  ms_error told = *err;
  ms_attempt a;
  size_t n = strlen(told.message), at = 0;
  bool lasting;
  if (err->code != MS_EREFUSED) return tell_other(s, err);
  for (size_t i = 1; ms_dial_attempt(s->dialer, i, &a); i++) /* the last is the furthest */
    if (a.error && a.error->code == MS_EREFUSED) at = a.alternative;
  lasting = cli_known_as(&s->me, ms_addr_at(s->addr, at), key);
  (void)snprintf(told.message + n, sizeof told.message - n, "; it knows us as %s%s", key,
                 lasting ? "" : ", made for this once: run multiserver keygen first");
  return cli_error_from("connect", &told);
}

/* With --retry, as long as there is time. */
static bool wait_for_more(struct session *s, const ms_error *err) {
  uint32_t msec = s->opts->retry ? cli_retry_begin(&s->retry) : 0;
  char again[64];
  ms_error told = *err;
  if (!msec) return false;
  (void)snprintf(again, sizeof again, "; again in %.1f s", (double)msec / 1000);
  add(&told, again);
  cli_say_error(MS_LOG_WARN, "connect", &told);
  return true;
}

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct session *s = user;
  if (err && wait_for_more(s, err)) return;
  if (err) {
    (void)tell(s, err);
    if (!s->verbose) cli_attempts(s->dialer);
    end(s, CLI_FAILED, 0);
    return;
  }
  ms_addr_free(s->addr); /* a seed need not be there as long as the connection is */
  s->addr = NULL;
  s->keyless = !ms_conn_key(conn);
  if (s->verbose) cli_note("connected to %s", ms_conn_address(conn));
  cli_stdio_start(s->loop, conn, &s->stdio, on_done, s);
}

static void on_attempt(const ms_attempt *attempt, void *user) {
  (void)user;
  cli_attempt(attempt);
}

/* -1: it is none. */
static int read_security(const char *name) {
  static const char *const names[] = {"none", "server", "key"};
  for (int i = 0; name && i < 3; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return name ? -1 : MS_SECURITY_NONE;
}

/* A stack that this build dials, also "wss~shs"; else the first that is none, or NULL. */
static const char *wrong_preference(const struct cli_texts *prefer) {
  for (size_t i = 0; i < prefer->count; i++) {
    const char *name = prefer->at[i];
    bool known = false;
    for (size_t j = 0; cli_stack(j) && !known; j++)
      known = strcmp(cli_stack(j), name) == 0 ||
              (strncmp(name, "wss", 3) == 0 && strncmp(cli_stack(j), "ws", 2) == 0 &&
               strcmp(cli_stack(j) + 2, name + 3) == 0);
    if (!known) return name;
  }
  return NULL;
}

static int wrong_stack(const char *name) {
  char why[768], all[640];
  cli_stacks_text(", ", all, sizeof all);
  (void)snprintf(why, sizeof why, "is no stack that can be dialled, which is one of %s", all);
  return cli_usage(&cli_connect, name, why);
}

/* Some alternative has a stack that is preferred. */
static bool any_preferred(const ms_addr *addr, const struct cli_texts *prefer) {
  const ms_alternative *a;
  for (size_t i = 0; (a = ms_addr_at(addr, i)); i++)
    for (size_t j = 0; j < prefer->count; j++)
      if (ms_addr_match(a, prefer->at[j])) return true;
  return prefer->count == 0;
}

static int check_use(const ms_addr *addr, const struct options *o) {
  int status = cli_unused_dialling(&o->given, addr);
  if (status != CLI_OK || any_preferred(addr, &o->prefer)) return status;
  return cli_usage(&cli_connect, "--prefer", "the address has no alternative of such a stack");
}

/* CLI_OK, and its callback tells the rest in time; else an error line has been printed. */
static int dial(struct session *s) {
  const struct options *o = s->opts;
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  char *translated = NULL;
  ms_error err;
  int r;
  opts.timeout_msec = o->timeout_msec;
  opts.security = (enum ms_security)read_security(o->security);
  opts.prefer = o->prefer.at;
  opts.prefer_count = o->prefer.count;
  opts.on_dialled = on_dialled;
  opts.on_attempt = o->verbose ? on_attempt : NULL;
  opts.user = s;
  if (s->legacy && !(translated = cli_address_text(s->addr, 0)))
    return cli_error("connect", NULL, "out of memory");
  r = ms_dial(s->ctx, &s->dialer, s->legacy ? translated : s->typed, &opts, &err);
  cli_address_free(translated);
  return r < 0 ? cli_error_typed("connect", s->typed, MS_ADDR_DIAL, &err) : CLI_OK;
}

static void dial_again(void *user) {
  struct session *s = user;
  if (dial(s) != CLI_OK) end(s, CLI_FAILED, 0);
}

static int begin(struct session *s, const ms_identity *id) {
  const struct options *o = s->opts;
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_error err;
  opts.loop = s->loop;
  opts.network_key = o->network_key;
  opts.identity = id;
  if (ms_ctx_new(&s->ctx, &opts, &err) < 0) return cli_error_from("connect", &err);
  cli_retry_init(&s->retry, s->loop, o->retry_msec);
  s->retry.again = dial_again;
  s->retry.user = s;
  if (cli_dial_stacks("connect", s->ctx, cli_address_keyed(s->addr), &o->tls) == CLI_OK &&
      dial(s) == CLI_OK)
    return CLI_OK;
  uv_close((uv_handle_t *)&s->retry.timer, NULL);
  ms_ctx_free(s->ctx);
  return CLI_FAILED;
}

static int connect_to(const char *text, const struct options *o) {
  uv_loop_t loop;
  struct session s = {.loop = &loop,
                      .typed = text,
                      .opts = o,
                      .status = CLI_FAILED,
                      .verbose = o->verbose,
                      .stdio = {.hold = o->receive ? CLI_HOLD : CLI_HOLD_NEVER,
                                .linger_msec = o->linger_msec,
                                .progress = true}};
  ms_identity *id = NULL;
  int status = cli_read_address(&cli_connect, text, &s.addr, &s.legacy);
  if (status != CLI_OK) return status;
  if ((status = check_use(s.addr, o)) != CLI_OK) {
    s.status = status;
    goto out;
  }
  if (o->tls.insecure)
    cli_note("--tls-insecure: any certificate is trusted, anybody can be in between");
  if (cli_address_keyed(s.addr) && cli_secret_find(o->key, &id, &s.me) != CLI_OK) goto out;
  if (cli_loop_open(&loop, "connect") != CLI_OK) goto out;
  (void)begin(&s, id);
  ms_identity_free(id); /* the context has a copy */
  id = NULL;
  (void)uv_run(&loop, UV_RUN_DEFAULT);
  (void)uv_loop_close(&loop);
out:
  ms_identity_free(id);
  ms_addr_free(s.addr);
  return s.status;
}

static int run(int argc, char **argv) {
  struct options o = {.key = NULL};
  const struct cli_option options[] = {
      {"key", 0, CLI_TEXT, &o.key},
      {"network-key", 0, CLI_TEXT, &o.network},
      {"prefer", 0, CLI_LIST, &o.prefer},
      {"security", 0, CLI_TEXT, &o.security},
      {"timeout", 0, CLI_MSEC, &o.timeout_msec},
      {"linger", 0, CLI_MSEC, &o.linger_msec},
      {"receive", 0, CLI_FLAG, &o.receive},
      {"retry", 0, CLI_FLAG, &o.retry},
      {"retry-for", 0, CLI_MSEC, &o.retry_msec},
      {"tls-ca", 0, CLI_TEXT, &o.tls.ca},
      {"tls-insecure", 0, CLI_FLAG, &o.tls.insecure},
      {"verbose", 'v', CLI_FLAG, &o.verbose},
  };
  struct cli_texts rest = {0};
  char *address = NULL;
  int status;
  o.given = (struct cli_given){&cli_connect, options, sizeof options / sizeof *options};
  if (cli_options(&cli_connect, argc, argv, options, sizeof options / sizeof *options, &rest,
                  &status) == 0) {
    if (o.retry_msec) o.retry = true;
    status = cli_one_address(&cli_connect, &rest, o.network, o.network_key);
    if (status == CLI_OK && read_security(o.security) < 0)
      status = cli_usage(&cli_connect, "--security", "is one of none, server, key");
    if (status == CLI_OK && wrong_preference(&o.prefer))
      status = wrong_stack(wrong_preference(&o.prefer));
    if (status == CLI_OK) status = cli_address_given(&cli_connect, rest.at[0], &address);
    if (status == CLI_OK) status = connect_to(address, &o);
  }
  cli_address_forget(address);
  cli_texts_free(&rest);
  cli_texts_free(&o.prefer);
  return status;
}

const struct cli_command cli_connect = {
    .name = "connect",
    .summary = "connect standard input and output to an address",
    .help =
        "usage: multiserver connect [OPTIONS] ADDRESS\n"
        "\n"
        "Reaches ADDRESS by whichever of its alternatives is up first: they race, each starting\n"
        "a quarter of a second after the one before, or as soon as one fails. Sends standard\n"
        "input to the peer and writes what it sends to standard output. The end of standard\n"
        "input ends our direction only; after the peer's end, what a pipe still gives is sent\n"
        "until it is silent for a while. A file on standard input shows on a terminal how far it\n"
        "has gone (one line at the end where TERM is dumb or not set). Where a peer that proves\n"
        "no key ends without a word, a note asks whether a section of the address is missing.\n"
        "An old Scuttlebutt address (HOST:PORT:@KEY.ed25519) or invite will do as well. Quote the\n"
        "address: it has ';' and '~' in it. Everybody on this machine sees a command line: an\n"
        "address with a seed is given as @FILE, a file that nobody else may open, or as -, the\n"
        "first line of standard input; what follows it is for the peer.\n"
        "\n"
        "  --key FILE            who we are (default: $XDG_CONFIG_HOME/multiserver/secret if it\n"
        "                        is there, else somebody for this once)\n"
        "  --network-key BASE64  the network (default: Scuttlebutt's main network)\n"
        "  --prefer STACK        try alternatives of this stack first (ws is wss, too): net,\n"
        "                        net~noauth, net~shs, net~tls, net~tls~noauth, net~tls~shs, ws,\n"
        "                        ws~noauth, ws~shs, unix, unix~noauth, unix~shs, unix~tls,\n"
        "                        unix~tls~noauth, unix~tls~shs, unix~ws, unix~ws~noauth,\n"
        "                        unix~ws~shs, unix~tls~ws, unix~tls~ws~noauth, unix~tls~ws~shs;\n"
        "                        may be repeated, the best first\n"
        "  --security LEVEL      the least a peer has to prove: key (its key, by shs), server\n"
        "                        (its name, by TLS) or none (default)\n"
        "  --receive             say our end only when all of the peer's stream is written out, "
        "so\n"
        "                        that its exit status 0 means that; a terminal is not read\n"
        "  --timeout MSEC        for reaching the peer, all attempts together (default 15000)\n"
        "  --retry               dial again while it has never opened, also after a refusal: "
        "first\n"
        "                        after 0.25 seconds, then twice as long each time, up to 30; each\n"
        "                        failure is told. A connection that was open and ends is not\n"
        "                        resumed\n"
        "  --retry-for MSEC      the same, for so long at the most\n"
        "  --linger MSEC         how long a pipe may be silent after the peer's end; and where a\n"
        "                        stack has no half-close (WebSocket with nothing on it), how long\n"
        "                        the peer may be silent after the end of standard input, which is\n"
        "                        held, once it has said something, and four times as long before\n"
        "                        (default 1000). Then it is asked to close; what it says until it\n"
        "                        does is still read, but many say no more\n"
        "  --tls-ca FILE         trust these certificates (PEM) in the place of the system's:\n"
        "                        roots, authorities below one, a server's own\n"
        "  --tls-insecure        trust any certificate: anybody can be in between\n"
        "  -v, --verbose         show the race as it happens, on standard error\n"
        "\n"
        "exit status: 0 after the peer's clean end (authenticated where the stack has such an\n"
        "end), with all of ours acknowledged by the peer's system, 1 on a refusal, a truncation,\n"
        "a reset or anything else, 2 on wrong usage or a malformed address\n"
        "\n"
        "examples:\n"
        "  multiserver connect 'net:localhost:8008~shs:KEY'\n"
        "  multiserver connect @invite < hello.txt\n"
        "  multiserver connect 'wss://pub.example/path~shs:KEY'\n"
        "  multiserver connect --retry 'net:10.0.0.7:8008~shs:KEY' < backup.tar\n"
        "  multiserver connect -v 'net:10.0.0.7:8008~shs:KEY;unix:/run/x/socket~noauth'\n",
    .run = run,
};
