/* SPDX-License-Identifier: MIT
 *
 * options.c - the command line. */
#include "litmus.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const control_names[] = {"none", "late-mark", "dropped-page", "invented-page", "unmarked-store",
                                            "stale-read", "wild-access"};
#define CONTROLS (sizeof control_names / sizeof *control_names)

static void usage(FILE *to) {
  unsigned i;
  fputs("usage: gmap-litmus [OPTIONS]\n"
        "  --seconds N    how long each test stores and harvests (1; fractions are allowed)\n"
        "  --only NAMES   these tests, separated by commas\n"
        "  --threads N    writers, 1 to 8 (each test has its own number)\n"
        "  --seed N       of all random choices (taken from the clock, and printed)\n"
        "  --jostle N     hold threads up at one in N of the header's places (256); 0: never\n"
        "  --tracking generation: the space tracks by generation (entries)\n"
        "  --format pgste the page tables have PGSTEs (plain)\n"
        "  --oracle end   only compare at the end (full: also in real time)\n"
        "  --control NAME a mistake of the harness that must be caught:", to);
  for (i = 1; i < CONTROLS; i++) fprintf(to, " %s", control_names[i]);
  fputs("\n  --list         the tests\n"
        "  --json         one object a test\n"
        "exit status: 0 passed, 1 a violation, 2 inconclusive, 3 unsupported, 64 usage\n", to);
}

static int to_number(const char *text, uint64_t highest, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(text, &end, 0);
  return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && *value <= highest;
}

static int to_control(const char *text, options *o) {
  unsigned i;
  for (i = 0; i < CONTROLS; i++) {
    if (strcmp(text, control_names[i]) != 0) continue;
    o->control = (enum control)i;
    return 1;
  }
  return 0;
}

static int to_seconds(const char *text, double *value) {
  char *end;
  *value = strtod(text, &end);
  return end != text && *end == 0 && isfinite(*value) && *value > 0 && *value <= 1e6;
}

static int is_name(const char *name, size_t length) {
  unsigned i;
  for (i = 0; i < program_count; i++)
    if (strlen(programs[i].name) == length && strncmp(programs[i].name, name, length) == 0) return 1;
  return 0;
}

static int are_names(const char *names) {
  for (;;) {
    size_t length = strcspn(names, ",");
    if (!is_name(names, length)) return 0;
    if (names[length] == 0) return 1;
    names += length + 1;
  }
}

int is_chosen(const options *o, const char *name) {
  const char *at = o->only;
  size_t length = strlen(name);
  if (!at) return 1;
  for (; *at; at += *at == ',') {
    size_t one = strcspn(at, ",");
    if (one == length && strncmp(at, name, length) == 0) return 1;
    at += one;
  }
  return 0;
}

static int take(options *o, const char *option, const char *value) {
  uint64_t number = 0;
  if (strcmp(option, "--seconds") == 0) return to_seconds(value, &o->seconds);
  if (strcmp(option, "--only") == 0) return are_names(o->only = value);
  if (strcmp(option, "--seed") == 0) return to_number(value, UINT64_MAX, &o->seed);
  if (strcmp(option, "--control") == 0) return to_control(value, o);
  if (strcmp(option, "--threads") == 0) {
    int good = to_number(value, MAX_WRITERS, &number) && number != 0;
    o->threads = (unsigned)number;
    return good;
  }
  if (strcmp(option, "--jostle") == 0) {
    int good = to_number(value, 1u << 24, &number);
    o->jostle = (unsigned)number;
    return good;
  }
  if (strcmp(option, "--tracking") == 0) {
    o->tracking = strcmp(value, "generation") == 0 ? GMAP_TRACK_GENERATION : GMAP_TRACK_ENTRIES;
    return o->tracking == GMAP_TRACK_GENERATION || strcmp(value, "entries") == 0;
  }
  if (strcmp(option, "--format") == 0) {
    o->format = strcmp(value, "pgste") == 0 ? GMAP_TABLE_4K_PGSTE : GMAP_TABLE_2K;
    return o->format == GMAP_TABLE_4K_PGSTE || strcmp(value, "plain") == 0;
  }
  if (strcmp(option, "--oracle") == 0) {
    o->end_only = strcmp(value, "end") == 0;
    return o->end_only || strcmp(value, "full") == 0;
  }
  return 0;
}

int parse_options(int argc, char **argv, options *o) {
  int i;
  memset(o, 0, sizeof *o);
  o->seconds = 1;
  o->jostle = 256;
  o->seed = nanoseconds() & 0xFFFFFFFFu;
  for (i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      usage(stdout);
      return EXIT_PASS;
    }
    if (strcmp(argv[i], "--json") == 0) o->json = 1;
    else if (strcmp(argv[i], "--list") == 0) o->list = 1;
    else if (i + 1 < argc && take(o, argv[i], argv[i + 1])) i++;
    else {
      fprintf(stderr, "gmap-litmus: %s %s: not understood\n", argv[i], i + 1 < argc ? argv[i + 1] : "");
      usage(stderr);
      return EXIT_USAGE;
    }
  }
  return -1;
}
