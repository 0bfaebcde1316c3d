// Which of the 256 entries of a page table have a bit, in C: the loops are in here, so that nothing is called for a
// table.
#include "peers.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define TABLE 256

// Left to the compiler.
void peer_scan_auto(const uint64_t *restrict tables, uint64_t n, uint64_t times, uint64_t *restrict bits) {
  for (; times; times--) {
    for (uint64_t group = 0; group < n * TABLE / 64; group++) {
      const uint64_t *entries = tables + group * 64;
      uint64_t found = 0;
      for (uint64_t i = 0; i < 64; i++) found |= (entries[i] >> 1 & 1) << i;
      bits[group] = found;
    }
    __asm__ volatile("" : : : "memory");
  }
}

#ifdef __AVX2__
// 32 entries: each vector's bits go to bytes of their own, so that one mask has them all; the bytes lie by lanes and
// are put in order before it.
static inline uint32_t half(const uint64_t *entries) {
  const __m256i bit = _mm256_set1_epi64x(2);
  const __m256i pairs = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
  __m256i packed = _mm256_setzero_si256();
  __m128i low, high;
  for (int i = 0; i < 8; i++) {
    __m256i four = _mm256_and_si256(_mm256_load_si256((const __m256i *)entries + i), bit);
    packed = _mm256_or_si256(packed, _mm256_slli_epi64(four, 6 + 8 * i));
  }
  packed = _mm256_shuffle_epi8(packed, pairs); // entries 0, 1 of each vector below, 2, 3 above
  low = _mm256_castsi256_si128(packed);
  high = _mm256_extracti128_si256(packed, 1);
  return (uint32_t)_mm_movemask_epi8(_mm_unpacklo_epi16(low, high)) |
         (uint32_t)_mm_movemask_epi8(_mm_unpackhi_epi16(low, high)) << 16;
}

int peer_scan_bytes(const uint64_t *tables, uint64_t n, uint64_t times, uint64_t *bits) {
  for (; times; times--) {
    for (uint64_t group = 0; group < n * TABLE / 64; group++)
      bits[group] = half(tables + group * 64) | (uint64_t)half(tables + group * 64 + 32) << 32;
    __asm__ volatile("" : : : "memory");
  }
  return 1;
}
#else
int peer_scan_bytes(const uint64_t *tables, uint64_t n, uint64_t times, uint64_t *bits) {
  (void)tables, (void)n, (void)times, (void)bits;
  return 0;
}
#endif
