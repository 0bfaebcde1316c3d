/* SPDX-License-Identifier: MIT
 * Fills guest memory before the first instruction. */
#ifndef LAYOUT_BUILD_H
#define LAYOUT_BUILD_H

#include "guest.h"

/* memory is all zero and as large as header says. */
void layout_build(uint8_t *memory, const struct guest_header *header);

/* Is the page one of the guest's translation tables? */
bool layout_is_table(const struct guest_header *header, uint64_t page);
/* The data page (guest_program.h) that this page is: does the page hold DATA_* words? */
bool layout_is_data(const struct guest_header *header, uint64_t page);

#endif
