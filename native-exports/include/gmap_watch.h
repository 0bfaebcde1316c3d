/* SPDX-License-Identifier: MIT
 *
 * gmap_watch.h - a host lets itself be watched: by gmap-top, or by whoever maps the page.
 *
 *     gmap_watch *watch = gmap_watch_open("my monitor", engine);    // NULL: errno; the host goes on without
 *     gmap_watch_space(watch, space, "guest 1");
 *     gmap_watch_slot(watch, space, 0, "ram");
 *     int migration = gmap_watch_consumer(watch, space, 0, "migration");
 *     ...
 *     gmap_watch_publish(watch);                                    // now and then: 10 times a second, say
 *     gmap_watch_epoch(watch, migration, pages);                    // that consumer has dealt with an epoch, or a harvest
 *     ...
 *     gmap_watch_close(watch);
 *
 * The page is a file of shared memory, gmap-PID, that only the same user may read. Publishing reads the library's counters (some
 * microseconds, no system call) and copies them there; no vcpu notices. Calls for one watch come from one thread at a time. Names are
 * cut to what fits. What finds no room (8 spaces, 32 slots, 16 consumers) is not shown: the call answers -1.
 *
 * Link with -lrt where the C library is older than glibc 2.34. C99 with GCC's or Clang's __atomic builtins, and POSIX: compile with
 * -D_POSIX_C_SOURCE=200809L, -D_GNU_SOURCE or -std=gnu11.
 */
#ifndef GMAP_WATCH_H
#define GMAP_WATCH_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gmap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GMAP_WATCH_MAGIC 0x70616D67504F5431ull
#define GMAP_WATCH_VERSION 1u
#define GMAP_WATCH_NAME 32
#define GMAP_WATCH_SPACES 8
#define GMAP_WATCH_SLOTS 32
#define GMAP_WATCH_CONSUMERS 16

typedef struct gmap_watch_space_entry {
  char name[GMAP_WATCH_NAME];
  uint64_t space; /* the handle, a number to those who look */
  gmap_space_stats stats;
} gmap_watch_space_entry;

typedef struct gmap_watch_slot_entry {
  char name[GMAP_WATCH_NAME];
  uint64_t space;
  uint32_t id;
  uint32_t logs; /* gmap_dirty_rate answered: 1 */
  gmap_rate rate;
} gmap_watch_slot_entry;

typedef struct gmap_watch_consumer_entry {
  char name[GMAP_WATCH_NAME];
  uint64_t space;
  uint32_t slot; /* or GMAP_ALL_SLOTS */
  uint32_t reserved;
  uint64_t epochs;     /* that it has dealt with */
  uint64_t last_pages; /* of the last one */
  uint64_t last_ns;    /* CLOCK_MONOTONIC, when that was; 0: never */
  uint64_t lag_pages;  /* became dirty since, as far as the engine has counted: it counts when pages are taken */
  uint64_t mark;       /* the host's side: the count then */
} gmap_watch_consumer_entry;

/* What is shared. `sequence` is odd while it is written: who reads copies, and copies again if it is another one afterwards. */
typedef struct gmap_watch_page {
  uint64_t magic;
  uint32_t version;
  uint32_t bytes; /* of this struct */
  uint64_t pid;
  uint64_t sequence;
  uint64_t time_ns; /* CLOCK_MONOTONIC, when it was published; 0: never */
  char name[64];
  char library[32];
  gmap_engine_stats engine;
  uint32_t spaces, slots, consumers, reserved;
  gmap_watch_space_entry space[GMAP_WATCH_SPACES];
  gmap_watch_slot_entry slot[GMAP_WATCH_SLOTS];
  gmap_watch_consumer_entry consumer[GMAP_WATCH_CONSUMERS];
} gmap_watch_page;

typedef struct gmap_watch {
  gmap_watch_page *page; /* mapped, of the file below */
  uint64_t engine;
  char file[32];
} gmap_watch;

static inline uint64_t gmap_watch_now_(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A name, cut to what fits. */
static inline void gmap_watch_name_(char *to, size_t room, const char *name) {
  size_t length = strlen(name);
  if (length >= room) length = room - 1;
  memcpy(to, name, length);
  to[length] = 0;
}

static inline void gmap_watch_begin_(gmap_watch_page *page) {
  __atomic_fetch_add(&page->sequence, 1, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void gmap_watch_end_(gmap_watch_page *page) { __atomic_fetch_add(&page->sequence, 1, __ATOMIC_SEQ_CST); }

static inline gmap_watch *gmap_watch_open(const char *name, uint64_t engine) {
  gmap_watch *watch = (gmap_watch *)calloc(1, sizeof *watch);
  void *mapped = MAP_FAILED;
  int fd;
  if (!watch) return NULL;
  snprintf(watch->file, sizeof watch->file, "/gmap-%ld", (long)getpid());
  shm_unlink(watch->file); /* of a process that had this number before */
  fd = shm_open(watch->file, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd >= 0 && ftruncate(fd, (off_t)sizeof(gmap_watch_page)) == 0)
    mapped = mmap(NULL, sizeof(gmap_watch_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  if (mapped == MAP_FAILED) {
    if (fd >= 0) shm_unlink(watch->file);
    free(watch);
    return NULL;
  }
  watch->engine = engine;
  watch->page = (gmap_watch_page *)mapped;
  watch->page->version = GMAP_WATCH_VERSION;
  watch->page->bytes = (uint32_t)sizeof(gmap_watch_page);
  watch->page->pid = (uint64_t)getpid();
  gmap_watch_name_(watch->page->name, sizeof watch->page->name, name);
  gmap_watch_name_(watch->page->library, sizeof watch->page->library, gmap_version_string());
  __atomic_store_n(&watch->page->magic, GMAP_WATCH_MAGIC, __ATOMIC_RELEASE);
  return watch;
}

/* What was filled in behind the others is shown from now on; its number. */
static inline int gmap_watch_added_(gmap_watch_page *page, uint32_t *count) {
  gmap_watch_begin_(page);
  ++*count;
  gmap_watch_end_(page);
  return (int)*count - 1;
}

static inline int gmap_watch_space(gmap_watch *watch, uint64_t space, const char *name) {
  gmap_watch_space_entry *entry = watch->page->space + watch->page->spaces;
  if (watch->page->spaces == GMAP_WATCH_SPACES) return -1;
  entry->space = space;
  gmap_watch_name_(entry->name, sizeof entry->name, name);
  return gmap_watch_added_(watch->page, &watch->page->spaces);
}

static inline int gmap_watch_slot(gmap_watch *watch, uint64_t space, uint32_t id, const char *name) {
  gmap_watch_slot_entry *entry = watch->page->slot + watch->page->slots;
  if (watch->page->slots == GMAP_WATCH_SLOTS) return -1;
  entry->space = space;
  entry->id = id;
  gmap_watch_name_(entry->name, sizeof entry->name, name);
  return gmap_watch_added_(watch->page, &watch->page->slots);
}

/* Answers its number, for gmap_watch_epoch. */
static inline int gmap_watch_consumer(gmap_watch *watch, uint64_t space, uint32_t slot, const char *name) {
  gmap_watch_consumer_entry *entry = watch->page->consumer + watch->page->consumers;
  if (watch->page->consumers == GMAP_WATCH_CONSUMERS) return -1;
  entry->space = space;
  entry->slot = slot;
  gmap_watch_name_(entry->name, sizeof entry->name, name);
  return gmap_watch_added_(watch->page, &watch->page->consumers);
}

/* Pages that became dirty in the slots of a consumer which are watched, since logging began. */
static inline uint64_t gmap_watch_written_(const gmap_watch_page *page, const gmap_watch_consumer_entry *consumer) {
  uint64_t pages = 0;
  for (uint32_t i = 0; i < page->slots; i++)
    if (page->slot[i].space == consumer->space && (consumer->slot == GMAP_ALL_SLOTS || consumer->slot == page->slot[i].id))
      pages += page->slot[i].rate.pages;
  return pages;
}

static inline void gmap_watch_publish(gmap_watch *watch) {
  gmap_watch_page *page = watch->page;
  gmap_watch_begin_(page);
  page->time_ns = gmap_watch_now_();
  page->engine.struct_size = (uint32_t)sizeof page->engine;
  (void)gmap_engine_get_stats(watch->engine, &page->engine); /* of one that ended the last figures stay */
  for (uint32_t i = 0; i < page->spaces; i++) {
    page->space[i].stats.struct_size = (uint32_t)sizeof page->space[i].stats;
    (void)gmap_space_get_stats(page->space[i].space, &page->space[i].stats);
  }
  for (uint32_t i = 0; i < page->slots; i++) {
    gmap_rate rate;
    memset(&rate, 0, sizeof rate);
    rate.struct_size = (uint32_t)sizeof rate;
    page->slot[i].logs = gmap_dirty_rate(page->slot[i].space, page->slot[i].id, &rate) == 0;
    if (page->slot[i].logs) page->slot[i].rate = rate;
  }
  for (uint32_t i = 0; i < page->consumers; i++) {
    uint64_t written = gmap_watch_written_(page, page->consumer + i);
    page->consumer[i].lag_pages = written > page->consumer[i].mark ? written - page->consumer[i].mark : 0;
  }
  gmap_watch_end_(page);
}

/* The consumer has dealt with what was written so far: `pages` of them in this epoch. Publishes, too. */
static inline void gmap_watch_epoch(gmap_watch *watch, int consumer, uint64_t pages) {
  gmap_watch_consumer_entry *entry;
  if (consumer < 0 || (uint32_t)consumer >= watch->page->consumers) return;
  gmap_watch_publish(watch);
  entry = watch->page->consumer + consumer;
  gmap_watch_begin_(watch->page);
  entry->epochs++;
  entry->last_pages = pages;
  entry->last_ns = watch->page->time_ns;
  entry->mark = gmap_watch_written_(watch->page, entry);
  entry->lag_pages = 0;
  gmap_watch_end_(watch->page);
}

static inline void gmap_watch_close(gmap_watch *watch) {
  if (!watch) return;
  munmap(watch->page, sizeof(gmap_watch_page));
  shm_unlink(watch->file);
  free(watch);
}

#ifdef __cplusplus
}
#endif

#endif /* GMAP_WATCH_H */
