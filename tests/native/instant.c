/* SPDX-License-Identifier: MIT
 *
 * instant.c - a picture of the memory at one instant, taken while the guest runs on: copy on write by GMAP_NOTIFY_WRITE.
 *
 *   1. The vcpus stop. gmap_protect arms all pages for their next write. They run on: they stood still for one call.
 *   2. A thread copies page after page in the background, and disarms what it has.
 *   3. Who wants to write a page before that is told first: the callback copies it, then the write goes on.
 *
 * Each page is copied once, by whoever comes first; the other one waits for it. The test itself keeps a second copy of the
 * instant, made in 1. while nobody ran, and compares.
 *
 *   instant ROUNDS */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>

#define SIZE (16 * MIB)
#define PAGES PAGES_OF(SIZE)
#define VCPUS 3u
#define CHUNK 64u /* pages that the background disarms in one call */

enum { TO_COPY, COPIES, COPIED };

static fixture f;
static unsigned char *picture, *expected;
static int state[PAGES]; /* of each page of the picture */
static int stops, ends;  /* asked of the vcpus */
static unsigned standing;
static uint64_t by_callback, by_background, wrong;

/* Whoever comes first copies; when this returns the page is in the picture. */
static int take(uint64_t page) {
  int expected_state = TO_COPY;
  if (!__atomic_compare_exchange_n(&state[page], &expected_state, COPIES, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    while (__atomic_load_n(&state[page], __ATOMIC_ACQUIRE) != COPIED) sched_yield();
    return 0;
  }
  memcpy(picture + page * PAGE, f.memory + page * PAGE, PAGE);
  __atomic_store_n(&state[page], COPIED, __ATOMIC_RELEASE);
  return 1;
}

/* On the thread of the vcpu that wants to write. */
static void before_write(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind) {
  uint64_t at;
  (void)user;
  if (space != f.space || kind != GMAP_NOTIFY_WRITE) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
  for (at = first; at < last; at += PAGE)
    __atomic_fetch_add(&by_callback, (uint64_t)take((at - GUEST) / PAGE), __ATOMIC_RELAXED);
}

typedef struct vcpu {
  pthread_t thread;
  unsigned me;
  uint64_t stores, errors;
} vcpu;

static void *run(void *argument) {
  vcpu *me = (vcpu *)argument;
  uint64_t handle, random = 0x9E3779B97F4A7C15ull * (me->me + 1);
  gmap_view *view;
  if (open_vcpu(f.space, GMAP_INLINE_VERSION, &handle, &view) != 0) {
    me->errors++;
    return NULL;
  }
  while (!__atomic_load_n(&ends, __ATOMIC_ACQUIRE)) {
    if (__atomic_load_n(&stops, __ATOMIC_ACQUIRE)) {
      __atomic_fetch_add(&standing, 1, __ATOMIC_ACQ_REL);
      while (__atomic_load_n(&stops, __ATOMIC_ACQUIRE)) sched_yield();
      __atomic_fetch_sub(&standing, 1, __ATOMIC_ACQ_REL);
    }
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    gmap_enter(view); /* each vcpu has words of its own in every page */
    if (store8(view, GUEST + random % PAGES * PAGE + (random >> 40) % 128 * 32 + me->me * 8, ++me->stores, NULL) != 0)
      me->errors++;
    gmap_leave(view);
  }
  if (gmap_vcpu_close(handle) != 0) me->errors++;
  return NULL;
}

static void begin_picture(void) {
  __atomic_store_n(&stops, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&standing, __ATOMIC_ACQUIRE) != VCPUS) sched_yield();
  memset(state, 0, sizeof state);
  REQUIRE_OK(gmap_protect(f.space, GUEST, SIZE, GMAP_PROT_READ | GMAP_PROT_WRITE, GMAP_NOTIFY_WRITE));
  memcpy(expected, f.memory, SIZE); /* the test's own */
  __atomic_store_n(&stops, 0, __ATOMIC_RELEASE);
  while (__atomic_load_n(&standing, __ATOMIC_ACQUIRE) != 0) sched_yield();
}

static void copy_in_the_background(void) {
  uint64_t page;
  for (page = 0; page < PAGES; page++) {
    by_background += (uint64_t)take(page);
    if (page % CHUNK == CHUNK - 1)
      CHECK_OK(gmap_protect(f.space, GUEST + (page + 1 - CHUNK) * PAGE, CHUNK * PAGE, GMAP_PROT_READ | GMAP_PROT_WRITE,
                            GMAP_NOTIFY_WRITE | GMAP_NOTIFY_CANCEL));
  }
}

static uint64_t register_notifier(void) {
  gmap_notifier config;
  uint64_t notifier = 0;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.kinds = GMAP_NOTIFY_WRITE;
  config.callback = before_write;
  REQUIRE_OK(gmap_notifier_register(f.space, &config, &notifier));
  return notifier;
}

int main(int argc, char **argv) {
  vcpu vcpus[VCPUS];
  uint64_t notifier;
  unsigned i;
  int round, rounds = argc > 1 ? atoi(argv[1]) : 3;
  fixture_arguments(argc, argv);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  picture = guest_memory(SIZE);
  expected = guest_memory(SIZE);
  notifier = register_notifier();
  memset(vcpus, 0, sizeof vcpus);
  for (i = 0; i < VCPUS; i++) {
    vcpus[i].me = i;
    REQUIRE(pthread_create(&vcpus[i].thread, NULL, run, &vcpus[i]) == 0);
  }
  for (round = 0; round < rounds; round++) {
    begin_picture();
    copy_in_the_background();
    CHECK(memcmp(picture, expected, SIZE) == 0);
  }
  __atomic_store_n(&ends, 1, __ATOMIC_RELEASE);
  for (i = 0; i < VCPUS; i++) {
    pthread_join(vcpus[i].thread, NULL);
    CHECK(vcpus[i].stores > 0 && vcpus[i].errors == 0);
  }
  CHECK_EQUAL(by_callback + by_background, (uint64_t)rounds * PAGES);
  CHECK(by_callback > 0 && wrong == 0);
  printf("%llu pages copied before a write, %llu in the background\n", (unsigned long long)by_callback,
         (unsigned long long)by_background);
  CHECK_OK(gmap_notifier_unregister(notifier));
  fixture_close(&f);
  munmap(picture, SIZE);
  munmap(expected, SIZE);
  return check_done("instant");
}
