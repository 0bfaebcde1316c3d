/* SPDX-License-Identifier: MIT
 *
 * watcher.c - pages that are armed for their next write, on random ranges, beside everybody else. The oracle: from the
 * return of gmap_protect on no byte of a page changes until its callback is over; and one arming is told once. */
#include "litmus.h"

#include <stdlib.h>
#include <string.h>

enum state { UNARMED, ARMING, ARMED, TOLD };

/* One process has one world. Everything is under the lock, but for the arming itself. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t copies[JUDGED_PAGES][CELLS]; /* of pages that are ARMED, as they were when gmap_protect had returned */
static uint8_t states[JUDGED_PAGES];
static uint64_t notifier;
static unsigned range_first, range_pages;

static int is_watching(const world *w) {
  return (w->program->operator & WATCHES) && w->options->tracking != GMAP_TRACK_GENERATION;
}

static void check_page(world *w, unsigned page, const char *when) {
  unsigned cell;
  for (cell = 0; states[page] == ARMED && cell < CELLS; cell++)
    if (guest_load(cell_at(w->memory, page, cell)) != copies[page][cell])
      violation(w, "page %u, armed for its next write: cell %u changed %s", page, cell, when);
}

static void hear(void *world_, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  static __thread uint64_t random = 88172645463325252ull;
  world *w = (world *)world_;
  unsigned page, from = (unsigned)((first - GUEST) / PAGE), to = (unsigned)((last - GUEST) / PAGE);
  if (space != w->space || kind != GMAP_NOTIFY_WRITE || from > to) violation(w, "told of pages %u to %u, kind %u", from, to, kind);
  for (page = from; page <= to && page < JUDGED_PAGES; page++) {
    pthread_mutex_lock(&lock);
    /* By the policy never a leaf is told as a whole, pages that are not armed with it. */
    if (states[page] == TOLD && w->program->policy != GMAP_SPLIT_NEVER) violation(w, "page %u is told twice", page);
    check_page(w, page, "before it was told");
    pthread_mutex_unlock(&lock);
  }
  if (below(&random, 4) == 0) pause_for(30); /* the one who wants to write waits, and so do all others */
  for (page = from; page <= to && page < JUDGED_PAGES; page++) {
    pthread_mutex_lock(&lock);
    check_page(w, page, "while it was told");
    if (states[page] != UNARMED) states[page] = TOLD;
    pthread_mutex_unlock(&lock);
  }
}

void watch_begin(world *w) {
  gmap_notifier config;
  if (!is_watching(w)) return;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.callback = hear;
  config.user = w;
  demand(w, gmap_notifier_register(w->space, &config, &notifier), "gmap_notifier_register");
}

/* What is still armed is as it was; then it is disarmed. */
static void disarm(world *w) {
  unsigned page;
  for (page = range_first; page < range_first + range_pages; page++) {
    pthread_mutex_lock(&lock);
    check_page(w, page, "untold");
    states[page] = UNARMED;
    pthread_mutex_unlock(&lock);
  }
  demand(w, gmap_protect(w->space, guest_of(range_first), range_pages * PAGE, GMAP_PROT_READ | GMAP_PROT_WRITE,
                         GMAP_NOTIFY_WRITE | GMAP_NOTIFY_CANCEL), "gmap_protect (cancel)");
}

static void arm(world *w, uint64_t *random) {
  unsigned page, cell, spot = w->page_of[below(random, w->spots)];
  range_first = spot - (unsigned)below(random, 1 + (spot < 16 ? spot : 16));
  range_pages = 1 + (unsigned)below(random, 48);
  if (range_pages > JUDGED_PAGES - range_first) range_pages = JUDGED_PAGES - range_first;
  pthread_mutex_lock(&lock);
  for (page = range_first; page < range_first + range_pages; page++) states[page] = ARMING;
  pthread_mutex_unlock(&lock);
  demand(w, gmap_protect(w->space, guest_of(range_first), range_pages * PAGE, GMAP_PROT_READ | GMAP_PROT_WRITE,
                         GMAP_NOTIFY_WRITE), "gmap_protect");
  for (page = range_first; page < range_first + range_pages; page++) {
    pthread_mutex_lock(&lock); /* a callback would wait: until then nobody writes */
    for (cell = 0; states[page] == ARMING && cell < CELLS; cell++)
      copies[page][cell] = guest_load(cell_at(w->memory, page, cell));
    if (states[page] == ARMING) states[page] = ARMED;
    pthread_mutex_unlock(&lock);
  }
}

void watch(world *w, uint64_t *random) {
  if (!is_watching(w)) return;
  if (range_pages != 0) disarm(w);
  arm(w, random);
}

void watch_end(world *w) {
  if (!is_watching(w)) return;
  if (range_pages != 0) disarm(w);
  demand(w, gmap_notifier_unregister(notifier), "gmap_notifier_unregister");
}
