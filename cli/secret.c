/* Identities in files, in the format of Scuttlebutt's ~/.ssb/secret. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

enum { SECRET_MAX = 65536, PATH_TEXT = 4096, SECRET_TEXT = 89 };

static const char suffix[] = ".ed25519";

/* ---- Keys as text ---- */

void cli_key_text(const uint8_t *key, char text[CLI_KEY_TEXT]) {
  (void)sodium_bin2base64(text, CLI_KEY_TEXT, key, MS_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
}

/* Exactly `size` bytes of standard base64, with or without a suffix ".ed25519". */
static bool read_base64(const char *text, uint8_t *out, size_t size) {
  size_t n = strlen(text), k = sizeof suffix - 1, got;
  if (n > k && strcmp(text + n - k, suffix) == 0) n -= k;
  return sodium_base642bin(out, size, text, n, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) ==
             0 &&
         got == size;
}

bool cli_key_read(const char *text, uint8_t key[MS_KEY_BYTES]) {
  return read_base64(*text == '@' ? text + 1 : text, key, MS_KEY_BYTES);
}

/* ---- Paths ---- */

bool cli_secret_default(char *path, size_t size) {
  const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  int n;
  if (config && *config == '/')
    n = snprintf(path, size, "%s/multiserver/secret", config);
  else if (home && *home)
    n = snprintf(path, size, "%s/.config/multiserver/secret", home);
  else
    n = -1;
  if (n > 0 && (size_t)n < size) return true;
  (void)cli_error("key", NULL, "no place for an identity: set HOME, or use --key FILE");
  return false;
}

/* Makes the folders above a file, 0700 each. */
static void make_folders(const char *path) {
  char part[PATH_TEXT];
  (void)snprintf(part, sizeof part, "%s", path);
  for (char *p = part + 1; *p; p++) {
    if (*p != '/') continue;
    *p = '\0';
    (void)mkdir(part, S_IRWXU); /* what can't be made is found out when the file is */
    *p = '/';
  }
}

/* ---- Reading ---- */

/* The whole file into `buf`. The length, or -1 after an error line. */
static ptrdiff_t read_file(const char *path, char *buf, size_t size) {
  struct stat st;
  size_t n = 0;
  ssize_t r = 1;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    (void)cli_error("key", path, "%s", strerror(errno));
    return -1;
  }
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)))
    cli_note("%s can be read by others: chmod 600 it", path);
  while (r > 0 && n < size) {
    r = read(fd, buf + n, size - n);
    if (r > 0) n += (size_t)r;
    if (r < 0 && errno == EINTR) r = 1;
  }
  if (r < 0) (void)cli_error("key", path, "%s", strerror(errno));
  (void)close(fd);
  if (r < 0) return -1;
  if (n == size) {
    (void)cli_error("key", path, "is longer than an identity can be");
    return -1;
  }
  return (ptrdiff_t)n;
}

/* Lines that begin with '#' are comments; they keep their place, so that errors name the line. */
static void blank_comments(char *s, size_t n) {
  bool comment = false, start = true;
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '\n') {
      comment = false;
      start = true;
      continue;
    }
    if (start && s[i] == '#') comment = true;
    if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r') start = false;
    if (comment) s[i] = ' ';
  }
}

static int parse(const char *path, char *text, size_t n, ms_identity *out) {
  json_error_t problem;
  json_t *root;
  const char *curve, *public, *private;
  ms_identity derived;
  int status = CLI_FAILED;
  blank_comments(text, n);
  root = json_loadb(text, n, 0, &problem);
  if (!root)
    return cli_error("key", path, "line %d, column %d: this is not JSON", problem.line,
                     problem.column); /* not its text, which quotes the file */
  curve = json_string_value(json_object_get(root, "curve"));
  public = json_string_value(json_object_get(root, "public"));
  private = json_string_value(json_object_get(root, "private"));
  if (curve && strcmp(curve, "ed25519") != 0) {
    (void)cli_error("key", path, "the curve is not ed25519");
  } else if (!private || !read_base64(private, out->secret_key, MS_SECRET_BYTES)) {
    (void)cli_error("key", path, "\"private\" is not 64 bytes of base64");
  } else if (!public || !read_base64(public, out->public_key, MS_KEY_BYTES)) {
    (void)cli_error("key", path, "\"public\" is not 32 bytes of base64");
  } else if (ms_identity_from_seed(&derived, out->secret_key) < 0 ||
             sodium_memcmp(&derived, out, sizeof derived) != 0) {
    (void)cli_error("key", path, "\"public\" and \"private\" do not belong together");
  } else {
    status = CLI_OK;
  }
  if (status != CLI_OK) ms_identity_wipe(out);
  ms_identity_wipe(&derived);
  json_decref(root);
  return status;
}

/* What jansson makes of a secret is wiped when it is freed. The size stands before the memory. */
union block {
  size_t size;
  max_align_t align;
};

static void *wiped_alloc(size_t size) {
  union block *b = malloc(sizeof *b + size);
  if (!b) return NULL;
  b->size = size;
  return b + 1;
}

static void wiped_free(void *p) {
  union block *b = p;
  if (!b) return;
  b--;
  sodium_memzero(b, sizeof *b + b->size);
  free(b);
}

int cli_secret_load(const char *path, ms_identity *out) {
  char *buf;
  ptrdiff_t n;
  int status = CLI_FAILED;
  if (sodium_init() < 0) return cli_error("key", path, "libsodium cannot start");
  json_set_alloc_funcs(wiped_alloc, wiped_free);
  buf = sodium_malloc(SECRET_MAX);
  if (!buf) {
    (void)cli_error("key", path, "out of memory");
  } else {
    n = read_file(path, buf, SECRET_MAX);
    if (n >= 0) status = parse(path, buf, (size_t)n, out);
    sodium_free(buf);
  }
  json_set_alloc_funcs(malloc, free);
  return status;
}

/* ---- Making ---- */

static bool write_identity(int fd, const ms_identity *id) {
  char public[CLI_KEY_TEXT], private[SECRET_TEXT], text[1024];
  size_t n, at = 0;
  ssize_t r = 0;
  cli_key_text(id->public_key, public);
  (void)sodium_bin2base64(private, sizeof private, id->secret_key, MS_SECRET_BYTES,
                          sodium_base64_VARIANT_ORIGINAL);
  n = (size_t)snprintf(text, sizeof text,
                       "# This is your secret: whoever has it can be you. Show it to nobody.\n"
                       "# The id at the end is public; peers know you by it.\n"
                       "{\n"
                       "  \"curve\": \"ed25519\",\n"
                       "  \"public\": \"%s.ed25519\",\n"
                       "  \"private\": \"%s.ed25519\",\n"
                       "  \"id\": \"@%s.ed25519\"\n"
                       "}\n",
                       public, private, public);
  while (at < n && (r >= 0 || errno == EINTR)) {
    r = write(fd, text + at, n - at);
    if (r > 0) at += (size_t)r;
  }
  sodium_memzero(private, sizeof private);
  sodium_memzero(text, sizeof text);
  return at == n && fsync(fd) == 0;
}

/* The file appears whole or not at all: it is written under another name and linked. */
static int write_secret(const char *path, const ms_identity *id) {
  char temporary[PATH_TEXT];
  int fd, saved = 0;
  if ((size_t)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= sizeof temporary)
    return ENAMETOOLONG;
  fd = mkstemp(temporary); /* 0600 */
  if (fd < 0) return errno;
  if (!write_identity(fd, id)) saved = errno ? errno : EIO;
  if (close(fd) < 0 && !saved) saved = errno;
  if (!saved && link(temporary, path) < 0) saved = errno;
  (void)unlink(temporary);
  return saved;
}

int cli_secret_create(const char *path, ms_identity *out, bool *existed) {
  int saved;
  if (existed) *existed = false;
  if (ms_identity_generate(out) < 0) return cli_error("key", path, "libsodium cannot start");
  make_folders(path);
  saved = write_secret(path, out);
  if (!saved) return CLI_OK;
  ms_identity_wipe(out);
  if (saved == EEXIST && existed) {
    *existed = true;
    return CLI_FAILED;
  }
  return cli_error("key", path, "%s",
                   saved == EEXIST ? "is there already and is not overwritten" : strerror(saved));
}

int cli_secret_get(const char *path, ms_identity *out) {
  char standard[PATH_TEXT], key[CLI_KEY_TEXT];
  bool existed = false;
  if (path) return cli_secret_load(path, out);
  if (!cli_secret_default(standard, sizeof standard)) return CLI_FAILED;
  if (access(standard, F_OK) == 0) return cli_secret_load(standard, out);
  if (cli_secret_create(standard, out, &existed) == CLI_OK) {
    cli_key_text(out->public_key, key);
    cli_note("made a new identity, %s, in %s", key, standard);
    return CLI_OK;
  }
  return existed ? cli_secret_load(standard, out) : CLI_FAILED;
}
