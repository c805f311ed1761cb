/* For coverage: who leaves by _exit has counted, too (--wrap=_exit). What counting takes is not to
 * fail when test/faults/faulty.c makes the program's calls fail. Weak: every part of a program
 * brings it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include <dlfcn.h>
#include <stdint.h>

void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

/* The last but for the counting. */
__attribute__((destructor)) static void over(void) {
  void (*disarm)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "faulty_disarm");
  if (disarm) disarm();
}

__attribute__((weak, visibility("hidden"))) void __wrap__exit(int status) {
  over();
  __gcov_dump();
  __real__exit(status);
}
