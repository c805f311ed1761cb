/* A command line: arguments with a NUL behind each. Options of every kind, limits, what is external
 * to what. Nothing is read beyond an argument; what is taken is one of those that were given. */
#include <string.h>

#include "../cli/serve/serve.h"
#include "fuzz.h"

enum { ARGUMENTS = 32 };

static const struct cli_command command = {.name = "fuzz", .summary = "", .help = ""};

static bool is_given(const char *text, const uint8_t *from, size_t n) {
  return text >= (const char *)from && text <= (const char *)from + n;
}

/* What serve does with its lists. */
static void use(const struct cli_texts *limits, const struct cli_texts *external,
                const struct cli_texts *rest) {
  ms_limits out = {0};
  const char *why = NULL;
  char text[8192];
  const char *wrong = cli_limits(limits, &out, &why);
  REQUIRE(!wrong || (why && *why));
  if (!wrong) REQUIRE(cli_limits_text(&out, text, sizeof text) < sizeof text);
  (void)cli_external_wrong(external, rest, &why);
  for (size_t i = 0; i < rest->count; i++) {
    struct cli_texts of = {0};
    REQUIRE(cli_external(external, rest->at[i], &of) && of.count <= external->count);
    cli_texts_free(&of);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size + 1), *argv[ARGUMENTS + 2] = {(char *)(uintptr_t) "fuzz"};
  const char *text = NULL;
  struct cli_texts limits = {0}, external = {0}, rest = {0};
  uint32_t msec = 0;
  bool flag = false;
  int argc = 1, status = -1;
  const struct cli_option options[] = {{"key", 'k', CLI_TEXT, &text},
                                       {"limit", 0, CLI_LIST, &limits},
                                       {"external", 'e', CLI_LIST, &external},
                                       {"timeout", 't', CLI_MSEC, &msec},
                                       {"verbose", 'v', CLI_FLAG, &flag}};
  REQUIRE(copy);
  memcpy(copy, data, size);
  copy[size] = '\0';
  for (size_t at = 0; at < size && argc <= ARGUMENTS; at += strlen(copy + at) + 1)
    argv[argc++] = copy + at;
  if (cli_options(&command, argc, argv, options, sizeof options / sizeof *options, &rest,
                  &status) == 0) {
    const uint8_t *from = (const uint8_t *)copy;
    REQUIRE(!text || is_given(text, from, size));
    REQUIRE(rest.count + limits.count + external.count < (size_t)argc);
    for (size_t i = 0; i < rest.count; i++)
      REQUIRE(is_given(rest.at[i], from, size));
    use(&limits, &external, &rest);
  } else {
    REQUIRE(status == CLI_OK || status == CLI_USAGE || status == CLI_FAILED);
  }
  cli_texts_free(&limits);
  cli_texts_free(&external);
  cli_texts_free(&rest);
  free(copy);
  return 0;
}
