/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { /* long options, none has a letter */
  O_MEMORY = 256, O_SEED, O_RUNS, O_JSON, O_OUT, O_HANG_S, O_CHECK, O_PROBE, O_ENGINE, O_BREAK, O_BREAK_AT, O_CRASH_AT, O_HANG_AT,
  O_REPEATS, O_QUICK, O_HELP
};

static const struct option table[] = {
  {"memory", required_argument, NULL, O_MEMORY},       {"seed", required_argument, NULL, O_SEED},
  {"runs", required_argument, NULL, O_RUNS},           {"json", required_argument, NULL, O_JSON},
  {"out", required_argument, NULL, O_OUT},             {"hang-s", required_argument, NULL, O_HANG_S},
  {"check-every", required_argument, NULL, O_CHECK},   {"probe-every", required_argument, NULL, O_PROBE},
  {"engine-every", required_argument, NULL, O_ENGINE}, {"break", required_argument, NULL, O_BREAK},
  {"break-at", required_argument, NULL, O_BREAK_AT},   {"crash-at", required_argument, NULL, O_CRASH_AT},
  {"hang-at", required_argument, NULL, O_HANG_AT},     {"repeats", required_argument, NULL, O_REPEATS},
  {"quick", no_argument, NULL, O_QUICK},               {"help", no_argument, NULL, O_HELP},
  {NULL, 0, NULL, 0}
};

static const char help[] =
  "gmap-snapfuzz: fuzzes libexpat in memory that libgmapnative puts back after each run.\n"
  "\n"
  "  gmap-snapfuzz run [options]       fuzzes, and tells how fast\n"
  "  gmap-snapfuzz verify [options]    the same; after each run every page is compared with the snapshot\n"
  "  gmap-snapfuzz compare [options]   runs a second: the snapshot, a fork server, a full copy and others, taken in turns\n"
  "  gmap-snapfuzz replay FILE         one input from the warmed-up state: what a crash left, for a debugger\n"
  "\n"
  "  --memory SIZE       of the parser, 1M to 1G (4M, compare: 16M); suffixes K, M, G. Half of it is in use before the first run\n"
  "  --seed N            of all inputs (1)\n"
  "  --runs N            how many (100000); compare: inputs a turn (400)\n"
  "  --json FILE         the result as one JSON object; -: to stdout, the last line\n"
  " run and verify:\n"
  "  --out DIR           where inputs are saved that crash or hang the parser (.)\n"
  "  --hang-s N          a run that takes so long hangs (10)\n"
  "  --crash-at N        to see it: the parser crashes in run N\n"
  "  --hang-at N         ... or never returns from it\n"
  " verify:\n"
  "  --check-every N     compare all memory after each Nth run (1)\n"
  "  --probe-every N     parse a known input after each Nth run: its result must be as at first (1000)\n"
  "  --engine-every N    let the library compare, too: gmap_snapshot_verify (1000)\n"
  "  --break skip|alias  to see the check fail: one dirty page is left as it is, or one is written through a second\n"
  "                      mapping, which no tracking sees\n"
  "  --break-at N        in which run (the middle one)\n"
  " compare:\n"
  "  --repeats N         turns of each; the table has the medians (9)\n"
  "  --quick             --runs 60 --repeats 3 --memory 4M\n"
  "\n"
  "Exit status: 0 right, 1 a failure, a crash or a hang, 2 a bad option, 77 skipped: a kernel without asynchronous\n"
  "userfaultfd write-protect (Linux 6.7).\n";

void settings_help(void) { fputs(help, stdout); }

/* A number with an optional K, M, G, within bounds. */
static bool number(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *value) {
  static const char suffixes[] = "KMGkmg";
  char *end;
  errno = 0;
  unsigned long long parsed = strtoull(text, &end, 10);
  bool good = text[0] >= '0' && text[0] <= '9' && errno == 0;
  const char *suffix = good && *end ? strchr(suffixes, *end) : NULL;
  unsigned shift = suffix ? 10u * (unsigned)((suffix - suffixes) % 3 + 1) : 0;
  good = good && (suffix ? end[1] == 0 : *end == 0) && (!shift || parsed >> (64 - shift) == 0);
  if (!good || parsed << shift < low || parsed << shift > high)
    return complain("--%s %s: give a number from %llu to %llu (suffixes K, M, G)", name, text, (unsigned long long)low,
                    (unsigned long long)high);
  *value = parsed << shift;
  return true;
}

static bool number32(const char *name, const char *text, uint32_t high, uint32_t *value) {
  uint64_t wide;
  if (!number(name, text, 1, high, &wide)) return false;
  *value = (uint32_t)wide;
  return true;
}

static bool mistake(struct settings *s, const char *text) {
  if (strcmp(text, "skip") == 0) return s->mistake = MISTAKE_SKIP, true;
  if (strcmp(text, "alias") == 0) return s->mistake = MISTAKE_ALIAS, true;
  return complain("--break %s: choose one of skip, alias", text);
}

static bool quick(struct settings *s) {
  s->runs = 60;
  s->repeats = 3;
  s->memory = 4u << 20;
  return true;
}

static const char *belongs_to(int option) {
  switch (option) {
    case O_OUT: case O_HANG_S: case O_CRASH_AT: case O_HANG_AT: return "run verify";
    case O_CHECK: case O_PROBE: case O_ENGINE: case O_BREAK: case O_BREAK_AT: return "verify";
    case O_REPEATS: case O_QUICK: return "compare";
    default: return NULL; /* to all */
  }
}

static bool apply(struct settings *s, int option, const char *text) {
  const uint64_t many = 1ull << 40;
  switch (option) {
    case O_MEMORY: return number("memory", text, 1u << 20, 1u << 30, &s->memory);
    case O_SEED: return number("seed", text, 0, UINT64_MAX, &s->seed);
    case O_RUNS: return number("runs", text, 1, many, &s->runs);
    case O_JSON: return s->json = text, true;
    case O_OUT: return s->out = text, true;
    case O_HANG_S: return number32("hang-s", text, 86400, &s->hang_s);
    case O_CHECK: return number("check-every", text, 1, many, &s->check_every);
    case O_PROBE: return number("probe-every", text, 1, many, &s->probe_every);
    case O_ENGINE: return number("engine-every", text, 1, many, &s->engine_every);
    case O_BREAK: return mistake(s, text);
    case O_BREAK_AT: return number("break-at", text, 1, many, &s->mistake_at);
    case O_CRASH_AT: return number("crash-at", text, 1, many, &s->crash_at);
    case O_HANG_AT: return number("hang-at", text, 1, many, &s->hang_at);
    case O_REPEATS: return number32("repeats", text, 99, &s->repeats);
    case O_QUICK: return quick(s);
    default: return false;
  }
}

static const char *const actions[] = {"run", "verify", "compare", "replay"};

static bool action_word(struct settings *s, const char *word) {
  for (unsigned i = 0; i < 4; i++)
    if (strcmp(word, actions[i]) == 0) return s->action = (enum action)i, true;
  return false;
}

static bool consistent(struct settings *s, int rest, char **words) {
  if (s->action == ACTION_REPLAY && rest == 1) return s->replay = words[0], true;
  if (s->action == ACTION_REPLAY) return complain("replay: name one file");
  if (rest) return complain("%s: too many words; see gmap-snapfuzz --help", words[0]);
  if (s->memory % (1u << 20)) return complain("--memory must be a multiple of 1M");
  if (s->action == ACTION_COMPARE && s->runs > 100000) return complain("--runs: compare keeps all inputs: 100000 at most");
  if (s->mistake_at && !s->mistake) return complain("--break-at belongs to --break");
  if (s->mistake && !s->mistake_at) { /* a run whose memory is compared */
    s->mistake_at = (s->runs / 2 / s->check_every + 1) * s->check_every;
  }
  if (s->mistake && s->mistake_at > s->runs) return complain("--break: there are only %llu runs", (unsigned long long)s->runs);
  return true;
}

enum parsed settings_parse(int argc, char **argv, struct settings *s) {
  *s = (struct settings){.out = ".", .memory = 4u << 20, .seed = 1, .runs = 100000, .check_every = 1, .probe_every = 1000,
                         .engine_every = 1000, .hang_s = 10, .repeats = 9};
  if (argc > 1 && strcmp(argv[1], "--help") == 0) return PARSED_HELP;
  if (argc < 2 || !action_word(s, argv[1]))
    return complain("say one thing to do: run, verify, compare or replay FILE (see --help)"), PARSED_BAD;
  if (s->action == ACTION_COMPARE) s->memory = 16u << 20, s->runs = 400;
  opterr = 0;
  optind = 2;
  for (;;) {
    int at = optind, option = getopt_long(argc, argv, ":", table, NULL);
    if (option == -1) break;
    if (option == O_HELP) return PARSED_HELP;
    if (option == ':' || option == '?') {
      complain("%s: %s; see gmap-snapfuzz --help", argv[at],
               option == ':' ? "a value is missing" : "no such option, or a value where none belongs");
      return PARSED_BAD;
    }
    const char *owners = belongs_to(option);
    if (owners && !strstr(owners, actions[s->action])) {
      complain("%s belongs to %s, not to %s", argv[at], owners, actions[s->action]);
      return PARSED_BAD;
    }
    if (!apply(s, option, optarg)) return PARSED_BAD;
  }
  return consistent(s, argc - optind, argv + optind) ? PARSED_RUN : PARSED_BAD;
}
