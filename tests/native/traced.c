/* SPDX-License-Identifier: MIT
 *
 * traced.c - a known run for a tracer. Says its process id, waits for a line, runs, says what the library counted,
 * waits for another line, ends. The numbers here are those of TraceTests.cs. */
#include "fixture.h"

#include <inttypes.h>
#include <unistd.h>

#define SEGMENTS 8u    /* read first: mapped by a leaf each */
#define SPLIT 5u       /* of these are written while the slot logs */
#define PAGES_EACH 4u  /* pages written in each of them */
#define AGAIN 3u       /* written once more after the first harvest */

static void say(const char *name, uint64_t value) { printf("%s %" PRIu64 "\n", name, value); }

static void wait_for_line(void) {
  char line[16];
  fflush(stdout);
  REQUIRE(fgets(line, sizeof line, stdin) != NULL);
}

static void fault(const fixture *f, uint64_t address, uint32_t access) {
  CHECK_OK(gmap_fault(f->vcpu, address, access, NULL));
  if (access == GMAP_ACCESS_WRITE) f->memory[address - GUEST] = 1;
  gmap_leave(f->view);
}

static void known_run(fixture *f) {
  static uint64_t bitmap[MAX_WORDS];
  uint64_t next;
  unsigned segment, page;
  for (segment = 0; segment < SEGMENTS; segment++) fault(f, GUEST + segment * MIB, GMAP_ACCESS_READ);
  CHECK_OK(set_slot(f->space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, f->size, f->memory));
  for (segment = 0; segment < SPLIT; segment++)
    for (page = 0; page < PAGES_EACH; page++) fault(f, GUEST + segment * MIB + page * PAGE, GMAP_ACCESS_WRITE);
  CHECK_EQUAL(harvest(f, bitmap), SPLIT * PAGES_EACH);
  CHECK_EQUAL(harvest(f, bitmap), 0);
  for (page = 0; page < AGAIN; page++) fault(f, GUEST + page * PAGE, GMAP_ACCESS_WRITE);
  CHECK_EQUAL(harvest(f, bitmap), AGAIN);
  CHECK_OK(gmap_unmap(f->space, GUEST, MIB, 0, &next));
}

/* What the library refuses, and tells. */
static void troubles(const fixture *f) {
  gmap_backing_config backing;
  uint64_t handle, small, space;
  gmap_space_config config = space_config(16384 * MIB - 1); /* a log of 1 MiB, for an arena of 256 KiB */
  memset(&backing, 0, sizeof backing);
  backing.struct_size = sizeof backing;
  backing.kind = GMAP_BACKING_USERFAULTFD_ASYNC;
  munmap(f->memory, (size_t)MIB); /* cannot be tracked now */
  CHECK(gmap_backing_attach(f->space, SLOT, &backing, &handle) < 0);
  small = engine_of(256 << 10);
  REQUIRE_OK(gmap_space_create(small, &config, &space));
  CHECK_STATUS(set_slot(space, SLOT, GMAP_SLOT_LOG_DIRTY, 0, 16384 * MIB, f->memory), GMAP_ENOMEM);
  CHECK_OK(gmap_space_destroy(space));
  CHECK_OK(gmap_engine_destroy(small));
}

int main(void) {
  fixture f;
  gmap_space_stats stats;
  gmap_engine_stats engine;
  CHECK_OK(gmap_runtime_init());
  say("pid", (uint64_t)getpid());
  say("features", gmap_features());
  wait_for_line();

  fixture_open(&f, SEGMENTS * MIB, 0, GMAP_SPLIT_LAZY);
  known_run(&f);
  stats = space_stats(f.space);
  engine = engine_stats(f.engine);
  say("read_faults", stats.read_faults);
  say("write_faults", stats.write_faults);
  say("splits", stats.splits);
  say("armings", stats.armings);
  say("harvests", stats.harvests);
  say("pages_harvested", stats.pages_harvested);
  say("grace_periods", stats.grace_periods);
  say("grace_wait_ns", stats.grace_wait_ns);
  say("harvest_ns", stats.harvest_ns);
  say("committed_bytes", engine.committed_bytes);
  say("locked_bytes", engine.locked_bytes);
  say("table_bytes", engine.region_table_bytes + engine.segment_table_bytes + engine.page_table_bytes);
  troubles(&f);
  printf("ran\n");
  wait_for_line();
  fixture_close(&f);
  return check_done("traced");
}
