/* The stack under everything that two peers, a network and a clock can do to it: a seed a world.
 *
 *   test-conn-matrix [--seeds N] [--from S] [--jobs N]   4000 seeds from 1 on, unless told
 *   test-conn-matrix --first 1 [...]                     stop at the first that fails
 *   test-conn-matrix --seed S                            one, step by step
 *
 * Ends with "N passed, N failed" and status 1 when one failed. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

enum { SEEDS = 4000, JOBS_MAX = 64, TOLD_MAX = 10 };

static bool run_seed(uint64_t seed, bool verbose, bool tell) {
  static struct world w;
  char what[512];
  world_make(&w, seed);
  w.verbose = verbose;
  world_describe(&w, what, sizeof what);
  if (verbose) puts(what);
  if (world_run(&w)) return true;
  if (tell) {
    printf("%s: %s (step %llu, errors %d and %d)\n", what, w.wrong, (unsigned long long)w.steps,
           w.sides[0].app.error, w.sides[1].app.error);
    (void)fflush(stdout);
  }
  return false;
}

/* Every jobs-th seed; how many failed. */
static unsigned long run_share(uint64_t from, uint64_t n, uint64_t job, uint64_t jobs, bool first) {
  unsigned long failed = 0;
  for (uint64_t i = job; i < n && !(first && failed); i += jobs)
    if (!run_seed(from + i, false, failed < TOLD_MAX)) failed++;
  return failed;
}

static unsigned long run_jobs(uint64_t from, uint64_t n, uint64_t jobs, bool first) {
  unsigned long failed = 0;
  int pipes[JOBS_MAX];
  (void)fflush(stdout);
  for (uint64_t j = 0; j < jobs; j++) {
    int ends[2];
    pid_t pid;
    if (pipe(ends) < 0 || (pid = fork()) < 0) {
      perror("fork");
      exit(1);
    }
    if (pid == 0) {
      unsigned long f = run_share(from, n, j, jobs, first);
      bool told = write(ends[1], &f, sizeof f) == sizeof f;
      if (f) _exit(1); /* a failed world is left as it is: no word about leaks */
      exit(told ? 0 : 1);
    }
    close(ends[1]);
    pipes[j] = ends[0];
  }
  for (uint64_t j = 0; j < jobs; j++) {
    unsigned long f;
    if (read(pipes[j], &f, sizeof f) != sizeof f) {
      printf("job %llu died: a seed crashed it\n", (unsigned long long)j);
      f = 1;
    }
    failed += f;
    close(pipes[j]);
  }
  while (wait(NULL) > 0)
    ;
  return failed;
}

/* Random bytes that a seed repeats, for the layers that draw some. */
static uint32_t repeated_random(void) {
  static struct rng rng = {7};
  return (uint32_t)rng_next(&rng);
}

static void repeated_bytes(void *buf, size_t n) {
  uint8_t *p = buf;
  for (size_t i = 0; i < n; i++)
    p[i] = (uint8_t)repeated_random();
}

static const char *name_of_random(void) {
  return "repeated";
}

static randombytes_implementation repeated = {
    .implementation_name = name_of_random, .random = repeated_random, .buf = repeated_bytes};

int main(int argc, char **argv) {
  uint64_t seeds = SEEDS, from = 1, one = 0, jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
  unsigned long failed;
  bool first = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    uint64_t value = strtoull(argv[i + 1], NULL, 10);
    if (strcmp(argv[i], "--seeds") == 0) seeds = value;
    if (strcmp(argv[i], "--from") == 0) from = value;
    if (strcmp(argv[i], "--jobs") == 0) jobs = value;
    if (strcmp(argv[i], "--first") == 0) first = value != 0;
    if (strcmp(argv[i], "--seed") == 0) one = value;
  }
  (void)randombytes_set_implementation(&repeated);
  if (sodium_init() < 0) return 1;
  if (one) return run_seed(one, true, true) ? 0 : 1;
  if (jobs < 1) jobs = 1;
  if (jobs > JOBS_MAX) jobs = JOBS_MAX;
  failed = run_jobs(from, seeds, jobs, first);
  printf("%llu passed, %lu failed\n", (unsigned long long)seeds - failed, failed);
  return failed ? 1 : 0;
}
