// Must a notifier split a huge mapping? A vcpu keeps its prefix pair armed while the host changes other pages of the
// same segment, and while rounds of harvests take what it wrote.
#include "study.h"

#include <unistd.h>

#define SLOT 1u

typedef struct told {
  uint64_t calls;
  double ns, back; // of the calls that were told of; from there until the vcpu stored again, armed
} told;

// Until the vcpu has refreshed what it was told of, and run on.
static void settle(guest *g, told *t) {
  double begin = now_ns();
  uint64_t done = vcpus_done(g);
  while (atomic_load(&g->vcpus[0].refresh) || vcpus_done(g) < done + 2) continue;
  t->back += now_ns() - begin;
}

// `times` times a neighbour goes away and comes back by a store of the host's.
static told neighbours(guest *g, int times) {
  told t = {atomic_load(&g->notified), 0, 0};
  uint64_t state = 0x2545F4914F6CDD1Dull;
  for (int i = 0; i < times; i++) {
    uint64_t page = 16 + random64(&state) % 240;
    double begin = now_ns();
    CHECK(gmap_unmap(g->space, page * PAGE, PAGE, 0, NULL));
    CHECK(gmap_populate(g->space, page * PAGE, PAGE, GMAP_ACCESS_WRITE, 0, NULL));
    t.ns += now_ns() - begin;
    settle(g, &t);
  }
  t.calls = atomic_load(&g->notified) - t.calls;
  return t;
}

// The vcpu writes both pages all the time, so each harvest finds them, and takes a right that is armed.
static told harvests(guest *g, int times, double *pages) {
  told t = {0};
  uint64_t sum = 0, found;
  guest_log(g, GMAP_SLOT_LOG_DIRTY);
  settle(g, &t);
  t = (told){atomic_load(&g->notified), 0, 0};
  for (int i = 0; i < times; i++) {
    usleep(1000);
    double begin = now_ns();
    CHECK(gmap_dirty_harvest(g->space, SLOT, 0, g->pages, 0, g->bitmap, g->pages / 64, &found));
    t.ns += now_ns() - begin;
    sum += found;
    settle(g, &t);
  }
  t.calls = atomic_load(&g->notified) - t.calls;
  *pages = (double)sum / times;
  return t;
}

static double watch_kib(const guest *g) {
  gmap_engine_stats stats = {.struct_size = sizeof stats};
  CHECK(gmap_engine_get_stats(g->engine, &stats));
  return (double)stats.watch_bytes / 1024;
}

static void measure(table *t, enum policy policy, uint32_t format) {
  setting s = usual(policy, format, PREFIX, 100000, 0);
  guest g;
  uint64_t armed, done;
  double pages, watch;
  int times = quick ? 50 : 500;
  s.mib = 16;
  guest_open(&g, &s);
  done = guest_stats(&g).page_tables;
  vcpus_start(&g);
  while (vcpus_done(&g) < 10) continue;
  armed = guest_stats(&g).page_tables - done;
  watch = watch_kib(&g);
  told changed = neighbours(&g, times);
  told taken = harvests(&g, times / 5, &pages);
  cell(t, "%s", policy_names[policy]);
  cell(t, "%s", format_name(format));
  cell_number(t, (double)armed, 0);
  cell_number(t, watch, 0);
  cell_number(t, (double)changed.calls / times, 3);
  cell_number(t, changed.ns / times / 1e3, 1);
  cell_number(t, (double)taken.calls / (times / 5), 2);
  cell_number(t, pages, 1);
  cell_number(t, taken.ns / (times / 5) / 1e3, 1);
  cell_number(t, taken.back / (times / 5) / 1e3, 1);
  guest_close(&g);
}

void notifiers(void) {
  table *t = table_new("notifiers",
                       "A prefix pair in a leaf: page tables that arming takes, and what the engine notes of watched pages; told and "
                       "time when a neighbour is unmapped and mapped again; told, pages and time of a harvest while the vcpu runs; "
                       "back: until it stored again, both pages armed.",
                       "policy|tables|tables to arm|watch KiB|told a change|change us|told a harvest|pages a harvest|harvest us|"
                       "back us");
  for (int policy = 0; policy < AHEAD; policy++)
    for (uint32_t format = 0; format < 2; format++) {
      progress("notifiers: %s, %s", policy_names[policy], format_name(format));
      measure(t, (enum policy)policy, format);
    }
}
