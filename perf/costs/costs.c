// What the engine's paths cost, beside the plain C that a host would write: medians of interleaved rounds in one process.
// The guest's memory is never touched (the engine does not either), so a guest of 64 GiB needs only its tables.
#include "costs.h"

static uint64_t engine, space, vcpu, pages, *harvested, *peer;
static gmap_view *view;
static volatile uint64_t sink;

static void row(const char *what, double *ours, double *others, const char *against, const char *unit) {
  double a = median(ours, ROUNDS), b = others ? median(others, ROUNDS) : 0;
  if (others)
    printf("%-58s %10.2f %-6s %-34s %10.2f  %6.2f\n", what, a, unit, against, b, a / b);
  else
    printf("%-58s %10.2f %s\n", what, a, unit);
}

static void open_guest(uint64_t gib) {
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .flags = GMAP_ENGINE_HUGE_ARENA, .arena_bytes = 1024 * MIB};
  gmap_space_config space_is = {.struct_size = sizeof space_is, .limit = (gib << 30) - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .id = 1, .size = gib << 30, .host_addr = HOST};
  gmap_vcpu_config vcpu_is = {.struct_size = sizeof vcpu_is, .inline_version = GMAP_INLINE_VERSION};
  CHECK(gmap_engine_create(&engine_is, &engine));
  CHECK(gmap_space_create(engine, &space_is, &space));
  CHECK(gmap_slot_set(space, &slot));
  CHECK(gmap_vcpu_open(space, &vcpu_is, &vcpu, &view));
  pages = gib << 18;
  harvested = calloc(pages / 64, sizeof *harvested);
  peer = calloc(pages / 64, sizeof *peer);
}

static void close_guest(void) {
  CHECK(gmap_vcpu_close(vcpu));
  CHECK(gmap_space_destroy(space));
  CHECK(gmap_engine_destroy(engine));
  free(harvested);
  free(peer);
}

static uint64_t harvest(void) {
  uint64_t dirty;
  CHECK(gmap_dirty_harvest(space, 1, 0, pages, 0, harvested, pages / 64, &dirty));
  return dirty;
}

// QEMU's way: exchange the words that are not zero, merge, count.
static uint64_t peer_harvest(void) {
  uint64_t dirty = 0;
  for (uint64_t i = 0; i < pages / 64; i++) {
    uint64_t bits = __atomic_load_n(peer + i, __ATOMIC_RELAXED);
    if (bits) bits = __atomic_exchange_n(peer + i, 0, __ATOMIC_SEQ_CST);
    harvested[i] = bits;
    dirty += (uint64_t)__builtin_popcountll(bits);
  }
  return dirty;
}

static void store(uint64_t guest_addr) {
  void *host;
  CHECK(gmap_store_resolve(view, guest_addr, 8, &host, NULL));
  sink += (uint64_t)(uintptr_t)host;
}

static void accesses(void) {
  static gmap_cache_entry cache[4096];
  static double walk[ROUNDS], cached[ROUNDS], first[ROUNDS], fault[ROUNDS], split[ROUNDS], mark[ROUNDS], empty[ROUNDS];
  const uint64_t n = 4096; // pages: 16 MiB
  open_guest(1);
  for (uint64_t i = 0; i < 1024; i++) store(i * MIB); // all split, tables warm
  gmap_leave(view);
  for (int round = 0; round < ROUNDS; round++) {
    void *host = NULL;
    double t = now_ns();
    for (uint64_t i = 0; i < n; i++) sink += gmap_abi_version();
    empty[round] = (now_ns() - t) / (double)n;
    for (uint64_t i = 0; i < n; i++) store(i << 12);
    gmap_leave(view);
    harvest();
    t = now_ns();
    for (uint64_t i = 0; i < n; i++) {
      gmap_enter(view);
      store(i << 12);
      gmap_leave(view);
    }
    first[round] = (now_ns() - t) / (double)n;
    t = now_ns();
    for (uint64_t i = 0; i < n; i++) {
      gmap_enter(view);
      store(i << 12);
      gmap_leave(view);
    }
    walk[round] = (now_ns() - t) / (double)n;
    for (int pass = 0; pass < 2; pass++) {
      t = now_ns();
      for (uint64_t i = 0; i < n; i++) {
        gmap_enter(view);
        CHECK(gmap_cache_store(view, cache, 4095, i << 12, 8, &host));
        sink += (uint64_t)(uintptr_t)host;
        gmap_leave(view);
      }
      cached[round] = (now_ns() - t) / (double)n;
    }
    t = now_ns();
    for (uint64_t i = 0; i < n; i++) __atomic_fetch_or(peer + i / 64, 1ull << (i % 64), __ATOMIC_SEQ_CST);
    mark[round] = (now_ns() - t) / (double)n;
    harvest();
    t = now_ns();
    for (uint64_t i = 0; i < n; i++) CHECK(gmap_fault(vcpu, i << 12, GMAP_ACCESS_WRITE, NULL));
    fault[round] = (now_ns() - t) / (double)n;
    gmap_leave(view);
    harvest();
    CHECK(gmap_unmap(space, 0, 1024 * MIB, 0, NULL));
    CHECK(gmap_populate(space, 0, 1024 * MIB, GMAP_ACCESS_READ, 0, NULL));
    t = now_ns();
    for (uint64_t i = 0; i < 1024; i++) CHECK(gmap_fault(vcpu, i * MIB, GMAP_ACCESS_WRITE, NULL));
    split[round] = (now_ns() - t) / 1024;
    gmap_leave(view);
    harvest();
  }
  row("enter + store to a dirty page, cached + leave", cached, NULL, "", "ns");
  row("enter + store to a dirty page, by walking + leave", walk, NULL, "", "ns");
  row("enter + first store to a clean page, inline + leave", first, mark, "bitmap: locked or, no translation", "ns");
  row("gmap_fault, write to a clean page", fault, empty, "empty export call", "ns");
  row("gmap_fault, write to an armed leaf: split and grant", split, empty, "empty export call", "ns");
  close_guest();
}

// `per_mille` of the pages of a guest whose tables are all split, at random.
static void harvest_row(uint64_t gib, uint64_t per_mille) {
  static double ours[ROUNDS], others[ROUNDS];
  uint64_t seed = 88172645463325252ull, n = pages * per_mille / 1000;
  char what[80];
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t dirty, begin = seed;
    double t;
    for (uint64_t i = 0; i < n; i++) store((n == pages ? i : random64(&seed) % pages) << 12);
    gmap_leave(view);
    t = now_ns();
    dirty = harvest();
    ours[round] = (now_ns() - t) / 1e3;
    seed = begin;
    for (uint64_t i = 0; i < n; i++) {
      uint64_t page = n == pages ? i : random64(&seed) % pages;
      __atomic_fetch_or(peer + page / 64, 1ull << (page % 64), __ATOMIC_SEQ_CST);
    }
    t = now_ns();
    if (peer_harvest() != dirty) exit(2);
    others[round] = (now_ns() - t) / 1e3;
  }
  snprintf(what, sizeof what, "harvest + re-arm, %" PRIu64 " GiB, %" PRIu64 ".%" PRIu64 " %% dirty", gib, per_mille / 10, per_mille % 10);
  row(what, ours, others, "bitmap: exchange, merge, count", "us");
}

static const uint64_t per_milles[] = {0, 1, 10, 100, 500, 1000};

int main(int argc, char **argv) {
  uint64_t gib = argc > 1 ? strtoull(argv[1], NULL, 0) : 64;
  printf("%-58s %10s %-6s %-34s %10s  %6s\n", "row (median of 9)", "ours", "", "beside it", "", "ratio");
  accesses();
  open_guest(gib);
  for (uint64_t i = 0; i < gib << 10; i++) store(i * MIB);
  gmap_leave(view);
  harvest();
  for (size_t i = 0; i < sizeof per_milles / sizeof *per_milles; i++) harvest_row(gib, per_milles[i]);
  close_guest();
  dense(gib);
  return scaling();
}
