/* SPDX-License-Identifier: MIT
 * 64-bit digests of pages. Not against an adversary: against a lost or a stale page. */
#ifndef DIGEST_H
#define DIGEST_H

#include "common.h"

/* Of one page, and whether it is all zero (zero may be NULL). A change of any single word changes the digest. */
uint64_t digest_page(const void *page, bool *zero);
/* Of whole pages, in order. */
uint64_t digest_pages(const void *memory, uint64_t bytes);

#endif
