/* When connections want to be woken: a heap of times, in the connections' own memory. One timer of
 * the loop stands for all of them, and a connection at rest pays four words. */
#ifndef MS_CONN_ALARMS_H
#define MS_CONN_ALARMS_H

#include <stddef.h>
#include <stdint.h>

/* A time that somebody waits for. All zero at first; it stays where it is while it is set. */
struct ms__alarm {
  uint64_t at; /* msec */
  struct ms__alarm *child, *next;
  struct ms__alarm *before; /* the parent of a first child, else whose `next` it is; NULL: first */
};

/* All zero at first. */
struct ms__alarms {
  struct ms__alarm *first; /* the earliest; NULL: none is set */
};

/* Sets one that is not, in constant time. */
void ms__alarm_set(struct ms__alarms *all, struct ms__alarm *a, uint64_t at);

/* Clears one, or nothing where it is not set: amortised, the time grows with the logarithm of their
 * number. */
void ms__alarm_clear(struct ms__alarms *all, struct ms__alarm *a);

#endif
