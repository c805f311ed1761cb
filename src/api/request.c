/* Requests for pages: what http asks where no WebSocket is wanted, and the application's answer. */
#include "api/ctx.h"
#include "base/mem.h"
#include "layer/http_head.h"

struct ms_request {
  struct ms__http_head head; /* its slices point into `text`, and end in NUL there */
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

/* The head was parsed once by http: it is good. */
static ms_request *make(const ms_allocator *a, const struct ms__question *q) {
  ms_request *r = ms__calloc(a, sizeof *r + q->len + 1);
  if (!r) return NULL;
  memcpy(r->text, q->data, q->len);
  if (ms__http_parse(&r->head, true, (const uint8_t *)r->text, q->len) < 0) {
    ms__free(a, r);
    return NULL;
  }
  end_slice(&r->head.method);
  end_slice(&r->head.target);
  for (size_t i = 0; i < r->head.count; i++) {
    end_slice(&r->head.fields[i].name);
    end_slice(&r->head.fields[i].value);
  }
  return r;
}

void ms__link_asked(struct ms__link *l, const struct ms__question *q) {
  const struct ms__stack *s = l->stack;
  const ms_allocator *a = &s->ctx->allocator;
  ms_request *request;
  if (!ms__link_name(l)) {
    ms__conn_forget_question(l->conn);
    return;
  }
  request = s->on_request ? make(a, q) : NULL;
  if (request) {
    request->address = ms_conn_address(l->conn);
    s->on_request(l->conn, request, s->request_user);
    ms__wipe(request->text, q->len); /* cookies, credentials */
    ms__free(a, request);
  } else { /* nobody here has pages */
    (void)ms_conn_answer(l->conn, false, NULL);
    ms_conn_close(l->conn);
  }
}

const char *ms_request_method(const ms_request *r) {
  return text_of(&r->head.method);
}

const char *ms_request_target(const ms_request *r) {
  return text_of(&r->head.target);
}

const char *ms_request_address(const ms_request *r) {
  return r->address;
}

const char *ms_request_field(const ms_request *r, const char *name) {
  const struct ms__slice *value = ms__http_field(&r->head, name, NULL);
  return value ? text_of(value) : NULL;
}

int ms_conn_respond(ms_conn *conn, int status, const char *fields, const ms_conn_events *events,
                    void *user) {
  struct ms__answer answer = {.status = status, .head = fields};
  struct ms__link *l = conn->owner;
  const struct ms__stack *s = l->stack;
  int r;
  if (status < 200 || status > 599 || !events || !events->on_close) return MS_EINVAL;
  if ((r = ms__conn_answer(conn, &answer)) < 0) return r;
  l->events = events;
  l->user = user;
  l->answered = true;
  s->ctx->pending--;
  s->ctx->open++;
  s->ctx->answered++;
  ms__door_opened(l);
  return 0;
}
