/* Identities: made, kept in files, read from every text that is one and from none other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/identity.h"

/* RFC 8032, section 7.1, test 1. */
#define SEED64   "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define PUBLIC64 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define PRIVATE64 \
  "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="

#define NESTED                                                                          \
  "{\"a\":[{\"private\":\"x\"},\"]\"],\"b\":{},\"c\":-1.5e3,\"d\":null,\"e\":\"\\\"\"," \
  "\"private\":\"" PRIVATE64 "\",\"public\":\"" PUBLIC64 "\"}"
#define ESCAPED                                                                  \
  "{\"public\":\"11qYAYKxCrfVS\\/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\",\"private\":"  \
  "\"nWGxne\\/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL\\/tPJZAc6DuFy89" \
  "qmIyWvAhpo9wdRGg==\"}"

static void a_seed_makes_its_key(void **state) {
  uint8_t seed[MS_KEY_BYTES], key[MS_KEY_BYTES];
  ms_identity *id;
  ms_error err;
  (void)state;
  assert_int_equal(sodium_base642bin(seed, sizeof seed, SEED64 "=", strlen(SEED64) + 1, NULL, NULL,
                                     NULL, sodium_base64_VARIANT_ORIGINAL),
                   0);
  assert_int_equal(sodium_base642bin(key, sizeof key, PUBLIC64, strlen(PUBLIC64), NULL, NULL, NULL,
                                     sodium_base64_VARIANT_ORIGINAL),
                   0);
  assert_int_equal(ms_identity_from_seed(&id, seed, &err), 0);
  assert_memory_equal(ms_identity_key(id), key, sizeof key);
  ms_identity_free(id);
  ms_identity_free(NULL);
}

static void a_file_keeps_an_identity(void **state) {
  char dir[] = "/tmp/ms-identity-XXXXXX", path[64], missing[64];
  ms_identity *one, *two, *none;
  struct stat st;
  ms_error err;
  (void)state;
  assert_non_null(mkdtemp(dir));
  (void)snprintf(path, sizeof path, "%s/secret", dir);
  (void)snprintf(missing, sizeof missing, "%s/no/secret", dir);
  assert_int_equal(ms_identity_generate(&one, &err), 0);
  assert_int_equal(ms_identity_save(one, path, &err), 0);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(ms_identity_load(&two, path, &err), 0);
  assert_memory_equal(one, two, sizeof *one);

  assert_int_equal(ms_identity_save(one, path, &err), MS_ESYSTEM);
  assert_int_equal(err.sys, EEXIST);
  assert_string_equal(err.address, path);
  assert_int_equal(ms_identity_save(one, missing, &err), MS_ESYSTEM);
  assert_int_equal(err.sys, ENOENT);
  assert_int_equal(ms_identity_load(&none, missing, &err), MS_ESYSTEM);
  assert_null(none);
  assert_int_equal(err.sys, ENOENT);
  assert_string_equal(err.address, missing);
  assert_int_equal(ms_identity_load(&none, dir, NULL), MS_ESYSTEM);
  ms_identity_free(one);
  ms_identity_free(two);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(dir), 0); /* nothing is left beside it */
}

static void what_is_an_identity_is_read(void **state) {
  static const char *const texts[] = {
      "{\"public\":\"" PUBLIC64 "\",\"private\":\"" PRIVATE64 "\"}",
      "# a comment\n  # another\n{\"curve\": \"ed25519\",\r\n\t\"public\": \"" PUBLIC64
      ".ed25519\", \"private\": \"" PRIVATE64 ".ed25519\", \"id\": \"@x\"}\n# the end",
      NESTED,
      "{\"private\":\"no\",\"private\":\"" PRIVATE64 "\",\"public\":\"" PUBLIC64 "\"}",
      ESCAPED,
      "\xef\xbb\xbf{\"public\":\"" PUBLIC64 "\",\r\n\"private\":\"" PRIVATE64 "\"}\r\n",
      "\xef\xbb\xbf# a comment\r\n" NESTED,
  };
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    ms_identity *id;
    ms_error err;
    if (ms_identity_parse(&id, texts[i], strlen(texts[i]), &err) < 0)
      fail_msg("text %zu: %s", i, err.message);
    ms_identity_free(id);
  }
}

static void what_is_none_is_refused(void **state) {
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"", "line 1, column 1"},
      {"{", "line 1, column 2"},
      {"{}", "\"private\" is not 64 bytes"},
      {"\xef\xbb\xbf", "line 1, column 1"},
      {"\xef\xbb\xbf\xef\xbb\xbf{}", "line 1, column 1"},
      {"{}\xef\xbb\xbf", "line 1, column 3"},
      {"\xff\xfe{", "UTF-16"},
      {"\xfe\xff", "UTF-16"},
      {"{} x", "line 1, column 4"},
      {"{\"private\"}", "line 1, column 11"},
      {"{\"private\":}", "line 1, column 12"},
      {"{\"private\":\"" PRIVATE64 "\",}", "column"},
      {"{\"private\":\"" PRIVATE64, "column"},
      {"{\"private\":\"" PRIVATE64 "\\", "column"},
      {"#\n\n {\"a\":\n\"b\nc\"}", "line 4, column 3"},
      {"{\"a\":[[[[", "column"},
      {"{\"a\":[\"", "column"},
      {"{\"private\":64}", "\"private\" is not 64 bytes"},
      {"{\"private\":\"" PRIVATE64 "\"}", "\"public\" is not 32 bytes"},
      {"{\"private\":\"" PRIVATE64 "\",\"public\":\"" PUBLIC64 "A\"}", "\"public\" is not"},
      {"{\"curve\":\"k256\",\"private\":\"" PRIVATE64 "\",\"public\":\"" PUBLIC64 "\"}", "curve"},
      {"{\"private\":\"" PRIVATE64 "\",\"public\":\"" SEED64 "=\"}", "do not belong together"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ms_identity *id;
    ms_error err;
    assert_int_equal(ms_identity_parse(&id, cases[i].text, strlen(cases[i].text), &err), MS_EINVAL);
    assert_null(id);
    if (!strstr(err.message, cases[i].why))
      fail_msg("%s: %s instead of %s", cases[i].text, err.message, cases[i].why);
  }
}

static void a_text_may_be_cut_anywhere(void **state) {
  static const char text[] =
      "# c\n{\"curve\":\"ed25519\",\"public\":\"" PUBLIC64 "\",\"private\":\"" PRIVATE64 "\"}";
  (void)state;
  for (size_t n = 0; n + 1 < sizeof text - 1; n++) {
    char *copy = malloc(n + 1); /* so that a sanitizer sees a read beyond */
    ms_identity *id;
    assert_non_null(copy);
    memcpy(copy, text, n);
    assert_int_equal(ms_identity_parse(&id, copy, n, NULL), MS_EINVAL);
    free(copy);
  }
}

/* A write to it ends the process: it is read-only. Told by the exit of a child. */
static void an_identity_cannot_be_overwritten(void **state) {
  ms_identity *id;
  int status;
  pid_t child;
  (void)state;
  assert_int_equal(ms_identity_generate(&id, NULL), 0);
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (!freopen("/dev/null", "w", stderr)) _exit(0);
    ((volatile struct ms_identity *)id)->secret_key[0] ^= 1;
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ms_identity_free(id);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_seed_makes_its_key),
      cmocka_unit_test(a_file_keeps_an_identity),
      cmocka_unit_test(what_is_an_identity_is_read),
      cmocka_unit_test(what_is_none_is_refused),
      cmocka_unit_test(a_text_may_be_cut_anywhere),
      cmocka_unit_test(an_identity_cannot_be_overwritten),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
