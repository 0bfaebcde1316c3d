// A guest that has a guest, as a careful host without the engine serves it: the guest's tables (big-endian, in its
// storage) are walked for each access, or what a walk found is kept in tables of the host's own. Nobody here notices
// that the guest changes a table: whoever keeps anything has to drop all of it.
#include <string.h>
#include "peers.h"

#define ORIGIN 0xfffffffffffff000ull
#define PAGE_TABLE_ORIGIN 0xfffffffffffff800ull
#define PRIVATE 0x100ull
#define REAL 0x20ull
#define FORMAT 0x400ull
#define PROTECT 0x200ull
#define INVALID 0x20ull
#define COMMON 0x10ull
#define PAGE_INVALID 0x400ull
#define PAGE_ZERO 0x800ull

#define ENTRIES 2048u     // of a region or segment table
#define PAGE_ENTRIES 256u // of a page table
#define TABLE (ENTRIES * 8ull)
#define PAGE_TABLE (PAGE_ENTRIES * 8ull)

static inline int load(const peer_nested *guest, uint64_t at, uint64_t *entry) {
  if (at >= guest->size) return 0;
  *entry = __builtin_bswap64(__atomic_load_n((const uint64_t *)(const void *)(guest->storage + at), __ATOMIC_ACQUIRE));
  return 1;
}

// 0x10 of a segment table; 0x3b, 0x3a, 0x39 of region-third, -second, -first.
static inline int translation(unsigned level) { return level ? 0x3c - (int)level : 0x10; }

static inline int finish(uint64_t frame, unsigned shift, uint64_t addr, uint64_t protect, int write, uint64_t *real) {
  uint64_t within = (1ull << shift) - 1;
  *real = (frame & ~within) | (addr & within);
  return write && protect & PROTECT ? 0x04 : 0;
}

int peer_nested_walk(const peer_nested *guest, uint64_t addr, int write, uint64_t *real) {
  uint64_t asce = guest->asce, table = asce & ORIGIN, first = 0, last = asce & 3, protect = 0, entry;
  unsigned level = asce >> 2 & 3; // 3: region-first ... 0: segment
  *real = addr;
  if (asce & REAL) return 0;
  if (level < 3 && addr >> (31 + 11 * level)) return 0x38;
  for (;; level--) {
    uint64_t index = addr >> (20 + 11 * level) & (ENTRIES - 1);
    if (index >> 9 < first || index >> 9 > last) return translation(level);
    if (!load(guest, table + index * 8, &entry)) return 0x05;
    if (entry & INVALID) return translation(level);
    if ((entry >> 2 & 3) != level) return 0x12;
    if (entry & COMMON && asce & PRIVATE && (level == 0 || (level == 1 && guest->edat == 2))) return 0x12;
    if (level == 0 || guest->edat) protect |= entry;
    if (entry & FORMAT && level < guest->edat) return finish(entry, 20 + 11 * level, addr, protect, write, real);
    if (level == 0) break;
    table = entry & ORIGIN;
    first = entry >> 6 & 3;
    last = entry & 3;
  }
  if (!load(guest, (entry & PAGE_TABLE_ORIGIN) + (addr >> 12 & (PAGE_ENTRIES - 1)) * 8, &entry)) return 0x05;
  if (entry & PAGE_INVALID) return 0x11;
  if (entry & PAGE_ZERO) return 0x12;
  return finish(entry, 12, addr, protect | entry, write, real);
}

// ---- a guest's tables ----------------------------------------------------------------------------------------------

static void put(unsigned char *storage, uint64_t at, uint64_t entry) {
  entry = __builtin_bswap64(entry);
  memcpy(storage + at, &entry, 8);
}

uint64_t peer_nested_build(unsigned char *storage, uint64_t tables, uint64_t memory, uint64_t pages) {
  uint64_t segment = tables + TABLE, page = segment + TABLE;
  for (uint64_t i = 0; i < ENTRIES; i++) {
    put(storage, tables + i * 8, INVALID | 4);
    put(storage, segment + i * 8, INVALID);
  }
  put(storage, tables, segment | 4 | 3);
  for (uint64_t i = 0; i < (pages + PAGE_ENTRIES - 1) / PAGE_ENTRIES; i++)
    put(storage, segment + i * 8, page + i * PAGE_TABLE);
  for (uint64_t i = 0; i < (pages + PAGE_ENTRIES - 1) / PAGE_ENTRIES * PAGE_ENTRIES; i++)
    put(storage, page + i * 8, i < pages ? memory + (i << 12) : PAGE_INVALID);
  return tables | 4 | 3;
}

uint64_t peer_nested_bytes(uint64_t pages) {
  return 2 * TABLE + (pages + PAGE_ENTRIES - 1) / PAGE_ENTRIES * PAGE_TABLE;
}

// ---- what a walk found, kept ---------------------------------------------------------------------------------------

static uint64_t *take(peer_shadow *shadow, uint64_t entries, uint64_t empty) {
  uint64_t at = (shadow->used + entries - 1) & ~(entries - 1), *table = shadow->pool + at; // aligned to its size
  shadow->used = at + entries;
  for (uint64_t i = 0; i < entries; i++) table[i] = empty;
  return table;
}

static uint64_t *below(peer_shadow *shadow, uint64_t *entry, uint64_t mask, uint64_t entries, uint64_t empty) {
  if (*entry & INVALID) *entry = (uint64_t)(uintptr_t)take(shadow, entries, empty);
  return (uint64_t *)(uintptr_t)(*entry & mask);
}

void peer_shadow_drop(peer_shadow *shadow) {
  shadow->used = 0;
  shadow->top = take(shadow, ENTRIES, INVALID);
}

int peer_shadow_fault(peer_shadow *shadow, const peer_nested *guest, uint64_t addr, int write) {
  uint64_t real, *segment, *page;
  int code = peer_nested_walk(guest, addr, write, &real);
  if (code) return code;
  if (real >= guest->size) return 0x05;
  segment = below(shadow, shadow->top + (addr >> 31 & (ENTRIES - 1)), ORIGIN, ENTRIES, INVALID);
  page = below(shadow, segment + (addr >> 20 & (ENTRIES - 1)), PAGE_TABLE_ORIGIN, PAGE_ENTRIES, PAGE_INVALID);
  page[addr >> 12 & (PAGE_ENTRIES - 1)] = ((uint64_t)(uintptr_t)(guest->storage + real) & ORIGIN) | (write ? 0 : PROTECT);
  return 0;
}
