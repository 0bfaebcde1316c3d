/* SPDX-License-Identifier: MIT
 * What every file of gmap-migrate uses: sizes, time, the one line that tells what went wrong. */
#ifndef COMMON_H
#define COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PAGE 4096u
#define SEGMENT 0x100000u
#define PAGES_PER_SEGMENT (SEGMENT / PAGE)
#define MIB 1048576.0

#define EXIT_FAILED 1
#define EXIT_USAGE 2

/* The result of an attempt to do something over a connection. */
enum outcome {
  DONE = 0,
  PEER_LOST = 1, /* the other side is gone, this side is whole: try again */
  FAILED = -1    /* told already */
};

/* One line on stderr: the program's name, then this. Returns FAILED, so that `return complain(...)` reads well. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

static inline struct timespec time_of_ns(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

/* splitmix64: the generator of everything that has to look random and be the same everywhere. */
static inline uint64_t mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

#endif
