/* SPDX-License-Identifier: MIT
 *
 * watched.c - gmap_watch.h: what a host publishes is what its figures are; names are cut, what finds no room is told; a reader never
 * sees half of it. */
#include "fixture.h"
#include "gmap_watch.h"

#include <pthread.h>
#include <sched.h>

static int stopped;
static uint64_t whole; /* copies */

/* Copies that are whole have a space's and the engine's figures of one moment: published together. */
static void *read_always(void *argument) {
  const gmap_watch_page *page = argument;
  static gmap_watch_page copy;
  while (!__atomic_load_n(&stopped, __ATOMIC_RELAXED)) {
    uint64_t before = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
    memcpy(&copy, page, sizeof copy);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (before & 1 || __atomic_load_n(&page->sequence, __ATOMIC_RELAXED) != before) continue;
    __atomic_fetch_add(&whole, 1, __ATOMIC_RELAXED);
    CHECK(copy.consumer[0].epochs == copy.consumer[0].last_pages); /* the host says so below */
  }
  return NULL;
}

int main(void) {
  fixture f;
  gmap_watch *watch;
  pthread_t reader;
  uint64_t *bitmap = guarded(MAX_WORDS * 8);
  char name[100];
  memset(name, 'n', sizeof name);
  name[sizeof name - 1] = 0;
  fixture_open(&f, 16 * MIB, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  watch = gmap_watch_open(name, f.engine);
  REQUIRE(watch != NULL);
  CHECK_EQUAL(strlen(watch->page->name), 63);
  CHECK_EQUAL(gmap_watch_space(watch, f.space, "space"), 0);
  CHECK_EQUAL(gmap_watch_slot(watch, f.space, SLOT, name), 0);
  CHECK_EQUAL(gmap_watch_slot(watch, f.space, SLOT + 1, "none"), 1);
  CHECK_EQUAL(gmap_watch_consumer(watch, f.space, SLOT, "reader"), 0);
  REQUIRE(pthread_create(&reader, NULL, read_always, watch->page) == 0);

  for (uint64_t epoch = 1; epoch <= 200; epoch++) {
    for (uint64_t page = 0; page < 3; page++) {
      gmap_enter(f.view);
      CHECK_OK(store8(f.view, GUEST + (epoch + page * 100) * PAGE, epoch, NULL));
      gmap_leave(f.view);
    }
    CHECK_EQUAL(harvest(&f, bitmap), 3);
    gmap_watch_publish(watch);
    CHECK_EQUAL(watch->page->slot[0].rate.pages, 3 * epoch);
    CHECK_EQUAL(watch->page->consumer[0].lag_pages, 3);
    gmap_watch_epoch(watch, 0, epoch);
    CHECK_EQUAL(watch->page->consumer[0].lag_pages, 0);
  }
  while (!__atomic_load_n(&whole, __ATOMIC_RELAXED)) sched_yield(); /* it may have had no turn yet */
  __atomic_store_n(&stopped, 1, __ATOMIC_RELAXED);
  pthread_join(reader, NULL);
  CHECK_EQUAL(watch->page->consumer[0].epochs, 200);
  CHECK_EQUAL(watch->page->slot[0].logs, 1);
  CHECK_EQUAL(watch->page->slot[1].logs, 0);
  CHECK_EQUAL(watch->page->space[0].stats.harvests, space_stats(f.space).harvests);
  CHECK_EQUAL(watch->page->engine.committed_bytes, engine_stats(f.engine).committed_bytes);

  gmap_watch_epoch(watch, 1, 5); /* no such consumer */
  gmap_watch_epoch(watch, -1, 5);
  for (int i = 1; i < GMAP_WATCH_SPACES; i++) CHECK_EQUAL(gmap_watch_space(watch, f.space, "more"), i);
  CHECK_EQUAL(gmap_watch_space(watch, f.space, "too many"), -1);
  for (int i = 2; i < GMAP_WATCH_SLOTS; i++) CHECK_EQUAL(gmap_watch_slot(watch, f.space, 99, "more"), i);
  CHECK_EQUAL(gmap_watch_slot(watch, f.space, SLOT, "too many"), -1);
  for (int i = 1; i < GMAP_WATCH_CONSUMERS; i++) CHECK_EQUAL(gmap_watch_consumer(watch, f.space, SLOT, "more"), i);
  CHECK_EQUAL(gmap_watch_consumer(watch, f.space, SLOT, "too many"), -1);
  fixture_close(&f);
  gmap_watch_publish(watch); /* the figures of before stay */
  CHECK(watch->page->space[0].stats.harvests >= 200);
  snprintf(name, sizeof name, "/dev/shm%s", watch->file);
  CHECK(access(name, F_OK) == 0);
  gmap_watch_close(watch);
  CHECK(access(name, F_OK) != 0);
  gmap_watch_close(NULL);
  return check_done("watched");
}
