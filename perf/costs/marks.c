// Marks of external writers, beside QEMU-style bitmaps and vm-memory's.
#include "../peers/peers.h"
#include "costs.h"

#define GIB_PAGES (1u << 18)
#define MARKS 4096u

static guest g;
static peer_guest p;
static figures call, single, range, batch, ored, peer_single, peer_range, peer_batch, peer_ored, peer_vm, beyond, range_again,
    ored_again, peer_range_again, peer_ored_again;
static uint64_t addresses[MARKS];

static void one_by_one(int round, int vm_there) {
  double begin = start_ns(), per;
  for (uint64_t i = 0; i < MARKS; i++) sink += gmap_abi_version();
  per = (stop_ns() - begin) / MARKS;
  put(&call, round, per);
  begin = start_ns();
  for (uint64_t i = 0; i < MARKS; i++) CHECK(gmap_mark_dirty(g.space, addresses[i], 4096));
  put(&single, round, (stop_ns() - begin) / MARKS);
  begin = start_ns();
  for (uint64_t i = 0; i < MARKS; i++) peer_mark(p.live, addresses[i] >> 12);
  begin = (stop_ns() - begin) / MARKS;
  put(&peer_single, round, begin);
  put(&beyond, round, begin + per);
  if (!vm_there) return;
  begin = start_ns();
  peer_vm_mark(addresses, MARKS);
  put(&peer_vm, round, (stop_ns() - begin) / MARKS);
}

static void many_at_once(int round) {
  double begin = start_ns();
  CHECK(gmap_mark_dirty_batch(g.space, addresses, MARKS));
  put(&batch, round, (stop_ns() - begin) / MARKS);
  begin = start_ns();
  peer_bitmap_batch(p.live, addresses, MARKS);
  put(&peer_batch, round, (stop_ns() - begin) / MARKS);
}

static void one_range(int round, figures *ours, figures *peers) {
  double begin = start_ns();
  CHECK(gmap_mark_dirty(g.space, 4096, (uint64_t)(GIB_PAGES - 2) << 12));
  put(ours, round, (stop_ns() - begin) / 1e3);
  begin = start_ns();
  peer_bitmap_set_range(p.live, 1, GIB_PAGES - 2);
  put(peers, round, (stop_ns() - begin) / 1e3);
}

static void one_bitmap(int round, const uint64_t *marks_in, figures *ours, figures *peers) {
  double begin = start_ns();
  CHECK(gmap_mark_dirty_bitmap(g.space, 1, 0, GIB_PAGES, marks_in));
  put(ours, round, (stop_ns() - begin) / 1e3);
  begin = start_ns();
  peer_bitmap_or(p.live, marks_in, GIB_PAGES / 64);
  put(peers, round, (stop_ns() - begin) / 1e3);
}

static void forget(void) {
  guest_harvest(&g, 0);
  memset(p.live, 0, p.words * 8);
}

void marks(void) {
  uint64_t *marks_in = malloc(GIB_PAGES / 8), seed = 5;
  int vm_there = peer_vm_memory_load();
  report_progress("marks of external writers");
  if (!marks_in) exit(1);
  guest_open(&g, 4, LOGGED);
  peer_open(&p, g.pages, 0);
  if (vm_there) peer_vm_bitmap_open(g.gib << 30);
  for (uint64_t i = 0; i < MARKS; i++) addresses[i] = random64(&seed) % GIB_PAGES << 12;
  pattern_make(marks_in, GIB_PAGES / 64, 0.01, 1);
  for (int round = -1; round < rounds; round++) {
    one_by_one(round, vm_there);
    forget();
    many_at_once(round);
    one_range(round, &range_again, &peer_range_again); // 4096 pages of it are marked
    forget();
    one_range(round, &range, &peer_range);
    forget();
    one_bitmap(round, marks_in, &ored, &peer_ored);
    one_bitmap(round, marks_in, &ored_again, &peer_ored_again);
    forget();
  }
  report_row("gmap_mark_dirty, a page, random in 1 GiB", &single, "ns", "bitmap: locked or, and an empty export call",
             &beyond, ratio_at_most(1));
  report_row("gmap_mark_dirty, a page, random in 1 GiB", &single, "ns", "bitmap: locked or", &peer_single, none);
  if (vm_there)
    report_row("gmap_mark_dirty, a page, random in 1 GiB", &single, "ns", "vm-memory: mark_dirty", &peer_vm, none);
  report_row("gmap_mark_dirty_batch of 4096, a page", &batch, "ns", "bitmap: locked or each", &peer_batch,
             ratio_at_most(1));
  report_row("gmap_mark_dirty, a range of 1 GiB", &range, "us", "bitmap: plain stores, a fence", &peer_range,
             ratio_at_most(1));
  report_row("gmap_mark_dirty_bitmap, 1 GiB, 1 % set", &ored, "us", "bitmap: locked or of words not zero", &peer_ored,
             ratio_at_most(1));
  report_row("gmap_mark_dirty, a range of 1 GiB, 4096 pages marked before", &range_again, "us",
             "bitmap: plain stores, a fence", &peer_range_again, none);
  report_row("gmap_mark_dirty_bitmap, 1 GiB, 1 % set, all marked before", &ored_again, "us",
             "bitmap: locked or of words not zero", &peer_ored_again, none);
  if (vm_there) peer_vm_bitmap_close();
  peer_close(&p);
  guest_close(&g);
  free(marks_in);
}
