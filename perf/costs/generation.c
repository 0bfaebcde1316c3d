// A host that translates by itself: harvests of a space that tracks by generation, and the first store to each page after
// one. The peer is QEMU's way: every word of a bitmap exchanged and copied, and the translation cache flushed.
#include "../peers/lookup.h"
#include "../peers/peers.h"
#include "costs.h"

#define CACHE 4096u
#define FIRST 4096u

static const struct {
  const char *name;
  double of;
} shares[] = {{"clean", 0}, {"0.1 % random", 0.001}, {"1 % random", 0.01}, {"10 % random", 0.1}, {"100 %", 1}};

static uint64_t *pattern;
static int vm_there;
static gmap_cache_entry cache[CACHE];
static peer_tlb_entry tlb[CACHE];
static figures ored, overwritten, qemu, vm, first, first_peer;

static void same(uint64_t ours, uint64_t theirs, const char *what) {
  if (ours == theirs) return;
  fprintf(stderr, "%s found %" PRIu64 " pages, not %" PRIu64 "\n", what, ours, theirs);
  exit(2);
}

static double timed(guest *g, uint32_t flags, uint64_t dirty) {
  double begin;
  memset(g->bitmap, 0, g->pages / 8);
  guest_mark(g, pattern);
  sweep();
  begin = start_ns();
  same(guest_harvest(g, flags), dirty, "the engine");
  return (stop_ns() - begin) / 1e3;
}

static void measure_peers(peer_guest *p, int round, uint64_t dirty) {
  double begin;
  memcpy(p->live, pattern, p->words * 8);
  sweep();
  begin = start_ns();
  same(peer_bitmap_copy(p), dirty, "bitmap");
  memset(tlb, 0xFF, sizeof tlb);
  put(&qemu, round, (stop_ns() - begin) / 1e3);
  if (!vm_there) return;
  peer_vm_bitmap_load(pattern, p->words);
  sweep();
  begin = start_ns();
  if (peer_vm_bitmap_take() < p->words) exit(2); // in words
  memset(tlb, 0xFF, sizeof tlb);
  put(&vm, round, (stop_ns() - begin) / 1e3);
}

static void by_share(guest *g, peer_guest *p, unsigned i) {
  char row[96];
  uint64_t dirty = pattern_make(pattern, p->words, shares[i].of, shares[i].of == 1 ? 64 : 1);
  goal reach = ratio_at_most(shares[i].of == 0 ? 0.2 : 1);
  snprintf(row, sizeof row, "by generation: harvest, %" PRIu64 " GiB, %s", g->gib, shares[i].name);
  report_progress(row);
  for (int round = -1; round < rounds; round++) { // who is first has the caches that the other one had
    if (round & 1) measure_peers(p, round, dirty);
    put(&ored, round, timed(g, GMAP_HARVEST_OR, dirty));
    put(&overwritten, round, timed(g, 0, dirty));
    if (!(round & 1)) measure_peers(p, round, dirty);
  }
  snprintf(row, sizeof row, "by generation: harvest + re-arm, %" PRIu64 " GiB, %s, ORed", g->gib, shares[i].name);
  report_row(row, &ored, "us", "bitmap: exchange + copy, cache flushed", &qemu, reach);
  if (vm_there) report_row(row, &ored, "us", "vm-memory: get_and_reset, cache flushed", &vm, reach);
  snprintf(row, sizeof row, "by generation: harvest + re-arm, %" PRIu64 " GiB, %s, overwritten", g->gib, shares[i].name);
  report_row(row, &overwritten, "us", "bitmap: exchange + copy, cache flushed", &qemu, none);
}

// As a translating host stores: by its cache, else by a walk that marks the page and fills the cache.
static double first_stores(guest *g) {
  double begin = start_ns();
  for (uint64_t i = 0; i < FIRST; i++) {
    void *host = NULL;
    gmap_enter(g->view);
    if (gmap_cache_store(g->view, cache, CACHE - 1, i << 12, 8, &host) != 0) exit(4);
    sink += (uint64_t)(uintptr_t)host;
    gmap_leave(g->view);
  }
  return (stop_ns() - begin) / FIRST;
}

static double first_stores_of_peer(peer_guest *p, const uint64_t *top) {
  double begin;
  memset(tlb, 0xFF, sizeof tlb);
  begin = start_ns();
  for (uint64_t i = 0; i < FIRST; i++) {
    uint64_t addr = i << 12, before = tlb[i & (CACHE - 1)].tag;
    uint64_t host = peer_tlb(tlb, CACHE - 1, top, addr);
    if (before != i && !(__atomic_load_n(p->live + i / 64, __ATOMIC_ACQUIRE) >> (i % 64) & 1)) peer_mark(p->live, i);
    sink += host;
  }
  return (stop_ns() - begin) / FIRST;
}

static void first_after_harvest(guest *g, peer_guest *p) {
  uint64_t *top = peer_memory(MIB), *segments = peer_memory((g->gib << 10) * 8);
  report_progress("by generation: first stores");
  for (uint64_t i = 0; i < g->gib / 2; i++) top[i] = (uint64_t)(uintptr_t)(segments + i * 2048);
  peer_map_leaves(segments, g->gib << 10, HOST);
  for (int round = -1; round < rounds; round++) {
    first_stores(g);
    same(guest_harvest(g, 0), FIRST, "the engine");
    put(&first, round, first_stores(g));
    same(guest_harvest(g, 0), FIRST, "the engine");
    peer_bitmap_copy(p);
    put(&first_peer, round, first_stores_of_peer(p, top));
    same(peer_bitmap_copy(p), FIRST, "bitmap");
  }
  report_row("by generation: enter + first store to a page after a harvest + leave", &first, "ns",
             "flushed TLB: walk, locked or, fill", &first_peer, none);
  peer_memory_free(top, MIB);
  peer_memory_free(segments, (g->gib << 10) * 8);
}

void generation(void) {
  guest g;
  peer_guest p;
  vm_there = peer_vm_memory_load();
  guest_open(&g, guest_gib, BY_GENERATION);
  peer_open(&p, g.pages, 0);
  pattern = malloc(p.words * 8);
  if (!pattern) exit(1);
  if (vm_there) peer_vm_bitmap_open(guest_gib << 30);
  pattern_make(pattern, p.words, 1, 64);
  guest_mark(&g, pattern); // every leaf is mapped
  guest_harvest(&g, 0);
  for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++) by_share(&g, &p, i);
  memset(p.live, 0, p.words * 8);
  first_after_harvest(&g, &p);
  if (vm_there) peer_vm_bitmap_close();
  free(pattern);
  peer_close(&p);
  guest_close(&g);
}
