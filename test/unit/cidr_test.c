/* Networks: what is one, and what is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "addr/cidr.h"

static union ms__inet address(const char *text) {
  union ms__inet a;
  int family = strchr(text, ':') ? AF_INET6 : AF_INET;
  if (!ms__inet_read(&a, family, text, strlen(text))) fail_msg("%s is no address", text);
  return a;
}

static void networks(void **state) {
  static const struct {
    const char *network, *in, *out; /* separated by blanks */
  } rows[] = {
      {"192.0.2.0/24", "192.0.2.0 192.0.2.255 ::ffff:192.0.2.7",
       "192.0.3.0 192.0.1.255 ::192.0.2.7"},
      {"192.0.2.7", "192.0.2.7", "192.0.2.6 192.0.2.8 2001:db8::1"},
      {"10.128.0.0/9", "10.128.0.0 10.255.255.255", "10.127.255.255 11.0.0.0"},
      {"0.0.0.0/0", "0.0.0.0 255.255.255.255", "::1 2001:db8::1"},
      {"::/0", "::1 2001:db8::1 192.0.2.1", ""},
      {"::ffff:192.0.2.0/120", "192.0.2.1", "192.0.3.1"},
      {"2001:db8::/33", "2001:db8::1 2001:db8:7fff::1", "2001:db8:8000::1 2001:db9::"},
      {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
      {"2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ms__cidr set;
    char text[256], *one;
    if (!ms__cidr_parse(&set, rows[i].network)) fail_msg("not taken: %s", rows[i].network);
    for (int in = 0; in <= 1; in++) {
      strcpy(text, in ? rows[i].in : rows[i].out);
      for (one = strtok(text, " "); one; one = strtok(NULL, " ")) {
        union ms__inet a = address(one);
        if (ms__cidr_has(&set, 1, &a) != in)
          fail_msg("%s is %s %s", one, in ? "not in" : "in", rows[i].network);
      }
    }
  }
}

static void what_is_no_network(void **state) {
  static const char *const rows[] = {"",
                                     "/8",
                                     "192.0.2.1/24",
                                     "192.0.2.0/33",
                                     "192.0.2.0/",
                                     "192.0.2.0/-1",
                                     "192.0.2.0/ 8",
                                     "192.0.2",
                                     "pub.example",
                                     "2001:db8::1/32",
                                     "::/129",
                                     "[::1]",
                                     "::1%lo",
                                     "192.0.2.0/24/",
                                     "unix",
                                     "192.0.2.0:80"};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ms__cidr set;
    if (ms__cidr_parse(&set, rows[i])) fail_msg("taken: '%s'", rows[i]);
  }
}

static void other_families_are_in_none(void **state) {
  union ms__inet local = {.family = AF_UNIX};
  struct ms__cidr all[2];
  (void)state;
  assert_true(ms__cidr_parse(&all[0], "0.0.0.0/0") && ms__cidr_parse(&all[1], "::/0"));
  assert_false(ms__cidr_has(all, 2, &local));
  assert_false(ms__cidr_has(NULL, 0, &local));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(networks),
      cmocka_unit_test(what_is_no_network),
      cmocka_unit_test(other_families_are_in_none),
  };
  return cmocka_run_group_tests_name("cidr", tests, NULL, NULL);
}
