/* The actions of serve, and what the command line and --help have of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

#define ROW(name) &cli_action_##name,
static const struct cli_action *const actions[CLI_ACTION_COUNT] = {CLI_ACTIONS(ROW)};
#undef ROW

const struct cli_action *cli_action(size_t i) {
  return actions[i];
}

/* The j-th option of an action, or NULL. */
static const struct cli_action_option *option_of(const struct cli_action *action, size_t j) {
  return j < CLI_ACTION_OPTIONS && action->options[j].name ? &action->options[j] : NULL;
}

/* ---- The command line ---- */

size_t cli_actions_options(struct cli_actions *a, struct cli_option *out) {
  const struct cli_action_option *o;
  size_t n = 0;
  for (size_t i = 0; i < CLI_ACTION_COUNT; i++) {
    struct cli_action_given *given = &a->of[i];
    if (!(given->state = calloc(1, actions[i]->size))) return 0;
    if (actions[i]->argument)
      out[n++] = (struct cli_option){actions[i]->name, 0, CLI_TEXT, &given->argument};
    else
      out[n++] = (struct cli_option){actions[i]->name, 0, CLI_FLAG, &given->flag};
    for (size_t j = 0; (o = option_of(actions[i], j)); j++)
      out[n++] = (struct cli_option){o->name, 0, o->kind, (char *)given->state + o->offset};
  }
  return n;
}

void cli_actions_free(struct cli_actions *a) {
  const struct cli_action_option *o;
  for (size_t i = 0; i < CLI_ACTION_COUNT; i++) {
    char *state = a->of[i].state;
    for (size_t j = 0; state && (o = option_of(actions[i], j)); j++)
      if (o->kind == CLI_LIST) cli_texts_free((void *)(state + o->offset));
    free(state);
  }
}

static bool is_given(const struct cli_action_given *given) {
  return given->flag || given->argument;
}

/* "--NAME ARGUMENT": how many characters there are of it. */
static int name_action(const struct cli_action *action, char *buf, size_t size) {
  const char *argument = action->argument;
  return snprintf(buf, size, "--%s%s%s", action->name, argument ? " " : "",
                  argument ? argument : "");
}

int cli_actions_chosen(const struct cli_actions *a, const struct cli_command *command,
                       size_t *out) {
  size_t count = 0, n;
  char why[256];
  for (size_t i = 0; i < CLI_ACTION_COUNT; i++)
    if (is_given(&a->of[i])) {
      *out = i;
      count++;
    }
  if (count == 1) return CLI_OK;
  n = (size_t)snprintf(why, sizeof why, "say what to do with peers: one of ");
  for (size_t i = 0; i < CLI_ACTION_COUNT && n < sizeof why; i++) {
    if (i) n += (size_t)snprintf(why + n, sizeof why - n, ", ");
    if (n < sizeof why) n += (size_t)name_action(actions[i], why + n, sizeof why - n);
  }
  return cli_usage(command, NULL, why);
}

/* Of another action than the chosen one. */
static int check_other(const struct cli_command *command, const struct cli_action *action,
                       void *state) {
  const struct cli_action_option *o;
  char name[64], where[64], why[128];
  for (size_t j = 0; (o = option_of(action, j)); j++) {
    struct cli_option given = {o->name, 0, o->kind, (char *)state + o->offset};
    if (!cli_is_given(&given)) continue;
    (void)name_action(action, name, sizeof name);
    (void)snprintf(where, sizeof where, "--%s", o->name);
    (void)snprintf(why, sizeof why, "is about %s: it needs %s", o->about, name);
    return cli_usage(command, where, why);
  }
  return CLI_OK;
}

int cli_actions_read(const struct cli_actions *a, const struct cli_command *command,
                     size_t chosen) {
  const struct cli_action *action = actions[chosen];
  const char *where = NULL, *why;
  for (size_t i = 0; i < CLI_ACTION_COUNT; i++)
    if (i != chosen && check_other(command, actions[i], a->of[i].state) != CLI_OK) return CLI_USAGE;
  why = action->read ? action->read(a->of[chosen].state, &where) : NULL;
  return why ? cli_usage(command, where, why) : CLI_OK;
}

/* ---- --help ---- */

enum { COLUMN = 24 };

/* What is too long for the left column has a line of its own. */
static void print_row(const char *name, const char *argument, const char *help) {
  int n = printf("  --%s%s%s", name, argument ? " " : "", argument ? argument : "");
  if (n > COLUMN - 2) {
    (void)puts("");
    n = 0;
  }
  for (size_t k; *help; help += k + (help[k] == '\n')) {
    k = strcspn(help, "\n");
    (void)printf("%*s%.*s\n", COLUMN - n, "", (int)k, help);
    n = 0;
  }
}

void cli_actions_help(void) {
  for (size_t i = 0; i < CLI_ACTION_COUNT; i++)
    print_row(actions[i]->name, actions[i]->argument, actions[i]->help);
}

void cli_actions_options_help(bool with_heading) {
  for (size_t i = 0; i < CLI_ACTION_COUNT; i++) {
    const struct cli_action_option *o;
    bool headed = false;
    for (size_t j = 0; (o = option_of(actions[i], j)); j++) {
      if (with_heading != (o->heading != NULL)) continue;
      if (o->heading && !headed) (void)printf("%s:\n", o->heading);
      headed = headed || o->heading;
      print_row(o->name, o->argument, o->help);
    }
    if (headed) (void)puts("");
  }
}
