/* SPDX-License-Identifier: MIT
 *
 * pgste.c - a space whose page tables have PGSTEs (GMAP_TABLE_4K_PGSTE), and one whose slots all log as long as one asks
 * (GMAP_DIRTY_GLOBAL). */
#include <stddef.h>

#include "fixture.h"

#define SIZE (4 * MIB)
#define KEY (GMAP_PGSTE_ACC | GMAP_PGSTE_FETCH)

static uint64_t bitmap[MAX_WORDS];

static void open_it(fixture *f, uint32_t policy, uint32_t scope) {
  gmap_space_config config = space_config(1024 * MIB - 1);
  config.table_format = GMAP_TABLE_4K_PGSTE;
  config.split_policy = policy;
  config.dirty_scope = scope;
  memset(f, 0, sizeof *f);
  f->size = SIZE;
  f->memory = guest_memory(SIZE);
  f->engine = engine_of(64 * MIB);
  REQUIRE_OK(gmap_space_create(f->engine, &config, &f->space));
  REQUIRE_OK(set_slot(f->space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, SIZE, f->memory));
  REQUIRE_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &f->vcpu, &f->view));
}

static uint64_t word_at(const fixture *f, uint64_t address) {
  uint64_t word = ~0ull;
  CHECK_OK(gmap_pgste_get(f->space, address, &word));
  return word;
}

static void keys_of_a_host(void) {
  fixture f;
  uint64_t before = ~0ull;
  open_it(&f, GMAP_SPLIT_LAZY, GMAP_DIRTY_PER_SLOT);
  CHECK_OK(store8(f.view, GUEST + 5 * PAGE, 1, NULL));
  CHECK_EQUAL(engine_stats(f.engine).page_table_bytes, 4096);
  CHECK_EQUAL(space_stats(f.space).table_bytes, (32u + 4u) << 10);
  CHECK_OK(gmap_pgste_update(f.space, GUEST + 6 * PAGE, KEY, GMAP_PGSTE_ACC, &before)); /* inside, too */
  CHECK_EQUAL(before, 0);
  gmap_leave(f.view);
  CHECK_EQUAL(harvest(&f, bitmap), 1);
  CHECK(page_is_dirty(bitmap, 5));
  CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
  CHECK_EQUAL(space_stats(f.space).page_tables, 1);
  CHECK_EQUAL(word_at(&f, GUEST + 6 * PAGE + 100), GMAP_PGSTE_ACC);
  CHECK_OK(store8(f.view, GUEST + 6 * PAGE, 2, NULL)); /* the header walks the emptied table */
  gmap_leave(f.view);
  CHECK_OK(gmap_pgste_update(f.space, GUEST + 6 * PAGE, KEY, 0, &before));
  CHECK_EQUAL(before, GMAP_PGSTE_ACC);
  CHECK_OK(gmap_unmap(f.space, GUEST, MIB, 0, NULL));
  CHECK_EQUAL(space_stats(f.space).page_tables, 0);
  fixture_close(&f);
}

static void what_is_refused(void) {
  fixture f, plain;
  uint64_t word = 7;
  open_it(&f, GMAP_SPLIT_NEVER, GMAP_DIRTY_PER_SLOT);
  CHECK_STATUS(gmap_pgste_get(f.space, GUEST, NULL), GMAP_EINVAL);
  CHECK_STATUS(gmap_pgste_get(f.space, GUEST - 1, &word), GMAP_EFAULT);
  CHECK_STATUS(gmap_pgste_get(f.space, ~0ull, &word), GMAP_EFAULT);
  CHECK_STATUS(gmap_pgste_update(f.space, GUEST + SIZE, KEY, KEY, &word), GMAP_EFAULT);
  CHECK_STATUS(gmap_pgste_update(f.space, GUEST, GMAP_PGSTE_LOCK, 0, &word), GMAP_EINVAL);
  CHECK_STATUS(gmap_pgste_update(f.space, GUEST, ~0ull, 0, &word), GMAP_EINVAL);
  CHECK_OK(gmap_fault(f.vcpu, GUEST, GMAP_ACCESS_READ, NULL));
  gmap_leave(f.view);
  CHECK_STATUS(gmap_pgste_update(f.space, GUEST, KEY, KEY, &word), GMAP_EOPNOTSUPP);
  CHECK_EQUAL(word, 7);
  fixture_close(&f);
  fixture_open(&plain, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_STATUS(gmap_pgste_get(plain.space, GUEST, &word), GMAP_EOPNOTSUPP);
  CHECK_STATUS(gmap_pgste_update(plain.space, GUEST, KEY, KEY, NULL), GMAP_EOPNOTSUPP);
  fixture_close(&plain);
}

static void all_slots_log(void) {
  fixture f;
  uint64_t dirty = 0;
  open_it(&f, GMAP_SPLIT_LAZY, GMAP_DIRTY_GLOBAL);
  REQUIRE_OK(set_slot(f.space, SLOT + 1, 0, GUEST + SIZE, MIB, f.memory));
  CHECK_OK(store8(f.view, GUEST + SIZE + 3 * PAGE, 1, NULL));
  gmap_leave(f.view);
  CHECK_OK(gmap_dirty_harvest(f.space, SLOT + 1, 0, 256, 0, bitmap, MAX_WORDS, &dirty));
  CHECK_EQUAL(dirty, 1);
  REQUIRE_OK(set_slot(f.space, SLOT, 0, GUEST, SIZE, f.memory));
  CHECK_STATUS(gmap_dirty_harvest(f.space, SLOT + 1, 0, 256, 0, bitmap, MAX_WORDS, &dirty), GMAP_ENOENT);
  fixture_close(&f);
}

int main(void) {
  keys_of_a_host();
  what_is_refused();
  all_slots_log();
  return check_done("pgste");
}
