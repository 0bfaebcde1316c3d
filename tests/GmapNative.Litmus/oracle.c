/* SPDX-License-Identifier: MIT
 *
 * oracle.c - what a round of harvest and copy must have delivered, and what it may not have reported. README.md has
 * the reasons; the numbers are its paragraphs. */
#include "litmus.h"

#include <sched.h>
#include <string.h>

static unsigned char *memory_of(world *w, unsigned page) { return w->memory + page * PAGE; }
static unsigned char *image_of(const harvester *h, unsigned page) { return h->image + page * PAGE; }

/* Several harvesters copy the same pages: one at a time, so that no copy replaces a newer one. */
static pthread_mutex_t copying = PTHREAD_MUTEX_INITIALIZER;

static int in_range(const harvester *h, unsigned page) {
  return page - (h->slot->first + h->first) < h->count;
}

static int is_reported(const harvester *h, unsigned page) {
  unsigned bit = page - (h->slot->first + h->first);
  return (int)(h->bitmap[bit / 64] >> bit % 64 & 1);
}

/* Before the harvest: the stamps that it has to deliver. A store that can be seen in memory counts although its writer
 * has not said so yet, where the mark comes before the store (1). The loads acquire: the harvest begins after them. */
void oracle_begins(harvester *h) {
  world *w = h->w;
  unsigned lane, spot, page;
  h->fills = __atomic_load_n(&w->fills_done, __ATOMIC_ACQUIRE);
  for (page = 7; page < JUDGED_PAGES; page += 8)
    h->scribbled[page] = __atomic_load_n(&w->scribbled[page], __ATOMIC_ACQUIRE);
  __atomic_fetch_add(&h->round, 1, __ATOMIC_SEQ_CST);
  for (lane = 0; lane < w->lanes; lane++) {
    for (spot = 0; spot < w->spots; spot++) {
      uint64_t stamp = __atomic_load_n(&w->published[lane][spot], __ATOMIC_ACQUIRE), seen;
      if (w->visible[lane]) {
        const uint64_t *cell = cell_at(w->memory, w->page_of[spot], cell_of(lane));
        seen = stamp_of(__atomic_load_n(cell, __ATOMIC_ACQUIRE));
        if (seen > stamp) stamp = seen;
      }
      h->before[lane][spot] = stamp;
    }
  }
}

static void copy_page(harvester *h, unsigned page) {
  uint64_t *from = (uint64_t *)(void *)memory_of(h->w, page), *to = (uint64_t *)(void *)image_of(h, page);
  unsigned i;
  for (i = 0; i < CELLS; i++) to[i] = guest_load(from + i); /* guests go on storing */
}

/* 3: a reported page had a store that was not done when the round before began, which cleaned it. */
static void check_reported(harvester *h, unsigned page) {
  world *w = h->w;
  unsigned all = w->program->policy == GMAP_SPLIT_NEVER, lane, spot; /* its leaves are dirty as a whole */
  unsigned leaf = w->program->layout == REGION && w->options->tracking != GMAP_TRACK_GENERATION ? WORLD_PAGES : 256;
  if ((int)page == h->decoy) return;
  if (!is_judged(w, page)) {
    uint32_t now = __atomic_load_n(&w->scribbled[page], __ATOMIC_ACQUIRE);
    if (now == h->scribbled[page] && now % 2 == 0)
      violation(w, "page %u is reported, and was discarded or not yet written (harvester %u)", page, h->me);
    return;
  }
  if (page / 256 == 1 && __atomic_load_n(&w->fills_begun, __ATOMIC_ACQUIRE) > h->earlier_fills) return;
  for (spot = 0; spot < w->spots; spot++) {
    if (all ? w->page_of[spot] / leaf != page / leaf : w->page_of[spot] != page) continue;
    for (lane = 0; lane < w->lanes; lane++)
      if (__atomic_load_n(&w->started[lane][spot], __ATOMIC_ACQUIRE) > h->earlier[lane][spot]) return;
  }
  violation(w, "page %u is reported, and nobody has written it since it was last cleaned (harvester %u, %s)", page,
            h->me, w->spot_of[page] < 0 ? "a page that nobody ever writes" : "no store of any lane was begun since");
}

/* 2: the image has what was there before the round. What is missing goes to `missing` (by lane and spot). */
static unsigned find_missing(harvester *h, uint8_t missing[MAX_LANES][MAX_SPOTS], int again) {
  world *w = h->w;
  unsigned lane, spot, found = 0;
  for (lane = 0; lane < w->lanes; lane++) {
    for (spot = 0; spot < w->spots; spot++) {
      unsigned page = w->page_of[spot];
      uint64_t has;
      if (again && !missing[lane][spot]) continue;
      missing[lane][spot] = 0;
      if (!in_range(h, page)) continue;
      has = *cell_at(h->image, page, cell_of(lane));
      if (has != 0 && (has & 0xFFFFu) != (page & 0xFFFFu))
        violation(w, "page %u holds a store to page %u", page, (unsigned)(has & 0xFFFFu));
      if (stamp_of(has) >= h->before[lane][spot]) continue;
      missing[lane][spot] = 1;
      found++;
    }
  }
  return found;
}

static void tell_missing(harvester *h, uint8_t missing[MAX_LANES][MAX_SPOTS]) {
  world *w = h->w;
  unsigned lane, spot;
  for (lane = 0; lane < w->lanes; lane++)
    for (spot = 0; spot < w->spots; spot++)
      if (missing[lane][spot])
        violation(w, "page %u, lane %u: the image has stamp %llu, %llu was done before the harvest began "
                     "(page %sreported, %s %u, slot %u, kind %u, pages %u to %u%s)",
                  w->page_of[spot], lane,
                  (unsigned long long)stamp_of(*cell_at(h->image, w->page_of[spot], cell_of(lane))),
                  (unsigned long long)h->before[lane][spot], is_reported(h, w->page_of[spot]) ? "" : "not ",
                  h->is_consumer ? "consumer" : "harvester", h->me,
                  h->slot->id, h->kind, h->slot->first + h->first, h->slot->first + h->first + h->count - 1,
                  h->last ? ", after the last store" : "");
}

/* 4: another harvester may have taken the page and not copied it yet: whoever was in a round when this harvest
 * returned ends it first. */
static void let_others_copy(const harvester *h, const uint64_t *rounds) {
  const world *w = h->w;
  unsigned other;
  for (other = 0; other < (h->is_consumer ? 0 : w->program->harvesters); other++) {
    const uint64_t *round = &h[(int)other - (int)h->me].round;
    while (other != h->me && rounds[other] % 2 && __atomic_load_n(round, __ATOMIC_ACQUIRE) == rounds[other])
      sched_yield();
  }
}

static void keep_stamps(harvester *h) {
  unsigned lane, spot;
  if (h->kind == NO_REARM) return; /* what it reports is reported again */
  if (h->count == h->slot->pages) h->earlier_fills = h->fills; /* programs with fills have one slot */
  for (spot = 0; spot < h->w->spots; spot++)
    for (lane = 0; in_range(h, h->w->page_of[spot]) && lane < h->w->lanes; lane++)
      h->earlier[lane][spot] = h->before[lane][spot];
}

/* Once in a while the harness itself is wrong, and must be caught (README.md, "Twins"). */
static void be_wrong(harvester *h) {
  unsigned page = h->slot->first + h->first + (unsigned)below(&h->random, h->count);
  unsigned bit = page - (h->slot->first + h->first);
  if (h->w->options->control == INVENTED_PAGE && h->w->spot_of[page] < 0) h->bitmap[bit / 64] |= 1ull << bit % 64;
  if (h->w->options->control == DROPPED_PAGE && h->kind == WHOLE && h->w->slots == 1) { /* one that is written */
    page = h->w->page_of[below(&h->random, h->w->spots)];
    h->bitmap[page / 64] &= ~(1ull << page % 64);
  }
}

/* After the harvest: copies, and judges. */
void oracle_ends(harvester *h) {
  static __thread uint8_t missing[MAX_LANES][MAX_SPOTS];
  world *w = h->w;
  uint64_t rounds[MAX_HARVESTERS], reported = 0;
  unsigned i, found = 0, n = h->is_consumer ? 0 : w->program->harvesters;
  for (i = 0; i < n; i++) rounds[i] = __atomic_load_n(&h[(int)i - (int)h->me].round, __ATOMIC_SEQ_CST);
  be_wrong(h);
  pthread_mutex_lock(&copying);
  for (i = 0; i < h->count; i++) {
    unsigned page = h->slot->first + h->first + i;
    if (!is_reported(h, page)) continue;
    copy_page(h, page);
    reported++;
  }
  if (!w->options->end_only) found = find_missing(h, missing, 0);
  pthread_mutex_unlock(&copying);
  count(&w->result->pages, reported);
  count(&w->result->harvests, 1);
  for (i = 0; i < h->count && !w->options->end_only; i++)
    if (is_reported(h, h->slot->first + h->first + i)) check_reported(h, h->slot->first + h->first + i);
  __atomic_fetch_add(&h->round, 1, __ATOMIC_SEQ_CST);
  if (found != 0) {
    let_others_copy(h, rounds);
    pthread_mutex_lock(&copying);
    if (find_missing(h, missing, 1) != 0) tell_missing(h, missing);
    pthread_mutex_unlock(&copying);
  }
  keep_stamps(h);
}

/* 7: a consumer that opens begins with a copy of everything; what was done before the call is not reported to it. */
void oracle_joins(harvester *h) {
  unsigned page;
  for (page = 0; page < h->count; page++) copy_page(h, h->slot->first + page);
  __atomic_fetch_add(&h->round, 1, __ATOMIC_SEQ_CST);
  keep_stamps(h);
}

/* An epoch that nobody copied: its pages come again, or the consumer's history ends. */
void oracle_aborts(harvester *h) { __atomic_fetch_add(&h->round, 1, __ATOMIC_SEQ_CST); }

/* 5: everybody has ended and everything was harvested: the copy is the memory. */
void compare_all(harvester *h) {
  world *w = h->w;
  unsigned page, i;
  for (page = 0; page < JUDGED_PAGES; page++) {
    if (!is_judged(w, page) || memcmp(memory_of(w, page), image_of(h, page), PAGE) == 0) continue;
    for (i = 0; memory_of(w, page)[i] == image_of(h, page)[i];) i++;
    violation(w, "at the end page %u differs from its copy at byte %u: a store was lost (%s %u)", page, i,
              h->is_consumer ? "consumer" : "harvester", h->me);
  }
}
