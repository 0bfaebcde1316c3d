/* SPDX-License-Identifier: MIT
 *
 * world.c - an engine, a space, its slots, the memory and its image; and how a trial ends early. */
#include "litmus.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define REGION_BYTES (2048 * MIB) /* one 2 GB leaf */

uint64_t guest_base;

uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t seed_of(const world *w, unsigned role, unsigned number) {
  uint64_t state = (w->options->seed + 1) * 0x9E3779B97F4A7C15ull ^ (uint64_t)role << 40 ^ ((uint64_t)number + 1) << 50;
  state |= state == 0;
  next_random(&state);
  return next_random(&state) | 1;
}

/* The first one to come here writes; nobody returns from here. */
static void end(world *w, int32_t code, const char *format, va_list arguments) __attribute__((noreturn));
static void end(world *w, int32_t code, const char *format, va_list arguments) {
  int32_t nobody = 0;
  if (!__atomic_compare_exchange_n(&w->result->said, &nobody, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    for (;;) pause(); /* the first one ends the process */
  }
  vsnprintf(w->result->text, sizeof w->result->text, format, arguments);
  w->result->milliseconds = (nanoseconds() - w->begun) / 1000000u;
  w->result->code = code;
  _exit(code);
}

void violation(world *w, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  end(w, EXIT_VIOLATION, format, arguments);
}

static void end_with(world *w, int32_t code, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
static void end_with(world *w, int32_t code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  end(w, code, format, arguments);
}

void unsupported(world *w, const char *facility) { end_with(w, EXIT_UNSUPPORTED, "%s", facility); }

void demand(world *w, gmap_status status, const char *call) {
  if (status == 0) return;
  if (status == GMAP_EOPNOTSUPP) end_with(w, EXIT_UNSUPPORTED, "%s is not supported by this library", call);
  if (status == GMAP_ENOMEM) end_with(w, EXIT_INCONCLUSIVE, "%s: out of memory", call);
  end_with(w, EXIT_VIOLATION, "%s answers %d (%s)", call, (int)status, gmap_strerror(status));
}

/* Zeroed memory that begins at a multiple of the alignment. */
unsigned char *map_memory(world *w, size_t size, size_t alignment) {
  void *raw = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) end_with(w, EXIT_INCONCLUSIVE, "no memory for the guest");
  return (unsigned char *)(((uintptr_t)raw + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

gmap_status set_slot(const world *w, uint32_t id, uint32_t flags, unsigned first, unsigned pages) {
  gmap_slot slot;
  memset(&slot, 0, sizeof slot);
  slot.struct_size = sizeof slot;
  slot.flags = flags;
  slot.id = id;
  slot.guest_addr = guest_of(first);
  slot.size = pages * PAGE;
  slot.host_addr = (uint64_t)(uintptr_t)(w->memory + first * PAGE);
  return gmap_slot_set(w->space, &slot);
}

static unsigned page_of_spot(const program *p, unsigned spot) {
  switch (p->layout) {
    case LINES: return 200 + spot / 7 * 8 + spot % 7;
    case SPREAD: return 256 + spot * 8 % 256 + spot * 8 / 256;
    case SEGMENTS:
    case REGION: return spot % 4 * 256 + spot / 4 * 8;
    case DENSE: return 256 + spot;
    case RUN: return 512 - p->spots / 2 + spot;
    default: return SECOND_SLOT - p->spots / 2 + spot;
  }
}

static void place_spots(world *w) {
  const program *p = w->program;
  unsigned i;
  w->spots = p->spots;
  memset(w->spot_of, 0xFF, sizeof w->spot_of);
  for (i = 0; i < w->spots; i++) {
    w->page_of[i] = page_of_spot(p, i);
    w->spot_of[w->page_of[i]] = (int16_t)i;
  }
  for (i = 0; i < w->lanes; i++) w->visible[i] = path_of(p, i / 2) != BY_MARK;
}

static void place_slots(world *w) {
  unsigned i;
  if (w->program->layout == REGION) { /* of which only the first pages are judged */
    w->slots = 1;
    w->slot[0].id = 1;
    w->slot[0].pages = JUDGED_PAGES;
    demand(w, set_slot(w, 1, GMAP_SLOT_LOG_DIRTY, 0, (unsigned)(REGION_BYTES / PAGE)), "gmap_slot_set");
    return;
  }
  w->slots = w->program->slots;
  for (i = 0; i < w->slots; i++) {
    w->slot[i].id = 1 + i;
    w->slot[i].first = i == 0 ? 0 : SECOND_SLOT;
    w->slot[i].pages = (w->slots == 2 && i == 0 ? SECOND_SLOT : JUDGED_PAGES) - w->slot[i].first;
    demand(w, set_slot(w, w->slot[i].id, GMAP_SLOT_LOG_DIRTY, w->slot[i].first, w->slot[i].pages), "gmap_slot_set");
  }
  /* By generation, a slot that is alone in its 2 GB is harvested in another way, too (rule 27). */
  if (w->options->tracking == GMAP_TRACK_GENERATION && !w->program->operator) return;
  demand(w, set_slot(w, OTHER_SLOT, 0, JUDGED_PAGES, WORLD_PAGES - JUDGED_PAGES), "gmap_slot_set");
}

void world_open(world *w) {
  gmap_engine_config engine;
  gmap_space_config space;
  memset(&engine, 0, sizeof engine);
  memset(&space, 0, sizeof space);
  engine.struct_size = sizeof engine;
  engine.arena_bytes = 64 * MIB;
  space.struct_size = sizeof space;
  guest_base = w->program->layout == REGION ? 0 : 64 * MIB;
  space.limit = w->program->layout == REGION ? 2 * REGION_BYTES - 1 : 1024 * MIB - 1;
  space.huge = w->program->layout == REGION ? GMAP_HUGE_2G : GMAP_HUGE_1M;
  space.split_policy = w->program->policy;
  space.tracking = w->options->tracking;
  space.table_format = w->options->format;
  space.max_shadows = 3;
  w->begun = nanoseconds();
  if (gmap_abi_version() >> 16 != GMAP_ABI_VERSION >> 16) unsupported(w, "a library of this ABI version");
  catch_crashes(w);
  w->writers = w->options->threads != 0 ? w->options->threads : w->program->writers;
  w->lanes = 2 * w->writers;
  w->memory = w->program->layout == REGION ? map_memory(w, REGION_BYTES, REGION_BYTES) : map_memory(w, WORLD_PAGES * PAGE, MIB);
  w->image = map_memory(w, WORLD_PAGES * PAGE, MIB);
  place_spots(w);
  demand(w, gmap_engine_create(&engine, &w->engine), "gmap_engine_create");
  demand(w, gmap_space_create(w->engine, &space, &w->space), "gmap_space_create");
  place_slots(w);
  nested_plant(w);
}

void world_close(world *w) {
  demand(w, gmap_space_destroy(w->space), "gmap_space_destroy");
  demand(w, gmap_engine_destroy(w->engine), "gmap_engine_destroy");
}
