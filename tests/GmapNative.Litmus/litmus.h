/* SPDX-License-Identifier: MIT
 *
 * litmus.h - real threads, the real library, the real inline header, and an oracle in real time. README.md says what
 * is asserted and why it may be. */
#ifndef LITMUS_H
#define LITMUS_H

#include "gmap.h"

#include <pthread.h>
#include <stdint.h>

#define MIB 0x100000ull
#define PAGE 4096ull
#define CELLS (PAGE / 8)      /* 8-byte cells of a page */
#define GUEST guest_base      /* where page 0 of the world is in the guest: 64 MiB, or 0 if it is one 2 GB leaf */
#define WORLD_PAGES 1280u     /* 5 segments: the judged slots, then the other slot */
#define JUDGED_PAGES 1000u    /* the rest of the fourth segment is the other slot's */
#define SECOND_SLOT 643u      /* where two judged slots meet: in a line of 8 entries */
#define MAX_WRITERS 8u
#define MAX_LANES (2 * MAX_WRITERS)
#define MAX_SPOTS 256u
#define MAX_HARVESTERS 2u
#define MAX_CONSUMERS 4u
#define MAX_SLOTS 2u
#define BITMAP_WORDS ((JUDGED_PAGES + 63) / 64)
#define OTHER_SLOT 9u

enum { EXIT_PASS, EXIT_VIOLATION, EXIT_INCONCLUSIVE, EXIT_UNSUPPORTED, EXIT_USAGE = 64 };

/* How a writer stores. */
enum path { BY_WALK, BY_CACHE, CROSSING, BY_WRITE, BY_MARK, BY_MANY, BY_FAULT, BY_POLL, BY_INNER, BY_SECOND };

/* Where the written pages ("spots") are. */
enum layout {
  LINES,    /* seven pages of each line of 8 entries; nobody writes the eighth */
  SPREAD,   /* one page of each line, one segment */
  SEGMENTS, /* one line after the other, in four segments in turn */
  REGION,   /* the same, in a slot of 2 GB that may be one leaf (PROTOCOL.md, rule 33) */
  RUN,      /* one after the other, over the border of two segments */
  BORDER,   /* on both sides of the border of the two slots */
  DENSE,    /* all pages of a segment */
};

/* What a harvester may do in a round. */
enum { WHOLE = 1, PART = 2, ORED = 4, NO_REARM = 8, GET_CLEAR = 16 };

/* What an operator may do. */
enum {
  UNMAPS = 1,
  LIMITS = 2,
  LOGGING = 4, /* of the other slot */
  SLOTS = 8,   /* the other slot goes and comes */
  VCPUS = 16,
  SPLITS = 32,
  COLLAPSES = 64,
  AGES = 128,
  DISCARDS = 256, /* of the pages that nobody judges */
  FILLS = 512,    /* all pages of the dense segment become dirty, then one leaf, then a table again */
  WATCHES = 1024, /* gmap_protect: pages are armed for their next write, and disarmed */
  REWRITES = 2048, /* the guest's tables for its guest */
  SHADOWS = 4096,  /* guests of the guest come and go */
};

typedef struct program {
  const char *name;
  const char *paths;  /* one letter a writer, over and over: see path_of */
  enum layout layout;
  unsigned spots;
  unsigned writers;
  int own;            /* each writer has pages of its own */
  unsigned harvesters;
  unsigned rounds;    /* WHOLE ... */
  unsigned slots;     /* 1 or 2 */
  unsigned readers;
  unsigned operator;  /* UNMAPS ...; 0: there is none */
  uint32_t policy;    /* GMAP_SPLIT_* */
  unsigned pause;     /* microseconds between two sections of a writer: segments are clean now and then */
  unsigned consumers; /* beside the harvesters */
} program;

/* Deliberate mistakes of the harness itself (README.md, "Twins"). */
enum control { NONE, LATE_MARK, DROPPED_PAGE, INVENTED_PAGE, UNMARKED_STORE, STALE_READ, WILD_ACCESS };

typedef struct options {
  double seconds;
  const char *only;
  unsigned threads; /* 0: what the program says */
  uint64_t seed;
  unsigned jostle;  /* hold a thread up at one in so many places of the header; 0: never */
  enum control control;
  int end_only;     /* the weak oracle: equality at the end */
  uint32_t tracking; /* GMAP_TRACK_* of the space */
  uint32_t format;   /* GMAP_TABLE_* */
  int json, list;
} options;

/* What a test's process tells its parent, in shared memory: also when it dies. */
typedef struct result {
  uint64_t stores, harvests, pages, reads, operations;
  uint64_t splits, collapses, unmapped; /* the library's own counts */
  uint64_t milliseconds;
  int32_t said;        /* a violation, or why it could not be tried, is in text: the first one counts */
  int32_t code;
  char text[320];
} result;

typedef struct judged_slot {
  uint32_t id;
  unsigned first, pages; /* of the world */
} judged_slot;

typedef struct world {
  const program *program;
  const options *options;
  result *result;
  uint64_t engine, space;
  unsigned char *memory, *image; /* image: the harvesters' */
  unsigned writers, lanes, spots, slots;
  judged_slot slot[MAX_SLOTS];
  unsigned page_of[MAX_SPOTS];  /* spot -> page */
  int16_t spot_of[WORLD_PAGES]; /* page -> spot, or -1 */
  uint8_t visible[MAX_LANES];   /* this lane's stores are marked before they can be seen in memory */
  uint64_t begun;               /* nanoseconds */
  int stop_guests, stop_harvests, guests_ready;
  uint64_t fills_begun, fills_done; /* of the dense segment: dirty without a store */
  uint32_t scribbled[JUDGED_PAGES]; /* of pages nobody judges: odd after a store to it, even again after its discard */
  /* By lane and spot: the stamp of the last store that was begun, and of the last one that was done. Written by the
   * lane's owner. Not guest memory. */
  uint64_t started[MAX_LANES][MAX_SPOTS] __attribute__((aligned(64)));
  uint64_t published[MAX_LANES][MAX_SPOTS] __attribute__((aligned(64)));
} world;

typedef struct harvester {
  world *w;
  unsigned char *image;  /* what it has copied; harvesters share one, a consumer has its own */
  uint64_t consumer;     /* 0: none is open */
  int is_consumer;
  pthread_t thread;
  unsigned me;
  uint64_t random;
  uint64_t round; /* odd: between "reads what is published" and "has copied" */
  const judged_slot *slot;
  unsigned first, count; /* the range of this round, pages of the slot */
  unsigned kind;
  int last;              /* nobody stores any more */
  uint64_t *bitmap;      /* BITMAP_WORDS */
  int decoy;             /* a page whose bit the caller had set before an ORed harvest, or -1 */
  uint64_t before[MAX_LANES][MAX_SPOTS];  /* what this round must deliver */
  uint64_t earlier[MAX_LANES][MAX_SPOTS]; /* the same of the last round that cleaned the spot */
  uint32_t scribbled[JUDGED_PAGES];       /* before this round */
  uint64_t fills, earlier_fills;          /* done before this round; before the last one that cleaned everything */
} harvester;

typedef struct writer {
  world *w;
  pthread_t thread;
  unsigned me;
  enum path path;
  uint64_t random, stamp;
} writer;

/* A cell of a lane holds its stamp and the page, so that a store that goes astray is seen as well. */
static inline uint64_t cell_value(uint64_t stamp, unsigned page) { return stamp << 16 | (page & 0xFFFFu); }
static inline uint64_t stamp_of(uint64_t value) { return value >> 16; }

/* Even lanes count from the page's begin, odd ones from its end: writer i has lanes 2i and 2i + 1. */
static inline unsigned cell_of(unsigned lane) {
  return lane % 2 ? (unsigned)CELLS - 1 - lane / 2 : lane / 2;
}

extern uint64_t guest_base; /* set once, before there are threads */

static inline uint64_t guest_of(unsigned page) { return GUEST + page * PAGE; }

static inline uint64_t *cell_at(unsigned char *base, unsigned page, unsigned cell) {
  return (uint64_t *)(void *)(base + page * PAGE) + cell;
}

/* Nobody judges the eighth page of a line while an operator discards it. */
static inline int is_judged(const world *w, unsigned page) {
  return !(w->program->operator & DISCARDS) || page % 8 != 7;
}

static inline uint64_t next_random(uint64_t *state) { /* xorshift64 */
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

static inline uint64_t below(uint64_t *state, uint64_t n) { return (next_random(state) >> 11) % n; }

/* Guest memory is shared with everybody, as real guest memory is: no order is asked of these accesses. */
static inline uint64_t guest_load(const uint64_t *cell) { return __atomic_load_n(cell, __ATOMIC_RELAXED); }
static inline void guest_store(uint64_t *cell, uint64_t value) { __atomic_store_n(cell, value, __ATOMIC_RELAXED); }

static inline void count(uint64_t *counter, uint64_t n) { __atomic_fetch_add(counter, n, __ATOMIC_RELAXED); }
static inline int is_set(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static inline void set(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELEASE); }

/* programs.c */
extern const program programs[];
extern const unsigned program_count;
enum path path_of(const program *p, unsigned writer);

/* options.c: an exit code, or -1: go on. */
int parse_options(int argc, char **argv, options *o);
int is_chosen(const options *o, const char *name);

/* world.c */
uint64_t nanoseconds(void);
uint64_t seed_of(const world *w, unsigned role, unsigned number);
void world_open(world *w);
unsigned char *map_memory(world *w, size_t size, size_t alignment);
void world_close(world *w);
gmap_status set_slot(const world *w, uint32_t id, uint32_t flags, unsigned first, unsigned pages);
/* Ends the process. The first violation is the one that counts. */
void violation(world *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
void unsupported(world *w, const char *facility) __attribute__((noreturn));
void demand(world *w, gmap_status status, const char *call);

/* jostle.c: holds the calling thread up, now and then. */
void jostle_begin(const options *o, uint64_t seed);
void jostle(unsigned place);
void pause_for(unsigned microseconds);

/* crash.c */
void catch_crashes(world *w);

/* writers.c, readers.c, operators.c, harvester.c: bodies of threads */
void *write_on(void *writer_);
void *read_on(void *world_);
void *operate(void *world_);
void *harvest_on(void *harvester_);
void *consume_on(void *harvester_);
void visit(world *w, uint64_t *random, unsigned page); /* opens a vcpu, stores if it can, closes it */
void expect_holes(world *w, unsigned first, unsigned pages); /* nothing is mapped there any more */

/* watcher.c: by the operator's thread */
void watch_begin(world *w);
void watch(world *w, uint64_t *random);
void watch_end(world *w);

/* nested.c: the first guest's ASCE is an address of the world's, its guest's one of the first's */
int is_nested(const world *w);
void nested_plant(world *w);
uint64_t first_asce(void);
uint64_t second_asce(void);
unsigned nested_leads(world *w, unsigned page);
gmap_status open_shadow(world *w, uint64_t space, uint64_t asce, uint32_t edat, uint64_t *shadow);
void nested_begin(world *w); /* by the operator's thread, and what follows */
void rewrite(world *w, uint64_t *random);
void visit_shadow(world *w, uint64_t *random);
void nested_end(world *w);

/* oracle.c */
void oracle_begins(harvester *h);
void oracle_ends(harvester *h);
void oracle_joins(harvester *h);
void oracle_aborts(harvester *h);
void compare_all(harvester *h);

/* harvester.c, consumers.c */
void last_round(harvester *h);
void last_epoch(harvester *h);

/* trial.c: the whole of one program, in this process. */
void run_trial(const program *p, const options *o, result *r) __attribute__((noreturn));

#endif /* LITMUS_H */
