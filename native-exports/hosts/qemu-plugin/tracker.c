/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tracker.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOT 1
#define BATCH 128
#define SEGMENT_PAGES (GMAP_SEGMENT_SIZE / GMAP_PAGE_SIZE)

static int failed(const char *what, gmap_status status) {
  fprintf(stderr, "gmap-qemu-plugin: %s: %s\n", what, gmap_strerror(status));
  return -1;
}

static int failed_here(const char *what) {
  perror(what);
  return -1;
}

/* The slot's host memory. The library never touches it for what is done here, so without a file it is only reserved. Aligned like
 * the guest's addresses, so that leaves of 1 MB fit. */
static void *host_memory(uint64_t bytes, const char *file) {
  char *room = mmap(NULL, bytes + GMAP_SEGMENT_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return NULL;
  char *memory = room + (-(uintptr_t)room & (GMAP_SEGMENT_SIZE - 1));
  if (!file) return memory;
  int descriptor = open(file, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return NULL;
  void *mapped = mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
  close(descriptor);
  return mapped == MAP_FAILED ? NULL : mapped;
}

static int open_space(struct tracker *tracker, void *memory, uint32_t policy) {
  gmap_space_config config = {.struct_size = sizeof config, .limit = tracker->bytes - 1, .split_policy = policy};
  gmap_slot slot = {.struct_size = sizeof slot, .flags = GMAP_SLOT_LOG_DIRTY, .id = SLOT, .size = tracker->bytes,
                    .host_addr = (uintptr_t)memory};
  gmap_status status = gmap_engine_create(NULL, &tracker->engine);
  if (status) return failed("gmap_engine_create", status);
  status = gmap_space_create(tracker->engine, &config, &tracker->space);
  if (status) return failed("gmap_space_create", status);
  status = gmap_slot_set(tracker->space, &slot);
  if (status) return failed("gmap_slot_set", status);
  /* A guest that has run for long is mapped by leaves, clean. What splits them from here on are stores. */
  status = gmap_populate(tracker->space, 0, tracker->bytes, GMAP_ACCESS_READ, 0, NULL);
  if (status) return failed("gmap_populate", status);
  status = gmap_consumer_open(tracker->space, SLOT, 0, &tracker->consumer);
  return status ? failed("gmap_consumer_open", status) : 0;
}

int tracker_open(struct tracker *tracker, uint64_t bytes, const char *memory_file, enum feed feed, uint32_t policy) {
  *tracker = (struct tracker){.bytes = bytes, .pages = bytes / GMAP_PAGE_SIZE, .feed = feed};
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)) return failed_here("gmap-qemu-plugin: membarrier");
  void *memory = host_memory(bytes, memory_file);
  if (!memory) return failed_here("gmap-qemu-plugin: the guest's memory");
  tracker->last_of_page = calloc(tracker->pages, sizeof(uint32_t));
  tracker->last_of_segment = calloc(tracker->pages / SEGMENT_PAGES + 1, sizeof(uint32_t));
  tracker->runs = calloc(tracker->pages / 2 + 1, sizeof(gmap_range));
  tracker->picture = calloc(tracker->pages / 64 + 1, sizeof(uint64_t));
  if (!tracker->last_of_page || !tracker->last_of_segment || !tracker->runs || !tracker->picture)
    return failed_here("gmap-qemu-plugin");
  return open_space(tracker, memory, policy);
}

int tracker_thread(const struct tracker *tracker, uint64_t *vcpu, struct gmap_view **view) {
  gmap_vcpu_config config = {.struct_size = sizeof config, .inline_version = GMAP_INLINE_VERSION};
  /* Without a view gmap_fault_many leaves no section open, and nobody has to wait for this thread. */
  gmap_status status = gmap_vcpu_open(tracker->space, &config, vcpu, tracker->feed == FEED_INLINE ? view : NULL);
  return status ? failed("gmap_vcpu_open", status) : 0;
}

static size_t fault_in(const struct tracker *tracker, uint64_t vcpu, const uint64_t *addresses, size_t count) {
  gmap_fault_request requests[BATCH];
  size_t refused = 0;
  for (size_t i = 0; i < count; i++) requests[i] = (gmap_fault_request){.guest_addr = addresses[i], .access = GMAP_ACCESS_WRITE};
  for (size_t from = 0, done; from < count; from += done) {
    gmap_status status = gmap_fault_many(vcpu, requests + from, count - from, sizeof *requests, &done);
    if (!status) break;
    /* No memory for a table, say: a mark needs none, so the page is not lost. */
    if (gmap_mark_dirty(tracker->space, addresses[from + done], 1)) refused++;
    done++;
  }
  return refused;
}

size_t tracker_hand_over(struct tracker *tracker, uint64_t vcpu, const uint64_t *addresses, size_t count) {
  size_t refused = 0;
  if (tracker->feed == FEED_MARK) return gmap_mark_dirty_batch(tracker->space, addresses, count) ? count : 0;
  if (tracker->feed != FEED_FAULT) return 0;
  for (size_t from = 0; from < count; from += BATCH)
    refused += fault_in(tracker, vcpu, addresses + from, count - from < BATCH ? count - from : BATCH);
  return refused;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Pages were taken. A vcpu skips a store to a page that it has handed over lately; from here on it may not. The barrier is the
 * other half of a load that the vcpus do without a fence: one that still saw the old number had stored before. */
static void forget(struct tracker *tracker) {
  __atomic_add_fetch(&tracker->generation, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static void written(struct tracker *tracker, const gmap_range *run, struct interval *interval) {
  interval->dirty_pages += run->count;
  for (uint64_t page = run->first_page; page < run->first_page + run->count; page++) {
    uint32_t *segment = &tracker->last_of_segment[page / SEGMENT_PAGES];
    tracker->last_of_page[page] = tracker->interval;
    if (*segment != tracker->interval) interval->dirty_segments++;
    *segment = tracker->interval;
  }
}

/* counts[i] += how many were last written in the last 2^i intervals. */
static void curve(const struct tracker *tracker, const uint32_t *last, uint64_t count, uint64_t *counts, int points) {
  for (uint64_t i = 0; i < count; i++) {
    if (!last[i]) continue;
    for (int point = points; point-- > 0 && tracker->interval - last[i] < 1u << point;) counts[point]++;
  }
}

int tracker_harvest(struct tracker *tracker, struct interval *interval) {
  gmap_space_stats stats = {.struct_size = sizeof stats};
  uint64_t next = 0, begin = now_ns();
  size_t count;
  *interval = (struct interval){.number = ++tracker->interval};
  gmap_status status = gmap_dirty_harvest_ranges(tracker->space, SLOT, 0, tracker->pages, 0, tracker->runs, tracker->pages / 2 + 1,
                                                 &count, &next);
  if (status) return failed("gmap_dirty_harvest_ranges", status);
  interval->harvest_ns = now_ns() - begin;
  forget(tracker);
  for (size_t i = 0; i < count; i++) written(tracker, &tracker->runs[i], interval);
  interval->runs = count;
  status = gmap_space_get_stats(tracker->space, &stats);
  if (status) return failed("gmap_space_get_stats", status);
  interval->splits = stats.splits - tracker->splits;
  interval->leaves = tracker->pages / SEGMENT_PAGES - stats.page_tables;
  tracker->splits = stats.splits;
  while (interval->points < CURVE_POINTS && (!interval->points || 1u << (interval->points - 1) < tracker->interval)) interval->points++;
  curve(tracker, tracker->last_of_page, tracker->pages, interval->written_pages, interval->points);
  curve(tracker, tracker->last_of_segment, tracker->pages / SEGMENT_PAGES, interval->written_segments, interval->points);
  return 0;
}

static void leave_out(uint64_t *bitmap, uint64_t pages, uint64_t every) {
  uint64_t seen = 0;
  for (uint64_t page = 0; page < pages; page++)
    if (bitmap[page / 64] >> (page % 64) & 1 && ++seen % every == 0) bitmap[page / 64] &= ~(1ull << (page % 64));
}

int64_t tracker_picture(struct tracker *tracker, const char *file, uint64_t drop) {
  uint64_t pages = 0, words = (tracker->pages + 63) / 64;
  gmap_status status = gmap_consumer_begin(tracker->consumer, 0, NULL);
  if (status) return failed("gmap_consumer_begin", status);
  forget(tracker);
  status = gmap_consumer_read_bitmap(tracker->consumer, SLOT, 0, tracker->pages, 0, tracker->picture, words, &pages);
  if (status) return failed("gmap_consumer_read_bitmap", status);
  if (drop) leave_out(tracker->picture, tracker->pages, drop);
  FILE *out = fopen(file, "wb");
  if (!out) return failed_here(file);
  int whole = fwrite(tracker->picture, sizeof(uint64_t), words, out) == words;
  if (fclose(out) || !whole) return failed_here(file);
  status = gmap_consumer_commit(tracker->consumer);
  return status ? failed("gmap_consumer_commit", status) : (int64_t)pages;
}
