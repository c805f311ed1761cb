/* Hosts and ports: scopes, wildcards, zones, IPv6 text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "addr/addr.h"

enum { ALL = MS_DEVICE | MS_LOCAL | MS_PUBLIC };

static void a_host_has_its_scope(void **state) {
  static const struct {
    const char *host;
    unsigned scope;
  } rows[] = {
      {"", MS_DEVICE},
      {"localhost", MS_DEVICE},
      {"LocalHost", MS_DEVICE},
      {"a.localhost", MS_DEVICE},
      {"localhost.", MS_DEVICE},
      {"a.LOCALHOST.", MS_DEVICE},
      {"localhost..", MS_PUBLIC},
      {".", MS_PUBLIC},
      {"127.0.0.1", MS_DEVICE},
      {"127.255.0.9", MS_DEVICE},
      {"::1", MS_DEVICE},
      {"::1%lo", MS_DEVICE},
      {"::ffff:127.0.0.1", MS_DEVICE},
      {"10.0.0.1", MS_LOCAL},
      {"172.15.0.1", MS_PUBLIC},
      {"172.16.0.1", MS_LOCAL},
      {"172.31.9.9", MS_LOCAL},
      {"172.32.0.1", MS_PUBLIC},
      {"192.168.1.1", MS_LOCAL},
      {"192.169.1.1", MS_PUBLIC},
      {"169.254.1.1", MS_LOCAL},
      {"100.64.0.1", MS_LOCAL},
      {"100.63.0.1", MS_PUBLIC},
      {"100.128.0.1", MS_PUBLIC},
      {"fe80::1", MS_LOCAL},
      {"fe80::1%wlan0", MS_LOCAL},
      {"febf::1", MS_LOCAL},
      {"fec0::1", MS_LOCAL},
      {"192.0.0.4", MS_LOCAL},
      {"192.0.1.4", MS_PUBLIC},
      {"198.18.0.1", MS_LOCAL},
      {"198.19.255.255", MS_LOCAL},
      {"198.20.0.1", MS_PUBLIC},
      {"fd00::1", MS_LOCAL},
      {"fc00::1", MS_LOCAL},
      {"fe00::1", MS_PUBLIC},
      {"2001:db8::1", MS_PUBLIC},
      {"::ffff:10.0.0.1", MS_LOCAL},
      {"::ffff:8.8.8.8", MS_PUBLIC},
      {"8.8.8.8", MS_PUBLIC},
      {"host.example", MS_PUBLIC},
      {"printer.local", MS_LOCAL},
      {"printer.local.", MS_LOCAL},
      {"local", MS_PUBLIC},
      {"notlocalhost", MS_PUBLIC},
      {"0.0.0.0", ALL},
      {"::", ALL},
      {"::%eth0", ALL},
      {"::ffff:0.0.0.0", ALL},
      {"0.0.0.1", MS_PUBLIC},
      {"127.0.0.1.example", MS_PUBLIC},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    unsigned scope = ms__host_scope(rows[i].host);
    if (scope != rows[i].scope)
      fail_msg("'%s' has the scope %u instead of %u", rows[i].host, scope, rows[i].scope);
    assert_int_equal(ms__host_is_wildcard(rows[i].host), rows[i].scope == ALL);
  }
}

static void check_change(void (*change)(char *), const char *from, const char *to) {
  char host[64];
  (void)strcpy(host, from);
  change(host);
  assert_string_equal(host, to);
}

static void a_zone_is_cut_off(void **state) {
  (void)state;
  check_change(ms__host_without_zone, "fe80::1%br-lan", "fe80::1");
  check_change(ms__host_without_zone, "fe80::1%", "fe80::1");
  check_change(ms__host_without_zone, "fe80::1", "fe80::1");
  check_change(ms__host_without_zone, "name%x", "name%x");
  check_change(ms__host_without_zone, "", "");
}

static void a_mapped_address_is_an_ipv4_address(void **state) {
  (void)state;
  check_change(ms__host_without_mapping, "::ffff:192.0.2.1", "192.0.2.1");
  check_change(ms__host_without_mapping, "::ffff:6464:6464", "100.100.100.100");
  check_change(ms__host_without_mapping, "::ffff:0:0", "0.0.0.0");
  check_change(ms__host_without_mapping, "::fffe:1.2.3.4", "::fffe:1.2.3.4");
  check_change(ms__host_without_mapping, "::1", "::1");
  check_change(ms__host_without_mapping, "host", "host");
}

static void ipv6_is_written_as_rfc_5952_says(void **state) {
  static const char *const rows[][2] = {
      {"2001:DB8::A", "2001:db8::a"},
      {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"0:0:0:0:0:0:0:1", "::1"},
      {"1:0:0:0:0:0:0:0", "1::"},
      {"0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"},
      {"::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
      {"::1.2.3.4", "::102:304"},
      {"::00ab:0", "::ab:0"},
      {"FE80::0%EN0", "fe80::%EN0"},
  };
  static const char *const none[] = {"",     "1",       "1.2.3.4", "::1::", ":::",  "1:2:3:4:5:6:7",
                                     "g::1", "12345::", "[::1]",   "::1 ",  "%eth0"};
  char buf[64] = "kept";
  (void)state;
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    if (ms__host_ipv6(none[i], strlen(none[i]), buf, sizeof buf))
      fail_msg("'%s' is taken for IPv6", none[i]);
  assert_string_equal(buf, "kept");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_true(ms__host_ipv6(rows[i][0], strlen(rows[i][0]), buf, sizeof buf));
    assert_string_equal(buf, rows[i][1]);
  }
}

static void a_port_is_decimal_digits(void **state) {
  static const char *const bad[] = {
      "", "-1", "+1", " 1", "1 ", "0x50", "1e3", "80a", "1.0", "65536", "99999999999999999999"};
  static const char zeros[] = "0000000000000000000000000080";
  int port = 7;
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (ms__port_parse(bad[i], strlen(bad[i]), &port)) fail_msg("'%s' is taken for a port", bad[i]);
  assert_int_equal(port, 7);
  assert_true(ms__port_parse("0", 1, &port));
  assert_int_equal(port, 0);
  assert_true(ms__port_parse("65535", 5, &port));
  assert_int_equal(port, 65535);
  assert_true(ms__port_parse(zeros, strlen(zeros), &port));
  assert_int_equal(port, 80);
  assert_true(ms__port_parse("8008:x", 4, &port));
  assert_int_equal(port, 8008);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_host_has_its_scope),
      cmocka_unit_test(a_zone_is_cut_off),
      cmocka_unit_test(a_mapped_address_is_an_ipv4_address),
      cmocka_unit_test(ipv6_is_written_as_rfc_5952_says),
      cmocka_unit_test(a_port_is_decimal_digits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
