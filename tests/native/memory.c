/* SPDX-License-Identifier: MIT
 *
 * memory.c - the arena's limit stepped down to its minimum, so that exhaustion comes at another call each time: a
 * call succeeds or answers GMAP_ENOMEM with nothing changed; the statistics add up; when memory came back the
 * same call succeeds. */
#include "fixture.h"

#define SLOTS 32u
#define SLOT_SIZE (16 * MIB)
#define SEGMENTS 16u
#define REGION (1ull << 31) /* each slot has a segment table of its own */

#define BALLASTS 2u
#define BALLAST_SLOTS 4u

typedef struct world {
  uint64_t engine, space, ballast[BALLASTS];
  unsigned char *memory;
  uint64_t vcpus[SLOTS];
  unsigned written[SLOTS]; /* segments of a slot that were written, one page each */
  unsigned refused;
} world;

/* One step of the scenario: how it is called, with the index of its slot and segment. */
typedef gmap_status (*step)(world *w, unsigned i, unsigned j);

static uint64_t address(unsigned i, unsigned j) {
  return i * REGION + (j * 257 % SEGMENTS) * MIB + (j * 31 + i) % 256 * PAGE;
}

static gmap_status make_space(world *w, unsigned i, unsigned j) {
  gmap_space_config config = space_config(SLOTS * REGION - 1);
  (void)i, (void)j;
  return gmap_space_create(w->engine, &config, &w->space);
}

static gmap_status make_slot(world *w, unsigned i, unsigned j) {
  (void)j;
  return set_slot(w->space, i, GMAP_SLOT_LOG_DIRTY, i * REGION, SLOT_SIZE, w->memory);
}

static gmap_status make_vcpu(world *w, unsigned i, unsigned j) {
  (void)j;
  return open_vcpu(w->space, GMAP_INLINE_VERSION, &w->vcpus[i], NULL);
}

static gmap_status read_segment(world *w, unsigned i, unsigned j) {
  return gmap_fault(w->vcpus[i], address(i, j), GMAP_ACCESS_READ, NULL);
}

static gmap_status write_page(world *w, unsigned i, unsigned j) {
  return gmap_fault(w->vcpus[i], address(i, j), GMAP_ACCESS_WRITE, NULL);
}

static void statistics_add_up(const world *w, uint64_t limit) {
  gmap_engine_stats s = engine_stats(w->engine);
  uint64_t tables = s.region_table_bytes + s.segment_table_bytes + s.page_table_bytes;
  uint64_t sum = tables + s.log_bytes + s.view_bytes + s.free_bytes;
  CHECK_EQUAL(s.limit_bytes, limit);
  CHECK(s.committed_bytes - s.free_bytes <= s.limit_bytes); /* what is free is not charged */
  CHECK(s.limit_bytes <= s.reserved_bytes && s.free_bytes <= s.committed_bytes);
  CHECK(s.locked_bytes <= s.committed_bytes);
  CHECK(sum <= s.committed_bytes);
  CHECK_EQUAL(s.region_table_bytes % 16384, 0);
  CHECK_EQUAL(s.segment_table_bytes % 32768, 0);
  CHECK_EQUAL(s.page_table_bytes % 2048, 0);
}

static gmap_status fill_ballast(world *w, uint64_t space) {
  uint64_t vcpu;
  unsigned i, j;
  gmap_status status = open_vcpu(space, 0, &vcpu, NULL);
  if (status != 0) return status;
  for (i = 0; i < BALLAST_SLOTS && status == 0; i++) {
    status = set_slot(space, i, GMAP_SLOT_LOG_DIRTY, i * REGION, SLOT_SIZE, w->memory);
    for (j = 0; j < SEGMENTS && status == 0; j++)
      status = gmap_fault(vcpu, i * REGION + j * MIB, GMAP_ACCESS_WRITE, NULL);
  }
  CHECK_OK(gmap_vcpu_close(vcpu));
  return status;
}

/* A space that holds on to whole blocks of every kind of table, to be given back when memory is short. 0: no room. */
static uint64_t make_ballast(world *w) {
  gmap_space_config config = space_config(BALLAST_SLOTS * REGION - 1);
  uint64_t space = 0;
  gmap_status status = gmap_space_create(w->engine, &config, &space);
  if (status == 0) status = fill_ballast(w, space);
  if (status == 0) return space;
  CHECK_STATUS(status, GMAP_ENOMEM);
  if (space) CHECK_OK(gmap_space_destroy(space));
  return 0;
}

/* One slot after the other, then the space. 0: nothing was left to give. */
static int give_back(world *w) {
  unsigned i, j;
  for (i = 0; i < BALLASTS; i++) {
    if (!w->ballast[i]) continue;
    for (j = 0; j < BALLAST_SLOTS; j++) CHECK_OK(set_slot(w->ballast[i], j, 0, 0, 0, NULL));
    CHECK_OK(gmap_space_destroy(w->ballast[i]));
    w->ballast[i] = 0;
    return 1;
  }
  return 0;
}

static uint64_t dirty_of(const world *w, unsigned i) {
  uint64_t dirty = 0;
  gmap_status status = gmap_dirty_get(w->space, i, 0, PAGES_OF(SLOT_SIZE), 0, NULL, &dirty);
  return status == 0 ? dirty : (uint64_t)(int64_t)status;
}

/* Runs a step; where memory is short: nothing changed, and after giving back the same call succeeds. 0: none left. */
static int attempt(world *w, uint64_t limit, step call, unsigned i, unsigned j) {
  gmap_space_stats before, after;
  uint64_t dirty = 0;
  gmap_status status;
  memset(&before, 0, sizeof before);
  if (call != make_space) {
    before = space_stats(w->space);
    dirty = dirty_of(w, i);
  }
  status = call(w, i, j);
  if (status == 0) return 1;
  CHECK_STATUS(status, GMAP_ENOMEM);
  w->refused++;
  statistics_add_up(w, limit);
  if (call != make_space) {
    after = space_stats(w->space);
    CHECK_EQUAL(after.table_bytes, before.table_bytes);
    CHECK_EQUAL(after.splits, before.splits);
    CHECK_EQUAL(after.segments_mapped, before.segments_mapped);
    CHECK_EQUAL(after.pages_granted, before.pages_granted);
    CHECK_EQUAL(after.vcpus, before.vcpus);
    CHECK_EQUAL(dirty_of(w, i), dirty);
  }
  if (!give_back(w)) return 0;
  status = call(w, i, j);
  if (status != 0) {
    gmap_engine_stats s = engine_stats(w->engine);
    check_failed(__FILE__, __LINE__, "%s slot %u, segment %u, after memory came back: %d; limit %llu KiB, %llu free",
                 call == make_space ? "space" : call == make_slot ? "slot_set" : call == make_vcpu ? "vcpu_open" : "fault",
                 i, j, (int)status, (unsigned long long)limit / 1024, (unsigned long long)s.free_bytes);
  }
  return status == 0;
}

/* Runs until nothing is left to give back; returns 1 if all of it went through. */
static int scenario(world *w, uint64_t limit) {
  unsigned i, j;
  if (!attempt(w, limit, make_space, 0, 0)) return 0;
  for (i = 0; i < SLOTS; i++) {
    if (!attempt(w, limit, make_slot, i, 0)) return 0;
    if (!attempt(w, limit, make_vcpu, i, 0)) return 0;
    for (j = 0; j < SEGMENTS; j++) {
      if (!attempt(w, limit, read_segment, i, j)) return 0;
      if (!attempt(w, limit, write_page, i, j)) return 0;
      w->written[i]++;
    }
  }
  return 1;
}

/* What was granted is reported, and nothing else; then everything is taken down. */
static void aftermath(world *w) {
  static uint64_t bitmap[SLOT_SIZE / PAGE / 64];
  unsigned i, j;
  for (i = 0; w->space && i < SLOTS; i++) {
    uint64_t dirty = 0;
    const uint64_t pages = PAGES_OF(SLOT_SIZE);
    gmap_status status = gmap_dirty_harvest(w->space, i, 0, pages, 0, bitmap, pages / 64, &dirty);
    if (status == GMAP_ENOENT && w->written[i] == 0) continue;
    CHECK_OK(status);
    CHECK_EQUAL(dirty, w->written[i]);
    for (j = 0; j < w->written[i]; j++) CHECK(page_is_dirty(bitmap, PAGES_OF(address(i, j) - i * REGION)));
  }
  for (i = 0; i < SLOTS; i++)
    if (w->vcpus[i]) CHECK_OK(gmap_vcpu_close(w->vcpus[i]));
  if (w->space) CHECK_OK(gmap_space_destroy(w->space));
  while (give_back(w)) continue;
}

/* Tables and logs are as when the engine was new. */
static void everything_came_back(world *w, uint64_t limit, const gmap_engine_stats *new) {
  gmap_engine_stats s = engine_stats(w->engine);
  CHECK_EQUAL(s.spaces, 0);
  CHECK_EQUAL(s.region_table_bytes, new->region_table_bytes);
  CHECK_EQUAL(s.segment_table_bytes, new->segment_table_bytes);
  CHECK_EQUAL(s.page_table_bytes, new->page_table_bytes);
  CHECK_EQUAL(s.limbo_bytes, 0);
  CHECK_EQUAL(s.log_bytes, 0);
  statistics_add_up(w, limit);
}

/* Twice in one engine: the second time with what the first gave back. Returns 1 if nothing was refused. */
static int with_limit(uint64_t limit, unsigned char *memory) {
  world w;
  unsigned i, round, refused = 0;
  uint64_t engine = engine_of(limit);
  gmap_engine_stats new = engine_stats(engine);
  for (round = 0; round < 2; round++) {
    memset(&w, 0, sizeof w);
    w.engine = engine;
    w.memory = memory;
    for (i = 0; i < BALLASTS; i++) w.ballast[i] = make_ballast(&w);
    scenario(&w, limit);
    aftermath(&w);
    everything_came_back(&w, limit, &new);
    refused += w.refused;
  }
  CHECK_OK(gmap_engine_destroy(engine));
  return refused == 0;
}

/* Tables and logs share one budget: what tables gave back is there for a log, and the other way round. */
static void tables_and_logs_share(unsigned char *memory) {
  world w = {.engine = engine_of(MIB), .memory = memory};
  const uint64_t at = 16 * REGION, large = 8192 * MIB; /* a log of 256 KiB, and its epoch */
  unsigned slots = 0, round, j;
  CHECK_OK(make_space(&w, 0, 0));
  CHECK_OK(make_vcpu(&w, 0, 0));
  for (round = 0; round < 3; round++) {
    for (slots = 0; slots < 16 && make_slot(&w, slots, 0) == 0; slots++)
      for (j = 0; j < SEGMENTS && gmap_fault(w.vcpus[0], address(slots, j), GMAP_ACCESS_WRITE, NULL) == 0;) j++;
    CHECK_STATUS(set_slot(w.space, 100, GMAP_SLOT_LOG_DIRTY, at, large, memory), GMAP_ENOMEM);
    while (slots > 0) CHECK_OK(set_slot(w.space, --slots, 0, 0, 0, NULL)); /* tables come back */
    CHECK_OK(set_slot(w.space, 100, GMAP_SLOT_LOG_DIRTY, at, large, memory));
    CHECK_OK(set_slot(w.space, 100, 0, 0, 0, NULL)); /* the log comes back */
  }
  CHECK_OK(gmap_vcpu_close(w.vcpus[0]));
  CHECK_OK(gmap_space_destroy(w.space));
  CHECK_OK(gmap_engine_destroy(w.engine));
}

int main(void) {
  unsigned char *memory = guest_memory(SLOT_SIZE);
  uint64_t limit;
  unsigned limits = 0;
  for (limit = MIB / 4; limit < 16 * MIB; limit += 65536, limits++)
    if (with_limit(limit, memory)) break;
  CHECK(limits > 4);         /* the smallest arenas were too small */
  CHECK(limit < 16 * MIB);   /* and there is one that is large enough */
  tables_and_logs_share(memory);
  printf("memory: %u arena sizes were too small, %llu KiB is enough\n", limits, (unsigned long long)limit / 1024);
  return check_done("memory");
}
