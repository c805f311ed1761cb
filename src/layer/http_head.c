#include "layer/http_head.h"

#include <http_parser.h>
#include <string.h>
#include <strings.h>

#include "multiserver.h"

enum { BAD_REQUEST = 400, FIELDS_TOO_LARGE = 431 };

_Static_assert(sizeof(http_parser) <= sizeof((struct ms__http_scan *)0)->parser,
               "the scan has room for http-parser's state");

enum { LENGTH_DIGITS = 18 };

/* ---- The end of a head ---- */

/* No body: what follows is another protocol's. */
static int on_headers_complete(http_parser *parser) {
  (void)parser;
  return 2;
}

static int on_message_complete(http_parser *parser) {
  *(bool *)parser->data = true;
  return 0;
}

/* A response that is no final one is over as well. */
int ms__http_scan(struct ms__http_scan *scan, bool request, const uint8_t *p, size_t n) {
  http_parser_settings settings;
  http_parser parser;
  bool whole = false;
  size_t taken;
  if (scan->seen)
    memcpy(&parser, scan->parser, sizeof parser);
  else
    http_parser_init(&parser, request ? HTTP_REQUEST : HTTP_RESPONSE);
  http_parser_settings_init(&settings);
  settings.on_headers_complete = on_headers_complete;
  settings.on_message_complete = on_message_complete;
  parser.data = &whole;
  taken = http_parser_execute(&parser, &settings, (const char *)p + scan->seen, n - scan->seen);
  if (HTTP_PARSER_ERRNO(&parser) != HPE_OK) return MS_EPROTO;
  scan->seen += taken;
  parser.data = NULL;
  memcpy(scan->parser, &parser, sizeof parser);
  if (whole) return (int)scan->seen;
  return scan->seen == n ? 0 : MS_EPROTO;
}

/* ---- Its parts ---- */

struct parsing {
  struct ms__http_head *head;
  bool in_value, many;
};

static void grow(struct ms__slice *s, const char *p, size_t n) {
  if (!s->p) s->p = p;
  s->n = (size_t)(p + n - s->p);
}

static int on_url(http_parser *parser, const char *p, size_t n) {
  struct parsing *parsing = parser->data;
  grow(&parsing->head->target, p, n);
  return 0;
}

static int on_field(http_parser *parser, const char *p, size_t n) {
  struct parsing *parsing = parser->data;
  struct ms__http_head *head = parsing->head;
  if (parsing->in_value || head->count == 0) {
    if (head->count == MS__HTTP_FIELDS_MAX) return parsing->many = true;
    memset(&head->fields[head->count++], 0, sizeof *head->fields);
  }
  parsing->in_value = false;
  grow(&head->fields[head->count - 1].name, p, n);
  return 0;
}

static int on_value(http_parser *parser, const char *p, size_t n) {
  struct parsing *parsing = parser->data;
  struct ms__http_head *head = parsing->head;
  parsing->in_value = true;
  if (head->count) grow(&head->fields[head->count - 1].value, p, n);
  return 0;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

/* http-parser takes blanks in a name, and controls. */
static bool is_name(const struct ms__slice *s) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  for (size_t i = 0; i < s->n; i++) {
    char c = s->p[i], lower = (char)(c | 32);
    if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') &&
        !memchr(others, c, sizeof others - 1))
      return false;
  }
  return s->n > 0;
}

/* A line break shows that it was folded. */
static bool is_value(const struct ms__slice *s) {
  for (size_t i = 0; i < s->n; i++)
    if (((unsigned char)s->p[i] < ' ' && s->p[i] != '\t') || s->p[i] == 0x7f) return false;
  return true;
}

static void trim(struct ms__slice *s) {
  while (s->n && is_blank(s->p[s->n - 1]))
    s->n--;
  while (s->n && is_blank(s->p[0])) {
    s->p++;
    s->n--;
  }
}

int ms__http_parse(struct ms__http_head *out, bool request, const uint8_t *p, size_t n) {
  struct parsing parsing = {.head = out};
  http_parser_settings settings;
  http_parser parser;
  http_parser_settings_init(&settings);
  settings.on_url = on_url;
  settings.on_header_field = on_field;
  settings.on_header_value = on_value;
  settings.on_headers_complete = on_headers_complete;
  http_parser_init(&parser, request ? HTTP_REQUEST : HTTP_RESPONSE);
  parser.data = &parsing;
  out->request = request;
  out->method = out->target = (struct ms__slice){NULL, 0};
  out->count = 0;
  if (http_parser_execute(&parser, &settings, (const char *)p, n) != n ||
      HTTP_PARSER_ERRNO(&parser) != HPE_OK)
    return parsing.many ? FIELDS_TOO_LARGE : BAD_REQUEST;
  if (request) {
    const char *method = (const char *)p, *end = method + n, *space;
    while (method < end && (*method == '\r' || *method == '\n')) /* RFC 9112, section 2.2 */
      method++;
    space = memchr(method, ' ', (size_t)(end - method));
    out->method = (struct ms__slice){method, space ? (size_t)(space - method) : 0};
    if (!ms__http_read_target(out)) return BAD_REQUEST;
  }
  out->status = (int)parser.status_code;
  out->major = parser.http_major;
  out->minor = parser.http_minor;
  for (size_t i = 0; i < out->count; i++) {
    trim(&out->fields[i].value);
    if (!is_name(&out->fields[i].name) || !is_value(&out->fields[i].value)) return BAD_REQUEST;
  }
  out->body = ms__http_field(out, "Transfer-Encoding", NULL) != NULL;
  for (size_t i = 0; i < out->count; i++)
    if (ms__slice_is(&out->fields[i].name, "Content-Length") &&
        !ms__slice_is(&out->fields[i].value, "0"))
      out->body = true;
  return 0;
}

/* ---- Asking ---- */

bool ms__slice_is(const struct ms__slice *s, const char *text) {
  return s->n == strlen(text) && strncasecmp(s->p ? s->p : "", text, s->n) == 0;
}

const struct ms__slice *ms__http_field(const struct ms__http_head *head, const char *name,
                                       bool *twice) {
  const struct ms__slice *found = NULL;
  if (twice) *twice = false;
  for (size_t i = 0; i < head->count; i++) {
    if (!ms__slice_is(&head->fields[i].name, name)) continue;
    if (found && twice) *twice = true;
    if (!found) found = &head->fields[i].value;
  }
  return found;
}

static bool in_list(struct ms__slice list, const char *token) {
  while (list.n) {
    const char *comma = memchr(list.p, ',', list.n);
    struct ms__slice one = {list.p, comma ? (size_t)(comma - list.p) : list.n};
    list.p += one.n + (comma ? 1 : 0);
    list.n -= one.n + (comma ? 1 : 0);
    trim(&one);
    if (ms__slice_is(&one, token)) return true;
  }
  return false;
}

bool ms__http_has_token(const struct ms__http_head *head, const char *name, const char *token) {
  for (size_t i = 0; i < head->count; i++)
    if (ms__slice_is(&head->fields[i].name, name) && in_list(head->fields[i].value, token))
      return true;
  return false;
}

bool ms__http_length(const char *fields, uint64_t *length) {
  bool found = false;
  for (const char *line = fields, *end; (end = strstr(line, "\r\n")); line = end + 2) {
    const char *colon = memchr(line, ':', (size_t)(end - line));
    struct ms__slice name = {line, colon ? (size_t)(colon - line) : 0}, value;
    if (ms__slice_is(&name, "Transfer-Encoding")) return false;
    if (!ms__slice_is(&name, "Content-Length")) continue;
    value = (struct ms__slice){colon + 1, (size_t)(end - colon - 1)};
    trim(&value);
    if (found || value.n == 0 || value.n > LENGTH_DIGITS) return false;
    found = true;
    *length = 0;
    for (size_t i = 0; i < value.n; i++) {
      if (value.p[i] < '0' || value.p[i] > '9') return false;
      *length = 10 * *length + (uint64_t)(value.p[i] - '0');
    }
  }
  return found;
}

const char *ms__http_reason(int status) {
  switch (status) {
#define REASON(number, name, text) \
  case number:                     \
    return #text;
    HTTP_STATUS_MAP(REASON)
#undef REASON
    default:
      return "";
  }
}
