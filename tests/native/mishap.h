/* SPDX-License-Identifier: MIT
 *
 * mishap.h - what the hosts of the mishaps share: a watchdog that says where a host hangs, an engine with callbacks,
 * a harvest on another thread that can be looked at while it waits. */
#ifndef MISHAP_H
#define MISHAP_H

#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define FOR_EVER 0ull
#define MILLISECONDS 1000000ull
#define SECONDS (1000 * MILLISECONDS)

static const char *volatile mishap_now = "";

static inline void mishap_hangs(int number) {
  (void)number;
  if (write(2, "hangs in: ", 10) < 0 || write(2, (const char *)mishap_now, strlen((const char *)mishap_now)) < 0 ||
      write(2, "\n", 1) < 0)
    _exit(4);
  _exit(3);
}

/* A mishap begins. None may hang: each has a minute, on however busy a machine. */
static inline void mishap(const char *name) {
  mishap_now = name;
  signal(SIGALRM, mishap_hangs);
  alarm(60);
}

static inline void pause_ms(long milliseconds) {
  struct timespec length = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
  while (nanosleep(&length, &length) != 0 && errno == EINTR) continue;
}

static inline void await(const int *flag, int value) {
  while (__atomic_load_n(flag, __ATOMIC_SEQ_CST) < value) sched_yield();
}

static inline void reach(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }

static unsigned kicks; /* of count_kick */

static inline void count_kick(void *user, uint64_t vcpu) {
  (void)user, (void)vcpu;
  __atomic_fetch_add(&kicks, 1, __ATOMIC_SEQ_CST);
}

/* An engine, a space of 1 GiB, a logging slot of `size` bytes at GUEST; no vcpu. */
static inline void mishap_open(fixture *f, size_t size, uint64_t timeout, void (*kick)(void *, uint64_t),
                               void (*log)(void *, int32_t, const char *), void *user) {
  gmap_engine_config engine_is;
  gmap_space_config space_is = space_config(1024 * MIB - 1);
  memset(&engine_is, 0, sizeof engine_is);
  memset(f, 0, sizeof *f);
  engine_is.struct_size = sizeof engine_is;
  engine_is.arena_bytes = 16 * MIB;
  engine_is.grace_timeout_ns = timeout;
  engine_is.kick = kick;
  engine_is.log = log;
  engine_is.user = user;
  f->size = size;
  f->memory = guest_memory(size);
  REQUIRE_OK(gmap_engine_create(&engine_is, &f->engine));
  REQUIRE_OK(gmap_space_create(f->engine, &space_is, &f->space));
  REQUIRE_OK(set_slot(f->space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, size, f->memory));
}

static inline void mishap_close(fixture *f) {
  CHECK_OK(gmap_space_destroy(f->space));
  CHECK_OK(gmap_engine_destroy(f->engine));
  munmap(f->memory, f->size);
}

/* A harvest of the whole slot on a thread of its own. */
typedef struct waiting_harvest {
  fixture *f;
  pthread_t thread;
  int begun, ended;
  gmap_status status;
  uint64_t dirty, bitmap[MAX_WORDS];
} waiting_harvest;

static void *harvest_there(void *argument) {
  waiting_harvest *w = (waiting_harvest *)argument;
  reach(&w->begun, 1);
  w->status = gmap_dirty_harvest(w->f->space, SLOT, 0, PAGES_OF(w->f->size), 0, w->bitmap, MAX_WORDS, &w->dirty);
  reach(&w->ended, 1);
  return NULL;
}

/* Returns when it was seen to kick, which it does after a millisecond of waiting: it waits. */
static inline void begin_waiting_harvest(waiting_harvest *w, fixture *f) {
  unsigned before = __atomic_load_n(&kicks, __ATOMIC_SEQ_CST);
  memset(w, 0, sizeof *w);
  w->f = f;
  REQUIRE(pthread_create(&w->thread, NULL, harvest_there, w) == 0);
  while (__atomic_load_n(&kicks, __ATOMIC_SEQ_CST) == before && !__atomic_load_n(&w->ended, __ATOMIC_SEQ_CST))
    sched_yield();
  CHECK_EQUAL(w->ended, 0);
}

static inline void end_waiting_harvest(waiting_harvest *w) { REQUIRE(pthread_join(w->thread, NULL) == 0); }

#endif /* MISHAP_H */
