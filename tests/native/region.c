/* SPDX-License-Identifier: MIT
 *
 * region.c - a space with leaves of 2 GB (GMAP_HUGE_2G): loads and stores go through them without a call, and a slot
 * that logs has them split, or by the policy never dirty as a whole. */
#include "fixture.h"

#define REGION (2048 * MIB)
#define PAGES PAGES_OF(REGION)
#define FAR (REGION + 1234 * MIB + 0x5678)

static uint64_t bitmap[PAGES / 64];

/* A slot of 2 GB from 2 GB on; its memory agrees with that, and takes no more than what is stored. */
static void open_it(fixture *f, uint32_t huge, uint32_t policy, uint32_t slot_flags) {
  gmap_space_config config = space_config(4 * REGION - 1);
  unsigned char *raw = (unsigned char *)mmap(NULL, 2 * REGION, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(raw != MAP_FAILED);
  config.huge = huge;
  config.split_policy = policy;
  memset(f, 0, sizeof *f);
  f->size = 2 * REGION;
  f->memory = raw;
  f->engine = engine_of(64 * MIB);
  REQUIRE_OK(gmap_space_create(f->engine, &config, &f->space));
  REQUIRE_OK(set_slot(f->space, SLOT, slot_flags, REGION, REGION, raw + (-(uintptr_t)raw & (REGION - 1))));
  REQUIRE_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &f->vcpu, &f->view));
}

static uint64_t dirty_pages(const fixture *f) {
  uint64_t dirty = ~0ull;
  CHECK_OK(gmap_dirty_harvest(f->space, SLOT, 0, PAGES, 0, bitmap, PAGES / 64, &dirty));
  return dirty;
}

static void header_goes_through(void) {
  fixture f;
  uint64_t value = 0;
  unsigned calls = 0;
  gmap_fault_result result = fault_result();
  open_it(&f, GMAP_HUGE_2G, GMAP_SPLIT_LAZY, 0);
  CHECK_OK(store8(f.view, FAR, 77, &calls));
  CHECK_OK(load8(f.view, FAR, &value, &calls));
  CHECK_OK(store8(f.view, 2 * REGION - 8, 78, &calls));
  CHECK_OK(load8(f.view, REGION, &value, &calls));
  gmap_leave(f.view);
  CHECK_EQUAL(calls, 1);
  CHECK_OK(gmap_fault(f.vcpu, FAR, GMAP_ACCESS_READ, &result));
  gmap_leave(f.view);
  CHECK_EQUAL(result.leaf_size, REGION);
  CHECK_EQUAL(result.rights, GMAP_ACCESS_READ | GMAP_ACCESS_WRITE);
  CHECK_EQUAL(*(uint64_t *)(uintptr_t)result.host_addr, 77);
  CHECK_EQUAL(space_stats(f.space).segments_mapped, 2048);
  CHECK_EQUAL(space_stats(f.space).segment_tables, 1);
  CHECK_EQUAL(space_stats(f.space).table_bytes, 64u << 10);
  CHECK_STATUS(load8(f.view, 2 * REGION, &value, NULL), GMAP_PIC_ADDRESSING);
  gmap_leave(f.view);
  fixture_close(&f);
}

static void first_write_splits(void) {
  fixture f;
  uint64_t value;
  open_it(&f, GMAP_HUGE_2G, GMAP_SPLIT_LAZY, GMAP_SLOT_LOG_DIRTY);
  CHECK_OK(load8(f.view, REGION, &value, NULL));
  CHECK_OK(store8(f.view, FAR, 5, NULL));
  gmap_leave(f.view);
  CHECK_EQUAL(space_stats(f.space).splits, 2);
  CHECK_EQUAL(dirty_pages(&f), 1);
  CHECK(page_is_dirty(bitmap, PAGES_OF(FAR - REGION)));
  fixture_close(&f);
}

static void never_makes_all_dirty(void) {
  fixture f;
  uint64_t value;
  unsigned calls = 0;
  int round;
  open_it(&f, GMAP_HUGE_2G, GMAP_SPLIT_NEVER, GMAP_SLOT_LOG_DIRTY);
  CHECK_OK(load8(f.view, REGION, &value, NULL));
  gmap_leave(f.view);
  for (round = 1; round < 4; round++) {
    CHECK_OK(store8(f.view, FAR, (uint64_t)round, &calls));
    CHECK_OK(store8(f.view, REGION, (uint64_t)round, &calls));
    gmap_leave(f.view);
    CHECK_EQUAL(calls, round);
    CHECK_EQUAL(dirty_pages(&f), PAGES);
    CHECK_EQUAL(dirty_pages(&f), 0);
  }
  CHECK_OK(gmap_unmap(f.space, REGION, REGION, 0, NULL));
  CHECK_EQUAL(space_stats(f.space).pages_unmapped, PAGES);
  fixture_close(&f);
}

static void by_generation_it_is_accepted(void) {
  gmap_space_config config = space_config(4 * REGION - 1);
  uint64_t engine = engine_of(64 * MIB), space;
  config.huge = GMAP_HUGE_2G;
  config.tracking = GMAP_TRACK_GENERATION;
  CHECK_OK(gmap_space_create(engine, &config, &space));
  config.huge = GMAP_HUGE_2G + 1;
  config.tracking = 0;
  CHECK_STATUS(gmap_space_create(engine, &config, &space), GMAP_EINVAL);
  CHECK_OK(gmap_space_destroy(space));
  CHECK_OK(gmap_engine_destroy(engine));
}

int main(void) {
  header_goes_through();
  first_write_splits();
  never_makes_all_dirty();
  by_generation_it_is_accepted();
  return check_done("region");
}
