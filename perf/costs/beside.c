// Harvests while vcpus run: each enters, stores to a random page of its own and leaves, without end. More vcpus than
// processors leave one descheduled inside a section now and then, and the harvest waits for it (rule 9).
#include <pthread.h>
#include <unistd.h>
#include "../peers/lookup.h"
#include "../peers/peers.h"
#include "costs.h"

#define MOST_VCPUS 4
#define MOST_HARVESTS 40000 // of all rounds
#define PAGES_EACH 4096u // 16 MiB

typedef struct writer {
  pthread_t thread;
  unsigned me;
  double longest, stores; // ns; a number
} writer;

static guest g;
static peer_guest p;
static uint64_t *top, *segments;
static writer writers[MOST_VCPUS];
static int running, by_peer, in_order, polling;

static uint64_t address(const writer *w, uint64_t i, uint64_t *seed) {
  if (in_order) return i % g.pages << 12;
  return (w->me * PAGES_EACH + random64(seed) % PAGES_EACH) << 12;
}

// `in_order` times every store: how long the longest took.
static void store_ours(writer *w, gmap_view *view) {
  uint64_t seed = 77 + w->me;
  for (uint64_t i = 0; __atomic_load_n(&running, __ATOMIC_RELAXED); i++) {
    void *host;
    double begin = in_order ? now_ns() : 0;
    gmap_enter(view);
    CHECK(gmap_store_resolve(view, address(w, i, &seed), 8, &host, NULL));
    gmap_leave(view);
    if (in_order && now_ns() - begin > w->longest) w->longest = now_ns() - begin;
    w->stores++;
  }
}

// The same inside one section, with a poll in place of leave and enter.
static void store_polling(writer *w, gmap_view *view) {
  uint64_t seed = 77 + w->me;
  gmap_enter(view);
  for (uint64_t i = 0; __atomic_load_n(&running, __ATOMIC_RELAXED); i++) {
    void *host;
    (void)gmap_again(view);
    CHECK(gmap_store_resolve(view, address(w, i, &seed), 8, &host, NULL));
    w->stores++;
  }
  gmap_leave(view);
}

// As QEMU: a TLB hit, the page's bit tested, set by a locked or if it is clear.
static void store_peer(writer *w) {
  static peer_tlb_entry tlbs[MOST_VCPUS][1024];
  uint64_t seed = 77 + w->me;
  memset(tlbs[w->me], 0xff, sizeof tlbs[0]);
  for (uint64_t i = 0; __atomic_load_n(&running, __ATOMIC_RELAXED); i++) {
    uint64_t at = address(w, i, &seed), page = at >> 12;
    double begin = in_order ? now_ns() : 0;
    sink += peer_tlb(tlbs[w->me], 1023, top, at);
    if (!(__atomic_load_n(p.live + page / 64, __ATOMIC_RELAXED) >> (page % 64) & 1)) peer_mark(p.live, page);
    if (in_order && now_ns() - begin > w->longest) w->longest = now_ns() - begin;
    w->stores++;
  }
}

static void *run(void *argument) {
  writer *w = argument;
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  uint64_t vcpu;
  gmap_view *view;
  if (by_peer) {
    store_peer(w);
    return NULL;
  }
  CHECK(gmap_vcpu_open(g.space, &config, &vcpu, &view));
  if (polling) store_polling(w, view);
  else store_ours(w, view);
  CHECK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void start(unsigned vcpus, int peer) {
  by_peer = peer;
  __atomic_store_n(&running, 1, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < vcpus; i++) {
    writers[i] = (writer){.me = i};
    if (pthread_create(&writers[i].thread, NULL, run, writers + i) != 0) exit(1);
  }
  usleep(5000);
}

static void end(unsigned vcpus) {
  __atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < vcpus; i++) pthread_join(writers[i].thread, NULL);
}

typedef struct samples {
  double *all; // us
  int n;
  figures median, tail; // of each round
} samples;

static double quantile(const double *sorted, int n, double at) { return sorted[(int)(at * (n - 1))]; }

// Harvests, one after the other, until the time is over.
static void sample(unsigned vcpus, int peer, int round, samples *to) {
  double until = now_ns() + (quick ? 1e8 : 2e8), *mine = to->all + to->n;
  int n = 0;
  start(vcpus, peer);
  while ((now_ns() < until && to->n + n < MOST_HARVESTS) || n == 0) {
    double begin = now_ns();
    if (peer) peer_bitmap_take_rearm(&p);
    else guest_harvest(&g, GMAP_HARVEST_OR);
    mine[n++] = (now_ns() - begin) / 1e3;
  }
  end(vcpus);
  qsort(mine, (size_t)n, sizeof *mine, by_value);
  put(&to->median, round, quantile(mine, n, 0.5));
  put(&to->tail, round, quantile(mine, n, 0.99));
  to->n += n;
}

static void with(unsigned vcpus) {
  static double space[3][MOST_HARVESTS + MOST_ROUNDS];
  static const char bitmap[] = "bitmap: exchange, merge, locked re-arm";
  samples ours = {.all = space[0]}, peers = {.all = space[1]}, polled = {.all = space[2]};
  char row[96];
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  const char *crowd = vcpus >= (unsigned long)processors ? ", oversubscribed" : ""; // one more harvests
  for (int round = 0; round < rounds; round++) {
    sample(vcpus, 0, round, &ours);
    sample(vcpus, 1, round, &peers);
    polling = 1;
    sample(vcpus, 0, round, &polled);
    polling = 0;
  }
  qsort(ours.all, (size_t)ours.n, sizeof *ours.all, by_value);
  qsort(peers.all, (size_t)peers.n, sizeof *peers.all, by_value);
  qsort(polled.all, (size_t)polled.n, sizeof *polled.all, by_value);
  for (int i = 0; i < 2; i++) {
    double at = i ? 0.99 : 0.5;
    snprintf(row, sizeof row, "harvest of %" PRIu64 " GiB beside %u vcpu%s on %ld processors%s, %s", g.gib, vcpus,
             vcpus > 1 ? "s" : "", processors, crowd, i ? "p99" : "p50");
    report_pooled(row, quantile(ours.all, ours.n, at), "us", bitmap, quantile(peers.all, peers.n, at), none,
                  i ? &ours.tail : &ours.median, i ? &peers.tail : &peers.median);
    snprintf(row, sizeof row, "harvest of %" PRIu64 " GiB beside %u polling vcpu%s%s, %s", g.gib, vcpus,
             vcpus > 1 ? "s" : "", crowd, i ? "p99" : "p50");
    report_pooled(row, quantile(polled.all, polled.n, at), "us", "ours, beside vcpus that enter and leave",
                  quantile(ours.all, ours.n, at), none, i ? &polled.tail : &polled.median,
                  i ? &ours.tail : &ours.median);
  }
}

// One vcpu writes all the guest's pages in order while all of them are dirty and taken.
static void longest_stall(void) {
  static figures ours, peers, idle;
  in_order = 1;
  for (int round = -1; round < rounds; round++) {
    uint64_t *all = malloc(p.words * 8);
    if (!all) exit(1);
    memset(all, 0xff, p.words * 8);
    guest_mark(&g, all);
    start(1, 0);
    guest_harvest(&g, GMAP_HARVEST_OR);
    end(1);
    put(&ours, round, writers[0].longest / 1e3);
    memcpy(p.live, all, p.words * 8);
    peer_entries_mark(&p, all);
    start(1, 1);
    peer_bitmap_take_rearm(&p);
    end(1);
    put(&peers, round, writers[0].longest / 1e3);
    start(1, 0);
    usleep(50000);
    end(1);
    put(&idle, round, writers[0].longest / 1e3);
    guest_harvest(&g, 0);
    memset(p.live, 0, p.words * 8);
    free(all);
  }
  in_order = 0;
  report_row("longest store of a writer while 100 % is harvested", &ours, "us", "bitmap, the same", &peers, none);
  report_row("longest store of a writer while 100 % is harvested", &ours, "us", "ours, nothing harvested (50 ms)",
             &idle, none);
}

void beside(void) {
  uint64_t gib = quick ? 16 : guest_gib;
  guest_open(&g, gib, LOGGED);
  guest_split(&g);
  peer_open(&p, g.pages, 1);
  top = peer_memory(MIB);
  segments = peer_memory(gib << 13);
  for (uint64_t i = 0; i < gib / 2; i++) top[i] = (uint64_t)(uintptr_t)(segments + i * 2048);
  peer_map_leaves(segments, gib << 10, HOST);
  for (unsigned vcpus = 1; vcpus <= MOST_VCPUS; vcpus *= 2) {
    char what[64];
    snprintf(what, sizeof what, "harvests beside %u running vcpus", vcpus);
    report_progress(what);
    with(vcpus);
  }
  report_progress("longest stall of a writer");
  longest_stall();
  peer_memory_free(top, MIB);
  peer_memory_free(segments, gib << 13);
  peer_close(&p);
  guest_close(&g);
}
