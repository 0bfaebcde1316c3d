// Faults through the C ABI, beside an export that does nothing; splits beside a filled table and a compare-and-swap.
#include "../peers/peers.h"
#include "costs.h"

#define PAGES 4096u
#define BATCH 64u
#define SEGMENTS 256u // 512 KB of tables: with 2 MB the row told whose of them had stayed in the near cache

static guest g;
static figures empty, clean, dirty, many, split_fault, split_call, peer, split_pgste, peer_pgste;

static double empty_calls(void) {
  double begin = start_ns();
  for (uint64_t i = 0; i < PAGES; i++) sink += gmap_abi_version();
  return (stop_ns() - begin) / PAGES;
}

static double fault_all(uint64_t n, uint64_t stride) {
  double begin = start_ns();
  for (uint64_t i = 0; i < n; i++) CHECK(gmap_fault(g.vcpu, i * stride, GMAP_ACCESS_WRITE, NULL));
  begin = (stop_ns() - begin) / (double)n;
  gmap_leave(g.view);
  return begin;
}

static double fault_batches(void) {
  static gmap_fault_request requests[PAGES];
  double begin;
  for (uint64_t i = 0; i < PAGES; i++)
    requests[i] = (gmap_fault_request){.guest_addr = i << 12, .access = GMAP_ACCESS_WRITE};
  begin = start_ns();
  for (uint64_t i = 0; i < PAGES; i += BATCH) {
    size_t done;
    CHECK(gmap_fault_many(g.vcpu, requests + i, BATCH, sizeof *requests, &done));
  }
  begin = (stop_ns() - begin) / PAGES;
  gmap_leave(g.view);
  return begin;
}

static void arm_leaves(guest *of) {
  guest_harvest(of, 0);
  CHECK(gmap_unmap(of->space, 0, SEGMENTS * MIB, 0, NULL));
  CHECK(gmap_populate(of->space, 0, SEGMENTS * MIB, GMAP_ACCESS_READ, 0, NULL));
}

static void split(int round, uint64_t *segments, uint64_t *pool) {
  double begin;
  arm_leaves(&g);
  put(&split_fault, round, fault_all(SEGMENTS, MIB));
  arm_leaves(&g);
  begin = start_ns();
  CHECK(gmap_split(g.space, 0, SEGMENTS * MIB, 0, NULL));
  put(&split_call, round, (stop_ns() - begin) / SEGMENTS);
  peer_map_leaves(segments, SEGMENTS, HOST);
  begin = start_ns();
  peer_split(segments, SEGMENTS, pool);
  put(&peer, round, (stop_ns() - begin) / SEGMENTS);
}

// Tables of 4 KB: both sides write twice as much.
static void splits_with_pgstes(uint64_t *segments) {
  guest p;
  uint64_t *pool = peer_memory(SEGMENTS * 4096);
  guest_open(&p, 4, LOGGED_PGSTE);
  guest_split(&p);
  for (int round = -1; round < rounds; round++) {
    double begin;
    arm_leaves(&p);
    begin = start_ns();
    CHECK(gmap_split(p.space, 0, SEGMENTS * MIB, 0, NULL));
    put(&split_pgste, round, (stop_ns() - begin) / SEGMENTS);
    peer_map_leaves(segments, SEGMENTS, HOST);
    begin = start_ns();
    peer_split_pgste(segments, SEGMENTS, pool);
    put(&peer_pgste, round, (stop_ns() - begin) / SEGMENTS);
  }
  report_row("split of a leaf, 4 KB table with PGSTEs (gmap_split of 1 GiB, a segment)", &split_pgste, "ns",
             "C: fill 2 KB, clear 2 KB, compare-and-swap", &peer_pgste, ratio_at_most(1.15));
  guest_close(&p);
  peer_memory_free(pool, SEGMENTS * 4096);
}

void faults(void) {
  uint64_t *segments = peer_memory(SEGMENTS * 8), *pool = peer_memory(SEGMENTS * 2048);
  report_progress("faults and splits");
  guest_open(&g, 4, LOGGED);
  guest_split(&g);
  for (int round = -1; round < rounds; round++) {
    put(&empty, round, empty_calls());
    fault_all(PAGES, 4096);
    guest_harvest(&g, 0);
    put(&clean, round, fault_all(PAGES, 4096));
    put(&dirty, round, fault_all(PAGES, 4096));
    guest_harvest(&g, 0);
    put(&many, round, fault_batches());
    split(round, segments, pool);
  }
  report_row("gmap_fault, write to a clean page", &clean, "ns", "an empty export call", &empty,
             (goal){PEER_PLUS_AT_MOST, 25});
  report_row("gmap_fault, write to a dirty page", &dirty, "ns", "an empty export call", &empty, none);
  report_row("gmap_fault_many of 64, write to clean pages, a page", &many, "ns", "an empty export call", &empty,
             (goal){AT_MOST, 20});
  report_row("gmap_fault, write to an armed leaf: split and grant", &split_fault, "ns", "an empty export call", &empty,
             none);
  report_row("gmap_fault, write to an armed leaf: split and grant", &split_fault, "ns",
             "C: fill 2 KB, compare-and-swap", &peer, none);
  report_row("split of a leaf, 2 KB table (gmap_split of 256 MiB, a segment)", &split_call, "ns",
             "C: fill 2 KB, compare-and-swap", &peer, ratio_at_most(1.15));
  guest_close(&g);
  splits_with_pgstes(segments);
  peer_memory_free(segments, SEGMENTS * 8);
  peer_memory_free(pool, SEGMENTS * 2048);
}
