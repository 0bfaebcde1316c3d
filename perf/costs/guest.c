// A guest of the engine's, and the clock. Its memory is never touched, by the engine neither: of 64 GiB only the tables
// are there.
#include "costs.h"

#define RUNS 32768u // 768 KB

static double waited_at_start;

double start_ns(void) {
  waited_at_start = waited_ns();
  return now_ns();
}

double stop_ns(void) {
  double now = now_ns();
  return now - (waited_ns() - waited_at_start);
}

static void open_guest(guest *g, uint64_t gib, enum guest_kind kind, uint64_t host, void (*kick)(void *, uint64_t)) {
  gmap_engine_config engine = {.struct_size = sizeof engine, .flags = GMAP_ENGINE_HUGE_ARENA};
  gmap_space_config space = {.struct_size = sizeof space, .limit = (gib << 30) - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .id = 1, .size = gib << 30, .host_addr = host};
  gmap_vcpu_config vcpu = {.struct_size = sizeof vcpu, .inline_version = GMAP_INLINE_VERSION};
  engine.kick = kick;
  engine.arena_bytes = (gib * (kind == LOGGED_PGSTE ? 5 : 3) + 64) * MIB; // page tables take 2 or 4 MiB a GiB
  space.huge = kind == UNLOGGED_PAGES ? GMAP_HUGE_NONE : GMAP_HUGE_1M;
  space.table_format = kind == LOGGED_PGSTE ? GMAP_TABLE_4K_PGSTE : GMAP_TABLE_2K;
  space.tracking = kind == BY_GENERATION ? GMAP_TRACK_GENERATION : GMAP_TRACK_ENTRIES;
  slot.flags = kind <= BY_GENERATION ? GMAP_SLOT_LOG_DIRTY : 0;
  CHECK(gmap_engine_create(&engine, &g->engine));
  CHECK(gmap_space_create(g->engine, &space, &g->space));
  CHECK(gmap_slot_set(g->space, &slot));
  CHECK(gmap_vcpu_open(g->space, &vcpu, &g->vcpu, &g->view));
  g->gib = gib;
  g->pages = gib << 18;
  g->bitmap = malloc(g->pages / 8);
  if (!g->bitmap) exit(1);
  memset(g->bitmap, 0, g->pages / 8); // every page of it there
}

void guest_open(guest *g, uint64_t gib, enum guest_kind kind) { open_guest(g, gib, kind, HOST, NULL); }

void guest_open_at(guest *g, uint64_t gib, enum guest_kind kind, uint64_t host) {
  open_guest(g, gib, kind, host, NULL);
}

void guest_open_kicked(guest *g, uint64_t gib, void (*kick)(void *user, uint64_t vcpu)) {
  open_guest(g, gib, LOGGED, HOST, kick);
}

void guest_close(guest *g) {
  CHECK(gmap_vcpu_close(g->vcpu));
  CHECK(gmap_space_destroy(g->space));
  CHECK(gmap_engine_destroy(g->engine));
  free(g->bitmap);
}

void guest_split(guest *g) {
  gmap_enter(g->view);
  for (uint64_t i = 0; i < g->gib << 10; i++) guest_store(g, i * MIB);
  gmap_leave(g->view);
  guest_harvest(g, 0);
}

uint64_t guest_harvest(guest *g, uint32_t flags) {
  uint64_t dirty;
  CHECK(gmap_dirty_harvest(g->space, 1, 0, g->pages, flags, g->bitmap, g->pages / 64, &dirty));
  return dirty;
}

uint64_t guest_harvest_runs(guest *g) {
  static gmap_range runs[RUNS];
  uint64_t pages = 0;
  size_t count;
  for (uint64_t next = 0; next < g->pages;) {
    CHECK(gmap_dirty_harvest_ranges(g->space, 1, next, g->pages - next, 0, runs, RUNS, &count, &next));
    for (size_t i = 0; i < count; i++) pages += runs[i].count;
  }
  return pages;
}

void guest_mark(guest *g, const uint64_t *pattern) {
  gmap_enter(g->view);
  for (uint64_t word = 0; word < g->pages / 64; word++)
    for (uint64_t bits = pattern[word]; bits; bits &= bits - 1)
      guest_store(g, (word * 64 + (uint64_t)__builtin_ctzll(bits)) << 12);
  gmap_leave(g->view);
}

uint64_t pattern_make(uint64_t *pattern, uint64_t words, double share, unsigned cluster) {
  static uint64_t seed = 88172645463325252ull;
  uint64_t below = share >= 1 ? ~0ull : (uint64_t)(share * 18446744073709551616.0), pages = 0;
  for (uint64_t i = 0; i < words; i++) {
    pattern[i] = 0;
    if (cluster == 64) {
      pattern[i] = random64(&seed) <= below && below ? ~0ull : 0;
    } else {
      for (int bit = 0; bit < 64 && below; bit++) pattern[i] |= (uint64_t)(random64(&seed) <= below) << bit;
    }
    pages += (uint64_t)__builtin_popcountll(pattern[i]);
  }
  return pages;
}

void sweep(void) {
  static volatile uint64_t other[2 * 1024 * 1024]; // 16 MiB
  for (size_t i = 0; i < sizeof other / sizeof *other; i += 8) other[i]++;
}
