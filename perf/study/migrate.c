// A pre-copy migration as hosts make it: everything while the guest runs, then what was written meanwhile, round by
// round, until the rest fits the downtime; the guest stops, the rest follows. Whoever does not get there gives up and
// stops the guest anyway: the downtime tells what that costs.
#include "study.h"

#define SLOT 1u
#define MOST_ROUNDS 30

static uint64_t send_dirty(guest *g, wire *l) {
  uint64_t sent = 0, words = g->pages / 64;
  for (uint64_t page = 0; page < g->pages;) {
    uint64_t word = g->bitmap[page / 64] >> (page % 64), first, end;
    if (!word) {
      page = (page / 64 + 1) * 64;
      continue;
    }
    first = page + (uint64_t)__builtin_ctzll(word);
    for (end = first; end < words * 64 && g->bitmap[end / 64] >> (end % 64) & 1;) end++;
    wire_send(l, g, first, end - first);
    sent += end - first;
    page = end;
  }
  wire_drain(l);
  return sent;
}

static void harvest(guest *g, outcome *o, uint32_t flags) {
  double begin = now_ns(), took;
  CHECK(gmap_dirty_harvest(g->space, SLOT, 0, g->pages, flags, g->bitmap, g->pages / 64, NULL));
  took = now_ns() - begin;
  o->of[HARVESTS] += took;
  if (took > o->of[HARVEST_LONGEST]) o->of[HARVEST_LONGEST] = took;
}

static void round_of(guest *g, wire *l, outcome *o) {
  gmap_space_stats stats;
  o->of[SENT] += (double)send_dirty(g, l) * PAGE;
  o->of[ROUNDS]++;
  stats = guest_stats(g);
  if ((double)stats.table_bytes > o->of[TABLES]) o->of[TABLES] = (double)stats.table_bytes;
}

// Logging on with every page dirty: the first harvest arms what is mapped, and is the first round.
static void arm(guest *g, outcome *o) {
  double begin = now_ns();
  vcpus_longest(g);
  if (g->s.policy == AHEAD) CHECK(gmap_split(g->space, 0, g->size, 0, NULL));
  guest_log(g, GMAP_SLOT_LOG_DIRTY | GMAP_SLOT_INITIALLY_DIRTY);
  harvest(g, o, 0);
  o->of[ARMING] = now_ns() - begin;
  o->of[ARMING_STALL] = (double)vcpus_longest(g);
}

bool migrate_rounds(guest *g, wire *l, outcome *o) {
  uint64_t left[MOST_ROUNDS];
  arm(g, o);
  for (int round = 0;; round++) {
    double begin = now_ns(), sent = o->of[SENT], ns_a_byte;
    round_of(g, l, o);
    sent = o->of[SENT] - sent;
    // What the link really carried; a round of a few pages tells nothing of that.
    ns_a_byte = sent > (double)MIB ? (now_ns() - begin) / sent : l->ns_a_byte;
    CHECK(gmap_dirty_get(g->space, SLOT, 0, g->pages, 0, NULL, left + round));
    if ((double)(left[round] * PAGE) * ns_a_byte <= DOWNTIME_NS) return true;
    if (round + 1 == MOST_ROUNDS) return false;
    if (round >= 2 && left[round] * 5 > left[round - 2] * 4) return false; // two rounds, and not a fifth less
    harvest(g, o, 0);
  }
}

static void last_round(guest *g, wire *l, outcome *o) {
  double begin = now_ns();
  vcpus_stop(g);
  harvest(g, o, GMAP_HARVEST_NO_REARM);
  round_of(g, l, o);
  o->of[DOWNTIME] = now_ns() - begin;
}

outcome migrate(const setting *s) {
  guest g;
  outcome o = {{0}};
  uint64_t before, differ;
  double begin;
  guest_open(&g, s);
  guest_spoil_copy(&g);
  vcpus_start(&g);
  for (begin = now_ns(); s->work != IDLE && vcpus_done(&g) == 0 && now_ns() - begin < 2e9;) continue;
  wire l = wire_open(s->gbit);
  before = vcpus_done(&g);
  begin = now_ns();
  o.of[CONVERGED] = migrate_rounds(&g, &l, &o);
  o.of[WORK] = (double)(vcpus_done(&g) - before) / (now_ns() - begin) * 1e9;
  o.of[STALL] = (double)vcpus_longest(&g);
  last_round(&g, &l, &o);
  o.of[TOTAL] = now_ns() - begin;
  o.of[SPLITS] = (double)guest_stats(&g).splits;
  o.of[NOTIFIED] = (double)atomic_load(&g.notified);
  differ = guest_compare(&g);
  guest_close(&g);
  if (differ == 0) return o;
  fprintf(stderr, "%" PRIu64 " pages differ: %s, %s, %s, %g Gbit/s\n", differ, work_name(s), policy_names[s->policy],
          format_name(s->format), s->gbit);
  exit(1);
}

outcome migrate_often(const setting *s, int times) {
  outcome all[MOST_REPEATS], middle;
  double values[MOST_REPEATS];
  for (int i = 0; i < times; i++) all[i] = migrate(s);
  for (int f = 0; f < FIGURES; f++) {
    for (int i = 0; i < times; i++) values[i] = all[i].of[f];
    middle.of[f] = median(values, (size_t)times);
  }
  middle.of[WORK_ALONE] = work_alone(s);
  return middle;
}

// The same guest, and pages are copied over the same link; nothing is tracked.
static double measure_alone(const setting *s) {
  setting alone = *s;
  guest g;
  uint64_t before;
  double begin, ns = quick ? 150e6 : 600e6, rate;
  alone.policy = NEVER; // nothing is ever split
  alone.untracked = true;
  alone.format = GMAP_TABLE_2K;
  guest_open(&g, &alone);
  vcpus_start(&g);
  while (vcpus_done(&g) == 0) continue;
  wire l = wire_open(s->gbit);
  before = vcpus_done(&g);
  begin = now_ns();
  for (uint64_t page = 0; now_ns() - begin < ns; page = (page + 64) % g.pages) wire_send(&l, &g, page, 64);
  rate = (double)(vcpus_done(&g) - before) / (now_ns() - begin) * 1e9;
  guest_close(&g);
  return rate;
}

double work_alone(const setting *s) {
  static struct {
    setting s;
    double rate;
  } known[128];
  static int count;
  if (s->work == IDLE) return 0;
  for (int i = 0; i < count; i++)
    if (known[i].s.work == s->work && known[i].s.rate == s->rate && known[i].s.gbit == s->gbit &&
        known[i].s.mib == s->mib && known[i].s.vcpus == s->vcpus && known[i].s.together == s->together)
      return known[i].rate;
  double several[MOST_REPEATS], rate;
  for (int i = 0; i < repeats; i++) several[i] = measure_alone(s);
  rate = median(several, (size_t)repeats);
  if (count == 128) return rate;
  known[count].s = *s;
  known[count++].rate = rate;
  return rate;
}
