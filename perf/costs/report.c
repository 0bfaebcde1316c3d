// The table: rows as they are measured, printed at the end, written as JSON.
#include "costs.h"
#include <unistd.h>
#include "machine.h"

#define MOST_ROWS 320

typedef struct table_row {
  char row[96], peer[64], goal[32];
  const char *unit, *reached;
  double ours, beside; // beside: below 0 if there is nothing
  double low, high;    // quartiles of the ratios of the rounds; below 0 if there are none
} table_row;

static table_row rows[MOST_ROWS];
static int count, missing;
static char left_out[40][160];
static double began;

void report_begin(void) {
  began = now_ns();
  machine_begin();
}

void report_progress(const char *what) {
  fprintf(stderr, "[%5.1f s] %s\n", (now_ns() - began) / 1e9, what);
}

double middle(const figures *f) {
  double sorted[MOST_ROUNDS];
  memcpy(sorted, f->of, sizeof sorted);
  return median(sorted, (size_t)rounds);
}

void report_single(const char *row, double ours, const char *unit, const char *peer, double beside, goal g) {
  table_row *r = rows + count;
  double limit = g.kind == RATIO_AT_MOST ? g.value * beside : g.kind == PEER_PLUS_AT_MOST ? beside + g.value : g.value;
  if (count == MOST_ROWS) exit(3);
  count++;
  snprintf(r->row, sizeof r->row, "%s", row);
  snprintf(r->peer, sizeof r->peer, "%s", peer);
  r->unit = unit;
  r->ours = ours;
  r->beside = beside;
  r->low = r->high = -1;
  r->reached = g.kind == NO_GOAL ? "-" : ours <= limit ? "yes" : "no";
  snprintf(r->goal, sizeof r->goal, "-");
  if (g.kind == RATIO_AT_MOST) snprintf(r->goal, sizeof r->goal, "ratio <= %.2f", g.value);
  if (g.kind == AT_MOST) snprintf(r->goal, sizeof r->goal, "<= %g %s", g.value, unit);
  if (g.kind == PEER_PLUS_AT_MOST) snprintf(r->goal, sizeof r->goal, "<= peer + %g %s", g.value, unit);
}

void report_row(const char *row, const figures *ours, const char *unit, const char *peer, const figures *peers,
                goal g) {
  report_pooled(row, middle(ours), unit, peer, peers ? middle(peers) : -1, g, ours, peers);
}

void report_pooled(const char *row, double of_ours, const char *unit, const char *peer, double beside, goal g,
                   const figures *ours, const figures *peers) {
  double ratios[MOST_ROUNDS];
  report_single(row, of_ours, unit, peer, beside, g);
  if (!peers) return;
  for (int i = 0; i < rounds; i++) ratios[i] = ours->of[i] / peers->of[i];
  median(ratios, (size_t)rounds); // sorts
  rows[count - 1].low = ratios[rounds / 4];
  rows[count - 1].high = ratios[rounds - 1 - rounds / 4];
}

void report_missing(const char *what, const char *why) {
  if (missing < 40) snprintf(left_out[missing++], sizeof left_out[0], "%s: %s", what, why);
}

void report_print(void) {
  machine m = machine_describe();
  printf("%-72s %12s %-7s %-44s %12s %8s  %-18s %s\n", "row", "ours", "unit", "peer", "peer value", "ratio", "goal",
         "reached");
  for (int i = 0; i < count; i++) {
    const table_row *r = rows + i;
    printf("%-72s %12.2f %-7s %-44s ", r->row, r->ours, r->unit, r->peer);
    if (r->beside >= 0) printf("%12.2f %8.3f  ", r->beside, r->ours / r->beside);
    else printf("%12s %8s  ", "-", "-");
    printf("%-18s %s\n", r->goal, r->reached);
  }
  for (int i = 0; i < missing; i++) printf("not in the table: %s\n", left_out[i]);
  printf("\n");
  machine_print(stdout, &m);
  printf("compiler of the peers: %s %s, -O3 -march=native\n",
#ifdef __clang__
         "clang",
#else
         "gcc",
#endif
         __VERSION__);
  printf("times without those that the measuring thread waited for a processor that others had\n");
  printf("medians of %d rounds (of %d where a row takes milliseconds), ours and the peer in turn in one process%s; "
         "%.0f s; other processes took %.2f of the processors meanwhile (load before: %s)\n",
         rounds, MOST_ROUNDS, quick ? " (--quick)" : "", m.seconds, m.others, machine_load_at_begin());
}

static void json_about(FILE *file) {
  machine m = machine_describe();
  machine_json(file, &m);
  fprintf(file, "  \"run\": {\"rounds\": %d, \"most_rounds\": %d, \"quick\": %s, ", rounds, MOST_ROUNDS,
          quick ? "true" : "false");
  fprintf(file, "\"seconds\": %.1f, \"others_processors\": %.2f, \"load\": \"%s\"},\n", m.seconds, m.others, m.load);
}

static void json_row(FILE *file, const table_row *r) {
  json_text(file, "row", r->row, ", ");
  fprintf(file, "\"ours\": %.3f, ", r->ours);
  json_text(file, "unit", r->unit, ", ");
  json_text(file, "peer", r->peer, ", ");
  if (r->beside >= 0) fprintf(file, "\"peer_value\": %.3f, \"ratio\": %.6f, ", r->beside, r->ours / r->beside);
  else fprintf(file, "\"peer_value\": null, \"ratio\": null, ");
  if (r->goal[0] == '-') fprintf(file, "\"goal\": null");
  else json_text(file, "goal", r->goal, "");
}

// Beside the rows, in their order: what perf/compare takes for noise. A row itself has seven members and no more.
static void json_spreads(FILE *file) {
  fprintf(file, "\n  ],\n  \"spread\": [");
  for (int i = 0; i < count; i++) {
    const table_row *r = rows + i;
    fprintf(file, "%s\n    {", i ? "," : "");
    json_text(file, "row", r->row, ", ");
    json_text(file, "peer", r->peer, ", ");
    if (r->low >= 0) fprintf(file, "\"ratio_low\": %.6f, \"ratio_high\": %.6f}", r->low, r->high);
    else fprintf(file, "\"ratio_low\": null, \"ratio_high\": null}");
  }
}

int report_json(const char *path) {
  FILE *file = fopen(path, "w");
  if (!file) return -1;
  fprintf(file, "{\n");
  json_about(file);
  fprintf(file, "  \"rows\": [");
  for (int i = 0; i < count; i++) {
    fprintf(file, "%s\n    {", i ? "," : "");
    json_row(file, rows + i);
    fprintf(file, "}");
  }
  json_spreads(file);
  fprintf(file, "\n  ],\n  \"left_out\": [");
  for (int i = 0; i < missing; i++) {
    fprintf(file, "%s\n    {", i ? "," : "");
    json_text(file, "what", left_out[i], "}");
  }
  fprintf(file, "\n  ]\n}\n");
  return fclose(file);
}

// As PERF.md has it: three digits or four, thousands apart.
static void markdown_value(FILE *file, double value) {
  char text[64];
  int digits = snprintf(text, sizeof text, "%.0f", value);
  if (value < 1000) {
    fprintf(file, value < 100 ? "%.2f | " : "%.1f | ", value);
    return;
  }
  for (int i = 0; i < digits; i++) {
    if (i && (digits - i) % 3 == 0) fputc(',', file);
    fputc(text[i], file);
  }
  fprintf(file, " | ");
}

static void markdown_row(FILE *file, const table_row *r) {
  fprintf(file, "| %s | ", r->row);
  markdown_value(file, r->ours);
  fprintf(file, "%s | %s | ", r->unit, r->peer);
  if (r->beside >= 0) {
    markdown_value(file, r->beside);
    fprintf(file, "%.3f | ", r->ours / r->beside);
  } else {
    fprintf(file, "- | - | ");
  }
  fprintf(file, strcmp(r->reached, "no") == 0 ? "%s | **%s** |\n" : "%s | %s |\n", r->goal, r->reached);
}

int report_markdown(const char *path) {
  machine m = machine_describe();
  int reached = 0, goals = 0;
  FILE *file = fopen(path, "w");
  if (!file) return -1;
  for (int i = 0; i < count; i++) {
    goals += rows[i].goal[0] != '-';
    reached += strcmp(rows[i].reached, "yes") == 0;
  }
  fprintf(file, "- machine: %s, %ld processors; kernel %s\n", m.processor, sysconf(_SC_NPROCESSORS_ONLN), m.kernel);
  fprintf(file, "- library: %s, the **%s** build; gcc %s\n", gmap_version_string(), machine_flavour(), __VERSION__);
  fprintf(file, "- medians of %d rounds (%d where a row takes milliseconds)%s, %.0f s; other processes took %.2f of the processors\n",
          rounds, MOST_ROUNDS, quick ? ", --quick" : "", m.seconds, m.others);
  fprintf(file, "- of %d rows with a goal %d reach it, %d do not\n\n", goals, reached, goals - reached);
  fprintf(file, "| row | ours | unit | peer | peer value | ratio | goal | reached |\n|---|---:|---|---|---:|---:|---|---|\n");
  for (int i = 0; i < count; i++) markdown_row(file, rows + i);
  for (int i = 0; i < missing; i++) fprintf(file, "%s- not in the table: %s\n", i ? "" : "\n", left_out[i]);
  return fclose(file);
}
