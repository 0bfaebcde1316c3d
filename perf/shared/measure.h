// What every measuring program here needs: a checked call, the clock, the median, numbers that look random.
#ifndef MEASURE_H
#define MEASURE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "gmap_inline.h"

#define CHECK(call)                                                                            \
  do {                                                                                         \
    gmap_status status_ = (call);                                                              \
    if (status_ != 0) {                                                                        \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, gmap_strerror(status_)); \
      exit(1);                                                                                 \
    }                                                                                          \
  } while (0)

static const uint64_t MIB = 1 << 20;

static inline double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// How long the calling thread has been ready and waiting for a processor; 0 where the kernel does not say.
double waited_ns(void);

static inline int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static inline double median(double *values, size_t n) {
  qsort(values, n, sizeof *values, by_value);
  return values[n / 2];
}

static inline uint64_t random64(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

#endif
