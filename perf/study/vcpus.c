// Guest threads. Every store goes through gmap_inline.h, as of a vcpu that runs: it computes for a while (by the
// clock, and polls meanwhile), stores, computes. What a store costs comes on top, so the work done tells it.
#include <math.h>
#include <unistd.h>
#include "study.h"

#define ZIPF_DRAWS 65536u
#define ZIPF_CLUSTERS 256u
#define ZIPF_TOGETHER 64u

const char *work_name(const setting *s) {
  static const char *const names[] = {"idle", "prefix", "stream", "random", "zipf", "threads", "sqlite"};
  return names[s->work];
}

// Which pages, far oftener the first than the last: the n-th with 1/n of the first's share. Clusters of 64 pages lie
// anywhere, so a few segments are written often and most of them never.
void zipf_open(guest *g) {
  uint64_t state = 88172645463325252ull, set = ZIPF_CLUSTERS * ZIPF_TOGETHER;
  double sum = 0, upto = 0;
  uint32_t *pages = malloc(set * sizeof *pages), drawn = 0;
  if (set > g->pages) set = g->pages;
  for (uint64_t i = 0; i < set; i++) {
    static uint64_t cluster;
    if (i % ZIPF_TOGETHER == 0) cluster = random64(&state) % (g->pages / ZIPF_TOGETHER);
    pages[i] = (uint32_t)(cluster * ZIPF_TOGETHER + i % ZIPF_TOGETHER);
    if (!g->copy) g->memory[pages[i] * (uint64_t)PAGE] = 1; // there before it is measured
    sum += 1.0 / (double)(i + 1);
  }
  for (uint64_t i = set - 1; i > 0; i--) { // its rank has nothing to do with its place
    uint64_t other = random64(&state) % (i + 1);
    uint32_t page = pages[i];
    pages[i] = pages[other];
    pages[other] = page;
  }
  g->zipf = malloc(ZIPF_DRAWS * sizeof *g->zipf);
  for (uint64_t i = 0; i < set; i++) {
    upto += 1.0 / (double)(i + 1) / sum * ZIPF_DRAWS;
    while (drawn < ZIPF_DRAWS && drawn < (uint32_t)upto) g->zipf[drawn++] = pages[i];
  }
  while (drawn < ZIPF_DRAWS) g->zipf[drawn++] = pages[set - 1];
  free(pages);
}

static void store(vcpu *v, uint64_t guest_addr) {
  void *host;
  CHECK(gmap_store_resolve(v->view, guest_addr, 8, &host, NULL));
  *(volatile uint64_t *)host = ++v->count << 2 | (uint64_t)(v - v->guest->vcpus); // no two stores are alike
}

// Somewhere in the page, so that later bytes of it count too.
static uint64_t within(const vcpu *v) { return v->count * 64 % PAGE; }

static void stream(vcpu *v, uint64_t page) {
  void *host;
  CHECK(gmap_store_resolve(v->view, page * PAGE, PAGE, &host, NULL));
  v->count++;
  for (unsigned i = 0; i < PAGE / 8; i++) ((volatile uint64_t *)host)[i] = v->count << 16 | i;
}

// A page anywhere; with neighbours its stretch of them is whole before the next one begins.
static uint64_t anywhere(vcpu *v, uint64_t random) {
  unsigned together = v->guest->s.together;
  if (together < 2) return random % v->guest->pages;
  if (v->count % together == 0) v->stretch = random % (v->guest->pages / together) * together;
  return v->stretch + v->count % together;
}

static void operate(vcpu *v) {
  guest *g = v->guest;
  uint64_t random = random64(&v->random);
  switch (g->s.work) {
    case PREFIX: store(v, PREFIX_AT + (v->count & 1) * PAGE + within(v)); break;
    case STREAM: stream(v, v->count % g->pages); break;
    case RANDOM: store(v, anywhere(v, random >> 8) * PAGE + within(v)); break;
    case ZIPF: store(v, g->zipf[(random >> 8) % ZIPF_DRAWS] * (uint64_t)PAGE + within(v)); break;
    case THREADS: threads_step(v->view, (unsigned)(v - g->vcpus)); break;
    case SQLITE: database_transaction(); break;
    case IDLE: break;
  }
}

// The longest operation, without the time that the thread stood ready and had no processor. That is known to the last
// millisecond only, because asking for it is a system call.
static void note(vcpu *v, double now, double took) {
  double before = v->waited, asked = v->waited_at;
  bool longest = took > (double)atomic_load_explicit(&v->longest, memory_order_relaxed);
  if (!longest && now - asked < 1e6) return;
  v->waited = waited_ns();
  v->waited_at = now;
  took -= v->waited - before;
  if (longest && took > (double)atomic_load_explicit(&v->longest, memory_order_relaxed))
    atomic_store_explicit(&v->longest, (uint64_t)took, memory_order_relaxed);
}

static double think(vcpu *v, double last, double ns) {
  for (double due = last + ns; last < due && !atomic_load_explicit(&v->guest->stop, memory_order_relaxed);) {
    (void)gmap_again(v->view);
    last = now_ns();
  }
  return last;
}

static void run(vcpu *v, double last) {
  guest *g = v->guest;
  double compute = g->s.rate > 0 ? 1e9 / g->s.rate : 0;
  gmap_enter(v->view);
  while (!atomic_load_explicit(&g->stop, memory_order_relaxed)) {
    (void)gmap_again(v->view);
    if (atomic_load_explicit(&v->refresh, memory_order_relaxed)) prefix_refresh(v);
    operate(v);
    double now = now_ns();
    atomic_store_explicit(&v->done, atomic_load_explicit(&v->done, memory_order_relaxed) + 1, memory_order_relaxed);
    note(v, now, now - last);
    last = compute > 0 ? think(v, now, compute) : now;
  }
  gmap_leave(v->view);
}

// A database's transactions are paced by sleeping: SQLite is a program of the host's that waits for requests.
static void serve(vcpu *v) {
  guest *g = v->guest;
  while (!atomic_load_explicit(&g->stop, memory_order_relaxed)) {
    double begin = now_ns(), took;
    operate(v);
    took = now_ns() - begin;
    atomic_store_explicit(&v->done, v->done + 1, memory_order_relaxed);
    note(v, begin + took, took);
    if (g->s.rate > 0 && took < 1e9 / g->s.rate) usleep((useconds_t)((1e9 / g->s.rate - took) / 1e3));
  }
}

static void *run_vcpu(void *argument) {
  vcpu *v = argument;
  guest *g = v->guest;
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  CHECK(gmap_vcpu_open(g->space, &config, &v->handle, &v->view));
  v->waited = waited_ns();
  v->waited_at = now_ns();
  if (g->s.work == SQLITE) serve(v);
  else if (g->s.work == IDLE) while (!atomic_load(&g->stop)) usleep(1000);
  else run(v, now_ns());
  CHECK(gmap_vcpu_close(v->handle));
  return NULL;
}

void vcpus_start(guest *g) {
  atomic_store(&g->stop, false);
  for (int i = 0; i < g->s.vcpus; i++) {
    g->vcpus[i].guest = g;
    g->vcpus[i].random = 0x2545F4914F6CDD1Dull * (uint64_t)(i + 1);
    atomic_store(&g->vcpus[i].refresh, g->s.work == PREFIX);
    int error = pthread_create(&g->vcpus[i].thread, NULL, run_vcpu, g->vcpus + i);
    if (error) exit(1);
  }
  g->running = true;
}

void vcpus_stop(guest *g) {
  if (!g->running) return;
  atomic_store(&g->stop, true);
  for (int i = 0; i < g->s.vcpus; i++) pthread_join(g->vcpus[i].thread, NULL);
  g->running = false;
}

uint64_t vcpus_done(const guest *g) {
  uint64_t sum = 0;
  for (int i = 0; i < g->s.vcpus; i++) sum += atomic_load_explicit(&g->vcpus[i].done, memory_order_relaxed);
  return sum;
}

uint64_t vcpus_longest(guest *g) {
  uint64_t longest = 0;
  for (int i = 0; i < g->s.vcpus; i++) {
    uint64_t its = atomic_exchange(&g->vcpus[i].longest, 0);
    longest = its > longest ? its : longest;
  }
  return longest;
}
