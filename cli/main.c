/* multiserver: the command. A subcommand is one file and one line in the table. */
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "cli.h"

static const struct cli_command *const commands[] = {
    &cli_serve, &cli_connect, &cli_check, &cli_address, &cli_keygen, &cli_id,
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static int help(void) {
  (void)puts(
      "usage: multiserver COMMAND [OPTIONS] ...\n"
      "\n"
      "One interface over many protocols: an address such as\n"
      "  net:host:8008~shs:KEY;wss://host/path~shs:KEY;unix:/run/x/socket~noauth\n"
      "says everything needed to reach a peer. Alternatives are separated by ';'; each is\n"
      "a transport (net, ws, wss, unix) and what is stacked on it (shs: encrypted, both\n"
      "sides known by their keys; tls: a certificate's name; noauth: nothing).\n"
      "\n"
      "commands:");
  for (size_t i = 0; i < COMMANDS; i++)
    (void)printf("  %-8s  %s\n", commands[i]->name, commands[i]->summary);
  (void)puts(
      "\n"
      "  multiserver COMMAND --help    all about a command, with examples\n"
      "  multiserver --version\n"
      "\n"
      "exit status: 0 done, 1 failed, 2 wrong usage\n"
      "\n"
      "try it, in two terminals:\n"
      "  multiserver serve --chat --allow-any net::0~shs\n"
      "  multiserver connect 'ADDRESS that the first one prints'");
  return cli_flush("help");
}

static int version(void) {
  (void)printf("multiserver %s (libuv %s, libsodium %s, openssl %s, jansson %s)\n", ms_version(),
               uv_version_string(), sodium_version_string(),
               OpenSSL_version(OPENSSL_VERSION_STRING), jansson_version_str());
  return cli_flush("version");
}

static const struct cli_command *find(const char *name) {
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i]->name, name) == 0) return commands[i];
  /* not for people */
  return strcmp(cli_exec_keeper.name, name) == 0 ? &cli_exec_keeper : NULL;
}

/* A standard stream that is closed would be whatever is opened next. Reading from what stands in
 * for it gives an end, writing an error. */
static void fill_standard_streams(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd) abort();
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : NULL;
  const struct cli_command *command;
  fill_standard_streams();
  cli_keep_secrets();
  (void)signal(SIGPIPE, SIG_IGN);
  if (!name) {
    (void)cli_error("usage", NULL, "a command is missing (multiserver --help lists them)");
    return CLI_USAGE;
  }
  if (strcmp(name, "--version") == 0) return version();
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return help();
  if (strcmp(name, "help") == 0) {
    if (argc == 2) return help();
    command = find(argv[2]);
    if (command) return cli_help(command);
    name = argv[2];
  } else {
    command = find(name);
    if (command) return command->run(argc - 1, argv + 1);
  }
  (void)cli_error("usage", name, "there is no such command (multiserver --help lists them)");
  return CLI_USAGE;
}
