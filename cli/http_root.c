/* serve --http-root DIR: the files of a folder, for browsers that ask a WebSocket's port for a
 * page. GET and HEAD, no listing, nothing hidden, and no link out of the folder is followed: the
 * kernel sees to that (openat2). */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"

/* Who takes less than PACE_BYTES in PACE_MSEC is cut: bytes that drip buy no time. */
enum { PIECE = 65536, PATH_TEXT = 4096, PACE_MSEC = 30000, PACE_BYTES = 61440 };

/* ---- Which file ---- */

static const char *type_of(const char *path) {
  static const struct {
    const char *suffix, *type;
  } types[] = {
      {".html", "text/html; charset=utf-8"},
      {".htm", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".map", "application/json"},
      {".webmanifest", "application/manifest+json"},
      {".txt", "text/plain; charset=utf-8"},
      {".md", "text/markdown; charset=utf-8"},
      {".xml", "application/xml"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".jpeg", "image/jpeg"},
      {".gif", "image/gif"},
      {".webp", "image/webp"},
      {".avif", "image/avif"},
      {".ico", "image/x-icon"},
      {".woff", "font/woff"},
      {".woff2", "font/woff2"},
      {".wasm", "application/wasm"},
      {".pdf", "application/pdf"},
      {".mp3", "audio/mpeg"},
      {".ogg", "audio/ogg"},
      {".mp4", "video/mp4"},
      {".webm", "video/webm"},
  };
  const char *dot = strrchr(path, '.');
  for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
    if (strcasecmp(dot, types[i].suffix) == 0) return types[i].type;
  return "application/octet-stream";
}

static int hex(char c) {
  const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c >= 'A' ? c | 32 : c) : NULL;
  return at ? (int)(at - digits) : -1;
}

/* The path below the folder that a target means, its query cut off. False: there can be none. */
static bool read_target(const char *target, char path[PATH_TEXT]) {
  size_t n = 0;
  if (*target++ != '/') return false;
  for (; *target && *target != '?'; target++) {
    char c = *target;
    if (c == '%') {
      int high = hex(target[1]), low = high < 0 ? -1 : hex(target[2]);
      if (low < 0) return false;
      c = (char)(high << 4 | low);
      target += 2;
    }
    if (c == '\0' || n + sizeof "index.html" >= PATH_TEXT) return false;
    path[n++] = c;
  }
  path[n] = '\0';
  if (n == 0 || path[n - 1] == '/') strcpy(path + n, "index.html");
  return true;
}

/* ".git", ".env", "..": not meant for anybody; but ".well-known" is (RFC 8615). */
static bool is_hidden(const char *path) {
  for (const char *s = path; s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL)
    if (*s == '.' && strncmp(s, ".well-known/", 12) != 0) return true;
  return false;
}

static int open_below(int folder, const char *path) {
  struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

int cli_http_root_open(const char *path) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), probe;
  if (fd < 0) {
    (void)cli_error("http-root", path, "%s", strerror(errno));
    return -1;
  }
  if ((probe = open_below(fd, ".")) < 0) {
    (void)cli_error("http-root", path, "%s", strerror(errno));
    (void)close(fd);
    return -1;
  }
  (void)close(probe);
  return fd;
}

/* ---- Sending ---- */

struct page {
  ms_conn *conn; /* NULL when it is over */
  uv_loop_t *loop;
  uv_fs_t read;
  uv_timer_t pace;
  int fd; /* -1: nothing (more) to read */
  int64_t at, left;
  size_t sent, got; /* of the piece */
  size_t taken;     /* since the timer has run out last */
  bool reading;
  char piece[PIECE];
};

static void on_pace_closed(uv_handle_t *handle) {
  free(handle->data);
}

static void free_if_over(struct page *page) {
  if (page->conn || page->reading) return;
  if (page->fd >= 0) (void)close(page->fd);
  uv_close((uv_handle_t *)&page->pace, on_pace_closed);
}

static void on_pace(uv_timer_t *timer) {
  struct page *page = timer->data;
  if (page->conn && page->taken < PACE_BYTES) ms_conn_abort(page->conn);
  page->taken = 0;
}

static void send_more(struct page *page);

static void on_read(uv_fs_t *read) {
  struct page *page = read->data;
  ssize_t n = read->result;
  uv_fs_req_cleanup(read);
  page->reading = false;
  if (!page->conn) {
    free_if_over(page);
  } else if (n <= 0) { /* it has become shorter than was announced */
    ms_conn_abort(page->conn);
  } else {
    page->got = (size_t)(n < page->left ? n : page->left);
    page->at += n;
    page->left -= (int64_t)page->got;
    page->sent = 0;
    send_more(page);
  }
}

static void send_more(struct page *page) {
  if (!page->conn || page->reading) return;
  if (page->sent < page->got) {
    ptrdiff_t k = ms_conn_write(page->conn, page->piece + page->sent, page->got - page->sent);
    if (k < 0) return; /* on_close comes */
    page->sent += (size_t)k;
    page->taken += (size_t)k;
    if (page->sent < page->got) return; /* on_writable goes on */
  }
  if (page->left == 0) {
    uv_timer_stop(&page->pace); /* the drain deadline holds from now on */
    ms_conn_close(page->conn);
  } else {
    uv_buf_t buf = uv_buf_init(page->piece, sizeof page->piece);
    page->read.data = page;
    page->reading = uv_fs_read(page->loop, &page->read, page->fd, &buf, 1, page->at, on_read) == 0;
    if (!page->reading) ms_conn_abort(page->conn);
  }
}

static void on_writable(ms_conn *conn, void *user) {
  (void)conn;
  send_more(user);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct page *page = user;
  (void)conn;
  (void)err;
  page->conn = NULL;
  free_if_over(page);
}

static const ms_conn_events events = {.on_writable = on_writable, .on_close = on_close};

/* Sends `length` bytes of fd, which is taken over, behind these fields. */
static void respond(uv_loop_t *loop, ms_conn *conn, int status, const char *fields, int fd,
                    int64_t length) {
  struct page *page = calloc(1, sizeof *page);
  if (!page) {
    if (fd >= 0) (void)close(fd);
    ms_conn_abort(conn);
    return;
  }
  page->loop = loop;
  page->conn = conn;
  page->fd = fd;
  page->left = fd >= 0 ? length : 0;
  (void)uv_timer_init(loop, &page->pace);
  page->pace.data = page;
  if (ms_conn_respond(conn, status, fields, &events, page) < 0) {
    page->conn = NULL;
    free_if_over(page);
    return;
  }
  (void)uv_timer_start(&page->pace, on_pace, PACE_MSEC, PACE_MSEC);
  send_more(page);
}

/* An answer without a page. `more` are fields, or "". */
static void refuse(uv_loop_t *loop, ms_conn *conn, int status, const char *more) {
  char fields[PATH_TEXT + 128];
  (void)snprintf(fields, sizeof fields, "%sContent-Length: 0\r\n", more);
  respond(loop, conn, status, fields, -1, 0);
}

/* Is the page that the browser has still the one? */
static bool is_known(const ms_request *request, const char *etag) {
  const char *known = ms_request_field(request, "If-None-Match");
  return known && (strcmp(known, "*") == 0 || strstr(known, etag));
}

void cli_http_root(int folder, uv_loop_t *loop, ms_conn *conn, const ms_request *request) {
  const char *method = ms_request_method(request);
  bool head = strcmp(method, "HEAD") == 0;
  char path[PATH_TEXT], fields[512], etag[64];
  struct stat st;
  int fd;
  if (!head && strcmp(method, "GET") != 0) {
    refuse(loop, conn, 405, "Allow: GET, HEAD\r\n");
    return;
  }
  if (!read_target(ms_request_target(request), path) || is_hidden(path)) {
    refuse(loop, conn, 404, "");
    return;
  }
  fd = open_below(folder, path);
  if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
    bool is_folder = fd >= 0 && S_ISDIR(st.st_mode);
    const char *target = ms_request_target(request);
    char more[PATH_TEXT + 64] = "";
    size_t n = strcspn(target, "?");
    if (is_folder && strspn(target, "/") == 1 && n < PATH_TEXT) /* "//" would be another host */
      (void)snprintf(more, sizeof more, "Location: %.*s/\r\n", (int)n, target);
    if (fd >= 0) (void)close(fd);
    refuse(loop, conn, *more ? 301 : 404, more);
    return;
  }
  (void)snprintf(etag, sizeof etag, "\"%llx-%llx-%lx\"", (unsigned long long)st.st_size,
                 (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
  (void)snprintf(fields, sizeof fields,
                 "Content-Type: %s\r\nContent-Length: %lld\r\nETag: %s\r\n"
                 "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n",
                 type_of(path), (long long)st.st_size, etag);
  if (is_known(request, etag)) {
    (void)close(fd);
    (void)snprintf(fields, sizeof fields, "ETag: %s\r\nCache-Control: no-cache\r\n", etag);
    respond(loop, conn, 304, fields, -1, 0);
  } else if (head) {
    (void)close(fd);
    respond(loop, conn, 200, fields, -1, 0);
  } else {
    respond(loop, conn, 200, fields, fd, st.st_size);
  }
}
