/* An ADDRESS that is not on the command line, where everybody on the machine reads its seed: @FILE,
 * or "-", the first line of standard input. */
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli.h"

/* An address, its end of line and what blanks stand beside it. */
enum { GIVEN_MAX = MS_ADDRESS_MAX + 256 };

static bool has_seed(const char *text) {
  ms_addr *addr;
  bool found = false;
  if (ms_addr_parse(&addr, text, strlen(text), MS_ADDR_DIAL, NULL) < 0 &&
      ms_addr_from_legacy(&addr, text, strlen(text), NULL) < 0)
    return false;
  for (size_t i = 0; i < ms_addr_count(addr); i++)
    for (size_t j = 0; j < ms_addr_at(addr, i)->count; j++)
      found |= ms_addr_at(addr, i)->sections[j].has_seed;
  ms_addr_free(addr);
  return found;
}

/* Cuts the blanks at both ends off, in place. */
static void trim(char *text) {
  static const char blank[] = " \t\r\n";
  size_t from = strspn(text, blank), n;
  memmove(text, text + from, strlen(text + from) + 1);
  for (n = strlen(text); n && strchr(blank, text[n - 1]); n--)
    text[n - 1] = '\0';
}

/* Where there is no such file an address was meant itself, or the file lies elsewhere. What has
 * secrets in it, if it is one, is not shown. */
static int no_file(const struct cli_command *command, const char *arg, const ms_error *err) {
  char typed[CLI_TYPED], shown[CLI_TYPED + 1], meant[CLI_MEANT] = "";
  cli_typed(arg + 1, typed, sizeof typed);
  (void)snprintf(shown, sizeof shown, "@%s", typed);
  if (strchr(arg, ':')) cli_did_you_mean(arg, MS_ADDR_DIAL, meant, sizeof meant);
  return cli_error(command->name, shown, "%s: what follows @ is a file with the address in it%s",
                   err->message, meant);
}

/* One line, and no other but blank ones. */
static int check_line(const struct cli_command *command, const char *where, char *text, size_t n) {
  const char *why;
  size_t mark = ms__file_mark(text, n, &why), nul = ms__file_nul(text, n);
  char line[64];
  if (why) return cli_usage(command, where, why);
  (void)snprintf(line, sizeof line, "line %zu has a NUL byte", nul);
  if (nul) return cli_usage(command, where, line);
  memmove(text, text + mark, n -= mark);
  text[n] = '\0';
  trim(text);
  if (!*text) return cli_usage(command, where, "has no address in it");
  if (strchr(text, '\n'))
    return cli_usage(command, where, "has more than one line: join alternatives by ';'");
  return CLI_OK;
}

static int read_file(const struct cli_command *command, const char *arg, char *text) {
  const char *path = arg + 1;
  static const struct ms__file_rules rules = {.max = GIVEN_MAX - 1};
  ms_error err;
  ptrdiff_t n;
  int fd = ms__file_open(path, &rules, &err), status;
  if (fd < 0 && (err.sys == ENOENT || err.sys == ENOTDIR || err.sys == ENAMETOOLONG))
    return no_file(command, arg, &err);
  if (fd < 0) return cli_error_from(command->name, &err);
  n = ms__file_read(fd, path, text, GIVEN_MAX - 1, &err);
  status = n < 0 ? cli_error_from(command->name, &err) : check_line(command, path, text, (size_t)n);
  if (status == CLI_OK && has_seed(text) && ms__file_exposed(fd, path, &err) < 0)
    status = cli_error_from(command->name, &err);
  (void)close(fd);
  return status;
}

/* Byte by byte: what comes after the line is for the peer. */
static int read_line(const struct cli_command *command, char *text) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  size_t n = 0;
  ssize_t k;
  while (n < GIVEN_MAX - 1) {
    k = read(STDIN_FILENO, text + n, 1);
    if (k == 0 || (k > 0 && text[n] == '\n')) break;
    if (k > 0)
      n++;
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      (void)poll(&input, 1, -1);
    else if (errno != EINTR)
      return cli_error(command->name, "standard input", "cannot be read: %s", strerror(errno));
  }
  return check_line(command, "standard input", text, n);
}

int cli_address_given(const struct cli_command *command, const char *arg, char **out) {
  uint8_t key[MS_KEY_BYTES];
  bool line = strcmp(arg, "-") == 0;
  /* "@KEY.ed25519" is no file, but no address */
  bool file = *arg == '@' && ms_key_parse(key, arg, strlen(arg), NULL) < 0;
  int status = CLI_OK;
  *out = NULL;
  if (strcmp(arg, "@") == 0) return cli_usage(command, arg, "names no file");
  *out = sodium_init() < 0 ? NULL : sodium_malloc(file || line ? GIVEN_MAX : strlen(arg) + 1);
  if (!*out) return cli_error(command->name, NULL, "out of memory");
  if (line)
    status = read_line(command, *out);
  else if (file)
    status = read_file(command, arg, *out);
  else
    strcpy(*out, arg);
  if (status == CLI_OK) return CLI_OK;
  cli_address_forget(*out);
  *out = NULL;
  return status;
}

void cli_address_forget(char *text) {
  sodium_free(text); /* which wipes */
}

/* ---- As what dials it has it ---- */

int cli_read_address(const struct cli_command *command, const char *text, ms_addr **out,
                     bool *legacy) {
  ms_error err, old;
  int r = ms_addr_parse(out, text, strlen(text), MS_ADDR_DIAL, &err);
  *legacy = r < 0 && ms_addr_from_legacy(out, text, strlen(text), &old) == 0;
  if (r == 0 || *legacy) return CLI_OK;
  if (old.code == MS_EADDRESS && old.offset > err.offset) err = old; /* whose reader came further */
  (void)cli_error_typed(command->name, text, MS_ADDR_DIAL, &err);
  return err.code == MS_EADDRESS ? CLI_USAGE : CLI_FAILED;
}

bool cli_address_keyed(const ms_addr *addr) {
  for (size_t i = 0; i < ms_addr_count(addr); i++)
    for (size_t j = 0; j < ms_addr_at(addr, i)->count; j++)
      if (ms_addr_at(addr, i)->sections[j].kind == MS_SECTION_SHS) return true;
  return false;
}

char *cli_address_text(const ms_addr *addr, size_t i) {
  size_t n = ms_addr_format(addr, i, NULL, 0) + 1;
  char *text = malloc(n);
  if (text) (void)ms_addr_format(addr, i, text, n);
  return text;
}

void cli_address_free(char *text) {
  if (text) sodium_memzero(text, strlen(text));
  free(text);
}
