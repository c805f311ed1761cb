/* What keeps secrets in memory from others: those of shs lie in libsodium's guarded memory wherever
 * the library runs; the rest is the whole process's to decide, so that it is the command's. */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli.h"

/* Keys, and what a handshake needs of it: thousands of them at once. Blocks up to WIPED may have
 * been a key's text or its copies; larger ones are buffers of connections. */
enum { SECURE_HEAP = 1 << 20, SECURE_LEAST = 32, WIPED = 8192 };

static void *get(size_t n, const char *file, int line) {
  (void)file;
  (void)line;
  return malloc(n);
}

static void give_back(void *p, const char *file, int line) {
  size_t n = p ? malloc_usable_size(p) : 0;
  (void)file;
  (void)line;
  if (n && n <= WIPED) sodium_memzero(p, n);
  free(p);
}

static void *resize(void *p, size_t n, const char *file, int line) {
  size_t had = p ? malloc_usable_size(p) : 0;
  void *other;
  if (n == 0) {
    give_back(p, file, line);
    return NULL;
  }
  if (had == 0 || had > WIPED) return realloc(p, n);
  if (n <= had) return p;
  other = malloc(n);
  if (!other) return NULL;
  memcpy(other, p, had);
  give_back(p, file, line);
  return other;
}

/* Who may be dumped may write it, and nobody else. */
void cli_core_filter(const char *kinds) {
  int fd;
  (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    (void)!write(fd, kinds, strlen(kinds));
    (void)close(fd);
  }
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void cli_keep_secrets(void) {
  cli_core_filter("0"); /* OpenSSL's arithmetic keeps the primes of RSA in memory of its own */
  (void)CRYPTO_set_mem_functions(get, resize, give_back);
  (void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST);
}
