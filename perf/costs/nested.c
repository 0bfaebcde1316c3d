// Nested guests: inner pages through a shadow, beside the same walk of the guest's tables in C at each access, and beside
// a host that keeps what walks found and never hears that a table changed.
#include "../peers/lookup.h"
#include "costs.h"

#define INNER 10000u         // inner pages
#define TABLES MIB           // where the guest keeps its tables
#define MEMORY (32 * MIB)    // and its guest's memory
#define SIZE (128 * MIB)
#define POOL (4 * MIB)       // of the peer's tables

typedef struct nest {
  uint64_t engine, space, outer, shadow, inner, asce;
  gmap_view *outer_view, *view;
  unsigned char *memory;
  peer_nested guest;
  peer_shadow kept;
} nest;

static uint32_t order[INNER];
static figures cold, cold_walk, fill, warm, warm_walk, load, load_kept, unshadow, drop_kept, whole, whole_kept;

static void shuffle(void) {
  uint64_t random = 88172645463325252ull;
  for (uint32_t i = 0; i < INNER; i++) order[i] = i;
  for (uint32_t i = INNER - 1; i > 0; i--) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    uint32_t other = (uint32_t)(random % (i + 1)), kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}

static void open_vcpu(uint64_t space, uint64_t *vcpu, gmap_view **view) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  CHECK(gmap_vcpu_open(space, &config, vcpu, view));
}

static void nest_open(nest *n) {
  gmap_space_config config = {.struct_size = sizeof config, .limit = SIZE - 1};
  n->memory = (unsigned char *)peer_memory(SIZE);
  gmap_slot slot = {.struct_size = sizeof slot, .id = 1, .flags = GMAP_SLOT_LOG_DIRTY, .size = SIZE,
                    .host_addr = (uint64_t)(uintptr_t)n->memory};
  n->asce = peer_nested_build(n->memory, TABLES, MEMORY, INNER);
  n->guest = (peer_nested){.storage = n->memory, .size = SIZE, .asce = n->asce, .edat = 1};
  n->kept.pool = peer_memory(POOL);
  CHECK(gmap_engine_create(NULL, &n->engine));
  CHECK(gmap_space_create(n->engine, &config, &n->space));
  CHECK(gmap_slot_set(n->space, &slot));
  open_vcpu(n->space, &n->outer, &n->outer_view);
  CHECK(gmap_shadow_open(n->space, n->asce, GMAP_EDAT_1, &n->shadow));
  open_vcpu(n->shadow, &n->inner, &n->view);
}

static void nest_close(nest *n) {
  CHECK(gmap_vcpu_close(n->inner));
  CHECK(gmap_shadow_close(n->shadow));
  CHECK(gmap_vcpu_close(n->outer));
  CHECK(gmap_space_destroy(n->space));
  CHECK(gmap_engine_destroy(n->engine));
  peer_memory_free((uint64_t *)(void *)n->memory, SIZE);
  peer_memory_free(n->kept.pool, POOL);
}

// The outer guest stores an entry as it was: what hung on that page of its tables is gone.
static void touch(nest *n, uint64_t at) {
  void *host;
  gmap_enter(n->outer_view);
  CHECK(gmap_store_resolve(n->outer_view, at, 8, &host, NULL));
  *(volatile uint64_t *)host = *(volatile uint64_t *)host;
  gmap_leave(n->outer_view);
}

static double faults_of_all(nest *n) {
  double begin = start_ns();
  for (uint32_t i = 0; i < INNER; i++) CHECK(gmap_fault(n->inner, (uint64_t)order[i] << 12, GMAP_ACCESS_READ, NULL));
  begin = stop_ns() - begin;
  gmap_leave(n->view);
  return begin;
}

static double walks_of_all(nest *n) {
  uint64_t real;
  double begin = start_ns();
  for (uint32_t i = 0; i < INNER; i++) {
    CHECK(peer_nested_walk(&n->guest, (uint64_t)order[i] << 12, 0, &real));
    sink += real;
  }
  return stop_ns() - begin;
}

static double loads_of_all(nest *n) {
  double begin = start_ns();
  gmap_enter(n->view);
  for (uint32_t i = 0; i < INNER; i++) {
    void *host;
    CHECK(gmap_load_ptr(n->view, (uint64_t)order[i] << 12, 8, &host));
    sink += (uintptr_t)host;
  }
  gmap_leave(n->view);
  return stop_ns() - begin;
}

static double kept_of_all(nest *n) {
  double begin = start_ns();
  for (uint32_t i = 0; i < INNER; i++) sink += peer_walk(n->kept.top, (uint64_t)order[i] << 12);
  return stop_ns() - begin;
}

static double fill_of_all(nest *n) {
  double begin = start_ns();
  peer_shadow_drop(&n->kept);
  for (uint32_t i = 0; i < INNER; i++) CHECK(peer_shadow_fault(&n->kept, &n->guest, (uint64_t)order[i] << 12, 0));
  return stop_ns() - begin;
}

static void round_of(nest *n, int round) {
  double begin, faulted, kept;
  touch(n, TABLES); // the region-third table: everything is gone
  sweep();
  faulted = faults_of_all(n);
  put(&cold, round, faulted / INNER);
  sweep();
  put(&cold_walk, round, walks_of_all(n) / INNER);
  put(&warm, round, faults_of_all(n) / INNER);
  put(&warm_walk, round, walks_of_all(n) / INNER);
  put(&load, round, loads_of_all(n) / INNER);
  sweep();
  kept = fill_of_all(n);
  put(&fill, round, kept / INNER);
  put(&load_kept, round, kept_of_all(n) / INNER);
  sweep();
  begin = start_ns();
  touch(n, TABLES);
  begin = stop_ns() - begin;
  put(&unshadow, round, begin / INNER);
  put(&whole, round, (faulted + begin) / 1e3);
  begin = start_ns();
  peer_shadow_drop(&n->kept);
  begin = stop_ns() - begin;
  put(&drop_kept, round, begin / INNER);
  put(&whole_kept, round, (kept + begin) / 1e3);
}

void nested(void) {
  nest n;
  gmap_space_stats stats = {.struct_size = sizeof stats};
  report_progress("nested guests");
  shuffle();
  nest_open(&n);
  for (int round = -1; round < rounds; round++) round_of(&n, round);
  report_row("nested: a fault that shadows an inner page, cold, in random order", &cold, "ns",
             "C: walk of the guest's tables", &cold_walk, none);
  report_row("nested: a fault that shadows an inner page, cold, in random order", &cold, "ns",
             "C: walk, kept, told of no change", &fill, none);
  report_row("nested: gmap_fault on what is shadowed", &warm, "ns", "C: walk of the guest's tables", &warm_walk, none);
  report_row("nested: load by the inline header", &load, "ns", "C: walk of the guest's tables", &warm_walk,
             ratio_at_most(1));
  report_row("nested: load by the inline header", &load, "ns", "C: lookup of what was kept", &load_kept, none);
  report_row("nested: a store to a top table, an entry that hung on it", &unshadow, "ns", "C: drop everything", &drop_kept,
             none);
  report_row("nested: 10,000 inner pages built and torn down", &whole, "us", "C: the same, told of no change", &whole_kept,
             none);
  faults_of_all(&n);
  fill_of_all(&n);
  CHECK(gmap_space_get_stats(n.space, &stats));
  report_single("nested: memory of a shadow with 10,000 pages, a page", (double)stats.shadow_bytes / INNER, "B",
                "C: tables of what was kept", (double)n.kept.used * 8 / INNER, none);
  nest_close(&n);
}
