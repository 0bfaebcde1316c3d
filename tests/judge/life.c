/* SPDX-License-Identifier: MIT
 * What happens to a space, with pictures in between: seven chapters, each begins where the one before it ended. */
#include "world.h"

#define READ GMAP_ACCESS_READ
#define WRITE GMAP_ACCESS_WRITE
#define LOG GMAP_SLOT_LOG_DIRTY
#define RW (GMAP_PROT_READ | GMAP_PROT_WRITE)

static bool entries_tell(const struct world *w) { return w->kind->tracking == GMAP_TRACK_ENTRIES && !w->kind->backing; }
static bool splits(const struct world *w) { return w->kind->policy != GMAP_SPLIT_NEVER; }

/* A slot lies across where the tables of the level below the top end, one at the end of what the top reaches. */
static void slots(struct world *w) {
  static const uint64_t across[] = {GIB, 2 * GIB, 4 * TIB, 8 * PIB};
  uint64_t end = w->layout.limit + 1; /* of everything: the last page can be in no slot */
  if (!end) end -= 4 * MIB;
  world_picture(w, "empty");
  world_slot(w, SLOT_START, LOG, 0, 24 * MIB, 0);
  world_slot(w, SLOT_RAGGED, LOG, 25 * MIB + 3 * PAGE, 3 * MIB + 2 * PAGE, 0);
  world_slot(w, SLOT_ACROSS, 0, across[w->kind->top] - 4 * MIB, 8 * MIB, 0);
  world_slot(w, SLOT_END, GMAP_SLOT_READONLY | LOG, end - 4 * MIB, 4 * MIB, 0);
  world_slot(w, SLOT_ALIAS, 0, 40 * MIB, 6 * MIB, w->layout.slots[SLOT_START].host_addr + 4 * MIB);
  world_picture(w, "slots, nothing mapped");
}

static void mapped(struct world *w) {
  world_touch(w, SLOT_START, READ, 8);
  world_populate(w, SLOT_START, 12 * MIB, 6 * MIB, READ);
  world_touch(w, SLOT_RAGGED, READ, 300);
  world_touch(w, SLOT_ACROSS, READ, 4);
  world_touch(w, SLOT_ACROSS, WRITE, 4);
  world_touch(w, SLOT_END, READ, 5);
  world_touch(w, SLOT_ALIAS, WRITE, 6);
  world_picture(w, "mapped for reading and writing");
  world_touch(w, SLOT_START, WRITE, 30);
  world_populate(w, SLOT_START, 3 * MIB + 5 * PAGE, MIB, WRITE);
  world_touch(w, SLOT_RAGGED, WRITE, 20);
  if (splits(w)) REQUIRE_OK(gmap_split(w->space, 14 * MIB + 9 * PAGE, MIB, 0, NULL));
  world_picture(w, "split by writes");
}

static void harvested(struct world *w) {
  if (w->kind->backing) {
    gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
    REQUIRE_OK(gmap_backing_attach(w->space, SLOT_START + 1, &config, &w->backing));
    world_picture(w, "tracked by the kernel");
  }
  world_harvest(w, SLOT_START, 3, 12 * 256 + 37);
  world_picture(w, "partly harvested");
  world_clear(w, SLOT_RAGGED, 64, 512);
  world_change(w, SLOT_ACROSS, LOG, w->layout.slots[SLOT_ACROSS].guest_addr, 8 * MIB);
  world_touch(w, SLOT_ACROSS, WRITE, 6);
  world_touch(w, SLOT_START, WRITE, 8);
  world_picture(w, "armed anew, written meanwhile");
}

static void guarded(struct world *w) {
  if (!entries_tell(w)) return;
  if (splits(w)) {
    world_protect(w, SLOT_START, 2 * MIB + 5 * PAGE, 5 * PAGE, GMAP_PROT_READ, 0);
    world_protect(w, SLOT_START, 3 * MIB + 4 * PAGE, 3 * PAGE, GMAP_PROT_NONE, 0);
    world_protect(w, SLOT_ALIAS, MIB - PAGE, 2 * PAGE, GMAP_PROT_NONE, 0);
  }
  world_protect(w, SLOT_START, 12 * MIB, 2 * MIB, GMAP_PROT_READ, 0);
  world_protect(w, SLOT_ACROSS, 3 * MIB, 2 * MIB, GMAP_PROT_NONE, 0);
  world_protect(w, SLOT_ALIAS, 2 * MIB, MIB, GMAP_PROT_READ, 0);
  world_protect(w, SLOT_END, 2 * MIB, MIB, GMAP_PROT_NONE, 0);
  world_picture(w, "protected");
  world_protect(w, SLOT_START, 4 * MIB + 7 * PAGE, 40 * PAGE, RW, GMAP_NOTIFY_WRITE);
  world_protect(w, SLOT_START, 5 * MIB, 2 * MIB, RW, GMAP_NOTIFY_CHANGE);
  world_protect(w, SLOT_ALIAS, 3 * MIB + 50 * PAGE, 90 * PAGE, RW, GMAP_NOTIFY_SHADOW);
  world_protect(w, SLOT_ALIAS, 0, 8 * PAGE, RW, GMAP_NOTIFY_WRITE | GMAP_NOTIFY_CHANGE);
  world_picture(w, "armed");
  world_touch(w, SLOT_START, WRITE, 40);
  world_touch(w, SLOT_ALIAS, WRITE, 20);
  world_touch(w, SLOT_START, READ, 20);
  world_picture(w, "armed and protected, written");
}

static void taken_away(struct world *w) {
  uint64_t start = w->layout.slots[SLOT_START].guest_addr, alias = w->layout.slots[SLOT_ALIAS].guest_addr;
  REQUIRE_OK(gmap_age(w->space, start + 2 * MIB, 3 * MIB + 10 * PAGE, 0, NULL));
  REQUIRE_OK(gmap_age(w->space, start + 12 * MIB, 3 * MIB, 0, NULL));
  REQUIRE_OK(gmap_age(w->space, w->layout.slots[SLOT_RAGGED].guest_addr, 50 * PAGE, 0, NULL));
  REQUIRE_OK(gmap_unmap(w->space, start + 16 * MIB + 3 * PAGE, MIB, 0, NULL));
  REQUIRE_OK(gmap_discard(w->space, alias + 4 * MIB + 9 * PAGE, MIB, 0, NULL));
  world_picture(w, "aged, unmapped, discarded");
  world_touch(w, SLOT_START, READ, 30);
  world_touch(w, SLOT_START, WRITE, 10);
  if (w->kind->format == GMAP_TABLE_4K_PGSTE) {
    for (unsigned i = 0; splits(w) && i < 20; i++)
      REQUIRE_OK(gmap_pgste_update(w->space, start + random_below(&w->random, 24 * MIB), ~GMAP_PGSTE_LOCK, ~0ull, NULL));
    world_picture(w, "used again, keys set");
  } else {
    world_picture(w, "used again");
  }
}

static void collapsed(struct world *w) {
  if (entries_tell(w)) {
    const uint32_t all = GMAP_NOTIFY_CANCEL | GMAP_NOTIFY_CHANGE | GMAP_NOTIFY_WRITE | GMAP_NOTIFY_SHADOW;
    world_protect(w, SLOT_START, 0, 24 * MIB, RW, all);
    world_protect(w, SLOT_ALIAS, 0, 6 * MIB, RW, all);
  }
  if (w->backing) REQUIRE_OK(gmap_backing_detach(w->backing));
  world_populate(w, SLOT_START, 0, 24 * MIB, READ);
  world_harvest(w, SLOT_START, 0, 24 * 256);
  gmap_status status = gmap_collapse(w->space, 0, 20 * MIB, 0, NULL);
  REQUIRE(status == (w->kind->huge == GMAP_HUGE_NONE ? GMAP_EOPNOTSUPP : 0));
  world_picture(w, "harvested and collapsed");
  world_change(w, SLOT_START, 0, 0, 24 * MIB);
  world_touch(w, SLOT_START, WRITE, 8);
  world_picture(w, "logging off");
}

/* From each top to the next and back, and to a top that the first slots need. */
static void limits(struct world *w) {
  static const uint64_t grown[] = {64 * GIB - 1, 4 * TIB + GIB - 1, 8 * PIB + GIB - 1, ~0ull};
  static const uint64_t shrunk[] = {GIB + 4 * MIB - 1, 2 * GIB + 4 * MIB - 1, 4 * TIB + 4 * MIB - 1, 8 * PIB + 4 * MIB - 1};
  uint64_t before = w->layout.limit;
  if (before != grown[w->kind->top]) {
    world_limit(w, grown[w->kind->top]);
    world_touch(w, SLOT_START, READ, 10);
    world_picture(w, "grown");
    world_limit(w, before);
    world_picture(w, "shrunk again");
  }
  world_change(w, SLOT_END, 0, w->layout.slots[SLOT_END].guest_addr, 0);
  world_limit(w, shrunk[w->kind->top]);
  world_picture(w, "shrunk to a slot's end");
  world_change(w, SLOT_ACROSS, 0, w->layout.slots[SLOT_ACROSS].guest_addr, 0);
  world_change(w, SLOT_RAGGED, LOG, 30 * MIB, w->layout.slots[SLOT_RAGGED].size);
  world_limit(w, 64 * MIB + 5 * PAGE - 1);
  world_touch(w, SLOT_RAGGED, WRITE, 5);
  world_picture(w, "shrunk to a segment table, a slot moved");
}

void life(struct world *w) {
  slots(w);
  mapped(w);
  harvested(w);
  guarded(w);
  taken_away(w);
  collapsed(w);
  limits(w);
}
