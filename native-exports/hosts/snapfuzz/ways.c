/* SPDX-License-Identifier: MIT */
#include "ways.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool result_is_right(const struct way *way, struct plan *plan, uint32_t input, const struct result *result) {
  if (!plan->known) plan->expected[input] = *result;
  else if (memcmp(&plan->expected[input], result, sizeof *result) != 0)
    return complain("%s: input %u has another result: %s, %u events", way->name, input, target_error(result->error), result->events);
  return true;
}

bool turn_here(struct way *way, struct plan *plan, struct turn *turn) {
  *turn = (struct turn){.cpu_ns = cpu_ns()};
  for (uint32_t i = 0; i < plan->count; i += way->share) {
    struct result result;
    uint64_t pages = 0, begun = now_ns();
    target_run(way->target, &plan->inputs[i], &result, NULL);
    uint64_t parsed = now_ns();
    if (!way->restore(way, i, &pages)) return false;
    turn->total_ns += now_ns() - begun;
    turn->parse_ns += parsed - begun;
    turn->pages += pages;
    turn->runs++;
    if (!result_is_right(way, plan, i, &result)) return false;
  }
  turn->cpu_ns = cpu_ns() - turn->cpu_ns;
  return true;
}

bool open_plain(struct way *way, size_t size) {
  way->size = size;
  way->memory = map_memory(size);
  way->copy = map_memory(size);
  way->target = way->memory && way->copy ? target_create(way->memory, size) : NULL;
  if (way->target) memcpy(way->copy, way->memory, size);
  return way->target;
}

void close_plain(struct way *way) {
  if (way->memory) munmap(way->memory, way->size);
  if (way->copy) munmap(way->copy, way->size);
  way->memory = way->copy = NULL;
}

/* ---- everything is copied ------------------------------------------------------------------------------------------ */

static enum opened full_open(struct way *way, const struct plan *plan) {
  return open_plain(way, plan->memory) ? OPENED : OPENED_NOT;
}

static bool full_restore(struct way *way, uint32_t input, uint64_t *pages) {
  (void)input;
  memcpy(way->memory, way->copy, way->size);
  *pages = way->size / PAGE;
  return true;
}

/* ---- the changed pages are known beforehand: nobody can be faster by copying ----------------------------------------- */

struct known {
  uint32_t count;
  uint32_t pages[];
};

static struct known *changed_pages(const struct way *way) {
  uint32_t count = 0, pages = (uint32_t)(way->size / PAGE);
  struct known *known = malloc(sizeof *known + pages * sizeof known->pages[0]);
  if (!known) return NULL;
  for (uint32_t page = 0; page < pages; page++)
    if (memcmp(way->memory + (size_t)page * PAGE, way->copy + (size_t)page * PAGE, PAGE) != 0) known->pages[count++] = page;
  known->count = count;
  struct known *fitting = realloc(known, sizeof *known + count * sizeof known->pages[0]);
  return fitting ? fitting : known;
}

static bool known_restore(struct way *way, uint32_t input, uint64_t *pages) {
  const struct known *known = ((struct known **)way->own)[input];
  for (uint32_t i = 0; i < known->count; i++) {
    size_t at = (size_t)known->pages[i] * PAGE;
    memcpy(way->memory + at, way->copy + at, PAGE);
  }
  *pages = known->count;
  return true;
}

static enum opened known_open(struct way *way, const struct plan *plan) {
  struct known **all = way->own = calloc(plan->count + 1, sizeof *all); /* the last is NULL */
  if (!all || !open_plain(way, plan->memory)) return OPENED_NOT;
  for (uint32_t i = 0; i < plan->count; i++) {
    struct result result;
    uint64_t pages;
    target_run(way->target, &plan->inputs[i], &result, NULL);
    all[i] = changed_pages(way);
    if (!all[i]) return complain("out of memory"), OPENED_NOT;
    known_restore(way, i, &pages);
  }
  return OPENED;
}

static void known_close(struct way *way) {
  struct known **all = way->own;
  for (uint32_t i = 0; all && all[i]; i++) free(all[i]);
  free(all);
  close_plain(way);
}

/* ---- no snapshot: a new parser, warmed up ---------------------------------------------------------------------------- */

static bool anew_restore(struct way *way, uint32_t input, uint64_t *pages) {
  (void)input, (void)pages;
  way->target = target_create(way->memory, way->size);
  return way->target;
}

struct way ways[WAYS] = {
  {.name = "gmap snapshot", .key = "snapshot", .open = snapshot_open, .turn = turn_here, .restore = snapshot_restore,
   .close = machine_way_close, .share = 1, .counts = true},
  {.name = "fork server", .key = "fork_server", .open = fork_open, .turn = fork_turn, .close = fork_close, .share = 1},
  {.name = "full copy", .key = "full_copy", .open = full_open, .turn = turn_here, .restore = full_restore, .close = close_plain,
   .share = 1, .counts = true},
  {.name = "warm up again", .key = "warm_up_again", .open = full_open, .turn = turn_here, .restore = anew_restore,
   .close = close_plain, .share = 20},
  {.name = "gmap harvests", .key = "harvests", .open = harvests_open, .turn = turn_here, .restore = harvests_restore,
   .close = machine_way_close, .share = 1, .counts = true},
  {.name = "userfaultfd by hand", .key = "by_hand", .open = hand_open, .turn = turn_here, .restore = hand_restore,
   .close = hand_close, .share = 1, .counts = true},
  {.name = "changed pages known", .key = "pages_known", .open = known_open, .turn = turn_here, .restore = known_restore,
   .close = known_close, .share = 1, .counts = true},
};
