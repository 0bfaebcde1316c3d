// Loads and stores through the inline header, and the first store to a clean page, beside a bare TLB and the kernel.
#include "../peers/lookup.h"
#include "../peers/peers.h"
#include "costs.h"

#define ACCESSES 65536u
#define WORKING_SET 512u // pages; 33 apart, so that none shares an entry of a cache of 1024
#define CACHE 1024u
#define FIRST 4096u

typedef struct way {
  guest g;
  gmap_cache_entry cache[CACHE];
  figures alone, cached_load, cached_store, walked_load, walked_store;
  figures again_load, again_store, again_alone, again_walked_store, again_tlb;
} way;

static uint64_t addresses[ACCESSES];
static way pages, leaves;

// The peer's tables: a region-third table, segment tables, page tables; and leaves in a second set.
static uint64_t *peer_top[2], *peer_segments[2], *peer_pages;
static peer_tlb_entry tlb[2][CACHE];
static figures tlb_hit[2], walked[2];

static void build_peer(uint64_t gib) {
  uint64_t segments = gib << 10;
  peer_pages = peer_memory(segments * 2048);
  for (int leaf = 0; leaf < 2; leaf++) {
    peer_top[leaf] = peer_memory(MIB);
    peer_segments[leaf] = peer_memory(segments * 8);
    for (uint64_t i = 0; i < gib / 2; i++) peer_top[leaf][i] = (uint64_t)(uintptr_t)(peer_segments[leaf] + i * 2048);
    if (leaf) peer_map_leaves(peer_segments[leaf], segments, HOST);
    else peer_map_pages(peer_segments[leaf], segments, HOST, peer_pages);
    for (uint64_t i = 0; i < CACHE; i++) tlb[leaf][i].tag = ~0ull;
  }
}

static void free_peer(uint64_t gib) {
  peer_memory_free(peer_pages, gib << 21);
  for (int leaf = 0; leaf < 2; leaf++) {
    peer_memory_free(peer_top[leaf], MIB);
    peer_memory_free(peer_segments[leaf], gib << 13);
  }
}

// Enter, the access, leave: so many times, ns each.
#define MEASURE(name, access)                                             \
  static double name(way *w) {                                            \
    gmap_view *view = w->g.view;                                          \
    gmap_cache_entry *cache = w->cache;                                   \
    uint64_t sum = 0;                                                     \
    gmap_status failed = 0;                                               \
    double begin = start_ns();                                              \
    (void)cache;                                                          \
    for (uint64_t i = 0; i < ACCESSES; i++) {                             \
      void *host = NULL;                                                  \
      gmap_enter(view);                                                   \
      failed |= (access);                                                 \
      sum += (uint64_t)(uintptr_t)host;                                   \
      gmap_leave(view);                                                   \
    }                                                                     \
    begin = stop_ns() - begin;                                             \
    sink += sum;                                                          \
    if (failed) exit(4);                                                  \
    return begin / ACCESSES;                                              \
  }

MEASURE(enter_and_leave, 0)
MEASURE(cached_load, gmap_cache_load(view, cache, CACHE - 1, addresses[i], 8, &host))
MEASURE(cached_store, gmap_cache_store(view, cache, CACHE - 1, addresses[i], 8, &host))
MEASURE(walked_load, gmap_load_ptr(view, addresses[i], 8, &host))
MEASURE(walked_store, gmap_store_ptr(view, addresses[i], 8, &host))

// One section, a poll before each access (or in it): so many times, ns each.
#define MEASURE_POLLED(name, access)                                      \
  static double name(way *w) {                                            \
    gmap_view *view = w->g.view;                                          \
    gmap_cache_entry *cache = w->cache;                                   \
    uint64_t sum = 0;                                                     \
    gmap_status failed = 0;                                               \
    double begin;                                                         \
    (void)cache;                                                          \
    gmap_enter(view);                                                     \
    begin = start_ns();                                                   \
    for (uint64_t i = 0; i < ACCESSES; i++) {                             \
      void *host = NULL;                                                  \
      failed |= (access);                                                 \
      sum += (uint64_t)(uintptr_t)host;                                   \
    }                                                                     \
    begin = stop_ns() - begin;                                            \
    gmap_leave(view);                                                     \
    sink += sum;                                                          \
    if (failed) exit(4);                                                  \
    return begin / ACCESSES;                                              \
  }

MEASURE_POLLED(again_alone, gmap_again(view))
MEASURE_POLLED(again_load, gmap_again_load(view, cache, CACHE - 1, addresses[i], 8, &host))
MEASURE_POLLED(again_store, gmap_again_store(view, cache, CACHE - 1, addresses[i], 8, &host))
MEASURE_POLLED(again_walked_store, gmap_again(view) | gmap_store_ptr(view, addresses[i], 8, &host))

// A host with a TLB of its own, which it clears when the poll says so.
static double by_tlb_polled(way *w, int leaf) {
  uint64_t sum = 0;
  double begin;
  gmap_enter(w->g.view);
  begin = start_ns();
  for (uint64_t i = 0; i < ACCESSES; i++) {
    if (gmap_again(w->g.view)) memset(tlb[leaf], 0xff, sizeof tlb[leaf]);
    sum += peer_tlb(tlb[leaf], CACHE - 1, peer_top[leaf], addresses[i]);
  }
  begin = stop_ns() - begin;
  gmap_leave(w->g.view);
  sink += sum;
  return begin / ACCESSES;
}

static double by_tlb(int leaf) {
  uint64_t sum = 0;
  double begin = start_ns();
  for (uint64_t i = 0; i < ACCESSES; i++) sum += peer_tlb(tlb[leaf], CACHE - 1, peer_top[leaf], addresses[i]);
  begin = stop_ns() - begin;
  sink += sum;
  return begin / ACCESSES;
}

static double by_walk(int leaf) {
  uint64_t sum = 0;
  double begin = start_ns();
  for (uint64_t i = 0; i < ACCESSES; i++) sum += peer_walk(peer_top[leaf], addresses[i]);
  begin = stop_ns() - begin;
  sink += sum;
  return begin / ACCESSES;
}

static void measure(way *w, int leaf, int round) {
  put(&w->walked_store, round, walked_store(w));
  put(walked + leaf, round, by_walk(leaf));
  put(&w->walked_load, round, walked_load(w));
  cached_store(w); // fills the cache
  put(&w->cached_store, round, cached_store(w));
  put(tlb_hit + leaf, round, by_tlb(leaf));
  put(&w->cached_load, round, cached_load(w));
  put(&w->again_load, round, again_load(w));
  put(&w->again_store, round, again_store(w));
  put(&w->again_tlb, round, by_tlb_polled(w, leaf));
  put(&w->again_alone, round, again_alone(w));
  put(&w->again_walked_store, round, again_walked_store(w));
  put(&w->alone, round, enter_and_leave(w));
}

static void rows(const way *w, int leaf) {
  const char *what[] = {"4 KB pages", "1 MB leaves"};
  char row[96];
  snprintf(row, sizeof row, "poll + load, cache hit (gmap_again_load), %s", what[leaf]);
  report_row(row, &w->again_load, "ns", "direct-mapped TLB, hit", tlb_hit + leaf, ratio_at_most(1.3));
  snprintf(row, sizeof row, "poll + store, cache hit (gmap_again_store), %s", what[leaf]);
  report_row(row, &w->again_store, "ns", "direct-mapped TLB, hit; nothing tracked", tlb_hit + leaf,
             ratio_at_most(1.3));
  snprintf(row, sizeof row, "poll + hit of the host's own TLB, %s", what[leaf]);
  report_row(row, &w->again_tlb, "ns", "direct-mapped TLB, hit", tlb_hit + leaf, none);
  snprintf(row, sizeof row, "poll + tracked store, walking, %s", what[leaf]);
  report_row(row, &w->again_walked_store, "ns", "walk of three levels in C; nothing tracked", walked + leaf, none);
  snprintf(row, sizeof row, "enter + load + leave, cache hit, %s", what[leaf]);
  report_row(row, &w->cached_load, "ns", "direct-mapped TLB, hit", tlb_hit + leaf, ratio_at_most(1.3));
  snprintf(row, sizeof row, "enter + store + leave, cache hit, %s", what[leaf]);
  report_row(row, &w->cached_store, "ns", "direct-mapped TLB, hit; nothing tracked", tlb_hit + leaf,
             ratio_at_most(1.3));
  if (!leaf) report_row("poll alone (gmap_again)", &w->again_alone, "ns", "direct-mapped TLB, hit", tlb_hit, none);
  if (!leaf) report_row("enter + leave alone", &w->alone, "ns", "direct-mapped TLB, hit", tlb_hit, none);
  snprintf(row, sizeof row, "enter + load + leave, walking, %s", what[leaf]);
  report_row(row, &w->walked_load, "ns", "walk of three levels in C", walked + leaf, none);
  report_row(row, &w->walked_load, "ns", "direct-mapped TLB, hit", tlb_hit + leaf, none);
  snprintf(row, sizeof row, "enter + tracked store + leave, walking, %s", what[leaf]);
  report_row(row, &w->walked_store, "ns", "walk of three levels in C; nothing tracked", walked + leaf, none);
}

static void hits_and_walks(void) {
  uint64_t seed = 99, gib = 4;
  report_progress("accesses: cache hits and walks");
  for (uint64_t i = 0; i < ACCESSES; i++) addresses[i] = (random64(&seed) % WORKING_SET * 33) << 12 | 24;
  build_peer(gib);
  guest_open(&pages.g, gib, LOGGED);
  guest_open(&leaves.g, gib, UNLOGGED);
  for (uint64_t i = 0; i < ACCESSES; i++) {
    guest_store(&pages.g, addresses[i]);
    guest_store(&leaves.g, addresses[i]);
  }
  gmap_leave(pages.g.view);
  gmap_leave(leaves.g.view);
  for (int round = -1; round < rounds; round++) {
    measure(&pages, 0, round);
    measure(&leaves, 1, round);
  }
  rows(&pages, 0);
  rows(&leaves, 1);
  guest_close(&pages.g);
  guest_close(&leaves.g);
  free_peer(gib);
}

// In one section, a poll in each store; ns each.
static double polled_stores(guest *g, gmap_cache_entry *cache, const uint64_t *at) {
  double begin;
  gmap_enter(g->view);
  begin = start_ns();
  for (uint64_t i = 0; i < ACCESSES; i++) {
    void *host;
    if (gmap_again_store(g->view, cache, CACHE - 1, at[i], 8, &host) != 0)
      CHECK(gmap_store_resolve(g->view, at[i], 8, &host, NULL));
    *(volatile uint64_t *)host = i;
  }
  begin = (stop_ns() - begin) / ACCESSES;
  gmap_leave(g->view);
  return begin;
}

// Stores that are really made, into 256 MiB: vm-memory knows no others.
static void real_stores(void) {
  static figures ours, polled, near, near_vm, vm;
  static gmap_cache_entry cache[CACHE];
  static uint64_t few[ACCESSES];
  uint64_t seed = 5, size = 1024 * MIB;
  void *memory = peer_memory(size);
  guest g;
  if (!peer_vm_memory_load()) {
    report_missing("tracked store beside vm-memory's write_obj", "not measured here: not built");
    peer_memory_free(memory, size);
    return;
  }
  report_progress("accesses: real stores beside vm-memory's");
  for (uint64_t i = 0; i < ACCESSES; i++) addresses[i] = (random64(&seed) & 0xffff) << 12 | 24;
  for (uint64_t i = 0; i < ACCESSES; i++) few[i] = random64(&seed) % WORKING_SET << 12 | (i * 64 & 0xfff);
  guest_open_at(&g, 1, LOGGED, (uint64_t)(uintptr_t)memory);
  for (int round = -1; round < rounds; round++) {
    double begin = start_ns();
    for (uint64_t i = 0; i < ACCESSES; i++) {
      void *host;
      gmap_enter(g.view);
      CHECK(gmap_store_resolve(g.view, addresses[i], 8, &host, NULL));
      *(volatile uint64_t *)host = i;
      gmap_leave(g.view);
    }
    put(&ours, round, (stop_ns() - begin) / ACCESSES);
    begin = start_ns();
    peer_vm_stores(addresses, ACCESSES);
    put(&vm, round, (stop_ns() - begin) / ACCESSES);
    put(&polled, round, polled_stores(&g, cache, addresses));
    put(&near, round, polled_stores(&g, cache, few));
    begin = start_ns();
    peer_vm_stores(few, ACCESSES);
    put(&near_vm, round, (stop_ns() - begin) / ACCESSES);
  }
  report_row("tracked store, made, poll and cache, random in 2 MiB", &near, "ns",
             "vm-memory: write_obj with dirty marking", &near_vm, ratio_at_most(0.2));
  report_row("tracked store, made, poll and cache, random in 256 MiB", &polled, "ns",
             "vm-memory: write_obj with dirty marking", &vm, none);
  report_row("tracked store, made, by walking, random in 256 MiB", &ours, "ns",
             "vm-memory: write_obj with dirty marking", &vm, ratio_at_most(0.2));
  guest_close(&g);
  peer_memory_free(memory, size);
}

static double first_stores(guest *g) {
  double begin = start_ns();
  for (uint64_t i = 0; i < FIRST; i++) {
    gmap_enter(g->view);
    guest_store(g, i << 12);
    gmap_leave(g->view);
  }
  return (stop_ns() - begin) / FIRST;
}

static void first_writes(void) {
  static const struct {
    enum peer_kernel how;
    const char *name;
  } kernels[] = {{PEER_UFFD_ASYNC, "userfaultfd, asynchronous write-protect"},
                 {PEER_UFFD_SYNC, "userfaultfd, a handler thread"},
                 {PEER_SIGSEGV, "mprotect + SIGSEGV handler"}};
  static figures ours, again, bits, kernel[3];
  static uint64_t bitmap[FIRST / 64];
  guest g;
  report_progress("accesses: first writes, and the kernel's");
  guest_open(&g, 4, LOGGED);
  guest_split(&g);
  for (int round = -1; round < rounds; round++) {
    double begin;
    first_stores(&g);
    guest_harvest(&g, 0);
    put(&ours, round, first_stores(&g));
    put(&again, round, first_stores(&g));
    memset(bitmap, 0, sizeof bitmap);
    begin = start_ns();
    for (uint64_t i = 0; i < FIRST; i++) peer_mark(bitmap, i);
    put(&bits, round, (stop_ns() - begin) / FIRST);
    for (int k = 0; k < 3; k++) put(kernel + k, round, peer_kernel_first_write(kernels[k].how, FIRST));
  }
  report_row("enter + first store to a clean page, inline + leave", &ours, "ns", "bitmap: locked or, no translation",
             &bits, (goal){AT_MOST, 8});
  for (int k = 0; k < 3; k++) {
    if (middle(kernel + k) < 0) report_missing(kernels[k].name, "not measured here: the kernel refuses");
    else report_row("enter + first store to a clean page, inline + leave", &ours, "ns", kernels[k].name, kernel + k,
                    none);
  }
  report_row("enter + store to a dirty page, by walking + leave, in order", &again, "ns",
             "bitmap: locked or, no translation", &bits, none);
  guest_close(&g);
}

void accesses(void) {
  hits_and_walks();
  real_stores();
  first_writes();
}
