/* SPDX-License-Identifier: MIT
 * The known answer: the threads guest's program on ordinary memory, without the engine. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "digest.h"
#include "guest.h"

struct cpu {
  uint8_t *memory;
};

static inline uint64_t cpu_load(struct cpu *cpu, uint64_t guest_addr) {
  return *(uint64_t *)(cpu->memory + guest_addr);
}

static inline void cpu_store(struct cpu *cpu, uint64_t guest_addr, uint64_t value) {
  *(uint64_t *)(cpu->memory + guest_addr) = value;
}

#include "program.h"

struct work {
  const struct guest_header *header;
  uint8_t *memory;
  uint64_t index, answer;
};

static void *run_one(void *argument) {
  struct work *work = argument;
  struct cpu cpu = {.memory = work->memory};
  uint64_t bytes = work->header->partition, base = SEGMENT + work->index * bytes;
  struct program program = program_layout(base, bytes);
  program_fill(cpu.memory, &program, work->header->seed, work->header->steps);
  for (uint64_t step = 0; step < work->header->steps; step++) program_step(&cpu, &program);
  work->answer = digest_pages(cpu.memory + base, bytes);
  madvise(cpu.memory + base, bytes, MADV_DONTNEED); /* the next one may need the memory */
  return NULL;
}

int reference_answer(const struct guest_header *header, uint64_t *answer) {
  uint64_t size = SEGMENT + header->threads * header->partition, sum = 0;
  struct work *work = calloc(header->threads, sizeof *work);
  pthread_t threads[2];
  uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (!work || memory == MAP_FAILED) return free(work), complain("out of memory for the reference run");
  madvise(memory, size, MADV_HUGEPAGE);
  for (uint64_t i = 0; i < header->threads; i += 2) { /* two at a time: as much memory as it takes, not more */
    unsigned n = 0;
    for (; n < 2 && i + n < header->threads; n++) {
      work[i + n] = (struct work){.header = header, .memory = memory, .index = i + n};
      int error = pthread_create(&threads[n], NULL, run_one, &work[i + n]);
      if (error) run_one(&work[i + n]), threads[n] = pthread_self();
    }
    while (n--)
      if (!pthread_equal(threads[n], pthread_self())) pthread_join(threads[n], NULL);
  }
  for (uint64_t i = 0; i < header->threads; i++) sum = mix64(sum ^ work[i].answer);
  munmap(memory, size);
  free(work);
  *answer = sum;
  return DONE;
}
