/* What the files of serve --exec share: the commands (exec.c), and the keeper, a process that keeps
 * them from taking the death of serve for the end of their input (exec_guard.c is serve's side of
 * it, exec_keeper.c the process).
 *
 * A command's standard input is a socket, whose end is said by shutdown(): it comes through however
 * many descriptors there are of it. The keeper holds one of each, got before the command was
 * started. When serve is gone without a word, the system closes serve's own, and no command hears
 * an end before it is killed. */
#ifndef MS_CLI_EXEC_H
#define MS_CLI_EXEC_H

#include <stdint.h>
#include <sys/types.h>

#include "serve.h"

/* Exit statuses: 0 to 255. */
struct cli_statuses {
  bool has[256];
};
bool cli_statuses_have(const struct cli_statuses *statuses, int status);

/* Reads "0,1,24", or "any". NULL, or what is wrong with it. */
const char *cli_statuses_read(struct cli_statuses *out, const char *text);

/* The process that keeps the commands' input, as serve has it. */
struct cli_keeper {
  uv_loop_t *loop;
  int fd; /* where it listens; -1: there is none now */
  uv_poll_t watch;
  uv_timer_t again;
  uint64_t started;
  bool over;
  void (*on_started)(struct cli_keeper *k);
};

/* Where the keeper finds serve. */
enum { CLI_KEEPER_FD = 3 };

/* What serve tells the keeper of a command, in this order. */
enum cli_keeper_order {
  CLI_KEEP,  /* with the descriptor of an input: keep it as long as somebody can read it */
  CLI_LEADS, /* with a pidfd where the system has them: this process leads the command's group */
  CLI_KILL   /* who still has the other end of that input is to be killed */
};
struct cli_keeper_message {
  uint64_t input; /* the inode of the command's end */
  int32_t pid;    /* of CLI_LEADS */
  int32_t order;
};

/* Starts one, before there is anything else in the loop; it is not a child of ours when this
 * returns, for it outlives us. When it is killed, another takes its
 * place, which knows nothing: `on_started` is called from the loop, to tell it of the commands that
 * run. CLI_OK, or CLI_FAILED after an error line. */
int cli_keeper_start(struct cli_keeper *k, uv_loop_t *loop);

/* Closes; then the loop has still to run. */
void cli_keeper_end(struct cli_keeper *k);

/* Never waits. 0, or a negative errno: nobody keeps it. `fd`: of CLI_KEEP, else -1. */
int cli_keeper_tell(const struct cli_keeper *k, const struct cli_keeper_message *m, int fd);

/* CLI_LEADS. Without it only those who have the input are killed, not all of the group. */
void cli_keeper_tell_leader(const struct cli_keeper *k, uint64_t input, pid_t pid);

#endif
