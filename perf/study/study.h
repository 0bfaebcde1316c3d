// The study: live migrations of guests that run on the real engine, over a link that is paced, for each way to split,
// each table format and each kind of writer. What the files share.
#ifndef STUDY_H
#define STUDY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "borrowed.h"
#include "machine.h"
#include "measure.h"
#include "plot.h"

#define PAGE 4096u
#define SEGMENT 0x100000u
#define MOST_REPEATS 9

// ---- what is run ---------------------------------------------------------------------------------------------------

// AHEAD is GMAP_SPLIT_LAZY of a host that splits every leaf by gmap_split before it turns logging on.
enum policy { NEVER, LAZY, EAGER, AHEAD, POLICIES };

enum work {
  IDLE,
  PREFIX,  // two neighbouring pages, armed by gmap_protect, refreshed when told
  STREAM,  // whole pages, one behind the other
  RANDOM,  // 8 bytes of any page
  ZIPF,    // 8 bytes of a page of a set: 64 pages together, some far oftener than others
  THREADS, // the program of gmap-migrate's guest
  SQLITE   // gmap-migrate's database; the kernel tracks it
};

typedef struct setting {
  enum policy policy;
  uint32_t format; // GMAP_TABLE_*
  enum work work;
  double rate;     // operations a second of each vcpu without tracking; 0: as many as it can
  int vcpus;
  double gbit;     // of the link, 10^9 bits a second
  uint64_t mib;
  unsigned together; // RANDOM: so many neighbouring pages, then elsewhere; 0 is 1
  bool untracked;  // SQLITE: no backing
} setting;

extern const char *const policy_names[POLICIES];
const char *work_name(const setting *s);
const char *format_name(uint32_t format);

// ---- what came out -------------------------------------------------------------------------------------------------

enum figure {
  SENT,       // bytes
  ROUNDS,     // the last one included
  CONVERGED,  // 1: what was left fitted the downtime that was asked for
  DOWNTIME,   // ns, from the wish to stop until the last page was sent
  TOTAL,      // ns, from the wish to migrate
  WORK,       // operations a second while it migrated
  WORK_ALONE, // and with the same copying without tracking
  TABLES,     // bytes of all tables, at most
  SPLITS,
  ARMING,     // ns: turning logging on, splitting ahead, the first harvest
  ARMING_STALL,  // ns: the longest that one operation of the guest took meanwhile
  STALL,         // the same from there until it was stopped
  HARVESTS,      // ns in all
  HARVEST_LONGEST,
  NOTIFIED, // calls of the notifier
  FIGURES
};

typedef struct outcome {
  double of[FIGURES];
} outcome;

// ---- the guest (guest.c, vcpus.c; borrowed.h) ----------------------------------------------------------------------

struct guest;

typedef struct vcpu {
  struct guest *guest;
  pthread_t thread;
  gmap_view *view;
  uint64_t handle, random, count, stretch;
  double waited, waited_at; // see vcpus.c
  _Atomic uint64_t done;    // operations
  _Atomic uint64_t longest; // ns of the longest one since somebody set this to 0
  _Atomic bool refresh;     // PREFIX: told that the mapping changed
} vcpu;

typedef struct guest {
  setting s;
  uint8_t *memory, *copy; // the source's and the destination's
  uint64_t size, pages, engine, space, backing, notifier, *bitmap;
  uint32_t *zipf;         // the set: ZIPF_DRAWS pages, some many times
  vcpu vcpus[MOST_VCPUS];
  bool running;
  _Atomic bool stop;
  _Atomic uint64_t notified;
} guest;

// Memory, space and slot; logging is off, everything is mapped by leaves, no vcpu runs.
void guest_open(guest *g, const setting *s);
void guest_close(guest *g);
// The destination has no page that is right.
void guest_spoil_copy(guest *g);
// How many pages of the destination differ from the source.
uint64_t guest_compare(const guest *g);
void guest_log(guest *g, uint32_t flags); // GMAP_SLOT_*
gmap_space_stats guest_stats(const guest *g);
// Without memory behind it: nothing but tables. For sizes that no machine here has.
void guest_open_tables(guest *g, uint64_t mib, uint32_t format, const setting *writer);

bool kernel_can_track(void);

void vcpus_start(guest *g);
void vcpus_stop(guest *g);
uint64_t vcpus_done(const guest *g);
uint64_t vcpus_longest(guest *g); // and sets it back to 0

void zipf_open(guest *g);

// prefix.c: the two pages that a vcpu must have mapped
#define PREFIX_AT 0x2000u
void prefix_open(guest *g);  // registers the notifier
void prefix_close(guest *g);
void prefix_refresh(vcpu *v);

// ---- a migration (wire.c, migrate.c) -------------------------------------------------------------------------------

typedef struct wire {
  double ns_a_byte, due;
} wire;

wire wire_open(double gbit);
void wire_send(wire *l, guest *g, uint64_t first_page, uint64_t count); // copies; waits for the link
void wire_drain(wire *l);                                               // waits until everything is through

// Migrates once, and compares: a page that differs ends the program.
outcome migrate(const setting *s);
// The median of every figure.
outcome migrate_often(const setting *s, int times);
// Everything but the last round: the guest goes on. true: what is left fits.
bool migrate_rounds(guest *g, wire *l, outcome *o);
double work_alone(const setting *s); // kept: the same question is measured once

// ---- tables (table.c) ----------------------------------------------------------------------------------------------

typedef struct table table;

table *table_new(const char *name, const char *title, const char *columns); // columns: "a|b|c"
void cell(table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cell_number(table *t, double value, int decimals); // below 0: nothing was measured
void tables_print(void);
void tables_markdown(FILE *file);
void tables_json(FILE *file);

// ---- the sections --------------------------------------------------------------------------------------------------

extern bool quick, everything, drop_page;
extern int repeats;
extern const char *out;
extern uint64_t mib_given; // 0: as each section has it
#define DOWNTIME_NS 20e6   // what is left must go through in this

setting usual(enum policy policy, uint32_t format, enum work work, double rate, double gbit);
uint64_t usual_mib(void);
bool over(double gbit); // is this link wanted?
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void left_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
void draw(const char *name, const picture *p, const curve *curves, int n);

void migrations(void);       // migrations.c: the table
void rates(void);            // rates.c: bytes and downtime over the write rate
void border(void);           // rates.c: the rate at which each policy stops converging
void locality(void);         // rates.c: neighbouring pages, written one after the other
void memory_over_time(void); // memory.c
void arming(void);           // arming.c: up to 1 TiB, at once and in chunks
void formats(void);          // formats.c: what PGSTEs cost
void notifiers(void);        // notify.c: a prefix page among neighbours that change

#endif
