// Guest to host addresses as hosts look them up, to be inlined: a direct-mapped TLB, and a walk of three levels.
#ifndef PEER_LOOKUP_H
#define PEER_LOOKUP_H

#include "peers.h"

typedef struct peer_tlb_entry {
  uint64_t tag, addend;
} peer_tlb_entry;

// Region-third table -> segment table -> page table, or a 1 MB leaf. 0: not mapped.
static inline uint64_t peer_walk(const uint64_t *top, uint64_t addr) {
  uint64_t entry = top[addr >> 31 & 2047];
  if (entry & PEER_SEGMENT_INVALID) return 0;
  entry = ((const uint64_t *)(uintptr_t)(entry & ~0xfffull))[addr >> 20 & 2047];
  if (entry & PEER_SEGMENT_INVALID) return 0;
  if (entry & PEER_SEGMENT_LEAF) return (entry & ~0xfffffull) | (addr & 0xfffff);
  entry = ((const uint64_t *)(uintptr_t)(entry & ~0x7ffull))[addr >> 12 & 255];
  return entry & PEER_PAGE_INVALID ? 0 : (entry & ~0xfffull) | (addr & 0xfff);
}

static inline uint64_t peer_tlb(peer_tlb_entry *tlb, uint64_t mask, const uint64_t *top, uint64_t addr) {
  uint64_t page = addr >> 12;
  peer_tlb_entry *entry = tlb + (page & mask);
  if (__builtin_expect(entry->tag != page, 0)) {
    entry->tag = page;
    entry->addend = peer_walk(top, addr) - addr;
  }
  return addr + entry->addend;
}

#endif
