/* What the files of serve share. */
#ifndef MS_CLI_SERVE_H
#define MS_CLI_SERVE_H

#include "../cli.h"

/* The text of serve --help: its beginning, and what prints the rest (help.c). */
extern const char cli_serve_help[];
void cli_serve_more(void);

/* ---- Events on standard output (events.c) ---- */

struct cli_lines {
  char *at;
  size_t n, size;
  uint64_t lost_before; /* events */
};

/* All zero at first but for what is the caller's to set. It stays where it is. */
struct cli_events {
  uv_loop_t *loop; /* the caller's */

  /* The caller's: the event that tells of so many lost ones, of malloc, or NULL. */
  char *(*tell_lost)(uint64_t count);

  /* The caller's: what is to be done before the process exits for want of a reader; or NULL. */
  void (*on_exit)(void *user);
  void *user;

  struct cli_lines waiting, writing;
  uint64_t lost, lost_ever; /* for want of room, memory or a reader: after all that waits; ever */
  uint64_t told_at;         /* msec: when an error line told that a write had failed; 0: never */
  uv_work_t work;
  uv_timer_t patience;
  bool busy, broken, timed; /* a thread writes; the last write has failed; the timer is open */
  /* the thread's */
  char *note; /* the event that tells of `lost_before`, or NULL */
  bool noted; /* it is written */
  bool torn;  /* what was written ends within a line */
  size_t written;
  int error;
};

/* A line, without its end. NULL: there was no memory for it, and it is lost. */
void cli_events_add(struct cli_events *events, const char *line);

/* The loop has nothing else to do: who does not read what is left within a second loses it, and the
 * process exits. */
void cli_events_end(struct cli_events *events);

/* After the loop. A line tells how many were lost. */
void cli_events_free(struct cli_events *events);

/* ---- What serve tells of its connections (report.c) ---- */

/* Zero at first but for `level`, `json` and `scope`, and then for cli_report_init. */
struct cli_report {
  enum ms_log_level level; /* of the lines about peers */
  bool json;               /* events on stdout, besides the lines on stderr */
  struct cli_events events;
  enum ms_scope scope; /* of the addresses told */
  char *addresses;     /* the last; NULL: none yet */
  char **listening;    /* what was told of each stack, by number; NULL: nothing */
  size_t listening_count;
  uint64_t second, untold; /* lines about peers: the present second, those not told in it */
  unsigned told;
};
void cli_report_init(struct cli_report *r, uv_loop_t *loop);
void cli_report_listen(struct cli_report *r, const ms_ctx *ctx, int stack, const ms_error *err);

/* All have reported. The addresses of all, or NULL: no memory. What cli_report_listen has told of
 * the first is told again when the interfaces have changed since. */
const char *cli_report_ready(struct cli_report *r, const ms_ctx *ctx);

/* Says the addresses again when they are others than the last. */
void cli_report_addresses(struct cli_report *r, const ms_ctx *ctx);
void cli_report_connection(struct cli_report *r, const ms_conn *conn);
void cli_report_failed(struct cli_report *r, const ms_conn *conn, const ms_error *err);

/* For every on_close. `what` begins an error line; NULL: none. */
void cli_report_closed(struct cli_report *r, const char *what, const ms_conn *conn,
                       const ms_error *err);

/* The same where a command or a bridge was at work: how that ended is part of the event. */
struct cli_ending {
  const char *name; /* "status", "signal", or NULL: it has not */
  int number;
  const char *cause; /* of a bridge: what has failed at its other side, or NULL */
};
void cli_report_ended(struct cli_report *r, const char *what, const ms_conn *conn,
                      const ms_error *err, const struct cli_ending *ending);

/* For an on_close, before the event: a line, "multiserver: WHAT: ADDRESS: WHY", about a peer that
 * was cut. What the event shall tell then, in `told`: the same. */
const ms_error *cli_report_cut(struct cli_report *r, const char *what, const ms_conn *conn,
                               const ms_error *err, ms_error *told, const char *why);

/* A line about what has failed elsewhere for the peer at an address, with `more` behind it, a
 * warning: "multiserver: WHAT: PEER: ADDRESS: WHY". */
void cli_report_far(struct cli_report *r, const char *what, const char *peer, const ms_error *err,
                    const char *more);

/* Takes a connection on only to fail it (ms_conn_fail) and to report that: nobody can serve it, and
 * its peer shall not take that for an end. */
void cli_fail(struct cli_report *r, ms_conn *conn, const char *why);

/* The context's numbers, as an event. */
void cli_report_stats(struct cli_report *r, const ms_ctx *ctx);

/* What it keeps. */
void cli_report_free(struct cli_report *r);

/* ---- systemd (systemd.c) ---- */

/* The sockets that systemd has opened for us: `fds` is of malloc, or NULL. */
struct cli_sockets {
  int *fds;
  size_t count;
};

/* Before anything else opens a descriptor, which would pass for one of them; `out` is all zero at
 * first. Children do not hear of them. Fewer than we were told of are a note. CLI_OK, or CLI_FAILED
 * after an error line. */
int cli_systemd_sockets(struct cli_sockets *out);

/* A line for each of them that no stack has taken. */
void cli_systemd_unused(const struct cli_sockets *sockets, const ms_ctx *ctx);

/* Does it want to be told? */
bool cli_systemd_listens(void);

/* Tells it "READY=1", "STOPPING=1"; that a reload begins. Nobody may be there. */
void cli_systemd_tell(const char *state);
void cli_systemd_reloading(void);

/* ---- Who may enter (allowed.c) ---- */

/* All zero at first; the first four are what options say. */
struct cli_allowed {
  bool any, stay;         /* --allow-any; --no-evict */
  struct cli_texts given; /* --allow */
  const char *file;       /* --allow-file; NULL: none */
  struct cli_keys keys, filed;
  uint8_t own[MS_KEY_BYTES]; /* who enters where no option says */
};

/* CLI_OK, or an exit status after an error line: what the options alone show, then the keys. */
int cli_allowed_check(const struct cli_allowed *a, const struct cli_command *command);
int cli_allowed_read(struct cli_allowed *a, const struct cli_command *command);
bool cli_allowed_only_own(const struct cli_allowed *a);
bool cli_allowed_has(const struct cli_allowed *a, const uint8_t *key);

/* Reads the file again, if there is one, and puts out whose key has gone; after an error, or
 * without a key in it, all is as before. */
void cli_allowed_reload(struct cli_allowed *a, ms_ctx *ctx);
void cli_allowed_free(struct cli_allowed *a);

/* ---- Limits (limits.c) ---- */

/* Writes the defaults and then "NAME=NUMBER" or "NAME=none" to *out. NULL, or the first text that
 * is no limit and, in *why, what is wrong with it. */
const char *cli_limits(const struct cli_texts *texts, ms_limits *out, const char **why);

/* Limits in the text format of Prometheus: how many bytes of `buf`. */
size_t cli_limits_text(const ms_limits *of, char *buf, size_t size);

/* ---- Descriptors (descriptors.c) ---- */

/* Asks the system for as many as these connections need, `each` of them; a note where it gives
 * fewer. How many there were before, or 0: they were enough. */
unsigned long cli_descriptors(uint32_t connections, unsigned each);

/* ---- What stands in front (external.c) ---- */

/* Is it a section, and no host? */
bool cli_external_is_section(const char *external);

/* Adds to `out` those of --external that are meant for this address to listen on: the sections of
 * its transport, else the hosts; for a unix socket those of ws or net, which something in front of
 * it speaks, and no hosts. False: no memory; what is in `out` is to be freed all the same. */
bool cli_external(const struct cli_texts *given, const char *address, struct cli_texts *out);

/* The first that is a host and a port, or a section that none of these addresses has the transport
 * of, and what to say of it; or NULL. */
const char *cli_external_wrong(const struct cli_texts *given, const struct cli_texts *addresses,
                               const char **why);

/* ---- Numbers (metrics.c) ---- */

/* What ms_ctx_stats has, by name. */
enum { CLI_STATS = 26 };
extern const struct cli_stat {
  const char *name, *unit, *help; /* the unit is "" or "_bytes" */
  bool counter;                   /* it only grows */
  size_t offset, size;
} cli_stats[CLI_STATS];
uint64_t cli_stat(const ms_ctx_stats *stats, size_t i);

/* A line of them all on stderr: "NAME=NUMBER ...", and how many events were lost (NULL: there are
 * none). */
void cli_stats_note(const ms_ctx *ctx, const uint64_t *events_lost);

/* What is wrong with the address, or NULL. */
const char *cli_metrics_wrong(const char *address);

/* Serves them to Prometheus, as text over HTTP, at an address of net or unix, to whom these options
 * of a stack let in. The server is freed after cli_metrics_close. */
struct cli_metrics {
  const ms_ctx *of;            /* whose */
  ms_limits limits;            /* its limits; the caller's to set */
  const uint64_t *events_lost; /* the caller's to set; NULL: there are no events */
  ms_ctx *ctx;                 /* its own */
  uv_loop_t *loop;
  struct cli_scrape *oldest, *newest; /* those who ask */
  unsigned count, room, burst;        /* so many; so many may for long, and for a moment */
};
int cli_metrics_open(struct cli_metrics *m, uv_loop_t *loop, const ms_ctx *of, const char *address,
                     const ms_stack_opts *stack);
void cli_metrics_close(struct cli_metrics *m);

/* ---- Pages (http_root.c, http_condition.c, page.c) ---- */

enum { CLI_READERS = 4 }; /* as libuv has threads */

/* All zero at first but for the folder, -1. */
struct cli_pages {
  int folder; /* of cli_http_root_open */
  uv_loop_t *loop;
  struct cli_reader *readers;
  struct cli_page *first, *last; /* those that wait for a reader */
};

/* A folder; -1 after an error line. */
int cli_http_root_open(const char *path);

/* Room for pieces of files. False: no memory. */
bool cli_pages_open(struct cli_pages *pages, uv_loop_t *loop);

/* After the loop. Closes the folder, too. */
void cli_pages_close(struct cli_pages *pages);

/* Answers a request for a page. */
void cli_http_root(struct cli_pages *pages, ms_conn *conn, const ms_request *request);

/* Some bytes of a file. */
struct cli_part {
  int64_t at, length;
};

/* What a browser may have seen before: the tag is quoted, the date as HTTP has it, or "". */
struct cli_file {
  int64_t size;
  char etag[64], modified[32];
};

/* 200 or 206, and what of the file goes out; 304, 412 or 416: nothing does. */
int cli_http_condition(const ms_request *request, const struct cli_file *file,
                       struct cli_part *part);

/* Sends a part, which is not empty, of a file that is closed behind it. */
void cli_page_send(struct cli_pages *pages, ms_conn *conn, int status, const char *fields, int fd,
                   const struct cli_part *part);

/* ---- Options that nothing can use (needs.c) ---- */

/* See cli_unused: of the addresses that are served and that of --forward (or NULL). CLI_OK, or an
 * exit status after an error line, also for an address that cannot be read. */
int cli_unused_serving(const struct cli_given *given, const struct cli_texts *addresses,
                       const ms_addr *forward);

/* Can any alternative ever be dialled? False, and why not. */
bool cli_can_dial(const ms_addr *addr, bool tls_insecure, char *why, size_t size);

/* ---- Actions: what serve does with its peers (actions.c) ---- */

/* The rows: cli_action_NAME is in NAME.c. Their order is that of --help. */
#define CLI_ACTIONS(row) row(echo) row(chat) row(stdio) row(exec) row(forward)

/* What an action has of serve. */
struct cli_serving {
  uv_loop_t *loop;
  struct cli_report *report;
  const char *argument;      /* of its option; where it `dials`, the address that was meant */
  unsigned long descriptors; /* for `take`: what a process may have that we start; 0: what we may */

  /* The action is over: serve is stopped, and exits with this status. */
  void (*done)(int status, void *user);
  void *user; /* of done */
};

enum { CLI_ACTION_OPTIONS = 4 };

/* An option that makes sense with one action only. */
struct cli_action_option {
  const char *name; /* NULL: behind the last */
  const char *argument;
  enum cli_kind kind;
  size_t offset;       /* of its value in the action's state; see cli_option */
  const char *about;   /* what it is about, as an error line has it */
  const char *heading; /* in --help: of a list of the action's; NULL: it is among "options" */
  const char *help;    /* lines of at most 66 characters, with '\n' between them */
};

/* One thing to do with peers. Its state is zero at first but for its options. */
struct cli_action {
  const char *name;     /* of its option */
  const char *argument; /* of that, or NULL: it takes none */
  const char *help;     /* see cli_action_option */
  struct cli_action_option options[CLI_ACTION_OPTIONS];

  bool dials;           /* the argument is an address, which the context can dial */
  bool one_peer;        /* no other is let in after the first */
  bool writes_stdout;   /* nobody else does, then */
  bool messages;        /* it tells messages apart where a stack has them; else all is a stream */
  unsigned descriptors; /* of a connection, with its own */
  size_t size;          /* of the state */

  /* Reads what its options say. NULL, or what is wrong, with which value in *where. NULL: there is
   * nothing to be read. */
  const char *(*read)(void *state, const char **where);

  /* Once, before there is anything else in the loop. `s` outlives the state. CLI_OK, or an exit
   * status after an error line. */
  int (*start)(void *state, struct cli_serving *s);

  /* Takes a connection on (ms_conn_handle), or fails it (cli_fail). */
  void (*take)(void *state, ms_conn *conn);

  /* serve is being stopped: the context's drain begins behind this, with on_close for each
   * connection. With `cut` all has to end now; that comes once more, also when the context has gone
   * already. NULL: there is nothing to be done. */
  void (*stop)(void *state, bool cut);

  /* The loop has nothing to do any more, and will run once again; or `start` has failed. NULL:
   * nothing is open. */
  void (*close)(void *state);
};

#define CLI_ACTION_DECLARED(name) extern const struct cli_action cli_action_##name;
#define CLI_ACTION_COUNTED(name)  +1
CLI_ACTIONS(CLI_ACTION_DECLARED)
enum {
  CLI_ACTION_COUNT = 0 CLI_ACTIONS(CLI_ACTION_COUNTED),
  CLI_ALL_ACTION_OPTIONS = CLI_ACTION_COUNT * (1 + CLI_ACTION_OPTIONS)
};

const struct cli_action *cli_action(size_t i);

/* What a command line says of them. All zero at first. */
struct cli_actions {
  struct cli_action_given {
    bool flag;            /* it is given, without an argument */
    const char *argument; /* it is given, with one */
    void *state;
  } of[CLI_ACTION_COUNT];
};

/* Writes their options to `out`, which has room for CLI_ALL_ACTION_OPTIONS: how many. 0: no
 * memory. */
size_t cli_actions_options(struct cli_actions *a, struct cli_option *out);

/* Which is given? CLI_OK, or CLI_USAGE after an error line: none, or several. */
int cli_actions_chosen(const struct cli_actions *a, const struct cli_command *command, size_t *out);

/* Reads its options. CLI_OK, or an exit status after an error line: also where one is given that
 * makes sense with another only. */
int cli_actions_read(const struct cli_actions *a, const struct cli_command *command, size_t chosen);
void cli_actions_free(struct cli_actions *a);

/* The rows of --help: of all actions; of their options that have a heading, or that have none. */
void cli_actions_help(void);
void cli_actions_options_help(bool with_heading);

#endif
