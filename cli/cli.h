/* What the files of the command share. */
#ifndef MS_CLI_CLI_H
#define MS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>

#include "multiserver.h"

/* Exit statuses. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* One subcommand. `run` gets its own arguments: argv[0] is the subcommand's name. Returns an exit
 * status. `help` is the text of --help, or its beginning: then `more` (or NULL) prints the rest. */
struct cli_command {
  const char *name, *summary, *help;
  void (*more)(void);
  int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_keygen, cli_id, cli_address, cli_serve, cli_connect, cli_check,
    cli_exec_keeper; /* not for people */

/* ---- Text of strangers (text.c) ---- */

/* How many bytes of UTF-8 (RFC 3629) the character at `s` has, of n > 0, and which it is. Where
 * there is none *c is CLI_NO_CHARACTER, of one byte. */
enum { CLI_NO_CHARACTER = 0x7fffffff };
size_t cli_character(const char *s, size_t n, uint32_t *c);

/* A terminal shall not obey what a peer or a file has written, nor its reader be misled: each byte
 * of a control character other than the tab, of one that reorders, hides or has no width, and each
 * that is no UTF-8, becomes '?'. */
void cli_clean(char *s, size_t n);

/* "" behind what is counted where there is one of it, else "s". */
const char *cli_plural(uint64_t n);

/* ---- Errors (error.c) ---- */

/* One line on stderr: "multiserver: WHAT: WHERE: WHY", cleaned. `where` may be NULL or "". Returns
 * CLI_FAILED. */
int cli_error(const char *what, const char *where, const char *why, ...)
    __attribute__((format(printf, 3, 4)));

/* The same from a library error: WHERE is its address, WHY its layer, phase and message. */
int cli_error_from(const char *what, const ms_error *err);

/* The same lines, of what is not an error of ours. */
void cli_say(enum ms_log_level level, const char *what, const char *where, const char *why, ...)
    __attribute__((format(printf, 4, 5)));
void cli_say_error(enum ms_log_level level, const char *what, const ms_error *err);

/* Its WHY. */
void cli_why(const ms_error *err, char *buf, size_t size);

/* The end of what is printed: CLI_OK, or CLI_FAILED after an error line when standard output has
 * not taken all of it. */
int cli_flush(const char *what);

/* A line of the library's: "multiserver: TEXT". */
void cli_log(enum ms_log_level level, const char *text);

/* Something to know that is no error: "multiserver: TEXT" on stderr. */
void cli_note(const char *text, ...) __attribute__((format(printf, 1, 2)));

/* ---- Memory (memory.c) ---- */

/* Before anything else: no core dump and no other process of this user's shows our memory, and keys
 * of TLS lie in locked, guarded memory that no core has. */
void cli_keep_secrets(void);

/* Which kinds of memory a core has that root makes of us, or that a child made from now on makes,
 * as core(5) has it: "0" none, "0x33" what is usual. */
void cli_core_filter(const char *kinds);

/* ---- Options (options.c) ---- */

/* A list of texts, in the order given. */
struct cli_texts {
  const char **at;
  size_t count;
};

enum cli_kind { CLI_FLAG, CLI_TEXT, CLI_LIST, CLI_MSEC, CLI_MODE };

/* One option: "--name", and "-x" where letter is not 0. `value` points to a bool, a const char *, a
 * struct cli_texts, a uint32_t or (CLI_MODE, of a file, 0: not given) an unsigned, by its kind. */
struct cli_option {
  const char *name;
  char letter;
  enum cli_kind kind;
  void *value;
};

/* Reads the arguments of a subcommand: options anywhere before "--", the rest into `rest`. 0 to go
 * on; else *status is what to exit with: --help was printed, or an error was. */
int cli_options(const struct cli_command *command, int argc, char **argv,
                const struct cli_option *options, size_t count, struct cli_texts *rest,
                int *status);

/* A usage error: one line, and where to read more. Returns CLI_USAGE. */
int cli_usage(const struct cli_command *command, const char *where, const char *why);

/* ---- Options that nothing can use (needs.c) ---- */

/* The options of a command, with the values that they were given. */
struct cli_given {
  const struct cli_command *command;
  const struct cli_option *options;
  size_t count;
};

const struct cli_option *cli_option_of(const struct cli_given *given, const char *name);
bool cli_is_given(const struct cli_option *o);
bool cli_is_given_by_name(const struct cli_given *given, const char *name);

/* What an option needs: one of these bits, told as `words`. With a `value` it is about the entries
 * of a list that have it. Options that have no row are always used. */
struct cli_need {
  const char *option; /* NULL: behind the last */
  unsigned needs;
  const char *words;
  bool (*value)(const char *text); /* NULL: any */
};

/* The first is nothing beside the second. */
struct cli_contrary {
  const char *option, *beside; /* NULL: behind the last */
};

/* Bits of every command: there is an address with ~shs; one with TLS is dialled. */
enum { CLI_SHS = 1, CLI_DIALS_TLS = 2 };
unsigned cli_dials(const ms_addr *addr);

/* Is there an option that nothing can use, or are there two that make no sense together? CLI_OK, or
 * CLI_USAGE after an error line. By these rows; by those that hold for every command; by the latter
 * where this address is all that there is. */
int cli_unused(const struct cli_given *given, const struct cli_need *all,
               const struct cli_contrary *against, unsigned has);
int cli_unused_by_all(const struct cli_given *given, unsigned has);
int cli_unused_dialling(const struct cli_given *given, const ms_addr *addr);

/* ---- Arguments (options.c) ---- */

/* What is left of a client's arguments is one address; its --network-key, or NULL, is read. CLI_OK,
 * or CLI_USAGE after an error line. */
int cli_one_address(const struct cli_command *command, const struct cli_texts *rest,
                    const char *network, uint8_t network_key[MS_KEY_BYTES]);

/* --help, on stdout. An exit status. */
int cli_help(const struct cli_command *command);

/* False: no memory. */
bool cli_texts_add(struct cli_texts *texts, const char *text);
void cli_texts_free(struct cli_texts *texts);

/* ---- Addresses as they are typed (typed.c) ---- */

enum { CLI_TYPED = 512, CLI_MEANT = 1200 };

/* For an error line: user information, and what may be a seed, however it is mistyped, is "...".
 * Cut to fit. */
void cli_typed(const char *text, char *buf, size_t size);

/* "; did you mean ANOTHER?", or "" where nothing that can be used for this is near; where several
 * addresses seem to be meant, that ';' joins them as well. No secret is in it, and `buf` has
 * CLI_MEANT bytes. */
void cli_did_you_mean(const char *text, enum ms_addr_use use, char *buf, size_t size);

/* An error line about an address that was typed, with what may have been meant. A number: see
 * cli_error_from. */
int cli_error_typed(const char *what, const char *text, enum ms_addr_use use, const ms_error *err);

/* cli_usage about an address that was typed. */
int cli_usage_typed(const struct cli_command *command, const char *text, const char *why);

/* ---- Addresses to dial (given.c) ---- */

/* Reads one, or what Scuttlebutt had before: then *legacy. CLI_OK, or an exit status after an error
 * line: a malformed one is wrong usage. */
int cli_read_address(const struct cli_command *command, const char *text, ms_addr **out,
                     bool *legacy);

/* The address that an argument means: itself, with @FILE the one in a regular file (which
 * others may not open where a seed is in it), with "-" the first line of standard input, of which
 * no byte more is read. *out is in guarded memory until cli_address_forget. CLI_OK, or an exit
 * status after an error line. */
int cli_address_given(const struct cli_command *command, const char *arg, char **out);
void cli_address_forget(char *text); /* NULL is allowed */

/* To dial it takes an identity. */
bool cli_address_keyed(const ms_addr *addr);

/* What ms_addr_format writes, seeds too, or NULL: no memory. It is wiped when freed. */
char *cli_address_text(const ms_addr *addr, size_t i);
void cli_address_free(char *text);

/* ---- Keys (secret.c) ---- */

/* Where the identity is kept when no --key says: $XDG_CONFIG_HOME/multiserver/secret. False, after
 * an error line, when neither that nor HOME is set. */
bool cli_secret_default(char *path, size_t size);

/* Reads an identity, which the caller frees, from a file. CLI_OK, or CLI_FAILED after an error
 * line. */
int cli_secret_load(const char *path, ms_identity **out);

/* Makes an identity and writes it, mode 0600, never over another. *existed (may be NULL) tells that
 * there was one. CLI_OK, or CLI_FAILED after an error line (none when it existed and `existed` is
 * given). */
int cli_secret_create(const char *path, ms_identity **out, bool *existed);

/* The identity of --key FILE (NULL: the default file, made on first use with a note). */
int cli_secret_get(const char *path, ms_identity **out);

/* As whom a client shows itself. */
struct cli_me {
  uint8_t key[MS_KEY_BYTES];
  bool once; /* nobody will know that key again */
};

/* The identity of a client: of --key FILE, else the default one if it is there, else a new one for
 * this once, with a note. */
int cli_secret_find(const char *path, ms_identity **out, struct cli_me *me);

/* The key that the peer at this address knows us by: of its seed, else of `me`. False: that was for
 * this once. */
bool cli_known_as(const struct cli_me *me, const ms_alternative *a, char text[MS_KEY_TEXT]);

/* ---- Attempts of a dial (attempts.c) ---- */

/* A line of what one attempt has just done. */
void cli_attempt(const ms_attempt *attempt);

/* A line for each attempt of a dial that has failed, where there was more than one: from when to
 * when, and why. */
void cli_attempts(const ms_dialer *dialer);

/* What to do about an error, or NULL. `host` is that of the address, or NULL. */
const char *cli_advice(const ms_error *err, const char *host);

/* ---- Once more (retry.c) ---- */

/* The caller sets `again` and `user`. */
struct cli_retry {
  uv_timer_t timer; /* the caller's to close; its data is this structure */
  unsigned failed;  /* so often in a row */
  uint64_t until;   /* by the loop's clock: it does not begin later */
  bool waits;
  void (*again)(void *user);
  void *user;
};

/* For `msec` from now on; 0: for ever. */
void cli_retry_init(struct cli_retry *r, uv_loop_t *loop, uint32_t msec);

/* `again` is called after a wait: 0.25 s, twice as long each time, up to 30 s, and of that some
 * part between a half and all. How long that is, or 0: the time is over, and it is not called. */
uint32_t cli_retry_begin(struct cli_retry *r);
void cli_retry_stop(struct cli_retry *r);

/* ---- Who may enter (allow.c) ---- */

struct cli_key {
  uint8_t bytes[MS_KEY_BYTES];
};

/* Public keys; all zero at first. */
struct cli_keys {
  struct cli_key *at;
  size_t count;
};
void cli_keys_free(struct cli_keys *keys);
bool cli_keys_has(const struct cli_keys *keys, const uint8_t *key);

/* Adds one; false: the text is no key (or there is no memory). */
bool cli_keys_add(struct cli_keys *keys, const char *text);

/* Takes the keys of a file, one a line, comments after '#', in the place of what there was, sorted.
 * CLI_OK, or CLI_FAILED after an error line, and all is as before. */
int cli_keys_read(struct cli_keys *keys, const char *path);

/* The first of `old` from `i` on that is not among `now`, or NULL; and *i is behind it. Both were
 * read from files. */
const uint8_t *cli_keys_gone(const struct cli_keys *old, const struct cli_keys *now, size_t *i);

/* ---- JSON (json.c) ---- */

struct json_t;

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. */
struct json_t *cli_json_text(const char *s);
struct json_t *cli_json_bytes(const char *s, size_t n);

/* `o` with one more member; takes both over. NULL: there is no memory, or was none for `o` or
 * `value`. */
struct json_t *cli_json_with(struct json_t *o, const char *name, struct json_t *value);

/* The same of a list. */
struct json_t *cli_json_also(struct json_t *list, struct json_t *value);

/* Takes `o` over, and writes all of it in one line, of malloc. NULL: no memory, or `o` is NULL. */
char *cli_json_line(struct json_t *o);

/* ---- The event loop (loop.c) ---- */

/* Makes a loop. CLI_OK, or CLI_FAILED, told as of this command. */
int cli_loop_open(uv_loop_t *loop, const char *command);

/* ---- Stacks (stacks.c) ---- */

/* Lets the context dial every chain that this build knows. `keyed`: it has an identity. CLI_OK, or
 * CLI_FAILED after an error line of the command `what`. */
int cli_dial_stacks(const char *what, ms_ctx *ctx, bool keyed, const ms_tls_opts *tls);

/* All of them, with `between` between two. */
void cli_stacks_text(const char *between, char *buf, size_t size);

/* Why no stack is that of an alternative that can be read, as a dial says it. */
void cli_no_stack(const ms_alternative *a, char *why, size_t size);

/* The i-th of them ("net~shs"), or NULL. */
const char *cli_stack(size_t i);

/* ---- Our end to a peer without half-close (linger.c) ---- */

/* Ends our direction. Where our end would ask the peer for its own (WebSocket), it is said only
 * when the peer has been silent for `msec` after it has begun to answer, or four times as long
 * before; `on_late` is told when the peer's end does not come after it. */
struct cli_linger {
  uv_timer_t timer; /* the caller's to close; its data is this structure */
  uint32_t msec;
  void (*on_late)(ms_conn *conn, void *user);
  void *user;
  ms_conn *conn; /* NULL: it does not wait */
  bool heard;    /* a byte of the peer's, at least */
  bool asked;    /* our end is said */
};

/* `msec` 0: 1000. The caller sets on_late and user. */
void cli_linger_init(struct cli_linger *l, uv_loop_t *loop, uint32_t msec);
void cli_linger_end(struct cli_linger *l, ms_conn *conn);

/* The peer has said something. */
void cli_linger_heard(struct cli_linger *l);

/* The peer has ended, or the connection has. True: our end has not been said. */
bool cli_linger_stop(struct cli_linger *l);

/* ---- Copying between a connection and standard input and output (stdio.c) ---- */

/* Does our end wait until all of the peer's stream is written out, so that it tells the peer of
 * that? Where both sides wait, both wait for ever. */
enum cli_hold {
  CLI_HOLD_NEVER,
  CLI_HOLD_SILENT, /* if standard input never gives a byte */
  CLI_HOLD         /* whatever it gives; a terminal is not read */
};

/* Who else tells of the end of a connection, for its on_close. `what` begins an error line; NULL:
 * none, for one was printed. */
typedef void (*cli_closed_cb)(void *user, const char *what, const ms_conn *conn,
                              const ms_error *err);

struct cli_stdio_opts {
  enum cli_hold hold;
  uint32_t linger_msec; /* see cli_stdio_start; 0: 1000 */
  bool progress;        /* show how far a file on stdin has gone */
  cli_closed_cb closed; /* gets the same `user` as `done`; NULL: an error line tells */
};

/* Takes an open connection on: stdin goes to the peer, the peer to stdout. The end of stdin ends
 * our direction (but see `hold`); where that would end both, it is held until the peer ends or is
 * silent for linger_msec. After the peer's end, a pipe that is silent for so long is not waited
 * for. `done` gets the exit status, once, when the connection is over and all that came has been
 * written; an error line was printed when it is not CLI_OK. When a read of stdin still waits then,
 * which nothing can interrupt, the process exits after `done`. */
void cli_stdio_start(uv_loop_t *loop, ms_conn *conn, const struct cli_stdio_opts *opts,
                     void (*done)(int status, void *user), void *user);

/* How far a file on stdin has gone (progress.c), if that is `wanted`: a line on a terminal's
 * stderr, which changes as long as the terminal is none that knows no escapes (TERM). The timer is
 * the caller's to close. */
struct cli_progress {
  uv_timer_t timer;
  const ms_conn *conn;
  off_t from;             /* where in the file it was begun */
  uint64_t size, started; /* of what followed then */
  bool on, dumb;
};
void cli_progress_start(struct cli_progress *p, uv_loop_t *loop, const ms_conn *conn, bool wanted);
void cli_progress_stop(struct cli_progress *p);

#endif
