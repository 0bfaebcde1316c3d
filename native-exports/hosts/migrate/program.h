/* SPDX-License-Identifier: MIT
 * The program of one thread of the threads guest: a hash table, an append log and sort runs, in a partition of guest
 * memory. Its whole state, step counter and generator included, is in that memory, so it can go on anywhere from any
 * step boundary.
 *
 * The same code runs over the engine (guest_threads.c) and on ordinary memory (reference.c): whoever includes it
 * defines before
 *   struct cpu;
 *   static uint64_t cpu_load(struct cpu *cpu, uint64_t guest_addr);
 *   static void cpu_store(struct cpu *cpu, uint64_t guest_addr, uint64_t value);      (8 bytes, aligned)
 *
 * A partition: +0 control page | +256K scratch pages of the sort | +1M log, a ring | runs to sort | table, 1 MB shards
 *
 * Of 64 steps 2 append to the log, 4 sort, 58 go to the table; of those one in 32 goes anywhere and the others to a few
 * slots of 8 shards, which move on every 16384 steps. So the pages written are few, and thinly spread over segments. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <string.h>

#include "common.h"

#define PROGRAM_SCRATCH_PAGES 64u
#define PROGRAM_RUN 512u /* elements of 8 bytes: one page */
#define PROGRAM_SLOTS (SEGMENT / 16)
#define PROGRAM_HOME 0x6D2Bu    /* odd: slot = id * HOME modulo 65536 ... */
#define PROGRAM_HOT_SHARDS 8u
#define PROGRAM_HOT_KEYS 32u

enum program_word { /* of the control page */
  W_MAGIC, W_STEP, W_STEPS, W_RANDOM, W_LOG_HEAD, W_LOG_CHAIN, W_SORT_PHASE, W_SORT_AT, W_SORT_RUN, W_SORT_SUM,
  W_SCRATCH, W_INSERTED, W_UPDATED, W_FULL
};

enum { SORT_COPY, SORT_INSERT, SORT_WRITE, SORT_CLEAR };

struct program {
  uint64_t base, scratch, log, log_bytes, runs, runs_bytes, table, shards;
};

static struct program program_layout(uint64_t base, uint64_t bytes) {
  uint64_t part = bytes / 16 / SEGMENT * SEGMENT;
  if (!part) part = SEGMENT;
  return (struct program){.base = base, .scratch = base + (256u << 10), .log = base + SEGMENT, .log_bytes = part,
                          .runs = base + SEGMENT + part, .runs_bytes = part, .table = base + SEGMENT + 2 * part,
                          .shards = (bytes - SEGMENT - 2 * part) / SEGMENT};
}

/* Writes the state before the first step. memory is ordinary memory that holds guest address 0. */
static void program_fill(uint8_t *memory, const struct program *p, uint64_t seed, uint64_t steps) {
  uint64_t *control = (uint64_t *)(memory + p->base), *log = (uint64_t *)(memory + p->log);
  uint64_t *runs = (uint64_t *)(memory + p->runs), *table = (uint64_t *)(memory + p->table);
  control[W_MAGIC] = 0x4D4152474F5250ull;
  control[W_STEPS] = steps;
  control[W_RANDOM] = mix64(seed ^ p->base);
  control[W_LOG_HEAD] = p->log_bytes / 8 * 7; /* an old log, and room that is still zero */
  for (uint64_t i = 0; i < p->log_bytes / 64 * 7; i++) log[i] = mix64(seed + i);
  for (uint64_t i = 0; i < p->runs_bytes / 8; i++) runs[i] = mix64(seed + i * 3);
  for (uint64_t i = 0; i < p->shards * PROGRAM_SLOTS; i++) {
    uint64_t id = i % PROGRAM_SLOTS; /* every other id is there from the beginning, at its home */
    uint64_t *slot = table + (i / PROGRAM_SLOTS * PROGRAM_SLOTS + id * PROGRAM_HOME % PROGRAM_SLOTS) * 2;
    slot[0] = id & 1 ? 0x10000u | id : 0;
    slot[1] = id & 1 ? mix64(i ^ seed) : 0;
  }
}

static inline uint64_t program_get(struct cpu *cpu, const struct program *p, enum program_word word) {
  return cpu_load(cpu, p->base + 8u * word);
}

static inline void program_set(struct cpu *cpu, const struct program *p, enum program_word word, uint64_t value) {
  cpu_store(cpu, p->base + 8u * word, value);
}

static inline void program_add(struct cpu *cpu, const struct program *p, enum program_word word, uint64_t value) {
  program_set(cpu, p, word, program_get(cpu, p, word) + value);
}

static void program_upsert(struct cpu *cpu, const struct program *p, uint64_t step, uint64_t random) {
  bool anywhere = (random >> 6 & 31) == 0;
  uint64_t hot = p->shards < PROGRAM_HOT_SHARDS ? p->shards : PROGRAM_HOT_SHARDS;
  uint64_t shard = (step / 16384 + (random >> 12 & 0xFF) % hot) % p->shards;
  uint64_t id = (shard * 7919 + (random >> 20 & (PROGRAM_HOT_KEYS - 1)) * 2053) & 0xFFFF;
  if (anywhere) {
    shard = (random >> 12 & 0xFFFFFF) % p->shards;
    id = random >> 40 & 0xFFFF;
  }
  uint64_t generation = 1 + (random >> 60 & 1);
  id = generation == 1 ? id | 1 : id & 0x3FFF; /* so that a shard never fills up */
  uint64_t key = generation << 16 | id, slot = id * PROGRAM_HOME % PROGRAM_SLOTS;
  for (unsigned probe = 0; probe < 256; probe++, slot = (slot + 1) % PROGRAM_SLOTS) {
    uint64_t at = p->table + shard * SEGMENT + slot * 16, found = cpu_load(cpu, at);
    if (found && found != key) continue;
    uint64_t value = found ? cpu_load(cpu, at + 8) : 0;
    if (!found) cpu_store(cpu, at, key);
    cpu_store(cpu, at + 8, mix64(value + random) ^ step);
    program_add(cpu, p, found ? W_UPDATED : W_INSERTED, 1);
    return;
  }
  program_add(cpu, p, W_FULL, 1);
}

static void program_append(struct cpu *cpu, const struct program *p, uint64_t step, uint64_t random) {
  uint64_t head = program_get(cpu, p, W_LOG_HEAD) % p->log_bytes, chain = program_get(cpu, p, W_LOG_CHAIN);
  chain = mix64(chain ^ random);
  cpu_store(cpu, p->log + head, step);
  cpu_store(cpu, p->log + head + 8, random);
  cpu_store(cpu, p->log + head + 16, program_get(cpu, p, W_UPDATED));
  cpu_store(cpu, p->log + head + 24, chain);
  program_set(cpu, p, W_LOG_HEAD, (head + 32) % p->log_bytes);
  program_set(cpu, p, W_LOG_CHAIN, chain);
}

/* One element finds its place among those before it. Bounded: garbage in the memory cannot lead out of the page. */
static void program_insert(struct cpu *cpu, uint64_t scratch, uint64_t at) {
  uint64_t value = cpu_load(cpu, scratch + at * 8);
  for (; at > 0; at--) {
    uint64_t before = cpu_load(cpu, scratch + (at - 1) * 8);
    if (before <= value) break;
    cpu_store(cpu, scratch + at * 8, before);
  }
  cpu_store(cpu, scratch + at * 8, value);
}

/* A run is copied to a scratch page, sorted there, written back a little changed; the scratch page becomes zero. */
static void program_sort(struct cpu *cpu, const struct program *p, uint64_t random) {
  uint64_t phase = program_get(cpu, p, W_SORT_PHASE), at = program_get(cpu, p, W_SORT_AT) % PROGRAM_RUN;
  uint64_t run = p->runs + program_get(cpu, p, W_SORT_RUN) % (p->runs_bytes / PAGE) * PAGE;
  uint64_t scratch = p->scratch + program_get(cpu, p, W_SCRATCH) % PROGRAM_SCRATCH_PAGES * PAGE;
  uint64_t sum = program_get(cpu, p, W_SORT_SUM);
  for (unsigned i = 0; i < 8; i++, at++) {
    if (phase == SORT_COPY) cpu_store(cpu, scratch + at * 8, cpu_load(cpu, run + at * 8));
    if (phase == SORT_INSERT) program_insert(cpu, scratch, at);
    if (phase == SORT_WRITE) {
      uint64_t value = cpu_load(cpu, scratch + at * 8);
      sum = mix64(sum + value);
      cpu_store(cpu, run + at * 8, mix64(value + at));
    }
    if (phase == SORT_CLEAR) cpu_store(cpu, scratch + at * 8, 0);
  }
  program_set(cpu, p, W_SORT_SUM, sum);
  program_set(cpu, p, W_SORT_AT, at % PROGRAM_RUN);
  if (at % PROGRAM_RUN) return;
  program_set(cpu, p, W_SORT_PHASE, (phase + 1) % 4);
  if (phase != SORT_CLEAR) return;
  program_set(cpu, p, W_SORT_RUN, random >> 16);
  program_add(cpu, p, W_SCRATCH, 1);
}

static void program_step(struct cpu *cpu, const struct program *p) {
  uint64_t step = program_get(cpu, p, W_STEP), random = program_get(cpu, p, W_RANDOM) + 0x9E3779B97F4A7C15ull;
  program_set(cpu, p, W_RANDOM, random);
  random = mix64(random);
  if ((random & 63) < 2) program_append(cpu, p, step, random);
  else if ((random & 63) < 6) program_sort(cpu, p, random);
  else program_upsert(cpu, p, step, random);
  program_set(cpu, p, W_STEP, step + 1);
}

#endif
