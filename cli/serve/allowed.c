/* serve --allow, --allow-file, --allow-any: who may enter where a stack authenticates. */
#include <sodium.h>
#include <string.h>

#include "serve.h"

bool cli_allowed_only_own(const struct cli_allowed *a) {
  return !a->any && !a->given.count && !a->file;
}

bool cli_allowed_has(const struct cli_allowed *a, const uint8_t *key) {
  if (a->any) return true;
  if (cli_allowed_only_own(a)) return sodium_memcmp(key, a->own, MS_KEY_BYTES) == 0;
  return cli_keys_has(&a->keys, key) || cli_keys_has(&a->filed, key);
}

int cli_allowed_check(const struct cli_allowed *a, const struct cli_command *command) {
  if (!a->stay || a->file) return CLI_OK;
  return cli_usage(command, "--no-evict", "is about keys in a file: it needs --allow-file");
}

int cli_allowed_read(struct cli_allowed *a, const struct cli_command *command) {
  for (size_t i = 0; i < a->given.count; i++)
    if (!cli_keys_add(&a->keys, a->given.at[i]))
      return cli_usage(command, a->given.at[i], "is not a public key: 32 bytes of base64");
  return a->file ? cli_keys_read(&a->filed, a->file) : CLI_OK;
}

/* Those of keys that were taken out of the file, and that no --allow has. */
static size_t evict(const struct cli_allowed *a, ms_ctx *ctx, const struct cli_keys *old) {
  const uint8_t *key;
  size_t n = 0;
  for (size_t i = 0; (key = cli_keys_gone(old, &a->filed, &i));)
    if (!cli_keys_has(&a->keys, key))
      n += ms_ctx_evict(ctx, key, "its key is not allowed any more");
  return n;
}

/* A file without a key is one that is being written, or cut off: it puts nobody out. */
void cli_allowed_reload(struct cli_allowed *a, ms_ctx *ctx) {
  struct cli_keys found = {NULL, 0}, old = a->filed;
  size_t ended = 0;
  if (!a->file || cli_keys_read(&found, a->file) != CLI_OK) return;
  if (!found.count) {
    (void)cli_error("allow", a->file, "has no key: who may enter is as before");
    return;
  }
  a->filed = found;
  if (!a->stay) ended = evict(a, ctx, &old);
  cli_keys_free(&old);
  cli_note("%s: %zu key%s", a->file, found.count, cli_plural(found.count));
  if (ended)
    cli_note("%s: %zu connection%s put out: %s gone", a->file, ended, cli_plural(ended),
             ended == 1 ? "its key is" : "their keys are");
}

void cli_allowed_free(struct cli_allowed *a) {
  cli_keys_free(&a->keys);
  cli_keys_free(&a->filed);
  cli_texts_free(&a->given);
}
