/* Requests for pages: what http asks where no WebSocket is wanted, and the application's answer. */
#include "api/ctx.h"
#include "base/mem.h"
#include "layer/http_head.h"

struct ms_request {
  struct ms__http_head head; /* its slices point into `text`, and end in NUL there */
  const char *address;
  char text[];
};

static const char *end_slice(const struct ms__slice *s) {
  /* a blank, a colon or a line's end stands behind each; our own copy */
  if (s->p) ((char *)(uintptr_t)s->p)[s->n] = '\0';
  return s->p ? s->p : "";
}

/* The head was parsed once by http: it is good. */
static ms_request *make(const ms_allocator *a, const struct ms__question *q) {
  ms_request *r = ms__calloc(a, sizeof *r + q->len + 1);
  if (!r) return NULL;
  memcpy(r->text, q->data, q->len);
  if (ms__http_parse(&r->head, true, (const uint8_t *)r->text, q->len) < 0) {
    ms__free(a, r);
    return NULL;
  }
  (void)end_slice(&r->head.method);
  (void)end_slice(&r->head.target);
  for (size_t i = 0; i < r->head.count; i++) {
    (void)end_slice(&r->head.fields[i].name);
    (void)end_slice(&r->head.fields[i].value);
  }
  return r;
}

void ms__link_asked(struct ms__link *l, const struct ms__question *q) {
  const struct ms__stack *s = l->stack;
  const ms_allocator *a = &s->ctx->allocator;
  ms_request *request = s->on_request ? make(a, q) : NULL;
  if (request) {
    request->address = ms_conn_address(l->conn);
    s->on_request(l->conn, request, s->request_user);
    ms__free(a, request);
  } else { /* nobody here has pages */
    (void)ms_conn_answer(l->conn, false, NULL);
    ms_conn_close(l->conn);
  }
}

const char *ms_request_method(const ms_request *r) {
  return r->head.method.p;
}

const char *ms_request_target(const ms_request *r) {
  return r->head.target.p ? r->head.target.p : "";
}

const char *ms_request_address(const ms_request *r) {
  return r->address;
}

const char *ms_request_field(const ms_request *r, const char *name) {
  const struct ms__slice *value = ms__http_field(&r->head, name, NULL);
  if (!value) return NULL;
  return value->p ? value->p : "";
}

int ms_conn_respond(ms_conn *conn, int status, const char *fields, const ms_conn_events *events,
                    void *user) {
  struct ms__answer answer = {.status = status, .head = fields};
  struct ms__link *l = conn->owner;
  int r;
  if (status < 200 || status > 599 || !events || !events->on_close) return MS_EINVAL;
  l->events = events;
  l->user = user;
  l->answered = true;
  r = ms__conn_answer(conn, &answer);
  if (r < 0) {
    l->events = NULL;
    l->answered = false;
  }
  return r;
}
