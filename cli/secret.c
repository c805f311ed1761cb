/* Identities in files, in the format of Scuttlebutt's ~/.ssb/secret. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli.h"

enum { PATH_TEXT = 4096 };

/* ---- Paths ---- */

/* False: there is none. */
static bool standard_place(char *path, size_t size) {
  const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  int n = -1;
  if (config && *config == '/') /* a relative one does not count, says its specification */
    n = snprintf(path, size, "%s/multiserver/secret", config);
  else if (home && *home)
    n = snprintf(path, size, "%s/.config/multiserver/secret", home);
  return n > 0 && (size_t)n < size;
}

bool cli_secret_default(char *path, size_t size) {
  if (standard_place(path, size)) return true;
  (void)cli_error("key", NULL, "no place for an identity: set HOME, or use --key FILE");
  return false;
}

/* Why mkdir has not made what is no folder either. */
static const char *not_made(const char *path, int sys) {
  struct stat st;
  if (sys != EEXIST || lstat(path, &st) < 0) return strerror(sys);
  return S_ISLNK(st.st_mode) ? "it is a symbolic link to what is not there" : strerror(ENOTDIR);
}

/* Makes the folders above a file, 0700 each. */
static int make_folders(const char *path) {
  char part[PATH_TEXT];
  struct stat st;
  (void)snprintf(part, sizeof part, "%s", path);
  for (char *p = part + 1; *p; p++) {
    int sys = 0;
    if (*p != '/') continue;
    *p = '\0';
    if (mkdir(part, S_IRWXU) < 0) sys = errno; /* it may be there, or have come in between */
    if (sys && (stat(part, &st) < 0 || !S_ISDIR(st.st_mode)))
      return cli_error("key", part, "this folder cannot be made: %s", not_made(part, sys));
    *p = '/';
  }
  return CLI_OK;
}

/* 0: there is something; ENOENT: there is nothing; else why that can't be known. */
static int look(const char *path) {
  if (access(path, F_OK) == 0) return 0;
  return errno == ENOTDIR ? ENOENT : errno;
}

/* ---- Identities ---- */

/* " FILE", as a shell takes it; "" for the default file, which need not be named. */
static void argument(const char *path, char *buf, size_t size) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-";
  char standard[PATH_TEXT];
  bool quoted = path[strspn(path, plain)] || !*path;
  size_t n = 0;
  *buf = '\0';
  if (standard_place(standard, sizeof standard) && strcmp(path, standard) == 0) return;
  n += (size_t)snprintf(buf, size, " %s%s", *path == '-' ? "-- " : "", quoted ? "'" : "");
  for (; *path && n + 6 < size; path++) {
    if (*path == '\'') n += (size_t)snprintf(buf + n, size - n, "'\\");
    buf[n++] = *path;
    if (*path == '\'') buf[n++] = '\'';
  }
  (void)snprintf(buf + n, size - n, "%s", quoted ? "'" : "");
}

/* Is what is there a file that may be read, and no identity? */
static bool is_other(const char *path, const ms_error *err) {
  static const struct ms__file_rules rules = {.max = SIZE_MAX, .secret = true};
  int fd = err->code == MS_EINVAL ? ms__file_open(path, &rules, NULL) : -1;
  if (fd >= 0) (void)close(fd);
  return fd >= 0;
}

/* Says as well what to do where there is no identity. */
int cli_secret_load(const char *path, ms_identity **out) {
  char file[512];
  struct stat st;
  ms_error err;
  if (ms_identity_load(out, path, &err) == 0) return CLI_OK;
  argument(path, file, sizeof file);
  if (err.sys == ENOENT && lstat(path, &st) < 0)
    return cli_error("key", path, "%s; multiserver keygen%s makes an identity there", err.message,
                     file);
  if (is_other(path, &err))
    return cli_error("key", path,
                     "%s; move it away, and multiserver keygen%s makes an identity there",
                     err.message, file);
  return cli_error_from("key", &err);
}

int cli_secret_create(const char *path, ms_identity **out, bool *existed) {
  ms_error err;
  if (existed) *existed = false;
  if (ms_identity_generate(out, &err) < 0) return cli_error_from("key", &err);
  if (make_folders(path) != CLI_OK) goto out;
  if (ms_identity_save(*out, path, &err) == 0) return CLI_OK;
  if (err.sys == EEXIST && existed) {
    *existed = true;
    goto out;
  }
  (void)cli_error_from("key", &err);
out:
  ms_identity_free(*out);
  *out = NULL;
  return CLI_FAILED;
}

int cli_secret_get(const char *path, ms_identity **out) {
  char standard[PATH_TEXT], key[MS_KEY_TEXT];
  bool existed = false;
  if (path) return cli_secret_load(path, out);
  if (!cli_secret_default(standard, sizeof standard)) return CLI_FAILED;
  if (look(standard) != ENOENT) return cli_secret_load(standard, out);
  if (cli_secret_create(standard, out, &existed) == CLI_OK) {
    (void)ms_key_format(ms_identity_key(*out), key, MS_KEY_TEXT);
    cli_note("made a new identity, %s, in %s", key, standard);
    return CLI_OK;
  }
  return existed ? cli_secret_load(standard, out) : CLI_FAILED;
}

int cli_secret_find(const char *path, ms_identity **id, struct cli_me *me) {
  char standard[PATH_TEXT];
  ms_error err;
  int status = CLI_OK, sys = ENOENT;
  if (!path && standard_place(standard, sizeof standard) && (sys = look(standard)) == 0)
    path = standard;
  me->once = !path;
  if (path) {
    status = cli_secret_load(path, id);
  } else if (ms_identity_generate(id, &err) < 0) {
    status = cli_error_from("key", &err);
  } else if (sys == ENOENT) {
    cli_note("no identity yet, using one for this connection only (multiserver keygen makes one)");
  } else {
    cli_note("%s cannot be read: %s; using an identity for this connection only", standard,
             strerror(sys));
  }
  if (status == CLI_OK) memcpy(me->key, ms_identity_key(*id), MS_KEY_BYTES);
  return status;
}

bool cli_known_as(const struct cli_me *me, const ms_alternative *a, char text[MS_KEY_TEXT]) {
  ms_identity *id = NULL;
  for (size_t i = 0; i < a->count; i++) {
    if (!a->sections[i].has_seed) continue;
    *text = '\0';
    if (ms_identity_from_seed(&id, a->sections[i].seed, NULL) < 0) return true;
    (void)ms_key_format(ms_identity_key(id), text, MS_KEY_TEXT);
    ms_identity_free(id);
    return true;
  }
  (void)ms_key_format(me->key, text, MS_KEY_TEXT);
  return !me->once;
}
