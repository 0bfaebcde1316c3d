// The same work as hosts write it today, in plain C: what the engine is measured against. Nothing here knows the
// engine.
#ifndef PEERS_H
#define PEERS_H

#include <stddef.h>
#include <stdint.h>

#define PEER_WORD_PAGES 64u

// ---- A guest as QEMU keeps one: a flat bitmap, and page tables that are armed page by page -------------------------

typedef struct peer_guest {
  uint64_t pages, words;
  uint64_t *live;    // one bit a page, set by writers
  uint64_t *out;     // where the bits are merged to
  uint64_t *entries; // one word a page in tables of 2 KB, or NULL
  uint32_t *list;    // the dirty pages of a harvest
} peer_guest;

// `tables`: with entries, all of them clean. Exits the process when memory is short.
void peer_open(peer_guest *guest, uint64_t pages, int tables);
void peer_close(peer_guest *guest);

// Aligned to 2 MiB, every page touched, transparent huge pages asked for.
void *peer_memory(size_t size);
void peer_memory_free(void *memory, size_t size);

// ---- bitmaps.c -----------------------------------------------------------------------------------------------------

// Exchanges the words that are not zero (eight clean ones are passed over by AVX2), merges into `out`, counts.
uint64_t peer_bitmap_take(peer_guest *guest);
// As QEMU does it: every word is exchanged, whatever it holds, and copied into `out`; counted.
uint64_t peer_bitmap_copy(peer_guest *guest);
// As peer_bitmap_take, and each entry found is armed again by a locked and.
uint64_t peer_bitmap_take_rearm(peer_guest *guest);
// Exchanges and decodes into a list of pages, then arms these entries again by a locked and each.
uint64_t peer_bitmap_list_rearm(peer_guest *guest);
// One live bitmap, a copy for each of n that want to know: exchanges, merges into all of them, arms the entries again.
void peer_bitmap_share_rearm(peer_guest *guest, uint64_t *const *outs, int n);
// What a host does with a bitmap that it was given: a list of pages. The bitmap is zero after it.
uint64_t peer_decode(uint64_t *bitmap, uint64_t words, uint32_t *list);
// QEMU's way to set a range: whole words by plain stores, the ends by locked ors, a fence.
void peer_bitmap_set_range(uint64_t *bitmap, uint64_t first, uint64_t count);
// ORs a bitmap in, a locked or for each word that is not zero.
void peer_bitmap_or(uint64_t *bitmap, const uint64_t *marks, uint64_t words);
// A locked or for each address.
void peer_bitmap_batch(uint64_t *bitmap, const uint64_t *addresses, size_t n);

static inline void peer_mark(uint64_t *bitmap, uint64_t page) {
  __atomic_fetch_or(bitmap + page / 64, 1ull << (page % 64), __ATOMIC_SEQ_CST);
}

// ---- tables.c ------------------------------------------------------------------------------------------------------

#define PEER_PAGE_INVALID 0x400ull
#define PEER_PAGE_DIRTY 0x008ull
#define PEER_SEGMENT_INVALID 0x020ull
#define PEER_SEGMENT_LEAF 0x400ull

// The entries are the truth: AVX2 over every table, a locked and of each dirty entry, bits into `out`, counted.
uint64_t peer_entries_take(peer_guest *guest);
// Reads all the entries once and does nothing with them: the machine's bandwidth.
void peer_entries_read(const peer_guest *guest);
// Every entry of the pattern becomes dirty, by plain stores.
void peer_entries_mark(peer_guest *guest, const uint64_t *pattern);

// Fills a table of 256 entries for each segment, and links it by one compare-and-swap.
void peer_split(uint64_t *segments, uint64_t n, uint64_t *pool);
// The same for tables of 4 KB: the second half, of PGSTEs, is cleared.
void peer_split_pgste(uint64_t *segments, uint64_t n, uint64_t *pool);
// Maps n segments by 1 MB leaves, or each by a filled page table.
void peer_map_leaves(uint64_t *segments, uint64_t n, uint64_t host);
void peer_map_pages(uint64_t *segments, uint64_t n, uint64_t host, uint64_t *pool);

// ---- scan.c --------------------------------------------------------------------------------------------------------

// Bit 1 of each entry of n tables (aligned to 32 bytes), that many times; four words a table. The second is by AVX2,
// byte-packed, and answers 0 where the compiler may not use that.
void peer_scan_auto(const uint64_t *restrict tables, uint64_t n, uint64_t times, uint64_t *restrict bits);
int peer_scan_bytes(const uint64_t *tables, uint64_t n, uint64_t times, uint64_t *bits);

// ---- nested.c: a guest that has a guest -----------------------------------------------------------------------------

typedef struct peer_nested {
  const unsigned char *storage; // absolute 0 of the guest, aligned to 8 bytes
  uint64_t size, asce;
  unsigned edat; // 0, 1, 2
} peer_nested;

// A program-interruption code; or 0, or 4 for a store that is refused, and the real address (or absolute: no prefix).
int peer_nested_walk(const peer_nested *guest, uint64_t addr, int write, uint64_t *real);
// Writes tables at absolute `tables` (16 KB aligned): inner page i is the guest's at `memory` + i * 4096, writable. At
// most 524288 pages: one segment table. Gives the ASCE, of a region-third table.
uint64_t peer_nested_build(unsigned char *storage, uint64_t tables, uint64_t memory, uint64_t pages);
// Bytes of these tables.
uint64_t peer_nested_bytes(uint64_t pages);

// Tables of the host's own for what walks found, for inner addresses below 4 TB; peer_walk (lookup.h) looks into them.
typedef struct peer_shadow {
  uint64_t *top, *pool, used; // the pool: 16 KB aligned, of words, big enough
} peer_shadow;

// Walks, and keeps what it found: a code as of a walk, or 0x05 where there is no storage.
int peer_shadow_fault(peer_shadow *shadow, const peer_nested *guest, uint64_t addr, int write);
// Forgets everything, also the first time.
void peer_shadow_drop(peer_shadow *shadow);

// ---- kernel.c ------------------------------------------------------------------------------------------------------

enum peer_kernel { PEER_UFFD_ASYNC, PEER_UFFD_SYNC, PEER_SIGSEGV };

// ns of the first write to each of so many armed pages, in order; below 0 where this kernel or process may not.
double peer_kernel_first_write(enum peer_kernel how, uint64_t pages);

// ---- kvm.c ---------------------------------------------------------------------------------------------------------

#define PEER_KVM_MOST_PAGES 65536u

// ns a page of a guest's first write to each of so many pages that the dirty log watches, and of getting that log,
// which protects them again. 0 where there is no KVM, or it runs no guest.
int peer_kvm_first_write(uint64_t pages, double *write_ns, double *log_ns);

// ---- vmmemory.c: rust-vmm's vm-memory, where its library was built (vm-memory/) -------------------------------------

int peer_vm_memory_load(void); // 1: there
void peer_vm_bitmap_open(uint64_t bytes);
void peer_vm_bitmap_close(void);
void peer_vm_bitmap_load(const uint64_t *pattern, uint64_t words); // marks the pages of a pattern
uint64_t peer_vm_bitmap_take(void);                                // get_and_reset
void peer_vm_mark(const uint64_t *addresses, size_t n);            // mark_dirty of a page each
void peer_vm_stores(const uint64_t *addresses, size_t n);          // write_obj of 8 bytes each, with dirty marking

#endif
