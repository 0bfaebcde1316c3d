// Turning logging on for a big guest while a vcpu runs: how long its longest store and its longest gmap_fault take. Plain,
// and initially set with clears in chunks; beside the same vcpu while nothing is turned on, for as long. Time in which the
// vcpu's thread was ready and others had the processors is taken off what looks long. It stores to 4096 segments all over the
// guest; the arena has grown for their page tables before, which by 2 MiB takes some 0.3 ms of its own.
#include <pthread.h>
#include <unistd.h>
#include "costs.h"

#define CHUNK (1u << 18) // pages: 1 GiB
#define LONG_NS 10000
#define SPOTS 4096u

static guest g;
static pthread_t thread;
static int running, by_fault;
static double longest; // ns

static void *run(void *argument) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  uint64_t vcpu, seed = 99;
  double waited;
  gmap_view *view;
  CHECK(gmap_vcpu_open(g.space, &config, &vcpu, &view));
  longest = 0;
  waited = waited_ns();
  while (__atomic_load_n(&running, __ATOMIC_RELAXED)) {
    uint64_t random = random64(&seed), at = random % SPOTS * (g.pages / SPOTS << 12) + (random >> 32) % 256 * 4096;
    double begin = now_ns();
    if (by_fault) {
      CHECK(gmap_fault(vcpu, at, GMAP_ACCESS_WRITE, NULL));
    } else {
      void *host;
      gmap_enter(view);
      CHECK(gmap_store_resolve(view, at, 8, &host, NULL));
    }
    gmap_leave(view);
    begin = now_ns() - begin;
    if (begin > LONG_NS) {
      double now = waited_ns(); // since the last long one: hardly ever is the processor lost between two
      begin -= now - waited;
      waited = now;
    }
    if (begin > longest) longest = begin;
  }
  CHECK(gmap_vcpu_close(vcpu));
  return argument;
}

static void start(void) {
  __atomic_store_n(&running, 1, __ATOMIC_SEQ_CST);
  if (pthread_create(&thread, NULL, run, NULL) != 0) exit(1);
  usleep(5000);
}

static double end(void) { // us
  __atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
  pthread_join(thread, NULL);
  return longest / 1e3;
}

static void set(uint32_t flags) {
  gmap_slot slot = {.struct_size = sizeof slot, .id = 1, .size = g.gib << 30, .host_addr = HOST, .flags = flags};
  CHECK(gmap_slot_set(g.space, &slot));
}

static void clear_in_chunks(void) {
  memset(g.bitmap, 0xff, CHUNK / 8);
  for (uint64_t page = 0; page < g.pages; page += CHUNK) CHECK(gmap_dirty_clear(g.space, 1, page, CHUNK, 0, g.bitmap));
}

static void grow_arena(void) {
  set(GMAP_SLOT_LOG_DIRTY);
  gmap_enter(g.view);
  for (uint64_t i = 0; i < SPOTS; i++) guest_store(&g, i * (g.pages / SPOTS << 12));
  gmap_leave(g.view);
  set(0);
}

// All leaves, dirty as a guest's are that does not log.
static void begin_anew(void) {
  set(0);
  CHECK(gmap_populate(g.space, 0, g.gib << 30, GMAP_ACCESS_WRITE, 0, NULL));
}

static void measure(int chunks, figures *store, figures *call, figures *quiet) {
  for (int round = -1; round < rounds; round++) {
    double begin;
    begin_anew();
    start();
    begin = now_ns();
    set(GMAP_SLOT_LOG_DIRTY | (chunks ? GMAP_SLOT_INITIALLY_DIRTY : 0));
    put(call, round, (now_ns() - begin) / 1e6);
    if (chunks) clear_in_chunks();
    begin = now_ns() - begin;
    put(store, round, end());
    if (!quiet) continue;
    begin_anew();
    start();
    usleep((useconds_t)(begin / 1e3));
    put(quiet, round, end());
  }
}

static void report(const char *what, const char *how, const figures *ours, const figures *quiet) {
  char row[128];
  snprintf(row, sizeof row, "longest %s while logging is turned on, %" PRIu64 " GiB, %s", what, g.gib, how);
  report_row(row, ours, "us", "ours, nothing turned on, as long", quiet, none);
}

void arming(void) {
  static figures store, call, quiet;
  static const char *const hows[] = {"plain", "initially set, cleared by 1 GiB"};
  char row[128];
  int before = rounds;
  report_progress("logging turned on beside a running vcpu");
  rounds = 5; // each takes seconds
  guest_open(&g, quick ? 64 : 1024, UNLOGGED);
  grow_arena();
  for (int chunks = 0; chunks < 2; chunks++) {
    by_fault = 0;
    measure(chunks, &store, &call, &quiet);
    report("store", hows[chunks], &store, &quiet);
    snprintf(row, sizeof row, "turning logging on, %" PRIu64 " GiB of leaves, %s, the call", g.gib, chunks ? "initially set" : "plain");
    report_row(row, &call, "ms", "nothing", NULL, none);
    by_fault = 1;
    measure(chunks, &store, &call, &quiet);
    report("gmap_fault", hows[chunks], &store, &quiet);
  }
  guest_close(&g);
  rounds = before;
}
