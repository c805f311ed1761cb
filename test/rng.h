/* Random choices that a seed repeats. */
#ifndef TEST_RNG_H
#define TEST_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rng {
  uint64_t state;
};

static inline uint64_t rng_mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline uint64_t rng_next(struct rng *r) {
  return rng_mix(r->state++);
}

/* Begins with the seed in MS_SEED, or with one that it prints. */
static inline void rng_begin(struct rng *r) {
  const char *given = getenv("MS_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  printf("MS_SEED=%llu\n", (unsigned long long)seed);
  r->state = rng_mix(seed);
}

/* 0 to n - 1. */
static inline size_t rng_below(struct rng *r, size_t n) {
  return n ? (size_t)(rng_next(r) % n) : 0;
}

/* Once in n. */
static inline bool rng_once_in(struct rng *r, size_t n) {
  return rng_below(r, n) == 0;
}

/* 1 to most, small as often as large. */
static inline size_t rng_size(struct rng *r, size_t most) {
  size_t bits = 0;
  while (bits < 40 && (most >> bits) != 0)
    bits++;
  return rng_below(r, ((size_t)1 << (1 + rng_below(r, bits))) - 1) % most + 1;
}

#endif
