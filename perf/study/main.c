// usage: gmap-study [--quick] [--all] [--only SECTION] [--gbit 1|10|25|100] [--repeats N] [--mib N] [--out FOLDER]
//        [--drop-a-page]
#include <stdarg.h>
#include "study.h"

bool quick, everything, drop_page;
int repeats;
const char *out = ".";
uint64_t mib_given;
static const char *only;
static double began, only_gbit;
static char missing[16][160];
static int missing_count;
static char *pictures;
static size_t pictures_size;

void progress(const char *format, ...) {
  va_list arguments;
  fprintf(stderr, "[%5.1f s] ", (now_ns() - began) / 1e9);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

void left_out(const char *format, ...) {
  va_list arguments;
  if (missing_count == 16) return;
  va_start(arguments, format);
  vsnprintf(missing[missing_count++], sizeof missing[0], format, arguments);
  va_end(arguments);
}

uint64_t usual_mib(void) { return mib_given ? mib_given : quick ? 64 : 256; }

bool over(double gbit) { return only_gbit == 0 || only_gbit == gbit; }

setting usual(enum policy policy, uint32_t format, enum work work, double rate, double gbit) {
  return (setting){.policy = policy, .format = format, .work = work, .rate = rate, .vcpus = 1,
                   .gbit = gbit < 100 ? gbit : 0, .mib = usual_mib()};
}

// What a picture shows, as JSON: for each curve and panel its points.
static void keep(const char *name, const picture *p, const curve *curves, int n) {
  static FILE *file;
  if (!file) file = open_memstream(&pictures, &pictures_size);
  if (!file) exit(1);
  for (int c = 0; c < n; c++)
    for (int panel = 0; panel < p->panels; panel++) {
      const trail *own = curves[c].trails + panel;
      int points = own->n ? own->n : p->points, written = 0;
      fprintf(file, "%s\n    {", pictures_size ? "," : "");
      json_text(file, "picture", name, ", ");
      json_text(file, "panel", p->names[panel], ", ");
      json_text(file, "curve", curves[c].name, ", \"points\": [");
      for (int i = 0; i < points; i++) {
        double y = own->n ? own->y[i] : curves[c].y[panel][i];
        if (y > 0) fprintf(file, "%s[%.6g, %.6g]", written++ ? ", " : "", own->n ? own->x[i] : p->x[i], y);
      }
      fprintf(file, "]}");
      fflush(file);
    }
}

void draw(const char *name, const picture *p, const curve *curves, int n) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", out, name);
  if (plot(path, p, curves, n) != 0) perror(path);
  keep(name, p, curves, n);
}

static int usage(void) {
  fprintf(stderr, "usage: gmap-study [--quick] [--all] [--only SECTION] [--gbit 1|10|25|100] [--repeats N] [--mib N]\n"
                  "       [--out FOLDER] [--drop-a-page]\n"
                  "--drop-a-page loses one, to see the comparison find it\n"
                  "sections: migrations rates border locality memory arming formats notifiers\n");
  return 2;
}

static bool parse(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quick") == 0) quick = true;
    else if (strcmp(argv[i], "--all") == 0) everything = true;
    else if (strcmp(argv[i], "--drop-a-page") == 0) drop_page = true;
    else if (i + 1 == argc) return false;
    else if (strcmp(argv[i], "--only") == 0) only = argv[++i];
    else if (strcmp(argv[i], "--gbit") == 0) only_gbit = atof(argv[++i]);
    else if (strcmp(argv[i], "--out") == 0) out = argv[++i];
    else if (strcmp(argv[i], "--repeats") == 0) repeats = atoi(argv[++i]);
    else if (strcmp(argv[i], "--mib") == 0) mib_given = strtoull(argv[++i], NULL, 0);
    else return false;
  }
  if (!repeats) repeats = quick ? 1 : 3;
  return repeats > 0 && repeats <= MOST_REPEATS && (mib_given == 0 || (mib_given >= 32 && mib_given <= 65536));
}

static int sections(void) {
  static const struct {
    const char *name;
    void (*run)(void);
  } all[] = {{"migrations", migrations}, {"rates", rates}, {"border", border}, {"locality", locality},
             {"memory", memory_over_time}, {"arming", arming}, {"formats", formats}, {"notifiers", notifiers}};
  int ran = 0;
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    if (only && strcmp(only, all[i].name) != 0) continue;
    all[i].run();
    ran++;
  }
  return ran;
}

static void about(FILE *file, const machine *m) {
  machine_print(file, m);
  fprintf(file, "guests of %" PRIu64 " MiB; medians of %d runs (1 at 1 Gbit/s)%s; %.0f s; other processes took %.2f of the "
                "processors meanwhile (load before: %s)\n", usual_mib(), repeats, quick ? " (--quick)" : "", m->seconds, m->others, machine_load_at_begin());
  for (int i = 0; i < missing_count; i++) fprintf(file, "not in the tables: %s\n", missing[i]);
}

static FILE *open_out(const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", out, name);
  FILE *file = fopen(path, "w");
  if (file) return file;
  perror(path);
  exit(1);
}

static void write_files(const machine *m) {
  FILE *file = open_out("study.json");
  fprintf(file, "{\n");
  machine_json(file, m);
  fprintf(file, "  \"run\": {\"repeats\": %d, \"quick\": %s, \"seconds\": %.1f, \"others_processors\": %.2f, ", repeats,
          quick ? "true" : "false", m->seconds, m->others);
  json_text(file, "load", machine_load_at_begin(), "},\n");
  tables_json(file);
  fprintf(file, ",\n  \"curves\": [%s]\n}\n", pictures ? pictures : "");
  fclose(file);
  file = open_out("study.md");
  if (!only) { // a part says nothing of the others
    fprintf(file, "<!-- table run -->\n```\n");
    about(file, m);
    fprintf(file, "```\n<!-- end -->\n\n");
  }
  tables_markdown(file);
  fclose(file);
}

int main(int argc, char **argv) {
  if (!parse(argc, argv)) return usage();
  CHECK(gmap_runtime_init());
  machine_begin();
  began = now_ns();
  if (!sections()) return usage();
  tables_print();
  machine m = machine_describe();
  printf("\n");
  about(stdout, &m);
  write_files(&m);
  return 0;
}
