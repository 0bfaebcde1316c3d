/* SPDX-License-Identifier: MIT
 *
 * consumers.c - consumers beside the harvesters, each with an image of its own and a rhythm of its own: one in time,
 * one that is slow, one that aborts half of its epochs, one that is closed in the middle of an epoch and opened anew. */
#include "litmus.h"

#include <string.h>

#define RANGES 5u

enum { IN_TIME, SLOW, ABORTS, CLOSES };

/* From its return on the consumer sees every store: the image is what memory is then, and what was written before the
 * call may not be reported any more. */
static void open_one(harvester *h) {
  world *w = h->w;
  uint32_t slot = below(&h->random, 2) != 0 ? GMAP_ALL_SLOTS : h->slot->id;
  h->kind = WHOLE;
  oracle_begins(h);
  demand(w, gmap_consumer_open(w->space, slot, 0, &h->consumer), "gmap_consumer_open");
  memset(h->bitmap, 0xFF, BITMAP_WORDS * sizeof *h->bitmap);
  oracle_joins(h);
}

static void close_one(harvester *h) {
  demand(h->w, gmap_consumer_close(h->consumer), "gmap_consumer_close");
  h->consumer = 0;
}

static void read_ranges(harvester *h) {
  gmap_range ranges[RANGES];
  uint64_t resume = 0, page;
  size_t n, i;
  memset(h->bitmap, 0, BITMAP_WORDS * sizeof *h->bitmap);
  do {
    demand(h->w, gmap_consumer_read_ranges(h->consumer, 0, ranges, RANGES, &n, &resume), "gmap_consumer_read_ranges");
    for (i = 0; i < n; i++) {
      if (ranges[i].count == 0) violation(h->w, "a range of no pages");
      if (ranges[i].slot != h->slot->id) continue; /* the other slot's */
      if (ranges[i].flags != 0 || ranges[i].first_page + ranges[i].count > h->count)
        violation(h->w, "a range that the slot does not have");
      for (page = ranges[i].first_page; page < ranges[i].first_page + ranges[i].count; page++)
        h->bitmap[page / 64] |= 1ull << page % 64;
    }
  } while (~resume);
}

static void read_bitmap(harvester *h) {
  uint64_t dirty = 0, half = h->count / 128 * 64;
  memset(h->bitmap, 0xFF, BITMAP_WORDS * sizeof *h->bitmap);
  demand(h->w, gmap_consumer_read_bitmap(h->consumer, h->slot->id, 0, half, 0, h->bitmap, half / 64, NULL),
         "gmap_consumer_read_bitmap");
  demand(h->w, gmap_consumer_read_bitmap(h->consumer, h->slot->id, half, h->count - half, 0, h->bitmap + half / 64,
                                         BITMAP_WORDS - half / 64, &dirty),
         "gmap_consumer_read_bitmap");
}

static void epoch_of(harvester *h) {
  gmap_epoch_info info;
  unsigned rhythm = h->last ? IN_TIME : h->me % 4;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  h->kind = !h->last && below(&h->random, 8) == 0 ? NO_REARM : WHOLE;
  oracle_begins(h);
  demand(h->w, gmap_consumer_begin(h->consumer, h->kind == NO_REARM ? GMAP_HARVEST_NO_REARM : 0, &info),
         "gmap_consumer_begin");
  if (rhythm == ABORTS && below(&h->random, 2) != 0) {
    oracle_aborts(h);
    demand(h->w, gmap_consumer_abort(h->consumer), "gmap_consumer_abort");
    return;
  }
  if (rhythm == CLOSES && below(&h->random, 8) == 0) {
    oracle_aborts(h);
    close_one(h);
    return;
  }
  if (below(&h->random, 2) != 0) read_bitmap(h);
  else read_ranges(h);
  oracle_ends(h);
  demand(h->w, gmap_consumer_commit(h->consumer), "gmap_consumer_commit");
}

static void choose_slot(harvester *h) {
  h->slot = &h->w->slot[0]; /* programs with consumers have one judged slot */
  h->first = 0;
  h->count = h->slot->pages;
  h->decoy = -1;
}

void *consume_on(void *harvester_) {
  harvester *h = (harvester *)harvester_;
  jostle_begin(h->w->options, seed_of(h->w, 'c', h->me));
  choose_slot(h);
  while (!is_set(&h->w->stop_harvests)) {
    if (!h->consumer) open_one(h);
    epoch_of(h);
    if (h->me % 4 == SLOW) pause_for(5000);
    jostle(7);
  }
  return NULL;
}

void last_epoch(harvester *h) {
  h->last = 1;
  choose_slot(h);
  if (!h->consumer) open_one(h);
  epoch_of(h);
  compare_all(h);
  close_one(h);
}
