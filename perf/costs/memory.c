// What tables and logs take for each GiB of guest, beside a bitmap (one bit a page) for each that wants to know.
#include "costs.h"

static const double bitmap = 32768; // bytes: 262144 bits

// Tables, and where it logs the slot's log and epoch.
static double bytes_per_gib(const guest *g) {
  gmap_space_stats space = {.struct_size = sizeof space};
  gmap_engine_stats engine = {.struct_size = sizeof engine};
  CHECK(gmap_space_get_stats(g->space, &space));
  CHECK(gmap_engine_get_stats(g->engine, &engine));
  return (double)(space.table_bytes + engine.log_bytes) / (double)g->gib;
}

static void row(const guest *g, const char *tables, const char *what) {
  char text[96];
  snprintf(text, sizeof text, "memory, %" PRIu64 " GiB, %s, %s", guest_gib, tables, what);
  report_single(text, bytes_per_gib(g), "B/GiB", "a bitmap", bitmap, none);
}

static void with_consumers(const guest *g, const char *tables) {
  uint64_t consumers[4];
  char text[96];
  for (int i = 0; i < 4; i++) CHECK(gmap_consumer_open(g->space, 1, 0, consumers + i));
  snprintf(text, sizeof text, "memory, %" PRIu64 " GiB, %s, clean, four consumers", guest_gib, tables);
  report_single(text, bytes_per_gib(g), "B/GiB", "four bitmaps and a live one", 5 * bitmap, none);
  for (int i = 0; i < 4; i++) CHECK(gmap_consumer_close(consumers[i]));
}

static void logged(enum guest_kind kind, const char *tables) {
  guest g;
  guest_open(&g, guest_gib, kind);
  CHECK(gmap_populate(g.space, 0, guest_gib << 30, GMAP_ACCESS_READ, 0, NULL));
  row(&g, tables, "clean: all leaves, log and epoch");
  with_consumers(&g, tables);
  for (uint64_t i = 0; i < guest_gib << 10; i += 100) guest_store(&g, i * MIB);
  gmap_leave(g.view);
  row(&g, tables, "1 % of the segments split");
  guest_split(&g);
  row(&g, tables, "100 % of the segments split");
  guest_close(&g);
}

void memory(void) {
  guest g;
  report_progress("memory");
  guest_open(&g, guest_gib, UNLOGGED);
  CHECK(gmap_populate(g.space, 0, guest_gib << 30, GMAP_ACCESS_READ, 0, NULL));
  row(&g, "2 KB tables", "all leaves, no logging");
  guest_close(&g);
  logged(LOGGED, "2 KB tables");
  logged(LOGGED_PGSTE, "4 KB tables with PGSTEs");
}
