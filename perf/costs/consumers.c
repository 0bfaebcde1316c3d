// Runs instead of a bitmap, the epochs of a consumer, and four consumers at once, of a guest whose segments are all
// split and armed; beside a bitmap in C, and a bitmap for each of four.
#include "../peers/peers.h"
#include "costs.h"

#define MANY 4
#define RANGES 4096

typedef struct pages {
  const char *name;
  double share;
  unsigned cluster;
  double goal; // of the runs, against a bitmap's exchange, decode and locked re-arm
} pages;

static guest g;
static peer_guest p;
static uint64_t *pattern, *outs[MANY], consumers[MANY];
static gmap_range ranges[RANGES];

static void dirty_both(void) {
  guest_mark(&g, pattern);
  memcpy(p.live, pattern, p.words * 8);
  peer_entries_mark(&p, pattern);
}

static void same(uint64_t ours, uint64_t theirs) {
  if (ours == theirs) return;
  fprintf(stderr, "consumers: %" PRIu64 " pages found, not %" PRIu64 "\n", ours, theirs);
  exit(2);
}

static uint64_t pages_of(size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += ranges[i].count;
  return sum;
}

static uint64_t harvest_runs(void) {
  uint64_t next = 0, found = 0;
  while (next < g.pages) {
    size_t n;
    CHECK(gmap_dirty_harvest_ranges(g.space, 1, next, g.pages - next, 0, ranges, RANGES, &n, &next));
    found += pages_of(n);
  }
  return found;
}

static uint64_t epoch(uint64_t consumer) {
  uint64_t resume = 0, found = 0;
  CHECK(gmap_consumer_begin(consumer, 0, NULL));
  while (~resume) {
    size_t n;
    CHECK(gmap_consumer_read_ranges(consumer, 0, ranges, RANGES, &n, &resume));
    found += pages_of(n);
  }
  CHECK(gmap_consumer_commit(consumer));
  return found;
}

static double list_of_peer(uint64_t dirty) {
  double begin;
  dirty_both();
  sweep();
  begin = start_ns();
  same(peer_bitmap_list_rearm(&p), dirty);
  return (stop_ns() - begin) / 1e3;
}

static void runs(const pages *of) {
  static figures ours, peers;
  char row[96];
  uint64_t dirty = pattern_make(pattern, p.words, of->share, of->cluster);
  report_progress(of->name);
  for (int round = -1; round < rounds; round++) {
    double begin;
    put(&peers, round, list_of_peer(dirty)); // and ours is dirty now
    sweep();
    begin = start_ns();
    same(harvest_runs(), dirty);
    put(&ours, round, (stop_ns() - begin) / 1e3);
  }
  snprintf(row, sizeof row, "harvest + re-arm as runs, %" PRIu64 " GiB, %s", g.gib, of->name);
  report_row(row, &ours, "us", "bitmap: exchange + decode, locked re-arm", &peers, ratio_at_most(of->goal));
}

static void clean_epoch(void) {
  static figures ours, peers;
  char row[96];
  int usual = rounds;
  memset(p.live, 0, p.words * 8);
  rounds = MOST_ROUNDS;
  for (int round = -1; round < rounds; round++) {
    double begin;
    sweep();
    begin = start_ns();
    same(epoch(consumers[0]), 0);
    put(&ours, round, (stop_ns() - begin) / 1e3);
    sweep();
    begin = start_ns();
    same(peer_bitmap_take(&p), 0);
    put(&peers, round, (stop_ns() - begin) / 1e3);
  }
  snprintf(row, sizeof row, "consumer, %" PRIu64 " GiB, clean: begin, read, commit", g.gib);
  report_row(row, &ours, "us", "bitmap: AVX2 scan", &peers, ratio_at_most(0.2));
  rounds = usual;
}

static void dirty_epochs(const pages *of, int n) {
  static figures ours, peers;
  char row[96];
  uint64_t dirty = pattern_make(pattern, p.words, of->share, of->cluster);
  for (int round = -1; round < rounds; round++) {
    double begin;
    dirty_both();
    sweep();
    begin = start_ns();
    for (int i = 0; i < n; i++) same(epoch(consumers[i]), dirty);
    put(&ours, round, (stop_ns() - begin) / 1e3);
    sweep();
    begin = start_ns();
    peer_bitmap_share_rearm(&p, outs, n);
    for (int i = 0; i < n; i++) same(peer_decode(outs[i], p.words, p.list), dirty);
    put(&peers, round, (stop_ns() - begin) / 1e3);
  }
  snprintf(row, sizeof row, "%s, %" PRIu64 " GiB, %s: begin, runs, commit of each",
           n == 1 ? "one consumer" : "four consumers", g.gib, of->name);
  report_row(row, &ours, "us",
             n == 1 ? "bitmap: exchange, copy, decode, re-arm" : "bitmap: exchange, 4 copies, decode, re-arm", &peers,
             none);
}

void consumption(void) {
  static const pages of[] = {{"0.1 % random", 0.001, 1, 1}, {"0.1 % in clusters of 64", 0.001, 64, 1.0 / 3},
                             {"1 % random", 0.01, 1, 1}, {"100 %", 1, 64, 1}};
  uint64_t gib = quick && guest_gib > 16 ? 16 : guest_gib;
  report_progress("runs, consumers");
  guest_open(&g, gib, LOGGED);
  guest_split(&g);
  peer_open(&p, g.pages, 1);
  pattern = malloc(p.words * 8);
  if (!pattern) exit(1);
  for (int i = 0; i < 4; i++) runs(of + i);
  for (int i = 0; i < MANY; i++) outs[i] = peer_memory(p.words * 8);
  CHECK(gmap_consumer_open(g.space, 1, 0, consumers));
  clean_epoch();
  dirty_epochs(of, 1);
  for (int i = 1; i < MANY; i++) CHECK(gmap_consumer_open(g.space, 1, 0, consumers + i));
  dirty_epochs(of, MANY);
  for (int i = 0; i < MANY; i++) {
    CHECK(gmap_consumer_close(consumers[i]));
    peer_memory_free(outs[i], p.words * 8);
  }
  free(pattern);
  peer_close(&p);
  guest_close(&g);
}
