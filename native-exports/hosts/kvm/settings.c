/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest_program.h"
#include "stream.h"

enum { /* long options without a letter */
  O_ROUNDS = 256, O_ROUND_US, O_MEMORY, O_LOG, O_SEED, O_JSON, O_DROP, O_INVENT, O_STEPS, O_RATE, O_LINK, O_DOWNTIME, O_MAX_ROUNDS,
  O_ACCEPT, O_RETRY, O_FAIL, O_LISTEN, O_CONNECT, O_POSTCOPY, O_BREAK, O_TIMEOUT,
  O_HELP
};

static const struct option table[] = {
  {"rounds", required_argument, NULL, O_ROUNDS},           {"round-us", required_argument, NULL, O_ROUND_US},
  {"memory", required_argument, NULL, O_MEMORY},           {"log", required_argument, NULL, O_LOG},
  {"seed", required_argument, NULL, O_SEED},               {"json", no_argument, NULL, O_JSON},
  {"drop-a-page", no_argument, NULL, O_DROP},              {"steps", required_argument, NULL, O_STEPS},
  {"rate", required_argument, NULL, O_RATE},               {"link", required_argument, NULL, O_LINK},
  {"downtime-ms", required_argument, NULL, O_DOWNTIME},    {"max-rounds", required_argument, NULL, O_MAX_ROUNDS},
  {"accept-s", required_argument, NULL, O_ACCEPT},         {"retry-s", required_argument, NULL, O_RETRY},
  {"fail-first-at", required_argument, NULL, O_FAIL},      {"listen", required_argument, NULL, O_LISTEN},
  {"connect", required_argument, NULL, O_CONNECT},         {"help", no_argument, NULL, O_HELP},
  {"invent-a-page", no_argument, NULL, O_INVENT},          {"postcopy", required_argument, NULL, O_POSTCOPY},
  {"break-at", required_argument, NULL, O_BREAK},          {"timeout-s", required_argument, NULL, O_TIMEOUT},
  {NULL, 0, NULL, 0}
};

static const char help[] =
  "gmap-kvm: a small virtual machine monitor on KVM whose guest's writes are tracked by libgmapnative.\n"
  "\n"
  "  gmap-kvm compare [options]        round by round, the vCPUs stopped: our dirty pages against KVM's own log\n"
  "  gmap-kvm run [options]            the same while the vCPUs run: what each log may say, and must not leave out\n"
  "  gmap-kvm migrate [options]        live-migrates the virtual machine to a second process\n"
  "  gmap-kvm --listen ADDR            the destination: unix:PATH or tcp:HOST:PORT\n"
  "  gmap-kvm --connect ADDR [options] the source\n"
  "\n"
  "  --memory SIZE       guest memory, 32M to 256M (64M); suffixes K, M, G\n"
  "  --seed N            of the guest's program (1)\n"
  "  --json              the result as one JSON object, the last line\n"
  "  --drop-a-page       to see the check fail: lose one page\n"
  " compare and run:\n"
  "  --rounds N          how many (300)\n"
  "  --round-us N        how long the vCPUs run in a round, about (2000)\n"
  "  --log get|clear|ring  how KVM's log is read: KVM_GET_DIRTY_LOG clears, or KVM_CLEAR_DIRTY_LOG does, or the\n"
  "                      dirty ring of each vCPU (get)\n"
  "  --invent-a-page     to see the check fail: report a page that nobody wrote\n"
  " migrate and --connect:\n"
  "  --steps N           steps that each vCPU makes (400000)\n"
  "  --rate N            steps a second of both before the migration's end, 0: as fast as they can (100000)\n"
  "  --link SIZE         bytes a second the link carries, 0: as fast as the socket (512M)\n"
  "  --downtime-ms N     stop the guest when the rest can be sent in this time (10)\n"
  "  --max-rounds N      ... or after this many rounds, 1 to 60 (10)\n"
  "  --postcopy ROUNDS   start the guest there after so many rounds (0 to 60) and send the rest while it runs\n"
  "  --break-at PAGES    postcopy: break the connection after so many pages; both sides take it up again\n"
  "  --fail-first-at N   migrate: kill the first destination in this round and migrate to a second one\n"
  "  --retry-s N         --connect: after a lost peer, keep the guest running and try this long again (10);\n"
  "                      postcopy, both sides: wait this long for the same peer\n"
  "  --timeout-s N       both sides: a peer that is silent for so long is lost (60)\n"
  "  --accept-s N        --listen: give up when no source comes, 0: never (0)\n"
  "\n"
  "Exit status: 0 right, 1 a failure, 2 a bad option, 77 skipped: no /dev/kvm, or a kernel without asynchronous\n"
  "userfaultfd write-protect.\n";

void settings_help(void) { fputs(help, stdout); }

const char *log_name(enum vm_log log) { return log == VM_LOG_RING ? "ring" : log == VM_LOG_CLEAR ? "clear" : "get"; }
const char *guest_kind_name(uint32_t kind) { return kind == GUEST_KVM ? "kvm" : "unknown"; }
const char *policy_name(uint32_t policy) { return policy ? "another" : "lazy"; }

/* A number with an optional K, M, G, within bounds. */
static bool number(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *value) {
  char *end;
  errno = 0;
  unsigned long long parsed = strtoull(text, &end, 10);
  bool good = end != text && text[0] >= '0' && text[0] <= '9' && errno == 0;
  const char *suffix = good && *end ? strchr("KMGkmg", *end) : NULL;
  unsigned shift = suffix ? 10u * (unsigned)((suffix - "KMGkmg") % 3 + 1) : 0;
  good = good && (suffix ? end[1] == 0 : *end == 0) && (!shift || parsed >> (64 - shift) == 0);
  if (!good || parsed << shift < low || parsed << shift > high)
    return complain("--%s %s: give a number from %llu to %llu (suffixes K, M, G)", name, text, (unsigned long long)low,
                    (unsigned long long)high), false;
  *value = parsed << shift;
  return true;
}

static bool number32(const char *name, const char *text, uint32_t low, uint32_t high, uint32_t *value) {
  uint64_t wide;
  if (!number(name, text, low, high, &wide)) return false;
  *value = (uint32_t)wide;
  return true;
}

static bool log_mode(struct settings *s, const char *text) {
  static const enum vm_log logs[] = {VM_LOG_GET, VM_LOG_CLEAR, VM_LOG_RING};
  for (unsigned i = 0; i < 3; i++)
    if (strcmp(text, log_name(logs[i])) == 0) return s->log = logs[i], true;
  return complain("--log %s: choose one of get, clear, ring", text), false;
}

static bool address(struct settings *s, enum action action, const char *text) {
  bool taken = s->options.address;
  s->action = action;
  s->options.address = text;
  s->options.mode = action == ACTION_LISTEN ? MODE_LISTEN : MODE_CONNECT;
  if (taken) return complain("choose one of --listen and --connect, once"), false;
  if ((strncmp(text, "unix:", 5) == 0 && text[5]) || (strncmp(text, "tcp:", 4) == 0 && strrchr(text, ':') > text + 4))
    return true;
  return complain("%s: an address is unix:PATH or tcp:HOST:PORT", text), false;
}

static bool apply(struct settings *s, int option, const char *text) {
  struct options *o = &s->options;
  switch (option) {
    case O_ROUNDS: return number32("rounds", text, 2, 1000000, &s->rounds);
    case O_ROUND_US: return number("round-us", text, 10, 1000000, &s->round_us);
    case O_MEMORY: return number("memory", text, 32ull << 20, GUEST_MOST, &o->memory);
    case O_LOG: return log_mode(s, text);
    case O_SEED: return number("seed", text, 0, UINT64_MAX, &o->seed);
    case O_JSON: return o->json = true;
    case O_DROP: return o->drop_page = true;
    case O_INVENT: return s->invent_page = true;
    case O_STEPS: return number("steps", text, PROGRAM_BATCH, 1ull << 40, &o->steps);
    case O_RATE: return number("rate", text, 0, 1000000000, &o->rate);
    case O_LINK: return number("link", text, 0, 1ull << 40, &o->link);
    case O_DOWNTIME: return number("downtime-ms", text, 1, 3600000, &o->downtime_ms);
    case O_MAX_ROUNDS: return number32("max-rounds", text, 1, 60, &o->max_rounds);
    case O_ACCEPT: return number("accept-s", text, 0, 86400, &o->accept_s);
    case O_RETRY: return number("retry-s", text, 0, 86400, &o->retry_s);
    case O_TIMEOUT: return number("timeout-s", text, 1, 86400, &o->timeout_s);
    case O_POSTCOPY: o->postcopy = true; return number32("postcopy", text, 0, 60, &o->postcopy_rounds);
    case O_BREAK: return number("break-at", text, 1, 1ull << 40, &o->break_at);
    case O_FAIL: return number32("fail-first-at", text, 1, 60, &o->fail_first_at);
    case O_LISTEN: return address(s, ACTION_LISTEN, text);
    case O_CONNECT: return address(s, ACTION_CONNECT, text);
    default: return false;
  }
}

static bool action_word(struct settings *s, const char *word) {
  static const char *const words[] = {"compare", "run", "migrate"};
  for (unsigned i = 0; i < 3; i++)
    if (strcmp(word, words[i]) == 0) return s->action = (enum action)i, true;
  return false;
}

static bool consistent(struct settings *s, bool worded, int rest) {
  struct options *o = &s->options;
  if (rest) return complain("too many words: see gmap-kvm --help"), false;
  if (worded == !!o->address)
    return complain("say one thing to do: compare, run, migrate, --listen ADDR or --connect ADDR (see --help)"), false;
  if (o->fail_first_at && s->action != ACTION_MIGRATE)
    return complain("--fail-first-at belongs to migrate, which owns the destination"), false;
  if (o->postcopy && ((s->action != ACTION_MIGRATE && s->action != ACTION_CONNECT) || o->fail_first_at || o->drop_page))
    return complain("--postcopy is the source's of a migration, without --fail-first-at and --drop-a-page"), false;
  if (o->break_at && !o->postcopy) return complain("--break-at belongs to --postcopy"), false;
  if (o->memory % SEGMENT) return complain("--memory must be a multiple of 1M"), false;
  o->steps = round_up(o->steps, PROGRAM_BATCH);
  return true;
}

enum parsed settings_parse(int argc, char **argv, struct settings *s) {
  *s = (struct settings){.rounds = 300, .round_us = 2000, .log = VM_LOG_GET,
                         .options = {.mode = MODE_DEMO, .guests = GUEST_KVM, .memory = 64ull << 20, .seed = 1, .steps = 400000,
                                     .rate = 100000, .link = 512ull << 20, .downtime_ms = 10, .max_rounds = 10, .retry_s = 10,
                                     .timeout_s = STREAM_TIMEOUT_S,
                                     .backing = BACKING_USERFAULTFD}};
  bool worded = argc > 1 && action_word(s, argv[1]);
  opterr = 0;
  optind = worded ? 2 : 1;
  for (;;) {
    int at = optind, option = getopt_long(argc, argv, ":", table, NULL);
    if (option == -1) break;
    if (option == O_HELP) return PARSED_HELP;
    if (option == ':' || option == '?') {
      complain("%s: %s; see gmap-kvm --help", argv[at],
               option == ':' ? "a value is missing" : "no such option, or a value where none belongs");
      return PARSED_BAD;
    }
    if (!apply(s, option, optarg)) return PARSED_BAD;
  }
  return consistent(s, worded, argc - optind) ? PARSED_RUN : PARSED_BAD;
}
