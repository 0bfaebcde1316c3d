/* SPDX-License-Identifier: MIT */
#include "digest.h"

#include <string.h>

static inline uint64_t turn(uint64_t lane, uint64_t word) {
  lane = (lane ^ word) * 0x9E3779B97F4A7C15ull;
  return lane << 29 | lane >> 35;
}

uint64_t digest_page(const void *page, bool *zero) {
  const uint8_t *at = page;
  uint64_t a = 1, b = 2, c = 3, d = 4, any = 0;
  for (unsigned i = 0; i < PAGE; i += 32) {
    uint64_t w[4];
    memcpy(w, at + i, sizeof w);
    any |= w[0] | w[1] | w[2] | w[3];
    a = turn(a, w[0]);
    b = turn(b, w[1]);
    c = turn(c, w[2]);
    d = turn(d, w[3]);
  }
  if (zero) *zero = any == 0;
  return mix64(turn(turn(turn(a, b), c), d));
}

uint64_t digest_pages(const void *memory, uint64_t bytes) {
  const uint8_t *at = memory;
  uint64_t sum = bytes;
  for (uint64_t i = 0; i < bytes; i += PAGE) sum = turn(sum, digest_page(at + i, NULL));
  return mix64(sum);
}
