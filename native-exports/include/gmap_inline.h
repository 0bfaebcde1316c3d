/* SPDX-License-Identifier: MIT
 *
 * gmap_inline.h - the fast path of GmapNative: translate a guest access, and make a clean page dirty, without a call.
 *
 * The layout of the tables and of gmap_view is part of the ABI and versioned by GMAP_INLINE_VERSION (handed to
 * gmap_vcpu_open). A library that does not speak this version gives a view on which everything here answers
 * GMAP_INLINE_ASK.
 *
 *     gmap_enter(view);
 *     if (gmap_store_resolve(view, guest_addr, 8, &host, NULL) == 0) memcpy(host, &value, 8);
 *     gmap_leave(view);
 *
 * A host pointer may be used until gmap_leave, the next gmap_enter, the next gmap_again that returns 1, or the next
 * gmap_fault of that view. Do not stay inside for long: harvests wait for you. Do not block inside.
 *
 * A thread that does one access after the other may stay inside and poll instead (a load and a compare):
 *
 *     gmap_enter(view);
 *     while (running) {
 *       gmap_again(view);
 *       ... accesses as above ...
 *     }
 *     gmap_leave(view);
 *
 * C99 with GCC's or Clang's __atomic builtins; other compilers define the GMAP_ATOMIC_* macros first.
 */
#ifndef GMAP_INLINE_H
#define GMAP_INLINE_H

#include "gmap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GMAP_INLINE_VERSION 3u

#define GMAP_INLINE_ASK 1  /* call gmap_fault(view->vcpu, view->ask_addr, access, ...), then try again */
#define GMAP_INLINE_TORN 2 /* crosses pages that are not neighbours in host memory, or wraps: access them one by one */

/* The words of a space that every walk reads. Written by the library only. */
typedef struct gmap_space_word {
  uint64_t asce;       /* native-endian, table origins are host addresses */
  uint64_t generation; /* rises whenever a right was taken away, or somebody waits */
} gmap_space_word;

typedef struct gmap_view {
  /* first cache line: written by the owner's thread */
  uint64_t inside;     /* odd: inside a section */
  uint64_t generation; /* the space's, at gmap_enter or when gmap_again returned 1: what began before it is over */
  uint64_t ask_addr;   /* the guest address that the last GMAP_INLINE_ASK was about */
  uint64_t call;       /* odd: in gmap_fault (the library's own use) */
  uint64_t granted;    /* clean pages that this view made dirty: gmap_vcpu_rate */
  uint64_t reserved0[3];
  /* second cache line: written by the library */
  const gmap_space_word *space;
  uint64_t vcpu;           /* the handle */
  uint32_t inline_version; /* 0: closed, or another version */
  uint32_t need_fence;     /* no membarrier here: enter pays a full fence */
  uint32_t by_generation;  /* the space tracks by generation: stores set dense bits (PROTOCOL.md, rule 26) */
  uint32_t reserved1;
  uint64_t reserved2[4];
} gmap_view;

/* Test hook: called between the steps that other threads may interleave with. 6: inside, the generation is not loaded
 * yet; 1: entered; 2: about to leave; 7: top table known; 8: segment entry loaded; 5: page entry loaded; 3: the entry
 * grants; 9: the summary bit was clear; 4: it is set; 10: a cache entry hits; 11: resolved, the cache is filled next;
 * 12: the generation is another one, the section ends next; 13: the dense bit was clear; 14: it is set; 15: a
 * region-third entry loaded where there was no segment table; 16: the stripe's bit was clear; 17: it is set. */
#ifndef GMAP_INLINE_YIELD
#define GMAP_INLINE_YIELD(n) ((void)0)
#endif

#ifndef GMAP_ATOMIC_LOAD
#define GMAP_ATOMIC_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define GMAP_ATOMIC_LOAD_SEQ_CST(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define GMAP_ATOMIC_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define GMAP_ATOMIC_CAS(p, expected, v) \
  __atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
#define GMAP_ATOMIC_OR32(p, v) ((void)__atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define GMAP_ATOMIC_OR64(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST) /* the value before */
#define GMAP_ATOMIC_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define GMAP_COMPILER_FENCE() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

#ifndef GMAP_ATOMIC_LOAD_RELAXED
#define GMAP_ATOMIC_LOAD_RELAXED(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif
#ifndef GMAP_EXPECT
#define GMAP_EXPECT(condition, value) __builtin_expect((condition), (value))
#endif

/* Entry bits (Principles of Operation, chapter 3; software bits as in PROTOCOL.md). */
#define GMAP_ASCE_ORIGIN 0xFFFFFFFFFFFFF000ull
#define GMAP_ASCE_DT 0x0Cull
#define GMAP_ASCE_DT_REGION3 0x04ull
#define GMAP_ASCE_DT_REGION1 0x0Cull
#define GMAP_TABLE_INVALID 0x20ull    /* I of region and segment entries */
#define GMAP_TABLE_PROTECT 0x200ull   /* P: accumulates over the levels */
#define GMAP_TABLE_LEAF 0x400ull      /* FC */
#define GMAP_REGION_ORIGIN 0xFFFFFFFFFFFFF000ull
#define GMAP_REGION_FRAME 0xFFFFFFFF80000000ull  /* of a 2 GB leaf */
#define GMAP_SEGMENT_PTO 0xFFFFFFFFFFFFF800ull   /* page-table origin */
#define GMAP_SEGMENT_FRAME 0xFFFFFFFFFFF00000ull /* of a 1 MB leaf */
#define GMAP_PAGE_FRAME 0xFFFFFFFFFFFFF000ull
#define GMAP_PAGE_INVALID 0x400ull
#define GMAP_PAGE_PROTECT 0x200ull
#define GMAP_PAGE_PRESENT 0x01ull
#define GMAP_PAGE_SOFT_DIRTY 0x02ull
#define GMAP_PAGE_YOUNG 0x04ull
#define GMAP_PAGE_DIRTY 0x08ull
#define GMAP_PAGE_WRITE 0x20ull
#define GMAP_PAGE_MARKERS 0xC0ull
#define GMAP_SUMMARY_OFFSET 16384u /* the summary words stand behind the 2048 entries of a segment table */
#define GMAP_DENSE_OFFSET 24576u   /* and behind them where its dense bits are: four 64-bit words a segment */
#define GMAP_STRIPES_OFFSET 24640u /* a 32-bit word: bit i is set where a summary word of segments 64 i to 64 i + 63 is */

/* The space's generation as it is now. */
static inline uint64_t gmap_generation_(const gmap_view *view) {
  return GMAP_ATOMIC_LOAD(&GMAP_ATOMIC_LOAD(&view->space)->generation);
}

/* Begins a section. On a view that is inside: ends that section and begins a new one. */
static inline void gmap_enter(gmap_view *view) {
  GMAP_ATOMIC_STORE_RELEASE(&view->inside, (view->inside | 1u) + 2u);
  if (GMAP_ATOMIC_LOAD(&view->need_fence))
    GMAP_ATOMIC_FENCE();
  else
    GMAP_COMPILER_FENCE(); /* the library's membarrier is the other half (PROTOCOL.md, rule 6) */
  GMAP_INLINE_YIELD(6);
  GMAP_ATOMIC_STORE_RELEASE(&view->generation, gmap_generation_(view)); /* it says too that older sections are over */
  GMAP_INLINE_YIELD(1);
}

/* Ends the section. Harmless on a view that is not inside. */
static inline void gmap_leave(gmap_view *view) {
  GMAP_INLINE_YIELD(2);
  GMAP_ATOMIC_STORE_RELEASE(&view->inside, (view->inside + 1u) & ~(uint64_t)1);
}

/* The same for a poll. While it is the section's, nothing has to be ordered by it; and nobody closes a view that polls,
 * so the compiler may keep `space` in a register. */
static inline uint64_t gmap_polled_(const gmap_view *view) {
  return GMAP_ATOMIC_LOAD_RELAXED(&view->space->generation);
}

/* The poll of a thread that is inside and goes on, in place of gmap_leave and gmap_enter. 0: nobody waits, the section
 * goes on, and with it its pointers. 1: it has ended and another one has begun: pointers from before are void. Between
 * two polls harvests wait for you, as they do between enter and leave. Before you block or idle: gmap_leave. */
static inline int gmap_again(gmap_view *view) {
  if (GMAP_EXPECT(gmap_polled_(view) == view->generation, 1)) return 0;
  GMAP_INLINE_YIELD(12);
  /* The answer to whoever raised it: all that was stored before is visible, all that is loaded after is of it
   * (PROTOCOL.md, rule 6). No barrier is needed for that, and `inside` stays as it is. */
  GMAP_ATOMIC_STORE_RELEASE(&view->generation, gmap_generation_(view));
  return 1;
}

/* The region-third table of an address in a space of 4 TiB or more, or NULL where the tables end above it. */
static inline uint64_t *gmap_region3_(uint64_t asce, uint64_t guest_addr, uint64_t *protect) {
  uint64_t *table = (uint64_t *)(uintptr_t)(asce & GMAP_ASCE_ORIGIN);
  if ((asce & GMAP_ASCE_DT) == GMAP_ASCE_DT_REGION1) {
    uint64_t entry = GMAP_ATOMIC_LOAD(table + (guest_addr >> 53));
    if (entry & GMAP_TABLE_INVALID) return NULL;
    *protect |= entry;
    table = (uint64_t *)(uintptr_t)(entry & GMAP_REGION_ORIGIN);
  } else if (guest_addr >> 53) {
    return NULL;
  }
  {
    uint64_t entry = GMAP_ATOMIC_LOAD(table + ((guest_addr >> 42) & 0x7FFu));
    if (entry & GMAP_TABLE_INVALID) return NULL;
    *protect |= entry;
    return (uint64_t *)(uintptr_t)(entry & GMAP_REGION_ORIGIN);
  }
}

/* The segment entry of an address, or NULL where the tables end above it, at a 2 GB leaf maybe. *protect accumulates P. */
static inline uint64_t *gmap_segment_(const gmap_view *view, uint64_t guest_addr, uint64_t *protect) {
  uint64_t asce = GMAP_ATOMIC_LOAD(&GMAP_ATOMIC_LOAD(&view->space)->asce);
  uint64_t *table = (uint64_t *)(uintptr_t)(asce & GMAP_ASCE_ORIGIN);
  GMAP_INLINE_YIELD(7);
  if (asce & GMAP_ASCE_DT) {
    uint64_t entry;
    if (GMAP_EXPECT((asce & GMAP_ASCE_DT) == GMAP_ASCE_DT_REGION3, 1)) {
      if (guest_addr >> 42) return NULL;
    } else {
      table = gmap_region3_(asce, guest_addr, protect);
      if (!table) return NULL;
    }
    entry = GMAP_ATOMIC_LOAD(table + ((guest_addr >> 31) & 0x7FFu));
    if (entry & (GMAP_TABLE_INVALID | GMAP_TABLE_LEAF)) return NULL;
    *protect |= entry;
    table = (uint64_t *)(uintptr_t)(entry & GMAP_REGION_ORIGIN);
  } else if (guest_addr >> 31) {
    return NULL;
  }
  return table + ((guest_addr >> 20) & 0x7FFu);
}

/* Sets the summary bit of a page whose entry grants, unless it is set, then its stripe's (PROTOCOL.md, rules 1 and 39).
 * Segment tables are 16 KB aligned. */
static inline void gmap_summary_(uint64_t *segment, uint64_t guest_addr) {
  uintptr_t table = (uintptr_t)segment & ~(uintptr_t)(GMAP_SUMMARY_OFFSET - 1);
  uint32_t *word = (uint32_t *)(table + GMAP_SUMMARY_OFFSET) + ((guest_addr >> 20) & 0x7FFu);
  uint32_t *stripes = (uint32_t *)(table + GMAP_STRIPES_OFFSET);
  uint32_t bit = (uint32_t)1 << ((guest_addr >> 15) & 31u), stripe = (uint32_t)1 << ((guest_addr >> 26) & 31u);
  GMAP_INLINE_YIELD(3);
  /* Not before the compare-and-swap of the entry: an acquire load may pass its store on machines with weak order. */
  if (!(GMAP_ATOMIC_LOAD_SEQ_CST(word) & bit)) {
    GMAP_INLINE_YIELD(9);
    GMAP_ATOMIC_OR32(word, bit);
  }
  GMAP_INLINE_YIELD(4);
  if (!(GMAP_ATOMIC_LOAD_SEQ_CST(stripes) & stripe)) {
    GMAP_INLINE_YIELD(16);
    GMAP_ATOMIC_OR32(stripes, stripe);
    GMAP_INLINE_YIELD(17);
  }
}

/* Marks a page whose entry has P = 0, before the store: where the space tracks by generation its dense bit, unless it
 * is set, then the summary bit (PROTOCOL.md, rules 1 and 26). */
static inline void gmap_mark_(gmap_view *view, uint64_t *segment, uint64_t guest_addr) {
  if (view->by_generation) {
    uintptr_t table = (uintptr_t)segment & ~(uintptr_t)(GMAP_SUMMARY_OFFSET - 1);
    uint64_t *word = GMAP_ATOMIC_LOAD((uint64_t **)(table + GMAP_DENSE_OFFSET)) + ((guest_addr >> 18) & 0x1FFFu);
    uint64_t bit = (uint64_t)1 << ((guest_addr >> 12) & 63u);
    if (!(GMAP_ATOMIC_LOAD_SEQ_CST(word) & bit)) {
      GMAP_INLINE_YIELD(13);
      view->granted += !(GMAP_ATOMIC_OR64(word, bit) & bit);
    }
    GMAP_INLINE_YIELD(14);
  }
  gmap_summary_(segment, guest_addr);
}

static inline gmap_status gmap_ask_(gmap_view *view, uint64_t guest_addr) {
  view->ask_addr = guest_addr;
  return GMAP_INLINE_ASK;
}

/* One page where there is no segment table: through a 2 GB leaf that has no bit of `refuses`, else the library is asked.
 * A store through P = 0 needs no mark there (PROTOCOL.md, rule 33). Apart, so that all others pay nothing for it. */
static inline gmap_status gmap_region_page_(gmap_view *view, uint64_t guest_addr, uint64_t refuses, uintptr_t *host) {
  uint64_t protect = 0, entry, asce = GMAP_ATOMIC_LOAD(&GMAP_ATOMIC_LOAD(&view->space)->asce);
  uint64_t *table = (uint64_t *)(uintptr_t)(asce & GMAP_ASCE_ORIGIN);
  GMAP_INLINE_YIELD(7);
  if (!(asce & GMAP_ASCE_DT)) return gmap_ask_(view, guest_addr);
  if ((asce & GMAP_ASCE_DT) != GMAP_ASCE_DT_REGION3)
    table = gmap_region3_(asce, guest_addr, &protect);
  else if (guest_addr >> 42)
    table = NULL;
  if (!table) return gmap_ask_(view, guest_addr);
  entry = GMAP_ATOMIC_LOAD(table + ((guest_addr >> 31) & 0x7FFu));
  GMAP_INLINE_YIELD(15);
  if (((entry | (protect & GMAP_TABLE_PROTECT)) & (GMAP_TABLE_LEAF | refuses)) != GMAP_TABLE_LEAF)
    return gmap_ask_(view, guest_addr);
  *host = (uintptr_t)((entry & GMAP_REGION_FRAME) | (guest_addr & ~GMAP_REGION_FRAME));
  return 0;
}

/* One page, for reading. */
static inline gmap_status gmap_load_page_(gmap_view *view, uint64_t guest_addr, uintptr_t *host) {
  uint64_t protect = 0, entry;
  uint64_t *segment = gmap_segment_(view, guest_addr, &protect);
  if (GMAP_EXPECT(!segment, 0)) return gmap_region_page_(view, guest_addr, GMAP_TABLE_INVALID, host);
  entry = GMAP_ATOMIC_LOAD(segment);
  GMAP_INLINE_YIELD(8);
  if (entry & GMAP_TABLE_INVALID) return gmap_ask_(view, guest_addr);
  if (entry & GMAP_TABLE_LEAF) {
    *host = (uintptr_t)((entry & GMAP_SEGMENT_FRAME) | (guest_addr & ~GMAP_SEGMENT_FRAME));
    return 0;
  }
  entry = GMAP_ATOMIC_LOAD((uint64_t *)(uintptr_t)(entry & GMAP_SEGMENT_PTO) + ((guest_addr >> 12) & 0xFFu));
  if (entry & GMAP_PAGE_INVALID) return gmap_ask_(view, guest_addr);
  *host = (uintptr_t)((entry & GMAP_PAGE_FRAME) | (guest_addr & ~GMAP_PAGE_FRAME));
  return 0;
}

/* One page, for writing: the entry grants, the page is marked, then the caller may store. */
static inline gmap_status gmap_store_page_(gmap_view *view, uint64_t guest_addr, uintptr_t *host) {
  const uint64_t grantable = GMAP_PAGE_PRESENT | GMAP_PAGE_WRITE | GMAP_PAGE_PROTECT;
  const uint64_t decides = grantable | GMAP_PAGE_INVALID | GMAP_PAGE_MARKERS;
  uint64_t protect = 0, entry, *page;
  uint64_t *segment = gmap_segment_(view, guest_addr, &protect);
  if (GMAP_EXPECT(!segment, 0))
    return gmap_region_page_(view, guest_addr, GMAP_TABLE_INVALID | GMAP_TABLE_PROTECT, host);
  entry = GMAP_ATOMIC_LOAD(segment);
  GMAP_INLINE_YIELD(8);
  if ((entry & GMAP_TABLE_INVALID) || ((protect | entry) & GMAP_TABLE_PROTECT)) return gmap_ask_(view, guest_addr);
  if (entry & GMAP_TABLE_LEAF) {
    gmap_mark_(view, segment, guest_addr);
    *host = (uintptr_t)((entry & GMAP_SEGMENT_FRAME) | (guest_addr & ~GMAP_SEGMENT_FRAME));
    return 0;
  }
  page = (uint64_t *)(uintptr_t)(entry & GMAP_SEGMENT_PTO) + ((guest_addr >> 12) & 0xFFu);
  entry = GMAP_ATOMIC_LOAD(page);
  do {
    GMAP_INLINE_YIELD(5);
    if ((entry & decides) != grantable) {
      if (!(entry & (GMAP_PAGE_INVALID | GMAP_PAGE_PROTECT))) break; /* another writer was first */
      return gmap_ask_(view, guest_addr);
    }
  } while (!GMAP_ATOMIC_CAS(page, &entry,
                            (entry & ~GMAP_PAGE_PROTECT) | GMAP_PAGE_DIRTY | GMAP_PAGE_SOFT_DIRTY | GMAP_PAGE_YOUNG) ||
           (view->granted++, 0)); /* this thread's grant: counted once */
  gmap_mark_(view, segment, guest_addr);
  *host = (uintptr_t)((entry & GMAP_PAGE_FRAME) | (guest_addr & ~GMAP_PAGE_FRAME));
  return 0;
}

/* Whether an access leaves its page. True as well for a size of 0 and for one that wraps. */
static inline int gmap_crosses_(uint64_t guest_addr, uint64_t size) { return size - 1 > (~guest_addr & 0xFFFu); }

/* The pages behind the first of an access that crosses a page boundary (PROTOCOL.md, rule 3). */
static inline gmap_status gmap_next_pages_(gmap_view *view, uint64_t guest_addr, uint64_t last, uint32_t access,
                                           uintptr_t host) {
  uint64_t page = (guest_addr | 0xFFFu) + 1;
  if (last < guest_addr) return GMAP_INLINE_TORN; /* wraps */
  for (; page <= last && page != 0; page += 4096u) {
    uintptr_t next;
    gmap_status status = access == GMAP_ACCESS_WRITE ? gmap_store_page_(view, page, &next)
                                                     : gmap_load_page_(view, page, &next);
    if (status != 0) return status;
    if (next - host != page - guest_addr) return GMAP_INLINE_TORN;
  }
  return 0;
}

/* Translates `size` bytes (1 or more) for reading. 0, GMAP_INLINE_ASK or GMAP_INLINE_TORN. Inside a section only. */
static inline gmap_status gmap_load_ptr(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host) {
  uintptr_t at;
  uint64_t last = guest_addr + size - 1;
  gmap_status status = gmap_load_page_(view, guest_addr, &at);
  if (status != 0) return status;
  *host = (void *)at;
  return gmap_crosses_(guest_addr, size) ? gmap_next_pages_(view, guest_addr, last, GMAP_ACCESS_READ, at) : 0;
}

/* Translates `size` bytes (1 or more) for writing and makes their pages dirty. 0, GMAP_INLINE_ASK or
 * GMAP_INLINE_TORN. Inside a section only; ask only for bytes that will be written. */
static inline gmap_status gmap_store_ptr(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host) {
  uintptr_t at;
  uint64_t last = guest_addr + size - 1;
  gmap_status status = gmap_store_page_(view, guest_addr, &at);
  if (status != 0) return status;
  *host = (void *)at;
  return gmap_crosses_(guest_addr, size) ? gmap_next_pages_(view, guest_addr, last, GMAP_ACCESS_WRITE, at) : 0;
}

/* The two above with the library asked where needed: the whole access path of a translating host. Returns 0,
 * GMAP_INLINE_TORN (the host splits the access at the page boundary), or what gmap_fault returns; guest conditions
 * are above GMAP_INLINE_TORN. result may be NULL. May end the section and begin a new one: pointers from before are
 * void. */
static inline gmap_status gmap_resolve_(gmap_view *view, uint64_t guest_addr, uint64_t size, uint32_t access,
                                        void **host, gmap_fault_result *result) {
  gmap_fault_result local;
  if (!result) {
    local.struct_size = (uint32_t)sizeof local;
    result = &local;
  }
  for (;;) {
    gmap_status status = access == GMAP_ACCESS_WRITE ? gmap_store_ptr(view, guest_addr, size, host)
                                                     : gmap_load_ptr(view, guest_addr, size, host);
    if (status != GMAP_INLINE_ASK) return status;
    status = gmap_fault(view->vcpu, view->ask_addr, access, result);
    if (status != 0) return status;
    if (!gmap_crosses_(guest_addr, size)) {
      *host = (void *)(uintptr_t)result->host_addr;
      return 0;
    }
    if (!(result->rights & access)) return GMAP_INLINE_TORN; /* granted for this once: the tables would never answer */
    if (view->inline_version != GMAP_INLINE_VERSION) return GMAP_INLINE_TORN;
  }
}

static inline gmap_status gmap_load_resolve(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host,
                                            gmap_fault_result *result) {
  return gmap_resolve_(view, guest_addr, size, GMAP_ACCESS_READ, host, result);
}

static inline gmap_status gmap_store_resolve(gmap_view *view, uint64_t guest_addr, uint64_t size, void **host,
                                             gmap_fault_result *result) {
  return gmap_resolve_(view, guest_addr, size, GMAP_ACCESS_WRITE, host, result);
}

/* ---- A translation cache, for hosts without one of their own --------------------------------------------------- */
/* Direct-mapped, one per view, memory of the host's: zeroed, a power of two entries. A hit costs two compares and one
 * add; entries of an older generation miss by themselves, nothing is ever flushed. */
typedef struct gmap_cache_entry {
  uint64_t page;             /* guest address of its first byte */
  uint64_t load_generation;  /* 0: loads miss */
  uint64_t store_generation; /* stores may go through untold under this one; 0: they miss */
  uint64_t addend;           /* host address - guest address */
} gmap_cache_entry;

/* Whether an access lies in the entry's page: by one compare where the size is a constant. */
static inline int gmap_cache_holds_(const gmap_cache_entry *entry, uint64_t guest_addr, uint64_t size) {
  return size - 1 < 4096u && guest_addr - entry->page <= 4096u - size;
}

static inline void *gmap_cache_host_(const gmap_cache_entry *entry, uint64_t guest_addr) {
  GMAP_INLINE_YIELD(10);
  return (void *)(uintptr_t)(guest_addr + entry->addend);
}

static inline void gmap_cache_fill_(const gmap_view *view, gmap_cache_entry *entry, uint64_t guest_addr,
                                    uint32_t access, void *host) {
  uint64_t page = guest_addr & ~(uint64_t)0xFFF;
  GMAP_INLINE_YIELD(11);
  if (entry->page != page) entry->store_generation = 0;
  entry->page = page;
  entry->addend = (uint64_t)(uintptr_t)host - guest_addr;
  entry->load_generation = view->generation; /* the entered one, never read again (PROTOCOL.md, rule 4) */
  if (access == GMAP_ACCESS_WRITE) entry->store_generation = entry->load_generation;
}

/* As gmap_load_ptr, through the cache; mask is the number of entries - 1. */
static inline gmap_status gmap_cache_load(gmap_view *view, gmap_cache_entry *cache, uint64_t mask, uint64_t guest_addr,
                                          uint64_t size, void **host) {
  gmap_cache_entry *entry = cache + (guest_addr >> 12 & mask);
  gmap_status status;
  if (GMAP_EXPECT(gmap_cache_holds_(entry, guest_addr, size), 1) &&
      GMAP_EXPECT(entry->load_generation == view->generation, 1)) {
    *host = gmap_cache_host_(entry, guest_addr);
    return 0;
  }
  status = gmap_load_ptr(view, guest_addr, size, host);
  if (status == 0) gmap_cache_fill_(view, entry, guest_addr, GMAP_ACCESS_READ, *host);
  return status;
}

/* As gmap_store_ptr, through the cache. */
static inline gmap_status gmap_cache_store(gmap_view *view, gmap_cache_entry *cache, uint64_t mask, uint64_t guest_addr,
                                           uint64_t size, void **host) {
  gmap_cache_entry *entry = cache + (guest_addr >> 12 & mask);
  gmap_status status;
  if (GMAP_EXPECT(gmap_cache_holds_(entry, guest_addr, size), 1) &&
      GMAP_EXPECT(entry->store_generation == view->generation, 1)) {
    *host = gmap_cache_host_(entry, guest_addr);
    return 0;
  }
  status = gmap_store_ptr(view, guest_addr, size, host);
  if (status == 0) gmap_cache_fill_(view, entry, guest_addr, GMAP_ACCESS_WRITE, *host);
  return status;
}

/* gmap_again and gmap_cache_load in one: a hit under the space's generation of now needs no other poll. Every pointer
 * from before is void. */
static inline gmap_status gmap_again_load(gmap_view *view, gmap_cache_entry *cache, uint64_t mask, uint64_t guest_addr,
                                          uint64_t size, void **host) {
  const gmap_cache_entry *entry = cache + (guest_addr >> 12 & mask);
  if (GMAP_EXPECT(gmap_cache_holds_(entry, guest_addr, size), 1) &&
      GMAP_EXPECT(entry->load_generation == gmap_polled_(view), 1)) {
    *host = gmap_cache_host_(entry, guest_addr);
    return 0;
  }
  (void)gmap_again(view);
  return gmap_cache_load(view, cache, mask, guest_addr, size, host);
}

/* gmap_again and gmap_cache_store in one. */
static inline gmap_status gmap_again_store(gmap_view *view, gmap_cache_entry *cache, uint64_t mask, uint64_t guest_addr,
                                           uint64_t size, void **host) {
  const gmap_cache_entry *entry = cache + (guest_addr >> 12 & mask);
  if (GMAP_EXPECT(gmap_cache_holds_(entry, guest_addr, size), 1) &&
      GMAP_EXPECT(entry->store_generation == gmap_polled_(view), 1)) {
    *host = gmap_cache_host_(entry, guest_addr);
    return 0;
  }
  (void)gmap_again(view);
  return gmap_cache_store(view, cache, mask, guest_addr, size, host);
}

#ifdef __cplusplus
}
#endif

#endif /* GMAP_INLINE_H */
