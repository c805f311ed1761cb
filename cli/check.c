/* check: takes an address apart and tries each of its alternatives by itself. */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "cli.h"

enum { ATTEMPTS = 64 }; /* of one dial */

/* How far an attempt has come. */
struct reached {
  uint32_t msec; /* its last step */
  bool connected;
  size_t layers;
};

struct check {
  uv_loop_t loop;
  ms_ctx *ctx;
  ms_addr *addr;
  struct cli_me me;
  const char *typed; /* NULL: it is a translation of what was */
  size_t at;         /* the alternative being tried */
  const ms_alternative *tried;
  size_t open; /* those that could be opened */
  uint32_t timeout_msec;
  bool any_certificate;
  bool several;                         /* attempts at it may be under way */
  bool titled;                          /* something of it has been printed */
  struct reached reached[ATTEMPTS + 1]; /* by an attempt's number */
};

/* ---- What is printed ---- */

static void print(const char *what, const char *where, const char *how) {
  char text[2048];
  (void)snprintf(text, sizeof text, "  %-9s%s%s%s%s", what, *where ? " " : "", where,
                 *how ? " " : "", how);
  cli_clean(text, strlen(text));
  (void)puts(text);
}

/* `when`: "" or " after 3 ms". */
static void print_failure(const ms_error *err, const char *place, const char *when) {
  const char *what = *err->layer ? err->layer : "dial";
  char how[sizeof err->message + 96];
  (void)snprintf(how, sizeof how, "failed%s: %s", when, err->message);
  if (err->phase < MS_PHASE_HANDSHAKE) what = ms_phase_text(err->phase);
  print(what, place, how);
}

static void print_refusal(const struct check *c, const ms_alternative *a) {
  char key[MS_KEY_TEXT], how[256];
  bool lasting = cli_known_as(&c->me, a, key);
  (void)snprintf(how, sizeof how, "the server knows us as %s%s, or check the KEY in the address",
                 key,
                 lasting ? ": have it admitted there"
                         : ", made for this once: run multiserver keygen first, and have that key "
                           "admitted there");
  print("", "->", how);
}

/* The alternative as it was typed, in malloc's memory; NULL: that is not known. */
static char *typed_of(const struct check *c, const ms_alternative *a) {
  return c->typed ? strndup(c->typed + a->offset, a->length) : NULL;
}

/* "": it is not known. */
static void show_typed(const struct check *c, const ms_alternative *a, char shown[CLI_TYPED]) {
  char *typed = typed_of(c, a);
  *shown = '\0';
  if (typed) cli_typed(typed, shown, CLI_TYPED);
  cli_address_free(typed);
}

/* Another address may have been meant, if not even a place was found. False: none. */
static bool print_meant(const struct check *c, const ms_alternative *a, const ms_error *err) {
  char meant[CLI_MEANT] = "", *typed = err->phase < MS_PHASE_CONNECT ? typed_of(c, a) : NULL;
  if (typed) cli_did_you_mean(typed, MS_ADDR_DIAL, meant, sizeof meant);
  if (*meant) print("", "->", meant + strlen("; "));
  cli_address_free(typed);
  return *meant;
}

static void print_advice(const struct check *c, const ms_alternative *a, const ms_error *err) {
  const char *advice = cli_advice(err, a->count ? a->sections[0].host : NULL);
  if (print_meant(c, a, err)) return;
  if (err->code == MS_EREFUSED) print_refusal(c, a);
  if (advice) print("", "->", advice);
}

static void print_title(struct check *c, const char *title) {
  char text[1024];
  c->titled = true;
  (void)snprintf(text, sizeof text, "%s", title);
  cli_clean(text, strlen(text));
  if (c->at > 1) (void)puts("");
  (void)puts(text);
}

/* What an attempt waits for that has come so far: its transport, or the next of its layers. */
static const char *waits_for(const struct reached *r, const ms_alternative *a) {
  static const char *const of_ws[] = {"tls", "http", "ws"};
  size_t n = r->layers;
  if (!r->connected) return "connect";
  for (size_t i = 0; i < a->count; i++) {
    const ms_section *s = &a->sections[i];
    for (size_t j = s->secure ? 0 : 1; s->kind == MS_SECTION_WS && j < 3; j++)
      if (n-- == 0) return of_ws[j];
    if (i > 0 && s->kind != MS_SECTION_WS && n-- == 0) return s->name;
  }
  return "open";
}

/* Has who is there shown its key, or a name by a certificate that is trusted? */
static bool is_proved(const struct check *c) {
  for (size_t i = 0; i < c->tried->count; i++) {
    const ms_section *s = &c->tried->sections[i];
    if (s->kind == MS_SECTION_SHS) return true;
    if ((s->kind == MS_SECTION_TLS || s->secure) && !c->any_certificate) return true;
  }
  return false;
}

static void on_attempt(const ms_attempt *a, void *user) {
  struct check *c = user;
  struct reached *r = &c->reached[a->number <= ATTEMPTS ? a->number : 0];
  uint32_t took = a->msec - (a->step == MS_STEP_RESOLVE || !r->msec ? a->begun_msec : r->msec);
  const char *place;
  char how[64];
  if (a->number > 1) c->several = true;
  place = c->several ? a->place : "";
  r->msec = a->msec;
  (void)snprintf(how, sizeof how, "%u ms", took);
  switch (a->step) {
    case MS_STEP_RESOLVE:
      print_title(c, a->address);
      print("parse", "", "ok");
      break;
    case MS_STEP_CONNECT:
      if (a->number == 1 && c->tried->sections[0].host) print("resolve", "", how);
      break;
    case MS_STEP_CONNECTED:
      r->connected = true;
      print("connect", a->place, how);
      break;
    case MS_STEP_LAYER:
      r->layers++;
      print(a->layer, place, how);
      break;
    case MS_STEP_OPEN:
      (void)snprintf(how, sizeof how, "%u ms in all", a->msec);
      print(is_proved(c) ? "open" : "reachable, nobody proved", place, how);
      break;
    case MS_STEP_FAILED:
      (void)snprintf(how, sizeof how, " after %u ms", took);
      print_failure(a->error, place, how);
      break;
    case MS_STEP_DROPPED:
      (void)snprintf(how, sizeof how, "no answer yet after %u ms", took);
      print(waits_for(r, c->tried), place, how);
      break;
    case MS_STEP_PASSED_OVER: /* of one alternative that is dialled, none */
      break;
  }
}

/* ---- One alternative after the other ---- */

static void on_ctx_closed(ms_ctx *ctx, void *user) {
  (void)user;
  ms_ctx_free(ctx);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
}

static void next(struct check *c);

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  static const ms_conn_events events = {.on_close = on_close};
  struct check *c = user;
  if (err && !c->titled) { /* else its attempts have told it */
    print_title(c, err->address);
    print_failure(err, "", "");
  }
  if (err) print_advice(c, c->tried, err);
  if (conn) {
    c->open++;
    ms_conn_handle(conn, &events, NULL);
    ms_conn_close(conn);
  }
  next(c);
}

/* False: it can't be tried, and why has been printed. */
static bool try_one(struct check *c, const ms_alternative *a) {
  ms_dial_opts dial = MS_OPTS_INIT(ms_dial_opts);
  char *address = a->error.code ? NULL : cli_address_text(c->addr, c->at - 1);
  char title[CLI_TYPED + 64], shown[CLI_TYPED];
  ms_error err;
  int r;
  if (!address) {
    show_typed(c, a, shown);
    (void)snprintf(title, sizeof title, "alternative %zu, at byte %zu%s%s", c->at, a->offset,
                   *shown ? ": " : "", shown);
    print_title(c, title);
    print("parse", "", a->error.code ? a->error.message : "out of memory");
    print_advice(c, a, &a->error);
    return false;
  }
  c->tried = a;
  c->several = c->titled = false;
  memset(c->reached, 0, sizeof c->reached);
  dial.timeout_msec = c->timeout_msec;
  dial.on_dialled = on_dialled;
  dial.on_attempt = on_attempt;
  dial.user = c;
  r = ms_dial(c->ctx, NULL, address, &dial, &err);
  if (r < 0) {
    show_typed(c, a, shown);
    print_title(c, *shown ? shown : err.address);
    print_failure(&err, "", "");
    print_advice(c, a, &err);
  }
  cli_address_free(address);
  return r == 0;
}

static void next(struct check *c) {
  const ms_alternative *a;
  while ((a = ms_addr_at(c->addr, c->at++)))
    if (try_one(c, a)) return;
  ms_ctx_close(c->ctx, 1000, on_ctx_closed, NULL);
}

/* ---- Starting ---- */

struct options {
  struct cli_given given;
  const char *allow_file;
  const char *key, *network;
  uint8_t network_key[MS_KEY_BYTES];
  uint32_t timeout_msec;
  ms_tls_opts tls;
};

static int begin(struct check *c, const struct options *o, bool keyed, const ms_identity *id) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_error err;
  opts.loop = &c->loop;
  opts.network_key = o->network_key;
  opts.identity = id;
  if (ms_ctx_new(&c->ctx, &opts, &err) < 0) return cli_error_from("check", &err);
  if (cli_dial_stacks("check", c->ctx, keyed, &o->tls) == CLI_OK) {
    next(c);
    return CLI_OK;
  }
  ms_ctx_free(c->ctx);
  return CLI_FAILED;
}

static int check(const char *address, const struct options *o) {
  struct check c = {
      .typed = address, .timeout_msec = o->timeout_msec, .any_certificate = o->tls.insecure};
  ms_identity *id = NULL;
  bool legacy, keyed;
  int status = cli_read_address(&cli_check, address, &c.addr, &legacy);
  if (legacy) c.typed = NULL;
  if (status == CLI_OK) status = cli_unused_dialling(&o->given, c.addr);
  if (status != CLI_OK) {
    ms_addr_free(c.addr);
    return status;
  }
  (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a pipe, too, gets each step when it is */
  keyed = cli_address_keyed(c.addr);
  if (keyed && cli_secret_find(o->key, &id, &c.me) != CLI_OK) {
    status = CLI_FAILED;
  } else if ((status = cli_loop_open(&c.loop, "check")) == CLI_OK) {
    status = begin(&c, o, keyed, id);
    (void)uv_run(&c.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&c.loop);
    if (status == CLI_OK && !c.open) status = CLI_FAILED;
    if (cli_flush("check") != CLI_OK) status = CLI_FAILED;
  }
  ms_identity_free(id);
  ms_addr_free(c.addr);
  return status;
}

/* ---- Files that serve reads ---- */

static int check_allowed(const char *path) {
  struct cli_keys keys = {NULL, 0};
  int status = cli_keys_read(&keys, path);
  if (status == CLI_OK && !keys.count)
    status =
        cli_error("allow", path, "has no key: it lets nobody in, and changes nothing that runs");
  if (status == CLI_OK) (void)printf("%s: %zu key%s\n", path, keys.count, cli_plural(keys.count));
  cli_keys_free(&keys);
  return status;
}

/* As a server would take them. */
static int check_certificate(const ms_tls_opts *tls) {
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  ms_ctx *ctx;
  ms_error err;
  int r = ms_ctx_new(&ctx, &opts, &err);
  if (r < 0) return cli_error_from("check", &err);
  stack.tls = *tls;
  r = ms_add(ctx, "wss://localhost:0", &stack, &err);
  ms_ctx_free(ctx);
  if (r < 0) return cli_error("check", NULL, "%s", err.message);
  (void)printf("%s: a certificate that can be served\n", tls->cert);
  return CLI_OK;
}

/* All are tried; the first failure counts. */
static int check_files(const struct options *o) {
  int allowed = o->allow_file ? check_allowed(o->allow_file) : CLI_OK;
  int certificate = o->tls.cert ? check_certificate(&o->tls) : CLI_OK;
  int flushed = cli_flush("check");
  return allowed != CLI_OK ? allowed : certificate != CLI_OK ? certificate : flushed;
}

static int check_all(const char *arg, const struct options *o) {
  int files = check_files(o), status = CLI_OK;
  char *address = NULL;
  if (arg) status = cli_address_given(&cli_check, arg, &address);
  if (arg && status == CLI_OK) status = check(address, o);
  cli_address_forget(address);
  return files != CLI_OK ? files : status;
}

static int run(int argc, char **argv) {
  struct options o = {.timeout_msec = 5000};
  const struct cli_option options[] = {
      {"key", 0, CLI_TEXT, &o.key},
      {"network-key", 0, CLI_TEXT, &o.network},
      {"timeout", 0, CLI_MSEC, &o.timeout_msec},
      {"allow-file", 0, CLI_TEXT, &o.allow_file},
      {"tls-cert", 0, CLI_TEXT, &o.tls.cert},
      {"tls-key", 0, CLI_TEXT, &o.tls.key},
      {"tls-ca", 0, CLI_TEXT, &o.tls.ca},
      {"tls-insecure", 0, CLI_FLAG, &o.tls.insecure},
  };
  struct cli_texts rest = {0};
  bool files;
  int status;
  o.given = (struct cli_given){&cli_check, options, sizeof options / sizeof *options};
  if (cli_options(&cli_check, argc, argv, options, sizeof options / sizeof *options, &rest,
                  &status) == 0) {
    files = o.allow_file || o.tls.cert;
    status = files && !rest.count ? CLI_OK
                                  : cli_one_address(&cli_check, &rest, o.network, o.network_key);
    if (status == CLI_OK && o.tls.key && !o.tls.cert)
      status = cli_usage(&cli_check, "--tls-key", "belongs to a certificate: --tls-cert FILE");
    if (status == CLI_OK) status = check_all(rest.count ? rest.at[0] : NULL, &o);
  }
  cli_texts_free(&rest);
  return status;
}

const struct cli_command cli_check = {
    .name = "check",
    .summary = "take an address apart and try each part of it",
    .help =
        "usage: multiserver check [OPTIONS] ADDRESS\n"
        "       multiserver check --allow-file FILE | --tls-cert FILE [--tls-key FILE]\n"
        "\n"
        "Tries every alternative of ADDRESS by itself, step by step: reading it, looking its\n"
        "host up, connecting, each layer of its stack, with the time that each has taken. Where\n"
        "one fails, a line says what to do about it. One that opens is open where its peer has\n"
        "proved its key (shs) or its name (TLS), and else reachable, nobody proved.\n"
        "An old Scuttlebutt address (HOST:PORT:@KEY.ed25519) or invite will do as well. Quote the\n"
        "address; one with a seed is given as @FILE or as -, the first line of standard input: a\n"
        "command line is no secret.\n"
        "\n"
        "  --key FILE            who we are (default: $XDG_CONFIG_HOME/multiserver/secret if it\n"
        "                        is there, else somebody for this once)\n"
        "  --network-key BASE64  the network (default: Scuttlebutt's main network)\n"
        "  --timeout MSEC        for each alternative (default 5000)\n"
        "  --tls-ca FILE         trust these certificates (PEM) in the place of the system's:\n"
        "                        roots, authorities below one, a server's own\n"
        "  --tls-insecure        trust any certificate: anybody can be in between\n"
        "\n"
        "files that serve reads again when it is told to, checked before that:\n"
        "  --allow-file FILE     public keys, one a line, one at least\n"
        "  --tls-cert FILE       a certificate (PEM), its chain behind it\n"
        "  --tls-key FILE        its private key (default: in the same file)\n"
        "\n"
        "exit status: 0 when one alternative at least can be opened and each file is good, 1 when\n"
        "not, 2 on wrong usage\n"
        "\n"
        "examples:\n"
        "  multiserver check 'net:pub.example:8008~shs:KEY;wss://pub.example~shs:KEY'\n"
        "  multiserver check 'pub.example:8008:@KEY.ed25519'\n"
        "  multiserver check --allow-file friends && kill -HUP PID\n",
    .run = run,
};
