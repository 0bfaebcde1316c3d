// Mapping a guest from nothing (gmap_populate), by 1 MB leaves and by 4 KB pages, beside a fill in C; tables are warm.
#include "../peers/peers.h"
#include "costs.h"

static void map(uint64_t gib, enum guest_kind kind, goal wanted) {
  static figures ours, peers;
  uint64_t segments = gib << 10, *table = peer_memory(segments * 8), *pool = NULL;
  char row[96];
  guest g;
  int by_pages = kind == UNLOGGED_PAGES;
  if (by_pages) pool = peer_memory(segments * 2048);
  guest_open(&g, gib, kind);
  for (int round = -1; round < rounds; round++) {
    double begin = start_ns();
    CHECK(gmap_populate(g.space, 0, gib << 30, GMAP_ACCESS_READ, 0, NULL));
    put(&ours, round, (stop_ns() - begin) / 1e3);
    CHECK(gmap_unmap(g.space, 0, gib << 30, 0, NULL));
    begin = start_ns();
    if (by_pages) peer_map_pages(table, segments, HOST, pool);
    else peer_map_leaves(table, segments, HOST);
    put(&peers, round, (stop_ns() - begin) / 1e3);
  }
  snprintf(row, sizeof row, "map %" PRIu64 " GiB by %s", gib, by_pages ? "4 KB pages" : "1 MB leaves");
  report_row(row, &ours, "us", by_pages ? "C: fill of all page tables" : "C: fill of the segment tables", &peers,
             wanted);
  guest_close(&g);
  peer_memory_free(table, segments * 8);
  peer_memory_free(pool, segments * 2048);
}

void building(void) {
  uint64_t pages_gib = quick ? 8 : guest_gib;
  report_progress("mapping by leaves");
  map(guest_gib, UNLOGGED, ratio_at_most(1.5));
  report_progress("mapping by pages");
  map(pages_gib, UNLOGGED_PAGES, ratio_at_most(1.2));
}
