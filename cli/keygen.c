/* keygen and id: identities in files. */
#include <stdio.h>

#include "cli.h"

static int print_key(const char *what, const ms_identity *id) {
  char key[MS_KEY_TEXT];
  (void)ms_key_format(ms_identity_key(id), key, MS_KEY_TEXT);
  (void)puts(key);
  return cli_flush(what);
}

static int run_keygen(int argc, char **argv) {
  struct cli_texts rest = {0};
  char standard[4096];
  const char *path = standard;
  ms_identity *id = NULL;
  int status;
  if (cli_options(&cli_keygen, argc, argv, NULL, 0, &rest, &status) == 0) {
    if (rest.count > 1) {
      status = cli_usage(&cli_keygen, rest.at[1], "one file is enough");
    } else if (!rest.count && !cli_secret_default(standard, sizeof standard)) {
      status = CLI_FAILED;
    } else {
      if (rest.count) path = rest.at[0];
      status = cli_secret_create(path, &id, NULL);
      if (status == CLI_OK) status = print_key("keygen", id);
    }
  }
  ms_identity_free(id);
  cli_texts_free(&rest);
  return status;
}

static int run_id(int argc, char **argv) {
  const char *path = NULL;
  const struct cli_option options[] = {{"key", 0, CLI_TEXT, &path}};
  struct cli_texts rest = {0};
  char standard[4096];
  ms_identity *id = NULL;
  int status;
  if (cli_options(&cli_id, argc, argv, options, 1, &rest, &status) == 0) {
    if (rest.count) {
      status = cli_usage(&cli_id, rest.at[0], "takes no arguments: name the file with --key");
    } else if (!path && !cli_secret_default(standard, sizeof standard)) {
      status = CLI_FAILED;
    } else {
      status = cli_secret_load(path ? path : standard, &id);
      if (status == CLI_OK) status = print_key("id", id);
    }
  }
  ms_identity_free(id);
  cli_texts_free(&rest);
  return status;
}

const struct cli_command cli_keygen = {
    .name = "keygen",
    .summary = "make a new identity",
    .help =
        "usage: multiserver keygen [FILE]\n"
        "\n"
        "Makes a new identity (an Ed25519 key pair), writes it to FILE, readable by you\n"
        "alone, and prints its public key. A file that is there is never overwritten.\n"
        "FILE is $XDG_CONFIG_HOME/multiserver/secret unless you name another; its format\n"
        "is that of Scuttlebutt's ~/.ssb/secret.\n"
        "\n"
        "examples:\n"
        "  multiserver keygen\n"
        "  multiserver keygen alice.secret\n",
    .run = run_keygen,
};

const struct cli_command cli_id = {
    .name = "id",
    .summary = "print the public key of an identity",
    .help =
        "usage: multiserver id [--key FILE]\n"
        "\n"
        "Prints the public key of the identity in FILE, in base64. FILE is\n"
        "$XDG_CONFIG_HOME/multiserver/secret unless you name another; ~/.ssb/secret will\n"
        "do as well.\n"
        "\n"
        "examples:\n"
        "  multiserver id\n"
        "  multiserver serve --echo --allow $(multiserver id --key alice.secret) net::0~shs\n",
    .run = run_id,
};
