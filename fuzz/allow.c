/* The file of --allow-file: any bytes. What is taken is the keys that its lines name; a file with
 * an error changes nothing. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cli/cli.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint8_t mine[MS_KEY_BYTES] = {1, 2, 3};
  struct cli_keys keys = {NULL, 0};
  char path[64], text[MS_KEY_TEXT];
  int fd = memfd_create("allow", 0), status;
  REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  (void)ms_key_format(mine, text, MS_KEY_TEXT);
  REQUIRE(cli_keys_add(&keys, text));
  status = cli_keys_read(&keys, path);
  if (status != CLI_OK)
    REQUIRE(status == CLI_FAILED && keys.count == 1 && cli_keys_has(&keys, mine));
  for (size_t i = 0; i < keys.count; i++) { /* each reads as itself */
    uint8_t again[MS_KEY_BYTES];
    (void)ms_key_format(keys.at[i].bytes, text, MS_KEY_TEXT);
    REQUIRE(ms_key_parse(again, text, strlen(text), NULL) == 0 &&
            memcmp(again, keys.at[i].bytes, sizeof again) == 0);
    REQUIRE(memchr(data, '\0', size) || size >= sizeof text - 2 || status != CLI_OK);
  }
  cli_keys_free(&keys);
  (void)close(fd);
  return 0;
}
