// What the measurements share: a guest of the engine's, medians of rounds in which ours and the peer take turns, and
// the table of them.
#ifndef COSTS_H
#define COSTS_H

#include "measure.h"
#include "plot.h"

#define MOST_ROUNDS 25

static const uint64_t HOST = 0x600000000000;

// ---- options (main.c) ----------------------------------------------------------------------------------------------

extern int rounds;         // that count, of the section that runs; one more before them warms up
extern int quick;          // fewer rounds, smaller guests, no scaling
extern const char *only_share; // NULL: all dirty shares
extern uint64_t guest_gib; // of the rows that depend on the guest's size

// ---- the table (report.c) ------------------------------------------------------------------------------------------

enum goal_kind { NO_GOAL, RATIO_AT_MOST, AT_MOST, PEER_PLUS_AT_MOST };

typedef struct goal {
  enum goal_kind kind;
  double value;
} goal;

static const goal none = {NO_GOAL, 0};

static inline goal ratio_at_most(double value) { return (goal){RATIO_AT_MOST, value}; }

// Figures of a row, one a round.
typedef struct figures {
  double of[MOST_ROUNDS];
} figures;

static inline void put(figures *f, int round, double value) {
  if (round >= 0) f->of[round] = value; // -1 warms up
}

double middle(const figures *f); // the median

// A row. Without `peers` nothing stands beside it; `peer` says what does, or why nothing.
void report_row(const char *row, const figures *ours, const char *unit, const char *peer, const figures *peers, goal g);
void report_single(const char *row, double ours, const char *unit, const char *peer, double beside, goal g);
// Medians or quantiles of all rounds' samples together; the rounds' own are only for the spread.
void report_pooled(const char *row, double ours, const char *unit, const char *peer, double beside, goal g,
                   const figures *ours_by_round, const figures *peers_by_round);
void report_missing(const char *what, const char *why);
// A line to standard error, with the time since the start.
void report_progress(const char *what);
void report_begin(void);
void report_print(void);
int report_json(const char *path);
int report_markdown(const char *path); // what PERF.md shows

// ---- a guest (guest.c) ---------------------------------------------------------------------------------------------

enum guest_kind {
  LOGGED,
  LOGGED_PGSTE,  // page tables of 4 KB
  BY_GENERATION, // logged, by a space that tracks by generation
  UNLOGGED,
  UNLOGGED_PAGES // mapped by 4 KB pages only
};

typedef struct guest {
  uint64_t engine, space, vcpu, gib, pages, *bitmap;
  gmap_view *view;
} guest;

void guest_open(guest *g, uint64_t gib, enum guest_kind kind);
void guest_open_at(guest *g, uint64_t gib, enum guest_kind kind, uint64_t host); // with memory, for real stores
void guest_open_kicked(guest *g, uint64_t gib, void (*kick)(void *user, uint64_t vcpu));
void guest_close(guest *g);
// All segments split, all pages clean and armed.
void guest_split(guest *g);
uint64_t guest_harvest(guest *g, uint32_t flags);
// The same by runs, into one array again and again; how many pages.
uint64_t guest_harvest_runs(guest *g);
void guest_mark(guest *g, const uint64_t *pattern); // every page of a pattern, and leaves

// A guest works between two harvests: what is timed begins with nothing in the near caches, ours and the peers' alike.
void sweep(void);

// Which pages: `share` of the groups of `cluster` (1 or 64) pages, at random. Returns how many.
uint64_t pattern_make(uint64_t *pattern, uint64_t words, double share, unsigned cluster);

// ---- the sections --------------------------------------------------------------------------------------------------

void startup(void);               // startup.c: the first call, of a process and of a thread
int first_call(void);             // and what it runs in processes of their own
void harvests(const char *plots); // harvests.c: by dirty share, by guest size; the pictures go to that folder
void generation(void);            // generation.c: harvests for a host that translates by itself
void beside(void);                // beside.c: harvests while vcpus run
void arming(void);                // arming.c: logging turned on for a big guest
void held_up(void);               // held.c: harvests that a reader holds up
void accesses(void);              // accesses.c: loads, stores, first stores
void faults(void);                // faults.c: gmap_fault, gmap_fault_many, splits
void building(void);              // building.c: mapping
void marks(void);                 // marks.c: external writers
void scan(void);                  // scan.c: one page table in cache
void kvm(void);                   // kvm.c: first writes and harvests beside KVM's
void consumption(void);           // consumers.c: runs, epochs of consumers
void snapshot(void);              // snapshot.c: restores
void memory(void);                // memory.c: bytes per GiB
void nested(void);                // nested.c: a guest's guest through a shadow
int scaling(void);                // scaling.c: what a second, a fourth, an eighth vcpu costs the first. 0.

// ---- small things --------------------------------------------------------------------------------------------------

extern volatile uint64_t sink;

// Takes the near caches: a guest works between two harvests (harvests.c).
void sweep(void);

// Makes a page dirty by the inline header. The caller is inside, or leaves after it.
static inline void guest_store(guest *g, uint64_t guest_addr) {
  void *host;
  CHECK(gmap_store_resolve(g->view, guest_addr, 8, &host, NULL));
  __asm__ volatile("" : : "r"(host));
}

// What the main thread times begins with start_ns and ends with stop_ns: the time it stood ready and had no processor,
// because others had them, does not count.
double start_ns(void);
double stop_ns(void);

#endif
