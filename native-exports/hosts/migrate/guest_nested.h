/* SPDX-License-Identifier: MIT
 * The nested part of the threads guest: an outer guest that keeps translation tables in its memory, runs the threads as its
 * own guest through a shadow, and moves their pages about while they run.
 *
 * Outer memory: the header's megabyte, with the segment table in it | page tables | frames, one segment more than there are
 * inner pages. An inner address is what the threads guest would have as its own, so the answer is the same. */
#ifndef GUEST_NESTED_H
#define GUEST_NESTED_H

#include "guest.h"

/* Bytes that the tables and the spare frames take of the guest's memory. */
uint64_t nested_overhead(uint64_t memory);
/* What is added to an inner address where nothing has been moved yet. */
uint64_t nested_shift(const struct guest_header *header);

struct nested;

/* Source: tables that move nothing, in the memory. */
void nested_fill(struct guest *guest);
/* NULL after one line: no memory, or tables that lead out of the frames. */
struct nested *nested_open(struct guest *guest);
void nested_close(struct nested *nested);

/* The shadow is there, and the outer guest is at its work; FAILED after one line. */
int nested_start(struct nested *nested);
/* After the inner threads have ended: no page is on its way. */
int nested_stop(struct nested *nested);
/* The space of the inner guest, between start and stop. */
uint64_t nested_space(const struct nested *nested);

/* Inner memory as its guest sees it, from a page on, copied; while all are stopped. */
void nested_read(const struct nested *nested, uint64_t inner_addr, void *data, uint64_t bytes);
/* Pages that were moved in this process. */
uint64_t nested_moves(const struct nested *nested);

#endif
