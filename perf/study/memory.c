// "For migration I suddenly need more memory": the tables before, during and after one that is called off, while the
// guest goes on. Turning logging off makes leaves again of what was split.
#include <math.h>
#include <unistd.h>
#include "study.h"

#define MOST_SAMPLES 4000

typedef struct sampler {
  guest *g;
  pthread_t thread;
  _Atomic bool stop;
  double zero, x[MOST_SAMPLES], y[MOST_SAMPLES];
  int n;
} sampler;

// Linked tables and those that wait for their grace.
static double bytes_now(const guest *g) {
  gmap_engine_stats stats = {.struct_size = sizeof stats};
  CHECK(gmap_engine_get_stats(g->engine, &stats));
  return (double)(guest_stats(g).table_bytes + stats.limbo_bytes);
}

static void *sample(void *argument) {
  sampler *s = argument;
  while (!atomic_load(&s->stop) && s->n < MOST_SAMPLES) {
    double y = bytes_now(s->g);
    if (s->n < 2 || y != s->y[s->n - 1] || y != s->y[s->n - 2]) s->n++; // a level has two points
    s->x[s->n - 1] = (now_ns() - s->zero) / 1e9;
    s->y[s->n - 1] = y;
    usleep(1000);
  }
  return NULL;
}

static double most(const sampler *s) {
  double top = 0;
  for (int i = 0; i < s->n; i++) top = s->y[i] > top ? s->y[i] : top;
  return top;
}

static void row(table *t, const setting *s, const sampler *samples, double off, double stall, const outcome *o) {
  double before = samples->y[0], peak = most(samples), after = samples->y[samples->n - 1];
  cell(t, "%s", policy_names[s->policy]);
  cell(t, "%s", format_name(s->format));
  cell(t, "%s", o->of[CONVERGED] > 0.5 ? "yes" : "no");
  cell_number(t, before / 1024, 0);
  cell_number(t, peak / 1024, 0);
  cell_number(t, (peak - before) / (double)(s->mib * MIB) * 100, 3);
  cell_number(t, o->of[TOTAL] / 1e9, 2);
  cell_number(t, after / 1024, 0);
  cell_number(t, off / 1e6, 2);
  cell_number(t, stall / 1e3, 1);
  cell_number(t, o->of[SENT] / (double)MIB, 1);
}

static void one(table *t, const setting *s, sampler *samples) {
  guest g;
  outcome o = {{0}};
  double begin, off, stall, pause = quick ? 50e3 : 300e3;
  guest_open(&g, s);
  vcpus_start(&g);
  samples->g = &g;
  samples->zero = now_ns() + pause * 1e3;
  if (pthread_create(&samples->thread, NULL, sample, samples) != 0) exit(1);
  usleep((useconds_t)pause);
  wire l = wire_open(s->gbit);
  begin = now_ns();
  o.of[CONVERGED] = migrate_rounds(&g, &l, &o);
  o.of[TOTAL] = now_ns() - begin;
  vcpus_longest(&g);
  off = now_ns();
  guest_log(&g, 0);
  off = now_ns() - off;
  stall = (double)vcpus_longest(&g);
  usleep((useconds_t)pause);
  vcpus_stop(&g);
  atomic_store(&samples->stop, true);
  pthread_join(samples->thread, NULL);
  row(t, s, samples, off, stall, &o);
  guest_close(&g);
}

void memory_over_time(void) {
  static const struct {
    enum policy policy;
    uint32_t format;
    const char *name;
  } of[] = {{NEVER, GMAP_TABLE_2K, "never"},           {LAZY, GMAP_TABLE_2K, "lazy, 2 KB tables"},
            {LAZY, GMAP_TABLE_4K_PGSTE, "lazy, 4 KB tables with PGSTEs"},
            {AHEAD, GMAP_TABLE_2K, "split ahead, 2 KB tables"},
            {AHEAD, GMAP_TABLE_4K_PGSTE, "split ahead, 4 KB tables with PGSTEs"}};
  static sampler samples[5];
  static curve curves[5];
  static char labels[MOST_POINTS][16], title[120];
  picture p = {.about = "A Zipf set of pages is written at 10,000 a second; then the migration is called off.",
               .axis = "seconds since it began", .panels = 1, .linear = 1, .names = {"translation tables"},
               .quantity = {BYTES}};
  table *t = table_new("memory", "Table memory of a migration that is called off, the guest going on; more is in percent of the "
                                 "guest; off: turning logging off, which makes leaves again.",
                       "policy|tables|converged|before KiB|most KiB|more %|for s|after KiB|off ms|stall us|sent MiB");
  double start = 0, end = 0;
  int n = 0;
  for (unsigned i = 0; i < 5; i++) {
    setting s = usual(of[i].policy, of[i].format, ZIPF, 10000, 10);
    progress("memory over time: %s", of[i].name);
    one(t, &s, samples + i);
    start = fmin(start, samples[i].x[0]);
    end = fmax(end, samples[i].x[samples[i].n - 1]);
    curves[n].name = of[i].name;
    curves[n].trails[0] = (trail){samples[i].x, samples[i].y, samples[i].n};
    n++;
  }
  for (p.points = 0; p.points < 6; p.points++) {
    p.x[p.points] = p.points == 0 ? start : (double)(p.points - 1) * end / 4;
    snprintf(labels[p.points], sizeof labels[0], "%.2f", p.x[p.points]);
    p.labels[p.points] = labels[p.points];
  }
  snprintf(title, sizeof title, "Table memory of a guest of %" PRIu64 " MiB over time, 10 Gbit/s", usual_mib());
  p.title = title;
  draw("study-memory.svg", &p, curves, n);
}
