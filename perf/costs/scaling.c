// Vcpus on one space at the same time: what each gets done beside what one alone gets done. Every thread does the same
// work on as many pages of its own; they lie in segments of its own, or in segments that all share, page by page in
// turn (eight pages are a cache line of entries). One after the other in every round, so that a busy moment of the
// machine falls on all of them; medians.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include "costs.h"

#define MOST_THREADS 8
#define PAGES_EACH 32768ull // 128 MiB of guest for each thread
#define KINDS 4

enum work { FAULT_DIRTY, FAULT_CLEAN, STORE_CLEAN, STORE_HARVESTED };

static const unsigned counts[KINDS] = {1, 2, 4, 8};
static const char *const names[] = {"gmap_fault, write to a dirty page", "gmap_fault, write to a clean page",
                                    "inline first store to a clean page", "inline stores, pages re-armed meanwhile"};

typedef struct worker {
  pthread_t thread;
  unsigned me;
  double begin, end, busy; // the last: of a processor's time
} worker;

typedef struct figure {
  double each, busy;
} figure;

static uint64_t engine, space, *bitmap;
static pthread_barrier_t gate;
static worker workers[MOST_THREADS];
static enum work work;
static unsigned threads;
static int shared, ended, harvesting;

static double busy_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t page_of(unsigned me, uint64_t i) { return shared ? i * threads + me : me * PAGES_EACH + i; }

static void do_work(const worker *w, uint64_t vcpu, gmap_view *view) {
  void *host;
  unsigned passes = work == STORE_HARVESTED ? 8 : 1;
  for (unsigned pass = 0; pass < passes; pass++) {
    for (uint64_t i = 0; i < PAGES_EACH; i++) {
      uint64_t at = page_of(w->me, i) << 12;
      if (work <= FAULT_CLEAN) {
        CHECK(gmap_fault(vcpu, at, GMAP_ACCESS_WRITE, NULL));
      } else {
        gmap_enter(view);
        CHECK(gmap_store_resolve(view, at, 8, &host, NULL));
        gmap_leave(view);
      }
    }
  }
  gmap_leave(view);
}

static void *run(void *argument) {
  worker *w = argument;
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  uint64_t vcpu;
  gmap_view *view;
  CHECK(gmap_vcpu_open(space, &config, &vcpu, &view));
  for (;;) {
    pthread_barrier_wait(&gate);
    if (ended) break;
    if (w->me < threads) {
      double busy = busy_ns();
      w->begin = now_ns();
      do_work(w, vcpu, view);
      w->end = now_ns();
      w->busy = busy_ns() - busy;
    }
    pthread_barrier_wait(&gate);
  }
  CHECK(gmap_vcpu_close(vcpu));
  return NULL;
}

static void harvest(void) {
  CHECK(gmap_dirty_harvest(space, 1, 0, MOST_THREADS * PAGES_EACH, 0, bitmap, MOST_THREADS * PAGES_EACH / 64, NULL));
}

static void *keep_harvesting(void *argument) {
  (void)argument;
  while (__atomic_load_n(&harvesting, __ATOMIC_ACQUIRE)) harvest();
  return NULL;
}

// What one of n threads got done in a microsecond, and what an operation cost it of a processor's time.
static figure measure(unsigned n, int harvester) {
  pthread_t thread;
  double begin = 0, end = 0, busy = 0;
  unsigned passes = work == STORE_HARVESTED ? 8 : 1;
  threads = n;
  if (work != FAULT_DIRTY) harvest();
  if (harvester) {
    harvesting = 1;
    if (pthread_create(&thread, NULL, keep_harvesting, NULL) != 0) exit(1);
  }
  pthread_barrier_wait(&gate);
  pthread_barrier_wait(&gate);
  if (harvester) {
    __atomic_store_n(&harvesting, 0, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
  }
  for (unsigned i = 0; i < n; i++) {
    begin = i == 0 || workers[i].begin < begin ? workers[i].begin : begin;
    end = workers[i].end > end ? workers[i].end : end;
    busy += workers[i].busy;
  }
  double done = (double)(PAGES_EACH * passes);
  return (figure){done * 1e3 / (end - begin), busy / n / done};
}

static void table_row(int harvester) {
  double each[KINDS][MOST_ROUNDS], busy[KINDS][MOST_ROUNDS], alone = 0;
  if (work == FAULT_DIRTY) { // all pages that will be looked at
    threads = MOST_THREADS;
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
  }
  for (int round = 0; round < rounds; round++)
    for (int kind = 0; kind < KINDS; kind++) {
      figure measured = measure(counts[kind], harvester);
      each[kind][round] = measured.each;
      busy[kind][round] = measured.busy;
    }
  printf("%-40s %-7s %-4s", names[work], shared ? "same" : "own", harvester ? "yes" : "no");
  for (int kind = 0; kind < KINDS; kind++) {
    double middle = median(each[kind], (size_t)rounds);
    alone = kind == 0 ? middle : alone;
    printf(" %7.2f %4.2f %6.1f", middle, middle / alone, median(busy[kind], (size_t)rounds));
  }
  printf("\n");
}

static void open_guest(void) {
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .arena_bytes = 64 * MIB};
  gmap_space_config space_is = {.struct_size = sizeof space_is, .limit = 1024 * MIB - 1};
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .id = 1};
  slot.size = 1024 * MIB;
  slot.host_addr = HOST; // never touched
  CHECK(gmap_engine_create(&engine_is, &engine));
  CHECK(gmap_space_create(engine, &space_is, &space));
  CHECK(gmap_slot_set(space, &slot));
  bitmap = calloc(MOST_THREADS * PAGES_EACH / 64, sizeof *bitmap);
}

int scaling(void) {
  open_guest();
  pthread_barrier_init(&gate, NULL, MOST_THREADS + 1);
  for (unsigned i = 0; i < MOST_THREADS; i++) {
    workers[i].me = i;
    if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0) exit(1);
  }
  printf("\n%ld processors, n vcpus: million operations a second for each, that beside one vcpu alone, and ns of a "
         "processor's time an operation (medians of %d)\n",
         sysconf(_SC_NPROCESSORS_ONLN), rounds);
  printf("%-40s %-7s %-4s", "work", "segment", "harv");
  for (int kind = 0; kind < KINDS; kind++) printf(" %7u %4s %6s", counts[kind], "of 1", "ns");
  printf("\n");
  for (shared = 0; shared < 2; shared++) {
    for (work = FAULT_DIRTY; work <= STORE_CLEAN; work++) table_row(0);
    work = FAULT_DIRTY;
    table_row(1);
    work = STORE_HARVESTED;
    table_row(1);
  }
  ended = 1;
  pthread_barrier_wait(&gate);
  for (unsigned i = 0; i < MOST_THREADS; i++) pthread_join(workers[i].thread, NULL);
  CHECK(gmap_space_destroy(space));
  CHECK(gmap_engine_destroy(engine));
  free(bitmap);
  return 0;
}
