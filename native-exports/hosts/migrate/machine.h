/* SPDX-License-Identifier: MIT
 * A machine: guest memory, and the engine's space over it. */
#ifndef MACHINE_H
#define MACHINE_H

#include "common.h"
#include "gmap.h"

#define MACHINE_SLOT 1u

struct machine {
  uint8_t *memory; /* 2 MB aligned, so that every 1 MB leaf fits and the kernel may use huge pages */
  uint64_t size, pages;
  uint64_t engine, space, backing, missing; /* missing: the backing of pages that are still to come, or 0 */
  bool logging;
  char log[256]; /* the engine's last warning or error */
};

/* Guest addresses 0 to size. FAILED after one line. */
int machine_create(struct machine *machine, uint64_t size, uint32_t policy);
/* Lets the kernel track the slot. */
int machine_attach(struct machine *machine);
void machine_destroy(struct machine *machine);

/* From here on the pages of a bitmap are missing, and what is there of them is thrown away; stops: the kernel stops plain accesses too. */
int machine_expect(struct machine *machine, const uint64_t *bitmap, bool stops);
/* They have come. */
int machine_complete(struct machine *machine);

/* Dirty logging on, every page dirty: the first pass is the first harvest. */
int machine_log(struct machine *machine);
/* The pages that changed; the caller owes them to a destination from here on. */
int machine_harvest(struct machine *machine, uint64_t *bitmap, uint64_t *pages);
/* How many pages a harvest would find. */
int machine_count(struct machine *machine, uint64_t *pages);
/* Every page is owed again. */
int machine_mark_all(struct machine *machine);

int machine_stats(struct machine *machine, gmap_space_stats *stats);
/* AnonHugePages of the guest's memory, in bytes. */
uint64_t machine_huge_bytes(const struct machine *machine);
bool machine_kernel_can_track(void);

#endif
