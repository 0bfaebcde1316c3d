// Turning logging on for large guests: how long it takes, and how long a vcpu that stores meanwhile stands still. No
// memory stands behind them but what the vcpu writes, so a terabyte fits.
#include "study.h"

#define SLOT 1u
#define CHUNK_MIB 1024u

enum way { AT_ONCE, INITIALLY, CHUNKS, SPLIT_AHEAD, WAYS };

static const char *const way_names[WAYS] = {"logging on", "initially dirty, one harvest", "initially dirty, 1 GiB a harvest",
                                            "split ahead, then logging on"};

static void arm(guest *g, enum way way) {
  uint64_t step = way == CHUNKS ? CHUNK_MIB * MIB / PAGE : g->pages;
  if (way == SPLIT_AHEAD) CHECK(gmap_split(g->space, 0, g->size, 0, NULL));
  guest_log(g, way == AT_ONCE || way == SPLIT_AHEAD ? GMAP_SLOT_LOG_DIRTY : GMAP_SLOT_LOG_DIRTY | GMAP_SLOT_INITIALLY_DIRTY);
  if (way == AT_ONCE || way == SPLIT_AHEAD) return;
  for (uint64_t page = 0; page < g->pages; page += step) {
    uint64_t n = g->pages - page < step ? g->pages - page : step;
    CHECK(gmap_dirty_harvest(g->space, SLOT, page, n, 0, g->bitmap, (n + 63) / 64, NULL));
  }
}

static void measure(table *t, uint64_t gib, enum way way) {
  setting writer = usual(LAZY, GMAP_TABLE_2K, ZIPF, 50000, 0);
  double took[MOST_REPEATS], stalls[MOST_REPEATS], tables[MOST_REPEATS], longest = 0;
  int runs = quick ? 1 : MOST_REPEATS; // a longest pause is seldom seen, and these are short
  for (int i = 0; i < runs; i++) {
    guest g;
    guest_open_tables(&g, gib * 1024, GMAP_TABLE_2K, &writer);
    vcpus_start(&g);
    while (vcpus_done(&g) < 100) continue;
    vcpus_longest(&g);
    double begin = now_ns();
    arm(&g, way);
    took[i] = now_ns() - begin;
    stalls[i] = (double)vcpus_longest(&g);
    longest = stalls[i] > longest ? stalls[i] : longest;
    tables[i] = (double)guest_stats(&g).table_bytes;
    guest_close(&g);
  }
  cell_number(t, (double)gib, 0);
  cell(t, "%s", way_names[way]);
  cell_number(t, median(took, (size_t)runs) / 1e6, 2);
  cell_number(t, median(stalls, (size_t)runs) / 1e3, 1);
  cell_number(t, longest / 1e3, 1);
  cell_number(t, median(tables, (size_t)runs) / (double)MIB, 1);
}

void arming(void) {
  static const uint64_t sizes[] = {1, 64, 1024};
  table *t = table_new("arming",
                       "Turning logging on beside a vcpu that writes 50,000 pages of a Zipf set a second; stall: its longest store, in the "
                       "usual run (the median of its runs) and in the worst of them.",
                       "GiB|how|ms|usual stall us|worst stall us|tables MiB");
  for (int i = 0; i < (quick ? 1 : 3); i++)
    for (int way = 0; way < WAYS; way++) {
      if (way == CHUNKS && sizes[i] == 1) continue;
      if (way == SPLIT_AHEAD && sizes[i] > 64) continue; // 2 GiB of tables
      progress("arming: %" PRIu64 " GiB, %s", sizes[i], way_names[way]);
      measure(t, sizes[i], (enum way)way);
    }
}
