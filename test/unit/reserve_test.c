/* Room in libuv's table of descriptors: it is there before they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "transport/sockets.h"

enum { MOST = 64 };

static struct rlimit before;

static int few(void **state) {
  struct rlimit limit;
  (void)state;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  limit = before;
  limit.rlim_cur = MOST;
  return setrlimit(RLIMIT_NOFILE, &limit);
}

static int as_before(void **state) {
  (void)state;
  return setrlimit(RLIMIT_NOFILE, &before);
}

static int count(void) {
  int n = 0;
  for (int fd = 0; fd < MOST; fd++)
    n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static void reserve(bool full) {
  uv_loop_t uv;
  struct ms__loop loop = {0};
  int fds[2], copies[MOST], n = 0, open;
  assert_int_equal(uv_loop_init(&uv), 0);
  assert_int_equal(ms__loop_init(&loop, &uv, &ms__default_allocator, MS__BLOCK), 0);
  assert_int_equal(pipe(fds), 0);
  while (full && (copies[n] = dup(fds[0])) >= 0)
    n++;
  open = count();
  assert_int_equal(ms__reserve_watchers(&loop, fds[0]), 0);
  (void)uv_run(&uv, UV_RUN_DEFAULT);
  assert_int_equal(count(), open);
  if (!full) assert_true(uv.nwatchers >= MOST - 2);
  while (n > 0)
    (void)close(copies[--n]);
  (void)close(fds[0]);
  (void)close(fds[1]);
  ms__loop_close(&loop);
  (void)uv_run(&uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&uv), 0);
}

static void the_table_has_room_for_all(void **state) {
  (void)state;
  reserve(false);
}

/* Then no connection can come either. */
static void without_a_descriptor_nothing_is_reserved_or_lost(void **state) {
  (void)state;
  reserve(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_table_has_room_for_all, few, as_before),
      cmocka_unit_test_setup_teardown(without_a_descriptor_nothing_is_reserved_or_lost, few,
                                      as_before),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
