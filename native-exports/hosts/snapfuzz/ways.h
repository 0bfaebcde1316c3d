/* SPDX-License-Identifier: MIT
 * Ways to have the same memory before each run. */
#ifndef WAYS_H
#define WAYS_H

#include "machine.h"
#include "target.h"

/* What all of them do. */
struct plan {
  size_t memory;
  uint32_t count;
  struct input *inputs;
  struct result *expected; /* of each input; filled by the first turn of all */
  bool known;              /* that turn was made */
};

struct turn {
  uint32_t runs;
  uint64_t total_ns, parse_ns; /* the rest is what putting back costs */
  uint64_t cpu_ns;             /* of the processor: what others do on it is not in it */
  uint64_t pages;              /* copied */
};

struct way {
  const char *name, *key; /* of the table, of JSON */
  enum opened (*open)(struct way *way, const struct plan *plan);
  bool (*turn)(struct way *way, struct plan *plan, struct turn *turn);
  void (*close)(struct way *way);
  bool (*restore)(struct way *way, uint32_t input, uint64_t *pages); /* of those that turn_here serves */
  uint32_t share; /* it makes each turn with one of so many inputs, since it is slow */
  bool counts;    /* pages are known */
  size_t size;
  uint8_t *memory, *copy;
  struct target *target;
  void *own;
};

#define WAYS 7
extern struct way ways[WAYS]; /* the first is the snapshot; the fork server comes before the library is started */

/* Runs all inputs in this process. */
bool turn_here(struct way *way, struct plan *plan, struct turn *turn);

/* Whether a run's result is the expected one; the first turn of all says what is expected. */
bool result_is_right(const struct way *way, struct plan *plan, uint32_t input, const struct result *result);

/* Memory with a warmed-up target in it, and a copy of it. */
bool open_plain(struct way *way, size_t size);
void close_plain(struct way *way);

enum opened snapshot_open(struct way *way, const struct plan *plan);
bool snapshot_restore(struct way *way, uint32_t input, uint64_t *pages);
enum opened harvests_open(struct way *way, const struct plan *plan);
bool harvests_restore(struct way *way, uint32_t input, uint64_t *pages);
void machine_way_close(struct way *way); /* of both */

enum opened fork_open(struct way *way, const struct plan *plan);
bool fork_turn(struct way *way, struct plan *plan, struct turn *turn);
void fork_close(struct way *way);

enum opened hand_open(struct way *way, const struct plan *plan);
bool hand_restore(struct way *way, uint32_t input, uint64_t *pages);
void hand_close(struct way *way);

#endif
