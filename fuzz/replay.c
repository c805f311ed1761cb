/* Runs every file of the folders and files named on the command line through a fuzz entry, once
 * each: what a fuzzer has found stays found, on machines without one. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20, PATH_TEXT = 4096 };

static size_t run_file(const char *path) {
  uint8_t *data = malloc(INPUT_MAX), *exact;
  FILE *file = fopen(path, "rb");
  size_t n;
  if (!data || !file) {
    (void)fprintf(stderr, "%s: cannot be read\n", path);
    exit(1);
  }
  n = fread(data, 1, INPUT_MAX, file);
  (void)fclose(file);
  exact = malloc(n ? n : 1); /* so that a sanitizer sees a read beyond */
  if (!exact) exit(1);
  memcpy(exact, data, n);
  free(data);
  (void)LLVMFuzzerTestOneInput(exact, n);
  free(exact);
  return 1;
}

static size_t run_folder(const char *path) {
  DIR *dir = opendir(path);
  size_t count = 0;
  if (!dir) {
    (void)fprintf(stderr, "%s: cannot be read\n", path);
    exit(1);
  }
  for (const struct dirent *e; (e = readdir(dir));) {
    char file[PATH_TEXT];
    if (*e->d_name == '.') continue;
    (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
    count += run_file(file);
  }
  (void)closedir(dir);
  return count;
}

int main(int argc, char **argv) {
  size_t count = 0;
  struct stat st;
  for (int i = 1; i < argc; i++)
    count +=
        stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
  if (count == 0) {
    (void)fprintf(stderr, "usage: %s FILE|FOLDER...; there was no input\n", argv[0]);
    return 1;
  }
  (void)printf("%zu inputs ran\n", count);
  return 0;
}
