/* An echo on a real loop: a server that echoes, a client that sends a pattern and checks it. */
#ifndef TEST_ECHO_H
#define TEST_ECHO_H

#include "loop_fixture.h"

/* A client's side. It writes `total` bytes, ends, and reads to the end. */
struct client {
  size_t total, sent, got;
  int dialled, closed, ended;
  ms_error error; /* of the dial or of the close */
  ms_conn *conn;
  bool abort_at_open;
};

/* What the server's side has seen of its last connection. */
struct echo_seen {
  char address[256];
  bool key;
  int closed;
  ms_error error;
};
extern struct echo_seen seen;

/* The server's events, to be changed after `serve`. */
extern ms_server_events server_events;
void echo_connection(ms_conn *conn, void *user);
void echo_pump(ms_conn *conn, void *user); /* what is there to read, as far as it can be written */
void echo_end(ms_conn *conn, void *user);
void echo_close(ms_conn *conn, const ms_error *err, void *user);

/* A fixture, and options for both sides. */
void begin(struct fixture *f, ms_ctx_opts *server, ms_ctx_opts *client);

/* Listens on `stack` until it is up; its address for this machine in `address`. */
void serve(struct fixture *f, const ms_ctx_opts *opts, const char *stack, char *address,
           size_t size);

/* Dials; the context is made by the first. */
void dial_with(struct fixture *f, const ms_ctx_opts *opts, const char *stack, const char *address,
               struct client *c);

/* ms_dialled_cb for a struct client. */
void on_dialled(ms_conn *conn, const ms_error *err, void *user);

#endif
