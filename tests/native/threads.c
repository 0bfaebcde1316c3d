/* SPDX-License-Identifier: MIT
 *
 * threads.c - guest threads store while another harvests in rounds and copies what is reported: at the end the copy
 * is the memory, and no page was ever reported that nobody wrote. Four threads: two store through the walk, two
 * through the cache. Each works on a window of seven pages for a while, then on another, so that a store that is
 * lost stays lost; the eighth page beside each window is written by nobody. The header's test hook stretches the
 * moments between its steps.
 *
 *   threads SECONDS            enter and leave are plain stores, where the kernel has membarrier
 *   threads SECONDS unfenced   it has not (seccomp says ENOSYS): the header fences */
#include <stdint.h>

static void stretch(unsigned one_in);
#define GMAP_INLINE_YIELD(n) stretch((n) == 4 ? 16u : 1024u) /* 4: granted and marked, before the store or the cache */

#include "fixture.h"
#include "sandbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define SIZE (32 * MIB)
#define PAGES PAGES_OF(SIZE)
#define WRITERS 4u
#define CACHE 16u
#define WINDOWS (PAGES / 8 / WRITERS)
#define STORES_IN_A_WINDOW 4096u

static fixture f;
static unsigned char *image;
static uint64_t bitmap[MAX_WORDS];
static int stop, running;

static uint64_t next_random(uint64_t *state) { /* xorshift64 */
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

/* Once in a while, some microseconds between two steps. */
static void stretch(unsigned one_in) {
  static __thread uint64_t state = 88172645463325252ull;
  volatile unsigned spin;
  if (next_random(&state) % one_in != 0) return;
  if (state >> 63) sched_yield();
  else for (spin = (unsigned)(state >> 50); spin != 0; spin--) continue;
}

/* A page of writer `me` in one of its windows. */
static uint64_t page_for(unsigned me, uint64_t window, uint64_t random) {
  return (window * WRITERS + me) * 8 + random % 7;
}

static int somebodys(uint64_t page) { return page % 8 != 7; }

static gmap_status resolve(gmap_view *view, gmap_cache_entry *cache, uint64_t at, void **host) {
  for (;;) {
    gmap_status status = cache ? gmap_cache_store(view, cache, CACHE - 1, at, 8, host)
                               : gmap_store_ptr(view, at, 8, host);
    if (status != GMAP_INLINE_ASK) return status;
    status = gmap_fault(view->vcpu, view->ask_addr, GMAP_ACCESS_WRITE, NULL);
    if (status != 0) return status;
  }
}

typedef struct writer {
  pthread_t thread;
  unsigned me;
  uint64_t stores, errors;
} writer;

static void *run(void *argument) {
  writer *w = (writer *)argument;
  gmap_cache_entry *cache = w->me % 2 ? (gmap_cache_entry *)calloc(CACHE, sizeof *cache) : NULL;
  uint64_t vcpu, window = 0, state = 0x9E3779B97F4A7C15ull * (w->me + 1);
  gmap_view *view;
  if (open_vcpu(f.space, GMAP_INLINE_VERSION, &vcpu, &view) != 0) {
    w->errors++;
    return NULL;
  }
  __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    unsigned burst;
    if (w->stores % STORES_IN_A_WINDOW == 0) window = next_random(&state) % WINDOWS;
    gmap_enter(view);
    for (burst = 0; burst < 16; burst++) {
      uint64_t random = next_random(&state);
      uint64_t at = GUEST + page_for(w->me, window, random >> 8) * PAGE + (random >> 52) * 8 % PAGE;
      void *host = NULL;
      if (resolve(view, cache, at, &host) != 0) {
        w->errors++;
        break;
      }
      stretch(1024); /* between translating and storing: what sections are for */
      __atomic_store_n((uint64_t *)host, random, __ATOMIC_RELAXED);
      w->stores++;
    }
    gmap_leave(view);
  }
  if (gmap_vcpu_close(vcpu) != 0) w->errors++;
  free(cache);
  return NULL;
}

/* Copies what was reported; the pages change under the copy, as guests do. */
static uint64_t copy_round(uint32_t flags) {
  uint64_t dirty = 0, page, seen = 0;
  CHECK_OK(gmap_dirty_harvest(f.space, SLOT, 0, PAGES, flags, bitmap, MAX_WORDS, &dirty));
  for (page = 0; page < PAGES; page++) {
    size_t i;
    if (!page_is_dirty(bitmap, page)) continue;
    seen++;
    if (!somebodys(page)) check_failed(__FILE__, __LINE__, "page %llu was never written", (unsigned long long)page);
    for (i = 0; i < PAGE / 8; i++)
      ((uint64_t *)(void *)(image + page * PAGE))[i] =
          __atomic_load_n((uint64_t *)(void *)(f.memory + page * PAGE) + i, __ATOMIC_RELAXED);
  }
  CHECK_EQUAL(dirty, seen);
  return seen;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void compare(void) {
  uint64_t page;
  for (page = 0; page < PAGES; page++) {
    check_count++;
    if (memcmp(image + page * PAGE, f.memory + page * PAGE, PAGE) != 0)
      check_failed(__FILE__, __LINE__, "page %llu differs: a store was lost", (unsigned long long)page);
  }
}

int main(int argc, char **argv) {
  double length = argc > 1 ? atof(argv[1]) : 2.0, end;
  writer writers[WRITERS];
  uint64_t rounds = 0, pages = 0, stores = 0;
  int unfenced = argc > 2 && strcmp(argv[2], "unfenced") == 0;
  unsigned i;
  if (unfenced) sandbox_deny(SYS_membarrier, ENOSYS);
  fixture_open(&f, SIZE, GMAP_SLOT_LOG_DIRTY, GMAP_SPLIT_LAZY);
  if (unfenced) CHECK_EQUAL(f.view->need_fence, 1);
  CHECK_EQUAL(f.view->need_fence, (gmap_features() & GMAP_FEATURE_MEMBARRIER) == 0);
  image = guest_memory(SIZE);
  memset(writers, 0, sizeof writers);
  for (i = 0; i < WRITERS; i++) {
    writers[i].me = i;
    REQUIRE(pthread_create(&writers[i].thread, NULL, run, &writers[i]) == 0);
  }
  while (__atomic_load_n(&running, __ATOMIC_SEQ_CST) < (int)WRITERS) sched_yield();
  for (end = seconds() + length; seconds() < end; rounds++) {
    pages += copy_round(0);
    if (rounds % 8 == 3) /* a mapping goes away and comes back: dirty state survives */
      CHECK_OK(gmap_unmap(f.space, GUEST + rounds / 8 % 32 * MIB, MIB, 0, NULL));
  }
  __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
  for (i = 0; i < WRITERS; i++) {
    pthread_join(writers[i].thread, NULL);
    CHECK_EQUAL(writers[i].errors, 0);
    stores += writers[i].stores;
  }
  pages += copy_round(GMAP_HARVEST_NO_REARM);
  compare();
  CHECK(rounds > 3 && stores > 1000 && pages > 100);
  printf("threads: %llu rounds, %llu stores, %llu pages copied\n", (unsigned long long)rounds,
         (unsigned long long)stores, (unsigned long long)pages);
  fixture_close(&f);
  munmap(image, SIZE);
  return check_done("threads");
}
