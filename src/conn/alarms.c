/* A pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986): each node is no later than its
 * children, which are a list. */
#include "conn/alarms.h"

/* The earlier of two heaps, with the other as its first child. Neither has siblings. */
static struct ms__alarm *merge(struct ms__alarm *a, struct ms__alarm *b) {
  if (b->at < a->at) {
    struct ms__alarm *earlier = b;
    b = a;
    a = earlier;
  }
  b->before = a;
  b->next = a->child;
  if (b->next) b->next->before = b;
  a->child = b;
  return a;
}

/* One heap of a list of siblings, or NULL: neighbours are merged in pairs, then the pairs from the
 * last to the first. */
static struct ms__alarm *merge_all(struct ms__alarm *list) {
  struct ms__alarm *pairs = NULL, *heap = NULL;
  while (list) {
    struct ms__alarm *a = list, *b = list->next;
    list = b ? b->next : NULL;
    a->next = NULL;
    if (b) {
      b->next = NULL;
      a = merge(a, b);
    }
    a->next = pairs;
    pairs = a;
  }
  while (pairs) {
    struct ms__alarm *a = pairs;
    pairs = a->next;
    a->next = NULL;
    heap = heap ? merge(heap, a) : a;
  }
  if (heap) heap->before = NULL;
  return heap;
}

void ms__alarm_set(struct ms__alarms *all, struct ms__alarm *a, uint64_t at) {
  *a = (struct ms__alarm){.at = at};
  all->first = all->first ? merge(all->first, a) : a;
}

void ms__alarm_clear(struct ms__alarms *all, struct ms__alarm *a) {
  struct ms__alarm *rest;
  if (a != all->first && !a->before) return; /* it is not set */
  rest = merge_all(a->child);
  if (a == all->first) {
    all->first = rest;
  } else {
    if (a->before->child == a)
      a->before->child = a->next;
    else
      a->before->next = a->next;
    if (a->next) a->next->before = a->before;
    if (rest) all->first = merge(all->first, rest);
  }
  *a = (struct ms__alarm){.at = 0};
}
