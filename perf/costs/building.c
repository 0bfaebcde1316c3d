// Mapping a guest from nothing (gmap_populate), by 1 MB leaves and by 4 KB pages, beside a fill in C; the memory of all
// tables was used before, ours and the peer's. Nothing: a slot that was just made; and one that was unmapped, whose
// segment tables are there, so that each leaf is installed by itself.
// Turning logging on.
#include "../peers/peers.h"
#include "costs.h"

static void make_anew(guest *g) {
  gmap_slot slot = {.struct_size = sizeof slot, .id = 1};
  CHECK(gmap_slot_set(g->space, &slot));
  slot.size = g->gib << 30;
  slot.host_addr = HOST;
  CHECK(gmap_slot_set(g->space, &slot));
}

static double populate_us(guest *g) {
  double begin = start_ns();
  CHECK(gmap_populate(g->space, 0, g->gib << 30, GMAP_ACCESS_READ, 0, NULL));
  return (stop_ns() - begin) / 1e3;
}

static void map(uint64_t gib, enum guest_kind kind, goal wanted) {
  static figures ours, again, peers;
  uint64_t segments = gib << 10, *table = peer_memory(segments * 8), *pool = NULL;
  char row[96];
  guest g;
  int by_pages = kind == UNLOGGED_PAGES;
  const char *peer = by_pages ? "C: fill of all page tables" : "C: fill of the segment tables";
  if (by_pages) pool = peer_memory(segments * 2048);
  guest_open(&g, gib, kind);
  for (int round = -1; round < rounds; round++) {
    double begin;
    make_anew(&g);
    put(&ours, round, populate_us(&g));
    begin = start_ns();
    if (by_pages) peer_map_pages(table, segments, HOST, pool);
    else peer_map_leaves(table, segments, HOST);
    put(&peers, round, (stop_ns() - begin) / 1e3);
    CHECK(gmap_unmap(g.space, 0, gib << 30, 0, NULL));
    put(&again, round, populate_us(&g));
  }
  snprintf(row, sizeof row, "map %" PRIu64 " GiB by %s", gib, by_pages ? "4 KB pages" : "1 MB leaves");
  report_row(row, &ours, "us", peer, &peers, wanted);
  snprintf(row, sizeof row, "map %" PRIu64 " GiB by %s, again after an unmap", gib,
           by_pages ? "4 KB pages" : "1 MB leaves");
  report_row(row, &again, "us", peer, &peers, none);
  guest_close(&g);
  peer_memory_free(table, segments * 8);
  peer_memory_free(pool, segments * 2048);
}

static double logging_on_us(guest *g, uint32_t flags) {
  gmap_slot slot = {.struct_size = sizeof slot, .id = 1, .size = g->gib << 30, .host_addr = HOST, .flags = flags};
  double begin, us;
  CHECK(gmap_populate(g->space, 0, g->gib << 30, GMAP_ACCESS_WRITE, 0, NULL)); // writable leaves
  begin = start_ns();
  CHECK(gmap_slot_set(g->space, &slot));
  us = (stop_ns() - begin) / 1e3;
  slot.flags = 0;
  CHECK(gmap_slot_set(g->space, &slot));
  return us;
}

// Every page set and nothing armed, beside a walk that arms every leaf.
static void logging_on(uint64_t gib) {
  static figures set, armed;
  char row[96];
  guest g;
  guest_open(&g, gib, UNLOGGED);
  for (int round = -1; round < rounds; round++) {
    put(&set, round, logging_on_us(&g, GMAP_SLOT_LOG_DIRTY | GMAP_SLOT_INITIALLY_DIRTY));
    put(&armed, round, logging_on_us(&g, GMAP_SLOT_LOG_DIRTY));
  }
  snprintf(row, sizeof row, "logging on, %" PRIu64 " GiB of writable leaves, every page set", gib);
  report_row(row, &set, "us", "gmap_slot_set that arms each leaf", &armed, none);
  guest_close(&g);
}

void building(void) {
  uint64_t pages_gib = quick ? 8 : guest_gib;
  report_progress("mapping by leaves");
  map(guest_gib, UNLOGGED, ratio_at_most(1.5));
  report_progress("mapping by pages");
  map(pages_gib, UNLOGGED_PAGES, ratio_at_most(1.2));
  report_progress("logging on");
  logging_on(quick ? guest_gib : 1024);
}
