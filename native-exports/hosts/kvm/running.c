/* SPDX-License-Identifier: MIT
 * Round by round while the vCPUs run: what KVM's own selftest (dirty_log_test) asks of a dirty log, asked of both.
 *
 *   L1  a page that is reported holds the number of this round or of the one before
 *   L2  a page that is not reported holds no number that is still to come, and its count never falls
 *   L3  a page that changed since the last look and is not reported was written after the harvest: the next one has it
 *
 * and of the two together, ours harvested first: what we report KVM reports too, in this round or the one before; what KVM
 * reports we report, in this round or the next. Where a vCPU is held between two instructions of one step over several rounds
 * its one page is late; these are counted, and more of them than vCPUs is a failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "guest_program.h"
#include "layout_build.h"
#include "session.h"
#include "under_way.h"

#define SHOWN 5
#define LATE_MOST (2 * GUEST_CPUS) /* a step that had the old number, and a page opened for the next step: of each vCPU */

struct book { /* of one log */
  const char *name;
  uint64_t *owed; /* bitmap: the next harvest has to have it */
  uint64_t reported, late, l1, l2, l3;
};

struct running {
  struct session session;
  struct book ours, theirs;
  uint64_t *before;      /* KVM's log of the round before */
  uint64_t *ours_owed;   /* in KVM's log of the round before and not in ours of that round */
  uint64_t *seen;        /* DATA_COUNT of each page at the last look */
  struct under_way stores;
  uint64_t both, under_way, kvm_before, excess_tables, lost, invented;
  uint64_t dropped, shown; /* the page of --drop-a-page; all ones: none yet */
};

static void tell(struct running *r, const char *log, uint64_t page, const char *what) {
  if (r->shown++ < SHOWN)
    complain("round %llu, %s: page 0x%llx %s", (unsigned long long)r->session.round, log, (unsigned long long)(page * PAGE), what);
}

static inline void set(uint64_t *bitmap, uint64_t page, bool value) {
  bitmap[page / 64] = (bitmap[page / 64] & ~(1ull << (page % 64))) | (uint64_t)value << (page % 64);
}

struct look { /* at a data page, after both harvests */
  uint64_t page, number;
  bool changed, fell;
};

static struct look look_at(struct running *r, uint64_t page) {
  const uint64_t *data = (const uint64_t *)(r->session.machine.memory + page * PAGE);
  uint64_t count = __atomic_load_n(data + DATA_COUNT, __ATOMIC_ACQUIRE), last = r->seen[page];
  r->seen[page] = count;
  return (struct look){.page = page, .number = __atomic_load_n(data + DATA_ROUND, __ATOMIC_ACQUIRE), .changed = count != last,
                       .fell = count < last};
}

static void check(struct running *r, struct book *b, const uint64_t *bitmap, const struct look *at, uint64_t *late) {
  uint64_t round = r->session.round;
  bool reported = session_bit(bitmap, at->page);
  if (session_bit(b->owed, at->page) && !reported) b->l3++, tell(r, b->name, at->page, "was written and is not reported (L3)");
  if (at->fell || at->number > round) b->l2++, tell(r, b->name, at->page, "holds what was never written (L2)");
  if (reported) {
    b->reported++;
    if (at->number + 1 < round) {
      b->late++;
      if (++*late > LATE_MOST) b->l1++, tell(r, b->name, at->page, "is reported and was not written lately (L1)");
    }
  }
  set(b->owed, at->page, !reported && at->changed);
}

/* The two logs against each other. Pages that the VMM stores to itself are ours only. */
static void cross(struct running *r, uint64_t page) {
  struct session *s = &r->session;
  bool ours = session_bit(s->ours, page), theirs = session_bit(s->theirs, page);
  if (session_bit(r->ours_owed, page) && !ours) {
    if (layout_is_table(&s->guest.header, page)) r->excess_tables++;
    else r->lost++, tell(r, "both", page, "was reported by KVM and is not in our next harvest");
  }
  set(r->ours_owed, page, theirs && !ours);
  r->both += ours && theirs;
  if (!ours || theirs || session_bit(s->own, page)) return;
  if (session_bit(r->before, page)) r->kvm_before++;
  else if (under_way_add(&r->stores, s, page)) r->under_way++;
  else r->invented++, tell(r, "both", page, "is in our log, and in none of KVM's");
}

/* One page, from its first store after the middle on, and from then on in no harvest of ours. */
static void drop(struct running *r) {
  struct session *s = &r->session;
  for (uint64_t page = 0; page < s->machine.pages && r->dropped == UINT64_MAX; page++)
    if (session_bit(s->ours, page) && layout_is_data(&s->guest.header, page)) r->dropped = page;
  if (r->dropped != UINT64_MAX) set(s->ours, r->dropped, false);
}

static void check_round(struct running *r, const uint64_t rings[GUEST_CPUS]) {
  struct session *s = &r->session;
  uint64_t late_ours = 0, late_theirs = 0;
  if (s->settings->options.drop_page && s->round * 2 >= s->settings->rounds) drop(r);
  if (s->settings->invent_page && s->round == s->settings->rounds / 2) session_invent(s);
  uint64_t gone;
  unsigned never = under_way_arrived(&r->stores, s->theirs, s->theirs, rings, &gone);
  if (never) r->invented += never, tell(r, "both", gone, "was in our log some rounds ago, and never in KVM's");
  for (uint64_t page = 0; page < s->machine.pages; page++) {
    if (layout_is_data(&s->guest.header, page)) {
      struct look at = look_at(r, page);
      check(r, &r->ours, s->ours, &at, &late_ours);
      check(r, &r->theirs, s->theirs, &at, &late_theirs);
    }
    cross(r, page);
  }
  memcpy(r->before, s->theirs, s->words * 8);
}

static int play_round(struct running *r) {
  struct session *s = &r->session;
  if (session_store(s, ++s->round) != DONE) return FAILED;
  session_pause(s);
  if (s->round == s->settings->rounds && guest_stop(&s->guest) != DONE) return FAILED;
  uint64_t rings[GUEST_CPUS];
  session_rings(s, rings);
  if (session_harvest_ours(s) != DONE || session_harvest_theirs(s) != DONE) return FAILED;
  if (atomic_load(&s->vm->failed)) return FAILED;
  check_round(r, rings);
  return DONE;
}

static bool good_log(const struct book *b) { return !b->l1 && !b->l2 && !b->l3 && b->reported; }

static bool good(const struct running *r) {
  return good_log(&r->ours) && good_log(&r->theirs) && !r->lost && !r->invented && r->both &&
         !vmguest_wrong(&r->session.guest) && r->session.round == r->session.settings->rounds;
}

static void report_log(const struct book *b) {
  printf("  %-7s %llu data pages reported, %llu of them late; against L1 %llu, L2 %llu, L3 %llu\n", b->name,
         (unsigned long long)b->reported, (unsigned long long)b->late, (unsigned long long)b->l1, (unsigned long long)b->l2,
         (unsigned long long)b->l3);
}

static void report_json_log(const struct book *b) {
  printf(",\"%s\":{\"reported\":%llu", b->name, (unsigned long long)b->reported);
  session_json_count("late", b->late);
  session_json_count("l1", b->l1);
  session_json_count("l2", b->l2);
  session_json_count("l3", b->l3);
  putchar('}');
}

static void report_json_line(const struct running *r, double seconds) {
  session_json(&r->session, good(r));
  report_json_log(&r->ours);
  report_json_log(&r->theirs);
  session_json_count("both", r->both);
  session_json_count("kvm_round_before", r->kvm_before);
  session_json_count("under_way", r->under_way);
  session_json_count("excess_tables", r->excess_tables);
  session_json_count("kvm_only", r->lost);
  session_json_count("ours_only", r->invented);
  printf(",\"seconds\":%.3f}\n", seconds);
}

static void report(const struct running *r, double seconds) {
  const struct session *s = &r->session;
  unsigned long long steps = atomic_load(&s->guest.writes);
  report_log(&r->ours);
  report_log(&r->theirs);
  printf("  all pages: %llu in both, %llu of ours in KVM's round before, %llu under way; excess of KVM's: %llu tables\n",
         (unsigned long long)r->both, (unsigned long long)r->kvm_before, (unsigned long long)r->under_way,
         (unsigned long long)r->excess_tables);
  printf("  wrong: %llu in KVM's only, %llu in ours only, %llu found by the guest\n", (unsigned long long)r->lost,
         (unsigned long long)r->invented, (unsigned long long)vmguest_wrong(&s->guest));
  printf("  %llu rounds, %llu steps of %u vCPUs in %.1f s\n  %s\n", (unsigned long long)s->round, steps, GUEST_CPUS, seconds,
         good(r) ? "right" : "NOT right");
  if (s->settings->options.json) report_json_line(r, seconds);
}

static int open_running(struct running *r, const struct settings *settings) {
  if (session_open(&r->session, settings) != DONE) return FAILED;
  r->ours = (struct book){.name = "ours", .owed = calloc(r->session.words, 8)};
  r->theirs = (struct book){.name = "kvm", .owed = calloc(r->session.words, 8)};
  r->before = calloc(r->session.words, 8);
  r->ours_owed = calloc(r->session.words, 8);
  r->seen = calloc(r->session.machine.pages, 8);
  if (!r->ours.owed || !r->theirs.owed || !r->before || !r->ours_owed || !r->seen) return complain("out of memory");
  return guest_start(&r->session.guest);
}

int compare_running(const struct settings *settings) {
  struct running r = {.dropped = UINT64_MAX};
  uint64_t begin = now_ns();
  printf("== %u rounds, the vCPUs running: our log and KVM's (--log %s), %llu MiB\n", settings->rounds, log_name(settings->log),
         (unsigned long long)(settings->options.memory >> 20));
  fflush(stdout);
  int result = open_running(&r, settings);
  while (result == DONE && r.session.round < settings->rounds) result = play_round(&r);
  bool right = result == DONE && good(&r);
  if (result == DONE) report(&r, (double)(now_ns() - begin) / 1e9);
  session_close(&r.session);
  free(r.ours.owed);
  free(r.theirs.owed);
  free(r.before);
  free(r.ours_owed);
  free(r.seen);
  return right ? EXIT_SUCCESS : EXIT_FAILED;
}
