/* What an application asks of, and sets on, the connections of a context. */
#include <errno.h>
#include <sodium.h>

#include "endpoint/ctx.h"

static struct ms_ctx *ctx_of(const ms_conn *conn) {
  return ms__session_of(conn)->stack->ctx;
}

/* ---- All of them ---- */

static bool is_open(const struct ms__session *l) {
  return l->conn && l->open && !l->conn->close_told;
}

static ms_conn *first_open(const struct ms__session *l) {
  while (l && !is_open(l))
    l = l->next;
  return l ? l->conn : NULL;
}

ms_conn *ms_conn_first(const ms_ctx *ctx) {
  return first_open(ctx->sessions);
}

ms_conn *ms_conn_next(const ms_conn *conn) {
  return first_open(ms__session_of(conn)->next);
}

/* Is it about to fail already, and has only what it said before to be taken? */
static bool fails(const ms_conn *conn) {
  return conn->failed || conn->aborted || conn->broken;
}

/* True: it has come as far as to prove this key, and nobody is about to judge it. */
static bool has_entered_as(const struct ms__session *l, const uint8_t *key) {
  return l->server && l->has_key && l->conn && !l->conn->close_told && !l->conn->answer_pending &&
         !fails(l->conn) && sodium_memcmp(l->key, key, MS_KEY_BYTES) == 0;
}

size_t ms_ctx_evict(ms_ctx *ctx, const uint8_t *key, const char *why) {
  size_t n = 0;
  for (struct ms__session *l = ctx->sessions; l; l = l->next) {
    if (!has_entered_as(l, key)) continue;
    if (l->open)
      ms_conn_fail(l->conn, why);
    else
      ms__conn_evict_for(l->conn, MS_EREFUSED, why);
    n++;
  }
  return n;
}

/* ---- One of them ---- */

int ms_conn_fd(const ms_conn *conn) {
  const struct ms__wire *wire = conn->wire;
  return wire && wire->ops->fd ? wire->ops->fd(wire) : -1;
}

size_t ms_conn_local(const ms_conn *conn, char *buf, size_t size) {
  const struct ms__transport *transport = ms__session_of(conn)->stack->transport;
  struct ms__place place;
  if (!conn->wire || !transport->local || !transport->local(conn->wire, &place))
    place = (struct ms__place){.transport = NULL};
  return ms__place_text(&place, buf, size);
}

void ms_conn_set_idle(ms_conn *conn, uint32_t msec) {
  struct ms_ctx *ctx = ctx_of(conn);
  if (msec == 0) msec = ms__session_of(conn)->server ? ctx->loop.env.idle_msec : UINT32_MAX;
  ms__conn_set_idle(conn, msec == UINT32_MAX ? 0 : msec, ms__ctx_now(ctx));
}

void ms_conn_set_deadline(ms_conn *conn, uint32_t msec) {
  ms__conn_set_until(conn, msec == UINT32_MAX ? MS__NEVER : ms__ctx_now(ctx_of(conn)) + msec);
}

int ms_conn_set_keepalive(ms_conn *conn, uint32_t msec) {
  struct ms__wire *wire = conn->wire;
  int r;
  if (msec == 0) return MS_EINVAL;
  if (!wire) return MS_ESTATE;
  r = wire->ops->keep ? wire->ops->keep(wire, msec) : -EOPNOTSUPP;
  return r == -EOPNOTSUPP ? MS_EINVAL : r < 0 ? MS_ESYSTEM : 0;
}
