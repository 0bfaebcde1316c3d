/* SPDX-License-Identifier: MIT
 *
 * generation.c - a space that tracks by generation (GMAP_TRACK_GENERATION): leaves stay whole, one bit a page is the
 * truth, and a harvest ends what hosts have cached. */
#include <stddef.h>

#include "fixture.h"

#define SIZE (4 * MIB)
#define PAGES PAGES_OF(SIZE)
#define CACHE 64u

static uint64_t bitmap[MAX_WORDS];

static void open_it(fixture *f, uint32_t slot_flags) {
  gmap_space_config config = space_config(1024 * MIB - 1);
  config.tracking = GMAP_TRACK_GENERATION;
  memset(f, 0, sizeof *f);
  f->size = SIZE;
  f->memory = guest_memory(SIZE);
  f->engine = engine_of(64 * MIB);
  REQUIRE_OK(gmap_space_create(f->engine, &config, &f->space));
  REQUIRE_OK(set_slot(f->space, SLOT, slot_flags, GUEST, SIZE, f->memory));
  REQUIRE_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &f->vcpu, &f->view));
}

static void store_page(const fixture *f, uint64_t page) {
  CHECK_OK(store8(f->view, GUEST + page * PAGE, page, NULL));
  gmap_leave(f->view);
}

/* Exactly these pages, then nothing. */
static void expect(const fixture *f, const uint64_t *pages, size_t n) {
  size_t i;
  CHECK_EQUAL(harvest(f, bitmap), n);
  for (i = 0; i < n; i++) CHECK(page_is_dirty(bitmap, pages[i]));
  CHECK_EQUAL(harvest(f, bitmap), 0);
}

static void leaves_stay_whole(void) {
  static const uint64_t pages[] = {0, 7, 255, 256, 600, PAGES - 1};
  fixture f;
  gmap_space_stats stats;
  size_t i;
  int round;
  open_it(&f, GMAP_SLOT_LOG_DIRTY);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < sizeof pages / sizeof *pages; i++) store_page(&f, pages[i]);
    store_page(&f, 0);
    expect(&f, pages, sizeof pages / sizeof *pages);
  }
  stats = space_stats(f.space);
  CHECK_EQUAL(stats.splits, 0);
  CHECK_EQUAL(stats.page_tables, 0);
  CHECK_EQUAL(stats.segments_mapped, 4);
  CHECK_EQUAL(stats.table_bytes, 160u << 10);
  CHECK_EQUAL(engine_stats(f.engine).dense_bytes, 128u << 10);
  fixture_close(&f);
}

/* A hit of the cache marks nothing, so a harvest has to end it. */
static void caches_end(void) {
  static const uint64_t page[] = {9};
  fixture f;
  gmap_cache_entry cache[CACHE];
  int round;
  open_it(&f, GMAP_SLOT_LOG_DIRTY);
  memset(cache, 0, sizeof cache);
  store_page(&f, 9);
  for (round = 0; round < 3; round++) {
    int times;
    for (times = 0; times < 3; times++) {
      void *host = NULL;
      gmap_enter(f.view);
      if (CHECK_OK(gmap_cache_store(f.view, cache, CACHE - 1, GUEST + 9 * PAGE, 8, &host))) memset(host, round, 8);
      gmap_leave(f.view);
    }
    expect(&f, page, 1);
  }
  fixture_close(&f);
}

static void rights_are_those_of_the_bit(void) {
  fixture f;
  gmap_fault_result result = fault_result();
  open_it(&f, GMAP_SLOT_LOG_DIRTY);
  CHECK_OK(gmap_fault(f.vcpu, GUEST, GMAP_ACCESS_READ, &result));
  CHECK_EQUAL(result.rights, GMAP_ACCESS_READ);
  CHECK_EQUAL(result.leaf_size, MIB);
  CHECK_STATUS(gmap_translate(f.space, GUEST, GMAP_ACCESS_WRITE, &result), GMAP_PIC_PROTECTION);
  CHECK_EQUAL(result.reason, GMAP_REASON_NEEDS_FAULT);
  CHECK_OK(gmap_fault(f.vcpu, GUEST, GMAP_ACCESS_WRITE, &result));
  CHECK_EQUAL(result.flags, GMAP_DONE_GRANTED);
  CHECK_EQUAL(result.rights, GMAP_ACCESS_READ | GMAP_ACCESS_WRITE);
  CHECK_OK(gmap_fault(f.vcpu, GUEST, GMAP_ACCESS_READ, &result));
  CHECK_EQUAL(result.rights, GMAP_ACCESS_READ | GMAP_ACCESS_WRITE);
  CHECK_OK(gmap_fault(f.vcpu, GUEST + PAGE, GMAP_ACCESS_READ, &result));
  CHECK_EQUAL(result.rights, GMAP_ACCESS_READ);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK_OK(gmap_populate(f.space, GUEST + MIB, 2 * PAGE, GMAP_ACCESS_WRITE, 0, NULL));
  CHECK_EQUAL(harvest(&f, bitmap), 2);
  fixture_close(&f);
}

static void get_and_clear(void) {
  static const uint64_t left[] = {1};
  fixture f;
  uint64_t dirty = 0, some[1] = {1};
  open_it(&f, GMAP_SLOT_LOG_DIRTY);
  store_page(&f, 0);
  store_page(&f, 1);
  CHECK_OK(gmap_dirty_get(f.space, SLOT, 0, PAGES, 0, bitmap, &dirty));
  CHECK_EQUAL(dirty, 2);
  CHECK_OK(gmap_dirty_clear(f.space, SLOT, 0, 64, 0, some));
  expect(&f, left, 1);
  store_page(&f, 1);
  CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, GMAP_HARVEST_NO_REARM, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 1);
  expect(&f, left, 1);
  fixture_close(&f);
}

static void ranges_and_ends(void) {
  static const uint64_t kept[] = {3};
  fixture f;
  gmap_slot gone = slot_of(SLOT, 0, 0, 0, NULL);
  open_it(&f, GMAP_SLOT_LOG_DIRTY);
  store_page(&f, 3);
  store_page(&f, 300);
  CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
  CHECK_OK(gmap_discard(f.space, GUEST + 300 * PAGE, PAGE, 0, NULL));
  expect(&f, kept, 1);
  store_page(&f, 300);
  store_page(&f, 301);
  memset(bitmap, 0, sizeof bitmap);
  gone.final_bitmap = bitmap;
  gone.final_words = MAX_WORDS;
  CHECK_OK(gmap_slot_set(f.space, &gone));
  CHECK(page_is_dirty(bitmap, 300) && page_is_dirty(bitmap, 301) && !page_is_dirty(bitmap, 3));
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f.memory));
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  fixture_close(&f);
}

/* What was written while nobody logged is not reported. */
static void arming(void) {
  static const uint64_t page[] = {5};
  fixture f;
  open_it(&f, 0);
  store_page(&f, 4);
  REQUIRE_OK(set_slot(f.space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f.memory));
  store_page(&f, 5);
  expect(&f, page, 1);
  fixture_close(&f);
}

static void refused(void) {
  fixture f;
  gmap_backing_config backing;
  uint64_t handle = 0, vcpu;
  gmap_view *view = NULL;
  void *host = NULL;
  open_it(&f, GMAP_SLOT_LOG_DIRTY);
  memset(&backing, 0, sizeof backing);
  backing.struct_size = sizeof backing;
  backing.kind = GMAP_BACKING_USERFAULTFD_ASYNC;
  CHECK_STATUS(gmap_backing_attach(f.space, SLOT, &backing, &handle), GMAP_EOPNOTSUPP);
  CHECK_EQUAL(handle, 0);
  /* A header from before there were dense bits would set none. */
  REQUIRE_OK(open_vcpu(f.space, 1, &vcpu, &view));
  CHECK_EQUAL(view->inline_version, 0);
  store_page(&f, 1); /* mapped */
  gmap_enter(view);
  CHECK_EQUAL(gmap_store_ptr(view, GUEST + PAGE, 8, &host), GMAP_INLINE_ASK);
  gmap_leave(view);
  CHECK_OK(gmap_vcpu_close(vcpu));
  fixture_close(&f);
}

int main(void) {
  leaves_stay_whole();
  caches_end();
  rights_are_those_of_the_bit();
  get_and_clear();
  ranges_and_ends();
  arming();
  refused();
  return check_done("generation");
}
