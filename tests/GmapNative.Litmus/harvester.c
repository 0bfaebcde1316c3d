/* SPDX-License-Identifier: MIT
 *
 * harvester.c - a migration thread: rounds of harvest and copy, of all kinds that its program allows. */
#include "litmus.h"

#include <string.h>

static uint64_t bits_in(const uint64_t *bitmap, unsigned n) {
  uint64_t bits = 0;
  unsigned i;
  for (i = 0; i < (n + 63) / 64; i++) bits += (uint64_t)__builtin_popcountll(bitmap[i]);
  return bits;
}

/* Bits past the range are zero, the count is right. */
static void check_bitmap(const harvester *h, uint64_t dirty) {
  uint64_t bits = bits_in(h->bitmap, h->count);
  if (h->count % 64 != 0 && h->bitmap[h->count / 64] >> h->count % 64 != 0)
    violation(h->w, "bits behind the range of %u pages are set", h->count);
  if (h->decoy < 0 && bits != dirty)
    violation(h->w, "%llu bits are set, the call says %llu", (unsigned long long)bits, (unsigned long long)dirty);
}

static void choose(harvester *h) {
  const world *w = h->w;
  unsigned kinds = h->last ? WHOLE : w->program->rounds;
  do h->kind = 1u << below(&h->random, 5);
  while (!(kinds & h->kind));
  if (!h->last) h->slot = &w->slot[below(&h->random, w->slots)];
  h->first = 0;
  h->count = h->slot->pages;
  h->decoy = -1;
  /* Parts cut lines of entries, and words of the bitmap. */
  if (h->kind == PART || (h->kind != WHOLE && kinds & PART && below(&h->random, 2) != 0)) {
    unsigned step = h->kind == GET_CLEAR ? 64 : 1, steps = (h->slot->pages + step - 1) / step;
    h->first = step * (unsigned)below(&h->random, steps);
    h->count = step * (1 + (unsigned)below(&h->random, steps - h->first / step));
    if (h->count > h->slot->pages - h->first) h->count = h->slot->pages - h->first;
  }
}

static void harvest(harvester *h) {
  uint64_t dirty = 0;
  uint32_t flags = h->kind == ORED ? GMAP_HARVEST_OR : h->kind == NO_REARM ? GMAP_HARVEST_NO_REARM : 0;
  size_t words = (h->count + 63) / 64;
  memset(h->bitmap, h->kind == ORED ? 0 : 0xFF, words * sizeof *h->bitmap);
  if (h->kind == ORED) { /* a bit of the caller's, which must stay */
    unsigned bit = (unsigned)below(&h->random, h->count);
    h->decoy = (int)(h->slot->first + h->first + bit);
    h->bitmap[bit / 64] |= 1ull << bit % 64;
  }
  demand(h->w, gmap_dirty_harvest(h->w->space, h->slot->id, h->first, h->count, flags, h->bitmap, words, &dirty),
         "gmap_dirty_harvest");
  if (h->decoy >= 0) {
    unsigned bit = (unsigned)h->decoy - h->slot->first - h->first;
    if (!(h->bitmap[bit / 64] >> bit % 64 & 1)) violation(h->w, "GMAP_HARVEST_OR cleared a bit of the caller's");
  }
  check_bitmap(h, dirty);
}

static void get_and_clear(harvester *h) {
  uint64_t dirty = 0;
  memset(h->bitmap, 0xFF, (h->count + 63) / 64 * sizeof *h->bitmap);
  demand(h->w, gmap_dirty_get(h->w->space, h->slot->id, h->first, h->count, 0, h->bitmap, &dirty), "gmap_dirty_get");
  check_bitmap(h, dirty);
  demand(h->w, gmap_dirty_clear(h->w->space, h->slot->id, h->first, h->count, 0, h->bitmap), "gmap_dirty_clear");
}

static void round_of(harvester *h) {
  choose(h);
  oracle_begins(h);
  if (h->kind == GET_CLEAR) get_and_clear(h);
  else harvest(h);
  oracle_ends(h);
}

void last_round(harvester *h) {
  unsigned i;
  h->last = 1;
  for (i = 0; i < h->w->slots; i++) {
    h->slot = &h->w->slot[i];
    round_of(h);
  }
}

void *harvest_on(void *harvester_) {
  harvester *h = (harvester *)harvester_;
  jostle_begin(h->w->options, seed_of(h->w, 'k', h->me));
  while (!is_set(&h->w->stop_harvests)) {
    round_of(h);
    jostle(7);
  }
  return NULL;
}
