/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <pthread.h>

#include "gmap_watch.h"

#define INTERVAL_NS 100000000

struct watch {
  gmap_watch *shared;
  pthread_t thread;
  pthread_mutex_t mutex; /* of what is below, and of publishing */
  pthread_cond_t ended;
  int migration;
  bool ends;
};

static void *publish(void *argument) {
  struct watch *watch = argument;
  struct timespec next;
  clock_gettime(CLOCK_REALTIME, &next);
  pthread_mutex_lock(&watch->mutex);
  while (!watch->ends) {
    gmap_watch_publish(watch->shared);
    next.tv_nsec += INTERVAL_NS;
    next.tv_sec += next.tv_nsec / 1000000000;
    next.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&watch->ended, &watch->mutex, &next);
  }
  pthread_mutex_unlock(&watch->mutex);
  return NULL;
}

struct watch *watch_start(const struct machine *machine, const char *guest) {
  struct watch *watch = calloc(1, sizeof *watch);
  char name[64];
  if (!watch) return complain("--watch: out of memory"), NULL;
  snprintf(name, sizeof name, "gmap-migrate, %s guest", guest);
  watch->shared = gmap_watch_open(name, machine->engine);
  if (!watch->shared) {
    complain("--watch: no shared memory: %s", strerror(errno));
    free(watch);
    return NULL;
  }
  gmap_watch_space(watch->shared, machine->space, guest);
  gmap_watch_slot(watch->shared, machine->space, MACHINE_SLOT, "ram");
  watch->migration = gmap_watch_consumer(watch->shared, machine->space, MACHINE_SLOT, "migration");
  pthread_mutex_init(&watch->mutex, NULL);
  pthread_cond_init(&watch->ended, NULL);
  int error = pthread_create(&watch->thread, NULL, publish, watch);
  if (error == 0) return watch;
  complain("--watch: no thread: %s", strerror(error));
  gmap_watch_close(watch->shared);
  free(watch);
  return NULL;
}

void watch_round(struct watch *watch, uint64_t pages) {
  if (!watch) return;
  pthread_mutex_lock(&watch->mutex);
  gmap_watch_epoch(watch->shared, watch->migration, pages);
  pthread_mutex_unlock(&watch->mutex);
}

void watch_stop(struct watch *watch) {
  if (!watch) return;
  pthread_mutex_lock(&watch->mutex);
  watch->ends = true;
  pthread_cond_signal(&watch->ended);
  pthread_mutex_unlock(&watch->mutex);
  pthread_join(watch->thread, NULL);
  gmap_watch_close(watch->shared);
  free(watch);
}
