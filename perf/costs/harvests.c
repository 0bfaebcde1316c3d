// Harvests by dirty share and by the guest's size, of a guest whose segments are all split and armed.
#include <math.h>
#include "../peers/peers.h"
#include "costs.h"

#define SHARES 7

typedef struct share {
  const char *name;
  const char *label; // in a picture; NULL: not there
  double of;
  unsigned cluster;
  double list_goal; // against a bitmap's exchange, decode and locked re-arm
} share;

static const share shares[SHARES] = {
    {"clean", "clean", 0, 1, 0},
    {"0.1 % random", "0.1 %", 0.001, 1, 1},
    {"0.1 % in clusters of 64", NULL, 0.001, 64, 1.0 / 3},
    {"1 % random", "1 %", 0.01, 1, 1},
    {"10 % random", "10 %", 0.1, 1, 1},
    {"50 % random", "50 %", 0.5, 1, 1},
    {"100 %", "100 %", 1, 64, 1},
};

// One harvest of a share, each way.
typedef struct ways {
  figures bitmap, list, runs; // ours: into a bitmap, that decoded into a list of pages, and into runs
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
  if (dirty) {
    guest_mark(g, pattern);
    sweep();
    begin = start_ns();
    same(guest_harvest_runs(g), dirty, "runs");
    put(&measured.runs, round, (stop_ns() - begin) / 1e3);
    return;
  }
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
    snprintf(row, sizeof row, "harvest + re-arm + runs, %" PRIu64 " GiB, %s", gib, s->name);
    report_row(row, &measured.runs, "us", "bitmap: exchange + decode, locked re-arm", &measured.list_rearm,
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

// What the pictures show of a measured share.
#define CURVES 6

static const curve known[CURVES] = {{.name = "GmapNative: harvest + re-arm into a bitmap"},
                                    {.name = "bitmap in C: exchange, merge, locked re-arm of the entries"},
                                    {.name = "bitmap in C: exchange, merge, no re-arm"},
                                    {.name = "entries in C: AVX2 scan + locked and of each"},
                                    {.name = "rust-vmm's vm-memory: get_and_reset, no re-arm"},
                                    {.name = "reading all page tables once (memory bandwidth)"}};

static void take_point(curve *curves, int panel, int point) {
  const figures *of[CURVES] = {&measured.bitmap, &measured.take_rearm, &measured.take,
                               &measured.entries, &measured.vm, &measured.bandwidth};
  for (int c = 0; c < CURVES; c++) curves[c].y[panel][point] = of[c] == &measured.vm && !vm_there ? 0 : middle(of[c]);
}

static void draw_picture(const char *plots, const char *name, const picture *p, const curve *curves) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", plots, name);
  if (plot(path, p, curves, CURVES) != 0) perror(path);
}

static const char about[] = "All segments split and armed; random pages. Medians; logarithmic axes; less is better.";

static void by_share(const char *plots) {
  picture p = {.about = about, .axis = "dirty pages", .panels = 1};
  curve curves[CURVES];
  guest g;
  peer_guest peer;
  char what[96], title[96];
  int usual = rounds;
  memcpy(curves, known, sizeof curves);
  open_both(&g, &peer, guest_gib);
  for (int i = 0; i < SHARES; i++) {
    if (only_share && strcmp(only_share, shares[i].name) != 0) continue;
    snprintf(what, sizeof what, "harvests: %" PRIu64 " GiB, %s", guest_gib, shares[i].name);
    report_progress(what);
    rounds = shares[i].of < 0.01 ? MOST_ROUNDS : usual; // quick ones, and a disturbance weighs more
    measure(&g, &peer, shares + i);
    rows(shares + i, guest_gib);
    if (!shares[i].label) continue;
    p.labels[p.points] = shares[i].label;
    p.x[p.points] = shares[i].of == 0 ? -4 : log10(shares[i].of);
    take_point(curves, 0, p.points++);
  }
  rounds = usual;
  close_both(&g, &peer);
  if (only_share) return;
  snprintf(title, sizeof title, "A harvest of %" PRIu64 " GiB by the share of dirty pages", guest_gib);
  p.title = title;
  p.names[0] = "time of one harvest";
  draw_picture(plots, "harvest-by-share.svg", &p, curves);
}

// What the machine can give, so that the largest guests are left out instead of being killed.
static uint64_t available_gib(void) {
  unsigned long long kib = 0;
  char line[128];
  FILE *file = fopen("/proc/meminfo", "r");
  if (!file) return 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
  fclose(file);
  return kib >> 20;
}

// Clean, 0.1 %, 100 %: one panel each. Page tables of 1 TiB are 2 GiB, the peers' as large, their list of pages half.
static void of_size(curve *curves, int point, uint64_t gib, const char *label) {
  static const int panels[] = {0, 1, 6};
  int usual = rounds, vm_was = vm_there;
  guest g;
  peer_guest p;
  char what[96];
  open_both(&g, &p, gib);
  for (int panel = 0; panel < 3; panel++) {
    const share *s = shares + panels[panel];
    if (quick && gib > 64 && s->of > 0) continue;
    snprintf(what, sizeof what, "harvests by size: %s, %s", label, s->name);
    report_progress(what);
    rounds = gib <= 64 ? usual : s->of == 1 ? 3 : 5;
    vm_there = vm_was && s->of < 1; // no faster and no slower for it, and marking takes long
    measure(&g, &p, s);
    take_point(curves, panel, point);
    vm_there = 0; // its row stands at the usual size
    if (gib == 1024) rows(s, gib);
    vm_there = vm_was;
  }
  if (gib == 1024 && !quick) {
    rounds = 5;
    report_progress("harvests by size: 1024 GiB, 0.1 % in clusters");
    vm_there = 0;
    measure(&g, &p, shares + 2);
    rows(shares + 2, gib);
    vm_there = vm_was;
  }
  rounds = usual;
  close_both(&g, &p);
}

static void by_size(const char *plots) {
  static const uint64_t sizes[] = {1, 4, 16, 64, 256, 1024};
  picture p = {.title = "A harvest by the guest's size", .about = about, .axis = "guest, GiB", .panels = 3, .points = 6,
               .names = {"clean", "0.1 % of the pages dirty", "100 % dirty"},
               .labels = {"1", "4", "16", "64", "256", "1024"}, .x = {0, 1, 2, 3, 4, 5}};
  curve curves[CURVES];
  char why[96];
  memcpy(curves, known, sizeof curves);
  for (int i = 0; i < p.points; i++) {
    uint64_t need = sizes[i] / 1024 * 7 + sizes[i] % 1024 / 100 + 1;
    if (available_gib() >= need) {
      of_size(curves, i, sizes[i], p.labels[i]);
      continue;
    }
    snprintf(why, sizeof why, "not measured here: it takes %" PRIu64 " GiB of memory", need);
    report_missing(p.labels[i], why);
  }
  draw_picture(plots, "harvest-by-size.svg", &p, curves);
}

void harvests(const char *plots) {
  vm_there = peer_vm_memory_load();
  by_share(plots);
  if (only_share) return;
  if (!vm_there) report_missing("vm-memory: get_and_reset, mark_dirty, write_obj", "not measured here: not built");
  by_size(plots);
  if (quick) report_missing("harvest, 1024 GiB, with dirty pages", "left out by --quick");
}
