/* WebSocket's framing: headers in and out, both roles, both as messages and as a stream, cut
 * anywhere; what a hostile peer may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layer/ws_frame.h"
#include "layer_driver.h"

enum { ROOM = 4096 };

static const struct ms__ws_opts opts = {
    .frame_max = 1 << 20, .message_max = 1 << 20, .fragments_max = 1000};

static void begin(struct driver *d, bool server, bool top) {
  driver_begin_at(d, &ms__ws, server, top, &opts);
  d->up = true;
}

static void put(struct driver *d, const void *p, size_t n) {
  bytes_add(&d->in, p, n);
  (void)driver_step(d, ROOM);
}
#define PUT(d, text) put(d, text, sizeof text - 1)

static void assert_bytes(const struct bytes *b, const void *p, size_t n) {
  assert_int_equal(b->n, n);
  if (n) assert_memory_equal(b->p, p, n);
}
#define ASSERT_BYTES(b, text) assert_bytes(b, text, sizeof text - 1)

/* What the layer has to say is written. */
static void flush(struct driver *d) {
  driver_write(d, NULL, 0, 1024);
}

static void assert_fails_with(struct driver *d, unsigned code, const char *why) {
  char text[256] = "";
  const uint8_t close[] = {0x88, 2, (uint8_t)(code >> 8), (uint8_t)code};
  assert_true(d->result < 0);
  ms__ws.explain(d->state, text, sizeof text);
  if (!strstr(text, why)) fail_msg("'%s' instead of '%s'", text, why);
  d->wire_out.n = 0;
  driver_finish(d, d->result);
  assert_bytes(&d->wire_out, close, sizeof close);
}

/* ---- Frames ---- */

static void headers_there_and_back(void **state) {
  static const uint64_t lengths[] = {
      0, 1, 125, 126, 65535, 65536, 1 << 20, (uint64_t)1 << 32, INT64_MAX};
  (void)state;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (int masked = 0; masked < 2; masked++) {
      struct ms__ws_head in, out = {MS__WS_BINARY, i % 2 == 0, masked, {1, 2, 3, 4}, lengths[i]};
      uint8_t p[MS__WS_HEAD_MAX];
      size_t n = ms__ws_head_write(&out, p);
      for (size_t k = 0; k < n; k++)
        assert_int_equal(ms__ws_head_read(&in, p, k), 0);
      assert_int_equal(ms__ws_head_read(&in, p, n), n);
      assert_true(in.length == out.length && in.fin == out.fin && in.masked == out.masked &&
                  in.opcode == out.opcode);
      if (masked) assert_memory_equal(in.mask, out.mask, 4);
    }
}

static void impossible_headers(void **state) {
  static const char *const rows[] = {
      "\xc2",
      "\xa2",
      "\x92", /* reserved bits */
      "\x83",
      "\x84",
      "\x85",
      "\x86",
      "\x87", /* reserved opcodes */
      "\x8b",
      "\x8c",
      "\x8d",
      "\x8e",
      "\x8f", /* and of control frames */
      "\x09\x01",
      "\x08\x01",
      "\x0a\x01", /* fragments of control frames */
      "\x89\x7e\x01\x01",
      "\x88\x7e\x01\x01", /* long ones */
  };
  static const uint8_t longer[][10] = {
      {0x82, 126, 0, 125}, {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, {0x82, 127, 0x80}};
  struct ms__ws_head h;
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (ms__ws_head_read(&h, (const uint8_t *)rows[i], strlen(rows[i])) != MS_EPROTO)
      fail_msg("row %zu is taken", i);
  for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
    assert_int_equal(ms__ws_head_read(&h, longer[i], sizeof longer[i]), MS_EPROTO);
}

static void masking_by_words_is_masking_by_bytes(void **state) {
  uint8_t mask[4], from[80], to[80];
  (void)state;
  randombytes_buf(mask, sizeof mask);
  randombytes_buf(from, sizeof from);
  for (size_t at = 0; at < 8; at++)
    for (size_t n = 0; n + at <= sizeof from; n++)
      for (size_t phase = 0; phase < 4; phase++) {
        ms__ws_mask(to, from + at, n, mask, phase);
        for (size_t i = 0; i < n; i++)
          assert_int_equal(to[i], from[at + i] ^ mask[(phase + i) & 3]);
      }
}

/* ---- Streams ---- */

/* What one side writes, in frames as room allows, the other reads, cut anywhere. */
static void streams_there_and_back(void **state) {
  static const size_t pieces[] = {1, 2, 7, 139, 1000, 100000};
  uint8_t data[3000];
  (void)state;
  randombytes_buf(data, sizeof data);
  for (int server = 0; server < 2; server++)
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
      struct driver from, to;
      begin(&from, server, false);
      begin(&to, !server, false);
      driver_write(&from, data, sizeof data, pieces[i] < 139 ? 139 : pieces[i]);
      assert_int_equal((from.wire_out.p[1] & 0x80) != 0, !server);
      (void)driver_feed(&to, from.wire_out.p, from.wire_out.n, pieces[i], 64);
      assert_int_equal(to.result, MS__IDLE);
      assert_bytes(&to.app_in, data, sizeof data);
      driver_end(&from);
      driver_end(&to);
    }
}

/* A mask that does not change hides nothing. */
static void masks_differ(void **state) {
  struct driver d;
  (void)state;
  begin(&d, false, false);
  for (size_t i = 0; i < 40; i++)
    driver_write(&d, (const uint8_t *)"", 1, 200);
  for (size_t i = 0; i < 40; i++)
    for (size_t j = 0; j < i; j++)
      if (memcmp(d.wire_out.p + 7 * i + 2, d.wire_out.p + 7 * j + 2, 4) == 0)
        fail_msg("frames %zu and %zu have one mask", j, i);
  driver_end(&d);
}

static void text_is_no_stream(void **state) {
  struct driver d;
  (void)state;
  begin(&d, true, false);
  PUT(&d, "\x81\x82maskhi");
  assert_fails_with(&d, MS__WS_UNACCEPTABLE, "text");
  driver_end(&d);
}

/* ---- Messages ---- */

static void messages_keep_their_type_and_end(void **state) {
  static const char wire[] =
      "\x01\x03"
      "abc"
      "\x00\x00"
      "\x89\x01p"
      "\x80\x02"
      "de"
      "\x82\x00"
      "\x02\x01x";
  static const char records[] =
      "\x03\0\0\0\x01\0abc"
      "\x02\0\0\0\x01\x01"
      "de"
      "\0\0\0\0\x02\x01"
      "\x01\0\0\0\x02\0x";
  struct driver d;
  (void)state;
  begin(&d, false, true);
  PUT(&d, wire);
  assert_int_equal(d.result, MS__MORE | MS__WANT_ENCODE);
  ASSERT_BYTES(&d.app_in, records);
  flush(&d);
  assert_int_equal(d.wire_out.n, 2 + 4 + 1); /* a masked pong */
  assert_int_equal(d.wire_out.p[0], 0x8a);
  assert_int_equal(d.wire_out.p[6] ^ d.wire_out.p[2], 'p');
  driver_end(&d);
}

static void records_become_frames(void **state) {
  static const char records[] =
      "\x03\0\0\0\x01\x01"
      "abc"
      "\x02\0\0\0\x02\0de"
      "\0\0\0\0\x02\x01"
      "\0\0\0\0\x01\x01";
  struct driver d;
  (void)state;
  begin(&d, true, true);
  driver_write(&d, (const uint8_t *)records, sizeof records - 1, 4096);
  ASSERT_BYTES(&d.wire_out,
               "\x81\x03"
               "abc"
               "\x02\x02"
               "de"
               "\x80\x00"
               "\x81\x00");
  driver_end(&d);
}

static void wrong_sequences(void **state) {
  static const struct {
    const char *wire;
    size_t n;
    unsigned code;
    const char *why;
  } rows[] = {
#define ROW(wire, code, why) {wire, sizeof wire - 1, code, why}
      ROW("\x80\x00", 1002, "continuation of nothing"),
      ROW("\x01\x01"
          "a"
          "\x81\x01"
          "b",
          1002, "inside another"),
      ROW("\x82\x81"
          "maska",
          1002, "masked"),
      ROW("\x83", 1002, "malformed"),
      ROW("\x81\x01\xff", 1007, "UTF-8"),
      ROW("\x81\x01\xc3", 1007, "UTF-8"), /* cut */
      ROW("\x01\x01\xc3\x80\x01"
          "a",
          1007, "UTF-8"),
      ROW("\x82\x7f\0\0\0\0\0\x10\0\x01", 1009, "frame is too long"),
      ROW("\x02\x01"
          "a"
          "\x80\x7f\0\0\0\0\0\x10\0\0",
          1009, "message is too long"),
      ROW("\x88\x01"
          "a",
          1002, "one byte"),
      ROW("\x88\x02\x03\xed", 1002, "impossible"), /* 1005 */
      ROW("\x88\x02\x03\xe7", 1002, "impossible"), /* 999 */
      ROW("\x88\x03\x03\xe8\xff", 1007, "reason"),
      ROW("\x88\x02\x03\xf3", 1011, "close code 1011"), /* the peer has failed */
#undef ROW
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct driver client, server;
    begin(&client, false, true);
    put(&client, rows[i].wire, rows[i].n);
    if (client.result >= 0) fail_msg("row %zu is taken: %s", i, rows[i].why);
    {
      char text[256] = "";
      ms__ws.explain(client.state, text, sizeof text);
      if (!strstr(text, rows[i].why)) fail_msg("'%s' instead of '%s'", text, rows[i].why);
      driver_finish(&client, client.result);
      assert_int_equal(client.wire_out.n, 8);
      assert_int_equal((client.wire_out.p[6] ^ client.wire_out.p[2]) << 8 |
                           (client.wire_out.p[7] ^ client.wire_out.p[3]),
                       rows[i].code);
    }
    driver_end(&client);
    begin(&server, true, true);
    put(&server,
        "\x82\x01"
        "a",
        3);
    assert_fails_with(&server, MS__WS_PROTOCOL, "not masked");
    driver_end(&server);
  }
}

static void too_many_fragments(void **state) {
  struct driver d;
  (void)state;
  begin(&d, false, true);
  PUT(&d, "\x02\x00");
  for (int i = 1; i < 1000; i++)
    PUT(&d, "\x00\x00");
  assert_int_equal(d.result, MS__MORE);
  PUT(&d, "\x00\x00");
  assert_int_equal(d.result, MS_EPROTO);
  driver_end(&d);
}

static void ends(void **state) {
  static const struct {
    const char *theirs, *ours; /* a Close, with its length in the second byte */
  } rows[] = {{"\x88\x02\x03\xe8", "\x88\x02\x03\xe8"},
              {"\x88\x05\x03\xe8"
               "bye",
               "\x88\x02\x03\xe8"},
              {"\x88\x00", "\x88\x00"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct driver d;
    begin(&d, true, true);
    { /* masked with zeros */
      uint8_t n = (uint8_t)rows[i].theirs[1], head[6] = {0x88, (uint8_t)(0x80 | n)};
      bytes_add(&d.in, head, sizeof head);
      put(&d, rows[i].theirs + 2, n);
    }
    assert_int_equal(d.result, MS__DONE);
    driver_finish(&d, 0);
    assert_bytes(&d.wire_out, rows[i].ours, 2 + (size_t)rows[i].ours[1]);
    driver_end(&d);
  }
}

/* What came of a client's Close: how it ended, in which words, and what it was answered with. */
static void assert_closes(bool top, const char *before, size_t n, const char *close, size_t close_n,
                          int result, const char *why, unsigned code) {
  for (size_t chunk = 1; chunk < 3; chunk++) {
    struct driver d;
    char text[256] = "";
    begin(&d, false, top);
    (void)driver_feed(&d, (const uint8_t *)before, n, chunk, ROOM);
    assert_true(d.result >= 0);
    (void)driver_feed(&d, (const uint8_t *)close, close_n, chunk, ROOM);
    assert_int_equal(d.result, result);
    ms__ws.explain(d.state, text, sizeof text);
    assert_string_equal(text, why);
    d.wire_out.n = 0;
    driver_finish(&d, result);
    assert_int_equal((d.wire_out.p[6] ^ d.wire_out.p[2]) << 8 | (d.wire_out.p[7] ^ d.wire_out.p[3]),
                     code);
    driver_end(&d);
  }
}
#define ASSERT_CLOSES(top, before, close, ...) \
  assert_closes(top, before, sizeof before - 1, close, sizeof close - 1, __VA_ARGS__)

static void a_close_inside_a_message_is_no_end(void **state) {
  static const char part[] =
      "\x02\x01"
      "a",
                    parts[] =
                        "\x02\x01"
                        "a\x00\x00";
  static const char why[] = "the peer has closed inside a message";
  (void)state;
  for (int top = 0; top < 2; top++) {
    ASSERT_CLOSES(top, part, "\x88\x02\x03\xe8", MS_ETRUNCATED, why, MS__WS_PROTOCOL);
    ASSERT_CLOSES(top, parts, "\x88\x00", MS_ETRUNCATED, why, MS__WS_PROTOCOL);
    /* how it says it comes first */
    ASSERT_CLOSES(top, part, "\x88\x02\x03\xe9", MS_EGONE, "the peer went away: close code 1001",
                  MS__WS_GOING_AWAY);
    ASSERT_CLOSES(top, part, "\x88\x02\x03\xf3", MS_ERESET,
                  "the peer broke it off: close code 1011", MS__WS_INTERNAL);
  }
}

/* Inside a frame it is a part of the payload: the frame is not over when the transport is. */
static void a_close_inside_a_frame_is_payload(void **state) {
  struct driver d;
  (void)state;
  begin(&d, false, false);
  PUT(&d,
      "\x82\x05"
      "a\x88\x02\x03");
  assert_int_equal(d.result, MS__MORE);
  ASSERT_BYTES(&d.app_in, "a\x88\x02\x03");
  driver_end(&d);
}

static void who_leaves_says_why(void **state) {
  (void)state;
  ASSERT_CLOSES(true, "", "\x88\x02\x03\xe9", MS_EGONE, "the peer went away: close code 1001",
                MS__WS_GOING_AWAY);
  ASSERT_CLOSES(true, "",
                "\x88\x06\x0b\xb8"
                "done",
                MS_ERESET, "the peer broke it off: close code 3000: done", 3000);
  ASSERT_CLOSES(true, "",
                "\x88\x0d\x03\xf3"
                "a\x1b[2J\xe2\x80\xae\xc2\x9b"
                "b",
                MS_ERESET, "the peer broke it off: close code 1011: a?[2J\xe2\x80\xae?b",
                MS__WS_INTERNAL);
  /* the longest, in words of its own; and all controls there are */
  ASSERT_CLOSES(true, "",
                "\x88\x7d\x03\xf3"
                "\xd1\x81\xd0\xb5\xd1\x80\xd0\xb2\xd0\xb5\xd1\x80 \xe2\x9c\x97 \xf0\x9f\x90\x9f "
                "123456789012345678901234567890123456789012345678901234567890123456789012345678"
                "901234567890123456789\xc2\xa0",
                MS_ERESET,
                "the peer broke it off: close code 1011: "
                "\xd1\x81\xd0\xb5\xd1\x80\xd0\xb2\xd0\xb5\xd1\x80 \xe2\x9c\x97 \xf0\x9f\x90\x9f "
                "123456789012345678901234567890123456789012345678901234567890123456789012345678"
                "901234567890123456789\xc2\xa0",
                MS__WS_INTERNAL);
  ASSERT_CLOSES(false, "",
                "\x88\x15\x03\xe9"
                "a\x00\t\n\r\x1f\x7f\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0\xc3\x80z ",
                MS_EGONE,
                "the peer went away: close code 1001: a?\?\?\?\?\?\?\?\?\xc2\xa0\xc3\x80z ",
                MS__WS_GOING_AWAY);
  ASSERT_CLOSES(true,
                "\x02\x01"
                "a",
                "\x88\x06\x03\xe8"
                "full",
                MS_ETRUNCATED, "the peer has closed inside a message: full", MS__WS_PROTOCOL);
}

/* Its reason has the place of what was to be answered. */
static void nothing_is_answered_after_a_close(void **state) {
  struct driver d;
  uint8_t close[2 + MS__WS_CONTROL_MAX];
  (void)state;
  memset(close, 'r', sizeof close);
  memcpy(close, "\x88\x7d\x03\xe8", 4);
  begin(&d, false, true);
  bytes_add(&d.in, "\x89\x01p", 3);
  put(&d, close, sizeof close);
  assert_int_equal(d.result, MS__DONE | MS__WANT_ENCODE);
  flush(&d);
  assert_int_equal(d.wire_out.n, 0);
  driver_end(&d);
}

static void our_end_and_our_failure(void **state) {
  struct driver d;
  (void)state;
  begin(&d, true, true);
  driver_finish(&d, 0);
  ASSERT_BYTES(&d.wire_out, "\x88\x02\x03\xe8");
  driver_end(&d);
  begin(&d, true, true);
  driver_finish(&d, MS_ENOMEM); /* of a layer above */
  ASSERT_BYTES(&d.wire_out, "\x88\x02\x03\xf3");
  driver_end(&d);
}

/* More pings than there is room for: the last is answered at any rate. */
static void a_flood_of_pings(void **state) {
  struct driver d;
  (void)state;
  begin(&d, false, true);
  for (int i = 0; i < 100; i++) {
    char ping[12];
    (void)snprintf(ping, sizeof ping, "\x89\x04%04d", i);
    bytes_add(&d.in, ping, 6);
  }
  (void)driver_step(&d, ROOM);
  assert_int_equal(d.result, MS__IDLE | MS__WANT_ENCODE);
  flush(&d);
  assert_true(d.wire_out.n < 1000 && d.wire_out.n > 10);
  {
    const uint8_t *last = d.wire_out.p + d.wire_out.n - 4, *mask = last - 4;
    char text[5] = "";
    for (int i = 0; i < 4; i++)
      text[i] = (char)(last[i] ^ mask[i]);
    assert_string_equal(text, "0099");
  }
  driver_end(&d);
}

/* ---- Keepalive ---- */

static int tick(struct driver *d, uint64_t now, bool unread, uint64_t *wake) {
  struct ms__port p = {.now = now, .wake = MS__NEVER, .unread = unread};
  int r = ms__ws.tick(d->state, &p);
  *wake = p.wake;
  return r;
}

static void a_silent_peer_is_asked_then_gone(void **state) {
  static const struct ms__ws_opts pinging = {100, 1000, 1000, 10, false};
  struct driver d;
  uint64_t wake;
  (void)state;
  driver_begin_at(&d, &ms__ws, true, true, &pinging);
  d.up = true;
  assert_int_equal(tick(&d, 0, true, &wake), MS__WANT_ENCODE); /* we do not read, and say so */
  flush(&d);
  ASSERT_BYTES(&d.wire_out, "\x8a\x00");
  d.wire_out.n = 0;
  assert_int_equal(tick(&d, 100, false, &wake), MS__IDLE);
  assert_int_equal(tick(&d, 200, false, &wake), MS__IDLE | MS__WANT_ENCODE);
  assert_int_equal(wake, 300);
  flush(&d);
  ASSERT_BYTES(&d.wire_out, "\x89\x01\x01");
  PUT(&d, "\x8a\x80mask"); /* whatever it says */
  assert_int_equal(tick(&d, 300, false, &wake), MS__IDLE);
  assert_int_equal(tick(&d, 400, false, &wake), MS__IDLE | MS__WANT_ENCODE);
  flush(&d);
  assert_int_equal(tick(&d, 500, false, &wake), MS_ETIMEDOUT);
  driver_end(&d);
}

/* It may have to read first what we have sent. */
static void a_slow_reader_is_not_gone(void **state) {
  static const struct ms__ws_opts pinging = {100, 1000, 1000, 10, false};
  struct driver d;
  uint64_t wake;
  (void)state;
  driver_begin_at(&d, &ms__ws, true, false, &pinging);
  d.up = true;
  driver_write(&d, (const uint8_t *)"data", 4, 1000);
  for (uint64_t now = 100; now < 1000; now += 100) {
    assert_int_equal(tick(&d, now, false, &wake), MS__IDLE | MS__WANT_ENCODE);
    flush(&d);
  }
  PUT(&d, "\x8a\x81\0\0\0\0\x08"); /* the answer to a ping before the last: so far it has read */
  assert_int_equal(tick(&d, 1000, false, &wake), MS__IDLE);
  for (uint64_t now = 1100; now < 2000; now += 100) {
    assert_int_equal(tick(&d, now, false, &wake), MS__IDLE | MS__WANT_ENCODE);
    flush(&d);
  }
  PUT(&d, "\x8a\x81\0\0\0\0\x12");
  assert_int_equal(tick(&d, 2000, false, &wake), MS__IDLE);
  assert_int_equal(tick(&d, 2100, false, &wake), MS__IDLE | MS__WANT_ENCODE);
  flush(&d);
  assert_int_equal(tick(&d, 2200, false, &wake), MS_ETIMEDOUT);
  driver_end(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(headers_there_and_back),
      cmocka_unit_test(impossible_headers),
      cmocka_unit_test(masking_by_words_is_masking_by_bytes),
      cmocka_unit_test(streams_there_and_back),
      cmocka_unit_test(masks_differ),
      cmocka_unit_test(text_is_no_stream),
      cmocka_unit_test(messages_keep_their_type_and_end),
      cmocka_unit_test(records_become_frames),
      cmocka_unit_test(wrong_sequences),
      cmocka_unit_test(too_many_fragments),
      cmocka_unit_test(ends),
      cmocka_unit_test(a_close_inside_a_message_is_no_end),
      cmocka_unit_test(a_close_inside_a_frame_is_payload),
      cmocka_unit_test(who_leaves_says_why),
      cmocka_unit_test(nothing_is_answered_after_a_close),
      cmocka_unit_test(our_end_and_our_failure),
      cmocka_unit_test(a_flood_of_pings),
      cmocka_unit_test(a_silent_peer_is_asked_then_gone),
      cmocka_unit_test(a_slow_reader_is_not_gone),
  };
  if (sodium_init() < 0) return 1;
  return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
