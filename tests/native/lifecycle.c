/* SPDX-License-Identifier: MIT
 *
 * lifecycle.c - a small host from start to end, and what splitting promises: a read keeps 1 MB leaves, the first
 * write splits exactly one of them and makes exactly one page dirty, a harvest reports exactly what was written. */
#include "fixture.h"

#define SIZE (16 * MIB)
#define PAGES PAGES_OF(SIZE)

static uint64_t bitmap[MAX_WORDS];

/* The README's thirty lines, more or less. */
static void the_short_way(void) {
  static uint64_t value = 0x0123456789ABCDEFull;
  unsigned char *memory = guest_memory(16 * MIB);
  gmap_space_config space_is = {.struct_size = sizeof space_is, .limit = 16 * MIB - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .size = 16 * MIB,
                    .host_addr = (uintptr_t)memory};
  gmap_vcpu_config vcpu_is = {.struct_size = sizeof vcpu_is, .inline_version = GMAP_INLINE_VERSION};
  uint64_t engine, space, vcpu, dirty;
  gmap_view *view;
  void *host = NULL;

  CHECK_EQUAL(gmap_abi_version() >> 16, GMAP_ABI_VERSION >> 16);
  REQUIRE_OK(gmap_runtime_init());
  REQUIRE_OK(gmap_engine_create(NULL, &engine));
  REQUIRE_OK(gmap_space_create(engine, &space_is, &space));
  REQUIRE_OK(gmap_slot_set(space, &slot));
  REQUIRE_OK(gmap_vcpu_open(space, &vcpu_is, &vcpu, &view));

  gmap_enter(view);
  if (CHECK_OK(gmap_store_resolve(view, 0x12348, sizeof value, &host, NULL))) memcpy(host, &value, sizeof value);
  gmap_leave(view);

  CHECK_OK(gmap_dirty_harvest(space, 0, 0, PAGES, 0, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 1);
  CHECK_PAGES(bitmap, PAGES, 0x12);
  CHECK(memcmp(memory + 0x12348, &value, sizeof value) == 0);

  CHECK_OK(gmap_vcpu_close(vcpu));
  CHECK_OK(gmap_space_destroy(space));
  CHECK_OK(gmap_engine_destroy(engine));
  munmap(memory, 16 * MIB);
}

static void library_group(void) {
  int32_t code;
  CHECK(gmap_version_string() != NULL && strchr(gmap_version_string(), '.') != NULL);
  CHECK_EQUAL(gmap_abi_version(), GMAP_ABI_VERSION); /* header and library of one build */
  for (code = -140; code <= 0x100; code++) CHECK(gmap_strerror(code) != NULL && gmap_strerror(code)[0] != 0);
  CHECK(gmap_strerror(INT32_MIN) != NULL && gmap_strerror(INT32_MAX) != NULL);
  CHECK(strcmp(gmap_strerror(GMAP_ENOMEM), gmap_strerror(GMAP_EINVAL)) != 0);
  CHECK(strcmp(gmap_strerror(GMAP_PIC_PROTECTION), gmap_strerror(GMAP_PIC_ADDRESSING)) != 0);
  CHECK(gmap_features() == gmap_features());
  CHECK((gmap_features() & ~(uint64_t)0x3F) == 0);
  CHECK_OK(gmap_runtime_init());
}

/* A read fault maps a leaf and keeps it, however often it is asked. */
static void reads_keep_leaves(fixture *f) {
  gmap_fault_result result;
  uint64_t segment, value, before = space_stats(f->space).segments_mapped;
  for (segment = 0; segment < SIZE / MIB; segment++) {
    result = fault_result();
    CHECK_OK(gmap_fault(f->vcpu, GUEST + segment * MIB + 0x5123, GMAP_ACCESS_READ, &result));
    CHECK_EQUAL(result.leaf_size, MIB);
    CHECK_EQUAL(result.host_addr, (uintptr_t)f->memory + segment * MIB + 0x5123);
    CHECK_EQUAL(result.flags, GMAP_DONE_MAPPED);
    CHECK_EQUAL(result.rights & GMAP_ACCESS_READ, GMAP_ACCESS_READ);
    CHECK_EQUAL(result.rights & GMAP_ACCESS_WRITE, 0);
    CHECK_EQUAL(result.reason, GMAP_REASON_NONE);
    CHECK_EQUAL(result.depth, 0);
    CHECK_OK(load8(f->view, GUEST + segment * MIB + 0x9008, &value, NULL));
  }
  gmap_leave(f->view);
  CHECK_EQUAL(space_stats(f->space).segments_mapped - before, SIZE / MIB);
  CHECK_EQUAL(space_stats(f->space).splits, 0);
  CHECK_EQUAL(space_stats(f->space).page_tables, 0);
  CHECK_EQUAL(harvest(f, bitmap), 0);
  CHECK_NO_PAGES(bitmap, PAGES);
}

/* The first write after arming: one split, one page granted, 255 neighbours clean and mapped. */
static void first_write_splits_one(fixture *f) {
  uint64_t page, at = GUEST + 5 * MIB + 37 * PAGE + 0x18;
  gmap_fault_result result = fault_result();
  CHECK_OK(gmap_fault(f->vcpu, at, GMAP_ACCESS_WRITE, &result));
  CHECK_EQUAL(result.flags, GMAP_DONE_SPLIT | GMAP_DONE_GRANTED);
  CHECK_EQUAL(result.leaf_size, PAGE);
  CHECK_EQUAL(result.host_addr, (uintptr_t)f->memory + (at - GUEST));
  CHECK_EQUAL(result.rights, GMAP_ACCESS_READ | GMAP_ACCESS_WRITE);
  memset((void *)(uintptr_t)result.host_addr, 0x77, 8);
  gmap_leave(f->view);
  CHECK_EQUAL(space_stats(f->space).splits, 1);
  CHECK_EQUAL(space_stats(f->space).page_tables, 1);
  CHECK_EQUAL(space_stats(f->space).pages_granted, 1);
  for (page = 0; page < PAGES; page++) {
    gmap_status expected = page == 5 * 256 + 37 ? 0 : GMAP_PIC_PROTECTION;
    result = fault_result();
    CHECK_STATUS(gmap_translate(f->space, GUEST + page * PAGE, GMAP_ACCESS_WRITE, &result), expected);
    if (expected) CHECK_EQUAL(result.reason, GMAP_REASON_NEEDS_FAULT);
    CHECK_OK(gmap_translate(f->space, GUEST + page * PAGE, GMAP_ACCESS_READ, &result));
    CHECK_EQUAL(result.leaf_size, page / 256 == 5 ? PAGE : MIB);
  }
}

/* In the split segment stores go through without a call; a clean page is made dirty by the header. */
static void inline_store_needs_no_call(fixture *f) {
  gmap_space_stats before = space_stats(f->space), after;
  unsigned calls = 0;
  gmap_enter(f->view);
  CHECK_OK(store8(f->view, GUEST + 5 * MIB + 200 * PAGE, 1, &calls)); /* clean until now */
  CHECK_OK(store8(f->view, GUEST + 5 * MIB + 37 * PAGE, 2, &calls));  /* dirty already */
  gmap_leave(f->view);
  after = space_stats(f->space);
  CHECK_EQUAL(calls, 0);
  CHECK_EQUAL(after.write_faults, before.write_faults);
  CHECK_EQUAL(after.splits, before.splits);
}

static void harvest_reports_exactly(fixture *f) {
  uint64_t dirty = 0, again[MAX_WORDS];
  CHECK_OK(gmap_dirty_get(f->space, SLOT, 0, PAGES, 0, again, &dirty));
  CHECK_EQUAL(dirty, 2);
  CHECK_PAGES(again, PAGES, 5 * 256 + 37, 5 * 256 + 200);
  CHECK_EQUAL(harvest(f, bitmap), 2); /* get consumed nothing */
  CHECK_PAGES(bitmap, PAGES, 5 * 256 + 37, 5 * 256 + 200);
  CHECK_EQUAL(bitmap[PAGES / 64], ~0ull); /* what lies behind the bitmap is not touched */
  CHECK_EQUAL(harvest(f, bitmap), 0);
  CHECK_NO_PAGES(bitmap, PAGES);
}

/* After a harvest each page of a split segment is armed again; a store to it needs no call and is reported again. */
static void rounds_go_on(fixture *f) {
  unsigned calls = 0, round;
  for (round = 0; round < 5; round++) {
    gmap_enter(f->view);
    CHECK_OK(store8(f->view, GUEST + 5 * MIB + 200 * PAGE + 8 * round, round, &calls));
    gmap_leave(f->view);
    CHECK_EQUAL(harvest(f, bitmap), 1);
    CHECK_PAGES(bitmap, PAGES, 5 * 256 + 200);
  }
  CHECK_EQUAL(calls, 0);
  CHECK_EQUAL(space_stats(f->space).splits, 1);
}

static void last_round_and_clear(fixture *f) {
  uint64_t dirty, only[MAX_WORDS] = {0};
  CHECK_OK(store8(f->view, GUEST + 5 * MIB, 1, NULL));
  CHECK_OK(store8(f->view, GUEST + 5 * MIB + PAGE, 1, NULL));
  gmap_leave(f->view);
  CHECK_OK(gmap_dirty_harvest(f->space, SLOT, 0, PAGES, GMAP_HARVEST_NO_REARM, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 2);
  only[5 * 256 / 64] = 1; /* of the two: the first */
  CHECK_OK(gmap_dirty_clear(f->space, SLOT, 0, PAGES, 0, only));
  memset(bitmap, 0, sizeof bitmap);
  bitmap[0] = 1; /* with OR what was there stays */
  CHECK_OK(gmap_dirty_harvest(f->space, SLOT, 0, PAGES, GMAP_HARVEST_OR, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 1);
  CHECK_PAGES(bitmap, PAGES, 0, 5 * 256 + 1);
}

/* Marks, host writes, unmap: dirty without tables. */
static void other_writers(fixture *f) {
  uint64_t list[] = {GUEST + 3 * PAGE + 1, 0x10, GUEST + SIZE - 1}, bits[2] = {0x5, 0x1}, next = 0;
  CHECK_OK(gmap_mark_dirty(f->space, GUEST + 10 * PAGE + 4095, 2)); /* 10 and 11 */
  CHECK_OK(gmap_mark_dirty(f->space, GUEST + 20 * PAGE, 0));
  CHECK_OK(gmap_mark_dirty_batch(f->space, list, 3)); /* 3, nothing, the last */
  CHECK_OK(gmap_mark_dirty_bitmap(f->space, SLOT, 100, 65, bits)); /* 100, 102, 164 */
  CHECK_OK(gmap_write(f->space, GUEST + 30 * PAGE - 4, "12345678", 8));
  CHECK(memcmp(f->memory + 30 * PAGE - 4, "12345678", 8) == 0);
  CHECK_OK(store8(f->view, GUEST + 5 * MIB + 9 * PAGE, 1, NULL));
  gmap_leave(f->view);
  CHECK_OK(gmap_unmap(f->space, GUEST + 5 * MIB, MIB, 0, &next));
  CHECK_EQUAL(next, GUEST + 6 * MIB);
  CHECK_EQUAL(space_stats(f->space).page_tables, 0);
  CHECK_EQUAL(harvest(f, bitmap), 10);
  CHECK_PAGES(bitmap, PAGES, 3, 10, 11, 29, 30, 100, 102, 164, 5 * 256 + 9, PAGES - 1);
}

/* Ranges under explicit control: split, age, collapse, discard. */
static void ranges(fixture *f) {
  uint64_t at = GUEST + 6 * MIB, number = 0, tables = space_stats(f->space).page_tables;
  gmap_fault_result result = fault_result();
  CHECK_OK(gmap_populate(f->space, at, MIB, GMAP_ACCESS_READ, 0, NULL));
  CHECK_OK(gmap_split(f->space, at, PAGE, 0, &number));
  CHECK_EQUAL(number, at + PAGE);
  CHECK_EQUAL(space_stats(f->space).page_tables, tables + 1);
  CHECK_OK(store8(f->view, at + 3 * PAGE, 1, NULL));
  gmap_leave(f->view);
  CHECK_OK(gmap_age(f->space, at, MIB, 0, &number));
  CHECK_EQUAL(number, 256);
  CHECK_OK(store8(f->view, at + 3 * PAGE, 2, NULL)); /* dirty still, used again */
  gmap_leave(f->view);
  CHECK_OK(gmap_age(f->space, at, MIB, 0, &number));
  CHECK_EQUAL(number, 1);
  CHECK_OK(gmap_collapse(f->space, at, MIB, 0, &number));
  CHECK_EQUAL(number, 0); /* one page of it is dirty */
  CHECK_EQUAL(harvest(f, bitmap), 1);
  CHECK_PAGES(bitmap, PAGES, 6 * 256 + 3);
  CHECK_OK(gmap_collapse(f->space, at, MIB, 0, &number));
  CHECK_EQUAL(number, 1);
  CHECK_EQUAL(space_stats(f->space).page_tables, tables);
  CHECK_OK(gmap_fault(f->vcpu, at, GMAP_ACCESS_READ, &result));
  gmap_leave(f->view);
  CHECK_EQUAL(result.leaf_size, MIB);
  CHECK_OK(store8(f->view, at + 4 * PAGE, 3, NULL));
  gmap_leave(f->view);
  CHECK_OK(gmap_discard(f->space, at, MIB, 0, &number));
  CHECK_EQUAL(number, at + MIB);
  CHECK_EQUAL(harvest(f, bitmap), 0);
}

/* A slot goes: its last dirty bits come with it. */
static void the_last_bits(fixture *f) {
  gmap_slot gone = slot_of(SLOT, 0, 0, 0, NULL);
  CHECK_OK(store8(f->view, GUEST + 2 * MIB + 77 * PAGE, 1, NULL));
  gmap_leave(f->view);
  gone.final_bitmap = bitmap;
  gone.final_words = MAX_WORDS;
  memset(bitmap, 0, sizeof bitmap);
  CHECK_OK(gmap_slot_set(f->space, &gone));
  CHECK_PAGES(bitmap, PAGES, 2 * 256 + 77);
  CHECK_STATUS(gmap_fault(f->vcpu, GUEST, GMAP_ACCESS_READ, NULL), GMAP_PIC_ADDRESSING);
  gmap_leave(f->view);
}

/* Never splitting: the leaf stays, a write reports its 256 pages. */
static void never_reports_the_megabyte(void) {
  fixture f;
  uint64_t page;
  gmap_fault_result result = fault_result();
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_NEVER);
  CHECK_OK(gmap_fault(f.vcpu, GUEST + 3 * MIB + 8, GMAP_ACCESS_READ, NULL));
  CHECK_OK(gmap_fault(f.vcpu, GUEST + 3 * MIB + 8, GMAP_ACCESS_WRITE, &result));
  CHECK_EQUAL(result.leaf_size, MIB);
  CHECK_EQUAL(result.flags, GMAP_DONE_GRANTED);
  gmap_leave(f.view);
  CHECK_EQUAL(space_stats(f.space).splits, 0);
  CHECK_EQUAL(space_stats(f.space).segments_granted, 1);
  CHECK_EQUAL(harvest(&f, bitmap), 256);
  for (page = 0; page < PAGES; page++) CHECK_EQUAL(page_is_dirty(bitmap, page), page / 256 == 3);
  CHECK_EQUAL(harvest(&f, bitmap), 0);
  fixture_close(&f);
}

int main(void) {
  fixture f;
  library_group();
  the_short_way();
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  reads_keep_leaves(&f);
  first_write_splits_one(&f);
  inline_store_needs_no_call(&f);
  harvest_reports_exactly(&f);
  rounds_go_on(&f);
  last_round_and_clear(&f);
  other_writers(&f);
  ranges(&f);
  the_last_bits(&f);
  fixture_close(&f);
  never_reports_the_megabyte();
  return check_done("lifecycle");
}
