/* SPDX-License-Identifier: GPL-2.0-or-later
 * What the plugin knows of the guest's memory: an engine, a space, one slot, and how old each page's last store is. */
#ifndef TRACKER_H
#define TRACKER_H

#include <stddef.h>
#include <stdint.h>

#include "gmap_inline.h"

/* How stores reach the library. */
enum feed {
  FEED_FAULT,  /* batches of gmap_fault_many: maps, splits, makes dirty, as a vcpu's write fault does */
  FEED_MARK,   /* batches of gmap_mark_dirty_batch: bits of the log, the tables stay as they are */
  FEED_INLINE, /* each store by gmap_store_resolve of gmap_inline.h, no batch */
  FEED_NONE,   /* not at all: what QEMU's part of the work costs */
};

#define CURVE_POINTS 12 /* the last 1, 2, 4 ... 2048 intervals */

struct interval {
  uint64_t number, dirty_pages, runs, dirty_segments, splits, leaves, harvest_ns;
  uint64_t written_pages[CURVE_POINTS], written_segments[CURVE_POINTS]; /* the working-set curve */
  int points;
};

struct tracker {
  uint64_t engine, space, consumer, bytes, pages, splits;
  enum feed feed;
  uint32_t *last_of_page, *last_of_segment; /* number of the interval of the last store; 0: none yet */
  uint32_t interval;
  gmap_range *runs;
  uint64_t *picture;     /* a bitmap */
  uint64_t generation;   /* rises with each harvest: what a vcpu remembers to have handed over is out of date then */
};

/* memory_file: what QEMU keeps the guest's memory in, or NULL; it is mapped, so that the slot's host memory is the guest's.
 * Both return 0, or -1 after a line on stderr. */
int tracker_open(struct tracker *tracker, uint64_t bytes, const char *memory_file, enum feed feed, uint32_t policy);
int tracker_thread(const struct tracker *tracker, uint64_t *vcpu, struct gmap_view **view);

/* Hands addresses over, on the thread that vcpu was opened by. Returns how many the library refused, which is a failure. */
size_t tracker_hand_over(struct tracker *tracker, uint64_t vcpu, const uint64_t *addresses, size_t count);

/* The pages written since the last one. Only one thread calls these. */
int tracker_harvest(struct tracker *tracker, struct interval *interval);

/* The pages written since the last picture, whatever was harvested meanwhile, as a bitmap in the file. drop: leave out each
 * of so many pages, to see whether that is found; 0: none. Returns how many there are, or -1. */
int64_t tracker_picture(struct tracker *tracker, const char *file, uint64_t drop);

#endif
