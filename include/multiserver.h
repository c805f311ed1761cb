/* multiserver: one interface over many protocols.
 *
 * An address such as "net:host:8008~shs:KEY;unix:/run/x/socket~noauth" says everything needed to
 * reach a peer: alternatives separated by ';', each a transport followed by the transforms stacked
 * on it. A context is given the stacks it understands (ms_add), serves those that have somewhere to
 * listen (ms_listen) and dials any address that one of them understands (ms_dial). Both give
 * connections (ms_conn) that look alike, whatever is below them.
 *
 * Threads: a context, its connections and its dials belong to one libuv loop, the application's or
 * the context's own, and to the one thread that runs it. No function here may be called for them
 * from another thread, ms_ctx_wake excepted. Contexts share nothing. ms_version, ms_code_text, the
 * ms_addr_, the ms_key_ and the ms_identity_ functions may be called from any thread.
 *
 * Callbacks: every callback comes from the loop, never from inside a call into this library. Any
 * function may be called inside any callback, ms_ctx_free excepted.
 *
 * Signals: the application ignores SIGPIPE (signal(SIGPIPE, SIG_IGN)), as libuv asks of its users.
 *
 * Strings are UTF-8 and end in NUL. Keys are raw bytes. Durations are in milliseconds and end in
 * _msec.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MULTISERVER_H
#define MULTISERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) || !defined(__GNUC__)
#define MS_API
#else
#define MS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
template <class T>
inline T ms__opts_init() {
  T t = T();
  t.size = sizeof(T);
  return t;
}
#define MS_OPTS_INIT(type) ms__opts_init<type>()
extern "C" {
#else
/* Initialises an options structure: its size is set, everything else asks for the default. */
#define MS_OPTS_INIT(type) \
  { .size = sizeof(type) }
#endif

/* The version of this header. */
#define MS_VERSION "0.1.0"

/* The same as a number to compare: MAJOR * 65536 + MINOR * 256 + PATCH. */
#define MS_VERSION_NUMBER 0x000100

/* The version of the library that runs, as MS_VERSION and MS_VERSION_NUMBER were when it was built.
 * The text is never NULL, never to be freed. */
MS_API const char *ms_version(void);
MS_API unsigned ms_version_number(void);

/* Structures of options begin with their size, which MS_OPTS_INIT sets. One of an older header,
 * which is shorter, is taken: what it lacks asks for the default. One of a newer header is taken
 * where what this library does not know asks for the default (is 0), and is MS_EINVAL else. Members
 * are only ever added at the end of these structures; those inside them stay as they are. */

enum {
  MS_KEY_BYTES = 32,     /* an Ed25519 public key, a network key, a seed */
  MS_KEY_TEXT = 45,      /* one in base64, with its NUL */
  MS_ADDRESS_MAX = 65536 /* the longest address read or written, without its NUL */
};

/* Scuttlebutt's main network key, 32 bytes. The library itself has no default network key. */
MS_API extern const uint8_t ms_scuttlebutt_network_key[MS_KEY_BYTES];

/* ---- Errors ---- */

/* What went wrong. A function that can fail returns 0 or more on success and one of these on
 * failure. */
enum ms_code {
  MS_OK = 0,
  MS_EINVAL = -1,       /* an argument is wrong; the message names it */
  MS_ENOMEM = -2,       /* the allocator gave nothing, or a limit on memory was met */
  MS_EADDRESS = -3,     /* an address is malformed; `offset` says where */
  MS_ENOSTACK = -4,     /* no added stack understands the address */
  MS_EUNKNOWNHOST = -5, /* a host name has no address */
  MS_ECONNECT = -6,     /* the transport could not connect; `sys` says why */
  MS_EADDRINUSE = -7,   /* another process listens there */
  MS_ELISTEN = -8,      /* listening failed otherwise; `sys` says why */
  MS_EPROTO = -9,       /* the peer broke the protocol of `layer` */
  MS_ECRYPTO = -10,     /* a tag, a signature or a key of the peer's was wrong */
  MS_EREFUSED = -11,    /* the peer was not admitted, or did not admit us after our proof */
  MS_ETRUNCATED = -12,  /* the transport ended before the stream did */
  MS_ERESET = -13,      /* the transport was reset or failed; `sys` says how */
  MS_EPIPE = -14,       /* what was written can no longer reach the peer */
  MS_ETIMEDOUT = -15,   /* a deadline passed */
  MS_EABORTED = -16,    /* the application aborted it */
  MS_ESTATE = -17,      /* the call is not legal in the state the object is in */
  MS_EINSECURE = -18,   /* without authentication, for others than us, or against what was asked */
  MS_ESYSTEM = -19,     /* the operating system refused; `sys` says why */
  MS_EGONE = -20,       /* the peer left, and said so, without an end: a closed tab of a browser */
  MS_EFAILED = -21      /* the application has failed, and said why (ms_conn_fail) */
};

/* What was being done when it went wrong. */
enum ms_phase {
  MS_PHASE_NONE = 0,
  MS_PHASE_PARSE,     /* reading an address */
  MS_PHASE_MATCH,     /* finding a stack for it */
  MS_PHASE_RESOLVE,   /* looking up a host name */
  MS_PHASE_CONNECT,   /* the transport's connecting */
  MS_PHASE_LISTEN,    /* the transport's listening */
  MS_PHASE_HANDSHAKE, /* a layer's handshake */
  MS_PHASE_AUTHORISE, /* the question whether the peer may enter */
  MS_PHASE_STREAM     /* an open connection */
};

/* An error is a value: it may be copied, and nothing in it is to be freed. Secrets (seeds, user
 * information) never appear in it. Functions that take an `ms_error *` accept NULL; they write it
 * only on failure. */
typedef struct ms_error {
  int code;            /* an ms_code */
  int sys;             /* the system's errno where it has a part in it, else 0 */
  enum ms_phase phase; /* what was being done */
  size_t offset;       /* MS_EADDRESS: the byte of the input where it goes wrong */
  char layer[16];      /* the section or layer that failed ("net", "shs"), or "" */
  char address[256];   /* the address or the file concerned, cut to fit, no seeds; or "" */
  char message[256];   /* a sentence a person can act on, without the address */
} ms_error;

/* A short text for an ms_code ("timed out") and its name ("MS_ETIMEDOUT"), or a text for a phase
 * ("handshake"). Never NULL, never to be freed. */
MS_API const char *ms_code_text(int code);
MS_API const char *ms_code_name(int code);
MS_API const char *ms_phase_text(enum ms_phase phase);

/* ---- Keys and identities ---- */

/* Writes a key as people pass it around, in base64: 44 bytes and a NUL (MS_KEY_TEXT) into `buf` of
 * `size`, as snprintf does: returns 44. */
MS_API size_t ms_key_format(const uint8_t *key /* MS_KEY_BYTES */, char *buf, size_t size);

/* Reads one of `length` bytes into `key`, MS_KEY_BYTES: base64 with its '=' or without, or as
 * Scuttlebutt has it, "@KEY.ed25519". 0, or MS_EINVAL, and `key` is as it was. */
MS_API int ms_key_parse(uint8_t *key, const char *text, size_t length, ms_error *err);

/* A long-term Ed25519 key pair, in memory of libsodium's that is guarded, kept from swap and core
 * dumps where the system allows, and wiped when freed. It never changes: any thread may use it, one
 * may free it. A context copies what it is given. */
typedef struct ms_identity ms_identity;

/* Makes a new random identity, or the one that belongs to a seed. 0; MS_ENOMEM when there is no
 * guarded memory, MS_ESYSTEM when libsodium cannot start. *out belongs to the caller, who frees it
 * with ms_identity_free; it is NULL on failure. */
MS_API int ms_identity_generate(ms_identity **out, ms_error *err);
MS_API int ms_identity_from_seed(ms_identity **out, const uint8_t *seed /* MS_KEY_BYTES */,
                                 ms_error *err);

/* Reads an identity from a file, or from `length` bytes of text, in the format of Scuttlebutt's
 * ~/.ssb/secret: JSON with comments in UTF-8, with or without its mark (BOM), at most 65,535 bytes.
 * A file has to be a regular one (nothing is waited for), and a secret: not one of ours that its
 * group or others may open, nor one of somebody else's that everybody may. (One of root's that a
 * group other than root's may read is a secret.) 0; MS_EINVAL with line and column or with what is
 * missing, never with a word of the text; MS_ESYSTEM (`sys` says why it can't be read), MS_ENOMEM.
 * The error's address is the path. *out as above. The caller wipes its own text. */
MS_API int ms_identity_load(ms_identity **out, const char *path, ms_error *err);
MS_API int ms_identity_parse(ms_identity **out, const char *text, size_t length, ms_error *err);

/* Writes an identity to a file in that format, mode 0600, whole or not at all, and never over
 * another file: that is MS_ESYSTEM with `sys` EEXIST. The folder must be there. 0 or MS_ESYSTEM;
 * the error's address is the path. */
MS_API int ms_identity_save(const ms_identity *identity, const char *path, ms_error *err);

/* Writes an identity as text in that format into `buf` of `size` bytes, as snprintf does: returns
 * the length it has or would have, less than 1,024. It is a secret: the caller wipes it
 * (sodium_memzero, explicit_bzero). */
MS_API size_t ms_identity_format(const ms_identity *identity, char *buf, size_t size);

/* The public key, MS_KEY_BYTES. The identity's. */
MS_API const uint8_t *ms_identity_key(const ms_identity *identity);

/* Wipes and frees; NULL is allowed. */
MS_API void ms_identity_free(ms_identity *identity);

/* ---- Addresses ---- */

/* A parsed address: one or more alternatives. Immutable; belongs to the caller. */
typedef struct ms_addr ms_addr;

/* What a section is. */
enum ms_section_kind {
  MS_SECTION_OTHER = 0, /* well formed, but this build does not know the name */
  MS_SECTION_NET,       /* host, port */
  MS_SECTION_WS,        /* ws and wss: host, port, path, userinfo, secure; on unix: path */
  MS_SECTION_ONION,     /* host, port */
  MS_SECTION_UNIX,      /* path, or "@NAME": Linux' abstract sockets, which are no files */
  MS_SECTION_SHS,       /* key, seed */
  MS_SECTION_NOAUTH,    /* key, if one was given */
  MS_SECTION_TLS,       /* host: whom the certificate has to name, or NULL: the transport's */
  MS_SECTION_MEMORY     /* path: a name in this process, up to 100 bytes */
};

/* One section. The fields that its kind does not have are NULL, -1 or false. Everything belongs to
 * the ms_addr. */
typedef struct ms_section {
  enum ms_section_kind kind; /* which fields it has */
  const char *name;          /* "net"; "ws" for ws and wss */
  const char *host; /* unescaped, IPv6 without brackets and as in RFC 5952; "" is localhost */
  const char *path; /* ws: with its query, or ""; unix: a socket's, or "@NAME"; memory: a name */
  const char *userinfo; /* ws: what stands before '@', or NULL; never to be logged */
  int port;             /* 0-65535, the default port where a ws names none, or -1: none given */
  const char *data;     /* MS_SECTION_OTHER: what follows the name and its ':', or NULL */
  bool transport;       /* it begins a stack, others stand on one; MS_SECTION_OTHER: false */
  bool secure;          /* ws: true for wss */
  bool has_key;         /* `key` is set */
  bool has_seed;        /* `seed` is set */
  uint8_t key[MS_KEY_BYTES];  /* the server's public key */
  uint8_t seed[MS_KEY_BYTES]; /* what makes an invited client's identity; never to be logged */
} ms_section;

/* One alternative. */
typedef struct ms_alternative {
  size_t offset, length;      /* where it stands in the input, in bytes */
  const ms_section *sections; /* from the transport upwards; NULL when `error.code` is set */
  size_t count;               /* number of sections */
  ms_error error;             /* why it can't be used: MS_EADDRESS and the offset, or code 0 */
} ms_alternative;

/* What an address is read for: a dial needs a host's port and a peer's key; a stack to listen on
 * may leave them out ("net", "net::0", "shs", "shs:"); what a stream reports may have an empty key.
 */
enum ms_addr_use {
  MS_ADDR_DIAL,   /* to dial it */
  MS_ADDR_LISTEN, /* to add it as a stack */
  MS_ADDR_STREAM  /* to learn from it who a peer is */
};

/* Parses `length` bytes of `text` (docs/behaviours.md, section 2). A bad alternative beside a good
 * one is kept, with its error; empty alternatives are dropped. 0 with *out set (free it with
 * ms_addr_free) when at least one alternative can be used, else MS_EADDRESS with the first
 * alternative's error, or MS_ENOMEM; *out is then NULL. */
MS_API int ms_addr_parse(ms_addr **out, const char *text, size_t length, enum ms_addr_use use,
                         ms_error *err);

/* Reads what Scuttlebutt used before there were such addresses, and people still paste: a legacy
 * address "HOST:PORT:@KEY.ed25519" (port 8008 when there is none) or an invite, the same with
 * "~SEED". The result is the address "net:HOST:PORT~shs:KEY" or "net:HOST:PORT~shs:KEY:SEED", with
 * `onion` for a host in .onion. 0, MS_EADDRESS with the offset in `text`, MS_ENOMEM; *out as above.
 */
MS_API int ms_addr_from_legacy(ms_addr **out, const char *text, size_t length, ms_error *err);

/* Wipes and frees; NULL is allowed. */
MS_API void ms_addr_free(ms_addr *addr);

/* How many alternatives there are, and the i-th (NULL when there are not so many). */
MS_API size_t ms_addr_count(const ms_addr *addr);
MS_API const ms_alternative *ms_addr_at(const ms_addr *addr, size_t i);

/* Writes the canonical form of the i-th alternative, or with i = SIZE_MAX of all usable ones joined
 * by ';', into `buf` of `size` bytes, always ended by NUL when size > 0. Returns the length it has
 * or would have, as snprintf does. Seeds and user information are written: this is no text for a
 * log. */
MS_API size_t ms_addr_format(const ms_addr *addr, size_t i, char *buf, size_t size);

/* True when the alternative can be used and every section of it matches the stack, section by
 * section: same count, same order, same names. `stack` is names joined by '~' ("net~shs"); "ws"
 * takes ws and wss, "wss" only the latter. */
MS_API bool ms_addr_match(const ms_alternative *alternative, const char *stack);

/* ---- Context ---- */

/* What serves and dials: stacks, a loop, and everything made with them. */
typedef struct ms_ctx ms_ctx;

/* A connection, the library's until its on_close returns. */
typedef struct ms_conn ms_conn;

/* A dial that is running. */
typedef struct ms_dialer ms_dialer;

/* libuv's uv_loop_t. */
struct uv_loop_s;

/* Where memory comes from. Both functions get `user`; alloc returns memory aligned for any type, or
 * NULL. Used for everything the library keeps except guarded memory for secrets, what the system's
 * resolver is asked, and what libuv and OpenSSL allocate by themselves. */
typedef struct ms_allocator {
  void *(*alloc)(void *user, size_t size); /* `size` bytes, or NULL */
  void (*free)(void *user, void *p);       /* takes back what alloc gave */
  void *user;                              /* for both */
} ms_allocator;

/* What is known of a peer when it asks to enter. Valid inside the callback only. */
typedef struct ms_peer {
  const uint8_t *key;  /* MS_KEY_BYTES, proved by the peer; NULL: its stack proves none */
  const char *address; /* its transport address and its key: "net:192.0.2.1:5678~shs:KEY" */
  const char *stack;   /* "net~shs" */
} ms_peer;

/* Asks whether `peer` may enter; of every stack, also of those without an authenticating layer,
 * where `peer->key` is NULL and its address is all there is to judge by. The application answers
 * with ms_conn_answer, inside the callback or later; until then, or until the handshake's deadline,
 * the peer waits. Each question is to be answered once, also when the peer may be gone by then:
 * until it is, or ms_conn_abort or ms_ctx_close is called, `conn` stays valid for ms_conn_answer
 * and takes memory. Without such a callback nobody enters. */
typedef void (*ms_authorise_cb)(ms_conn *conn, const ms_peer *peer, void *user);

/* ms_ctx_wake was called, once or more often since the last of these. Anything may be done in here.
 */
typedef void (*ms_wake_cb)(ms_ctx *ctx, void *user);

/* A host name to be looked up. */
typedef struct ms_resolving ms_resolving;

/* Looks `host` up in the place of the system's resolver, for dialling and for listening. Literal
 * addresses, "localhost" and the names below it are not asked for (RFC 6761). The application
 * answers with ms_resolve_answer, inside the callback or later; each question once, also when
 * nobody waits for it any more, but not after ms_ctx_close. `host` is valid inside the callback
 * only. */
typedef void (*ms_resolve_cb)(ms_resolving *question, const char *host, void *user);

/* The addresses of that host, best first: `count` texts as "192.0.2.1", "2001:db8::1" or
 * "fe80::1%eth0"; others are passed over. None: the host is unknown. `question` is gone then. */
MS_API void ms_resolve_answer(ms_resolving *question, const char *const *addresses, size_t count);

/* How much a log line matters. */
enum ms_log_level {
  MS_LOG_NONE = 0,
  MS_LOG_ERROR, /* something that was asked for does not work: a stack that does not listen */
  MS_LOG_WARN,  /* it works, and somebody should look: no descriptors left, a peer that failed */
  MS_LOG_INFO,  /* connections come and go; what ms_server_events tell of, where there is such a one
                 */
  MS_LOG_DEBUG  /* each step of a dial */
};

/* A line for a log, without its end; valid inside the callback only. No secret and no byte of a
 * stream is ever in it; addresses and keys of peers are. Nothing of the library may be called. */
typedef void (*ms_log_cb)(enum ms_log_level level, const char *text, void *user);

/* How much of this machine peers may take; 0 is the default of each (ms_limits_default), UINT32_MAX
 * (SIZE_MAX) no limit. The defaults are those of a small public server. Loopback and unix sockets
 * are not counted by address. */
typedef struct ms_limits {
  /* Of peers, those in their handshakes too; default 4096. One more makes a handshake give way, as
   * below; where there is none it is turned away. */
  uint32_t connections;
  /* Of peers, at the same time; default 1024. One more makes the oldest give way that has given us
   * nothing to answer. Where that is not 50 ms old yet, the oldest of those that have spoken goes
   * in its place if it has had more of its own time, which is a second; or where there is none. */
  uint32_t handshakes;
  uint32_t per_address; /* connections of one IPv4 address or one IPv6 /56; default 64 */
  /* New ones of one such address in a second; default 32. One more than this or the above is reset;
   * where its request is read before it is known to be (behind a front that tells in a field, on a
   * stack with on_request), a WebSocket is answered 503. */
  uint32_t per_second;
  /* Connections of one such address that ask for pages, which are not counted as the above; default
   * 128. One more is answered 503. */
  uint32_t pages_per_address;
  /* Requests for pages of one such address in a second; default 256. One more is answered 503. On a
   * stack with on_request a connection that is one too many for `per_address` or `per_second` is
   * counted as one of these until it is known what it wants. */
  uint32_t pages_per_second;
  /* A peer's connection over which the application reads and writes nothing for so long, and at
   * most twice as long, is closed: it hears a goodbye, on_close has MS_ETIMEDOUT. Default: never.
   */
  uint32_t idle_msec;
  /* Bytes of buffers, of all connections; default 256 MiB, and no less than 1 MiB makes sense. What
   * OpenSSL keeps in a handshake counts, with 64 KiB; the 16 KiB that it keeps of an open
   * connection do not. When one needs more than is left, those are cut that have held most for
   * longest without progress, with MS_ENOMEM: a connection makes progress when as much gets through
   * it, one way, as it holds that way. One that only waits for its application to read goes last.
   * Where that does not help, whoever needs more fails, with MS_ENOMEM. */
  size_t buffered;
  /* Bytes of buffers that one connection keeps while its peer or its application does not read;
   * default 408 KiB. Less costs speed. What a protocol has to see in one piece it keeps all the
   * same: up to 64 KiB with secret-handshake, 48 KiB more with TLS. */
  size_t buffered_each;
} ms_limits;

/* The defaults, in numbers: no member is 0, and idle_msec is UINT32_MAX. */
MS_API void ms_limits_default(ms_limits *out);

/* Options of a context. 0 and NULL ask for the default. */
typedef struct ms_ctx_opts {
  size_t size; /* sizeof(ms_ctx_opts); set by MS_OPTS_INIT */
  /* Borrowed, must outlive the context. Default: a loop of the context's own, which ms_ctx_run
   * runs. */
  struct uv_loop_s *loop;
  const ms_allocator *allocator; /* copied; default: malloc and free */
  const ms_identity *identity;  /* copied; default: none, then stacks that need one must bring it */
  const uint8_t *network_key;   /* MS_KEY_BYTES, copied; default: none, as above */
  ms_authorise_cb on_authorise; /* default: nobody enters, whatever the stack */
  ms_resolve_cb on_resolve;     /* default: the system's resolver, a thread for each look-up */
  ms_log_cb on_log;             /* default: no log */
  enum ms_log_level log_level;  /* the least that on_log is told; default MS_LOG_WARN */
  void *user;                   /* for all of them */
  uint32_t accept_timeout_msec; /* from accepting to an open connection, absolute; default 5000 */
  uint32_t dial_timeout_msec;   /* a whole dial, absolute; default 15000 */
  uint32_t drain_timeout_msec;  /* what a closing connection has for its last words; default 5000 */
  ms_limits limits;             /* of what peers may take */
  /* Descriptors that listen already, as systemd hands them over; copied. A stack that would listen
   * at the address of one takes it, for as long as it listens; ms_unlisten or the end of the
   * context closes it. The others stay the caller's. */
  const int *inherited;
  size_t inherited_count; /* of them */
  ms_wake_cb on_wake;     /* default: ms_ctx_wake only ends a wait of ms_ctx_run */
} ms_ctx_opts;

/* Makes a context. 0; MS_EINVAL (options that this version does not know), MS_ENOMEM, MS_ESYSTEM.
 * *out belongs to the caller and ends by ms_ctx_close, then ms_ctx_free. */
MS_API int ms_ctx_new(ms_ctx **out, const ms_ctx_opts *opts, ms_error *err);

/* Is this one of `inherited`, and no stack has taken it? After on_ready: then nobody will. */
MS_API bool ms_ctx_inherited_left(const ms_ctx *ctx, int fd);

/* Stops listening, aborts dials, closes every connection (as ms_conn_close, but see
 * ms_conn_set_reset_on_shutdown; a page, too, may be sent to its end), waits up to `drain_msec` and
 * cuts what is left; then calls `done` once. Every connection has had its on_close before, every
 * dial its callback. May be called again before `done`, with a shorter wait (0 cuts now); the first
 * call's `done` is the one called. */
MS_API void ms_ctx_close(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user),
                         void *user);

/* Frees a context after its `done` has been called, or one that was never given a listener or a
 * dial. Not to be called inside a callback other than `done`. libuv finishes closing the context's
 * handles in the loop's next turn: run a borrowed loop once more before closing it. NULL is
 * allowed. */
MS_API void ms_ctx_free(ms_ctx *ctx);

/* Wakes the loop: on_wake is called from it, soon, and a waiting ms_ctx_run returns. From any
 * thread and from signal handlers, but not once ms_ctx_free has been called. Other threads hand
 * work to a context so: they put it where its thread finds it, and wake the loop. */
MS_API void ms_ctx_wake(ms_ctx *ctx);

/* ---- Without libuv ---- */

/* Runs what is due in a context with a loop of its own, after waiting at most `wait_msec` for
 * something (0: not at all, -1: as long as it takes). This is where its callbacks come from.
 * Returns 1, and 0 once ms_ctx_close is done (its `done` was called; what then remains is
 * ms_ctx_free, if `done` has not called it); MS_ESTATE inside a callback, MS_EINVAL with a borrowed
 * loop. */
MS_API int ms_ctx_run(ms_ctx *ctx, int wait_msec);

/* For a select() or poll() loop: ms_ctx_run(ctx, 0) is to be called when this descriptor is
 * readable, or when so many milliseconds have passed: -1 is for ever, 0 is at once. Ask for the
 * time again before each wait: every call into the library may change it. The descriptor stays the
 * same and is the context's. MS_EINVAL with a borrowed loop. */
MS_API int ms_ctx_fd(const ms_ctx *ctx);
MS_API int ms_ctx_timeout(const ms_ctx *ctx);

/* ---- Statistics ---- */

/* What a context has done, and what it holds. */
typedef struct ms_ctx_stats {
  /* now */
  size_t open, pending;         /* connections, pages too; those whose stack is not up yet */
  size_t dials;                 /* running */
  size_t buffered, buffer_peak; /* bytes of buffers; the most there ever were */
  /* since the context was made */
  /* Sockets: the sum of the next nine, and of what is pending of peers. Who comes in, is refused,
   * fails or is turned away after a page is counted twice: it was answered, too. */
  uint64_t accepted;
  uint64_t entered;  /* peers that came in */
  uint64_t answered; /* peers that asked for pages */
  uint64_t refused;  /* peers that on_authorise kept out, and other users at a unix socket */
  uint64_t failed;   /* peers that did not come in for other reasons than these */
  uint64_t over_connections;   /* turned away: too many connections */
  uint64_t over_address;       /* turned away: too many of one address */
  uint64_t over_rate;          /* turned away: too many of one address in a second */
  uint64_t handshakes_evicted; /* handshakes that made room for others */
  uint64_t probed;             /* peers that left before they had said a byte */
  uint64_t requests;           /* answered with a page, or for `health_path` */
  uint64_t over_pages;         /* answered 503: too many of one address, at once or in a second */
  uint64_t over_buffers;       /* connections cut: their peers did not read, and buffers ran out */
  uint64_t idled;              /* connections that carried nothing for too long */
  uint64_t pauses;             /* times a listener has waited for want of descriptors */
  uint64_t dialled, dial_failed; /* dials that ended so; aborted ones are failed */
  uint64_t in, out;              /* bytes that applications have received and written */
  uint64_t wire_in, wire_out;    /* bytes that transports have received and sent */
} ms_ctx_stats;
MS_API void ms_ctx_stat(const ms_ctx *ctx, ms_ctx_stats *out);

/* Where an address can be reached from. */
enum ms_scope {
  MS_DEVICE = 1, /* this machine */
  MS_LOCAL = 2,  /* the local network */
  MS_PUBLIC = 4  /* everywhere */
};

/* WebSocket's limits; 0 is the default of each. */
typedef struct ms_ws_opts {
  /* A peer that is silent for so long is asked, and is gone when it is silent as long again with
   * nothing left to read. Default 30,000; UINT32_MAX: never. */
  uint32_t ping_msec;
  uint64_t frame_max;     /* payload of one frame, bytes; default 64 MiB */
  uint64_t message_max;   /* one message, bytes, where WebSocket is topmost; default 64 MiB */
  uint32_t fragments_max; /* frames of one message; default 131,072 */
} ms_ws_opts;

/* A request for a page where a WebSocket could have been asked for. Valid in the callback only, as
 * all that it gives. */
typedef struct ms_request ms_request;
MS_API const char *ms_request_method(const ms_request *request); /* "GET" */
/* "/path?query", as it was sent but for what stands before the path where that was a whole URL (RFC
 * 9112, section 3.2.2); its host is then what ms_request_field has for "Host". */
MS_API const char *ms_request_target(const ms_request *request);
MS_API const char *ms_request_address(
    const ms_request *request); /* whose it is, "ws://192.0.2.1:5" */
/* The first field of that name, in any case, without blanks around it; NULL when there is none. */
MS_API const char *ms_request_field(const ms_request *request, const char *name);

/* Somebody asks for a page; one connection may do so many times, one after the other, and then ask
 * for a WebSocket. The application answers with ms_conn_respond, inside the callback or later;
 * until then, or until the handshake's deadline, the peer waits. Each request is to be answered
 * once, also when the peer may be gone by then: until it is, or ms_conn_abort or ms_ctx_close is
 * called, `conn` stays valid for ms_conn_respond and takes memory. */
typedef void (*ms_request_cb)(ms_conn *conn, const ms_request *request, void *user);

/* TLS, of wss and tls: paths of PEM files, copied; they are regular ones of 1 MiB at most. A server
 * proves a name of its certificate's subjectAltName; a common name counts for nothing (RFC 9525).
 * TLS 1.2 has ECDHE with AES-GCM or ChaCha20-Poly1305 and nothing else. */
typedef struct ms_tls_opts {
  /* To listen: the certificate, and those between it and the root behind it, each followed by its
   * issuer's. */
  const char *cert;
  /* Its private key, without a password, a secret as for ms_identity_load, 64 KiB at most; default:
   * it is in `cert` too. */
  const char *key;
  /* To dial: the certificates that are trusted, whether roots, authorities below one, or a server's
   * own; default: the system's. */
  const char *ca;
  bool insecure; /* to dial: any certificate will do, so that anybody can be in between */
} ms_tls_opts;

/* Options of a stack; each defaults to the context's. */
typedef struct ms_stack_opts {
  size_t size; /* sizeof(ms_stack_opts); set by MS_OPTS_INIT */
  /* Of ms_scope, or'ed. 0: unix, loopback and an empty host are MS_DEVICE, a wildcard is all three,
   * any other host MS_DEVICE and what the address itself is. */
  unsigned scopes;
  /* Copied; what peers in MS_PUBLIC use, an address for each: a host in the place of the stack's
   * own ("pub.example"), or a whole section where something stands in front
   * ("net:pub.example:443"). They make the stack public when `scopes` is 0. A host never takes a
   * stack on loopback there; loopback and wildcards are refused. For a unix socket it is a section,
   * and takes the place of unix, or of unix~ws ("wss://pub.example/path"). Default: none. */
  const char *const *external;
  size_t external_count;        /* of them */
  const ms_identity *identity;  /* copied */
  const uint8_t *network_key;   /* MS_KEY_BYTES, copied */
  ms_authorise_cb on_authorise; /* asked in the place of the context's */
  void *user;                   /* for on_authorise */
  bool reuse_port; /* share the port with other contexts and processes that say so (SO_REUSEPORT) */
  /* Let anybody at a stack without an authenticating layer. Default: it listens on loopback and on
   * unix sockets only, and of these admits this process' (effective) user, root, and whom
   * `unix_mode` lets in by the socket's group; no others, whatever the mode of the socket is. On
   * one that was inherited, and that mode and folder leave open to others, it does not listen
   * (MS_EINSECURE). */
  bool insecure_noauth;
  /* WebSocket: which pages may open connections to this server, by their origins (RFC 6454):
   * "https://app.example", "http://localhost:3000", or "null" (files, and sandboxed frames of any
   * page); copied. What means the same is the same: capitals, the scheme's own port, a '/' at the
   * end. Other clients than browsers name no origin, and are not concerned. None: every page where
   * a layer above authenticates; without one, only pages from an address of this machine itself, so
   * that no foreign page reaches a service on loopback. */
  const char *const *origins;
  size_t origins_count; /* of them */
  /* Who is believed about where peers are: the address or network of what stands in front, '=' and
   * how it says so; copied.
   * "192.0.2.0/24=proxy": every connection from there begins with a header of the PROXY protocol
   * (versions 1 and 2), or fails. "192.0.2.0/24" alone is the same, on stacks without WebSocket.
   * "2001:db8::/32=x-forwarded-for": every request for a WebSocket from there has that field, or is
   * answered with 400. The peer is the rightmost of its entries that is not itself at an address
   * trusted so: what stands further left a client can have made up. A request for a page may lack
   * it, and is the front's own then. Without WebSocket it has no meaning.
   * "2001:db8::/32=forwarded": the same of Forwarded (RFC 7239).
   * "unix" in the place of the network: whoever may connect to the stack's unix socket, which is
   * for `unix_mode` and `unix_group` to say.
   * A front sets one of the two: an address is trusted for one of them only, and the other is never
   * looked at. Nobody else's headers count. Default: nobody. */
  const char *const *trusted_proxies;
  size_t trusted_proxies_count; /* of them */
  ms_ws_opts ws;                /* of WebSocket */
  ms_tls_opts tls;              /* of TLS */
  /* WebSocket: pages. Default: 426, or 404 on another path than the stack's (ms_add). */
  ms_request_cb on_request;
  void *request_user; /* for on_request */
  /* WebSocket: what is in front may ask for this path, as in "/healthz", to know whether the server
   * is there: it gets 200, nobody is told. Copied; default: none. */
  const char *health_path;
  bool stream; /* bytes also where the topmost protocol has messages */
  /* unix: the mode of the file that the stack makes, 0600 to 0777 (chmod(2)); default: 0600, or
   * 0660 with a `unix_group`. To connect is to write to it. It is never more open than that, not
   * for a moment, and the umask does not count. Where nothing authenticates, its write bit names
   * the group: the system is asked of each peer whether it was of it when it connected. Everybody's
   * write bit is MS_EINSECURE there, without `insecure_noauth`. An inherited socket keeps its mode
   * and group, and on_log is told (MS_LOG_WARN). An abstract one has neither (MS_EINVAL). Ignored
   * on other transports. */
  unsigned unix_mode;
  /* unix: the group of that file, by its name or number; copied. There is none, or the mode does
   * not let it in: MS_EINVAL. Who may not give files to it does not listen (MS_ELISTEN). Default:
   * what the system gives it, this process' own or the folder's (S_ISGID). */
  const char *unix_group;
} ms_stack_opts;

/* Adds a stack, to be dialled and, where its transport names a place ("net:host:port", "net::0",
 * "unix:/path"), listened on: from ms_listen on, or at once after it, with an on_listen of its own.
 * "net~shs" names none and only dials. "unix:/path~ws" is WebSocket over a unix socket, as what
 * stands in front of a server speaks it, and "unix:/path~ws:/room" serves one path. A path of ws or
 * wss is the only one where a WebSocket is served, whatever query is behind it: "/room" is
 * "/room?token=x" and "/%72oom", not "/Room", "/room/" or "//room"; a query in the stack's own
 * address has to be asked for as it is. "::" is both families; where another stack has 0.0.0.0 on
 * the same port when it begins to listen, it is IPv6 alone. "shs", "shs:" and one's own key mean
 * the same. Order counts: ms_stringify keeps it. Returns the stack's number, from 0 and never used
 * twice; or MS_EADDRESS, MS_ENOSTACK (a section this build does not know, or sections that do not
 * go together), MS_EINVAL (an identity or a network key is missing, or an option cannot be what it
 * is, as an origin or a certificate), MS_EINSECURE, MS_ENOMEM, MS_ESYSTEM, MS_ESTATE (closing). */
MS_API int ms_add(ms_ctx *ctx, const char *address, const ms_stack_opts *opts, ms_error *err);

/* Reads the files of the stack's ms_tls_opts again; who comes from now on gets the new ones. 0;
 * MS_EINVAL, and all is as before, when one can not be used, or there is no such stack; MS_ENOMEM.
 * A stack without TLS has nothing to read. */
MS_API int ms_reload_tls(ms_ctx *ctx, int stack, ms_error *err);

/* Takes a stack out: it listens no more and is not dialled any more. Its connections, and dials
 * that have begun, live on. 0, or MS_EINVAL when there is no such stack. */
MS_API int ms_remove(ms_ctx *ctx, int stack);

/* What a server hears. Any of them may be NULL. */
typedef struct ms_server_events {
  /* Stack number `stack` listens (err NULL), on every address it stands for, or does not (then
   * `err`). Once for each stack that has somewhere to listen, and again after ms_resume; one that
   * fails does not touch the others. */
  void (*on_listen)(ms_ctx *ctx, int stack, const ms_error *err, void *user);
  /* No stack has still to report, for the first time; `up` of them listen. Not after ms_unlisten.
   * Once. */
  void (*on_ready)(ms_ctx *ctx, size_t up, void *user);
  /* A peer is in: its whole stack is up. Call ms_conn_handle here, or ms_conn_close, or the
   * connection fails (ms_conn_fail): nobody has heard the peer. */
  void (*on_connection)(ms_conn *conn, void *user);
  /* A peer did not get in. Who left before a byte of its had come is only counted (`probed`).
   * `err->address` is its address, with its key if it has proved one; `conn` is valid inside the
   * callback only, and only for what tells of it (ms_conn_id, _key, _stat, _stack). */
  void (*on_failed)(ms_conn *conn, const ms_error *err, void *user);
  /* ms_stringify gives other addresses than in on_ready or in the last of these, in one scope at
   * least. An interface has come, gone or got another address, or a stack has. Changes that come
   * together are told once, a moment later. */
  void (*on_addresses)(ms_ctx *ctx, void *user);
} ms_server_events;

/* Starts listening on every stack that has somewhere to listen. `events` must stay valid until
 * ms_ctx_close's `done`. 0; MS_EINVAL when no stack has, MS_ESTATE when called before, MS_ENOMEM.
 * Listening itself reports through on_listen. */
MS_API int ms_listen(ms_ctx *ctx, const ms_server_events *events, void *user, ms_error *err);

/* Stops listening; connections live on. Stacks that have not reported yet do not any more, and no
 * address is told any more. */
MS_API void ms_unlisten(ms_ctx *ctx);

/* For a host that goes to sleep: stops listening, ends every dial (MS_EABORTED), closes every
 * connection (as ms_conn_close), waits up to `drain_msec` and cuts what is left; then calls `done`
 * once: nothing of the context's is on the network any more. May be called again before that, with
 * a shorter wait; the first call's `done` is the one called. Questions that were asked are still to
 * be answered. Until ms_resume ms_dial answers MS_ESTATE. 0, or MS_ESTATE: suspended already, or
 * closing. */
MS_API int ms_suspend(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user),
                      void *user);

/* Goes on after `done` of ms_suspend, inside it or later: what was listened on is listened on again
 * (each stack reports by on_listen), where any port was asked for on the same one if it can be had.
 * 0; MS_ESTATE: not suspended, or closing; MS_ENOMEM: suspended still. */
MS_API int ms_resume(ms_ctx *ctx, ms_error *err);

/* Writes the addresses under which the listening stacks can be reached in one scope, in the order
 * they were added and joined by ';', into `buf`, as snprintf does: returns the length it has or
 * would have. "" when there are none. Ports are those really bound; a wildcard becomes the
 * addresses that the interfaces have now and a peer in that scope can dial, without zones. Unix
 * sockets, loopback and stacks without an authenticating layer are in MS_DEVICE only, whatever
 * `scopes` and a host as `external` say; a section as `external`, which stands in front, is in
 * MS_PUBLIC. */
MS_API size_t ms_stringify(const ms_ctx *ctx, enum ms_scope scope, char *buf, size_t size);

/* The same of one stack: "" when it does not listen, or when there is none of that number. */
MS_API size_t ms_stringify_stack(const ms_ctx *ctx, int stack, enum ms_scope scope, char *buf,
                                 size_t size);

/* The stack's names joined by '~' ("net~shs"), or NULL when there is no stack of that number. The
 * context's. */
MS_API const char *ms_stack_name(const ms_ctx *ctx, int stack);

/* ---- Dialling ---- */

/* The one callback of a dial: `conn` open and `err` NULL, or `conn` NULL and the error. Call
 * ms_conn_handle here, or ms_conn_close, or the connection fails (ms_conn_fail). */
typedef void (*ms_dialled_cb)(ms_conn *conn, const ms_error *err, void *user);

/* How far an attempt has come. */
enum ms_step {
  MS_STEP_RESOLVE = 0, /* its place is looked up; only the first attempt at an alternative */
  MS_STEP_CONNECT,     /* its transport connects to `place` */
  MS_STEP_CONNECTED,   /* and is connected */
  MS_STEP_LAYER,       /* `layer` is up */
  MS_STEP_OPEN,        /* its whole stack is: it has won */
  MS_STEP_FAILED,      /* it has failed: `error` */
  MS_STEP_DROPPED,     /* it was not needed any more */
  /* There is no attempt at this alternative: `error` says why. Told before the first attempt, with
   * the number 0. */
  MS_STEP_PASSED_OVER
};

/* A word for a step. Never NULL, never to be freed. */
MS_API const char *ms_step_text(enum ms_step step);

/* An attempt at one alternative and one network address. Its texts are valid in the callback that
 * shows it, or until the next call of ms_dial_attempt. */
typedef struct ms_attempt {
  unsigned number;       /* from 1, in the order in which they begin; 0: MS_STEP_PASSED_OVER */
  size_t alternative;    /* which of the address, as of ms_addr_at */
  enum ms_step step;     /* the last */
  const char *address;   /* the alternative, without seeds; "": it is malformed */
  const char *place;     /* "192.0.2.1:8008", "[2001:db8::1]:8008", a path; "": not known yet */
  const char *layer;     /* of the step: "net", "tls", "shs"; or "" */
  uint32_t begun_msec;   /* when it began, since ms_dial */
  uint32_t msec;         /* when the step was, since ms_dial */
  const ms_error *error; /* MS_STEP_FAILED, MS_STEP_PASSED_OVER: why; else NULL */
} ms_attempt;

/* A step of an attempt. */
typedef void (*ms_attempt_cb)(const ms_attempt *attempt, void *user);

/* What a peer proves of itself. */
enum ms_security {
  MS_SECURITY_NONE = 0, /* nothing */
  MS_SECURITY_SERVER,   /* its name, by a certificate that is trusted (TLS) */
  MS_SECURITY_KEY       /* its key, as we prove ours (secret-handshake) */
};

/* Options of a dial. */
typedef struct ms_dial_opts {
  size_t size;               /* sizeof(ms_dial_opts); set by MS_OPTS_INIT */
  uint32_t timeout_msec;     /* the whole dial, absolute; default: the context's */
  uint32_t stagger_msec;     /* from one attempt's connecting to the next; default 250 */
  enum ms_security security; /* the least; alternatives that prove less are not tried */
  /* Stacks ("net~shs", as ms_addr_match takes them), the best first. Alternatives of these are
   * tried before the others, which keep the address's order; as do all by default. */
  const char *const *prefer;
  size_t prefer_count;      /* of them */
  ms_dialled_cb on_dialled; /* required */
  ms_attempt_cb on_attempt; /* default: none */
  void *user;               /* for both */
  /* Copied; who we are in this dial, in the place of the stack's identity. A seed in the address
   * goes before it. */
  const ms_identity *identity;
  /* An IPv4 or IPv6 address of this machine ("192.0.2.7", "fe80::1%eth0"), copied: where TCP is to
   * be dialled from, on a port that the system chooses. Places of the other family then fail
   * (MS_ECONNECT). Default: the system chooses. */
  const char *local_host;
} ms_dial_opts;

/* Dials: a race of all alternatives that an added stack understands, at every address that their
 * hosts have (RFC 8305). The first attempt begins at once, each other after the stagger, or as soon
 * as one has failed; at most 8 at the same time (the oldest makes room for the next after 5 s), and
 * 64 in all. The winner is the first whose whole stack is up; the others are dropped. Who refuses
 * us (MS_EREFUSED) is not tried again under the same key at the same host and port; at others it
 * is: an address that is out of date may belong to somebody else today. The error is that of the
 * attempt which came furthest, a refusal before all; ms_dial_attempt tells of all.
 *
 * 0, and on_dialled comes exactly once; or, and then it never comes, MS_EADDRESS, MS_ENOSTACK,
 * MS_EINSECURE (nothing is left by `security`), MS_EINVAL, MS_ENOMEM, MS_ESTATE (the context is
 * closing or suspended). *out, where not NULL, is valid until on_dialled returns. */
MS_API int ms_dial(ms_ctx *ctx, ms_dialer **out, const char *address, const ms_dial_opts *opts,
                   ms_error *err);

/* How many attempts have begun, and what became of one: false when there is none of that number. */
MS_API size_t ms_dial_attempts(const ms_dialer *dialer);
MS_API bool ms_dial_attempt(const ms_dialer *dialer, size_t number, ms_attempt *out);

/* Gives up: on_dialled comes with MS_EABORTED, in a later turn of the loop. */
MS_API void ms_dial_abort(ms_dialer *dialer);

/* ---- Connections ---- */

/* What a connection tells. Every member may be NULL except on_close. `user` is what ms_conn_handle
 * was given. */
typedef struct ms_conn_events {
  /* There is something new to read, at least as much as ms_conn_need asked for, or the peer has
   * ended. */
  void (*on_readable)(ms_conn *conn, void *user);
  /* The peer has ended its direction, authenticated where the stack has such an end, and everything
   * it wrote has been consumed. */
  void (*on_end)(ms_conn *conn, void *user);
  /* After a short write: everything accepted before has left, or can't any more. */
  void (*on_writable)(ms_conn *conn, void *user);
  /* The connection is over and `conn` is invalid once this returns. The last call for it, exactly
   * one. `err` is NULL when both directions ended cleanly, or it was closed and everything written
   * was sent; and then, as far as the transport tells, the peer's system has acknowledged all of it
   * but for our end itself (a unix socket: the peer has read it). */
  void (*on_close)(ms_conn *conn, const ms_error *err, void *user);
} ms_conn_events;

/* Takes a connection on: from on_connection or on_dialled. `events` must stay valid until on_close.
 * May be called again to hand it to other events. */
MS_API void ms_conn_handle(ms_conn *conn, const ms_conn_events *events, void *user);

/* What ms_conn_handle was given, and the context. */
MS_API void *ms_conn_user(const ms_conn *conn);
MS_API ms_ctx *ms_conn_ctx(const ms_conn *conn);

/* Answers the question whether the peer may enter. `auth` is kept for ms_conn_auth. 0, or MS_ESTATE
 * when there is no question (any more): the peer is gone or the deadline passed; nothing has
 * happened then, and `conn` is invalid from the loop's next turn. Not after ms_ctx_close. */
MS_API int ms_conn_answer(ms_conn *conn, bool yes, void *auth);

/* The bytes received and not yet consumed, contiguous: *p and the count returned. Valid until the
 * next ms_conn_consume or the callback's return, and the loop has not run. A connection that is not
 * consumed from stops reading: this is how an application pushes back. Up to 4,096 bytes may be
 * left without harm; to wait for more than that, say so with ms_conn_need. */
MS_API size_t ms_conn_peek(const ms_conn *conn, const uint8_t **p);

/* Consumes `n` bytes, at most as many as ms_conn_peek showed. */
MS_API void ms_conn_consume(ms_conn *conn, size_t n);

/* on_readable waits until `n` bytes (1 to 65,536; more is taken for 65,536) can be peeked at, or
 * the peer has ended. Default 1. */
MS_API void ms_conn_need(ms_conn *conn, size_t n);

/* Writes up to `n` bytes; nothing leaves before the loop's next turn, so small writes travel
 * together. Returns how many were accepted: fewer than `n` when the buffers are full, and
 * on_writable tells when to go on; or MS_EPIPE when writing is over (ended, closed, or the peer is
 * gone), MS_ESTATE before the connection is open, MS_ENOMEM. */
MS_API ptrdiff_t ms_conn_write(ms_conn *conn, const void *data, size_t n);

/* Room to write into without a copy: *p and its size, at least `n` bytes (up to 65,536 can be had),
 * or 0 when there is not so much: then on_writable comes as after a short write, unless nothing is
 * buffered and it is memory that is missing. ms_conn_commit with the number of bytes
 * filled sends them; nothing else may be called for the connection in between. */
MS_API size_t ms_conn_reserve(ms_conn *conn, uint8_t **p, size_t n);
MS_API void ms_conn_commit(ms_conn *conn, size_t n);

/* Will on_writable come? True after a write or a reservation found too little room, until it does.
 * False after MS_ENOMEM, or a reservation that gave nothing: memory is missing, and nobody says
 * when there is some. */
MS_API bool ms_conn_write_blocked(const ms_conn *conn);

/* Ends our direction; what was written is sent first. A half-close: the peer may go on writing, and
 * there is no deadline. Where a protocol has no half-close (WebSocket) the peer is asked to end as
 * well: what it still says is read, but many say no more. The other way round, after on_end, there
 * is time for what is written at once: where for the drain deadline nothing moves and this is not
 * called, the peer is told that the answer is not whole, and on_close has MS_ETIMEDOUT. */
MS_API void ms_conn_end(ms_conn *conn);

/* Ends our direction, discards what still comes, and waits for the peer's end no longer than the
 * drain deadline. on_close follows. */
MS_API void ms_conn_close(ms_conn *conn);

/* As ms_conn_close, for an application that has failed: what was written is sent, but no clean end
 * follows. shs and TLS end without their goodbye, a WebSocket is closed with 1011 and `why` as its
 * reason, net without a layer that has an end is reset; a unix socket without one has nothing to
 * show it by, and the peer takes it for an end. An end that is on its way stands. The
 * peer has six times the drain deadline for what was written, and as long again whenever it has
 * taken 4 KiB of it in that time, as far as the system tells. `why`, a sentence for people, is
 * copied, and is the message of on_close's MS_EFAILED. It may be called after ms_conn_end or
 * ms_conn_close, as long as what they let go out has not gone. */
MS_API void ms_conn_fail(ms_conn *conn, const char *why);

/* Is what goes over this connection one piece, of which a part must not be taken for the whole?
 * Then ms_ctx_close and ms_suspend say no goodbye in the middle of it: it has their wait to end by
 * itself, and is cut when that is over; and ms_limits.idle_msec ends it as ms_conn_fail does.
 * Default: false, they close it. */
MS_API void ms_conn_set_reset_on_shutdown(ms_conn *conn, bool whole);

/* Does the application read all that comes before it hears of a failure? Then on_close with an
 * error comes when it has consumed what was received until then, as read(2) has it, and it must
 * consume what it is shown; what is written meanwhile may be lost. Default: false, on_close comes
 * at once and what is unread is lost. */
MS_API void ms_conn_set_read_first(ms_conn *conn, bool read_first);

/* Ends now: what was not sent is lost, the peer sees a reset where the transport has one. on_close
 * follows, from the loop, with MS_EABORTED, or with why it had failed before. Legal in any state
 * and inside any callback. */
MS_API void ms_conn_abort(ms_conn *conn);

/* "net:192.0.2.1:5678~shs:KEY": where the peer is and who it proved to be. The connection's, until
 * on_close. */
MS_API const char *ms_conn_address(const ms_conn *conn);

/* The peer's key, MS_KEY_BYTES, or NULL where no layer authenticates it. The connection's, until
 * on_close. */
MS_API const uint8_t *ms_conn_key(const ms_conn *conn);

/* What ms_conn_answer was given, or NULL. */
MS_API void *ms_conn_auth(const ms_conn *conn);

/* The other end of the transport, ours: "192.0.2.2:8008", "[2001:db8::2]:8008", the path of a
 * server's unix socket; "" where it has no name, or is closed. As snprintf does: returns the length
 * it has or would have. */
MS_API size_t ms_conn_local(const ms_conn *conn, char *buf, size_t size);

/* The socket under it, or -1 when it is closed. The connection's: to ask the system about it and to
 * set what the library does not, never to be read, written, polled or closed. */
MS_API int ms_conn_fd(const ms_conn *conn);

/* A number for a log: the context's connections are counted from 1, those that never open with
 * them. */
MS_API uint64_t ms_conn_id(const ms_conn *conn);

/* Can one direction end before the other? If not (WebSocket), ms_conn_end asks the peer to end as
 * well, and its on_end asks us. */
MS_API bool ms_conn_half_closes(const ms_conn *conn);

/* The stack's names ("net~shs"), its number in the context, and whether we are its server. */
MS_API const char *ms_conn_stack(const ms_conn *conn);
MS_API int ms_conn_stack_number(const ms_conn *conn);
MS_API bool ms_conn_is_server(const ms_conn *conn);

/* The open connections of a context, peers' and our own, the newest first: from on_connection or
 * on_dialled on until on_close. NULL: there are no more. None comes or goes but in the loop, so
 * that any of them may be ended on the way. */
MS_API ms_conn *ms_conn_first(const ms_ctx *ctx);
MS_API ms_conn *ms_conn_next(const ms_conn *conn);

/* Ends all connections of peers that have proved this key, MS_KEY_BYTES, those too that are on the
 * point of coming in: as ms_conn_fail does, with `why`. Who still waits for an answer to
 * on_authorise is not among them, nor who fails already. Returns how many there were. */
MS_API size_t ms_ctx_evict(ms_ctx *ctx, const uint8_t *key, const char *why);

/* How long this connection may carry nothing, in the place of ms_limits.idle_msec, counted from now
 * on; for one that we have dialled, too. UINT32_MAX: for ever; 0: what it was at first. Of an
 * answer to a request this and the next are the answer's, and end with it. */
MS_API void ms_conn_set_idle(ms_conn *conn, uint32_t msec);

/* When so much time has passed, whatever it carries, the connection is closed as an idle one is:
 * its peer hears a goodbye (see ms_conn_set_reset_on_shutdown), on_close has MS_ETIMEDOUT.
 * UINT32_MAX: never (default). */
MS_API void ms_conn_set_deadline(ms_conn *conn, uint32_t msec);

/* How soon a peer is missed that is gone without a word, or whose network is: when it has not
 * answered the system for about so long, on_close has MS_ERESET. Rounded to seconds, no less than
 * some five of them where nothing is written, and no more than 18 hours; UINT32_MAX: never.
 * Default: some two minutes. 0; MS_EINVAL where the transport tells at once (unix), or for 0;
 * MS_ESTATE when it is closed; MS_ESYSTEM. (RFC 9293, section 3.8.4; TCP_USER_TIMEOUT, RFC 5482) */
MS_API int ms_conn_set_keepalive(ms_conn *conn, uint32_t msec);

/* What a connection has carried. */
typedef struct ms_conn_stats {
  uint64_t in, out;   /* bytes the application has consumed and written */
  uint64_t wire_in;   /* bytes the transport has received, the handshake included */
  uint64_t wire_out;  /* bytes the transport has sent, likewise */
  uint64_t open_msec; /* since it opened; 0 before */
  /* Bytes the transport has sent that the peer's system has not acknowledged (0 where nobody can
   * know). A unix socket: not 0 while the peer has something to read. */
  uint64_t unacknowledged;
  /* Bytes that wait in the library's buffers for the transport to take them, with what the layers
   * have added: how far behind the peer is, together with `unacknowledged`. */
  uint64_t queued;
} ms_conn_stats;
MS_API void ms_conn_stat(const ms_conn *conn, ms_conn_stats *out);

/* ---- Messages ---- */

/* Answers a request: a status from 200 to 599 and fields, each ended by CRLF ("Content-Length:
 * 2\r\n"), or NULL. The body goes out by ms_conn_write; ms_conn_close ends it. `events`, of which
 * on_writable and on_close come, and `user` are as with ms_conn_handle: on_close says that this
 * answer is over. Connection and Keep-Alive are not to be among the fields: where the peer can tell
 * the end of the answer (a Content-Length, of which all has been written; none is needed with
 * 204, 304 or to HEAD, which have no body), the connection stays for its next request. 0;
 * MS_EINVAL; MS_ESTATE when nothing was asked (any more), or the peer is gone: then nothing has
 * happened, no event comes, and `conn` is invalid from the loop's next turn. Not after
 * ms_ctx_close. */
MS_API int ms_conn_respond(ms_conn *conn, int status, const char *fields,
                           const ms_conn_events *events, void *user);

/* Where the topmost protocol has messages of its own (WebSocket), ms_conn_messages is true and
 * reading and writing go by messages: ms_conn_peek shows nothing and ms_conn_write answers
 * MS_ESTATE. Elsewhere a connection is a stream of bytes, and these functions answer MS_ESTATE. */
typedef struct ms_message {
  const uint8_t *data; /* contiguous; the connection's, as with ms_conn_peek */
  size_t length;       /* of data, in bytes */
  uint8_t type;        /* the protocol's: WebSocket 1 text, 2 binary */
  bool last;           /* false: more of the same message follows */
} ms_message;
MS_API bool ms_conn_messages(const ms_conn *conn);

/* The next message or part of one. 1 and *out filled; 0 when there is none yet; MS_ESTATE. */
MS_API int ms_conn_message(const ms_conn *conn, ms_message *out);

/* Consumes n bytes of what ms_conn_message showed; with fewer than all, the rest is shown next. An
 * empty one is consumed by any n. */
MS_API void ms_conn_consume_message(ms_conn *conn, size_t n);

/* Writes a message or part of one. Returns how many bytes were accepted; when fewer than
 * message->length, what was accepted counts as a part (`last` false) and the rest is to be written
 * after on_writable. An empty message that finds no room is MS_ENOMEM: it is to be written again
 * after on_writable. MS_EPIPE, MS_ESTATE, MS_ENOMEM as ms_conn_write. */
MS_API ptrdiff_t ms_conn_write_message(ms_conn *conn, const ms_message *message);

#ifdef __cplusplus
}
#endif

#endif
