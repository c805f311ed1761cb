/* Who may open a unix socket: its file is never more open than it ends up, whatever the umask. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop_fixture.h"
#include "transport/sockets.h"
#include "transport/users.h"

static char path[64]; /* where it listens */

/* What the file is just before each of these is called. */
enum moment { CHOWN, CHMOD, LISTEN, MOMENTS };
static struct {
  mode_t mode;
  gid_t group;
} seen[MOMENTS];
static int fails; /* with this errno, what changes the group */

static void note(enum moment at) {
  struct stat st;
  if (lstat(path, &st) < 0) return;
  seen[at].mode = st.st_mode & 07777;
  seen[at].group = st.st_gid;
}

/* In the place of the system's. */
int fchownat(int fd, const char *file, uid_t user, gid_t group, int flags) {
  int (*real)(int, const char *, uid_t, gid_t, int);
  *(void **)&real = dlsym(RTLD_NEXT, "fchownat");
  assert_int_equal(flags, AT_EMPTY_PATH);
  note(CHOWN);
  if (!fails) return real(fd, file, user, group, flags);
  errno = fails;
  return -1;
}

int chmod(const char *file, mode_t mode) {
  int (*real)(const char *, mode_t);
  *(void **)&real = dlsym(RTLD_NEXT, "chmod");
  note(CHMOD);
  return real(file, mode);
}

/* Somebody else's file, and how it comes to the place of ours when that is bound. */
static char theirs[sizeof path + 8];
static int (*swap)(const char *from, const char *to);

int open(const char *file, int flags, ...) {
  int (*real)(const char *, int, ...);
  va_list more;
  mode_t mode;
  va_start(more, flags);
  mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
  va_end(more);
  *(void **)&real = dlsym(RTLD_NEXT, "open");
  if (swap && flags & O_PATH) {
    assert_int_equal(unlink(path), 0);
    assert_int_equal(swap(theirs, path), 0);
  }
  return real(file, flags, mode);
}

int listen(int fd, int backlog) {
  int (*real)(int, int);
  *(void **)&real = dlsym(RTLD_NEXT, "listen");
  note(LISTEN);
  return real(fd, backlog);
}

/* Another group than our own that files may be given to, where there is one. */
static gid_t another_group(void) {
  gid_t all[64];
  int n = getgroups(64, all);
  if (geteuid() == 0) return 12345;
  for (int i = 0; i < n; i++)
    if (all[i] != getegid()) return all[i];
  return getegid();
}

static int in_folder(void **state) {
  char folder[] = "/tmp/multiserver-test-XXXXXX";
  (void)state;
  if (!mkdtemp(folder)) return -1;
  (void)snprintf(path, sizeof path, "%s/socket", folder);
  memset(seen, 0, sizeof seen);
  fails = 0;
  swap = NULL;
  return 0;
}

static int out_of_folder(void **state) {
  char *slash = strrchr(path, '/');
  (void)state;
  *slash = '\0';
  return rmdir(path); /* nothing is left behind */
}

/* One on a loop that never runs. */
struct opened {
  uv_loop_t uv;
  struct ms__loop loop;
  struct ms__listening *listening;
  const struct ms__socket *socket;
  uint64_t opts[16]; /* of the transport */
};

static void close_it(struct opened *o) {
  if (o->listening) ms__unix.unlisten(o->listening);
  (void)uv_run(&o->uv, UV_RUN_NOWAIT);
  ms__loop_close(&o->loop);
  (void)uv_run(&o->uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&o->uv), 0);
}

/* (gid_t)-1: no group is asked for. Where it fails, nothing is to be closed. */
static int open_it(struct opened *o, mode_t mode, gid_t group, ms_error *err) {
  ms_section section = {.kind = MS_SECTION_UNIX, .name = "unix", .path = path};
  ms_stack_opts stack = MS_OPTS_INIT(ms_stack_opts);
  struct ms__transport_config from = {
      .section = &section, .allocator = &ms__default_allocator, .stack = &stack};
  struct ms__listen_request request = {.section = &section, .opts = o->opts};
  struct ms__place place = {.transport = &ms__unix, .length = sizeof place.un};
  struct ms__places places = {&place, 1};
  char number[24];
  int r;
  (void)snprintf(number, sizeof number, "%lu", (unsigned long)group);
  stack.unix_mode = mode;
  if (group != (gid_t)-1) stack.unix_group = number;
  place.un.sun_family = AF_UNIX;
  (void)snprintf(place.un.sun_path, sizeof place.un.sun_path, "%s", path);
  assert_true(ms__unix.options <= sizeof o->opts);
  assert_int_equal(ms__unix.configure(o->opts, &from, err), 0);
  o->listening = NULL;
  memset(&o->loop, 0, sizeof o->loop);
  assert_int_equal(uv_loop_init(&o->uv), 0);
  assert_int_equal(ms__loop_init(&o->loop, &o->uv, &ms__default_allocator, MS__BLOCK), 0);
  request.places = &places;
  r = ms__unix.listen(&o->loop, &request, &o->listening, err);
  o->socket = r == 0 ? &o->listening->bound->socket : NULL;
  if (r < 0) close_it(o);
  return r;
}

static void never_more_open_than_it_ends_up(void **state) {
  static const mode_t modes[] = {0600, 0660, 0666, 0770, 0620}, masks[] = {0, 022, 077, 0777};
  gid_t groups[] = {(gid_t)-1, another_group()};
  mode_t before = umask(0);
  (void)state;
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    for (size_t j = 0; j < sizeof masks / sizeof *masks; j++)
      for (size_t k = 0; k < 2; k++) {
        gid_t wanted = groups[k] == (gid_t)-1 ? getegid() : groups[k];
        struct opened o;
        ms_error err;
        memset(seen, 0, sizeof seen);
        (void)umask(masks[j]);
        if (groups[k] != (gid_t)-1 && !(modes[i] & 020)) continue; /* it is no use */
        if (open_it(&o, modes[i], groups[k], &err) < 0) fail_msg("%04o: %s", modes[i], err.message);
        (void)umask(0);
        /* 0: it was not called */
        assert_int_equal(seen[CHOWN].mode & ~(mode_t)0600, 0);
        assert_int_equal(seen[CHMOD].mode & ~(mode_t)0600, 0);
        if (modes[i] != 0600) assert_int_equal(seen[CHMOD].group, wanted);
        assert_int_equal(seen[LISTEN].group, wanted);
        assert_int_equal(seen[LISTEN].mode, modes[i] == 0600 ? 0600 & ~masks[j] : modes[i]);
        assert_int_equal(o.socket->group, modes[i] & 020 ? wanted : (gid_t)-1);
        close_it(&o);
      }
  (void)umask(before);
}

static void a_group_that_it_may_not_give_away(void **state) {
  struct opened o;
  ms_error err;
  (void)state;
  fails = EPERM;
  assert_int_equal(open_it(&o, 0660, another_group(), &err), MS_ELISTEN);
  assert_int_equal(err.sys, EPERM);
  assert_non_null(strstr(err.message, "to the group "));
  assert_int_equal(access(path, F_OK), -1);
}

/* A socket, or a plain file. */
static void make_theirs(bool socket_file) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  int fd;
  (void)snprintf(theirs, sizeof theirs, "%s-theirs", path);
  if (socket_file) {
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", theirs);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof un), 0);
  } else {
    fd = open(theirs, O_CREAT | O_EXCL | O_WRONLY, 0600);
  }
  assert_true(fd >= 0);
  (void)close(fd);
  assert_int_equal(chmod(theirs, 0600), 0);
}

static void a_file_that_takes_the_place_of_ours_is_left_alone(void **state) {
  static const struct {
    bool socket_file;
    int (*swap)(const char *, const char *);
  } rows[] = {{true, link}, {true, symlink}, {false, rename}, {false, symlink}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct opened o;
    struct stat st;
    ms_error err;
    make_theirs(rows[i].socket_file);
    swap = rows[i].swap;
    if (open_it(&o, 0660, another_group(), &err) != MS_ELISTEN) fail_msg("row %zu: it listens", i);
    swap = NULL;
    assert_int_equal(err.sys, ESTALE);
    assert_int_equal(stat(path, &st), 0); /* it is still there */
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_gid, getegid());
    assert_int_equal(unlink(path), 0);
    (void)unlink(theirs);
  }
}

/* Who comes, in another process: with these groups. */
static bool knows(const struct opened *o, gid_t own, const gid_t *more, size_t count) {
  const struct ms__socket *s = o->socket;
  pid_t pid = fork();
  bool known;
  int fd, status;
  assert_true(pid >= 0);
  if (pid == 0) {
    int to = socket(AF_UNIX, SOCK_STREAM, 0);
    char byte;
    if (setgroups(count, more) < 0 || setresgid(own, own, own) < 0 || setresuid(1, 1, 1) < 0 ||
        connect(to, (const struct sockaddr *)&s->place.address, s->place.length) < 0)
      _exit(1);
    _exit(read(to, &byte, 1) == 0 ? 0 : 2);
  }
  while ((fd = accept(s->fd, NULL, NULL)) < 0 && errno == EAGAIN)
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
  known = o->listening->kind->knows(s, fd, &ms__default_allocator);
  close(fd);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  return known;
}

static void whose_members_it_knows(void **state) {
  static const gid_t many[] = {1, 2, 3, 12345, 5}, others[] = {1, 2, 3};
  struct opened o;
  char folder[sizeof path];
  ms_error err;
  (void)state;
  if (geteuid() != 0) skip();
  (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
  assert_int_equal(chmod(folder, 0755), 0);
  assert_int_equal(open_it(&o, 0660, 12345, &err), 0);
  assert_int_equal(chmod(path, 0666), 0); /* the system lets everybody as far as to us */
  assert_true(knows(&o, 12345, NULL, 0));
  assert_true(knows(&o, 12345, others, 3));
  assert_true(knows(&o, 1, many, 5));
  assert_false(knows(&o, 1, NULL, 0));
  assert_false(knows(&o, 1, others, 3));
  close_it(&o);
  assert_int_equal(open_it(&o, 0640, (gid_t)-1, &err), 0); /* it was not meant to let a group in */
  assert_int_equal(chmod(path, 0666), 0);
  assert_false(knows(&o, getegid(), NULL, 0));
  close_it(&o);
}

static void groups_by_name_and_number(void **state) {
  static const char *const none[] = {"",           "no-such-group",        "-1",   "4294967295",
                                     "4294967296", "99999999999999999999", "0x10", " 1"};
  const ms_allocator *a = &ms__default_allocator;
  gid_t group = 1;
  (void)state;
  assert_int_equal(ms__group_find("root", &group, a), 0);
  assert_int_equal(group, 0);
  assert_int_equal(ms__group_find("12345", &group, a), 0);
  assert_int_equal(group, 12345);
  assert_int_equal(ms__group_find("4294967294", &group, a), 0);
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    if (ms__group_find(none[i], &group, a) != ENOENT) fail_msg("'%s' is a group", none[i]);
}

/* What ms_add says of a mode and a group, without somewhere to go wrong later. */
static void what_a_stack_may_ask_for(void **state) {
  static const struct {
    const char *address;
    unsigned mode;
    const char *group;
    int code;
  } rows[] = {
      {"unix:/s~noauth", 0, NULL, 0},
      {"unix:/s~noauth", 0600, NULL, 0},
      {"unix:/s~noauth", 0660, NULL, 0},
      {"unix:/s~noauth", 0, "root", 0},
      {"unix:/s~noauth", 0620, "0", 0},
      {"unix:/s~shs", 0666, "root", 0},
      {"unix:/s~shs", 0777, NULL, 0},
      {"unix:/s~noauth", 0666, NULL, MS_EINSECURE},
      {"unix:/s", 0662, "root", MS_EINSECURE},
      {"unix:/s~shs", 060, NULL, MS_EINVAL},
      {"unix:/s~shs", 01660, NULL, MS_EINVAL},
      {"unix:/s~shs", 0644, "root", MS_EINVAL},
      {"unix:/s~shs", 0, "no-such-group", MS_EINVAL},
      {"net:127.0.0.1:0", 0666, "no-such-group", 0},
      {"unix~noauth", 0666, "no-such-group", 0},
      {"unix:@s~noauth", 0, NULL, 0},
      {"unix:@s~noauth", 0600, NULL, MS_EINVAL},
      {"unix:@s~shs", 0, "root", MS_EINVAL},
  };
  struct fixture f;
  ms_ctx_opts server;
  ms_error err;
  (void)state;
  fixture_init(&f);
  server = fixture_opts(&f, f.server_id);
  assert_int_equal(ms_ctx_new(&f.server, &server, &err), 0);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    ms_stack_opts opts = MS_OPTS_INIT(ms_stack_opts);
    int r;
    opts.unix_mode = rows[i].mode;
    opts.unix_group = rows[i].group;
    r = ms_add(f.server, rows[i].address, &opts, &err);
    if (rows[i].code ? r != rows[i].code : r < 0)
      fail_msg("row %zu: %d, %s", i, r, r < 0 ? err.message : "");
    opts.insecure_noauth = true;
    if (rows[i].code == MS_EINSECURE)
      assert_true(ms_add(f.server, rows[i].address, &opts, &err) >= 0);
  }
  fixture_done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(never_more_open_than_it_ends_up, in_folder, out_of_folder),
      cmocka_unit_test_setup_teardown(a_group_that_it_may_not_give_away, in_folder, out_of_folder),
      cmocka_unit_test_setup_teardown(a_file_that_takes_the_place_of_ours_is_left_alone, in_folder,
                                      out_of_folder),
      cmocka_unit_test_setup_teardown(whose_members_it_knows, in_folder, out_of_folder),
      cmocka_unit_test(groups_by_name_and_number),
      cmocka_unit_test(what_a_stack_may_ask_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
