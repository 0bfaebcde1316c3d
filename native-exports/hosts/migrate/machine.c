/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT (2ull << 20)

bool machine_kernel_can_track(void) {
  gmap_runtime_init();
  return (gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC) != 0;
}

static void keep_log(void *user, int32_t level, const char *message) {
  struct machine *machine = user;
  (void)level;
  snprintf(machine->log, sizeof machine->log, "%s", message);
}

static int refuse(const struct machine *machine, const char *what, gmap_status status) {
  return complain("%s: %s%s%s", what, gmap_strerror(status), *machine->log ? "; " : "", machine->log);
}

static int map_memory(struct machine *machine) {
  uint8_t *at = mmap(NULL, machine->size + ALIGNMENT, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED)
    return complain("%llu MiB of guest memory: %s; give less with --memory", (unsigned long long)(machine->size >> 20),
                    strerror(errno));
  uint64_t head = (ALIGNMENT - (uintptr_t)at % ALIGNMENT) % ALIGNMENT;
  if (head) munmap(at, head);
  munmap(at + head + machine->size, ALIGNMENT - head);
  machine->memory = at + head;
  madvise(machine->memory, machine->size, MADV_HUGEPAGE); /* a wish */
  return DONE;
}

static int set_slot(struct machine *machine, uint32_t flags) {
  gmap_slot slot = {.struct_size = sizeof slot, .flags = flags, .id = MACHINE_SLOT, .size = machine->size,
                    .host_addr = (uintptr_t)machine->memory};
  gmap_status status = gmap_slot_set(machine->space, &slot);
  return status ? refuse(machine, flags ? "turning the dirty log on" : "creating the memory slot", status) : DONE;
}

int machine_create(struct machine *machine, uint64_t size, uint32_t policy) {
  *machine = (struct machine){.size = size, .pages = size / PAGE};
  gmap_runtime_init(); /* first: its signal handlers */
  if (gmap_abi_version() >> 16 != GMAP_ABI_VERSION >> 16)
    return complain("libgmapnative %s speaks another ABI: rebuild this program", gmap_version_string());
  if (map_memory(machine) != DONE) return FAILED;
  gmap_engine_config engine = {.struct_size = sizeof engine, .log = keep_log, .user = machine};
  gmap_space_config space = {.struct_size = sizeof space, .limit = size - 1, .split_policy = policy};
  gmap_status status = gmap_engine_create(&engine, &machine->engine);
  if (status) refuse(machine, "creating the engine", status);
  if (!status && (status = gmap_space_create(machine->engine, &space, &machine->space)) != 0)
    refuse(machine, "creating the space", status);
  if (!status && set_slot(machine, 0) == DONE) return DONE;
  machine_destroy(machine);
  return FAILED;
}

int machine_attach(struct machine *machine) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_status status = gmap_backing_attach(machine->space, MACHINE_SLOT, &config, &machine->backing);
  return status ? refuse(machine, "--backing userfaultfd", status) : DONE;
}

int machine_expect(struct machine *machine, const uint64_t *bitmap, bool stops) {
  gmap_backing_config config = {.struct_size = sizeof config,
                                .kind = stops ? GMAP_BACKING_USERFAULTFD_MISSING : GMAP_BACKING_MISSING,
                                .missing = bitmap, .missing_words = (machine->pages + 63) / 64};
  for (uint64_t page = 0, end; stops && page < machine->pages; page = end) {
    bool missing = bitmap[page / 64] >> (page % 64) & 1;
    for (end = page + 1; end < machine->pages && (bitmap[end / 64] >> (end % 64) & 1) == missing; end++) continue;
    if (missing && madvise(machine->memory + page * PAGE, (end - page) * PAGE, MADV_DONTNEED) != 0)
      return complain("emptying guest memory: %s", strerror(errno));
  }
  gmap_status status = gmap_backing_attach(machine->space, MACHINE_SLOT, &config, &machine->missing);
  return status ? refuse(machine, "postcopy", status) : DONE;
}

int machine_complete(struct machine *machine) {
  gmap_status status = gmap_backing_detach(machine->missing);
  machine->missing = 0;
  return status ? refuse(machine, "the end of postcopy", status) : DONE;
}

void machine_destroy(struct machine *machine) {
  gmap_status status = machine->space ? gmap_space_destroy(machine->space) : 0;
  if (!status && machine->engine) status = gmap_engine_destroy(machine->engine);
  if (status) refuse(machine, "taking the engine down", status);
  if (machine->memory) munmap(machine->memory, machine->size);
  machine->memory = NULL;
  machine->engine = machine->space = machine->backing = machine->missing = 0;
}

int machine_log(struct machine *machine) {
  if (machine->logging) return DONE;
  if (set_slot(machine, GMAP_SLOT_LOG_DIRTY | GMAP_SLOT_INITIALLY_DIRTY) != DONE) return FAILED;
  machine->logging = true;
  return DONE;
}

int machine_harvest(struct machine *machine, uint64_t *bitmap, uint64_t *pages) {
  gmap_status status = gmap_dirty_harvest(machine->space, MACHINE_SLOT, 0, machine->pages, 0, bitmap,
                                          (machine->pages + 63) / 64, pages);
  return status ? refuse(machine, "harvest", status) : DONE;
}

int machine_count(struct machine *machine, uint64_t *pages) {
  gmap_status status = gmap_dirty_get(machine->space, MACHINE_SLOT, 0, machine->pages, 0, NULL, pages);
  return status ? refuse(machine, "counting dirty pages", status) : DONE;
}

int machine_mark_all(struct machine *machine) {
  uint64_t words = (machine->pages + 63) / 64;
  uint64_t *all = malloc(words * sizeof *all);
  if (!all) return complain("out of memory");
  memset(all, 0xFF, words * sizeof *all);
  gmap_status status = gmap_mark_dirty_bitmap(machine->space, MACHINE_SLOT, 0, machine->pages, all);
  free(all);
  return status ? refuse(machine, "marking every page", status) : DONE;
}

int machine_stats(struct machine *machine, gmap_space_stats *stats) {
  *stats = (gmap_space_stats){.struct_size = sizeof *stats};
  gmap_status status = gmap_space_get_stats(machine->space, stats);
  return status ? refuse(machine, "statistics", status) : DONE;
}

uint64_t machine_huge_bytes(const struct machine *machine) {
  FILE *smaps = fopen("/proc/self/smaps", "r");
  uint64_t sum = 0;
  bool ours = false;
  char line[512];
  while (smaps && fgets(line, sizeof line, smaps)) {
    unsigned long long from, to, kb;
    if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
      ours = from < (uintptr_t)machine->memory + machine->size && to > (uintptr_t)machine->memory;
    else if (ours && sscanf(line, "AnonHugePages: %llu", &kb) == 1)
      sum += kb << 10;
  }
  if (smaps) fclose(smaps);
  return sum;
}
