#include "borrowed.h"
#include <stdio.h>
#include <stdlib.h>

struct cpu {
  gmap_view *view;
};

static uint64_t *at(struct cpu *cpu, uint64_t guest_addr, uint32_t access) {
  void *host = NULL;
  gmap_status status = access == GMAP_ACCESS_WRITE ? gmap_store_resolve(cpu->view, guest_addr, 8, &host, NULL)
                                                   : gmap_load_resolve(cpu->view, guest_addr, 8, &host, NULL);
  if (status == 0) return host;
  fprintf(stderr, "the program's access to 0x%llx: %s\n", (unsigned long long)guest_addr, gmap_strerror(status));
  exit(1);
}

static uint64_t cpu_load(struct cpu *cpu, uint64_t guest_addr) { return *at(cpu, guest_addr, GMAP_ACCESS_READ); }

static void cpu_store(struct cpu *cpu, uint64_t guest_addr, uint64_t value) {
  *at(cpu, guest_addr, GMAP_ACCESS_WRITE) = value;
}

#include "program.h"

static struct program programs[MOST_VCPUS];

void threads_fill(uint8_t *memory, uint64_t size) {
  uint64_t partition = (size - SEGMENT) / MOST_VCPUS / SEGMENT * SEGMENT;
  for (unsigned i = 0; i < MOST_VCPUS; i++) {
    programs[i] = program_layout(SEGMENT + i * partition, partition);
    program_fill(memory, programs + i, 1, UINT64_MAX);
  }
}

void threads_step(gmap_view *view, unsigned index) {
  struct cpu cpu = {.view = view};
  program_step(&cpu, programs + index);
}
