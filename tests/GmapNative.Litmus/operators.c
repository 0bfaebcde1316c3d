/* SPDX-License-Identifier: MIT
 *
 * operators.c - somebody who changes what the others walk through: one of the program's changes after the other. */
#include "litmus.h"

#include <sched.h>

#define GIB (1024 * MIB)

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

static void logging(world *w, uint64_t *random) {
  demand(w, set_slot(w, OTHER_SLOT, below(random, 2) != 0 ? GMAP_SLOT_LOG_DIRTY : 0, JUDGED_PAGES,
                     WORLD_PAGES - JUDGED_PAGES), "gmap_slot_set (logging)");
}

static void slots(world *w, uint64_t *random) {
  uint32_t flags = below(random, 2) != 0 ? GMAP_SLOT_LOG_DIRTY : 0;
  demand(w, set_slot(w, OTHER_SLOT, 0, JUDGED_PAGES, 0), "gmap_slot_set (delete)");
  if (below(random, 2) != 0) sched_yield();
  demand(w, set_slot(w, OTHER_SLOT, flags, JUDGED_PAGES, WORLD_PAGES - JUDGED_PAGES), "gmap_slot_set (create)");
}

static void operate_once(world *w, unsigned what, uint64_t *random) {
  switch (what) {
    case UNMAPS: unmap(w, random); break;
    case LIMITS: limit(w, random); break;
    case LOGGING: logging(w, random); break;
    case SLOTS: slots(w, random); break;
    default: break;
  }
  if (w->program->operator & (VCPUS | LOGGING | SLOTS | DISCARDS)) visit(w, random);
  count(&w->result->operations, 1);
}

void *operate(void *world_) {
  world *w = (world *)world_;
  uint64_t random = seed_of(w, 'o', 0);
  jostle_begin(w->options, seed_of(w, 'p', 0));
  while (!is_set(&w->stop_guests)) {
    unsigned what = 1u << below(&random, 9);
    if (!(w->program->operator & what)) continue;
    operate_once(w, what, &random);
    sched_yield();
  }
  return NULL;
}
