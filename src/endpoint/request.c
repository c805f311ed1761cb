/* Requests for pages: what http asks where no WebSocket is wanted, and the application's answer. */
#include <stdio.h>
#include <strings.h>

#include "base/mem.h"
#include "endpoint/ctx.h"
#include "layer/http_head.h"

enum {
  REQUESTS = 1000, /* of one connection */
  HEALTHY = 200,
  OVERLOADED = 503
};

struct ms_request {
  struct ms__http_head head; /* its slices point into `text`, and end in NUL there */
  const char *target;        /* in origin form */
  const char *address;
  char text[];
};

/* A blank, a colon or a line's end stands behind each that is not empty; in our own copy. */
static void end_slice(const struct ms__slice *s) {
  if (s->n) ((char *)(uintptr_t)s->p)[s->n] = '\0';
}

static const char *text_of(const struct ms__slice *s) {
  return s->n ? s->p : "";
}

/* "/path?query" where a URL was sent as well. The host moves to its left, so that it can end in NUL
 * and what follows begin with '/'. */
static const char *origin_form(struct ms__http_head *head) {
  struct ms__slice *host = &head->authority;
  char *to, *rest;
  if (!host->n) return text_of(&head->target);
  to = (char *)(uintptr_t)host->p - 2; /* the "//" */
  rest = to + 2 + host->n;
  memmove(to, host->p, host->n);
  to[host->n] = '\0';
  host->p = to;
  if (*rest != '/') *--rest = '/';
  return rest;
}

/* The head was parsed once by http: it is good. */
static ms_request *make(const ms_allocator *a, const struct ms__question *q) {
  ms_request *r = ms__calloc(a, sizeof *r + q->len + 1);
  if (!r) return NULL;
  memcpy(r->text, q->data, q->len);
  if (ms__http_parse(&r->head, true, (const uint8_t *)r->text, q->len) != 0) {
    ms__free(a, r);
    return NULL;
  }
  end_slice(&r->head.method);
  end_slice(&r->head.target);
  r->target = origin_form(&r->head);
  for (size_t i = 0; i < r->head.count; i++) {
    end_slice(&r->head.fields[i].name);
    end_slice(&r->head.fields[i].value);
  }
  return r;
}

/* ---- Answers of our own ---- */

static void on_own_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
}

static const ms_conn_events own_events = {.on_close = on_own_close};

static int respond(struct ms__session *l, int status, const char *fields, bool keep,
                   const ms_conn_events *events, void *user) {
  struct ms_ctx *ctx = l->stack->ctx;
  struct ms__answer answer = {
      .status = status,
      .head = fields,
      .keep = keep && l->requests < REQUESTS - 1 && !ctx->closing && !ctx->suspended,
      .keep_sec = ctx->loop.env.rest_msec / 1000};
  int r = ms__conn_answer(l->conn, &answer);
  if (r < 0) return r;
  l->events = events;
  l->user = user;
  l->requests++;
  if (!l->answered) {
    l->answered = true;
    ctx->pending--;
    ctx->open++;
    ctx->answered++;
  }
  ms__admission_opened(l);
  return 0;
}

static void answer_shortly(struct ms__session *l, const struct ms__http_head *head, int status,
                           const char *fields, bool keep) {
  const char *body = status == HEALTHY ? "ok\n" : "too many requests\n";
  char all[256];
  (void)snprintf(all, sizeof all,
                 "%sContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
                 "Content-Length: %zu\r\n",
                 fields, strlen(body));
  if (respond(l, status, all, keep, &own_events, NULL) < 0) return;
  if (!ms__slice_is(&head->method, "HEAD")) (void)ms_conn_write(l->conn, body, strlen(body));
  ms_conn_close(l->conn);
}

/* Is it somebody who looks whether we are well? What is behind '?' does not count. */
static bool asks_for_health(const struct ms__stack *s, const struct ms__http_head *head) {
  return s->health_path && *s->health_path &&
         (ms__slice_is(&head->method, "GET") || ms__slice_is(&head->method, "HEAD")) &&
         ms__http_asks_for(head, s->health_path);
}

/* False: it was answered, or is no more. */
static bool may_ask(struct ms__session *l, const struct ms__http_head *head) {
  enum ms__verdict verdict = ms__admission_asks(l);
  if (verdict == MS__ADMITTED) return true;
  if (verdict == MS__NO_MEMORY) {
    ms__conn_evict_for(l->conn, MS_ENOMEM, ms_code_text(MS_ENOMEM));
    ms__conn_forget_question(l->conn);
  } else {
    answer_shortly(l, head, OVERLOADED, "Retry-After: 1\r\n", verdict == MS__TOO_FAST);
  }
  return false;
}

/* ---- Questions ---- */

static void ask(struct ms__session *l, ms_request *request) {
  const struct ms__stack *s = l->stack;
  if (asks_for_health(s, &request->head)) {
    s->ctx->requests++;
    answer_shortly(l, &request->head, HEALTHY, "", true);
  } else if (!may_ask(l, &request->head)) {
    return;
  } else if (s->on_request) {
    request->address = ms_conn_address(l->conn);
    s->on_request(l->conn, request, s->request_user);
  } else { /* nobody here has pages */
    (void)ms_conn_answer(l->conn, false, NULL);
    ms_conn_close(l->conn);
  }
}

void ms__session_asked(struct ms__session *l, const struct ms__question *q) {
  const ms_allocator *a = &l->stack->ctx->allocator;
  ms_request *request = make(a, q);
  if (!request) {
    ms__conn_evict_for(l->conn, MS_ENOMEM, ms_code_text(MS_ENOMEM));
    ms__conn_forget_question(l->conn);
    return;
  }
  ask(l, request);
  ms__wipe(request->text, q->len); /* cookies, credentials */
  ms__free(a, request);
}

/* Another of the same connection's may be somebody else's, where a proxy stands in front. */
void ms__session_answered(struct ms__session *l) {
  struct ms_ctx *ctx = l->stack->ctx;
  const ms_conn_events *events = l->events;
  l->events = NULL;
  ms__admission_rests(l);
  if (events) events->on_close(l->conn, NULL, l->user);
  l->user = NULL;
  if (l->setup->fronted) {
    l->peer = l->setup->front;
    ms__free(&ctx->allocator, l->address);
    l->address = NULL;
  }
  if (ctx->closing || ctx->suspended) ms__conn_dismiss(l->conn);
}

/* ---- The public face ---- */

const char *ms_request_method(const ms_request *r) {
  return text_of(&r->head.method);
}

const char *ms_request_target(const ms_request *r) {
  return r->target;
}

const char *ms_request_address(const ms_request *r) {
  return r->address;
}

const char *ms_request_field(const ms_request *r, const char *name) {
  const struct ms__slice *value = strcasecmp(name, "Host") == 0
                                      ? ms__http_host(&r->head, NULL)
                                      : ms__http_field(&r->head, name, NULL);
  return value ? text_of(value) : NULL;
}

int ms_conn_respond(ms_conn *conn, int status, const char *fields, const ms_conn_events *events,
                    void *user) {
  struct ms__session *l = conn->owner;
  int r;
  if (status < 200 || status > 599 || !events || !events->on_close) return MS_EINVAL;
  r = respond(l, status, fields, true, events, user);
  if (r == 0) l->stack->ctx->requests++;
  return r;
}
