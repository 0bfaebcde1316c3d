/* SPDX-License-Identifier: MIT
 * A space of one kind, and what happens to it. */
#ifndef WORLD_H
#define WORLD_H

#include "case.h"

enum top { TOP_SEGMENT, TOP_REGION_THIRD, TOP_REGION_SECOND, TOP_REGION_FIRST };

struct kind {
  const char *name;
  enum top top;
  uint32_t huge, policy, format, tracking, scope;
  bool low_memory; /* guest memory at host addresses that can be real ones: images without a frame map */
  bool backing;    /* the kernel tracks */
  bool quick;      /* among those of --quick */
};

/* Slots by their place in the layout; the id is one more. */
enum { SLOT_START, SLOT_RAGGED, SLOT_ACROSS, SLOT_END, SLOT_ALIAS };

struct world {
  const struct kind *kind;
  uint64_t engine, space, vcpu, backing;
  struct layout layout;
  uint64_t next_real, next_low; /* where the next slot's frames go, and its host memory if that is to be low */
  uint64_t random;
  struct case_file *cases;
  unsigned records; /* random ones of each image */
};

void world_open(struct world *w, const struct kind *kind, struct case_file *cases, unsigned records);
void world_close(struct world *w);

/* A slot of 1 MB aligned, or ragged, memory of its own; host 0: map some. */
void world_slot(struct world *w, unsigned place, uint32_t flags, uint64_t guest, uint64_t size, uint64_t host);
/* Another guest address, other flags, or none any more (size 0). */
void world_change(struct world *w, unsigned place, uint32_t flags, uint64_t guest, uint64_t size);
void world_limit(struct world *w, uint64_t limit);
/* Faults on pages of the slot, picked at random. */
void world_touch(struct world *w, unsigned place, uint32_t access, unsigned times);
void world_populate(struct world *w, unsigned place, uint64_t offset, uint64_t size, uint32_t access);
/* Pages of the slot, counted from its first. */
void world_harvest(struct world *w, unsigned place, uint64_t first, uint64_t pages);
void world_clear(struct world *w, unsigned place, uint64_t first, uint64_t pages);
/* gmap_protect of a part of the slot. */
void world_protect(struct world *w, unsigned place, uint64_t offset, uint64_t size, uint32_t prot, uint32_t notify);
void world_picture(struct world *w, const char *about);

/* Everything that can happen to a space of the kind, with pictures in between. */
void life(struct world *w);

/* One bit flipped in each, in files that begin with `control`: `control-none` has none flipped. */
void write_controls(const char *folder);

#endif
