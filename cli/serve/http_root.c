/* serve --http-root DIR: the files of a folder, for browsers that ask a WebSocket's port for a
 * page. GET and HEAD, no listing, nothing hidden, and no link out of the folder is followed: the
 * kernel sees to that (openat2). */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "serve.h"

enum { PATH_TEXT = 4096 };

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

/* ---- Answers ---- */

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn;
  (void)err;
  (void)user;
}

static const ms_conn_events events = {.on_close = on_close};

/* An answer without a body. */
static void answer(ms_conn *conn, int status, const char *fields) {
  if (ms_conn_respond(conn, status, fields, &events, NULL) == 0) ms_conn_close(conn);
}

/* An answer without a page. `more` are fields, or "". */
static void refuse(ms_conn *conn, int status, const char *more) {
  char fields[PATH_TEXT + 128];
  (void)snprintf(fields, sizeof fields, "%sContent-Length: 0\r\n", more);
  answer(conn, status, fields);
}

/* What is no file, perhaps a folder that was meant. */
static void refuse_target(ms_conn *conn, const char *target, bool is_folder) {
  char more[PATH_TEXT + 64] = "";
  size_t n = strcspn(target, "?");
  if (is_folder && strspn(target, "/") == 1 && n < PATH_TEXT) /* "//" would be another host */
    (void)snprintf(more, sizeof more, "Location: %.*s/\r\n", (int)n, target);
  refuse(conn, *more ? 301 : 404, more);
}

/* RFC 9110, section 5.6.7. */
static void format_date(time_t t, char *buf, size_t size) {
  struct tm utc;
  if (!gmtime_r(&t, &utc) || strftime(buf, size, "%a, %d %b %Y %H:%M:%S GMT", &utc) == 0)
    *buf = '\0';
}

static void describe(const struct stat *st, struct cli_file *file) {
  file->size = st->st_size;
  (void)snprintf(file->etag, sizeof file->etag, "\"%llx-%llx-%lx\"",
                 (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
                 (unsigned long)st->st_mtim.tv_nsec);
  format_date(st->st_mtim.tv_sec, file->modified, sizeof file->modified);
}

/* The file is closed. */
static void answer_file(struct cli_pages *pages, ms_conn *conn, const ms_request *request,
                        const char *type, int fd, const struct cli_file *file) {
  bool head = strcmp(ms_request_method(request), "HEAD") == 0;
  struct cli_part part;
  int status = cli_http_condition(request, file, &part);
  char common[256], fields[1024];
  (void)snprintf(common, sizeof common,
                 "ETag: %s\r\nLast-Modified: %s\r\nCache-Control: no-cache\r\n"
                 "Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n",
                 file->etag, file->modified);
  if (status == 416)
    (void)snprintf(fields, sizeof fields, "%sContent-Range: bytes */%lld\r\nContent-Length: 0\r\n",
                   common, (long long)file->size);
  else if (status == 206)
    (void)snprintf(fields, sizeof fields,
                   "%sContent-Type: %s\r\nContent-Range: bytes %lld-%lld/%lld\r\n"
                   "Content-Length: %lld\r\n",
                   common, type, (long long)part.at, (long long)(part.at + part.length - 1),
                   (long long)file->size, (long long)part.length);
  else if (status == 200)
    (void)snprintf(fields, sizeof fields, "%sContent-Type: %s\r\nContent-Length: %lld\r\n", common,
                   type, (long long)part.length);
  else
    (void)snprintf(fields, sizeof fields, "%s%s", common,
                   status == 304 ? "" : "Content-Length: 0\r\n");
  if (!head && (status == 200 || status == 206) && part.length > 0) {
    cli_page_send(pages, conn, status, fields, fd, &part);
  } else {
    (void)close(fd);
    answer(conn, status, fields);
  }
}

void cli_http_root(struct cli_pages *pages, ms_conn *conn, const ms_request *request) {
  const char *method = ms_request_method(request), *target = ms_request_target(request);
  struct cli_file file;
  char path[PATH_TEXT];
  struct stat st;
  int fd;
  if (strcmp(method, "HEAD") != 0 && strcmp(method, "GET") != 0) {
    refuse(conn, 405, "Allow: GET, HEAD\r\n");
    return;
  }
  if (!read_target(target, path) || is_hidden(path)) {
    refuse(conn, 404, "");
    return;
  }
  fd = open_below(pages->folder, path);
  if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
    describe(&st, &file);
    answer_file(pages, conn, request, type_of(path), fd, &file);
    return;
  }
  refuse_target(conn, target, fd >= 0 && S_ISDIR(st.st_mode));
  if (fd >= 0) (void)close(fd);
}
