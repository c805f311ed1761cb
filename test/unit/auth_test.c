/* Who gets in: answers at once, later and never; wrong keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "echo.h"

/* ---- Authorisation ---- */

static void refuse(ms_conn *conn, const ms_peer *peer, void *user) {
  struct fixture *f = user;
  assert_memory_equal(peer->key, ms_identity_key(f->client_id), MS_KEY_BYTES);
  assert_string_equal(peer->stack, "net~shs");
  assert_int_equal(ms_conn_answer(conn, false, NULL), 0);
  assert_int_equal(ms_conn_answer(conn, true, NULL), MS_ESTATE);
}

static void a_refusal_is_a_refusal_on_both_sides(void **state) {
  struct fixture f;
  struct client c = {0};
  char address[512], key[MS_KEY_TEXT];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  server.on_authorise = refuse;
  server.user = &f;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  fixture_until(&f, &f.failed, 0);
  assert_int_equal(c.error.code, MS_EREFUSED);
  assert_int_equal(c.error.phase, MS_PHASE_AUTHORISE);
  assert_string_equal(c.error.layer, "shs");
  assert_int_equal(f.failed_error.code, MS_EREFUSED);
  (void)ms_key_format(ms_identity_key(f.client_id), key,
                      sizeof key); /* who it was that was refused */
  assert_string_equal(strstr(f.failed_error.address, "~shs:") + 5, key);
  fixture_done(&f);
  assert_int_equal(c.dialled, 1);
  assert_int_equal(f.failed, 1);
}

static void without_a_callback_nobody_enters(void **state) {
  struct fixture f;
  struct client c = {0};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  server.on_authorise = NULL;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  assert_int_equal(c.error.code, MS_EREFUSED);
  fixture_done(&f);
}

static struct {
  int times;
  bool key;
  char address[256], stack[64];
} told;

static void note_and_admit(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)user;
  told.times++;
  told.key = peer->key != NULL;
  (void)snprintf(told.address, sizeof told.address, "%s", peer->address);
  (void)snprintf(told.stack, sizeof told.stack, "%s", peer->stack);
  assert_int_equal(ms_conn_answer(conn, true, NULL), 0);
}

static const char *const keyless[] = {"net", "net~noauth", "unix", "unix~noauth"};

/* Of a stack that proves no key as of any other. */
static void nobody_enters_where_nothing_is_proved_either(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof keyless / sizeof *keyless; i++)
    for (int admits = 0; admits <= 1; admits++) {
      struct fixture f;
      struct client c = {.total = 100};
      char address[512], place[256];
      const char *above = strchr(keyless[i], '~');
      ms_ctx_opts server, client;
      memset(&told, 0, sizeof told);
      begin(&f, &server, &client);
      server.on_authorise = admits ? note_and_admit : NULL;
      if (*keyless[i] == 'u')
        (void)snprintf(place, sizeof place, "unix:%s/socket%s", f.dir, above ? above : "");
      else
        (void)snprintf(place, sizeof place, "net:127.0.0.1:0%s", above ? above : "");
      serve(&f, &server, place, address, sizeof address);
      dial_with(&f, &client, keyless[i], address, &c);
      fixture_until(&f, admits ? &c.closed : &f.failed, 0);
      if (admits) {
        assert_int_equal(c.got, 100);
        assert_int_equal(told.times, 1);
        assert_false(told.key);
        assert_string_equal(told.stack, keyless[i]);
        assert_int_equal(strncmp(told.address, address, 4), 0);
      } else {
        assert_int_equal(f.failed_error.code, MS_EREFUSED);
        assert_int_equal(f.failed_error.phase, MS_PHASE_AUTHORISE);
        assert_int_equal(c.got, 0);
      }
      fixture_done(&f);
    }
}

/* Each section has a key of its own, at both ends. */
static struct {
  char keys[2][MS_KEY_TEXT];
  char address[512]; /* with the last question */
  int asked;
} twice;

static void ask_twice(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)user;
  assert_in_range(twice.asked, 0, 1);
  (void)ms_key_format(peer->key, twice.keys[twice.asked++], MS_KEY_TEXT);
  (void)snprintf(twice.address, sizeof twice.address, "%s", peer->address);
  (void)ms_conn_answer(conn, true, NULL);
}

static void two_sections_have_two_keys(void **state) {
  char address[512], base[512], seeded[1024], own[2][MS_KEY_TEXT], both[2 * MS_KEY_TEXT + 16];
  uint8_t seeds[2][MS_KEY_BYTES];
  char texts[2][MS_KEY_TEXT];
  struct client c = {.total = 100};
  ms_ctx_opts server, client;
  struct fixture f;
  ms_error err;
  char *key;
  (void)state;
  memset(&twice, 0, sizeof twice);
  begin(&f, &server, &client);
  server.on_authorise = ask_twice;
  serve(&f, &server, "net:127.0.0.1:0~shs~shs", address, sizeof address);
  for (int i = 0; i < 2; i++) {
    ms_identity *id;
    memset(seeds[i], 'a' + i, MS_KEY_BYTES);
    (void)ms_key_format(seeds[i], texts[i], MS_KEY_TEXT);
    assert_int_equal(ms_identity_from_seed(&id, seeds[i], &err), 0);
    (void)ms_key_format(ms_identity_key(id), own[i], MS_KEY_TEXT);
    ms_identity_free(id);
  }
  (void)snprintf(base, sizeof base, "%.*s", (int)(strchr(address, '~') - address), address);
  key = strrchr(address, ':') + 1;
  (void)snprintf(seeded, sizeof seeded, "%s~shs:%s:%s~shs:%s:%s", base, key, texts[0], key,
                 texts[1]);
  dial_with(&f, &client, "net~shs~shs", seeded, &c);
  fixture_until(&f, &c.closed, 0);
  if (c.error.code) fail_msg("%s", c.error.message);
  assert_int_equal(c.got, 100);
  assert_int_equal(twice.asked, 2);
  assert_string_equal(twice.keys[0], own[0]);
  assert_string_equal(twice.keys[1], own[1]);
  (void)snprintf(both, sizeof both, "~shs:%s~shs:%s", own[0], own[1]);
  assert_non_null(strstr(twice.address, both));
  assert_non_null(strstr(seen.address, both)); /* and once it is open */
  fixture_done(&f);
}

struct later {
  uv_timer_t timer;
  ms_conn *conn;
  int answered, result;
};

static struct later later;

static void on_later(uv_timer_t *timer) {
  (void)timer;
  later.result = ms_conn_answer(later.conn, true, &later);
  later.answered++;
}

static void answer_later(ms_conn *conn, const ms_peer *peer, void *user) {
  struct fixture *f = user;
  (void)peer;
  later.conn = conn;
  assert_int_equal(uv_timer_init(&f->loop, &later.timer), 0);
  assert_int_equal(uv_timer_start(&later.timer, on_later, 30, 0), 0);
}

static void an_answer_may_come_later(void **state) {
  struct fixture f;
  struct client c = {.total = 100};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  memset(&later, 0, sizeof later);
  begin(&f, &server, &client);
  server.on_authorise = answer_later;
  server.user = &f;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.closed, 0);
  assert_int_equal(c.error.code, 0);
  assert_int_equal(later.result, 0);
  assert_int_equal(c.got, 100);
  uv_close((uv_handle_t *)&later.timer, NULL);
  fixture_done(&f);
}

static void keep_question(ms_conn *conn, const ms_peer *peer, void *user) {
  (void)peer;
  (void)user;
  later.conn = conn;
}

/* The deadline passes while the application still thinks. */
static void an_answer_may_come_too_late(void **state) {
  struct fixture f;
  struct client c = {0};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  server.on_authorise = keep_question;
  server.accept_timeout_msec = 100;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  fixture_until(&f, &f.failed, 0);
  for (int i = 0; i < 5; i++)
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  assert_int_equal(ms_conn_answer(later.conn, true, NULL), MS_ESTATE);
  fixture_done(&f);
}

/* Who has to give way while the application still thinks: its question is there until answered. */
static void a_question_outlives_who_gave_way(void **state) {
  struct fixture f;
  struct client first = {0}, second = {0};
  char address[512];
  ms_ctx_opts server, client;
  ms_conn *asked;
  (void)state;
  begin(&f, &server, &client);
  server.on_authorise = keep_question;
  server.limits.handshakes = 1;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  later.conn = NULL;
  dial_with(&f, &client, "net~shs", address, &first);
  while (!later.conn)
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  asked = later.conn;
  dial_with(&f, &client, "net~shs", address, &second);
  fixture_until(&f, &first.dialled, 0);
  while (later.conn == asked)
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
  assert_int_equal(ms_conn_answer(asked, true, NULL), MS_ESTATE);
  assert_int_equal(ms_conn_answer(later.conn, true, NULL), 0);
  fixture_until(&f, &second.closed, 0);
  assert_int_equal(second.error.code, 0);
  fixture_done(&f);
}

/* A context may close on a question that nobody answers. */
static void a_question_may_stay_open(void **state) {
  struct fixture f;
  struct client c = {0};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  server.on_authorise = keep_question;
  server.accept_timeout_msec = 100;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  fixture_done(&f);
}

/* ---- Wrong keys ---- */

static void a_wrong_network_key_is_no_way_in(void **state) {
  static const uint8_t other[MS_KEY_BYTES] = {1, 2, 3};
  struct fixture f;
  struct client c = {0};
  char address[512];
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  client.network_key = other;
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  fixture_until(&f, &f.failed, 0);
  assert_true(c.error.code == MS_ETRUNCATED || c.error.code == MS_ERESET);
  assert_int_equal(f.failed_error.code, MS_ECRYPTO);
  fixture_done(&f);
}

static void a_wrong_server_key_is_no_way_in(void **state) {
  struct fixture f;
  struct client c = {0};
  char address[512], key[64];
  ms_identity *other;
  ms_ctx_opts server, client;
  (void)state;
  begin(&f, &server, &client);
  serve(&f, &server, "net:127.0.0.1:0~shs", address, sizeof address);
  assert_int_equal(ms_identity_generate(&other, NULL), 0);
  sodium_bin2base64(key, sizeof key, ms_identity_key(other), MS_KEY_BYTES,
                    sodium_base64_VARIANT_ORIGINAL);
  ms_identity_free(other);
  memcpy(strstr(address, "~shs:") + 5, key, strlen(key));
  dial_with(&f, &client, "net~shs", address, &c);
  fixture_until(&f, &c.dialled, 0);
  fixture_until(&f, &f.failed, 0);
  assert_true(c.error.code == MS_EREFUSED);
  assert_int_equal(f.failed_error.code, MS_ECRYPTO);
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_refusal_is_a_refusal_on_both_sides),
      cmocka_unit_test(without_a_callback_nobody_enters),
      cmocka_unit_test(nobody_enters_where_nothing_is_proved_either),
      cmocka_unit_test(two_sections_have_two_keys),
      cmocka_unit_test(an_answer_may_come_later),
      cmocka_unit_test(an_answer_may_come_too_late),
      cmocka_unit_test(a_question_outlives_who_gave_way),
      cmocka_unit_test(a_question_may_stay_open),
      cmocka_unit_test(a_wrong_network_key_is_no_way_in),
      cmocka_unit_test(a_wrong_server_key_is_no_way_in),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
