/* SPDX-License-Identifier: MIT
 *
 * trial.c - one program from its beginning to its end. */
#include "litmus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* With less than this nothing was tried. */
#define ENOUGH_STORES 200u
#define ENOUGH_HARVESTS 5u
#define ENOUGH_PAGES 20u

typedef struct cast {
  world w;
  writer writers[MAX_WRITERS];
  harvester harvesters[MAX_HARVESTERS];
  harvester consumers[MAX_CONSUMERS];
  pthread_t readers[2], operator_;
} cast;

static void start(cast *all, pthread_t *thread, void *(*body)(void *), void *argument) {
  if (pthread_create(thread, NULL, body, argument) != 0) unsupported(&all->w, "another thread");
}

static void start_all(cast *all) {
  world *w = &all->w;
  const program *p = w->program;
  unsigned i;
  for (i = 0; i < w->writers; i++) {
    writer *one = &all->writers[i];
    one->w = w;
    one->me = i;
    one->path = path_of(p, i);
    one->random = seed_of(w, 'w', i);
    start(all, &one->thread, write_on, one);
  }
  while (__atomic_load_n(&w->guests_ready, __ATOMIC_ACQUIRE) < (int)w->writers) sched_yield();
  for (i = 0; i < p->readers; i++) start(all, &all->readers[i], read_on, w);
  if (p->operator) start(all, &all->operator_, operate, w);
  for (i = 0; i < p->harvesters; i++) start(all, &all->harvesters[i].thread, harvest_on, &all->harvesters[i]);
  for (i = 0; i < p->consumers; i++) start(all, &all->consumers[i].thread, consume_on, &all->consumers[i]);
}

static void wait_and_stop(cast *all) {
  world *w = &all->w;
  const program *p = w->program;
  uint64_t end = nanoseconds() + (uint64_t)(w->options->seconds * 1e9);
  const struct timespec tick = {0, 2000000};
  unsigned i;
  while (nanoseconds() < end) nanosleep(&tick, NULL);
  set(&w->stop_guests);
  for (i = 0; i < w->writers; i++) pthread_join(all->writers[i].thread, NULL);
  for (i = 0; i < p->readers; i++) pthread_join(all->readers[i], NULL);
  if (p->operator) pthread_join(all->operator_, NULL);
  set(&w->stop_harvests);
  for (i = 0; i < p->harvesters; i++) pthread_join(all->harvesters[i].thread, NULL);
  for (i = 0; i < p->consumers; i++) pthread_join(all->consumers[i].thread, NULL);
}

static void count_changes(world *w) {
  gmap_space_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  demand(w, gmap_space_get_stats(w->space, &stats), "gmap_space_get_stats");
  w->result->splits = stats.splits;
  w->result->collapses = stats.collapses;
  w->result->unmapped = stats.pages_unmapped;
}

static void cast_harvester(world *w, harvester *h, unsigned me, int is_consumer) {
  h->w = w;
  h->me = me;
  h->is_consumer = is_consumer;
  h->image = is_consumer ? map_memory(w, WORLD_PAGES * PAGE, MIB) : w->image;
  h->random = seed_of(w, is_consumer ? 'e' : 'h', me);
  h->bitmap = (uint64_t *)calloc(BITMAP_WORDS, sizeof *h->bitmap);
}

void run_trial(const program *p, const options *o, result *r) {
  cast *all = (cast *)aligned_alloc(64, (sizeof *all + 63) & ~(size_t)63);
  world *w = &all->w;
  unsigned i;
  if (!all) _exit(EXIT_INCONCLUSIVE);
  memset(all, 0, sizeof *all);
  w->program = p;
  w->options = o;
  w->result = r;
  world_open(w);
  for (i = 0; i < MAX_HARVESTERS; i++) cast_harvester(w, &all->harvesters[i], i, 0);
  for (i = 0; i < p->consumers; i++) cast_harvester(w, &all->consumers[i], i, 1);
  start_all(all);
  wait_and_stop(all);
  last_round(&all->harvesters[0]);
  compare_all(&all->harvesters[0]);
  for (i = 0; i < p->consumers; i++) last_epoch(&all->consumers[i]);
  count_changes(w);
  world_close(w);
  r->milliseconds = (nanoseconds() - w->begun) / 1000000u;
  r->code = EXIT_PASS;
  if (r->stores < ENOUGH_STORES || r->harvests < ENOUGH_HARVESTS || r->pages < ENOUGH_PAGES) {
    r->code = EXIT_INCONCLUSIVE;
    snprintf(r->text, sizeof r->text, "too little happened to tell anything");
  }
  _exit(r->code);
}
