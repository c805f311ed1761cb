/* For tests on a real loop: one context that serves and one that dials, with a watchdog. */
#ifndef TEST_LOOP_FIXTURE_H
#define TEST_LOOP_FIXTURE_H

#include <uv.h>

#include "multiserver.h"

struct fixture {
  uv_loop_t loop;
  uv_timer_t watchdog;
  char dir[64]; /* a folder of its own, 0700 */
  ms_identity *server_id, *client_id;
  ms_ctx *server, *client;
  int ready;         /* on_ready came, with so many up; -1 before */
  int listened;      /* on_listen came so often */
  int listen_errors; /* with an error */
  ms_error listen_error;
  int failed; /* on_failed came so often */
  ms_error failed_error;
  int done; /* contexts closed */
};

/* The loop, the folder and the identities; no context yet. */
void fixture_init(struct fixture *f);

/* Options for a context on the fixture's loop with Scuttlebutt's network key. */
ms_ctx_opts fixture_opts(struct fixture *f, const ms_identity *id);

/* Events that record in the fixture and hand connections to `on_connection`. `user` is the fixture.
 */
ms_server_events fixture_events(void (*on_connection)(ms_conn *conn, void *user));

/* Runs the loop until *flag is no longer `from`; fails the test after 20 s. */
void fixture_until(struct fixture *f, const int *flag, int from);

/* It gets on: the watchdog waits for another 20 s. */
void fixture_gets_on(struct fixture *f);

/* Closes both contexts and frees them; there may be new ones afterwards. */
void fixture_close(struct fixture *f);

/* Closes what there is, runs the loop to its end, and fails the test if anything is left. */
void fixture_done(struct fixture *f);

/* An authorisation that says yes. */
void fixture_admit(ms_conn *conn, const ms_peer *peer, void *user);

#endif
