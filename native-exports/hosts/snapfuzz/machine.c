/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <errno.h>
#include <gmap.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The library's own words, for the line that says why nothing is run here. */
static char heard[256];

static void listen_to(void *user, int32_t level, const char *message) {
  (void)user;
  if (level == GMAP_LOG_ERROR || !heard[0]) snprintf(heard, sizeof heard, "%s", message);
}

static bool check(const char *call, gmap_status status) {
  return status == 0 || complain("%s: %s", call, gmap_strerror(status));
}

/* Private memory is what a fuzzer takes. A second mapping needs a file. */
static bool map(struct machine *machine, bool alias) {
  machine->memory = map_memory(machine->size);
  if (!machine->memory || !alias) return machine->memory;
  machine->file = memfd_create("gmap-snapfuzz", MFD_CLOEXEC);
  if (machine->file < 0 || ftruncate(machine->file, (off_t)machine->size) != 0)
    return complain("a file in memory: %s", strerror(errno));
  void *first = mmap(machine->memory, machine->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, machine->file, 0);
  void *second = mmap(NULL, machine->size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->file, 0);
  if (first == MAP_FAILED || second == MAP_FAILED) return complain("mapping a file in memory: %s", strerror(errno));
  machine->alias = second;
  return true;
}

static bool open_space(struct machine *machine) {
  gmap_engine_config engine = {.struct_size = sizeof engine, .log = listen_to};
  gmap_space_config space = {.struct_size = sizeof space, .limit = machine->size - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .id = MACHINE_SLOT, .size = machine->size,
                    .host_addr = (uintptr_t)machine->memory};
  return check("gmap_engine_create", gmap_engine_create(&engine, &machine->engine)) &&
         check("gmap_space_create", gmap_space_create(machine->engine, &space, &machine->space)) &&
         check("gmap_slot_set", gmap_slot_set(machine->space, &slot));
}

enum opened machine_open(struct machine *machine, size_t size, bool alias) {
  *machine = (struct machine){.size = size, .file = -1};
  if (!map(machine, alias) || !open_space(machine)) return OPENED_NOT;
  heard[0] = 0;
  gmap_backing_config backing = {.struct_size = sizeof backing, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_status status = gmap_backing_attach(machine->space, MACHINE_SLOT, &backing, &machine->backing);
  if (status == GMAP_EOPNOTSUPP || status == GMAP_EPERM) {
    printf("skipped: %s\n", heard[0] ? heard : "no asynchronous userfaultfd here");
    return OPENED_SKIPPED;
  }
  return check("gmap_backing_attach", status) ? OPENED : OPENED_NOT;
}

bool machine_take(struct machine *machine) {
  return check("gmap_snapshot_take", gmap_snapshot_take(machine->space, NULL, &machine->snapshot));
}

bool machine_restore(struct machine *machine, uint64_t *pages) {
  return check("gmap_snapshot_restore", gmap_snapshot_restore(machine->snapshot, pages));
}

bool machine_verify(struct machine *machine, uint64_t *wrong) {
  return check("gmap_snapshot_verify", gmap_snapshot_verify(machine->snapshot, wrong));
}

void machine_close(struct machine *machine) {
  if (machine->snapshot) (void)check("gmap_snapshot_free", gmap_snapshot_free(machine->snapshot));
  if (machine->backing) (void)check("gmap_backing_detach", gmap_backing_detach(machine->backing));
  if (machine->space) (void)check("gmap_space_destroy", gmap_space_destroy(machine->space));
  if (machine->engine) (void)check("gmap_engine_destroy", gmap_engine_destroy(machine->engine));
  if (machine->alias) munmap(machine->alias, machine->size);
  if (machine->memory) munmap(machine->memory, machine->size);
  if (machine->file >= 0) close(machine->file);
}
