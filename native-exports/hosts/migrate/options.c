/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gmap.h"
#include "stream.h"

enum { /* long options without a letter */
  O_GUEST = 256, O_IMAGE, O_MEMORY, O_THREADS, O_RATE, O_DOWNTIME, O_ROUNDS, O_POLICY, O_BACKING, O_TRANSPORT, O_JSON,
  O_SEED, O_LINK, O_STEPS, O_ROWS, O_LISTEN, O_CONNECT, O_RETRY, O_ACCEPT, O_FAIL, O_DROP, O_TABLES, O_POSTCOPY, O_BREAK,
  O_TIMEOUT, O_WATCH, O_HELP
};

static const struct option table[] = {
  {"guest", required_argument, NULL, O_GUEST},         {"image", required_argument, NULL, O_IMAGE},
  {"memory", required_argument, NULL, O_MEMORY},       {"threads", required_argument, NULL, O_THREADS},
  {"rate", required_argument, NULL, O_RATE},           {"downtime-ms", required_argument, NULL, O_DOWNTIME},
  {"max-rounds", required_argument, NULL, O_ROUNDS},   {"policy", required_argument, NULL, O_POLICY},
  {"backing", required_argument, NULL, O_BACKING},     {"transport", required_argument, NULL, O_TRANSPORT},
  {"json", no_argument, NULL, O_JSON},                 {"seed", required_argument, NULL, O_SEED},
  {"link", required_argument, NULL, O_LINK},           {"steps", required_argument, NULL, O_STEPS},
  {"rows", required_argument, NULL, O_ROWS},           {"listen", required_argument, NULL, O_LISTEN},
  {"connect", required_argument, NULL, O_CONNECT},     {"retry-s", required_argument, NULL, O_RETRY},
  {"accept-s", required_argument, NULL, O_ACCEPT},     {"fail-first-at", required_argument, NULL, O_FAIL},
  {"drop-a-page", no_argument, NULL, O_DROP},          {"tables", required_argument, NULL, O_TABLES},
  {"postcopy", required_argument, NULL, O_POSTCOPY},   {"break-at", required_argument, NULL, O_BREAK},
  {"timeout-s", required_argument, NULL, O_TIMEOUT},   {"watch", no_argument, NULL, O_WATCH},
  {"help", no_argument, NULL, O_HELP},
  {NULL, 0, NULL, 0}
};

static const char help[] =
  "gmap-migrate: live-migrates a running guest with exact 4 KB dirty pages over 1 MB mappings.\n"
  "\n"
  "  gmap-migrate demo [options]               both sides on this machine, in two processes\n"
  "  gmap-migrate --listen ADDR                the destination: unix:PATH or tcp:HOST:PORT\n"
  "  gmap-migrate --connect ADDR [options]     the source: owns the guest and sends it while it runs\n"
  "\n"
  "  --guest threads|sqlite|nested  which guest (demo: the first two; --connect: threads); nested: the threads run in\n"
  "                            a guest of the guest, which moves their pages meanwhile\n"
  "  --memory SIZE             guest memory, 32M and more (1G); suffixes K, M, G, T\n"
  "  --image FILE              load a real file into guest memory first; it is migrated and verified too\n"
  "  --threads N               threads of the threads guest (4)\n"
  "  --steps N                 steps it makes in all (60 seconds' worth of --rate)\n"
  "  --rows N                  rows of the SQLite table (200000)\n"
  "  --rate N                  guest writes a second, 0: as fast as it can (threads 100000, sqlite 10000)\n"
  "  --link SIZE               bytes a second the link carries, 0: as fast as the socket (512M)\n"
  "  --downtime-ms N           stop the guest when the rest can be sent in this time (10)\n"
  "  --max-rounds N            ... or after this many rounds, 1 to 60 (10)\n"
  "  --postcopy ROUNDS         start the guest there after so many rounds (0 to 60) and send the rest while it runs: what it\n"
  "                            waits for first\n"
  "  --policy lazy|never|eager how 1 MB leaves are split (lazy; the demo then repeats the threads guest with never)\n"
  "  --backing auto|userfaultfd|none   who tracks: the kernel or the tables (auto: kernel for sqlite)\n"
  "  --transport unix|tcp      the demo's socket (unix)\n"
  "  --seed N                  of the guest's program (1)\n"
  "  --json                    the result as one JSON object, the last line\n"
  "  --watch                   the source's figures can be watched meanwhile: gmap-top\n"
  "  --retry-s N               --connect: after a lost peer, keep the guest running and try this long again (10);\n"
  "                            postcopy, both sides: wait this long for the same peer\n"
  "  --timeout-s N             both sides: a peer that is silent for so long is lost (60)\n"
  "  --accept-s N              --listen: give up when no source comes, 0: never (0)\n"
  "  --fail-first-at ROUND     demo: kill the first destination in this round and migrate to a second one\n"
  "  --tables NAME             after each round, while the guest runs: its translation tables as an image (NAME-*.bin),\n"
  "                            and what the engine says of its pages (NAME-*.case)\n"
  "  --break-at PAGES          postcopy: break the connection after so many pages; both sides take it up again\n"
  "  --drop-a-page             to see the verification fail: lose one page of the last round\n"
  "  --help                    this text\n"
  "\n"
  "Exit status: 0 every run verified, 1 a failure, 2 a bad option.\n";

void options_help(void) { fputs(help, stdout); }

const char *guest_kind_name(uint32_t kind) { 
  return kind == GUEST_SQLITE ? "sqlite" : kind == GUEST_NESTED ? "nested" : "threads";
}

const char *policy_name(uint32_t policy) {
  return policy == GMAP_SPLIT_NEVER ? "never" : policy == GMAP_SPLIT_EAGER ? "eager" : "lazy";
}

/* A number with an optional K, M, G, T, within bounds. */
static bool number(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *value) {
  char *end;
  unsigned shift = 0;
  errno = 0;
  unsigned long long parsed = strtoull(text, &end, 10);
  bool digits = end != text && text[0] >= '0' && text[0] <= '9' && errno == 0;
  if (digits && *end) {
    const char *at = strchr("KMGTkmgt", *end);
    if (at && end[1] == 0) {
      shift = 10u * (unsigned)((at - "KMGTkmgt") % 4 + 1);
      end++;
    }
  }
  if (!digits || *end || (shift && parsed >> (64 - shift)) || (parsed << shift) < low || (parsed << shift) > high) {
    complain("--%s %s: give a number from %llu to %llu (suffixes K, M, G, T)", name, text, (unsigned long long)low,
             (unsigned long long)high);
    return false;
  }
  *value = parsed << shift;
  return true;
}

static bool number32(const char *name, const char *text, uint32_t low, uint32_t high, uint32_t *value) {
  uint64_t wide;
  if (!number(name, text, low, high, &wide)) return false;
  *value = (uint32_t)wide;
  return true;
}

/* The position of a word in a list that ends with NULL, or -1 after telling the choices. */
static int word(const char *name, const char *text, const char *const *words) {
  char choices[80] = "";
  for (int i = 0; words[i]; i++) {
    if (strcmp(words[i], text) == 0) return i;
    snprintf(choices + strlen(choices), sizeof choices - strlen(choices), "%s%s", i ? ", " : "", words[i]);
  }
  complain("--%s %s: choose one of %s", name, text, choices);
  return -1;
}

static bool choose(struct options *o, int option, const char *text) {
  static const char *const guests[] = {"threads", "sqlite", "nested", NULL}, *const policies[] = {"lazy", "never", "eager", NULL};
  static const char *const backings[] = {"auto", "userfaultfd", "none", NULL};
  static const char *const transports[] = {"unix", "tcp", NULL};
  int at;
  switch (option) {
    case O_GUEST:
      if ((at = word("guest", text, guests)) < 0) return false;
      o->guests = at == 0 ? GUEST_THREADS : at == 1 ? GUEST_SQLITE : GUEST_NESTED;
      return true;
    case O_POLICY:
      if ((at = word("policy", text, policies)) < 0) return false;
      o->policy = at == 0 ? GMAP_SPLIT_LAZY : at == 1 ? GMAP_SPLIT_NEVER : GMAP_SPLIT_EAGER;
      return o->policy_given = true;
    case O_BACKING:
      if ((at = word("backing", text, backings)) < 0) return false;
      o->backing = (enum backing)at;
      return true;
    default:
      if ((at = word("transport", text, transports)) < 0) return false;
      o->tcp = at == 1;
      return true;
  }
}

/* A port that getaddrinfo would cut to 16 bits is not the one that was asked for. */
static bool port(const char *text) {
  size_t digits = strspn(text, "0123456789");
  return digits >= 1 && digits <= 5 && !text[digits] && atoi(text) <= UINT16_MAX;
}

static bool address(const char *text) {
  const char *colon = strrchr(text, ':');
  bool tcp = strncmp(text, "tcp:", 4) == 0;
  if ((strncmp(text, "unix:", 5) == 0 && text[5]) || (tcp && colon > text + 4 && port(colon + 1))) return true;
  return complain("%s: an address is unix:PATH or tcp:HOST:PORT (0 to 65535)", text), false;
}

static bool image(const char *path) {
  struct stat file;
  if (access(path, R_OK) != 0 || stat(path, &file) != 0)
    return complain("--image %s: %s", path, strerror(errno)), false;
  return S_ISREG(file.st_mode) || (complain("--image %s: not a regular file", path), false);
}

static bool apply(struct options *o, int option, const char *text) {
  switch (option) {
    case O_GUEST: case O_POLICY: case O_BACKING: case O_TRANSPORT: return choose(o, option, text);
    case O_IMAGE: o->image = text; return image(text);
    case O_MEMORY: return number("memory", text, 32ull << 20, 1ull << 41, &o->memory);
    case O_THREADS: return number32("threads", text, 1, 256, &o->threads);
    case O_RATE: o->rate_given = true; return number("rate", text, 0, 1000000000, &o->rate);
    case O_DOWNTIME: return number("downtime-ms", text, 1, 3600000, &o->downtime_ms);
    case O_ROUNDS: return number32("max-rounds", text, 1, 60, &o->max_rounds);
    case O_SEED: return number("seed", text, 0, UINT64_MAX, &o->seed);
    case O_LINK: return number("link", text, 0, 1ull << 40, &o->link);
    case O_STEPS: return number("steps", text, 1, 1ull << 40, &o->steps);
    case O_ROWS: return number("rows", text, 100, 10000000, &o->rows);
    case O_RETRY: return number("retry-s", text, 0, 86400, &o->retry_s);
    case O_TIMEOUT: return number("timeout-s", text, 1, 86400, &o->timeout_s);
    case O_ACCEPT: return number("accept-s", text, 0, 86400, &o->accept_s);
    case O_POSTCOPY: o->postcopy = true; return number32("postcopy", text, 0, 60, &o->postcopy_rounds);
    case O_BREAK: return number("break-at", text, 1, 1ull << 40, &o->break_at);
    case O_FAIL: return number32("fail-first-at", text, 1, 60, &o->fail_first_at);
    case O_TABLES: o->tables = text; return true;
    case O_DROP: return o->drop_page = true;
    case O_JSON: return o->json = true;
    case O_WATCH: return o->watch = true;
    case O_LISTEN: case O_CONNECT:
      if (o->address) return complain("choose one of --listen and --connect, once"), false;
      o->mode = option == O_LISTEN ? MODE_LISTEN : MODE_CONNECT;
      o->address = text;
      return address(text);
    default: return false;
  }
}

/* What fits together. */
static bool consistent(struct options *o, bool demo, int rest) {
  if (rest) return complain("too many words: see gmap-migrate --help"), false;
  if (demo && o->address) return complain("demo starts both sides itself: leave --listen and --connect away"), false;
  if (!demo && !o->address)
    return complain("say what to do: demo, --listen ADDR or --connect ADDR (see --help)"), false;
  if (!demo && o->fail_first_at) return complain("--fail-first-at belongs to demo, which owns the destination"), false;
  if (o->guests == GUEST_SQLITE && o->backing == BACKING_NONE)
    return complain("--guest sqlite stores plainly and can be tracked by --backing userfaultfd only"), false;
  if (o->guests == GUEST_NESTED && (o->backing == BACKING_USERFAULTFD || o->policy == GMAP_SPLIT_NEVER || o->memory > 2ull << 30))
    return complain("--guest nested is tracked by the tables (not --backing userfaultfd), by 4 KB pages (not --policy never), "
                    "and has 2G of memory at most"), false;
  if (o->tables && (o->mode == MODE_LISTEN || o->guests == GUEST_NESTED))
    return complain("--tables is the source's, and not of --guest nested, which takes rights away at any time"), false;
  if (o->postcopy && (o->mode == MODE_LISTEN || o->guests == GUEST_NESTED || o->fail_first_at || o->drop_page))
    return complain("--postcopy is the source's, not of --guest nested (shadows need every page), and without --fail-first-at "
                    "and --drop-a-page"), false;
  if (o->break_at && !o->postcopy) return complain("--break-at belongs to --postcopy"), false;
  if (!o->guests) o->guests = demo ? GUEST_THREADS | GUEST_SQLITE : GUEST_THREADS;
  if (o->memory % SEGMENT) return complain("--memory must be a multiple of 1M"), false;
  if (o->memory / (uint64_t)sysconf(_SC_PAGESIZE) > (uint64_t)sysconf(_SC_PHYS_PAGES))
    return complain("--memory is more than this machine has: give less"), false;
  if ((o->guests & (GUEST_THREADS | GUEST_NESTED)) && o->memory / o->threads < 5 * SEGMENT)
    return complain("--memory is too small for --threads %u: give each thread 5M or more", o->threads), false;
  return true;
}

enum parsed options_parse(int argc, char **argv, struct options *o) {
  bool demo = argc > 1 && strcmp(argv[1], "demo") == 0;
  *o = (struct options){.mode = MODE_DEMO, .threads = 4, .policy = GMAP_SPLIT_LAZY, .max_rounds = 10,
                        .memory = 1ull << 30, .downtime_ms = 10, .seed = 1, .link = 512ull << 20, .rows = 200000,
                        .retry_s = 10, .timeout_s = STREAM_TIMEOUT_S};
  opterr = 0;
  optind = demo ? 2 : 1;
  for (;;) {
    int at = optind, option = getopt_long(argc, argv, ":", table, NULL);
    if (option == -1) break;
    if (option == O_HELP) return PARSED_HELP;
    if (option == ':' || option == '?') {
      complain("%s: %s; see gmap-migrate --help", argv[at],
               option == ':' ? "a value is missing" : "no such option, or a value where none belongs");
      return PARSED_BAD;
    }
    if (!apply(o, option, optarg)) return PARSED_BAD;
  }
  return consistent(o, demo, argc - optind) ? PARSED_RUN : PARSED_BAD;
}

uint64_t options_rate(const struct options *o, enum guest_kind kind) {
  return o->rate_given ? o->rate : kind == GUEST_SQLITE ? 10000 : 100000;
}

uint64_t options_steps(const struct options *o) {
  uint64_t rate = options_rate(o, GUEST_THREADS);
  return o->steps ? o->steps : 60 * (rate ? min_u64(rate, 1000000) : 1000000);
}
