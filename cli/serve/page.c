/* The sending of files. A few readers serve all pages, one piece after the other: a page that waits
 * for its peer has no buffer, whatever it is. */
#include <stdlib.h>
#include <unistd.h>

#include "serve.h"

/* Who takes less than PACE_BYTES in PACE_MSEC is cut: bytes that drip buy no time. */
enum { PIECE = 65536, PACE_MSEC = 30000, PACE_BYTES = 61440 };

struct cli_page {
  struct cli_pages *pages;
  ms_conn *conn;         /* NULL when it is over */
  struct cli_page *next; /* with `waits` */
  uv_timer_t pace;
  int fd;
  struct cli_part left;
  size_t taken; /* since the timer has run out last */
  bool waits;   /* for a reader, or for what it reads */
};

struct cli_reader {
  struct cli_pages *pages;
  struct cli_page *page; /* NULL: it is free */
  uv_fs_t fs;
  char piece[PIECE];
};

static void on_pace_closed(uv_handle_t *handle) {
  free(handle->data);
}

static void free_if_over(struct cli_page *page) {
  if (page->conn || page->waits) return;
  (void)close(page->fd);
  uv_close((uv_handle_t *)&page->pace, on_pace_closed);
}

static void on_pace(uv_timer_t *timer) {
  struct cli_page *page = timer->data;
  if (page->conn && page->taken < PACE_BYTES) ms_conn_abort(page->conn);
  page->taken = 0;
}

/* ---- Reading ---- */

static void read_more(struct cli_pages *pages);

static void want_more(struct cli_page *page) {
  struct cli_pages *pages = page->pages;
  if (page->waits || !page->conn) return;
  page->waits = true;
  page->next = NULL;
  if (pages->last)
    pages->last->next = page;
  else
    pages->first = page;
  pages->last = page;
}

/* What was read has room: it was asked for before, and nobody else writes. */
static void write_piece(struct cli_page *page, const char *piece, ssize_t n) {
  ptrdiff_t k;
  if (n <= 0) { /* it has become shorter than was announced */
    ms_conn_abort(page->conn);
    return;
  }
  if (n > page->left.length) n = (ssize_t)page->left.length;
  k = ms_conn_write(page->conn, piece, (size_t)n);
  if (k < 0) {
    ms_conn_abort(page->conn);
    return;
  }
  page->left.at += k;
  page->left.length -= k;
  page->taken += (size_t)k;
  if (page->left.length > 0) {
    want_more(page);
    return;
  }
  uv_timer_stop(&page->pace); /* the connection's deadline holds from now on */
  ms_conn_close(page->conn);
}

static void on_read(uv_fs_t *fs) {
  struct cli_reader *reader = fs->data;
  struct cli_page *page = reader->page;
  ssize_t n = fs->result;
  uv_fs_req_cleanup(fs);
  reader->page = NULL;
  page->waits = false;
  if (page->conn) write_piece(page, reader->piece, n);
  free_if_over(page);
  read_more(reader->pages);
}

/* Where there is no room, on_writable comes when there is. */
static void start_reading(struct cli_reader *reader, struct cli_page *page) {
  uint8_t *room;
  size_t n = page->conn ? ms_conn_reserve(page->conn, &room, 1) : 0;
  uv_buf_t buf = uv_buf_init(reader->piece, (unsigned)(n < PIECE ? n : PIECE));
  if (n > 0) {
    reader->page = page;
    reader->fs.data = reader;
    if (uv_fs_read(page->pages->loop, &reader->fs, page->fd, &buf, 1, page->left.at, on_read) == 0)
      return;
    reader->page = NULL;
    ms_conn_abort(page->conn);
  } else if (page->conn && !ms_conn_write_blocked(page->conn)) {
    ms_conn_abort(page->conn); /* no memory, and nobody says when there is some */
  }
  page->waits = false;
  free_if_over(page);
}

static struct cli_reader *free_reader(const struct cli_pages *pages) {
  for (size_t i = 0; i < CLI_READERS; i++)
    if (!pages->readers[i].page) return &pages->readers[i];
  return NULL;
}

static void read_more(struct cli_pages *pages) {
  struct cli_reader *reader;
  while (pages->first && (reader = free_reader(pages))) {
    struct cli_page *page = pages->first;
    pages->first = page->next;
    if (!pages->first) pages->last = NULL;
    start_reading(reader, page);
  }
}

/* ---- A page ---- */

static void on_writable(ms_conn *conn, void *user) {
  struct cli_page *page = user;
  (void)conn;
  want_more(page);
  read_more(page->pages);
}

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  struct cli_page *page = user;
  (void)conn;
  (void)err;
  page->conn = NULL;
  free_if_over(page);
}

static const ms_conn_events events = {.on_writable = on_writable, .on_close = on_close};

void cli_page_send(struct cli_pages *pages, ms_conn *conn, int status, const char *fields, int fd,
                   const struct cli_part *part) {
  struct cli_page *page = calloc(1, sizeof *page);
  if (!page) {
    (void)close(fd);
    ms_conn_abort(conn);
    return;
  }
  page->pages = pages;
  page->conn = conn;
  page->fd = fd;
  page->left = *part;
  (void)uv_timer_init(pages->loop, &page->pace);
  page->pace.data = page;
  if (ms_conn_respond(conn, status, fields, &events, page) < 0) {
    page->conn = NULL;
    free_if_over(page);
    return;
  }
  (void)uv_timer_start(&page->pace, on_pace, PACE_MSEC, PACE_MSEC);
  want_more(page);
  read_more(pages);
}

bool cli_pages_open(struct cli_pages *pages, uv_loop_t *loop) {
  pages->loop = loop;
  pages->readers = calloc(CLI_READERS, sizeof *pages->readers);
  for (size_t i = 0; pages->readers && i < CLI_READERS; i++)
    pages->readers[i].pages = pages;
  return pages->readers != NULL;
}

void cli_pages_close(struct cli_pages *pages) {
  free(pages->readers);
  if (pages->folder >= 0) (void)close(pages->folder);
}
