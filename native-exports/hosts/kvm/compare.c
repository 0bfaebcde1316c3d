/* SPDX-License-Identifier: MIT
 * Round by round, both vCPUs stopped: the engine's dirty pages, KVM's own dirty log, and what really changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "actions.h"
#include "layout_build.h"
#include "session.h"
#include "under_way.h"

#define SHOWN 5
#define EXTRA_ROUNDS 100

struct tally {
  uint64_t pages;    /* in either log or changed, over all rounds */
  uint64_t both;     /* in both logs */
  uint64_t changed;  /* bytes differ from the round before */
  uint64_t own;      /* the VMM's own stores: ours only */
  uint64_t excess_tables;  /* KVM's only: a translation table of the guest, whose bytes are as before */
  uint64_t excess_opened;  /* KVM's only: opened for a store that had not happened when the vCPUs stopped */
  uint64_t ahead;          /* ours only: the same; the host kernel had opened the page, KVM had not come to note it */
  uint64_t lost, kvm_lost, own_lost; /* changed and not in our log; not in KVM's; stored by the VMM and not in ours */
  uint64_t unexplained;
};

struct compare {
  struct session session;
  struct tally tally;
  uint8_t *shadow; /* memory as it was after the round before */
  struct under_way stores;
  uint64_t dropped;       /* page of --drop-a-page; all ones: none yet */
  uint64_t shown;
};

static void tell(struct compare *c, uint64_t page, const char *what) {
  if (c->shown++ < SHOWN)
    complain("round %llu: page 0x%llx %s", (unsigned long long)c->session.round, (unsigned long long)(page * PAGE), what);
}

static const char *what_differs(bool ours) {
  return ours ? "is in our log only, did not change, and no vCPU is about to store there"
              : "is in KVM's log only, did not change, and no vCPU is about to store there";
}

static void judge(struct compare *c, uint64_t page, bool ours, bool theirs, bool own, bool changed) {
  struct tally *t = &c->tally;
  t->pages++;
  t->both += ours && theirs;
  t->changed += changed;
  if (changed && !ours) t->lost++, tell(c, page, "changed and is not in our log");
  else if (own && !ours) t->own_lost++, tell(c, page, "was stored to by the VMM and is not in our log");
  if (changed && !own && !theirs) t->kvm_lost++, tell(c, page, "changed and is not in KVM's log");
  if (changed || ours == theirs) {
    t->own += own && ours && !theirs;
    return;
  }
  if (ours && own) t->own++;
  else if (theirs && layout_is_table(&c->session.guest.header, page)) t->excess_tables++;
  else if (!under_way_add(&c->stores, &c->session, page)) t->unexplained++, tell(c, page, what_differs(ours));
  else if (ours) t->ahead++;
  else t->excess_opened++;
}

static void compare_pages(struct compare *c) {
  struct session *s = &c->session;
  uint64_t rings[GUEST_CPUS], at;
  session_rings(s, rings);
  unsigned never = under_way_arrived(&c->stores, s->ours, s->theirs, rings, &at);
  if (never) c->tally.unexplained += never, tell(c, at, "was in one log only some rounds ago, and no store followed");
  for (uint64_t page = 0; page < s->machine.pages; page++) {
    uint8_t *now = s->machine.memory + page * PAGE, *before = c->shadow + page * PAGE;
    bool ours = session_bit(s->ours, page), theirs = session_bit(s->theirs, page), own = session_bit(s->own, page);
    bool changed = memcmp(now, before, PAGE) != 0;
    if (changed) memcpy(before, now, PAGE);
    if (ours || theirs || own || changed) judge(c, page, ours, theirs, own, changed);
  }
}

/* Takes the first data page that changed out of our log: the check has to find it. */
static void drop(struct compare *c) {
  struct session *s = &c->session;
  for (uint64_t page = 0; page < s->machine.pages && c->dropped == UINT64_MAX; page++) {
    if (!session_bit(s->ours, page) || !layout_is_data(&s->guest.header, page)) continue;
    s->ours[page / 64] &= ~(1ull << (page % 64));
    c->dropped = page;
  }
}

static int play_round(struct compare *c) {
  struct session *s = &c->session;
  memset(s->own, 0, s->words * 8);
  if (session_store(s, ++s->round) != DONE || guest_start(&s->guest) != DONE) return FAILED;
  session_pause(s);
  if (guest_stop(&s->guest) != DONE) return FAILED;
  if (session_harvest_theirs(s) != DONE || session_harvest_ours(s) != DONE) return FAILED;
  if (s->settings->options.drop_page && s->round * 2 >= s->settings->rounds) drop(c);
  if (s->settings->invent_page && s->round == s->settings->rounds / 2) session_invent(s);
  compare_pages(c);
  return DONE;
}

/* After the last round those stores that are under way have to come in, too. */
static bool more(const struct compare *c) {
  uint64_t rounds = c->session.settings->rounds;
  return c->session.round < rounds || (c->stores.n && c->session.round < rounds + EXTRA_ROUNDS);
}

static bool good(const struct compare *c) {
  const struct tally *t = &c->tally;
  return !t->lost && !t->kvm_lost && !t->own_lost && !t->unexplained && t->both && t->changed &&
         !vmguest_wrong(&c->session.guest) && !more(c) && !c->stores.n;
}

static void report_json_line(const struct compare *c, double seconds) {
  const struct tally *t = &c->tally;
  const struct session *s = &c->session;
  session_json(s, good(c));
  session_json_count("serial_lines", s->vm->serial.lines);
  session_json_count("rings_full", s->vm->rings_full);
  session_json_count("both", t->both);
  session_json_count("changed", t->changed);
  session_json_count("own_stores", s->own_stores);
  session_json_count("own_only", t->own);
  session_json_count("excess_tables", t->excess_tables);
  session_json_count("excess_opened", t->excess_opened);
  session_json_count("ours_under_way", t->ahead);
  session_json_count("lost", t->lost);
  session_json_count("lost_by_kvm", t->kvm_lost);
  session_json_count("own_lost", t->own_lost);
  session_json_count("unexplained", t->unexplained);
  printf(",\"seconds\":%.3f}\n", seconds);
}

static void report(const struct compare *c, double seconds) {
  const struct tally *t = &c->tally;
  const struct session *s = &c->session;
  unsigned long long steps = atomic_load(&s->guest.writes);
  printf("  pages reported: %llu by both, of %llu that changed; taken off: %llu stores of the VMM's own (ours only)\n",
         (unsigned long long)t->both, (unsigned long long)t->changed, (unsigned long long)t->own);
  printf("  excess of KVM's: %llu tables of the guest whose bytes stayed, %llu opened for a store under way; of ours: %llu under way\n",
         (unsigned long long)t->excess_tables, (unsigned long long)t->excess_opened, (unsigned long long)t->ahead);
  printf("  wrong: %llu lost by us, %llu by KVM, %llu of the VMM's own lost, %llu unexplained, %llu found by the guest\n",
         (unsigned long long)t->lost, (unsigned long long)t->kvm_lost, (unsigned long long)t->own_lost,
         (unsigned long long)t->unexplained, (unsigned long long)vmguest_wrong(&s->guest));
  if (s->settings->log == VM_LOG_RING) printf("  a vCPU's ring was full %llu times\n", (unsigned long long)s->vm->rings_full);
  printf("  %llu rounds, %llu steps of %u vCPUs in %.1f s; the serial port's last of %llu lines: %s\n",
         (unsigned long long)s->round, steps, GUEST_CPUS, seconds, (unsigned long long)s->vm->serial.lines, s->vm->serial.last);
  printf("  %s\n", good(c) ? "equal" : "NOT equal");
  if (!s->settings->options.json) return;
  report_json_line(c, seconds);
}

int compare_stopped(const struct settings *settings) {
  struct compare c = {.dropped = UINT64_MAX};
  uint64_t begin = now_ns(), size = settings->options.memory;
  printf("== %u rounds, the vCPUs stopped: our log against KVM's (--log %s), %llu MiB\n", settings->rounds, log_name(settings->log),
         (unsigned long long)(size >> 20));
  fflush(stdout);
  c.shadow = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int result = c.shadow == MAP_FAILED ? complain("memory for a copy of the guest's: give less with --memory") : DONE;
  if (result == DONE) result = session_open(&c.session, settings);
  if (result == DONE) memcpy(c.shadow, c.session.machine.memory, size);
  while (result == DONE && more(&c)) result = play_round(&c);
  bool right = result == DONE && good(&c);
  if (result == DONE) report(&c, (double)(now_ns() - begin) / 1e9);
  session_close(&c.session);
  if (c.shadow != MAP_FAILED) munmap(c.shadow, size);
  return right ? EXIT_SUCCESS : EXIT_FAILED;
}
