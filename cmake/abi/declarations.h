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
#define MS_OPTS_INIT(type) \
{ .size = sizeof(type) }
#endif
MS_API const char *ms_version(void);
MS_API unsigned ms_version_number(void);
enum {
  MS_KEY_BYTES = 32,
  MS_KEY_TEXT = 45,
  MS_ADDRESS_MAX = 65536
};
MS_API extern const uint8_t ms_scuttlebutt_network_key[MS_KEY_BYTES];
enum ms_code {
  MS_OK = 0,
  MS_EINVAL = -1,
  MS_ENOMEM = -2,
  MS_EADDRESS = -3,
  MS_ENOSTACK = -4,
  MS_EUNKNOWNHOST = -5,
  MS_ECONNECT = -6,
  MS_EADDRINUSE = -7,
  MS_ELISTEN = -8,
  MS_EPROTO = -9,
  MS_ECRYPTO = -10,
  MS_EREFUSED = -11,
  MS_ETRUNCATED = -12,
  MS_ERESET = -13,
  MS_EPIPE = -14,
  MS_ETIMEDOUT = -15,
  MS_EABORTED = -16,
  MS_ESTATE = -17,
  MS_EINSECURE = -18,
  MS_ESYSTEM = -19,
  MS_EGONE = -20,
  MS_EFAILED = -21
};
enum ms_phase {
  MS_PHASE_NONE = 0,
  MS_PHASE_PARSE,
  MS_PHASE_MATCH,
  MS_PHASE_RESOLVE,
  MS_PHASE_CONNECT,
  MS_PHASE_LISTEN,
  MS_PHASE_HANDSHAKE,
  MS_PHASE_AUTHORISE,
  MS_PHASE_STREAM
};
typedef struct ms_error {
  int code;
  int sys;
  enum ms_phase phase;
  size_t offset;
  char layer[16];
  char address[256];
  char message[256];
} ms_error;
MS_API const char *ms_code_text(int code);
MS_API const char *ms_code_name(int code);
MS_API const char *ms_phase_text(enum ms_phase phase);
MS_API size_t ms_key_format(const uint8_t *key , char *buf, size_t size);
MS_API int ms_key_parse(uint8_t *key, const char *text, size_t length, ms_error *err);
typedef struct ms_identity ms_identity;
MS_API int ms_identity_generate(ms_identity **out, ms_error *err);
MS_API int ms_identity_from_seed(ms_identity **out, const uint8_t *seed , ms_error *err);
MS_API int ms_identity_load(ms_identity **out, const char *path, ms_error *err);
MS_API int ms_identity_parse(ms_identity **out, const char *text, size_t length, ms_error *err);
MS_API int ms_identity_save(const ms_identity *identity, const char *path, ms_error *err);
MS_API size_t ms_identity_format(const ms_identity *identity, char *buf, size_t size);
MS_API const uint8_t *ms_identity_key(const ms_identity *identity);
MS_API void ms_identity_free(ms_identity *identity);
typedef struct ms_addr ms_addr;
enum ms_section_kind {
  MS_SECTION_OTHER = 0,
  MS_SECTION_NET,
  MS_SECTION_WS,
  MS_SECTION_ONION,
  MS_SECTION_UNIX,
  MS_SECTION_SHS,
  MS_SECTION_NOAUTH,
  MS_SECTION_TLS,
  MS_SECTION_MEMORY
};
typedef struct ms_section {
  enum ms_section_kind kind;
  const char *name;
  const char *host;
  const char *path;
  const char *userinfo;
  int port;
  const char *data;
  bool transport;
  bool secure;
  bool has_key;
  bool has_seed;
  uint8_t key[MS_KEY_BYTES];
  uint8_t seed[MS_KEY_BYTES];
} ms_section;
typedef struct ms_alternative {
  size_t offset, length;
  const ms_section *sections;
  size_t count;
  ms_error error;
} ms_alternative;
enum ms_addr_use {
  MS_ADDR_DIAL,
  MS_ADDR_LISTEN,
  MS_ADDR_STREAM
};
MS_API int ms_addr_parse(ms_addr **out, const char *text, size_t length, enum ms_addr_use use, ms_error *err);
MS_API int ms_addr_from_legacy(ms_addr **out, const char *text, size_t length, ms_error *err);
MS_API void ms_addr_free(ms_addr *addr);
MS_API size_t ms_addr_count(const ms_addr *addr);
MS_API const ms_alternative *ms_addr_at(const ms_addr *addr, size_t i);
MS_API size_t ms_addr_format(const ms_addr *addr, size_t i, char *buf, size_t size);
MS_API bool ms_addr_match(const ms_alternative *alternative, const char *stack);
typedef struct ms_ctx ms_ctx;
typedef struct ms_conn ms_conn;
typedef struct ms_dialer ms_dialer;
struct uv_loop_s;
typedef struct ms_allocator {
  void *(*alloc)(void *user, size_t size);
  void (*free)(void *user, void *p);
  void *user;
} ms_allocator;
typedef struct ms_peer {
  const uint8_t *key;
  const char *address;
  const char *stack;
} ms_peer;
typedef void (*ms_authorise_cb)(ms_conn *conn, const ms_peer *peer, void *user);
typedef void (*ms_wake_cb)(ms_ctx *ctx, void *user);
typedef struct ms_resolving ms_resolving;
typedef void (*ms_resolve_cb)(ms_resolving *question, const char *host, void *user);
MS_API void ms_resolve_answer(ms_resolving *question, const char *const *addresses, size_t count);
enum ms_log_level {
  MS_LOG_NONE = 0,
  MS_LOG_ERROR,
  MS_LOG_WARN,
  MS_LOG_INFO,
  MS_LOG_DEBUG
};
typedef void (*ms_log_cb)(enum ms_log_level level, const char *text, void *user);
typedef struct ms_limits {
  uint32_t connections;
  uint32_t handshakes;
  uint32_t per_address;
  uint32_t per_second;
  uint32_t pages_per_address;
  uint32_t pages_per_second;
  uint32_t idle_msec;
  size_t buffered;
  size_t buffered_each;
} ms_limits;
MS_API void ms_limits_default(ms_limits *out);
typedef struct ms_ctx_opts {
  size_t size;
  struct uv_loop_s *loop;
  const ms_allocator *allocator;
  const ms_identity *identity;
  const uint8_t *network_key;
  ms_authorise_cb on_authorise;
  ms_resolve_cb on_resolve;
  ms_log_cb on_log;
  enum ms_log_level log_level;
  void *user;
  uint32_t accept_timeout_msec;
  uint32_t dial_timeout_msec;
  uint32_t drain_timeout_msec;
  ms_limits limits;
  const int *inherited;
  size_t inherited_count;
  ms_wake_cb on_wake;
} ms_ctx_opts;
MS_API int ms_ctx_new(ms_ctx **out, const ms_ctx_opts *opts, ms_error *err);
MS_API bool ms_ctx_inherited_left(const ms_ctx *ctx, int fd);
MS_API void ms_ctx_close(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user), void *user);
MS_API void ms_ctx_free(ms_ctx *ctx);
MS_API void ms_ctx_wake(ms_ctx *ctx);
MS_API int ms_ctx_run(ms_ctx *ctx, int wait_msec);
MS_API int ms_ctx_fd(const ms_ctx *ctx);
MS_API int ms_ctx_timeout(const ms_ctx *ctx);
typedef struct ms_ctx_stats {
  size_t open, pending;
  size_t dials;
  size_t buffered, buffer_peak;
  uint64_t accepted;
  uint64_t entered;
  uint64_t answered;
  uint64_t refused;
  uint64_t failed;
  uint64_t over_connections;
  uint64_t over_address;
  uint64_t over_rate;
  uint64_t handshakes_evicted;
  uint64_t probed;
  uint64_t requests;
  uint64_t over_pages;
  uint64_t over_buffers;
  uint64_t idled;
  uint64_t pauses;
  uint64_t dialled, dial_failed;
  uint64_t in, out;
  uint64_t wire_in, wire_out;
} ms_ctx_stats;
MS_API void ms_ctx_stat(const ms_ctx *ctx, ms_ctx_stats *out);
enum ms_scope {
  MS_DEVICE = 1,
  MS_LOCAL = 2,
  MS_PUBLIC = 4
};
typedef struct ms_ws_opts {
  uint32_t ping_msec;
  uint64_t frame_max;
  uint64_t message_max;
  uint32_t fragments_max;
} ms_ws_opts;
typedef struct ms_request ms_request;
MS_API const char *ms_request_method(const ms_request *request);
MS_API const char *ms_request_target(const ms_request *request);
MS_API const char *ms_request_address(const ms_request *request);
MS_API const char *ms_request_field(const ms_request *request, const char *name);
typedef void (*ms_request_cb)(ms_conn *conn, const ms_request *request, void *user);
typedef struct ms_tls_opts {
  const char *cert;
  const char *key;
  const char *ca;
  bool insecure;
} ms_tls_opts;
typedef struct ms_stack_opts {
  size_t size;
  unsigned scopes;
  const char *const *external;
  size_t external_count;
  const ms_identity *identity;
  const uint8_t *network_key;
  ms_authorise_cb on_authorise;
  void *user;
  bool reuse_port;
  bool insecure_noauth;
  const char *const *origins;
  size_t origins_count;
  const char *const *trusted_proxies;
  size_t trusted_proxies_count;
  ms_ws_opts ws;
  ms_tls_opts tls;
  ms_request_cb on_request;
  void *request_user;
  const char *health_path;
  bool stream;
  unsigned unix_mode;
  const char *unix_group;
} ms_stack_opts;
MS_API int ms_add(ms_ctx *ctx, const char *address, const ms_stack_opts *opts, ms_error *err);
MS_API int ms_reload_tls(ms_ctx *ctx, int stack, ms_error *err);
MS_API int ms_remove(ms_ctx *ctx, int stack);
typedef struct ms_server_events {
  void (*on_listen)(ms_ctx *ctx, int stack, const ms_error *err, void *user);
  void (*on_ready)(ms_ctx *ctx, size_t up, void *user);
  void (*on_connection)(ms_conn *conn, void *user);
  void (*on_failed)(ms_conn *conn, const ms_error *err, void *user);
  void (*on_addresses)(ms_ctx *ctx, void *user);
} ms_server_events;
MS_API int ms_listen(ms_ctx *ctx, const ms_server_events *events, void *user, ms_error *err);
MS_API void ms_unlisten(ms_ctx *ctx);
MS_API int ms_suspend(ms_ctx *ctx, uint32_t drain_msec, void (*done)(ms_ctx *ctx, void *user), void *user);
MS_API int ms_resume(ms_ctx *ctx, ms_error *err);
MS_API size_t ms_stringify(const ms_ctx *ctx, enum ms_scope scope, char *buf, size_t size);
MS_API size_t ms_stringify_stack(const ms_ctx *ctx, int stack, enum ms_scope scope, char *buf, size_t size);
MS_API const char *ms_stack_name(const ms_ctx *ctx, int stack);
typedef void (*ms_dialled_cb)(ms_conn *conn, const ms_error *err, void *user);
enum ms_step {
  MS_STEP_RESOLVE = 0,
  MS_STEP_CONNECT,
  MS_STEP_CONNECTED,
  MS_STEP_LAYER,
  MS_STEP_OPEN,
  MS_STEP_FAILED,
  MS_STEP_DROPPED,
  MS_STEP_PASSED_OVER
};
MS_API const char *ms_step_text(enum ms_step step);
typedef struct ms_attempt {
  unsigned number;
  size_t alternative;
  enum ms_step step;
  const char *address;
  const char *place;
  const char *layer;
  uint32_t begun_msec;
  uint32_t msec;
  const ms_error *error;
} ms_attempt;
typedef void (*ms_attempt_cb)(const ms_attempt *attempt, void *user);
enum ms_security {
  MS_SECURITY_NONE = 0,
  MS_SECURITY_SERVER,
  MS_SECURITY_KEY
};
typedef struct ms_dial_opts {
  size_t size;
  uint32_t timeout_msec;
  uint32_t stagger_msec;
  enum ms_security security;
  const char *const *prefer;
  size_t prefer_count;
  ms_dialled_cb on_dialled;
  ms_attempt_cb on_attempt;
  void *user;
  const ms_identity *identity;
  const char *local_host;
} ms_dial_opts;
MS_API int ms_dial(ms_ctx *ctx, ms_dialer **out, const char *address, const ms_dial_opts *opts, ms_error *err);
MS_API size_t ms_dial_attempts(const ms_dialer *dialer);
MS_API bool ms_dial_attempt(const ms_dialer *dialer, size_t number, ms_attempt *out);
MS_API void ms_dial_abort(ms_dialer *dialer);
typedef struct ms_conn_events {
  void (*on_readable)(ms_conn *conn, void *user);
  void (*on_end)(ms_conn *conn, void *user);
  void (*on_writable)(ms_conn *conn, void *user);
  void (*on_close)(ms_conn *conn, const ms_error *err, void *user);
} ms_conn_events;
MS_API void ms_conn_handle(ms_conn *conn, const ms_conn_events *events, void *user);
MS_API void *ms_conn_user(const ms_conn *conn);
MS_API ms_ctx *ms_conn_ctx(const ms_conn *conn);
MS_API int ms_conn_answer(ms_conn *conn, bool yes, void *auth);
MS_API size_t ms_conn_peek(const ms_conn *conn, const uint8_t **p);
MS_API void ms_conn_consume(ms_conn *conn, size_t n);
MS_API void ms_conn_need(ms_conn *conn, size_t n);
MS_API ptrdiff_t ms_conn_write(ms_conn *conn, const void *data, size_t n);
MS_API size_t ms_conn_reserve(ms_conn *conn, uint8_t **p, size_t n);
MS_API void ms_conn_commit(ms_conn *conn, size_t n);
MS_API bool ms_conn_write_blocked(const ms_conn *conn);
MS_API void ms_conn_end(ms_conn *conn);
MS_API void ms_conn_close(ms_conn *conn);
MS_API void ms_conn_fail(ms_conn *conn, const char *why);
MS_API void ms_conn_set_reset_on_shutdown(ms_conn *conn, bool whole);
MS_API void ms_conn_set_read_first(ms_conn *conn, bool read_first);
MS_API void ms_conn_abort(ms_conn *conn);
MS_API const char *ms_conn_address(const ms_conn *conn);
MS_API const uint8_t *ms_conn_key(const ms_conn *conn);
MS_API void *ms_conn_auth(const ms_conn *conn);
MS_API size_t ms_conn_local(const ms_conn *conn, char *buf, size_t size);
MS_API int ms_conn_fd(const ms_conn *conn);
MS_API uint64_t ms_conn_id(const ms_conn *conn);
MS_API bool ms_conn_half_closes(const ms_conn *conn);
MS_API const char *ms_conn_stack(const ms_conn *conn);
MS_API int ms_conn_stack_number(const ms_conn *conn);
MS_API bool ms_conn_is_server(const ms_conn *conn);
MS_API ms_conn *ms_conn_first(const ms_ctx *ctx);
MS_API ms_conn *ms_conn_next(const ms_conn *conn);
MS_API size_t ms_ctx_evict(ms_ctx *ctx, const uint8_t *key, const char *why);
MS_API void ms_conn_set_idle(ms_conn *conn, uint32_t msec);
MS_API void ms_conn_set_deadline(ms_conn *conn, uint32_t msec);
MS_API int ms_conn_set_keepalive(ms_conn *conn, uint32_t msec);
typedef struct ms_conn_stats {
  uint64_t in, out;
  uint64_t wire_in;
  uint64_t wire_out;
  uint64_t open_msec;
  uint64_t unacknowledged;
  uint64_t queued;
} ms_conn_stats;
MS_API void ms_conn_stat(const ms_conn *conn, ms_conn_stats *out);
MS_API int ms_conn_respond(ms_conn *conn, int status, const char *fields, const ms_conn_events *events, void *user);
typedef struct ms_message {
  const uint8_t *data;
  size_t length;
  uint8_t type;
  bool last;
} ms_message;
MS_API bool ms_conn_messages(const ms_conn *conn);
MS_API int ms_conn_message(const ms_conn *conn, ms_message *out);
MS_API void ms_conn_consume_message(ms_conn *conn, size_t n);
MS_API ptrdiff_t ms_conn_write_message(ms_conn *conn, const ms_message *message);
#ifdef __cplusplus
}
#endif
#endif
