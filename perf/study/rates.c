// How it goes with the write rate: one vcpu writes 8 bytes of random pages.
#include <math.h>
#include "study.h"

// ---- bytes and downtime ---------------------------------------------------------------------------------------------

#define RATES 6
static const double all_rates[RATES] = {10, 100, 1000, 1e4, 1e5, 1e6};
static const char *const rate_labels[RATES] = {"10", "100", "1,000", "10,000", "100,000", "1,000,000"};

static void rate_row(table *t, enum policy policy, const outcome *o) {
  cell(t, "%s", policy_names[policy]);
  cell_number(t, o->of[WORK_ALONE], 0);
  cell(t, "%s", o->of[CONVERGED] > 0.5 ? "yes" : "no");
  cell_number(t, o->of[ROUNDS], 0);
  cell_number(t, o->of[SENT] / (double)MIB, 1);
  cell_number(t, o->of[DOWNTIME] / 1e6, 2);
  cell_number(t, o->of[WORK] / o->of[WORK_ALONE] * 100, 1);
  cell_number(t, o->of[TABLES] / 1024, 0);
}

void rates(void) {
  static char title[96];
  static curve curves[POLICIES];
  picture p = {.about = "One vcpu writes random pages. Medians; logarithmic axes; less is better.",
               .axis = "pages written a second", .panels = 2, .points = RATES, .alone = 1,
               .names = {"sent", "downtime"}, .quantity = {BYTES, MICROSECONDS}};
  table *t = table_new("rates", "One vcpu, random pages, 10 Gbit/s, tables of 2 KB.",
                       "policy|writes/s|converged|rounds|sent MiB|downtime ms|work %|tables KiB");
  for (int i = 0; i < RATES; i++) p.labels[i] = rate_labels[i], p.x[i] = log10(all_rates[i]);
  for (int policy = 0; policy < POLICIES; policy++) {
    curves[policy].name = policy_names[policy];
    for (int i = 0; i < RATES; i++) {
      setting s = usual((enum policy)policy, GMAP_TABLE_2K, RANDOM, all_rates[i], 10);
      progress("rates: %s, %g", policy_names[policy], all_rates[i]);
      outcome o = migrate_often(&s, repeats);
      curves[policy].y[0][i] = o.of[SENT];
      curves[policy].y[1][i] = o.of[DOWNTIME] / 1e3;
      rate_row(t, (enum policy)policy, &o);
    }
  }
  snprintf(title, sizeof title, "A guest of %" PRIu64 " MiB over 10 Gbit/s by its write rate", usual_mib());
  p.title = title;
  draw("study-by-rate.svg", &p, curves, POLICIES);
}

// ---- the border -----------------------------------------------------------------------------------------------------

#define LINKS 4
static const double links[LINKS] = {1, 10, 25, 100};

// Do most runs of it end as asked? Two that agree decide of three.
static bool converges(enum policy policy, double gbit, double rate, double *work) {
  setting s = usual(policy, GMAP_TABLE_2K, RANDOM, rate, gbit);
  int good = 0, bad = 0;
  double works[MOST_REPEATS];
  while (2 * good <= repeats && 2 * bad < repeats) {
    outcome o = migrate(&s);
    works[good + bad] = o.of[WORK];
    if (o.of[CONVERGED] > 0.5) good++;
    else bad++;
  }
  *work = median(works, (size_t)(good + bad));
  return good > bad;
}

// Halves the interval in which it lies, by logarithm, down to 10 %. The rate that was reached, not that asked for; *open
// where even the fastest vcpu does not stop it.
static double find_border(enum policy policy, double gbit, double expected, bool *open) {
  double low = expected / 4, high = expected * 4, work, last;
  *open = false;
  for (; !converges(policy, gbit, low, &last); low /= 4) {
    if (low < expected / 100) return -1;
    high = low;
  }
  if (high > expected && converges(policy, gbit, high, &work)) {
    *open = true;
    return work;
  }
  while (high / low > 1.1) {
    double middle = sqrt(low * high);
    if (converges(policy, gbit, middle, &work)) low = middle, last = work;
    else high = middle;
  }
  return last;
}

static void border_row(table *t, int link, const double *found, const bool *open, double bytes_a_second) {
  static const char *const names[LINKS] = {"1", "10", "25", "100*"};
  cell(t, "%s", names[link]);
  cell_number(t, bytes_a_second / (double)MIB, 0);
  for (int i = 0; i < 2; i++) {
    if (found[i] < 0) cell(t, "below the search");
    else cell(t, "%s%.0f", open[i] ? "over " : "", found[i]);
    cell_number(t, bytes_a_second / (i ? PAGE : SEGMENT), 0);
  }
  cell_number(t, found[0] > 0 && found[1] > 0 ? found[1] / found[0] : -1, 0);
}

// What this machine copies to a destination, for the link that does not hold it up.
static double copying(void) {
  setting s = usual(NEVER, GMAP_TABLE_2K, IDLE, 0, 100);
  outcome o = migrate(&s);
  return o.of[SENT] / (o.of[TOTAL] - o.of[ARMING]) * 1e9;
}

void border(void) {
  static curve curves[4] = {{.name = "never: 1 MB is told"}, {.name = "lazy: 4 KB is told"},
                            {.name = "link / 1 MiB"}, {.name = "link / 4 KiB"}};
  picture p = {.title = "Up to which write rate a migration ends, by the link",
               .about = "One vcpu writes random pages; above its line a policy does not converge. Logarithmic axes.",
               .axis = "link, Gbit/s (100: as fast as this machine copies)", .panels = 1, .points = LINKS,
               .names = {"pages written a second"}, .quantity = {NUMBER}, .labels = {"1", "10", "25", "100"}};
  table *t = table_new("border", "The highest rate of random page writes at which the migration still ends as asked, found by "
                                 "halving (to 10 %), beside the link's rate in pages.",
                       "Gbit/s|MiB/s|never, pages/s|link / 1 MiB|lazy, pages/s|link / 4 KiB|lazy / never");
  for (int i = 0; i < LINKS; i++) {
    double bytes = links[i] < 100 ? links[i] / 8 * 1e9 : copying(), found[2] = {-1, -1};
    bool open[2];
    p.x[i] = log10(links[i]);
    if (!over(links[i]) || (quick && links[i] != 10)) continue;
    for (int policy = NEVER; policy <= LAZY; policy++) {
      progress("border: %s, %g Gbit/s", policy_names[policy], links[i]);
      found[policy] = find_border((enum policy)policy, links[i], bytes / (policy == NEVER ? SEGMENT : PAGE), open + policy);
      curves[policy].y[0][i] = open[policy] ? 0 : found[policy];
      curves[policy + 2].y[0][i] = bytes / (policy == NEVER ? SEGMENT : PAGE);
    }
    border_row(t, i, found, open, bytes);
  }
  draw("study-border.svg", &p, curves, 4);
}

// ---- neighbours -----------------------------------------------------------------------------------------------------

void locality(void) {
  static const unsigned together[] = {1, 4, 16, 64, 256};
  table *t = table_new("locality", "One vcpu writes 20,000 pages a second, so many neighbouring ones one after the other, then "
                                   "elsewhere; 10 Gbit/s, tables of 2 KB.",
                       "together|policy|converged|rounds|again MiB|downtime ms|tables KiB");
  for (int i = 0; i < 5; i++)
    for (int policy = NEVER; policy <= LAZY; policy++) {
      setting s = usual((enum policy)policy, GMAP_TABLE_2K, RANDOM, 20000, 10);
      s.together = together[i];
      progress("locality: %u together, %s", together[i], policy_names[policy]);
      outcome o = migrate_often(&s, repeats);
      cell_number(t, together[i], 0);
      cell(t, "%s", policy_names[policy]);
      cell(t, "%s", o.of[CONVERGED] > 0.5 ? "yes" : "no");
      cell_number(t, o.of[ROUNDS], 0);
      cell_number(t, o.of[SENT] / (double)MIB - (double)s.mib, 1);
      cell_number(t, o.of[DOWNTIME] / 1e6, 2);
      cell_number(t, o.of[TABLES] / 1024, 0);
    }
}
