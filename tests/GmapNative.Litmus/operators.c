/* SPDX-License-Identifier: MIT
 *
 * operators.c - somebody who changes what the others walk through: one of the program's changes after the other. */
#include "litmus.h"

#include <sched.h>

#define GIB (1024 * MIB)
#define OTHER_PAGES (WORLD_PAGES - JUDGED_PAGES)

/* Pages of the judged slots: a few, or one segment, or two. */
static void choose_range(uint64_t *random, uint64_t *at, uint64_t *size) {
  unsigned first = (unsigned)below(random, JUDGED_PAGES), n = 1 + (unsigned)below(random, 40);
  if (below(random, 3) == 0) {
    first &= ~255u;
    n = 256u * (1 + (unsigned)below(random, 2));
  }
  if (n > JUDGED_PAGES - first) n = JUDGED_PAGES - first;
  *at = guest_of(first);
  *size = n * PAGE;
}

static void unmap(world *w, uint64_t *random) {
  uint64_t at, size;
  choose_range(random, &at, &size);
  demand(w, gmap_unmap(w->space, at, size, 0, NULL), "gmap_unmap");
}

/* Past 2 GiB a table stands above the old top one. */
static void limit(world *w, uint64_t *random) {
  uint64_t to = below(random, 2) != 0 ? 8 * GIB - 1 : GIB - 1;
  demand(w, gmap_space_set_limit(w->space, to), "gmap_space_set_limit");
}

static gmap_status set_other(world *w, uint32_t flags) {
  return set_slot(w, OTHER_SLOT, flags, JUDGED_PAGES, OTHER_PAGES);
}

/* The other slot's dirty pages: exactly the one, or none (-1). Nobody else stores there. */
static void expect_dirty(world *w, int page) {
  uint64_t bitmap[(OTHER_PAGES + 63) / 64], dirty = 0;
  unsigned i;
  demand(w, gmap_dirty_harvest(w->space, OTHER_SLOT, 0, OTHER_PAGES, 0, bitmap, sizeof bitmap / sizeof *bitmap, &dirty),
         "gmap_dirty_harvest (other slot)");
  for (i = 0; i < OTHER_PAGES; i++)
    if ((bitmap[i / 64] >> i % 64 & 1) != ((int)i == page))
      violation(w, "other slot, page %u: %s", i, (int)i == page ? "written and not reported"
                                                               : "reported, written before logging began if ever");
}

/* What was written while nobody logged is not reported, what is written afterwards is. */
static void logging(world *w, uint64_t *random) {
  unsigned page = (unsigned)below(random, OTHER_PAGES);
  demand(w, set_other(w, 0), "gmap_slot_set (logging off)");
  visit(w, random, JUDGED_PAGES + (unsigned)below(random, OTHER_PAGES));
  demand(w, set_other(w, GMAP_SLOT_LOG_DIRTY), "gmap_slot_set (logging on)");
  expect_dirty(w, -1);
  visit(w, random, JUDGED_PAGES + page);
  expect_dirty(w, (int)page);
}

static void slots(world *w, uint64_t *random) {
  demand(w, set_slot(w, OTHER_SLOT, 0, JUDGED_PAGES, 0), "gmap_slot_set (delete)");
  if (below(random, 2) != 0) sched_yield();
  expect_holes(w, JUDGED_PAGES, OTHER_PAGES);
  demand(w, set_other(w, below(random, 2) != 0 ? GMAP_SLOT_LOG_DIRTY : 0), "gmap_slot_set (create)");
}

static void split(world *w, uint64_t *random) {
  uint64_t at, size;
  choose_range(random, &at, &size);
  demand(w, gmap_split(w->space, at, size, 0, NULL), "gmap_split");
}

static void collapse(world *w) {
  demand(w, gmap_collapse(w->space, GUEST, JUDGED_PAGES * PAGE, 0, NULL), "gmap_collapse");
}

/* A dirty leaf is split while a harvest may be taking it: the child is as the leaf is then, not as it was. */
static void fill(world *w) {
  uint64_t at = guest_of(256);
  __atomic_fetch_add(&w->fills_begun, 1, __ATOMIC_SEQ_CST);
  demand(w, gmap_populate(w->space, at, MIB, GMAP_ACCESS_WRITE, 0, NULL), "gmap_populate");
  __atomic_fetch_add(&w->fills_done, 1, __ATOMIC_SEQ_CST);
  demand(w, gmap_collapse(w->space, at, MIB, 0, NULL), "gmap_collapse");
  demand(w, gmap_split(w->space, at, MIB, 0, NULL), "gmap_split");
}

static void age(world *w, uint64_t *random) {
  uint64_t at, size;
  choose_range(random, &at, &size);
  demand(w, gmap_age(w->space, at, size, 0, NULL), "gmap_age");
}

/* The neighbours of the page are the others', in the same line of entries. */
static void discard(world *w, uint64_t *random) {
  unsigned page = w->page_of[below(random, w->spots)] | 7u;
  if (below(random, 2) != 0) visit(w, random, page);
  demand(w, gmap_discard(w->space, guest_of(page), PAGE, 0, NULL), "gmap_discard");
  if (w->scribbled[page] % 2) __atomic_fetch_add(&w->scribbled[page], 1, __ATOMIC_ACQ_REL);
}

static void operate_once(world *w, unsigned what, uint64_t *random) {
  switch (what) {
    case UNMAPS: unmap(w, random); break;
    case LIMITS: limit(w, random); break;
    case LOGGING: logging(w, random); break;
    case SLOTS: slots(w, random); break;
    case SPLITS: split(w, random); break;
    case COLLAPSES: collapse(w); break;
    case AGES: age(w, random); break;
    case FILLS: fill(w); break;
    case DISCARDS: discard(w, random); break;
    case WATCHES: watch(w, random); break;
    case REWRITES: rewrite(w, random); break;
    case SHADOWS: visit_shadow(w, random); break;
    default: visit(w, random, JUDGED_PAGES + (unsigned)below(random, OTHER_PAGES)); break;
  }
  count(&w->result->operations, 1);
}

void *operate(void *world_) {
  world *w = (world *)world_;
  uint64_t random = seed_of(w, 'o', 0);
  jostle_begin(w->options, seed_of(w, 'p', 0));
  watch_begin(w);
  nested_begin(w);
  while (!is_set(&w->stop_guests)) {
    unsigned what = 1u << below(&random, 13);
    if (!(w->program->operator & what)) continue;
    operate_once(w, what, &random);
    sched_yield();
  }
  nested_end(w);
  watch_end(w);
  return NULL;
}
