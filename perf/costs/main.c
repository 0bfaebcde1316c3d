// What the engine's paths cost beside what hosts write today: rounds in which both take turns, in one process; medians.
// usage: gmap-costs [--quick] [--gib N] [--only SECTION [--share NAME]] [--out FOLDER]
#include "costs.h"

int rounds, quick;
uint64_t guest_gib = 64;
volatile uint64_t sink;
const char *only_share;
static const char *only, *out = ".";

static int is(const char *section) { return !only || strcmp(only, section) == 0; }

static int usage(void) {
  fprintf(stderr, "usage: gmap-costs [--quick] [--gib N] [--out FOLDER] [--only SECTION [--share '0.1 %% random']]\n"
                  "sections: startup accesses kvm scan faults marks building memory nested generation snapshot consumers beside held "
                  "arming harvests scaling\n");
  return 2;
}

static void sections(void) {
  rounds = MOST_ROUNDS; // these take milliseconds each
  if (is("accesses")) accesses();
  if (is("kvm")) kvm();
  if (is("scan")) scan();
  if (is("faults")) faults();
  if (is("marks")) marks();
  rounds = quick ? 5 : 9;
  if (is("startup")) startup();
  if (is("building")) building();
  if (is("memory")) memory();
  if (is("nested")) nested();
  if (is("generation")) generation();
  if (is("snapshot")) snapshot();
  if (is("consumers")) consumption();
  if (is("beside")) beside();
  if (is("held")) held_up();
  if (is("harvests")) harvests(out);
  if (is("arming")) arming();
}

int main(int argc, char **argv) {
  char path[512];
  if (argc == 2 && strcmp(argv[1], "--first-call") == 0) return first_call(); // startup.c
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quick") == 0) {
      quick = 1;
    } else if (i + 1 == argc) {
      return usage();
    } else if (strcmp(argv[i], "--gib") == 0) {
      guest_gib = strtoull(argv[++i], NULL, 0);
    } else if (strcmp(argv[i], "--only") == 0) {
      only = argv[++i];
    } else if (strcmp(argv[i], "--share") == 0) {
      only_share = argv[++i];
    } else if (strcmp(argv[i], "--out") == 0) {
      out = argv[++i];
    } else {
      return usage();
    }
  }
  if (guest_gib < 4 || guest_gib > 1024) return usage();
  CHECK(gmap_runtime_init());
  report_begin();
  sections();
  report_print();
  snprintf(path, sizeof path, "%s/latest.json", out);
  if (!only && report_json(path) != 0) {
    perror(path);
    return 1;
  }
  snprintf(path, sizeof path, "%s/latest.md", out);
  if (!only && report_markdown(path) != 0) {
    perror(path);
    return 1;
  }
  return (only ? is("scaling") : !quick) ? scaling() : 0;
}
