/* SPDX-License-Identifier: MIT */
#include "pacer.h"

#include <time.h>

#define LATENESS_NS 20000000ull /* what a thread may catch up after it did not get the processor */

void pacer_init(struct pacer *pacer, uint64_t rate, uint32_t sharers) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&pacer->lock, NULL);
  pthread_cond_init(&pacer->wake, &attributes);
  pthread_condattr_destroy(&attributes);
  atomic_init(&pacer->stop, false);
  atomic_init(&pacer->paused, false);
  atomic_init(&pacer->throttle, 0);
  pacer->rate = rate;
  pacer->sharers = sharers;
}

void pacer_destroy(struct pacer *pacer) {
  pthread_cond_destroy(&pacer->wake);
  pthread_mutex_destroy(&pacer->lock);
}

void pacer_release(struct pacer *pacer) { atomic_store(&pacer->stop, false); }

void pacer_stop(struct pacer *pacer) {
  pthread_mutex_lock(&pacer->lock);
  atomic_store(&pacer->stop, true);
  pthread_cond_broadcast(&pacer->wake);
  pthread_mutex_unlock(&pacer->lock);
}

void pacer_pause(struct pacer *pacer, bool pause) {
  pthread_mutex_lock(&pacer->lock);
  atomic_store(&pacer->paused, pause);
  pthread_cond_broadcast(&pacer->wake);
  pthread_mutex_unlock(&pacer->lock);
}

struct pace pacer_begin(void) {
  uint64_t now = now_ns();
  return (struct pace){.due_ns = now, .since_ns = now};
}

/* Writes a second of one thread. */
static double share(struct pacer *pacer) {
  return (double)pacer->rate / pacer->sharers * (100 - atomic_load(&pacer->throttle)) / 100;
}

uint32_t pacer_batch(struct pacer *pacer, uint32_t most) {
  double batch = pacer->rate ? share(pacer) / 500 : most;
  return batch >= most ? most : batch < 1 ? 1 : (uint32_t)batch;
}

void pacer_wait(struct pacer *pacer, struct pace *pace, uint32_t did) {
  uint64_t now = now_ns();
  uint32_t throttle = atomic_load(&pacer->throttle);
  if (pacer->rate) {
    pace->due_ns += (uint64_t)(did * 1e9 / share(pacer));
    if (pace->due_ns + LATENESS_NS < now) pace->due_ns = now - LATENESS_NS;
  } else {
    pace->due_ns = now + (now - pace->since_ns) * throttle / (100 - throttle);
  }
  if (pace->due_ns > now) {
    struct timespec until = time_of_ns(pace->due_ns);
    pthread_mutex_lock(&pacer->lock);
    while (!atomic_load(&pacer->stop) && pthread_cond_timedwait(&pacer->wake, &pacer->lock, &until) == 0) continue;
    pthread_mutex_unlock(&pacer->lock);
  }
  if (atomic_load(&pacer->paused)) {
    pthread_mutex_lock(&pacer->lock);
    while (!atomic_load(&pacer->stop) && atomic_load(&pacer->paused)) pthread_cond_wait(&pacer->wake, &pacer->lock);
    pthread_mutex_unlock(&pacer->lock);
  }
  pace->since_ns = now_ns();
}
