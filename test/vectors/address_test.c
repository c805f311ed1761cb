/* Every row of address.json: what npm multiserver does with an address, and what ours shall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>

#include "addr/addr.h"

static const char *text(const json_t *o, const char *key) {
  return json_string_value(json_object_get(o, key));
}

/* The alternative that is dialled, as a dial by the file's stacks: the first that one understands.
 */
static const ms_alternative *chosen(const ms_addr *addr, const json_t *stacks, const char **stack) {
  for (size_t i = 0; addr && i < ms_addr_count(addr); i++)
    for (size_t j = 0; j < json_array_size(stacks); j++) {
      *stack = json_string_value(json_array_get(stacks, j));
      if (ms_addr_match(ms_addr_at(addr, i), *stack)) return ms_addr_at(addr, i);
    }
  return NULL;
}

static void check_hex(const char *id, const json_t *transform, const char *name, bool has,
                      const uint8_t *bytes) {
  const char *hex = text(transform, name);
  char ours[2 * MS_KEY_BYTES + 1];
  if (!hex) {
    if (has) fail_msg("%s: a %s that the row does not have", id, name);
    return;
  }
  if (!has) fail_msg("%s: no %s", id, name);
  sodium_bin2hex(ours, sizeof ours, bytes, MS_KEY_BYTES);
  if (strcmp(ours, hex) != 0) fail_msg("%s: %s is %s instead of %s", id, name, ours, hex);
}

static void check_text(const char *id, const char *what, const char *ours, const char *theirs) {
  if (strcmp(ours, theirs) != 0) fail_msg("%s: %s is '%s' instead of '%s'", id, what, ours, theirs);
}

/* Our host is canonical: theirs is brought to the same form. */
static void check_host(const char *id, const char *ours, const char *theirs) {
  char ipv6[128];
  size_t n = strlen(theirs);
  if (n > 2 && theirs[0] == '[') {
    theirs++;
    n -= 2;
  }
  if (ms__host_ipv6(theirs, n, ipv6, sizeof ipv6)) theirs = ipv6;
  check_text(id, "host", ours, theirs);
}

static void check_fields(const char *id, const json_t *row, const ms_alternative *a) {
  const json_t *client = json_object_get(row, "client"), *opts = json_object_get(client, "opts");
  const ms_section *s = &a->sections[0], *t = &a->sections[a->count - 1];
  const char *path = text(opts, "path"), *port = text(opts, "port");
  switch (s->kind) {
    case MS_SECTION_NET:
    case MS_SECTION_ONION:
      check_host(id, s->host, text(opts, "host"));
      assert_int_equal(s->port, json_integer_value(json_object_get(opts, "port")));
      break;
    case MS_SECTION_WS:
      check_host(id, s->host, text(opts, "hostname"));
      if (port) assert_int_equal(s->port, atoi(port));
      if (!port) assert_int_equal(s->port, s->secure ? 443 : 80);
      check_text(id, "path", *s->path ? s->path : "/", path ? path : "/");
      assert_int_equal(s->secure, strcmp(text(opts, "protocol"), "wss:") == 0);
      break;
    case MS_SECTION_UNIX:
      check_text(id, "path", s->path, path);
      break;
    default:
      fail_msg("%s: the first section is %s", id, s->name);
  }
  if (t->kind != MS_SECTION_SHS) return;
  check_hex(id, json_object_get(client, "transform"), "key", t->has_key, t->key);
  check_hex(id, json_object_get(client, "transform"), "seed", t->has_seed, t->seed);
}

static char *format(const ms_addr *addr) {
  size_t n = ms_addr_format(addr, SIZE_MAX, NULL, 0);
  char *s = malloc(n + 1);
  assert_non_null(s);
  assert_int_equal(ms_addr_format(addr, SIZE_MAX, s, n + 1), n);
  assert_int_equal(strlen(s), n);
  return s;
}

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_section(const ms_section *a, const ms_section *b) {
  return a->kind == b->kind && a->port == b->port && a->secure == b->secure &&
         a->has_key == b->has_key && a->has_seed == b->has_seed &&
         memcmp(a->key, b->key, sizeof a->key) == 0 &&
         memcmp(a->seed, b->seed, sizeof a->seed) == 0 && same_text(a->name, b->name) &&
         same_text(a->host, b->host) && same_text(a->path, b->path) &&
         same_text(a->userinfo, b->userinfo) && same_text(a->data, b->data);
}

/* parse -> format -> parse gives the same again. */
static void check_fixed_point(const char *id, const ms_addr *addr) {
  char *once = format(addr), *twice;
  ms_addr *again;
  ms_error err;
  size_t k = 0;
  if (ms_addr_parse(&again, once, strlen(once), MS_ADDR_DIAL, &err) < 0)
    fail_msg("%s: %s is not read again: %s", id, once, err.message);
  twice = format(again);
  check_text(id, "the second writing", twice, once);
  for (size_t i = 0; i < ms_addr_count(addr); i++) {
    const ms_alternative *a = ms_addr_at(addr, i), *b;
    if (!a->sections) continue;
    b = ms_addr_at(again, k++);
    assert_int_equal(a->count, b->count);
    for (size_t j = 0; j < a->count; j++)
      if (!same_section(&a->sections[j], &b->sections[j]))
        fail_msg("%s: section %zu differs after %s", id, j, once);
  }
  assert_int_equal(k, ms_addr_count(again));
  ms_addr_free(again);
  free(once);
  free(twice);
}

static void check_row(const json_t *row, const json_t *stacks) {
  const char *id = text(row, "id"), *suggest = text(row, "suggest"), *stack = NULL;
  const json_t *input = json_object_get(row, "input");
  size_t n = json_string_length(input);
  bool js_bug = json_is_true(json_object_get(row, "js_bug"));
  const ms_alternative *a;
  ms_error err = {0};
  ms_addr *addr = NULL;
  int r = ms_addr_parse(&addr, json_string_value(input), n, MS_ADDR_DIAL, &err);
  if (r < 0) {
    assert_int_equal(r, MS_EADDRESS);
    assert_int_equal(err.code, MS_EADDRESS);
    if (!err.message[0] || err.offset > n) fail_msg("%s: an error without place or cause", id);
  }
  a = chosen(addr, stacks, &stack);
  if (strcmp(suggest, "accept") == 0 && !a) fail_msg("%s: refused (%s)", id, err.message);
  if (strcmp(suggest, "refuse") == 0 && a) fail_msg("%s: accepted by %s", id, stack);
  if (strcmp(suggest, "skip-or-refuse") == 0 && a)
    assert_ptr_not_equal(a, ms_addr_at(addr, 0)); /* its first alternative is the bad one */
  if (a && !js_bug) {
    assert_string_equal(text(json_object_get(row, "client"), "stack"), stack);
    check_fields(id, row, a);
  }
  if (addr) check_fixed_point(id, addr);
  ms_addr_free(addr);
}

static void every_row_is_judged_as_suggested(void **state) {
  json_error_t problem;
  json_t *file = json_load_file(MS_TEST_DIR "/vectors/address.json", JSON_ALLOW_NUL, &problem);
  const json_t *rows;
  (void)state;
  if (!file) fail_msg("address.json: %s", problem.text);
  rows = json_object_get(file, "rows");
  assert_int_equal(json_array_size(rows), 248);
  for (size_t i = 0; i < json_array_size(rows); i++)
    check_row(json_array_get(rows, i), json_object_get(file, "stacks"));
  json_decref(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_is_judged_as_suggested)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
