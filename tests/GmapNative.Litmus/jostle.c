/* SPDX-License-Identifier: MIT
 *
 * jostle.c - the moments between two steps are some nanoseconds long: here they last longer, now and then. */
#include "litmus.h"

#include <sched.h>
#include <time.h>

static __thread uint64_t state;
static __thread unsigned one_in;

void jostle_begin(const options *o, uint64_t seed) {
  state = seed;
  one_in = o->jostle;
}

void pause_for(unsigned microseconds) {
  struct timespec nap = {0, 0};
  nap.tv_nsec = (long)microseconds * 1000;
  if (microseconds != 0) nanosleep(&nap, NULL);
}

void jostle(unsigned place) {
  static const struct timespec nap = {0, 20000}, sleep_ = {0, 400000};
  volatile unsigned spin;
  uint64_t random;
  if (one_in == 0) return;
  random = next_random(&state) >> 16;
  /* 3 and 4: the entry grants and the summary may not say so yet; the right is there and the store is not. */
  if (random % (place == 3 || place == 4 ? one_in : one_in * 4) != 0) return;
  switch (random >> 32 & 7) {
    case 0: nanosleep(random >> 40 & 7 ? &nap : &sleep_, NULL); break;
    case 1: case 2: case 3: sched_yield(); break;
    default:
      for (spin = (unsigned)(random >> 36 & 0xFFF); spin != 0; spin--) continue;
  }
}
