/* SPDX-License-Identifier: MIT
 * The library: its snapshot, and what a host can do itself with its harvests. */
#include <gmap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ways.h"

#define RANGES 1024u

static enum opened open_machine(struct way *way, const struct plan *plan) {
  struct machine *machine = way->own = calloc(1, sizeof *machine);
  if (!machine) return complain("out of memory"), OPENED_NOT;
  enum opened opened = machine_open(machine, plan->memory, false);
  if (opened != OPENED) return opened;
  way->target = target_create(machine->memory, machine->size);
  return way->target ? OPENED : OPENED_NOT;
}

void machine_way_close(struct way *way) {
  if (way->own) machine_close(way->own);
  if (way->copy) munmap(way->copy, way->size);
  free(way->own);
}

enum opened snapshot_open(struct way *way, const struct plan *plan) {
  enum opened opened = open_machine(way, plan);
  return opened != OPENED || machine_take(way->own) ? opened : OPENED_NOT;
}

bool snapshot_restore(struct way *way, uint32_t input, uint64_t *pages) {
  (void)input;
  return machine_restore(way->own, pages);
}

/* All of the slot, as runs. With a copy: they are put back. */
static bool harvest(struct machine *machine, uint32_t flags, const uint8_t *copy, uint64_t *pages) {
  static gmap_range ranges[RANGES];
  const uint64_t end = machine->size / PAGE;
  for (uint64_t next = 0; next < end;) {
    size_t count;
    gmap_status status =
      gmap_dirty_harvest_ranges(machine->space, MACHINE_SLOT, next, end - next, flags, ranges, RANGES, &count, &next);
    if (status) return complain("gmap_dirty_harvest_ranges: %s", gmap_strerror(status));
    for (size_t i = 0; copy && i < count; i++) {
      memcpy(machine->memory + ranges[i].first_page * PAGE, copy + ranges[i].first_page * PAGE, ranges[i].count * PAGE);
      *pages += ranges[i].count;
    }
  }
  return true;
}

enum opened harvests_open(struct way *way, const struct plan *plan) {
  enum opened opened = open_machine(way, plan);
  if (opened != OPENED) return opened;
  struct machine *machine = way->own;
  way->size = machine->size;
  way->copy = map_memory(machine->size);
  if (!way->copy) return OPENED_NOT;
  memcpy(way->copy, machine->memory, machine->size);
  return harvest(machine, 0, NULL, NULL) ? OPENED : OPENED_NOT;
}

/* The parser stands still: what it wrote stays writable while it is copied, so that the copy makes no faults, and is
 * protected afterwards. */
bool harvests_restore(struct way *way, uint32_t input, uint64_t *pages) {
  (void)input;
  return harvest(way->own, GMAP_HARVEST_NO_REARM, way->copy, pages) && harvest(way->own, 0, NULL, NULL);
}
