/* SPDX-License-Identifier: MIT
 *
 * fixture.h - an engine, a space, a slot and a vcpu, as most native test hosts begin with. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "check.h"
#include "gmap_inline.h"

#include <string.h>
#include <sys/mman.h>

#define MIB 0x100000ull
#define PAGE 0x1000ull
#define SLOT 7u             /* the fixture's slot */
#define GUEST (64 * MIB)    /* where it begins in the guest */
#define PAGES_OF(bytes) ((bytes) / PAGE)
#define MAX_WORDS 1024u     /* bitmaps of slots of up to 256 MiB */

static uint32_t fixture_format; /* GMAP_TABLE_*: of every space that follows */

/* The last argument `pgste`: page tables with PGSTEs. */
static inline void fixture_arguments(int argc, char **argv) {
  fixture_format = argc > 1 && strcmp(argv[argc - 1], "pgste") == 0 ? GMAP_TABLE_4K_PGSTE : GMAP_TABLE_2K;
}

typedef struct fixture {
  uint64_t engine, space, vcpu;
  gmap_view *view;
  unsigned char *memory; /* 1 MB aligned */
  size_t size;
} fixture;

/* Zeroed memory that begins at a multiple of 1 MB. */
static inline unsigned char *guest_memory(size_t size) {
  unsigned char *raw = (unsigned char *)mmap(NULL, size + MIB, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  size_t before;
  REQUIRE(raw != MAP_FAILED);
  before = (size_t)(-(uintptr_t)raw & (MIB - 1));
  if (before) munmap(raw, before);
  munmap(raw + before + size, (size_t)MIB - before);
  return raw + before;
}

/* `size` bytes that end where an inaccessible page begins: whoever writes or reads past them dies. Not given back. */
static inline void *guarded(size_t size) {
  size_t whole = (size + 8 + PAGE - 1) & ~(size_t)(PAGE - 1);
  unsigned char *raw = (unsigned char *)mmap(NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                             -1, 0);
  REQUIRE(raw != MAP_FAILED);
  REQUIRE(mprotect(raw + whole, PAGE, PROT_NONE) == 0);
  return raw + whole - ((size + 7) & ~(size_t)7);
}

static inline uint64_t engine_of(uint64_t arena_bytes) {
  gmap_engine_config config;
  uint64_t engine = 0;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.arena_bytes = arena_bytes;
  REQUIRE_OK(gmap_engine_create(&config, &engine));
  return engine;
}

static inline gmap_space_config space_config(uint64_t limit) {
  gmap_space_config config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.limit = limit;
  config.table_format = fixture_format;
  return config;
}

static inline gmap_slot slot_of(uint32_t id, uint32_t flags, uint64_t guest_addr, uint64_t size, void *host) {
  gmap_slot slot;
  memset(&slot, 0, sizeof slot);
  slot.struct_size = sizeof slot;
  slot.flags = flags;
  slot.id = id;
  slot.guest_addr = guest_addr;
  slot.size = size;
  slot.host_addr = (uint64_t)(uintptr_t)host;
  return slot;
}

static inline gmap_status set_slot(uint64_t space, uint32_t id, uint32_t flags, uint64_t guest_addr, uint64_t size,
                                   void *host) {
  gmap_slot slot = slot_of(id, flags, guest_addr, size, host);
  return gmap_slot_set(space, &slot);
}

static inline gmap_status open_vcpu(uint64_t space, uint32_t inline_version, uint64_t *vcpu, gmap_view **view) {
  gmap_vcpu_config config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.inline_version = inline_version;
  return gmap_vcpu_open(space, &config, vcpu, view);
}

/* An engine, a space of 1 GiB with one slot of `size` bytes at GUEST, a vcpu for this thread. */
static inline void fixture_open(fixture *f, size_t size, uint32_t slot_flags, uint32_t split_policy) {
  gmap_space_config config = space_config(1024 * MIB - 1);
  config.split_policy = split_policy;
  memset(f, 0, sizeof *f);
  f->size = size;
  f->memory = guest_memory(size);
  f->engine = engine_of(64 * MIB);
  REQUIRE_OK(gmap_space_create(f->engine, &config, &f->space));
  REQUIRE_OK(set_slot(f->space, SLOT, slot_flags, GUEST, size, f->memory));
  REQUIRE_OK(open_vcpu(f->space, GMAP_INLINE_VERSION, &f->vcpu, &f->view));
  REQUIRE(f->view != NULL);
}

static inline void fixture_close(fixture *f) {
  CHECK_OK(gmap_vcpu_close(f->vcpu));
  CHECK_OK(gmap_space_destroy(f->space));
  CHECK_OK(gmap_engine_destroy(f->engine));
  munmap(f->memory, f->size);
}

static inline gmap_space_stats space_stats(uint64_t space) {
  gmap_space_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  CHECK_OK(gmap_space_get_stats(space, &stats));
  return stats;
}

static inline gmap_engine_stats engine_stats(uint64_t engine) {
  gmap_engine_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  CHECK_OK(gmap_engine_get_stats(engine, &stats));
  return stats;
}

static inline gmap_fault_result fault_result(void) {
  gmap_fault_result result;
  memset(&result, 0xA5, sizeof result);
  result.struct_size = sizeof result;
  return result;
}

/* The whole slot, harvested; returns the number of dirty pages. */
static inline uint64_t harvest(const fixture *f, uint64_t *bitmap) {
  uint64_t dirty = ~0ull;
  memset(bitmap, 0xFF, MAX_WORDS * sizeof *bitmap);
  CHECK_OK(gmap_dirty_harvest(f->space, SLOT, 0, PAGES_OF(f->size), 0, bitmap, MAX_WORDS, &dirty));
  return dirty;
}

static inline int page_is_dirty(const uint64_t *bitmap, uint64_t page) {
  return (int)(bitmap[page / 64] >> (page % 64) & 1);
}

/* Exactly these pages are in the bitmap of n pages; the bits past n in the last word are zero. */
static inline void check_pages_at(const char *file, int line, const uint64_t *bitmap, uint64_t n, const uint64_t *pages,
                                  size_t count) {
  uint64_t page, end = (n + 63) / 64 * 64;
  for (page = 0; page < end; page++) {
    size_t i = 0;
    while (i < count && pages[i] != page) i++;
    check_count++;
    if (page_is_dirty(bitmap, page) != (i < count))
      check_failed(file, line, "page %llu is %sreported", (unsigned long long)page, i < count ? "not " : "");
  }
}

#define CHECK_PAGES(bitmap, n, ...) \
  do { \
    const uint64_t expected_pages[] = {__VA_ARGS__}; \
    check_pages_at(__FILE__, __LINE__, (bitmap), (n), expected_pages, sizeof expected_pages / sizeof *expected_pages); \
  } while (0)
#define CHECK_NO_PAGES(bitmap, n) check_pages_at(__FILE__, __LINE__, (bitmap), (n), NULL, 0)

/* Stores 8 bytes as a translating host does. calls counts the asks. */
static inline gmap_status store8(gmap_view *view, uint64_t guest_addr, uint64_t value, unsigned *calls) {
  for (;;) {
    void *host;
    gmap_status status = gmap_store_ptr(view, guest_addr, 8, &host);
    if (status == 0) memcpy(host, &value, 8);
    if (status != GMAP_INLINE_ASK) return status;
    if (calls) ++*calls;
    status = gmap_fault(view->vcpu, view->ask_addr, GMAP_ACCESS_WRITE, NULL);
    if (status != 0) return status;
  }
}

static inline gmap_status load8(gmap_view *view, uint64_t guest_addr, uint64_t *value, unsigned *calls) {
  for (;;) {
    void *host;
    gmap_status status = gmap_load_ptr(view, guest_addr, 8, &host);
    if (status == 0) memcpy(value, host, 8);
    if (status != GMAP_INLINE_ASK) return status;
    if (calls) ++*calls;
    status = gmap_fault(view->vcpu, view->ask_addr, GMAP_ACCESS_READ, NULL);
    if (status != 0) return status;
  }
}

#endif /* FIXTURE_H */
