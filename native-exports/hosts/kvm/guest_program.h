/* SPDX-License-Identifier: MIT
 * What one vCPU of the guest does, step by step, in its partition of guest memory. The guest's code (guest_main.c) and the
 * plain C run that knows the answer beforehand (vmguest.c) both include it.
 *
 * A partition: control page | mirror: 16 bytes for each data page | data pages
 *
 * A step writes one data page and its line in the mirror, and first compares the two: a page that was lost, or came from
 * another moment, no longer agrees with the mirror. Of 16 steps 15 go to a few pages that move on every 1024 steps, one
 * goes anywhere. */
#ifndef GUEST_PROGRAM_H
#define GUEST_PROGRAM_H

#include <stdint.h>

#define PROGRAM_PAGE 4096u
#define PROGRAM_BATCH 64u    /* steps between two rings of the doorbell */
#define PROGRAM_WINDOW 32u   /* pages */

enum control_word { CONTROL_STEP, CONTROL_WRONG, CONTROL_WRONG_PAGE, CONTROL_CHAIN, CONTROL_SEEN };
enum data_word { DATA_COUNT, DATA_CHAIN, DATA_ROUND, DATA_FREE }; /* from DATA_FREE on: what was written when */

struct program {
  uint8_t *control, *mirror, *data;
  uint64_t pages, seed;
  const volatile uint64_t *round; /* the VMM's, counted up by it while it compares */
};

/* As many data pages as fit with their mirror. */
static inline uint64_t program_pages(uint64_t bytes) { return (bytes / PROGRAM_PAGE - 2) * 256 / 257; }
static inline uint64_t program_data_offset(uint64_t bytes) {
  return (1 + (program_pages(bytes) + 255) / 256) * PROGRAM_PAGE;
}

static inline struct program program_at(uint8_t *partition, uint64_t bytes, uint64_t seed, const volatile uint64_t *round) {
  return (struct program){.control = partition, .mirror = partition + PROGRAM_PAGE,
                          .data = partition + program_data_offset(bytes), .pages = program_pages(bytes), .seed = seed,
                          .round = round};
}

static inline uint64_t program_mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/* Before the first step. Every fourth page stays zero. */
static inline void program_fill(const struct program *p) {
  for (uint64_t page = 0; page < p->pages; page++) {
    uint64_t *data = (uint64_t *)(p->data + page * PROGRAM_PAGE), *mirror = (uint64_t *)(p->mirror + page * 16);
    if (page % 4 == 3) continue;
    mirror[1] = data[DATA_CHAIN] = program_mix(p->seed ^ page);
    for (unsigned i = DATA_FREE; i < PROGRAM_PAGE / 8; i++) data[i] = program_mix(data[DATA_CHAIN] + i);
  }
}

static inline uint64_t program_page_of(const struct program *p, uint64_t step, uint64_t random) {
  if ((random & 15) == 0) return (random >> 8) % p->pages;
  uint64_t window = program_mix(p->seed + step / 1024) % p->pages;
  return (window + (random >> 8) % PROGRAM_WINDOW) % p->pages;
}

/* Returns what the step adds to the chain over all steps. */
static inline uint64_t program_step(const struct program *p, uint64_t step) {
  uint64_t random = program_mix(p->seed + (step + 1) * 0x9E3779B97F4A7C15ull);
  uint64_t page = program_page_of(p, step, random);
  volatile uint64_t *data = (volatile uint64_t *)(p->data + page * PROGRAM_PAGE);
  volatile uint64_t *mirror = (volatile uint64_t *)(p->mirror + page * 16);
  volatile uint64_t *control = (volatile uint64_t *)p->control;
  uint64_t count = data[DATA_COUNT], chain = data[DATA_CHAIN];
  if (count != mirror[0] || chain != mirror[1]) {
    control[CONTROL_WRONG_PAGE] = page;
    control[CONTROL_WRONG] = control[CONTROL_WRONG] + 1;
  }
  chain = program_mix(chain ^ random ^ step);
  data[DATA_COUNT] = count + 1;
  data[DATA_CHAIN] = chain;
  data[DATA_ROUND] = *p->round;
  data[DATA_FREE + (random >> 40) % (PROGRAM_PAGE / 8 - DATA_FREE)] = step;
  mirror[0] = count + 1;
  mirror[1] = chain;
  return chain;
}

#endif
