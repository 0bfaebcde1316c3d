/* SPDX-License-Identifier: MIT
 *
 * snapshot.h - the state of a fixture that a refused call must not change: the ASCE, every counter, memory by
 * kind, what the tables say about sample pages, the dirty bits. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "fixture.h"

#define SAMPLES 24u

typedef struct snapshot {
  uint64_t asce;
  gmap_space_stats space;
  gmap_engine_stats engine;
  gmap_fault_result read[SAMPLES], write[SAMPLES];
  gmap_status read_status[SAMPLES], write_status[SAMPLES];
  uint64_t dirty, bitmap[MAX_WORDS];
  gmap_status dirty_status;
} snapshot;

/* Pages of the slot that were touched and not, and holes around it. */
static inline uint64_t sample_address(const fixture *f, unsigned i) {
  static const uint64_t holes[] = {0, GUEST - PAGE, 1023 * MIB, 1024 * MIB, ~0ull};
  unsigned count = sizeof holes / sizeof *holes;
  return i < count ? holes[i] : GUEST + f->size / (SAMPLES - count) * (i - count) / PAGE * PAGE + (i & 3) * PAGE;
}

static inline void snapshot_take(const fixture *f, snapshot *s) {
  unsigned i;
  memset(s, 0, sizeof *s);
  CHECK_OK(gmap_space_get_asce(f->space, &s->asce));
  s->space = space_stats(f->space);
  s->engine = engine_stats(f->engine);
  s->space.guest_conditions = 0; /* counts refusals that are the guest's */
  s->space.grace_wait_ns = s->space.harvest_ns = 0;
  for (i = 0; i < SAMPLES; i++) {
    s->read[i].struct_size = s->write[i].struct_size = sizeof s->read[i];
    s->read_status[i] = gmap_translate(f->space, sample_address(f, i), GMAP_ACCESS_READ, &s->read[i]);
    s->write_status[i] = gmap_translate(f->space, sample_address(f, i), GMAP_ACCESS_WRITE, &s->write[i]);
  }
  gmap_leave(f->view); /* after a fault it is inside, where gmap_dirty_get may not be called */
  s->dirty_status = gmap_dirty_get(f->space, SLOT, 0, PAGES_OF(f->size), 0, s->bitmap, &s->dirty);
}

#define UNCHANGED(before, after, member) \
  check_true(memcmp(&(before)->member, &(after)->member, sizeof(before)->member) == 0, file, line, #member " unchanged")

static inline int snapshot_same(const snapshot *before, const snapshot *after, const char *file, int line) {
  int same = UNCHANGED(before, after, asce);
  same &= UNCHANGED(before, after, space);
  same &= UNCHANGED(before, after, engine);
  same &= UNCHANGED(before, after, read) & UNCHANGED(before, after, read_status);
  same &= UNCHANGED(before, after, write) & UNCHANGED(before, after, write_status);
  same &= UNCHANGED(before, after, dirty) & UNCHANGED(before, after, bitmap) & UNCHANGED(before, after, dirty_status);
  return same;
}

/* The fixture, a little used: leaves, a split segment, dirty and clean pages, a mark. */
static inline void used_fixture(fixture *f) {
  uint64_t value;
  fixture_open(f, (size_t)(16 * MIB), GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  CHECK_OK(store8(f->view, GUEST + 3 * PAGE, 1, NULL));
  CHECK_OK(store8(f->view, GUEST + 7 * MIB, 1, NULL));
  CHECK_OK(load8(f->view, GUEST + 9 * MIB, &value, NULL));
  gmap_leave(f->view);
  CHECK_OK(gmap_mark_dirty(f->space, GUEST + 12 * MIB, 2 * PAGE));
}

#endif /* SNAPSHOT_H */
