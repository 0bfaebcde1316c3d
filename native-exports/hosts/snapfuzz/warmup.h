/* SPDX-License-Identifier: MIT
 * The document as far as it is read before the snapshot, and the texts that it names. */
#ifndef WARMUP_H
#define WARMUP_H

#include <stddef.h>

#define WARMUP_MOST 8192u

size_t warmup_begin(char text[WARMUP_MOST]); /* to the inside of the document type definition; the bytes written */

/* The i-th dozen of declarations: elements e0, e1, ..., entities t0, t1, ..., parameter entities p0, p1, ... */
size_t warmup_declarations(char text[WARMUP_MOST], unsigned i);

const char *warmup_external(const char *name); /* never NULL */

#endif
