// What a table format costs: memory, splits, harvests, making leaves again. Tables only, no guest memory behind them.
#include "study.h"

#define SLOT 1u

static double harvest_us(guest *g, double share) {
  uint64_t state = 0x9E3779B97F4A7C15ull, n = (uint64_t)((double)g->pages * share);
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  gmap_view *view;
  uint64_t vcpu;
  void *host;
  CHECK(gmap_vcpu_open(g->space, &config, &vcpu, &view));
  gmap_enter(view);
  for (uint64_t k = 0; k < n; k++) CHECK(gmap_store_resolve(view, (random64(&state) >> 8) % g->pages * PAGE, 8, &host, NULL));
  gmap_leave(view);
  double begin = now_ns();
  CHECK(gmap_dirty_harvest(g->space, SLOT, 0, g->pages, 0, g->bitmap, g->pages / 64, NULL));
  begin = now_ns() - begin;
  CHECK(gmap_vcpu_close(vcpu));
  return begin / 1e3;
}

// One store to each segment: the first splits its leaf, in the vcpu; the second finds a clean page in a table.
static void first_stores(guest *g, double ns[2]) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  gmap_view *view;
  uint64_t vcpu, page;
  void *host;
  CHECK(gmap_vcpu_open(g->space, &config, &vcpu, &view));
  for (int again = 0; again < 2; again++) {
    gmap_enter(view);
    ns[again] = now_ns();
    for (page = 0; page < g->pages; page += 256) CHECK(gmap_store_resolve(view, (page + (uint64_t)again) * PAGE, 8, &host, NULL));
    ns[again] = (now_ns() - ns[again]) / (double)(g->pages / 256);
    gmap_leave(view);
  }
  CHECK(gmap_vcpu_close(vcpu));
}

static void lazily(uint32_t format, uint64_t gib, double ns[2]) {
  setting writer = usual(LAZY, format, IDLE, 0, 0);
  double all[2][MOST_REPEATS];
  for (int i = 0; i < repeats; i++) {
    guest g;
    guest_open_tables(&g, gib << 10, format, &writer);
    guest_log(&g, GMAP_SLOT_LOG_DIRTY);
    first_stores(&g, ns);
    all[0][i] = ns[0];
    all[1][i] = ns[1];
    guest_close(&g);
  }
  for (int i = 0; i < 2; i++) ns[i] = median(all[i], (size_t)repeats);
}

enum { SPLIT, CLEAN, DIRTY, COLLAPSE, COSTS };

// Splits ahead, harvests of all-split tables, and leaves again.
static void ahead(uint32_t format, uint64_t gib, double costs[COSTS], double kib[2]) {
  setting writer = usual(LAZY, format, IDLE, 0, 0);
  guest g;
  double segments = (double)(gib << 10), begin;
  uint64_t collapsed;
  guest_open_tables(&g, gib << 10, format, &writer);
  guest_log(&g, GMAP_SLOT_LOG_DIRTY);
  kib[0] = (double)guest_stats(&g).table_bytes / 1024;
  begin = now_ns();
  CHECK(gmap_split(g.space, 0, g.size, 0, NULL));
  costs[SPLIT] = (now_ns() - begin) / segments;
  kib[1] = (double)guest_stats(&g).table_bytes / 1024 - kib[0];
  costs[CLEAN] = harvest_us(&g, 0);
  costs[DIRTY] = harvest_us(&g, 0.01);
  begin = now_ns();
  CHECK(gmap_collapse(g.space, 0, g.size, 0, &collapsed));
  costs[COLLAPSE] = (now_ns() - begin) / segments;
  if ((double)collapsed != segments) left_out("formats: %" PRIu64 " of %.0f segments collapsed", collapsed, segments);
  guest_close(&g);
}

static void measure(table *t, uint32_t format, uint64_t gib) {
  double costs[COSTS], all[COSTS][MOST_REPEATS], kib[2] = {0}, stores[2];
  lazily(format, gib, stores);
  for (int i = 0; i < repeats; i++) {
    ahead(format, gib, costs, kib);
    for (int c = 0; c < COSTS; c++) all[c][i] = costs[c];
  }
  for (int c = 0; c < COSTS; c++) costs[c] = median(all[c], (size_t)repeats);
  cell(t, "%s", format_name(format));
  cell_number(t, kib[0] / (double)gib, 1);
  cell_number(t, kib[1] / (double)(gib << 10), 2);
  cell_number(t, costs[SPLIT], 0);
  cell_number(t, stores[0], 0);
  cell_number(t, stores[1], 0);
  cell_number(t, costs[CLEAN], 1);
  cell_number(t, costs[DIRTY], 0);
  cell_number(t, costs[COLLAPSE], 0);
}

// What PGSTEs are for costs leaves: a segment in which one is not zero keeps its page table.
static void keys(table *t, uint64_t gib, unsigned percent) {
  setting writer = usual(LAZY, GMAP_TABLE_4K_PGSTE, IDLE, 0, 0);
  guest g;
  uint64_t segments = gib << 10, set = segments * percent / 100;
  double kib[3], ns[2];
  guest_open_tables(&g, gib << 10, GMAP_TABLE_4K_PGSTE, &writer);
  for (int again = 0; again < 2; again++) { // the second key of a segment finds its table
    ns[again] = now_ns();
    for (uint64_t i = 0; i < set; i++)
      CHECK(gmap_pgste_update(g.space, i * 100 / percent * SEGMENT + (uint64_t)again * PAGE, GMAP_PGSTE_ACC, GMAP_PGSTE_ACC, NULL));
    ns[again] = now_ns() - ns[again];
  }
  kib[0] = (double)guest_stats(&g).table_bytes / 1024;
  guest_log(&g, GMAP_SLOT_LOG_DIRTY);
  CHECK(gmap_split(g.space, 0, g.size, 0, NULL));
  kib[1] = (double)guest_stats(&g).table_bytes / 1024;
  guest_log(&g, 0);
  kib[2] = (double)guest_stats(&g).table_bytes / 1024;
  cell_number(t, percent, 0);
  for (int i = 0; i < 3; i++) cell_number(t, kib[i] / (double)gib, 1);
  for (int i = 0; i < 2; i++) cell_number(t, set ? ns[i] / (double)set : -1, 0);
  guest_close(&g);
}

void formats(void) {
  static char title[160], title_of_keys[160];
  static const unsigned shares[] = {0, 1, 10, 100};
  uint64_t gib = quick ? 1 : 16;
  snprintf(title, sizeof title, "A guest of %" PRIu64 " GiB that logs: per GiB as leaves, per split segment, harvests when "
                                "everything is split.", gib);
  table *t = table_new("formats", title,
                       "tables|leaves KiB/GiB|KiB a split|split ahead ns|store that splits ns|first store ns|clean harvest us|"
                       "1 % dirty us|collapse ns");
  for (uint32_t format = 0; format < 2; format++) {
    progress("formats: %s", format_name(format));
    measure(t, format, gib);
  }
  snprintf(title_of_keys, sizeof title_of_keys, "Tables with PGSTEs of %" PRIu64 " GiB, in KiB for each GiB, where so many percent of "
                                                "the segments have a page with a key.", gib);
  t = table_new("keys", title_of_keys, "segments %|before|all split|logging off again|first key ns|second key ns");
  for (unsigned i = 0; i < 4; i++) keys(t, gib, shares[i]);
}
