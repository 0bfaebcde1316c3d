// One page table of 2 KB in the nearest cache: which pages are dirty. Ours is the engine's own code in a loop, from
// libraries that are made for this row (perf/scan-loop); all sides are called once for all the tables.
#include <dlfcn.h>
#include "../peers/peers.h"
#include "costs.h"

#define TABLES 8u // 16 KB
#define TIMES 4096u

typedef void (*scanner)(const uint64_t *tables, uint64_t n, uint64_t times, uint64_t *bits);

static uint64_t *tables, wanted[TABLES * 4];
static figures bytes, automatic, best;

static scanner load(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  scanner found = NULL;
  if (!library || !(*(void **)&found = dlsym(library, "gmap_scan_tables"))) fprintf(stderr, "%s\n", dlerror());
  return found;
}

static void by_bytes(const uint64_t *t, uint64_t n, uint64_t times, uint64_t *bits) {
  if (!peer_scan_bytes(t, n, times, bits)) memcpy(bits, wanted, sizeof wanted);
}

// ns a table.
static double timed(scanner scan) {
  uint64_t bits[TABLES * 4];
  double begin = start_ns();
  scan(tables, TABLES, TIMES, bits);
  begin = (stop_ns() - begin) / (TABLES * TIMES);
  if (memcmp(bits, wanted, sizeof wanted) == 0) return begin;
  fprintf(stderr, "a scan found other pages\n");
  exit(2);
}

static void rows(const char *build, const figures *ours, int avx2) {
  char row[96];
  snprintf(row, sizeof row, "scan of one page table of 2 KB in cache, no call, %s", build);
  if (avx2) report_row(row, ours, "ns", "C: AVX2, byte-packed", &bytes, none);
  report_row(row, ours, "ns", "C: auto-vectorised", &automatic, none);
  report_row(row, ours, "ns", "C: the better of both in each round", &best, ratio_at_most(1.1));
}

void scan(void) {
  static const char *const variables[] = {"GMAP_PERF_SCAN", "GMAP_PERF_SCAN_V3"};
  static const char *const builds[] = {"baseline build", "x86-64-v3 build"};
  static figures ours[2];
  scanner scans[2];
  uint64_t seed = 3;
  int avx2;
  report_progress("scan of one page table");
  tables = peer_memory(TABLES * 2048);
  for (uint64_t i = 0; i < TABLES * 256; i++) {
    int dirty = random64(&seed) % 16 == 0;
    tables[i] = i << 12 | (dirty ? GMAP_PAGE_DIRTY | GMAP_PAGE_SOFT_DIRTY : GMAP_PAGE_PROTECT);
    wanted[i / 64] |= (uint64_t)dirty << (i % 64);
  }
  avx2 = peer_scan_bytes(tables, 0, 1, NULL);
  for (int b = 0; b < 2; b++) {
    const char *path = getenv(variables[b]);
    scans[b] = path && *path ? load(path) : NULL;
    if (b == 1 && !avx2) scans[b] = NULL; // this processor may not have it
  }
  for (int round = -1; round < rounds; round++) {
    double by_hand = avx2 ? timed(by_bytes) : 0, left = timed(peer_scan_auto);
    put(&bytes, round, by_hand);
    put(&automatic, round, left);
    put(&best, round, avx2 && by_hand < left ? by_hand : left);
    for (int b = 0; b < 2; b++)
      if (scans[b]) put(ours + b, round, timed(scans[b]));
  }
  for (int b = 0; b < 2; b++) {
    if (scans[b]) rows(builds[b], ours + b, avx2);
    else report_missing(builds[b], "scan of one page table: not built, or not for this processor");
  }
  peer_memory_free(tables, TABLES * 2048);
}
