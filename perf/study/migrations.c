// The table: every kind of writer migrates, under each policy, with each table format, over each link.
#include <math.h>
#include "study.h"

static const struct writer {
  const char *what;
  enum work work;
  double rate; // of each vcpu
  int vcpus;
} writers[] = {{"idle", IDLE, 0, 1},
               {"prefix pair", PREFIX, 10000, 1},
               {"stream", STREAM, 20000, 1},
               {"random, few", RANDOM, 500, 1},
               {"random, many", RANDOM, 5000, 1},
               {"random, all it can", RANDOM, 0, 1},
               {"Zipf set", ZIPF, 10000, 2},
               {"threads guest", THREADS, 50000, 2},
               {"SQLite", SQLITE, 1000, 1}};

#define WRITERS (int)(sizeof writers / sizeof *writers)

static void row(table *t, const char *what, const setting *s, const outcome *o) {
  const double *of = o->of;
  bool kernel = s->work == SQLITE;
  cell(t, "%s", what);
  cell_number(t, of[WORK_ALONE] > 0 ? of[WORK_ALONE] : -1, 0);
  if (s->gbit > 0 && s->gbit < 100) cell(t, "%g", s->gbit);
  else cell(t, "100*");
  cell(t, "%s", kernel ? "the kernel" : policy_names[s->policy]);
  cell(t, "%s", kernel ? "-" : format_name(s->format));
  cell(t, "%s", of[CONVERGED] > 0.5 ? "yes" : "no");
  cell_number(t, of[ROUNDS], 0);
  cell_number(t, of[SENT] / (double)MIB, 1);
  cell_number(t, of[SENT] / (double)(s->mib * MIB), 3);
  cell_number(t, of[DOWNTIME] / 1e6, 2);
  cell_number(t, of[WORK_ALONE] > 0 ? of[WORK] / of[WORK_ALONE] * 100 : -1, 1);
  cell_number(t, of[TABLES] / 1024, 0);
  cell_number(t, of[SPLITS], 0);
  cell_number(t, of[ARMING] / 1e6, 2);
  cell_number(t, of[ARMING_STALL] > 0 ? of[ARMING_STALL] / 1e3 : -1, 1);
  cell_number(t, of[STALL] > 0 ? of[STALL] / 1e3 : -1, 1);
  cell_number(t, of[HARVESTS] / 1e6, 2);
  cell_number(t, of[HARVEST_LONGEST] / 1e6, 2);
  cell_number(t, of[NOTIFIED], 0);
}

static outcome run(table *t, const struct writer *w, enum policy policy, uint32_t format, double gbit) {
  setting s = usual(policy, format, w->work, w->rate, gbit);
  s.vcpus = w->vcpus;
  progress("%s, %s, %s, %g Gbit/s", w->what, policy_names[policy], format_name(format), gbit);
  outcome o = migrate_often(&s, gbit <= 1 && !mib_given ? 1 : repeats); // they take seconds each, and differ little
  row(t, w->what, &s, &o);
  return o;
}

// What the memory of LAZY's tables buys: pages that are not sent again.
static void saved_row(table *t, const char *what, double gbit, const outcome *never, const outcome *lazy) {
  double first = (double)(usual_mib() * MIB), again[2] = {never->of[SENT] - first, lazy->of[SENT] - first};
  double tables = lazy->of[TABLES] - never->of[TABLES];
  cell(t, "%s", what);
  if (gbit < 100) cell(t, "%g", gbit);
  else cell(t, "100*");
  cell_number(t, again[0] / (double)MIB, 1);
  cell_number(t, again[1] / (double)MIB, 1);
  cell_number(t, tables / 1024, 0);
  cell_number(t, tables > 0 ? fmax((again[0] - again[1]) / tables, 0) : -1, 0);
  cell_number(t, never->of[DOWNTIME] / 1e6, 2);
  cell_number(t, lazy->of[DOWNTIME] / 1e6, 2);
  cell(t, "%s, %s", never->of[CONVERGED] > 0.5 ? "yes" : "no", lazy->of[CONVERGED] > 0.5 ? "yes" : "no");
}

// Bytes and rounds are the link's and the policy's; what the others have of their own shows at 10 Gbit/s.
static bool is_left_out(enum policy policy, uint32_t format, double gbit) {
  if (everything || gbit == 10) return false;
  return format != GMAP_TABLE_2K || policy == EAGER || policy == AHEAD;
}

static void writer_rows(table *t, table *saved, const struct writer *w, double gbit) {
  outcome of[POLICIES];
  for (int p = 0; p < POLICIES; p++)
    for (uint32_t format = 0; format < 2; format++) {
      bool database = w->work == SQLITE; // knows neither policies nor tables
      if (is_left_out((enum policy)p, format, gbit)) continue;
      if (database && (p || format || !kernel_can_track())) continue;
      outcome o = run(t, w, (enum policy)p, format, gbit);
      if (format == GMAP_TABLE_2K) of[p] = o;
    }
  if (w->work != SQLITE) saved_row(saved, w->what, gbit, of + NEVER, of + LAZY);
}

void migrations(void) {
  static const double links[] = {1, 10, 25, 100};
  table *t = table_new("migrations",
                       "Medians; work is what the guest did meanwhile, in percent of the same guest and the same copying "
                       "without tracking; stall: its longest operation while it was armed, later: until it was stopped. "
                       "100*: unpaced, as fast as this machine copies.",
                       "writer|operations/s|Gbit/s|policy|tables|converged|rounds|sent MiB|of the guest|downtime ms|"
                       "work %|tables KiB|splits|arming ms|stall us|later us|harvests ms|longest ms|told");
  table *saved = table_new("saved", "Lazy against never, 2 KB tables: sent beyond the first copy, the memory it took, bytes saved for "
                                    "each byte of table, downtime, and whether they converged.",
                           "writer|Gbit/s|never again MiB|lazy again MiB|tables KiB|saved / table|never downtime ms|"
                           "lazy downtime ms|converged");
  for (int w = 0; w < WRITERS; w++)
    for (int l = 0; l < 4; l++)
      if (over(links[l]) && (!quick || links[l] <= 10)) writer_rows(t, saved, writers + w, links[l]);
  if (!kernel_can_track()) left_out("SQLite: this kernel cannot track it");
}
