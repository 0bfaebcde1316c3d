// Harvests of a guest of which much is dirty: by freezing (PROTOCOL.md, rule 20) against scan + locked "and" of each
// dirty entry, the page tables being the truth in both; and the longest that a store takes meanwhile.
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "costs.h"

#define ENTRIES 256u
#define SOFT_DIRTY 2ull
#define CLEAN_ARMED 0x235ull
#define DIRTY 0x03Full

static uint64_t engine, space, pages, *bitmap, *tables;
static int ends;
static double longest;
static uint64_t stores;

static void open_dense(uint64_t gib) {
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .flags = GMAP_ENGINE_HUGE_ARENA, .arena_bytes = 1024 * MIB};
  gmap_space_config space_is = {.struct_size = sizeof space_is, .limit = (gib << 30) - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .id = 1, .size = gib << 30, .host_addr = HOST};
  CHECK(gmap_engine_create(&engine_is, &engine));
  CHECK(gmap_space_create(engine, &space_is, &space));
  CHECK(gmap_slot_set(space, &slot));
  pages = gib << 18;
  bitmap = calloc(pages / 64, sizeof *bitmap);
  tables = mmap(NULL, pages * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (tables == MAP_FAILED) exit(1);
  madvise(tables, pages * 8, MADV_HUGEPAGE);
  for (uint64_t i = 0; i < pages; i++) tables[i] = i << 12 | CLEAN_ARMED;
}

static uint64_t harvest(void) {
  uint64_t dirty;
  CHECK(gmap_dirty_harvest(space, 1, 0, pages, 0, bitmap, pages / 64, &dirty));
  return dirty;
}

// What a C host does without a bitmap: look at every entry, clear its mark by a locked instruction where it has one.
static uint64_t locked(void) {
  uint64_t dirty = 0;
  for (uint64_t word = 0; word < pages / 64; word++) {
    uint64_t bits = 0, *entry = tables + word * 64;
    for (unsigned i = 0; i < 64; i++) bits |= ((entry[i] & SOFT_DIRTY) >> 1) << i;
    for (uint64_t left = bits; left; left &= left - 1)
      __atomic_fetch_and(entry + __builtin_ctzll(left), ~SOFT_DIRTY, __ATOMIC_SEQ_CST);
    bitmap[word] = bits;
    dirty += (uint64_t)__builtin_popcountll(bits);
  }
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  return dirty;
}

static void store_pages(gmap_view *view, uint64_t per_mille, uint64_t seed, int in_c) {
  uint64_t n = per_mille == 1000 ? pages : pages * per_mille / 1000;
  void *host;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t page = per_mille == 1000 ? i : random64(&seed) % pages;
    if (in_c)
      tables[page] |= DIRTY & SOFT_DIRTY;
    else
      CHECK(gmap_store_resolve(view, page << 12, 8, &host, NULL));
  }
  if (!in_c) gmap_leave(view);
}

static void dense_row(gmap_view *view, uint64_t gib, uint64_t per_mille) {
  static double ours[ROUNDS], others[ROUNDS];
  uint64_t seed = 88172645463325252ull;
  for (int round = 0; round < ROUNDS; round++) {
    double t;
    uint64_t dirty;
    seed += 2;
    store_pages(view, per_mille, seed, 0);
    store_pages(view, per_mille, seed, 1);
    t = now_ns();
    dirty = harvest();
    ours[round] = (now_ns() - t) / 1e6;
    t = now_ns();
    if (locked() != dirty) exit(2);
    others[round] = (now_ns() - t) / 1e6;
  }
  double a = median(ours, ROUNDS), b = median(others, ROUNDS);
  printf("harvest + re-arm, %3" PRIu64 " GiB, %3" PRIu64 ".%" PRIu64 " %% dirty %27.2f ms     %-34s %10.2f  %6.2f\n", gib, per_mille / 10,
         per_mille % 10, a, "tables: scan, locked and of each", b, a / b);
}

// First stores to the pages of random segments, each timed, in sections of their own.
static void *keep_storing(void *argument) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  uint64_t vcpu, seed = 88172645463325257ull;
  gmap_view *view;
  void *host;
  (void)argument;
  CHECK(gmap_vcpu_open(space, &config, &vcpu, &view));
  while (!__atomic_load_n(&ends, __ATOMIC_ACQUIRE)) {
    double t = now_ns(), took;
    gmap_enter(view);
    CHECK(gmap_store_resolve(view, (random64(&seed) % pages) << 12, 8, &host, NULL));
    gmap_leave(view);
    took = now_ns() - t;
    longest = took > longest ? took : longest;
    stores++;
  }
  CHECK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void stall_row(gmap_view *view, uint64_t gib, int harvests) {
  static double stall[ROUNDS];
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t writer;
    store_pages(view, 1000, 1, 0);
    longest = 0, stores = 0, ends = 0;
    if (pthread_create(&writer, NULL, keep_storing, NULL) != 0) exit(1);
    while (!__atomic_load_n(&stores, __ATOMIC_ACQUIRE)) usleep(100);
    if (harvests)
      harvest();
    else
      usleep(30000);
    __atomic_store_n(&ends, 1, __ATOMIC_RELEASE);
    pthread_join(writer, NULL);
    harvest();
    stall[round] = longest / 1e3;
  }
  double middle = median(stall, ROUNDS);
  printf("longest store of another vcpu, %3" PRIu64 " GiB, %-15s %10.1f us (medians of %d; worst %.1f)\n", gib,
         harvests ? "all harvested" : "nobody harvests", middle, ROUNDS, stall[ROUNDS - 1]);
}

void dense(uint64_t gib) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  static const uint64_t per_milles[] = {10, 50, 100, 200, 500, 1000};
  uint64_t vcpu;
  gmap_view *view;
  open_dense(gib);
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
  CHECK(gmap_vcpu_open(space, &config, &vcpu, &view));
  for (uint64_t i = 0; i < gib << 10; i++) {
    void *host;
    CHECK(gmap_store_resolve(view, i * MIB, 8, &host, NULL));
  }
  gmap_leave(view);
  harvest();
  for (size_t i = 0; i < sizeof per_milles / sizeof *per_milles; i++) dense_row(view, gib, per_milles[i]);
  stall_row(view, gib, 0);
  stall_row(view, gib, 1);
  CHECK(gmap_vcpu_close(vcpu));
  CHECK(gmap_space_destroy(space));
  CHECK(gmap_engine_destroy(engine));
  munmap(tables, pages * 8);
  free(bitmap);
}
