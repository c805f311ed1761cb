/* One program, several people: dials an address once as each of them, and says who was admitted.
 *
 *   ./example-identities ADDRESS SECRET...     files that `multiserver keygen FILE` makes */
#include <multiserver.h>
#include <signal.h>
#include <stdio.h>

struct person {
  const char *path;
  struct program *program;
};

struct program {
  ms_ctx *ctx;
  int running, refused;
};

static void on_close(ms_conn *conn, const ms_error *err, void *user) {
  (void)conn, (void)err, (void)user;
}

static const ms_conn_events events = {.on_close = on_close};

static void on_dialled(ms_conn *conn, const ms_error *err, void *user) {
  struct person *person = user;
  printf("%s: %s\n", person->path, err ? err->message : "admitted");
  if (err) person->program->refused++;
  if (conn) {
    ms_conn_handle(conn, &events, NULL);
    ms_conn_close(conn);
  }
  person->program->running--;
}

/* The context's identity is for those dials that bring none of their own. */
static int begin(struct program *p, const ms_identity *fallback, ms_error *err) {
  ms_ctx_opts opts = MS_OPTS_INIT(ms_ctx_opts);
  opts.network_key = ms_scuttlebutt_network_key;
  opts.identity = fallback;
  if (ms_ctx_new(&p->ctx, &opts, err) < 0) return -1;
  return ms_add(p->ctx, "net~shs", NULL, err);
}

static int dial_as(struct person *person, const char *address, ms_error *err) {
  ms_dial_opts opts = MS_OPTS_INIT(ms_dial_opts);
  ms_identity *id;
  int r = ms_identity_load(&id, person->path, err);
  if (r < 0) return r;
  opts.identity = id;
  opts.on_dialled = on_dialled;
  opts.user = person;
  r = ms_dial(person->program->ctx, NULL, address, &opts, err);
  ms_identity_free(id); /* the dial has a copy */
  if (r == 0) person->program->running++;
  return r;
}

int main(int argc, char **argv) {
  struct program p = {.ctx = NULL};
  struct person people[16];
  ms_identity *fallback = NULL;
  int status = 1, n = argc - 2;
  ms_error err;

  if (n < 1 || n > 16) {
    fprintf(stderr, "usage: %s ADDRESS SECRET...\n", argv[0]);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  if (ms_identity_load(&fallback, argv[2], &err) < 0 || begin(&p, fallback, &err) < 0) goto out;
  for (int i = 0; i < n; i++) {
    people[i] = (struct person){argv[2 + i], &p};
    if (dial_as(&people[i], argv[1], &err) < 0) goto out;
  }
  while (p.running)
    ms_ctx_run(p.ctx, -1);
  status = p.refused ? 1 : 0;
  err.message[0] = '\0';

out:
  if (err.message[0]) fprintf(stderr, "%s: %s\n", err.address, err.message);
  ms_identity_free(fallback);
  if (p.ctx) {
    ms_ctx_close(p.ctx, 1000, NULL, NULL);
    while (ms_ctx_run(p.ctx, -1) == 1) {
    }
  }
  ms_ctx_free(p.ctx);
  return status;
}
