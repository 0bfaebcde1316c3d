/* SPDX-License-Identifier: MIT
 *
 * reclaim.c - splits, unmaps and remaps without end: does the memory of the tables come back? Two vcpus store into 1024
 * segments through the inline header, each store to a segment that is not there maps and splits it; the main thread
 * unmaps all of them, again and again, until COUNT leaves were split and COUNT page tables unmapped. Then nothing may
 * be left: the arena and all that is in it have their starting sizes, to the byte. Exit status 0 if so.
 *
 * usage: gmap-reclaim [COUNT] [pgste]      (default 100000000; pgste: page tables of 4 KB) */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "gmap_inline.h"

#define MIB 0x100000ull
#define SEGMENTS 1024ull
#define PRIMED 2112ull /* linked, in limbo, and a spare for each of two losers at once: 2050 tables at most */
#define REQUIRE(call)                                                                         \
  do {                                                                                        \
    gmap_status status_ = (call);                                                             \
    if (status_ != 0) {                                                                       \
      fprintf(stderr, "reclaim.c:%d: %s: %s\n", __LINE__, #call, gmap_strerror(status_));     \
      exit(1);                                                                                \
    }                                                                                         \
  } while (0)

static uint64_t engine, space;
static unsigned char *memory;
static int stop;

typedef struct writer {
  pthread_t thread;
  uint64_t me, stores, passes;
} writer;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t resident_kib(void) {
  unsigned long long pages = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%llu %llu", &pages, &resident) != 2) resident = 0;
  if (file) fclose(file);
  return resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static gmap_engine_stats engine_stats(void) {
  gmap_engine_stats stats = {.struct_size = sizeof stats};
  REQUIRE(gmap_engine_get_stats(engine, &stats));
  return stats;
}

static gmap_space_stats space_stats(void) {
  gmap_space_stats stats = {.struct_size = sizeof stats};
  REQUIRE(gmap_space_get_stats(space, &stats));
  return stats;
}

static void set_slot(uint64_t segments) {
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .id = 1};
  slot.size = segments * MIB;
  slot.host_addr = (uint64_t)(uintptr_t)memory;
  REQUIRE(gmap_slot_set(space, &slot));
}

/* A store into each of some segments, each in a section of its own; how many had to ask. One vcpu comes from below, one
 * from above. */
static uint64_t store_all(gmap_view *view, uint64_t segments, uint64_t me, uint64_t *stores) {
  uint64_t asked = 0;
  for (uint64_t i = 0; i < segments; i++) {
    uint64_t at = (me ? segments - 1 - i : i) * MIB + (*stores / segments % 4 * 64 + me * 32) * 4096;
    void *host = NULL;
    gmap_enter(view);
    gmap_status status = gmap_store_ptr(view, at, 8, &host);
    if (status == GMAP_INLINE_ASK) {
      asked++;
      REQUIRE(gmap_store_resolve(view, at, 8, &host, NULL));
    }
    memcpy(host, stores, 8);
    gmap_leave(view);
    ++*stores;
  }
  return asked;
}

static gmap_view *open_vcpu(uint64_t *vcpu) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  gmap_view *view;
  REQUIRE(gmap_vcpu_open(space, &config, vcpu, &view));
  return view;
}

static void *run(void *argument) {
  writer *w = argument;
  uint64_t vcpu;
  gmap_view *view = open_vcpu(&vcpu);
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    uint64_t asked = store_all(view, SEGMENTS, w->me, &w->stores);
    __atomic_store_n(&w->passes, w->passes + 1, __ATOMIC_RELAXED);
    if (asked == 0) sched_yield(); /* all is there: let the unmapper go on */
  }
  REQUIRE(gmap_vcpu_close(vcpu));
  return NULL;
}

/* As many tables at once as the run can ever have; then the engine has its starting size. */
static void prime(void) {
  uint64_t vcpu[3], stores = 0;
  gmap_view *view = NULL;
  for (int i = 0; i < 3; i++) view = open_vcpu(vcpu + i);
  set_slot(PRIMED);
  (void)store_all(view, PRIMED, 0, &stores);
  REQUIRE(gmap_unmap(space, 0, PRIMED * MIB, 0, NULL));
  set_slot(0);
  set_slot(SEGMENTS);
  (void)store_all(view, SEGMENTS, 0, &stores); /* the segment table is there too */
  REQUIRE(gmap_unmap(space, 0, SEGMENTS * MIB, 0, NULL));
  for (uint64_t page = 0; page < SEGMENTS * 256; page += 32) memory[page * 4096] = 1; /* resident now, as later */
  for (int i = 0; i < 3; i++) REQUIRE(gmap_vcpu_close(vcpu[i]));
}

/* Until one of the two has been everywhere once more: or each grace would be for a handful of tables. */
static void let_them_split(const writer *writers, uint64_t passes[2]) {
  uint64_t now[2];
  for (;;) {
    for (int i = 0; i < 2; i++) now[i] = __atomic_load_n(&writers[i].passes, __ATOMIC_RELAXED);
    if (now[0] >= passes[0] + 2 || now[1] >= passes[1] + 2) break; /* the first of the two may have begun before */
    sched_yield();
  }
  memcpy(passes, now, sizeof now);
}

static void progress(uint64_t done, uint64_t count, double since) {
  static uint64_t told;
  if (done * 20 / count == told) return;
  told = done * 20 / count;
  fprintf(stderr, "  %3" PRIu64 " %%  %" PRIu64 " splits, %.0f s, resident %" PRIu64 " KiB\n", told * 5, done,
          seconds() - since, resident_kib());
}

static int is_back(const char *what, uint64_t before, uint64_t after) {
  printf("%-34s %12" PRIu64 " %12" PRIu64 "%s\n", what, before, after, before == after ? "" : "   NOT BACK");
  return before == after;
}

int main(int argc, char **argv) {
  uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000000;
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .arena_bytes = 16 * MIB};
  gmap_space_config space_is = {.struct_size = sizeof space_is, .limit = 4096 * MIB - 1};
  writer writers[2] = {{.me = 0}, {.me = 1}};
  int pgste = argc > 2 && strcmp(argv[2], "pgste") == 0;
  if (count == 0 || argc > 3 || (argc > 2 && !pgste)) return fprintf(stderr, "usage: %s [COUNT] [pgste]\n", argv[0]), 2;
  space_is.table_format = pgste ? GMAP_TABLE_4K_PGSTE : GMAP_TABLE_2K;
  memory = mmap(NULL, (PRIMED + 1) * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return perror("mmap"), 1;
  memory = (unsigned char *)(((uintptr_t)memory + MIB - 1) & ~(uintptr_t)(MIB - 1));
  REQUIRE(gmap_engine_create(&engine_is, &engine));
  REQUIRE(gmap_space_create(engine, &space_is, &space));
  prime();
  gmap_engine_stats before = engine_stats();
  gmap_space_stats first = space_stats(), now = first;
  double begin = seconds();
  for (int i = 0; i < 2; i++)
    if (pthread_create(&writers[i].thread, NULL, run, &writers[i]) != 0) return perror("pthread_create"), 1;
  uint64_t resident = 0, done = 0, passes[2] = {0, 0};
  while (done < count) {
    let_them_split(writers, passes);
    REQUIRE(gmap_unmap(space, 0, SEGMENTS * MIB, 0, NULL));
    now = space_stats();
    done = now.splits - first.splits;
    uint64_t unmapped = (now.pages_unmapped - first.pages_unmapped) / 256;
    done = unmapped < done ? unmapped : done;
    if (resident == 0 && done >= count / 100) resident = resident_kib();
    progress(done < count ? done : count, count, begin);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 2; i++) pthread_join(writers[i].thread, NULL);
  REQUIRE(gmap_unmap(space, 0, SEGMENTS * MIB, 0, NULL));
  double took = seconds() - begin;
  now = space_stats();
  gmap_engine_stats after = engine_stats();
  printf("splits %" PRIu64 " (lost races %" PRIu64 "), segments unmapped %" PRIu64 ", remapped %" PRIu64
         ", graces %" PRIu64 ", stores %" PRIu64 ", %.1f s\n",
         now.splits - first.splits, now.splits_lost - first.splits_lost,
         (now.pages_unmapped - first.pages_unmapped) / 256, now.segments_mapped - first.segments_mapped,
         now.grace_periods - first.grace_periods,
         writers[0].stores + writers[1].stores, took);
  printf("%-34s %12s %12s\n", "", "before", "after");
  int back = is_back("arena committed, bytes", before.committed_bytes, after.committed_bytes);
  back &= is_back("arena free, bytes", before.free_bytes, after.free_bytes);
  back &= is_back("page tables, bytes", before.page_table_bytes, after.page_table_bytes);
  back &= is_back("segment tables, bytes", before.segment_table_bytes, after.segment_table_bytes);
  back &= is_back("in limbo, bytes", before.limbo_bytes, after.limbo_bytes);
  back &= is_back("views, bytes", before.view_bytes, after.view_bytes);
  printf("%-34s %12" PRIu64 " %12" PRIu64 "\n", "resident after 1 % and at the end, KiB", resident, resident_kib());
  REQUIRE(gmap_space_destroy(space));
  REQUIRE(gmap_engine_destroy(engine));
  return back ? 0 : 1;
}
