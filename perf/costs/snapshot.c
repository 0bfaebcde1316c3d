// A snapshot put back as a fuzzer does after each run: a few pages of 1 GiB were written, and only they are copied.
// Beside the floor, which knows them beforehand. Memory and stores are real.
#include <sys/mman.h>
#include "../peers/peers.h"
#include "costs.h"

#define DIRTY 44u
#define RESTORES 256
#define SIZE (1ull << 30)

static char *ram, *copy;
static uint64_t at[DIRTY];

// One page of each of 44 equal parts: random, and all of them different.
static void choose(uint64_t *seed) {
  const uint64_t part = (SIZE >> 12) / DIRTY;
  for (unsigned i = 0; i < DIRTY; i++) at[i] = (i * part + random64(seed) % part) << 12;
}

static double floor_of(void) {
  double begin;
  for (unsigned i = 0; i < DIRTY; i++) ram[at[i] + 100]++;
  begin = now_ns();
  for (unsigned i = 0; i < DIRTY; i++) memcpy(ram + at[i], copy + at[i], 4096);
  return now_ns() - begin;
}

static double restore(guest *g, uint64_t snapshot, int plain) {
  double begin;
  uint64_t pages;
  for (unsigned i = 0; i < DIRTY; i++) {
    void *host = ram + at[i] + 100;
    gmap_enter(g->view);
    if (!plain) CHECK(gmap_store_resolve(g->view, at[i] + 100, 1, &host, NULL));
    ++*(char *)host;
    gmap_leave(g->view);
  }
  begin = now_ns();
  CHECK(gmap_snapshot_restore(snapshot, &pages));
  begin = now_ns() - begin;
  if (pages == DIRTY) return begin;
  fprintf(stderr, "restored %" PRIu64 " pages, not %u\n", pages, DIRTY);
  exit(2);
}

static void measure(guest *g, const char *what, int plain) {
  static figures ours, least;
  uint64_t snapshot, wrong, seed = 11;
  char row[96];
  CHECK(gmap_snapshot_take(g->space, NULL, &snapshot));
  for (int round = -1; round < rounds; round++) {
    double mine = 0, theirs = 0;
    for (int i = 0; i < RESTORES; i++) {
      choose(&seed);
      mine += restore(g, snapshot, plain);
      if (!plain) theirs += floor_of(); // tracked by the kernel, it would be one of the writers
    }
    put(&ours, round, mine / RESTORES / 1e3);
    if (!plain) put(&least, round, theirs / RESTORES / 1e3);
  }
  CHECK(gmap_snapshot_verify(snapshot, &wrong));
  if (wrong) exit(2);
  CHECK(gmap_snapshot_free(snapshot));
  snprintf(row, sizeof row, "restore of a snapshot, 44 dirty pages of 1 GiB, %s", what);
  report_row(row, &ours, "us", "copying these 44 pages", &least, none);
  snprintf(row, sizeof row, "restores a second, 44 dirty pages of 1 GiB, %s", what);
  report_single(row, 1e6 / middle(&ours), "1/s", "copying these 44 pages: see above", -1, none);
}

static void backed(guest *g) {
  gmap_backing_config config = {.struct_size = sizeof config, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  uint64_t backing;
  if (gmap_backing_attach(g->space, 1, &config, &backing) != 0) {
    report_missing("restore of a snapshot, a slot with userfaultfd", "not measured here: the kernel refuses");
    return;
  }
  measure(g, "a slot with userfaultfd", 1);
  CHECK(gmap_backing_detach(backing));
}

void snapshot(void) {
  guest g;
  report_progress("snapshots");
  ram = peer_memory(SIZE);
  copy = peer_memory(SIZE);
  madvise(ram, SIZE, MADV_NOHUGEPAGE);
  for (uint64_t i = 0; i < SIZE; i += 4096) memset(ram + i, (int)(i >> 12) | 1, 4096); // a page of zeroes is none
  memcpy(copy, ram, SIZE);
  guest_open_at(&g, 1, LOGGED, (uint64_t)(uintptr_t)ram);
  guest_split(&g);
  measure(&g, "a translating host", 0);
  backed(&g);
  guest_close(&g);
  peer_memory_free(ram, SIZE);
  peer_memory_free(copy, SIZE);
}
