// Page tables in C: 8-byte entries, 256 to a table of 2 KB. Scanned, armed, filled and split as a careful host would.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "peers.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define TABLE 256u
#define HUGE_PAGE (2ul << 20)

void *peer_memory(size_t size) {
  char *raw = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    perror("peers: mmap");
    exit(1);
  }
  size_t before = (HUGE_PAGE - ((uintptr_t)raw & (HUGE_PAGE - 1))) & (HUGE_PAGE - 1);
  if (before) munmap(raw, before);
  if (HUGE_PAGE - before) munmap(raw + before + size, HUGE_PAGE - before);
  madvise(raw + before, size, MADV_HUGEPAGE);
  for (size_t i = 0; i < size; i += 4096) raw[before + i] = 0;
  return raw + before;
}

void peer_memory_free(void *memory, size_t size) {
  if (memory) munmap(memory, size);
}

void peer_open(peer_guest *guest, uint64_t pages, int tables) {
  guest->pages = pages;
  guest->words = pages / PEER_WORD_PAGES;
  guest->live = peer_memory(guest->words * 8);
  guest->out = peer_memory(guest->words * 8);
  guest->entries = NULL;
  guest->list = NULL;
  if (!tables) return;
  guest->list = peer_memory(pages * sizeof *guest->list);
  guest->entries = peer_memory(pages * 8);
  for (uint64_t i = 0; i < pages; i++) guest->entries[i] = i << 12;
}

void peer_close(peer_guest *guest) {
  peer_memory_free(guest->live, guest->words * 8);
  peer_memory_free(guest->out, guest->words * 8);
  peer_memory_free(guest->list, guest->pages * sizeof *guest->list);
  peer_memory_free(guest->entries, guest->pages * 8);
}

#ifdef __AVX2__
// The OR of 64 entries first: bits are taken only where something is dirty.
static inline int any_dirty(const uint64_t *entries) {
  const __m256i *at = (const __m256i *)entries;
  __m256i even = _mm256_load_si256(at), odd = _mm256_load_si256(at + 1);
  for (int i = 2; i < 16; i += 2) {
    even = _mm256_or_si256(even, _mm256_load_si256(at + i));
    odd = _mm256_or_si256(odd, _mm256_load_si256(at + i + 1));
  }
  return !_mm256_testz_si256(_mm256_or_si256(even, odd), _mm256_set1_epi64x(PEER_PAGE_DIRTY));
}

// The dirty bit of each entry moved to the sign, one mask for four.
static inline uint64_t bits_of(const uint64_t *entries) {
  uint64_t bits = 0;
  for (int i = 0; i < 16; i++) {
    __m256i four = _mm256_slli_epi64(_mm256_load_si256((const __m256i *)entries + i), 60);
    bits |= (uint64_t)(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(four)) << (i * 4);
  }
  return bits;
}
#else
static inline int any_dirty(const uint64_t *entries) {
  uint64_t any = 0;
  for (int i = 0; i < 64; i++) any |= entries[i];
  return (any & PEER_PAGE_DIRTY) != 0;
}

static inline uint64_t bits_of(const uint64_t *entries) {
  uint64_t bits = 0;
  for (int i = 0; i < 64; i++) bits |= (entries[i] >> 3 & 1) << i;
  return bits;
}
#endif

uint64_t peer_entries_take(peer_guest *guest) {
  uint64_t dirty = 0;
  for (uint64_t word = 0; word < guest->words; word++) {
    uint64_t *entries = guest->entries + word * 64, bits = any_dirty(entries) ? bits_of(entries) : 0;
    guest->out[word] |= bits;
    dirty += (uint64_t)__builtin_popcountll(bits);
    for (; bits; bits &= bits - 1)
      __atomic_fetch_and(entries + __builtin_ctzll(bits), ~PEER_PAGE_DIRTY, __ATOMIC_SEQ_CST);
  }
  return dirty;
}

void peer_entries_read(const peer_guest *guest) {
  uint64_t any = 0;
  for (uint64_t word = 0; word < guest->words; word++) any += (uint64_t)any_dirty(guest->entries + word * 64);
  __asm__ volatile("" : : "r"(any));
}

void peer_entries_mark(peer_guest *guest, const uint64_t *pattern) {
  for (uint64_t word = 0; word < guest->words; word++)
    for (uint64_t bits = pattern[word]; bits; bits &= bits - 1)
      guest->entries[word * 64 + (uint64_t)__builtin_ctzll(bits)] |= PEER_PAGE_DIRTY;
}

static inline void fill(uint64_t *table, uint64_t base, uint64_t flags) {
  for (uint64_t i = 0; i < TABLE; i++) table[i] = (base + (i << 12)) | flags;
}

void peer_split(uint64_t *segments, uint64_t n, uint64_t *pool) {
  uint64_t next = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t old = __atomic_load_n(segments + i, __ATOMIC_ACQUIRE), link;
    uint64_t *table = pool + __atomic_fetch_add(&next, TABLE, __ATOMIC_RELAXED);
    if (!(old & PEER_SEGMENT_LEAF)) continue;
    fill(table, old & ~0xfffffull, old & PEER_PAGE_DIRTY);
    link = (uint64_t)(uintptr_t)table;
    __atomic_compare_exchange_n(segments + i, &old, link, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  }
}

void peer_split_pgste(uint64_t *segments, uint64_t n, uint64_t *pool) {
  uint64_t next = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t old = __atomic_load_n(segments + i, __ATOMIC_ACQUIRE), link;
    uint64_t *table = pool + __atomic_fetch_add(&next, 2 * TABLE, __ATOMIC_RELAXED);
    if (!(old & PEER_SEGMENT_LEAF)) continue;
    fill(table, old & ~0xfffffull, old & PEER_PAGE_DIRTY);
    memset(table + TABLE, 0, TABLE * 8);
    link = (uint64_t)(uintptr_t)table;
    __atomic_compare_exchange_n(segments + i, &old, link, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  }
}

void peer_map_leaves(uint64_t *segments, uint64_t n, uint64_t host) {
  for (uint64_t i = 0; i < n; i++) segments[i] = (host + (i << 20)) | PEER_SEGMENT_LEAF;
  __asm__ volatile("" : : : "memory");
}

void peer_map_pages(uint64_t *segments, uint64_t n, uint64_t host, uint64_t *pool) {
  for (uint64_t i = 0; i < n; i++) {
    fill(pool + i * TABLE, host + (i << 20), 0);
    segments[i] = (uint64_t)(uintptr_t)(pool + i * TABLE);
  }
  __asm__ volatile("" : : : "memory");
}
