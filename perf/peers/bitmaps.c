// One bit a page, as QEMU keeps them: marking, and collecting what is dirty.
#include <stdlib.h>
#include "peers.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

// Whether eight words are zero. Writers set bits meanwhile, so the exchange looks at each word again.
static inline int eight_clean(const uint64_t *words) {
#ifdef __AVX2__
  __m256i low = _mm256_loadu_si256((const __m256i *)words), high = _mm256_loadu_si256((const __m256i *)words + 1);
  low = _mm256_or_si256(low, high);
  return _mm256_testz_si256(low, low);
#else
  uint64_t any = 0;
  for (int i = 0; i < 8; i++) any |= words[i];
  return any == 0;
#endif
}

static inline uint64_t take_word(uint64_t *word) {
  return __atomic_load_n(word, __ATOMIC_RELAXED) ? __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) : 0;
}

static inline void rearm(uint64_t *entry) { __atomic_fetch_and(entry, ~PEER_PAGE_DIRTY, __ATOMIC_SEQ_CST); }

static inline void decode_word(uint64_t bits, uint64_t word, uint32_t **list) {
  uint32_t *at = *list;
  for (; bits; bits &= bits - 1) *at++ = (uint32_t)(word * PEER_WORD_PAGES) + (uint32_t)__builtin_ctzll(bits);
  *list = at;
}

uint64_t peer_bitmap_take(peer_guest *guest) {
  uint64_t *restrict live = guest->live, *restrict out = guest->out, dirty = 0;
  for (uint64_t i = 0; i < guest->words; i += 8) {
    if (eight_clean(live + i)) continue;
    for (uint64_t j = i; j < i + 8; j++) {
      uint64_t bits = take_word(live + j);
      out[j] |= bits;
      dirty += (uint64_t)__builtin_popcountll(bits);
    }
  }
  return dirty;
}

uint64_t peer_bitmap_copy(peer_guest *guest) {
  uint64_t *restrict live = guest->live, *restrict out = guest->out, dirty = 0;
  for (uint64_t i = 0; i < guest->words; i++) {
    out[i] = __atomic_exchange_n(live + i, 0, __ATOMIC_SEQ_CST);
    dirty += (uint64_t)__builtin_popcountll(out[i]);
  }
  return dirty;
}

uint64_t peer_bitmap_take_rearm(peer_guest *guest) {
  uint64_t *restrict live = guest->live, *restrict out = guest->out, dirty = 0;
  for (uint64_t i = 0; i < guest->words; i += 8) {
    if (eight_clean(live + i)) continue;
    for (uint64_t j = i; j < i + 8; j++) {
      uint64_t bits = take_word(live + j);
      out[j] |= bits;
      dirty += (uint64_t)__builtin_popcountll(bits);
      for (; bits; bits &= bits - 1) rearm(guest->entries + j * 64 + (uint64_t)__builtin_ctzll(bits));
    }
  }
  return dirty;
}

uint64_t peer_bitmap_list_rearm(peer_guest *guest) {
  uint64_t *restrict live = guest->live;
  uint32_t *end = guest->list;
  for (uint64_t i = 0; i < guest->words; i += 8) {
    if (eight_clean(live + i)) continue;
    for (uint64_t j = i; j < i + 8; j++) decode_word(take_word(live + j), j, &end);
  }
  for (const uint32_t *page = guest->list; page < end; page++) rearm(guest->entries + *page);
  return (uint64_t)(end - guest->list);
}

void peer_bitmap_share_rearm(peer_guest *guest, uint64_t *const *outs, int n) {
  uint64_t *restrict live = guest->live;
  for (uint64_t i = 0; i < guest->words; i += 8) {
    if (eight_clean(live + i)) continue;
    for (uint64_t j = i; j < i + 8; j++) {
      uint64_t bits = take_word(live + j);
      for (int k = 0; k < n && bits; k++) outs[k][j] |= bits;
      for (; bits; bits &= bits - 1) rearm(guest->entries + j * 64 + (uint64_t)__builtin_ctzll(bits));
    }
  }
}

uint64_t peer_decode(uint64_t *bitmap, uint64_t words, uint32_t *list) {
  uint32_t *end = list;
  for (uint64_t i = 0; i < words; i += 8) {
    if (eight_clean(bitmap + i)) continue;
    for (uint64_t j = i; j < i + 8; j++) {
      decode_word(bitmap[j], j, &end);
      bitmap[j] = 0;
    }
  }
  return (uint64_t)(end - list);
}

void peer_bitmap_set_range(uint64_t *bitmap, uint64_t first, uint64_t count) {
  uint64_t end = first + count, word = first / 64;
  if (first % 64) {
    uint64_t mask = ~0ull << (first % 64);
    if (end / 64 == word) mask &= ~(~0ull << (end % 64));
    __atomic_fetch_or(bitmap + word++, mask, __ATOMIC_SEQ_CST);
  }
  for (; word < end / 64; word++) bitmap[word] = ~0ull;
  if (word * 64 < end) __atomic_fetch_or(bitmap + word, ~(~0ull << (end % 64)), __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void peer_bitmap_or(uint64_t *bitmap, const uint64_t *marks, uint64_t words) {
  for (uint64_t i = 0; i < words; i++)
    if (marks[i]) __atomic_fetch_or(bitmap + i, marks[i], __ATOMIC_SEQ_CST);
}

void peer_bitmap_batch(uint64_t *bitmap, const uint64_t *addresses, size_t n) {
  for (size_t i = 0; i < n; i++) peer_mark(bitmap, addresses[i] >> 12);
}
