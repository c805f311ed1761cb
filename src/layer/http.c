/* http: the opening handshake of WebSocket (RFC 6455, section 4) as a set-up layer.
 *
 * A request that is no upgrade is a question to the application, which has the connection for its
 * answer; for good, or until the whole of it is said and the peer may ask again (RFC 9112, section
 * 9.3). One that could have been an upgrade and is a bad one is answered here, and
 * fails. */
#include <openssl/sha.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "addr/addr.h"
#include "addr/origin.h"
#include "base/text.h"
#include "layer/forwarded.h"
#include "layer/http_head.h"
#include "layer/layer.h"

enum {
  NONCE = 16,
  KEY_TEXT = 25,    /* base64 of the nonce, and NUL */
  INTERIM_MAX = 32, /* answers before the one that counts */
  ACCEPT_TEXT = 29, /* base64 of a SHA-1, and NUL */
  SWITCHING_PROTOCOLS = 101,
  NO_CONTENT = 204,
  NOT_MODIFIED = 304,
  BAD_REQUEST = 400,
  FORBIDDEN = 403,
  NOT_FOUND = 404,
  METHOD_NOT_ALLOWED = 405,
  REQUEST_TIMEOUT = 408,
  URI_TOO_LONG = 414,
  UPGRADE_REQUIRED = 426,
  FIELDS_TOO_LARGE = 431,
  SERVER_ERROR = 500,
  UNAVAILABLE = 503
};

struct state {
  const struct ms__http_opts *opts;
  bool server, asked;              /* client: the request is out */
  uint16_t interim, interim_bytes; /* client: answers passed over, and what they took */
  bool head;                       /* server: an answer has no body */
  bool persists; /* server: the peer can tell an answer's end, and may ask again */
  bool upgrades; /* server: it has asked about an upgrade, a good one */
  struct ms__http_scan scan;
  char accept[ACCEPT_TEXT]; /* what the answer to an upgrade has to say */
  int status;               /* server: what a bad request is answered with, and a plain one */
  char why[200];
};

static int http_init(void *st, const struct ms__role *role) {
  struct state *s = st;
  s->opts = role->opts;
  s->server = role->server;
  return 0;
}

/* Base64 of the SHA-1 of the key and what the RFC appends to it. False: OpenSSL has no memory. */
static bool make_accept(char out[ACCEPT_TEXT], const char *key, size_t n) {
  static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  uint8_t text[KEY_TEXT + sizeof suffix], sum[SHA_DIGEST_LENGTH];
  memcpy(text, key, n);
  memcpy(text + n, suffix, sizeof suffix - 1);
  if (!SHA1(text, n + sizeof suffix - 1, sum)) return false;
  (void)sodium_bin2base64(out, ACCEPT_TEXT, sum, sizeof sum, sodium_base64_VARIANT_ORIGINAL);
  return true;
}

bool ms__http_ready(void) {
  char accept[ACCEPT_TEXT];
  return make_accept(accept, "", 0);
}

/* ---- The server ---- */

static int bad(struct state *s, int status, const char *why) {
  s->status = status;
  (void)snprintf(s->why, sizeof s->why, "%s", why);
  return MS_EPROTO;
}

/* A host as URLs and the Host field have it, without its port: "[::1]:80" is "::1". */
static void host_of(struct ms__slice authority, char *buf, size_t size) {
  struct ms__slice host = authority;
  const char *end;
  if (host.n && host.p[0] == '[' && (end = memchr(host.p, ']', host.n))) {
    host = (struct ms__slice){host.p + 1, (size_t)(end - host.p - 1)};
  } else if ((end = memchr(host.p, ':', host.n))) {
    host.n = (size_t)(end - host.p);
  }
  (void)snprintf(buf, size, "%.*s", (int)host.n, host.p);
}

/* An address, or a name that this host is known to have. A name of somebody else's may have been
 * made to mean this host, so that a page of theirs counts as one of ours (DNS rebinding). */
static bool is_own_host(const struct state *s, struct ms__slice authority) {
  char host[256];
  if (authority.n == 0 || authority.n >= sizeof host) return false;
  host_of(authority, host, sizeof host);
  if (*s->opts->name && ms__slice_is(&(struct ms__slice){host, strlen(host)}, s->opts->name))
    return true;
  return (*host && ms__host_is_loopback_name(host)) || ms__host_is_address(host);
}

static bool is_listed(const struct ms__http_opts *o, const struct ms__slice *origin) {
  char page[MS__ORIGIN_MAX];
  if (o->origins_count == 0 || ms__origin_parse(page, origin->p, origin->n)) return false;
  for (size_t i = 0; i < o->origins_count; i++)
    if (strcmp(page, o->origins[i]) == 0) return true;
  return false;
}

static bool may_enter(const struct state *s, const struct ms__http_head *head) {
  const struct ms__slice *origin = ms__http_field(head, "Origin", NULL), *host;
  struct ms__slice page;
  const char *slashes;
  if (!origin || s->opts->any_origin || is_listed(s->opts, origin)) return true;
  host = ms__http_host(head, NULL);
  slashes = origin->n > 3 ? memchr(origin->p, ':', origin->n - 3) : NULL;
  if (!slashes || memcmp(slashes, "://", 3) != 0) return false; /* "null" is no host either */
  page.p = slashes + 3;
  page.n = (size_t)(origin->p + origin->n - page.p);
  return host && page.n == host->n && strncasecmp(page.p, host->p, page.n) == 0 &&
         is_own_host(s, page);
}

static bool is_served(const struct state *s, const struct ms__http_head *head) {
  return *s->opts->path ? ms__http_asks_for(head, s->opts->path) : head->path.n > 0;
}

/* Is it a good upgrade? The key, or NULL with `result` set. */
static const struct ms__slice *check_upgrade(struct state *s, const struct ms__http_head *head,
                                             int *result) {
  const struct ms__slice *key, *version;
  uint8_t nonce[NONCE];
  size_t n = 0;
  bool twice;
  *result = 0;
  key = ms__http_field(head, "Sec-WebSocket-Key", &twice);
  version = ms__http_field(head, "Sec-WebSocket-Version", NULL);
  if (!is_served(s, head)) {
    *result = bad(s, NOT_FOUND, "a WebSocket on a path that is not served");
  } else if (!ms__slice_is(&head->method, "GET")) {
    *result = bad(s, METHOD_NOT_ALLOWED, "an upgrade that is no GET");
  } else if (!version || !ms__slice_is(version, "13")) {
    *result = bad(s, UPGRADE_REQUIRED, "a version of WebSocket other than 13");
  } else if (!ms__http_has_token(head, "Connection", "Upgrade")) {
    *result = bad(s, BAD_REQUEST, "an upgrade without 'Connection: Upgrade'");
  } else if (head->body) {
    *result = bad(s, BAD_REQUEST, "an upgrade with a body");
  } else if (!key || twice ||
             sodium_base642bin(nonce, sizeof nonce, key->p, key->n, NULL, &n, NULL,
                               sodium_base64_VARIANT_ORIGINAL) != 0 ||
             n != sizeof nonce || key->n != KEY_TEXT - 1) {
    *result = bad(s, BAD_REQUEST, "a Sec-WebSocket-Key that is not 16 bytes of base64, once");
  } else if (!may_enter(s, head)) {
    *result = bad(s, FORBIDDEN, "a page of a foreign origin");
  }
  return *result ? NULL : key;
}

/* Names the origin that was kept out: the operator may want to let it in. */
static void name_origin(struct state *s, const struct ms__http_head *head) {
  const struct ms__slice *origin = ms__http_field(head, "Origin", NULL);
  if (s->status != FORBIDDEN || !origin) return;
  (void)snprintf(s->why, sizeof s->why, "a page of %.*s, which is not allowed",
                 (int)(origin->n < 120 ? origin->n : 120), origin->p);
}

/* Who is behind the one that asks, where that one is believed: NULL, or why that is not known. A
 * request for a page may be the front's own, to see whether we live. */
static const char *find_peer(const struct state *s, const struct ms__http_head *head) {
  const struct ms__http_opts *o = s->opts;
  unsigned says = o->peer ? ms__fronts_say(o->fronts, o->fronts_count, o->peer) : 0;
  if (!(says & ~(unsigned)MS__FRONT_PROXY)) return NULL;
  return ms__forwarded(head, o->fronts, o->fronts_count, o->peer);
}

static int grant(const struct state *s, struct ms__port *p) {
  struct ms__text t;
  ms__text_init(&t, (char *)p->wire_out.p, p->wire_out.n);
  ms__text_string(&t,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
  ms__text_string(&t, s->accept);
  ms__text_string(&t, "\r\n\r\n");
  ms__fill(&p->wire_out, t.len);
  return MS__UNLINK;
}

static const char crowded[] = "the head of a request has more than 100 fields";
_Static_assert(MS__HTTP_FIELDS_MAX == 100, "the sentence is true");

/* Of what is never whole: is it the first line that does not end? */
static int too_long(struct state *s, const struct ms__port *p) {
  const uint8_t *line = p->wire_in.p, *end = line + MS__HTTP_HEAD_MAX; /* so much is there */
  while (line < end && (*line == '\r' || *line == '\n'))
    line++;
  if (memchr(line, '\n', (size_t)(end - line)))
    return bad(s, FIELDS_TOO_LARGE, "the head of a request has more than 16 KiB");
  return bad(s, URI_TOO_LONG, "the target of a request has more than 16 KiB");
}

/* The length of a whole head, taken apart; 0: there is more to come; or an ms_code. */
static int read_head(struct state *s, const struct ms__port *p, struct ms__http_head *head) {
  const uint8_t *in = p->wire_in.p;
  size_t have = p->wire_in.n;
  int n, status;
  if (have == s->scan.seen) return 0;
  n = ms__http_scan(&s->scan, true, in, ms__min(have, MS__HTTP_HEAD_MAX));
  if (n < 0 && have >= 4 && memcmp(in, "PROX", 4) == 0)
    return bad(s, BAD_REQUEST, "a PROXY header from what is no trusted proxy");
  if (n < 0) return bad(s, BAD_REQUEST, "no HTTP request");
  if (n == 0 && have >= MS__HTTP_HEAD_MAX) return too_long(s, p);
  if (n == 0) return 0;
  status = ms__http_parse(head, true, in, (size_t)n);
  if (status == FIELDS_TOO_LARGE) return bad(s, status, crowded);
  return status ? bad(s, status, "the head of a request is malformed") : n;
}

static int serve(struct state *s, struct ms__port *p) {
  const struct ms__slice *key, *host;
  const char *suppressed;
  struct ms__http_head head;
  bool twice;
  int n = read_head(s, p, &head), r;
  if (n <= 0) return n < 0 ? n : MS__MORE;
  host = ms__http_host(&head, &twice);
  if (head.major != 1) return bad(s, BAD_REQUEST, "no HTTP/1.1 request");
  if ((!host && head.minor >= 1) || twice)
    return bad(s, BAD_REQUEST, "a request that does not name one host");
  suppressed = find_peer(s, &head);
  if (head.minor < 1 || !ms__http_has_token(&head, "Upgrade", "websocket")) {
    p->question.kind = MS__ASK_HEAD;
    p->question.data = p->wire_in.p;
    p->question.len = (uint32_t)n;
    s->status = is_served(s, &head) ? UPGRADE_REQUIRED : NOT_FOUND;
    s->head = ms__slice_is(&head.method, "HEAD");
    s->persists =
        head.minor >= 1 && !head.body && !ms__http_has_token(&head, "Connection", "close");
    ms__skip(&p->wire_in, (size_t)n);
    return MS__ASK;
  }
  if (suppressed) return bad(s, BAD_REQUEST, suppressed);
  if (!(key = check_upgrade(s, &head, &r))) {
    name_origin(s, &head);
    return r;
  }
  if (!make_accept(s->accept, key->p, key->n))
    return bad(s, SERVER_ERROR, "there is no memory for SHA-1");
  ms__skip(&p->wire_in, (size_t)n);
  if (!s->opts->asks) return grant(s, p);
  s->upgrades = true;
  p->question = (struct ms__question){.kind = MS__ASK_UPGRADE};
  return MS__ASK;
}

/* A status line, and the fields that every answer has but one to an upgrade. `keep`: NULL, or the
 * application's answer that another request may follow. */
static void begin_answer(struct ms__text *t, int status, const struct ms__answer *keep) {
  ms__text_string(t, "HTTP/1.1 ");
  ms__text_uint(t, (unsigned long)status);
  ms__text_char(t, ' ');
  ms__text_string(t, ms__http_reason(status));
  if (!keep) {
    ms__text_string(t, "\r\nConnection: close\r\n");
    return;
  }
  ms__text_string(t, "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=");
  ms__text_uint(t, keep->keep_sec);
  ms__text_string(t, "\r\n");
}

/* An answer of ours, whose body is its reason. */
static void write_plain(struct ms__text *t, int status, bool head, const struct ms__answer *keep) {
  const char *reason = ms__http_reason(status);
  begin_answer(t, status, keep);
  if (status == UPGRADE_REQUIRED)
    ms__text_string(t, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  if (status == METHOD_NOT_ALLOWED) ms__text_string(t, "Allow: GET\r\n");
  if (status == UNAVAILABLE) ms__text_string(t, "Retry-After: 1\r\n");
  ms__text_string(t, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
  ms__text_uint(t, strlen(reason) + 1);
  ms__text_string(t, "\r\n\r\n");
  if (head) return; /* RFC 9110, section 9.3.2 */
  ms__text_string(t, reason);
  ms__text_char(t, '\n');
}

/* Does the peer know the end of an answer of these fields? Then *length bytes are to be written. */
static bool is_delimited(const struct state *s, const struct ms__answer *a, uint64_t *length) {
  *length = 0;
  if (!a->status || s->head || a->status == NO_CONTENT || a->status == NOT_MODIFIED) return true;
  return a->head && ms__http_length(a->head, length);
}

/* A no is the application's doing and none of the peer's: hence the code. */
static int answer_upgrade(struct state *s, struct ms__port *p, bool yes) {
  if (yes) return grant(s, p);
  (void)bad(s, UNAVAILABLE, "a WebSocket that is one too many");
  return MS_EABORTED;
}

static int http_answer(void *st, struct ms__port *p, const struct ms__answer *a) {
  struct state *s = st;
  const struct ms__answer *keep =
      a->keep && s->persists && is_delimited(s, a, &p->length) ? a : NULL;
  struct ms__text t;
  if (s->upgrades) return answer_upgrade(s, p, a->yes);
  ms__text_init(&t, (char *)p->wire_out.p, p->wire_out.n);
  if (a->status) {
    begin_answer(&t, a->status, keep);
    ms__text_string(&t, a->head ? a->head : "");
    ms__text_string(&t, "\r\n");
  } else {
    write_plain(&t, s->status, s->head, keep);
  }
  if (t.len >= p->wire_out.n) return bad(s, SERVER_ERROR, "the head of the answer is too long");
  ms__fill(&p->wire_out, t.len);
  return keep ? MS__KEEP : MS__DETACH;
}

/* ---- The client ---- */

static int failed(struct state *s, const char *what, const struct ms__slice *name) {
  (void)snprintf(s->why, sizeof s->why, name ? "%s %.*s" : "%s", what,
                 name ? (int)(name->n < 120 ? name->n : 120) : 0, name ? name->p : "");
  return MS_EPROTO;
}

/* "user:password" as Basic credentials (RFC 7617), its percent-encoding undone. False: too long. */
static bool write_credentials(struct ms__text *t, const char *userinfo) {
  uint8_t plain[1024];
  size_t n = 0;
  const char *s = userinfo;
  for (; *s && n < sizeof plain - 1; s++) {
    size_t bin = 0;
    if (*s == '%' && s[1] && s[2] &&
        sodium_hex2bin(plain + n, 1, s + 1, 2, NULL, &bin, NULL) == 0 && bin == 1)
      s += 2;
    else
      plain[n] = (uint8_t)*s;
    n++;
  }
  if (!strchr(userinfo, ':')) plain[n++] = ':'; /* no password, not no credentials */
  ms__text_string(t, "Authorization: Basic ");
  ms__text_base64(t, plain, n);
  ms__text_string(t, "\r\n");
  sodium_memzero(plain, sizeof plain);
  return !*s;
}

static int ask(struct state *s, struct ms__port *p) {
  uint8_t nonce[NONCE];
  char key[KEY_TEXT];
  struct ms__text t;
  bool fits;
  randombytes_buf(nonce, sizeof nonce);
  (void)sodium_bin2base64(key, sizeof key, nonce, sizeof nonce, sodium_base64_VARIANT_ORIGINAL);
  if (!make_accept(s->accept, key, sizeof key - 1))
    return failed(s, "there is no memory for SHA-1", NULL);
  ms__text_init(&t, (char *)p->wire_out.p, p->wire_out.n);
  ms__text_string(&t, "GET ");
  ms__text_string(&t, *s->opts->path ? s->opts->path : "/");
  ms__text_string(&t, " HTTP/1.1\r\nHost: ");
  ms__text_string(&t, s->opts->host);
  ms__text_string(&t, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
  ms__text_string(&t, key);
  ms__text_string(&t, "\r\nSec-WebSocket-Version: 13\r\n");
  fits = !s->opts->userinfo || write_credentials(&t, s->opts->userinfo);
  ms__text_string(&t, "\r\n");
  if (!fits || t.len >= p->wire_out.n)
    return failed(s, "the address is too long for a request", NULL);
  ms__fill(&p->wire_out, t.len);
  s->asked = true;
  return MS__MORE;
}

static int check_answer(struct state *s, const struct ms__http_head *head) {
  const struct ms__slice *location = ms__http_field(head, "Location", NULL), *accept;
  char status[64];
  bool twice;
  if (head->status >= 300 && head->status < 400 && location)
    return failed(s, "the server points elsewhere, which is not followed:", location);
  if (head->status != SWITCHING_PROTOCOLS) {
    (void)snprintf(status, sizeof status, "the server answers %d %s", head->status,
                   ms__http_reason(head->status));
    return failed(s, status, NULL);
  }
  accept = ms__http_field(head, "Sec-WebSocket-Accept", &twice);
  if (!ms__http_has_token(head, "Upgrade", "websocket") ||
      !ms__http_has_token(head, "Connection", "Upgrade"))
    return failed(s, "the server upgrades to something else than WebSocket", NULL);
  if (!accept || twice || accept->n != ACCEPT_TEXT - 1 ||
      memcmp(accept->p, s->accept, accept->n) != 0)
    return failed(s, "the server's Sec-WebSocket-Accept is no answer to our key", NULL);
  if (ms__http_field(head, "Sec-WebSocket-Extensions", NULL) ||
      ms__http_field(head, "Sec-WebSocket-Protocol", NULL))
    return failed(s, "the server chose an extension or a subprotocol that was not offered", NULL);
  return MS__UNLINK;
}

/* 100, 102, 103 and those to come say that the answer is still to come (RFC 9110, section 15.2). */
static bool is_interim(const struct ms__http_head *head) {
  return head->status >= 100 && head->status < 200 && head->status != SWITCHING_PROTOCOLS;
}

/* 0: none of those any more; an ms_code: more of them than anybody has use for. */
static int pass_over(struct state *s, size_t n) {
  memset(&s->scan, 0, sizeof s->scan);
  s->interim_bytes = (uint16_t)(s->interim_bytes + n);
  if (++s->interim <= INTERIM_MAX) return 0;
  return failed(s, "the server says again and again that its answer is still to come", NULL);
}

static int upgrade(struct state *s, struct ms__port *p) {
  struct ms__http_head head;
  if (!s->asked) return ask(s, p);
  for (;;) {
    size_t most = MS__HTTP_HEAD_MAX - s->interim_bytes;
    int n, r;
    if (p->wire_in.n == s->scan.seen) return MS__MORE;
    n = ms__http_scan(&s->scan, false, p->wire_in.p, ms__min(p->wire_in.n, most));
    if (n < 0) return failed(s, "the server does not speak HTTP/1.1", NULL);
    if (n == 0 && p->wire_in.n >= most)
      return failed(s, "the head of the answer has more than 16 KiB", NULL);
    if (n == 0) return MS__MORE;
    if (ms__http_parse(&head, false, p->wire_in.p, (size_t)n) != 0)
      return failed(s, "the head of the answer is malformed", NULL);
    ms__skip(&p->wire_in, (size_t)n);
    if (!is_interim(&head)) return check_answer(s, &head);
    if ((r = pass_over(s, (size_t)n)) < 0) return r;
  }
}

static int http_handshake(void *st, struct ms__port *p) {
  struct state *s = st;
  return s->server ? serve(s, p) : upgrade(s, p);
}

/* A server's last words. Where no byte of a request has come there are none. */
static int http_end(void *st, struct ms__port *p, int err) {
  struct state *s = st;
  struct ms__text t;
  int status = s->status;
  if (!s->server || (!*s->why && s->scan.seen == 0)) return MS__DONE;
  if (!*s->why) status = SERVER_ERROR;
  if (!*s->why && err == MS_ETIMEDOUT) status = REQUEST_TIMEOUT;
  if (!*s->why && err == MS_ETRUNCATED) status = BAD_REQUEST;
  ms__text_init(&t, (char *)p->wire_out.p, p->wire_out.n);
  write_plain(&t, status, s->head, NULL);
  ms__fill(&p->wire_out, ms__min(t.len, p->wire_out.n));
  return MS__DONE;
}

static void http_explain(const void *st, char *buf, size_t size) {
  (void)snprintf(buf, size, "%s", ((const struct state *)st)->why);
}

const struct ms__layer ms__http = {
    .name = "http",
    .flags = MS__SETUP,
    .state = sizeof(struct state),
    .need_in = MS__HTTP_HEAD_MAX,
    .room_down = MS__HTTP_HEAD_MAX,
    .init = http_init,
    .handshake = http_handshake,
    .answer = http_answer,
    .end = http_end,
    .explain = http_explain,
};
