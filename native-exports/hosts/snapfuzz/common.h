/* SPDX-License-Identifier: MIT
 * What every file of gmap-snapfuzz uses: sizes, time, random numbers, the one line that tells what went wrong. */
#ifndef COMMON_H
#define COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PAGE 4096u
#define MIB 1048576.0

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_SKIPPED 77 /* what this kernel cannot do; automake's number for it */

/* One line on stderr: the program's name, then this. Returns false, so that `return complain(...)` reads well. */
bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_ns(void); /* CLOCK_MONOTONIC */
uint64_t cpu_ns(void); /* that this process has used, and its children that were waited for */

/* Anonymous zeroed memory, aligned to 2 MiB as huge leaves want it; NULL after complaining. */
void *map_memory(size_t size);

/* splitmix64: the generator of everything that has to look random and be the same in each run of one seed. */
static inline uint64_t random_next(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound) { return (uint32_t)(random_next(state) % bound); }

/* FNV-1a, over what came before. */
#define DIGEST_START 0xCBF29CE484222325ull
static inline uint64_t digest_bytes(uint64_t digest, const void *data, size_t size) {
  for (const uint8_t *at = data, *end = at + size; at < end; at++) digest = (digest ^ *at) * 0x100000001B3ull;
  return digest;
}

#endif
