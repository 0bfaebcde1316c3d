// Harvests by dirty share and by the guest's size, of a guest whose segments are all split and armed.
#include "../peers/peers.h"
#include "costs.h"

#define SHARES 7

typedef struct share {
  const char *name;
  double of;
  unsigned cluster;
  double list_goal; // against a bitmap's exchange, decode and locked re-arm
} share;

static const share shares[SHARES] = {
    {"clean", 0, 1, 0},   {"0.1 % random", 0.001, 1, 1}, {"0.1 % in clusters of 64", 0.001, 64, 1.0 / 3},
    {"1 % random", 0.01, 1, 1}, {"10 % random", 0.1, 1, 1},   {"50 % random", 0.5, 1, 1},
    {"100 %", 1, 64, 1},
};

// One harvest of a share, each way.
typedef struct ways {
  figures bitmap, list;                                 // ours: into a bitmap, and that decoded into a list of pages
  figures zeroed, take_zeroed; // of a clean guest, where the bitmap is overwritten
  figures take, take_rearm, list_rearm, entries, bandwidth, vm; // the peers'
} ways;

static ways measured;
static uint64_t *pattern;
static int vm_there;

static void same(uint64_t ours, uint64_t theirs, const char *what) {
  if (ours == theirs) return;
  fprintf(stderr, "%s found %" PRIu64 " pages, not %" PRIu64 "\n", what, ours, theirs);
  exit(2);
}

// A guest works between two harvests: what is timed begins with nothing in the near caches, ours and the peers' alike.
static void sweep(void) {
  static volatile uint64_t other[2 * 1024 * 1024]; // 16 MiB
  for (size_t i = 0; i < sizeof other / sizeof *other; i += 8) other[i]++;
}

static void measure_ours(guest *g, peer_guest *p, int round, uint64_t dirty) {
  double begin, end;
  memset(g->bitmap, 0, g->pages / 8); // what the decoding leaves, and a host that ORs has
  guest_mark(g, pattern);
  sweep();
  begin = start_ns();
  same(guest_harvest(g, dirty ? 0 : GMAP_HARVEST_OR), dirty, "the engine");
  end = stop_ns();
  put(&measured.bitmap, round, (end - begin) / 1e3);
  same(peer_decode(g->bitmap, g->pages / 64, p->list), dirty, "decoding");
  put(&measured.list, round, (stop_ns() - begin) / 1e3);
  if (dirty) return;
  sweep();
  begin = start_ns();
  guest_harvest(g, 0);
  put(&measured.zeroed, round, (stop_ns() - begin) / 1e3);
}

typedef uint64_t (*taker)(peer_guest *);

static double timed(taker take, peer_guest *p, uint64_t dirty, const char *what) {
  double begin;
  memset(p->out, 0, p->words * 8);
  memcpy(p->live, pattern, p->words * 8);
  peer_entries_mark(p, pattern);
  sweep();
  begin = start_ns();
  same(take(p), dirty, what);
  return (stop_ns() - begin) / 1e3;
}

static void measure_peers(peer_guest *p, int round, uint64_t dirty) {
  double begin;
  put(&measured.list_rearm, round, timed(peer_bitmap_list_rearm, p, dirty, "bitmap to list"));
  put(&measured.take_rearm, round, timed(peer_bitmap_take_rearm, p, dirty, "bitmap and entries"));
  put(&measured.take, round, timed(peer_bitmap_take, p, dirty, "bitmap"));
  put(&measured.entries, round, timed(peer_entries_take, p, dirty, "entries"));
  sweep();
  begin = start_ns();
  peer_entries_read(p);
  put(&measured.bandwidth, round, (stop_ns() - begin) / 1e3);
  if (dirty == 0) {
    sweep();
    begin = start_ns();
    memset(p->out, 0, p->words * 8);
    peer_bitmap_take(p);
    put(&measured.take_zeroed, round, (stop_ns() - begin) / 1e3);
  }
  if (!vm_there) return;
  peer_vm_bitmap_load(pattern, p->words);
  sweep();
  begin = start_ns();
  if (peer_vm_bitmap_take() < p->words) exit(2); // in words
  put(&measured.vm, round, (stop_ns() - begin) / 1e3);
}

static void measure(guest *g, peer_guest *p, const share *s) {
  uint64_t dirty = pattern_make(pattern, p->words, s->of, s->cluster);
  for (int round = -1; round < rounds; round++) { // who is first has the caches that the other one had
    if (round & 1) measure_peers(p, round, dirty);
    measure_ours(g, p, round, dirty);
    if (!(round & 1)) measure_peers(p, round, dirty);
  }
}

static void rows(const share *s, uint64_t gib) {
  char row[96];
  if (s->of == 0) {
    snprintf(row, sizeof row, "harvest, %" PRIu64 " GiB, clean, ORed into the caller's bitmap", gib);
    report_row(row, &measured.bitmap, "us", "bitmap: AVX2 scan", &measured.take, ratio_at_most(0.2));
    snprintf(row, sizeof row, "harvest, %" PRIu64 " GiB, clean, the caller's bitmap overwritten", gib);
    report_row(row, &measured.zeroed, "us", "bitmap: AVX2 scan, the target zeroed", &measured.take_zeroed, none);
  } else {
    snprintf(row, sizeof row, "harvest + re-arm + page list, %" PRIu64 " GiB, %s", gib, s->name);
    report_row(row, &measured.list, "us", "bitmap: exchange + decode, locked re-arm", &measured.list_rearm,
               ratio_at_most(s->list_goal));
    snprintf(row, sizeof row, "harvest + re-arm into a bitmap, %" PRIu64 " GiB, %s", gib, s->name);
    report_row(row, &measured.bitmap, "us", "bitmap: exchange, merge, locked re-arm", &measured.take_rearm, none);
    report_row(row, &measured.bitmap, "us", "bitmap: exchange, merge, count; no re-arm", &measured.take, none);
    report_row(row, &measured.bitmap, "us", "entries: AVX2 scan + locked and of each", &measured.entries,
               s->of == 1 ? ratio_at_most(0.25) : none);
  }
  if (s->of == 1) {
    snprintf(row, sizeof row, "harvest + re-arm into a bitmap, %" PRIu64 " GiB, %s", gib, s->name);
    report_row(row, &measured.bitmap, "us", "bandwidth: reading all page tables once", &measured.bandwidth, none);
  }
  if (vm_there) {
    snprintf(row, sizeof row, "harvest + re-arm into a bitmap, %" PRIu64 " GiB, %s", gib, s->name);
    report_row(row, &measured.bitmap, "us", "vm-memory: get_and_reset, no re-arm", &measured.vm, none);
  }
}

static void open_both(guest *g, peer_guest *p, uint64_t gib) {
  guest_open(g, gib, LOGGED);
  guest_split(g);
  peer_open(p, g->pages, 1);
  pattern = malloc(p->words * 8);
  if (!pattern) exit(1);
  if (vm_there) peer_vm_bitmap_open(gib << 30);
}

static void close_both(guest *g, peer_guest *p) {
  if (vm_there) peer_vm_bitmap_close();
  free(pattern);
  peer_close(p);
  guest_close(g);
}

static void by_share(const char *plots) {
  static const char *const labels[] = {"clean", "0.1 %", "1 %", "10 %", "50 %", "100 %"};
  curve curves[] = {{.name = "GmapNative: harvest + re-arm into a bitmap", .colour = "#1b3f6b"},
                    {.name = "bitmap: exchange, merge, locked re-arm", .colour = "#c75b12"},
                    {.name = "bitmap: exchange, merge, no re-arm", .colour = "#6ba3d6"},
                    {.name = "entries: AVX2 scan + locked and", .colour = "#2f7d4f"}};
  guest g;
  peer_guest p;
  char path[512], what[96], title[96];
  int at = 0, usual = rounds;
  open_both(&g, &p, guest_gib);
  for (int i = 0; i < SHARES; i++) {
    if (only_share && strcmp(only_share, shares[i].name) != 0) continue;
    snprintf(what, sizeof what, "harvests: %" PRIu64 " GiB, %s", guest_gib, shares[i].name);
    report_progress(what);
    rounds = shares[i].of < 0.01 ? MOST_ROUNDS : usual; // quick ones, and a disturbance weighs more
    measure(&g, &p, shares + i);
    rows(shares + i, guest_gib);
    if (shares[i].cluster == 64 && shares[i].of < 1) continue;
    curves[0].y[at] = middle(&measured.bitmap);
    curves[1].y[at] = middle(&measured.take_rearm);
    curves[2].y[at] = middle(&measured.take);
    curves[3].y[at++] = middle(&measured.entries);
  }
  rounds = usual;
  close_both(&g, &p);
  if (only_share) return;
  snprintf(path, sizeof path, "%s/harvest-by-share.svg", plots);
  snprintf(title, sizeof title, "A harvest of %" PRIu64 " GiB by the share of dirty pages (random)", guest_gib);
  if (plot(path, title, labels, at, curves, 4) != 0) perror(path);
}

static void by_size(const char *plots) {
  static const uint64_t sizes[] = {1, 4, 16, 64, 256};
  static const char *const labels[] = {"1 GiB", "4 GiB", "16 GiB", "64 GiB", "256 GiB"};
  curve curves[] = {{.name = "GmapNative: clean", .colour = "#1b3f6b"},
                    {.name = "bitmap, AVX2 scan: clean", .colour = "#c75b12"},
                    {.name = "GmapNative: 0.1 % random", .colour = "#6ba3d6"},
                    {.name = "bitmap, exchange + merge + locked re-arm: 0.1 %", .colour = "#b3261e"}};
  int points = quick ? 4 : 5;
  char path[512], what[96];
  for (int i = 0; i < points; i++) {
    guest g;
    peer_guest p;
    snprintf(what, sizeof what, "harvests by size: %s", labels[i]);
    report_progress(what);
    open_both(&g, &p, sizes[i]);
    measure(&g, &p, shares);
    curves[0].y[i] = middle(&measured.bitmap);
    curves[1].y[i] = middle(&measured.take);
    measure(&g, &p, shares + 1);
    curves[2].y[i] = middle(&measured.bitmap);
    curves[3].y[i] = middle(&measured.take_rearm);
    close_both(&g, &p);
  }
  snprintf(path, sizeof path, "%s/harvest-by-size.svg", plots);
  if (plot(path, "A harvest by the guest's size, all segments split", labels, points, curves, 4) != 0)
    perror(path);
}

// Page tables of 2 GiB; the peer needs only its bitmap.
static void tebibyte(void) {
  guest g;
  peer_guest p;
  figures ours, peers;
  report_progress("harvests: 1024 GiB, clean");
  guest_open(&g, 1024, LOGGED);
  guest_split(&g);
  memset(g.bitmap, 0, g.pages / 8);
  peer_open(&p, g.pages, 0);
  for (int round = -1; round < rounds; round++) {
    double begin;
    sweep();
    begin = start_ns();
    same(guest_harvest(&g, GMAP_HARVEST_OR), 0, "the engine");
    put(&ours, round, (stop_ns() - begin) / 1e3);
    sweep();
    begin = start_ns();
    same(peer_bitmap_take(&p), 0, "bitmap");
    put(&peers, round, (stop_ns() - begin) / 1e3);
  }
  report_row("harvest, 1024 GiB, clean, ORed into the caller's bitmap", &ours, "us", "bitmap: AVX2 scan", &peers,
             ratio_at_most(0.2));
  peer_close(&p);
  guest_close(&g);
}

void harvests(const char *plots) {
  vm_there = peer_vm_memory_load();
  by_share(plots);
  if (only_share) return;
  if (!vm_there) report_missing("vm-memory: get_and_reset, mark_dirty, write_obj", "not measured here: not built");
  if (!quick) tebibyte();
  else report_missing("harvest, 1024 GiB, clean", "left out by --quick");
  vm_there = 0; // the pictures have no curve for it
  by_size(plots);
}
