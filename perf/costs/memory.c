// What tables and logs take for each GiB of guest, beside a bitmap (one bit a page).
#include "costs.h"

static double kib_per_gib(const guest *g, int logs) {
  gmap_space_stats space = {.struct_size = sizeof space};
  gmap_engine_stats engine = {.struct_size = sizeof engine};
  CHECK(gmap_space_get_stats(g->space, &space));
  CHECK(gmap_engine_get_stats(g->engine, &engine));
  return (double)(space.table_bytes + (logs ? engine.log_bytes : 0)) / 1024 / (double)g->gib;
}

void memory(void) {
  const double bitmap = 32; // KiB: 262144 bits
  guest g;
  char row[96];
  report_progress("memory");
  for (int logged = 0; logged < 2; logged++) {
    guest_open(&g, guest_gib, logged ? LOGGED : UNLOGGED);
    CHECK(gmap_populate(g.space, 0, guest_gib << 30, GMAP_ACCESS_READ, 0, NULL));
    snprintf(row, sizeof row, "memory, %" PRIu64 " GiB, all leaves, %s", guest_gib,
             logged ? "log and epoch" : "no logging");
    report_single(row, kib_per_gib(&g, 1), "KiB/GiB", "a bitmap", bitmap, none);
    if (!logged) guest_close(&g);
  }
  for (uint64_t i = 0; i < guest_gib << 10; i += 100) guest_store(&g, i * MIB);
  gmap_leave(g.view);
  snprintf(row, sizeof row, "memory, %" PRIu64 " GiB, 1 %% of the segments split", guest_gib);
  report_single(row, kib_per_gib(&g, 1), "KiB/GiB", "a bitmap", bitmap, none);
  guest_split(&g);
  snprintf(row, sizeof row, "memory, %" PRIu64 " GiB, 100 %% of the segments split", guest_gib);
  report_single(row, kib_per_gib(&g, 1), "KiB/GiB", "a bitmap", bitmap, none);
  guest_close(&g);
}
