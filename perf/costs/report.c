// The table: rows as they are measured, printed at the end, written as JSON.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "costs.h"

#define MOST_ROWS 160

typedef struct table_row {
  char row[96], peer[64], goal[32];
  const char *unit, *reached;
  double ours, beside; // beside: below 0 if there is nothing
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
  r->reached = g.kind == NO_GOAL ? "-" : ours <= limit ? "yes" : "no";
  snprintf(r->goal, sizeof r->goal, "-");
  if (g.kind == RATIO_AT_MOST) snprintf(r->goal, sizeof r->goal, "ratio <= %.2f", g.value);
  if (g.kind == AT_MOST) snprintf(r->goal, sizeof r->goal, "<= %g %s", g.value, unit);
  if (g.kind == PEER_PLUS_AT_MOST) snprintf(r->goal, sizeof r->goal, "<= peer + %g %s", g.value, unit);
}

void report_row(const char *row, const figures *ours, const char *unit, const char *peer, const figures *peers,
                goal g) {
  report_single(row, middle(ours), unit, peer, peers ? middle(peers) : -1, g);
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

int report_json(const char *path) {
  machine m = describe();
  FILE *file = fopen(path, "w");
  if (!file) return -1;
  fprintf(file, "{\n  \"machine\": {\"processor\": \"%s\", \"processors\": %ld, \"kernel\": \"%s\",\n", m.processor,
          sysconf(_SC_NPROCESSORS_ONLN), m.kernel);
  fprintf(file, "    \"compiler\": \"%s\", \"library\": \"%s\", \"build\": \"%s\",\n", __VERSION__,
          gmap_version_string(), flavour());
  fprintf(file, "    \"rounds\": %d, \"quick\": %s, \"seconds\": %.1f, ", rounds, quick ? "true" : "false", m.seconds);
  fprintf(file, "\"others_processors\": %.2f, \"load\": \"%s\"},\n", m.others, m.load);
  fprintf(file, "  \"rows\": [");
  for (int i = 0; i < count; i++) {
    const table_row *r = rows + i;
    fprintf(file, "%s\n    {\"row\": \"%s\", \"ours\": %.3f, ", i ? "," : "", r->row, r->ours);
    fprintf(file, "\"unit\": \"%s\", \"peer\": \"%s\", ", r->unit, r->peer);
    if (r->beside >= 0) fprintf(file, "\"peer_value\": %.3f, \"ratio\": %.4f, ", r->beside, r->ours / r->beside);
    else fprintf(file, "\"peer_value\": null, \"ratio\": null, ");
    fprintf(file, "\"goal\": %s%s%s}", r->goal[0] == '-' ? "" : "\"", r->goal[0] == '-' ? "null" : r->goal,
            r->goal[0] == '-' ? "" : "\"");
  }
  fprintf(file, "\n  ]\n}\n");
  return fclose(file);
}
