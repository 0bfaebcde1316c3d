// The table: rows as they are measured, printed at the end, written as JSON.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "costs.h"

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
static double began, machine_busy_at_begin;
static char load_at_begin[64];

static void read_line(const char *path, const char *key, char *to, size_t size) {
  char line[256];
  FILE *file = fopen(path, "r");
  snprintf(to, size, "unknown");
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    char *value = key ? strchr(line, ':') : line;
    if (key && (strncmp(line, key, strlen(key)) != 0 || !value)) continue;
    value += key ? 2 : 0;
    value[strcspn(value, "\n\"\\")] = 0;
    value[strlen(value) < size ? strlen(value) : size - 1] = 0;
    memcpy(to, value, strlen(value) + 1);
    break;
  }
  fclose(file);
}

// Seconds of processors that somebody used since the machine started.
static double machine_busy(void) {
  unsigned long long v[8] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (!file) return 0;
  if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6) != 7)
    v[0] = 0;
  fclose(file);
  return (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / (double)sysconf(_SC_CLK_TCK);
}

static double own_busy(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void report_begin(void) {
  began = now_ns();
  machine_busy_at_begin = machine_busy();
  read_line("/proc/loadavg", NULL, load_at_begin, sizeof load_at_begin);
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

static const char *flavour(void) {
  uint64_t features = gmap_features();
  return features & GMAP_FEATURE_ISA_V4 ? "x86-64-v4" : features & GMAP_FEATURE_ISA_V3 ? "x86-64-v3" : "baseline";
}

typedef struct machine {
  char processor[128], kernel[160], load[64];
  double others, seconds;
} machine;

static machine describe(void) {
  machine m;
  struct utsname names;
  uname(&names);
  snprintf(m.kernel, sizeof m.kernel, "%.60s %.60s %.20s", names.sysname, names.release, names.machine);
  read_line("/proc/cpuinfo", "model name", m.processor, sizeof m.processor);
  read_line("/proc/loadavg", NULL, m.load, sizeof m.load);
  m.seconds = (now_ns() - began) / 1e9;
  m.others = (machine_busy() - machine_busy_at_begin - own_busy()) / m.seconds;
  m.others = m.others < 0 ? 0 : m.others;
  return m;
}

void report_print(void) {
  machine m = describe();
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
  printf("\nmachine: %s, %ld processors; kernel %s\n", m.processor, sysconf(_SC_NPROCESSORS_ONLN), m.kernel);
  printf("library: GmapNative %s, %s, membarrier %s; compiler of the peers: %s %s, -O3 -march=native\n",
         gmap_version_string(), flavour(), gmap_features() & GMAP_FEATURE_MEMBARRIER ? "yes" : "no",
#ifdef __clang__
         "clang",
#else
         "gcc",
#endif
         __VERSION__);
  printf("times without those that the measuring thread waited for a processor that others had\n");
  printf("medians of %d rounds (of %d where a row takes milliseconds), ours and the peer in turn in one process%s; "
         "%.0f s; other processes took %.2f of the processors meanwhile (load before: %s)\n",
         rounds, MOST_ROUNDS, quick ? " (--quick)" : "", m.seconds, m.others, load_at_begin);
}

// A name or a reason as JSON has it. All of them are plain text of this program's own.
static void json_text(FILE *file, const char *key, const char *text, const char *behind) {
  fprintf(file, "\"%s\": \"", key);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', file);
    fputc(*text, file);
  }
  fprintf(file, "\"%s", behind);
}

static void json_about(FILE *file) {
  machine m = describe();
  fprintf(file, "  \"machine\": {");
  json_text(file, "processor", m.processor, ", ");
  fprintf(file, "\"processors\": %ld, ", sysconf(_SC_NPROCESSORS_ONLN));
  json_text(file, "kernel", m.kernel, "},\n  \"build\": {");
  json_text(file, "library", gmap_version_string(), ", ");
  json_text(file, "instructions", flavour(), ", ");
  json_text(file, "compiler", __VERSION__, "},\n");
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
