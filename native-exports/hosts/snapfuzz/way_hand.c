/* SPDX-License-Identifier: MIT
 * What the library is built on, by hand and for this one purpose: asynchronous userfaultfd write-protect, PAGEMAP_SCAN, a copy
 * of each written page, and its protection. The parser stands still meanwhile, so that pages are protected after the copy. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ways.h"

/* Newer than the headers of Debian 12: Linux 6.7. */
#define FEATURE_WP_UNPOPULATED (1ull << 13)
#define FEATURE_WP_ASYNC (1ull << 15)
#define PAGE_WRITTEN 2u
#define SCAN_CHECKS_ASYNC 2u
#define REGIONS 1024u

struct region {
  uint64_t start, end, categories;
};

struct scan {
  uint64_t size, flags, start, end, walk_end, vector, length, most, inverted, mask, any, returned;
};

#define SCAN _IOWR('f', 16, struct scan)

struct hand {
  int fault, pagemap;
  struct region regions[REGIONS];
};

static bool protect(const struct hand *hand, uint64_t start, uint64_t end) {
  struct uffdio_writeprotect protect = {.range = {.start = start, .len = end - start}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  return ioctl(hand->fault, UFFDIO_WRITEPROTECT, &protect) == 0;
}

enum opened hand_open(struct way *way, const struct plan *plan) {
  struct hand *hand = way->own = calloc(1, sizeof *hand);
  if (!hand || !open_plain(way, plan->memory)) return OPENED_NOT;
  uint64_t start = (uintptr_t)way->memory;
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC};
  struct uffdio_register all = {.range = {.start = start, .len = way->size}, .mode = UFFDIO_REGISTER_MODE_WP};
  hand->fault = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  hand->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  bool good = hand->fault >= 0 && hand->pagemap >= 0 && ioctl(hand->fault, UFFDIO_API, &api) == 0 &&
              ioctl(hand->fault, UFFDIO_REGISTER, &all) == 0 && protect(hand, start, start + way->size);
  return good ? OPENED : (complain("userfaultfd by hand: %s", strerror(errno)), OPENED_NOT);
}

bool hand_restore(struct way *way, uint32_t input, uint64_t *pages) {
  (void)input;
  struct hand *hand = way->own;
  uint64_t base = (uintptr_t)way->memory, end = base + way->size;
  struct scan scan = {.size = sizeof scan, .flags = SCAN_CHECKS_ASYNC, .start = base, .end = end, .vector = (uintptr_t)hand->regions,
                      .length = REGIONS, .mask = PAGE_WRITTEN, .returned = PAGE_WRITTEN};
  for (; scan.start < end; scan.start = scan.walk_end) {
    int count = ioctl(hand->pagemap, SCAN, &scan);
    if (count < 0) return complain("PAGEMAP_SCAN: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
      struct region *at = &hand->regions[i];
      memcpy(way->memory + (at->start - base), way->copy + (at->start - base), at->end - at->start);
      if (!protect(hand, at->start, at->end)) return complain("UFFDIO_WRITEPROTECT: %s", strerror(errno));
      *pages += (at->end - at->start) / PAGE;
    }
  }
  return true;
}

void hand_close(struct way *way) {
  struct hand *hand = way->own;
  if (hand && hand->fault > 0) close(hand->fault);
  if (hand && hand->pagemap > 0) close(hand->pagemap);
  free(hand);
  close_plain(way);
}
