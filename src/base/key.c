#include "base/key.h"

#include <sodium.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

bool ms__base64_read(uint8_t *out, size_t size, const char *text, size_t n) {
  size_t got, whole = (size + 2) / 3 * 4, bare = (size * 4 + 2) / 3;
  int variant =
      n == whole ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
  return (n == whole || n == bare) &&
         sodium_base642bin(out, size, text, n, NULL, &got, NULL, variant) == 0 && got == size;
}

bool ms__key_read(uint8_t *out, size_t size, const char *text, size_t n) {
  static const char suffix[] = ".ed25519";
  size_t k = sizeof suffix - 1;
  if (n > k && memcmp(text + n - k, suffix, k) == 0) n -= k;
  return ms__base64_read(out, size, text, n);
}

size_t ms_key_format(const uint8_t *key, char *buf, size_t size) {
  struct ms__text t;
  ms__text_init(&t, buf, size);
  ms__text_base64(&t, key, MS_KEY_BYTES);
  return t.len;
}

int ms_key_parse(uint8_t *key, const char *text, size_t length, ms_error *err) {
  uint8_t read[MS_KEY_BYTES];
  size_t at = length && *text == '@';
  if (!ms__key_read(read, sizeof read, text + at, length - at))
    return ms__error(err, MS_EINVAL, MS_PHASE_PARSE, NULL, "a key is 32 bytes of base64");
  memcpy(key, read, sizeof read);
  return 0;
}
